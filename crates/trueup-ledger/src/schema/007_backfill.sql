-- What `trueup backfill provider` is to ask for, step by step: what it goes on with after it was killed.
CREATE TABLE provider_backfills (
    label TEXT NOT NULL,
    connection TEXT NOT NULL, -- its name
    chunk INTEGER NOT NULL, -- from 1 on
    family TEXT NOT NULL,
    from_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    state TEXT NOT NULL, -- waiting, done or failed
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (label, connection, chunk, family)
) STRICT, WITHOUT ROWID;
