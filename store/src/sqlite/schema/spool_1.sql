CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  -- Tells this spool from any other that may have used the same entry numbers.
  origin INTEGER NOT NULL
) STRICT;

CREATE TABLE entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  envelope_id TEXT NOT NULL,
  accepted_at INTEGER NOT NULL,
  reverse_path TEXT,
  -- The process that works on it.
  claimed_by TEXT,
  due_at INTEGER NOT NULL,
  reason TEXT NOT NULL,
  in_file INTEGER NOT NULL,
  size INTEGER NOT NULL,
  header_bytes INTEGER NOT NULL,
  sent_date INTEGER,
  sent_zone INTEGER,
  has_attachments INTEGER NOT NULL,
  message_id TEXT,
  message_references TEXT NOT NULL,
  envelope BLOB NOT NULL,
  body BLOB NOT NULL,
  body_structure BLOB NOT NULL,
  parts BLOB NOT NULL,
  bytes BLOB
) STRICT;

CREATE INDEX entries_by_claim ON entries (claimed_by, due_at, id);

CREATE TABLE recipients (
  entry INTEGER NOT NULL,
  position INTEGER NOT NULL,
  -- NULL is <postmaster>.
  path TEXT,
  done INTEGER NOT NULL,
  PRIMARY KEY (entry, position)
) STRICT, WITHOUT ROWID;
