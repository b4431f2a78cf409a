-- A hub's ledger tells devices apart. What is this machine's own has device 0, which is in no table.
CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
) STRICT;

-- Sessions of two devices may have one name. The views that join them are made again with them.
DROP VIEW calls;
CREATE TABLE device_sessions (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    session TEXT NOT NULL,
    device INTEGER NOT NULL DEFAULT 0,
    UNIQUE (source, session, device)
) STRICT;
INSERT INTO device_sessions (id, source, session) SELECT id, source, session FROM sessions;
DROP TABLE sessions;
ALTER TABLE device_sessions RENAME TO sessions;
CREATE INDEX sessions_device ON sessions (device) WHERE device <> 0;

CREATE VIEW calls AS
SELECT t.trace_id, t.created_at, s.source, s.provider, s.model, s.project, s.kind, n.session,
    t.input, t.cache_read, t.cache_write_5m, t.cache_write_1h, t.cache_write, t.output, t.reasoning,
    t.reported_cost_nanousd, t.latency_ms, t.time_to_first_token_ms, t.status, t.error_type,
    x.input_text, x.output_text, x.is_text_cut, x.metadata, t.pushed_at, d.name AS device
FROM llm_traces t
JOIN series s ON s.id = t.series
JOIN sessions n ON n.id = t.session
LEFT JOIN devices d ON d.id = n.device
LEFT JOIN llm_trace_texts x ON x.id = t.id;

ALTER TABLE error_events ADD COLUMN device INTEGER NOT NULL DEFAULT 0;
ALTER TABLE custom_events ADD COLUMN device INTEGER NOT NULL DEFAULT 0;
ALTER TABLE system_metrics ADD COLUMN device INTEGER NOT NULL DEFAULT 0;
-- A device's samples are few among those of a fleet.
CREATE INDEX system_metrics_device ON system_metrics (device, id) WHERE device <> 0;

-- The sums over time once more, by device.
CREATE TABLE usage_device (
    device INTEGER NOT NULL REFERENCES devices (id),
    width_minutes INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    series INTEGER NOT NULL REFERENCES series (id),
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
    PRIMARY KEY (device, width_minutes, start_ms, series)
) STRICT, WITHOUT ROWID;

-- The ledgers that devices tell from, and what they say of themselves.
CREATE TABLE device_ledgers (
    id INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES devices (id),
    ledger TEXT NOT NULL,
    epoch TEXT NOT NULL,
    host TEXT NOT NULL,
    agent TEXT NOT NULL,
    version TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    newest_at INTEGER,                  -- time of the newest record
    first_seq INTEGER,                  -- where it began to tell
    last_seq INTEGER,                   -- the farthest place that it told of
    last_batch_at INTEGER,              -- when the newest of its batches was made
    waiting INTEGER,
    oldest_waiting_at INTEGER,
    dropped INTEGER,
    refused INTEGER,
    last_read_at INTEGER,
    batches INTEGER NOT NULL DEFAULT 0,
    accepted INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    UNIQUE (device, ledger, epoch)
) STRICT;

-- Places that were passed over: what was in them was never told.
CREATE TABLE device_gaps (
    ledger INTEGER NOT NULL REFERENCES device_ledgers (id),
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    PRIMARY KEY (ledger, first_seq)
) STRICT, WITHOUT ROWID;

-- The last batches of each ledger, and what they were answered.
CREATE TABLE device_batches (
    ledger INTEGER NOT NULL REFERENCES device_ledgers (id),
    batch TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    PRIMARY KEY (ledger, batch)
) STRICT, WITHOUT ROWID;
