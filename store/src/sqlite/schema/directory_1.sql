CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  -- Grows with every change that others must notice.
  version INTEGER NOT NULL,
  -- No UIDVALIDITY of an account that is gone was larger.
  uid_validity INTEGER NOT NULL
) STRICT;

INSERT INTO meta VALUES (1, 1, 0);

CREATE TABLE accounts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  local_part TEXT NOT NULL,
  domain TEXT NOT NULL,
  guid BLOB NOT NULL UNIQUE,
  credential TEXT NOT NULL,
  generation INTEGER NOT NULL,
  is_admin INTEGER NOT NULL,
  is_enabled INTEGER NOT NULL,
  display_name TEXT NOT NULL,
  quota_bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  -- What is known of the account's folder; it can't be older unless it is a restored copy.
  modseq_ceiling INTEGER NOT NULL,
  modseq_synced INTEGER NOT NULL,
  uid_validity INTEGER NOT NULL,
  UNIQUE (local_part, domain)
) STRICT;

-- Folders of deleted accounts that are still in place.
CREATE TABLE removals (
  local_part TEXT NOT NULL,
  domain TEXT NOT NULL,
  account INTEGER NOT NULL,
  PRIMARY KEY (local_part, domain)
) STRICT, WITHOUT ROWID;
