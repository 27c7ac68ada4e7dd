-- What `credential` was before its last change, and when that was.
ALTER TABLE accounts ADD COLUMN previous_credential TEXT;
ALTER TABLE accounts ADD COLUMN credential_changed_at INTEGER;
