-- Addresses that stand for others.

CREATE TABLE aliases (
  id INTEGER PRIMARY KEY,
  domain TEXT NOT NULL,
  -- In lower case; * and ? are wildcards.
  local_part TEXT NOT NULL,
  is_pattern INTEGER NOT NULL,
  is_enabled INTEGER NOT NULL,
  UNIQUE (domain, local_part)
) STRICT;

CREATE INDEX aliases_patterns ON aliases (domain, local_part) WHERE is_pattern = 1;

CREATE TABLE alias_targets (
  alias INTEGER NOT NULL,
  position INTEGER NOT NULL,
  address TEXT NOT NULL,
  -- The address in lower case and without a tag: what is looked for.
  base TEXT NOT NULL,
  PRIMARY KEY (alias, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX alias_targets_by_base ON alias_targets (base);
