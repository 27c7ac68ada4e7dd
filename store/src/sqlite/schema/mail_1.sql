CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  -- The last MODSEQ handed out, and the one that none passes before the ceiling is raised.
  modseq INTEGER NOT NULL,
  modseq_ceiling INTEGER NOT NULL,
  -- The last UIDVALIDITY handed out.
  uid_validity INTEGER NOT NULL,
  -- The run of the operating system in which the database was last opened.
  boot_id TEXT NOT NULL
) STRICT;

CREATE TABLE mailboxes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  mailbox_id BLOB NOT NULL UNIQUE,
  name TEXT NOT NULL UNIQUE,
  special_use INTEGER,
  uid_validity INTEGER NOT NULL,
  uid_next INTEGER NOT NULL,
  first_recent INTEGER NOT NULL,
  highest_modseq INTEGER NOT NULL,
  messages INTEGER NOT NULL,
  unseen INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  -- Rows in `vanished`, and the MODSEQ up to which they have been pruned.
  tombstones INTEGER NOT NULL,
  vanished_floor INTEGER NOT NULL
) STRICT;

CREATE TABLE subscriptions (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
  mailbox INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  modseq INTEGER NOT NULL,
  flags INTEGER NOT NULL,
  keywords TEXT NOT NULL,
  content INTEGER NOT NULL,
  instance_id BLOB NOT NULL,
  internal_date INTEGER NOT NULL,
  zone INTEGER NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;

CREATE INDEX messages_by_modseq ON messages (mailbox, modseq);

CREATE TABLE vanished (
  mailbox INTEGER NOT NULL,
  modseq INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  PRIMARY KEY (mailbox, modseq, uid)
) STRICT, WITHOUT ROWID;

-- What copies share. `bytes` is last: a row's end is read only by who wants it.
CREATE TABLE contents (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  email_id BLOB NOT NULL,
  thread_id BLOB NOT NULL,
  references_count INTEGER NOT NULL,
  in_file INTEGER NOT NULL,
  size INTEGER NOT NULL,
  header_bytes INTEGER NOT NULL,
  sent_date INTEGER,
  sent_zone INTEGER,
  has_attachments INTEGER NOT NULL,
  message_id TEXT,
  envelope BLOB NOT NULL,
  body BLOB NOT NULL,
  body_structure BLOB NOT NULL,
  parts BLOB NOT NULL,
  bytes BLOB
) STRICT;

CREATE UNIQUE INDEX contents_in_files ON contents (email_id) WHERE in_file = 1;

-- Which thread a Message-ID belongs to, by hash. `since` is the MODSEQ of the thread's first
-- message: of two threads, the older one goes on.
CREATE TABLE thread_refs (
  hash INTEGER PRIMARY KEY,
  thread_id BLOB NOT NULL,
  since INTEGER NOT NULL
) STRICT;

-- Spool entries that were delivered here. `origin` is the spool's own number.
CREATE TABLE delivered (
  origin INTEGER NOT NULL,
  spool INTEGER NOT NULL,
  at INTEGER NOT NULL,
  mailbox_id BLOB NOT NULL,
  uid_validity INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  instance_id BLOB NOT NULL,
  PRIMARY KEY (origin, spool)
) STRICT, WITHOUT ROWID;
