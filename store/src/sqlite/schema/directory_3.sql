ALTER TABLE accounts ADD COLUMN last_login_at INTEGER;

-- What the server keeps for a while: see `RecordKind`. `account` is 0 where it is nobody's.
CREATE TABLE records (
  kind INTEGER NOT NULL,
  key BLOB NOT NULL,
  account INTEGER NOT NULL,
  value TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX records_by_account ON records (account, kind);
CREATE INDEX records_by_end ON records (expires_at);
