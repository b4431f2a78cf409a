-- What every version of ClickHouse can do from 18.16 on. Times are Unix milliseconds, money is
-- nano-dollars, tokens are disjoint counts. Where a shard has replicas, `ReplacingMergeTree` becomes
-- `ReplicatedReplacingMergeTree` with a path of its own (schema.rs).
--
-- Nothing of a key ever changes: `day` is that of the id, and an id is made of what was told first.

-- A call as it was last told, or, where `counts` is 0, that it no longer counts.
CREATE TABLE IF NOT EXISTS llm_event (
    tenant String,
    day Date,
    event_id FixedString(16),
    ver UInt64,
    counts UInt8,
    ts_ms UInt64,
    device String,
    source String,
    provider String,
    model String,
    project String,
    session String,
    kind String,
    price_class UInt16,
    input UInt64,
    cache_read UInt64,
    cache_write_5m UInt64,
    cache_write_1h UInt64,
    cache_write UInt64,
    output UInt64,
    reasoning UInt64,
    reported_cost Nullable(Int64),
    latency_ms Nullable(UInt32),
    first_token_ms Nullable(UInt32),
    error_type Nullable(String),
    trace_id Nullable(String),
    input_text Nullable(String),
    output_text Nullable(String),
    metadata Nullable(String),
    is_text_cut UInt8
) ENGINE = ReplacingMergeTree(ver) PARTITION BY toMonday(day) ORDER BY (tenant, day, event_id);

CREATE TABLE IF NOT EXISTS error_event (
    tenant String,
    day Date,
    event_id FixedString(16),
    ver UInt64,
    ts_ms UInt64,
    device String,
    source String,
    session String,
    error_type String,
    message String,
    stack_trace Nullable(String),
    severity String,
    metadata Nullable(String),
    trace_id Nullable(String)
) ENGINE = ReplacingMergeTree(ver) PARTITION BY toMonday(day) ORDER BY (tenant, day, event_id);

CREATE TABLE IF NOT EXISTS custom_event (
    tenant String,
    day Date,
    event_id FixedString(16),
    ver UInt64,
    ts_ms UInt64,
    device String,
    source String,
    session String,
    name String,
    metadata Nullable(String),
    trace_id Nullable(String)
) ENGINE = ReplacingMergeTree(ver) PARTITION BY toMonday(day) ORDER BY (tenant, day, event_id);

CREATE TABLE IF NOT EXISTS system_metric (
    tenant String,
    day Date,
    event_id FixedString(16),
    ver UInt64,
    ts_ms UInt64,
    device String,
    scope String,
    cpu_millipercent Nullable(UInt64),
    cpu_capacity_millicores Nullable(UInt64),
    mem_rss_bytes Nullable(UInt64),
    mem_working_set_bytes Nullable(UInt64),
    mem_limit_bytes Nullable(UInt64),
    cpu_some_millipercent Nullable(UInt64),
    cpu_full_millipercent Nullable(UInt64),
    mem_some_millipercent Nullable(UInt64),
    mem_full_millipercent Nullable(UInt64),
    io_some_millipercent Nullable(UInt64),
    io_full_millipercent Nullable(UInt64),
    disk_used_bytes Nullable(UInt64),
    disk_available_bytes Nullable(UInt64),
    disk_total_bytes Nullable(UInt64),
    disk_read_bytes_per_second Nullable(UInt64),
    disk_write_bytes_per_second Nullable(UInt64),
    net_rx_bytes_per_second Nullable(UInt64),
    net_tx_bytes_per_second Nullable(UInt64),
    processes Nullable(UInt64),
    threads Nullable(UInt64),
    zombies Nullable(UInt64),
    oom_kills Nullable(UInt64),
    metadata Nullable(String)
) ENGINE = ReplacingMergeTree(ver) PARTITION BY toMonday(day) ORDER BY (tenant, day, event_id);

-- Sums of the calls that count, worked out anew as a whole: a row has all groups of its stretch of time,
-- so that it replaces the one before at once, and groups that are no more are gone with it.
CREATE TABLE IF NOT EXISTS roll_quarter (
    tenant String,
    day Date,
    quarter UInt8,
    gen UInt64,
    device Array(String),
    source Array(String),
    provider Array(String),
    model Array(String),
    project Array(String),
    kind Array(String),
    price_class Array(UInt16),
    has_cost Array(UInt8),
    session Array(String),
    calls Array(UInt64),
    errors Array(UInt64),
    input Array(UInt64),
    cache_read Array(UInt64),
    cache_write_5m Array(UInt64),
    cache_write_1h Array(UInt64),
    cache_write Array(UInt64),
    output Array(UInt64),
    reasoning Array(UInt64),
    reported_cost Array(Int64),
    first_ms Array(UInt64),
    last_ms Array(UInt64)
) ENGINE = ReplacingMergeTree(gen) PARTITION BY toYYYYMM(day) ORDER BY (tenant, day, quarter)
SETTINGS index_granularity = 128;

CREATE TABLE IF NOT EXISTS roll_day (
    tenant String,
    day Date,
    gen UInt64,
    device Array(String),
    source Array(String),
    provider Array(String),
    model Array(String),
    project Array(String),
    kind Array(String),
    price_class Array(UInt16),
    has_cost Array(UInt8),
    calls Array(UInt64),
    errors Array(UInt64),
    input Array(UInt64),
    cache_read Array(UInt64),
    cache_write_5m Array(UInt64),
    cache_write_1h Array(UInt64),
    cache_write Array(UInt64),
    output Array(UInt64),
    reasoning Array(UInt64),
    reported_cost Array(Int64),
    first_ms Array(UInt64),
    last_ms Array(UInt64)
) ENGINE = ReplacingMergeTree(gen) PARTITION BY toYYYYMM(day) ORDER BY (tenant, day)
SETTINGS index_granularity = 16;

-- Sums of those, of the same version. Level 1 has all devices together; of each group, `used` says which kinds
-- of tokens its calls used, as bits: only what is alike in that may be priced as one. Level 0 is of level 1,
-- without projects and kinds of session. Level 2, which only days have, is of devices and sources alone. A row
-- has besides when its first and its last call were, its sources, and how much it is in all: each question reads
-- that of all days, and so those are of few parts.
CREATE TABLE IF NOT EXISTS fleet_quarter (
    tenant String,
    level UInt8,
    day Date,
    quarter UInt8,
    gen UInt64,
    first UInt64,
    last UInt64,
    sources Array(String),
    bulk Float64,
    source Array(String),
    provider Array(String),
    model Array(String),
    project Array(String),
    kind Array(String),
    price_class Array(UInt16),
    has_cost Array(UInt8),
    used Array(UInt8),
    calls Array(UInt64),
    errors Array(UInt64),
    input Array(UInt64),
    cache_read Array(UInt64),
    cache_write_5m Array(UInt64),
    cache_write_1h Array(UInt64),
    cache_write Array(UInt64),
    output Array(UInt64),
    reasoning Array(UInt64),
    reported_cost Array(Int64),
    first_ms Array(UInt64),
    last_ms Array(UInt64)
) ENGINE = ReplacingMergeTree(gen) PARTITION BY toYYYYMM(day) ORDER BY (tenant, level, day, quarter)
SETTINGS index_granularity = 128;

CREATE TABLE IF NOT EXISTS fleet_day (
    tenant String,
    level UInt8,
    day Date,
    gen UInt64,
    first UInt64,
    last UInt64,
    sources Array(String),
    bulk Float64,
    device Array(String),
    source Array(String),
    provider Array(String),
    model Array(String),
    project Array(String),
    kind Array(String),
    price_class Array(UInt16),
    has_cost Array(UInt8),
    used Array(UInt8),
    calls Array(UInt64),
    errors Array(UInt64),
    input Array(UInt64),
    cache_read Array(UInt64),
    cache_write_5m Array(UInt64),
    cache_write_1h Array(UInt64),
    cache_write Array(UInt64),
    output Array(UInt64),
    reasoning Array(UInt64),
    reported_cost Array(Int64),
    first_ms Array(UInt64),
    last_ms Array(UInt64)
) ENGINE = ReplacingMergeTree(gen) PARTITION BY toYear(day) ORDER BY (tenant, level, day)
SETTINGS index_granularity = 16;

-- How often each receiver has written calls of a day, said after it wrote them. This table and the next one
-- are read as a whole before each question: they are of few parts, and stay when weeks of facts go.
CREATE TABLE IF NOT EXISTS dirty (
    tenant String,
    day Date,
    receiver UInt64,
    seq UInt64
) ENGINE = ReplacingMergeTree(seq) PARTITION BY toYear(day) ORDER BY (tenant, day, receiver);

-- How many of these words the sums of a day hold, said after those were written.
CREATE TABLE IF NOT EXISTS rolled (
    tenant String,
    day Date,
    marks UInt64
) ENGINE = ReplacingMergeTree(marks) PARTITION BY toYear(day) ORDER BY (tenant, day);

-- What each ledger of a device said of itself last. This table and the next two are on the first shard.
CREATE TABLE IF NOT EXISTS device_state (
    tenant String,
    device String,
    ledger String,
    epoch String,
    told_ms UInt64,
    seen_ms UInt64,
    host String,
    agent String,
    version String,
    last_seq Nullable(Int64),
    newest_ms Nullable(UInt64),
    waiting Nullable(UInt64),
    oldest_waiting_ms Nullable(UInt64),
    dropped Nullable(UInt64),
    refused Nullable(UInt64),
    last_read_ms Nullable(UInt64)
) ENGINE = ReplacingMergeTree(told_ms) ORDER BY (tenant, device, ledger, epoch);

-- Batches that were taken: so that another one of the same name, and places that nobody told of, are
-- found out. `day` is that on which the batch was made.
CREATE TABLE IF NOT EXISTS batch (
    tenant String,
    day Date,
    batch_id String,
    sha256 String,
    device String,
    ledger String,
    epoch String,
    first_seq Nullable(Int64),
    last_seq Nullable(Int64),
    newest_ms Nullable(UInt64),
    words UInt64,
    seen_ms UInt64
) ENGINE = ReplacingMergeTree(seen_ms) PARTITION BY toMonday(day) ORDER BY (tenant, day, batch_id);

-- Who may ask; of a secret its hash, in hexadecimal digits.
CREATE TABLE IF NOT EXISTS hub_token (
    id String,
    ver UInt64,
    hash String,
    tenant String,
    device Nullable(String),
    created_ms UInt64,
    revoked_ms Nullable(UInt64)
) ENGINE = ReplacingMergeTree(ver) ORDER BY id;

-- From which week on there are how many shards; on the first shard, too.
CREATE TABLE IF NOT EXISTS slot_map (
    since Date,
    shards UInt64
) ENGINE = ReplacingMergeTree(shards) ORDER BY since;

-- Which shard this is, from 0: an address in another order is found out.
CREATE TABLE IF NOT EXISTS shard_number (
    number UInt64
) ENGINE = ReplacingMergeTree(number) ORDER BY number;

-- Before which day nothing is taken, and no sum is worked out anew: the calls below may be gone.
CREATE TABLE IF NOT EXISTS horizon (
    day Date,
    set_ms UInt64
) ENGINE = ReplacingMergeTree(set_ms) ORDER BY day;
