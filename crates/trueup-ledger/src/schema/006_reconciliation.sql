-- Each time the account was compared with what providers say. What was compared is kept by its hash:
-- the rows themselves stay where they are.
CREATE TABLE reconciliations (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL, -- the hash of what was compared and how: the same twice is the same result
    at INTEGER NOT NULL,
    from_ms INTEGER NOT NULL, -- the first UTC day, where it begins
    until_ms INTEGER NOT NULL, -- what the last day ends before
    provider TEXT, -- null: every provider
    connection TEXT, -- null: every connection
    is_partial INTEGER NOT NULL, -- only a part was compared: some models, projects or keys
    verdict TEXT NOT NULL, -- parity, variance, incomplete, schema_drift or unreadable
    inputs BLOB NOT NULL, -- the hash of the rows of all sides
    summary TEXT NOT NULL -- JSON
) STRICT;

CREATE INDEX reconciliations_days ON reconciliations (from_ms, until_ms);
