-- When a message came into the store, and when it last changed; what is kept beside it for the
-- HTTP API, opaque here.
ALTER TABLE messages ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN modified_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN extras TEXT NOT NULL DEFAULT '';
UPDATE messages SET created_at = internal_date, modified_at = internal_date;

CREATE UNIQUE INDEX messages_by_instance ON messages (instance_id);

-- What lists select and sort by, so that they read no other message than those of the page: of one
-- mailbox, and of all.
CREATE INDEX messages_by_date ON messages (mailbox, internal_date, instance_id, flags);
CREATE INDEX messages_of_all_by_date ON messages (internal_date, instance_id, flags);

-- Which message it was that went; not known of those that went before.
ALTER TABLE vanished ADD COLUMN instance_id BLOB;

-- Mailboxes that are gone, with the MODSEQ of their end.
CREATE TABLE vanished_mailboxes (
  mailbox_id BLOB PRIMARY KEY,
  modseq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What else is kept for the account, opaque here.
CREATE TABLE documents (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Attachments on their way in. `key` is a hash of what the client shows.
CREATE TABLE uploads (
  key BLOB PRIMARY KEY,
  document TEXT NOT NULL,
  received INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE upload_pieces (
  key BLOB NOT NULL,
  start INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (key, start)
) STRICT;
