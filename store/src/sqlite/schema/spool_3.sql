-- Entries of which an account decides. They have recipients and no lots: they are nobody's work.
CREATE TABLE prepared (
  entry INTEGER PRIMARY KEY,
  account INTEGER NOT NULL,
  -- The process that asks the account.
  prepared_by TEXT NOT NULL
) STRICT;
