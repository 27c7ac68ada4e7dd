-- Recipients meet their fates one by one, and go to other servers as well.

CREATE TABLE entries_2 (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  envelope_id TEXT NOT NULL,
  accepted_at INTEGER NOT NULL,
  reverse_path TEXT,
  smtputf8 INTEGER NOT NULL,
  eight_bit_mime INTEGER NOT NULL,
  ret TEXT,
  envid TEXT,
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

INSERT INTO entries_2 SELECT id, envelope_id, accepted_at, reverse_path, 0, 0, NULL, NULL, in_file,
  size, header_bytes, sent_date, sent_zone, has_attachments, message_id, message_references,
  envelope, body, body_structure, parts, bytes FROM entries;

-- What a group of recipients of one entry waits for that have one destination.
CREATE TABLE lots (
  entry INTEGER NOT NULL,
  -- Empty: mailboxes here.
  destination TEXT NOT NULL,
  -- The process that works on it.
  claimed_by TEXT,
  held INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  delay_told INTEGER NOT NULL,
  reason TEXT NOT NULL,
  CHECK (held = 0 OR claimed_by IS NULL),
  PRIMARY KEY (entry, destination)
) STRICT, WITHOUT ROWID;

INSERT INTO lots SELECT id, '', claimed_by, 0, due_at, 0, 0, reason FROM entries;

CREATE INDEX lots_waiting ON lots (destination, due_at, entry)
  WHERE claimed_by IS NULL AND held = 0;
CREATE INDEX lots_claimed ON lots (claimed_by) WHERE claimed_by IS NOT NULL;

-- When the first of the lots of a destination is due that wait.
CREATE TABLE destinations (
  destination TEXT PRIMARY KEY,
  due_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX destinations_by_due ON destinations (due_at);

INSERT INTO destinations SELECT destination, min(due_at) FROM lots
  WHERE claimed_by IS NULL AND held = 0 GROUP BY destination;

CREATE TABLE recipients_2 (
  entry INTEGER NOT NULL,
  position INTEGER NOT NULL,
  -- NULL is <postmaster>.
  path TEXT,
  destination TEXT NOT NULL,
  -- NULL: the sender did not say. Else SUCCESS 1, FAILURE 2, DELAY 4.
  notify INTEGER,
  orcpt TEXT,
  -- Waiting 0, delivered 1, relayed 2, failed 3, expanded 4, dropped 5.
  fate INTEGER NOT NULL CHECK (fate BETWEEN 0 AND 5),
  -- What was answered last, when, and by whom.
  told_at INTEGER,
  told_by TEXT,
  answer TEXT,
  PRIMARY KEY (entry, position)
) STRICT, WITHOUT ROWID;

INSERT INTO recipients_2 SELECT entry, position, path, '', NULL, NULL, done, NULL, NULL, NULL
  FROM recipients;

CREATE TABLE attempts (
  entry INTEGER NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  destination TEXT NOT NULL,
  recipients INTEGER NOT NULL,
  fate INTEGER NOT NULL,
  told_by TEXT NOT NULL,
  answer TEXT NOT NULL,
  PRIMARY KEY (entry, number)
) STRICT, WITHOUT ROWID;

-- No number of an entry is used again, not even of one that is gone.
DELETE FROM sqlite_sequence WHERE name = 'entries_2';
INSERT INTO sqlite_sequence (name, seq)
  SELECT 'entries_2', seq FROM sqlite_sequence WHERE name = 'entries';
DROP TABLE entries;
ALTER TABLE entries_2 RENAME TO entries;
DROP TABLE recipients;
ALTER TABLE recipients_2 RENAME TO recipients;

CREATE INDEX entries_by_envelope_id ON entries (envelope_id);
