-- Entries of the spool that are sent, for the copy of them was kept here. `origin` is the spool's
-- own number.
CREATE TABLE sent (
  origin INTEGER NOT NULL,
  spool INTEGER NOT NULL,
  PRIMARY KEY (origin, spool)
) STRICT, WITHOUT ROWID;
