-- What retention has taken of the calls: those of one quarter of an hour, session and series, added up.
-- The sums above them still hold them; `check` adds both.
CREATE TABLE usage_removed (
    start_ms INTEGER NOT NULL,
    series INTEGER NOT NULL,
    session INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    reported_cost_nanousd INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    PRIMARY KEY (start_ms, series, session)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_removed_session ON usage_removed (session);
