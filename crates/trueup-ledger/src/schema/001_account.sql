-- The account. Times are Unix milliseconds, money is nano-dollars, tokens are disjoint counts.
-- Ids are 16 bytes: 48 bits of time, then 80 bits of the fact's key; they sort by time.

-- What a sum is a sum of: all calls of one series have one price per token.
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    witness INTEGER NOT NULL,           -- 0 measured, 1 claimed
    source TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    project TEXT NOT NULL,
    kind TEXT NOT NULL,                 -- of session: main, cron, subagent… as the source says
    price_class INTEGER NOT NULL,       -- tier, speed, region and length of prompt
    has_reported_cost INTEGER NOT NULL,
    UNIQUE (witness, source, provider, model, project, kind, price_class, has_reported_cost)
) STRICT;

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    session TEXT NOT NULL,
    UNIQUE (source, session)
) STRICT;

-- One row per counted call. `llm_traces` below is the same with what follows from it: SQLite works out
-- generated columns at each insert, virtual ones too, which would cost as much as the insert.
CREATE TABLE llm_calls (
    id BLOB NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    series INTEGER NOT NULL REFERENCES series (id),
    session INTEGER NOT NULL REFERENCES sessions (id),
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    reported_cost_nanousd INTEGER,
    latency_ms INTEGER,
    time_to_first_token_ms INTEGER,
    error_type TEXT,                    -- null where the call was answered
    client_trace_id TEXT,
    pushed_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX llm_traces_session ON llm_calls (session, id);

CREATE VIEW llm_traces AS
SELECT *,
    coalesce(client_trace_id, lower(
        substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-' || substr(hex(id), 13, 4) || '-'
        || substr(hex(id), 17, 4) || '-' || substr(hex(id), 21))) AS trace_id,
    input + cache_read + cache_write_5m + cache_write_1h + cache_write AS prompt_tokens,
    output AS completion_tokens,
    iif(error_type IS NULL, 'ok', 'error') AS status
FROM llm_calls;

-- The long parts of calls that clients posted, apart from the rows that reports walk over.
CREATE TABLE llm_trace_texts (
    id BLOB NOT NULL PRIMARY KEY,
    input_text TEXT,
    output_text TEXT,
    is_text_cut INTEGER NOT NULL,
    metadata TEXT
) STRICT;

-- Which copies count. It outlives the rows it points to, so that what was once counted stays known.
CREATE TABLE fact_keys (
    key BLOB NOT NULL,
    variant INTEGER NOT NULL,
    rank BLOB NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (key, variant)
) STRICT, WITHOUT ROWID;

CREATE TABLE error_events (
    id BLOB NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    session TEXT NOT NULL,
    error_type TEXT NOT NULL,
    message TEXT NOT NULL,
    stack_trace TEXT,
    severity TEXT NOT NULL,
    metadata TEXT,
    client_trace_id TEXT,
    pushed_at INTEGER,
    trace_id TEXT NOT NULL GENERATED ALWAYS AS (coalesce(client_trace_id, lower(
        substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-' || substr(hex(id), 13, 4) || '-'
        || substr(hex(id), 17, 4) || '-' || substr(hex(id), 21)))) VIRTUAL
) STRICT;

CREATE TABLE custom_events (
    id BLOB NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    session TEXT NOT NULL,
    name TEXT NOT NULL,
    metadata TEXT,
    client_trace_id TEXT,
    pushed_at INTEGER,
    trace_id TEXT NOT NULL GENERATED ALWAYS AS (coalesce(client_trace_id, lower(
        substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-' || substr(hex(id), 13, 4) || '-'
        || substr(hex(id), 17, 4) || '-' || substr(hex(id), 21)))) VIRTUAL
) STRICT;

CREATE TABLE system_metrics (
    id BLOB NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    scope TEXT NOT NULL,                -- cgroup2, cgroup1 or host
    cpu_millipercent INTEGER,
    mem_rss_bytes INTEGER,
    mem_working_set_bytes INTEGER,
    mem_limit_bytes INTEGER,
    disk_used_bytes INTEGER,
    disk_total_bytes INTEGER,
    metadata TEXT,
    pushed_at INTEGER,
    trace_id TEXT NOT NULL GENERATED ALWAYS AS (lower(
        substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-' || substr(hex(id), 13, 4) || '-'
        || substr(hex(id), 17, 4) || '-' || substr(hex(id), 21))) VIRTUAL
) STRICT;

-- What agents claim that a run of a session used. It counts, as an estimate, only until calls of that
-- run are measured, and is kept then.
CREATE TABLE session_totals (
    id BLOB NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL,
    series INTEGER NOT NULL REFERENCES series (id),
    session INTEGER NOT NULL REFERENCES sessions (id),
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write_5m INTEGER NOT NULL,
    cache_write_1h INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    reported_cost_nanousd INTEGER,
    started_at INTEGER,                 -- of the run, where the agent says
    parent INTEGER REFERENCES sessions (id), -- what the session began as a copy of
    seen_at INTEGER NOT NULL,           -- when it was first read
    polls INTEGER NOT NULL DEFAULT 0,   -- looks at all stores since that brought no call of the run
    is_superseded INTEGER NOT NULL
) STRICT;

CREATE INDEX session_totals_session ON session_totals (session, id);
CREATE INDEX session_totals_parent ON session_totals (parent, session) WHERE parent IS NOT NULL;
CREATE INDEX session_totals_open ON session_totals (session, parent) WHERE NOT is_superseded;

CREATE TABLE quotas (
    source TEXT NOT NULL,
    window_minutes INTEGER NOT NULL,
    observed_at INTEGER NOT NULL,
    used_millipercent INTEGER NOT NULL,
    resets_at INTEGER,
    plan TEXT NOT NULL,
    PRIMARY KEY (source, window_minutes)
) STRICT, WITHOUT ROWID;

-- Sums over time, for every dashboard and report: 15 is a quarter of an hour, 1440 a UTC day. Hours,
-- weeks and months are added up from these. Only quarters know the times of their first and last call.
CREATE TABLE usage_time (
    width_minutes INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    series INTEGER NOT NULL,
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
    PRIMARY KEY (width_minutes, start_ms, series)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage_session (
    session INTEGER NOT NULL,
    series INTEGER NOT NULL,
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
    PRIMARY KEY (session, series)
) STRICT, WITHOUT ROWID;

-- How far each store was read; written in the transaction of the facts before the position.
CREATE TABLE positions (
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    part TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    line INTEGER NOT NULL,
    tail_hash INTEGER NOT NULL,
    read_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (source, path, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE problems (
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    line INTEGER NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (source, path, line, kind)
) STRICT, WITHOUT ROWID;

-- Rows to be sent, in the order of their arrival. Filled only while a destination is configured.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,              -- 0 call, 1 error, 2 event, 3 host metric
    id BLOB NOT NULL
) STRICT;

CREATE TABLE push_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    trace_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    events_pushed INTEGER NOT NULL,
    error_message TEXT,
    duration_ms INTEGER NOT NULL,
    pushed_at INTEGER
) STRICT;

-- Single numbers that must survive a restart, such as how many records were dropped.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Calls with their names: for people with a SQLite shell.
CREATE VIEW calls AS
SELECT t.trace_id, t.created_at, s.source, s.provider, s.model, s.project, s.kind, n.session,
    t.input, t.cache_read, t.cache_write_5m, t.cache_write_1h, t.cache_write, t.output, t.reasoning,
    t.reported_cost_nanousd, t.latency_ms, t.time_to_first_token_ms, t.status, t.error_type,
    x.input_text, x.output_text, x.is_text_cut, x.metadata, t.pushed_at
FROM llm_traces t
JOIN series s ON s.id = t.series
JOIN sessions n ON n.id = t.session
LEFT JOIN llm_trace_texts x ON x.id = t.id;
