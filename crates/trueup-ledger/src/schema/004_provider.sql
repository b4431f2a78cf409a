-- What providers say was used and charged: the third witness. Nothing here is added to what was
-- measured. No key is in it: those lie beside the settings.
CREATE TABLE provider_connections (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    address TEXT NOT NULL,
    first_pull_at INTEGER NOT NULL
) STRICT;

-- How far each range was asked for. `cursor_key` is the family and the key that asks
-- (`usage/completions:key_1f0c2a9b`), so that two keys never move each other's position.
CREATE TABLE provider_cursors (
    connection INTEGER NOT NULL REFERENCES provider_connections (id),
    cursor_key TEXT NOT NULL,
    width_minutes INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    grouping TEXT NOT NULL, -- what rows are told apart by; what was refused is not in it
    state TEXT NOT NULL, -- partial, done, incomplete or failed
    page_cursor TEXT, -- of the next page, in the provider's own words
    pages INTEGER NOT NULL,
    attempts INTEGER NOT NULL, -- failures since the last success
    last_error TEXT,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (connection, cursor_key, width_minutes, from_ms, until_ms)
) STRICT, WITHOUT ROWID;

-- Every page as it came. One that came again unchanged is the same row.
CREATE TABLE provider_pages (
    id INTEGER PRIMARY KEY,
    connection INTEGER NOT NULL REFERENCES provider_connections (id),
    cursor_key TEXT NOT NULL,
    query TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL, -- before compression
    sha256 BLOB NOT NULL, -- of the bytes as they came
    body BLOB NOT NULL -- zstd
) STRICT;

CREATE INDEX provider_pages_query ON provider_pages (connection, cursor_key, query, sha256);

-- Each row of each bucket of time, as it was last told. Null: not told.
CREATE TABLE provider_rows (
    id INTEGER PRIMARY KEY,
    connection INTEGER NOT NULL REFERENCES provider_connections (id),
    family TEXT NOT NULL,
    width_minutes INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    dims_key BLOB NOT NULL,
    dims TEXT NOT NULL, -- JSON; null, the empty text and absence are three different things
    in_uncached INTEGER,
    in_cache_read INTEGER,
    in_cache_write_5m INTEGER,
    in_cache_write_30m INTEGER,
    in_cache_write_1h INTEGER,
    in_cache_write_12h INTEGER,
    in_cache_write INTEGER,
    in_unsplit INTEGER,
    out INTEGER,
    out_reasoning INTEGER,
    in_text INTEGER,
    in_audio INTEGER,
    in_image INTEGER,
    in_text_cached INTEGER,
    in_audio_cached INTEGER,
    in_image_cached INTEGER,
    out_text INTEGER,
    out_audio INTEGER,
    out_image INTEGER,
    requests INTEGER,
    web_searches INTEGER,
    file_searches INTEGER,
    images INTEGER,
    seconds INTEGER,
    characters INTEGER,
    bytes INTEGER,
    sessions INTEGER,
    amount TEXT, -- a decimal of any length
    currency TEXT,
    quantity TEXT,
    quantity_unit TEXT,
    extra TEXT NOT NULL, -- fields that were not known, as JSON
    value_key BLOB NOT NULL, -- of everything above that may change
    revision INTEGER NOT NULL,
    is_withdrawn INTEGER NOT NULL, -- the provider no longer lists it
    first_seen_at INTEGER NOT NULL,
    last_changed_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX provider_rows_key
    ON provider_rows (connection, family, width_minutes, start_ms, dims_key);

-- Every value that a row ever had, from the first on; nothing is ever changed in it.
CREATE TABLE provider_revisions (
    row INTEGER NOT NULL REFERENCES provider_rows (id),
    revision INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    page INTEGER REFERENCES provider_pages (id), -- null where the row was withdrawn
    state TEXT NOT NULL, -- provisional, or restated where the bucket was settled before
    counts TEXT NOT NULL, -- JSON
    amount TEXT,
    currency TEXT,
    quantity TEXT,
    quantity_unit TEXT,
    extra TEXT NOT NULL,
    PRIMARY KEY (row, revision)
) STRICT, WITHOUT ROWID;

-- Every bucket of time that was asked for: whether it came, and whether it still changes.
CREATE TABLE provider_buckets (
    connection INTEGER NOT NULL REFERENCES provider_connections (id),
    family TEXT NOT NULL,
    width_minutes INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    state TEXT NOT NULL, -- missing, provisional, settled or restated
    pulls INTEGER NOT NULL, -- whole ones
    unchanged INTEGER NOT NULL, -- the last so many of them brought nothing new
    listed_by INTEGER NOT NULL, -- when the pull began that last listed it
    last_pull_at INTEGER, -- when it was last told as a whole
    settled_at INTEGER,
    PRIMARY KEY (connection, family, width_minutes, start_ms)
) STRICT, WITHOUT ROWID;

-- What ids are called.
CREATE TABLE provider_names (
    connection INTEGER NOT NULL REFERENCES provider_connections (id),
    kind TEXT NOT NULL, -- project, user, key
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (connection, kind, id)
) STRICT, WITHOUT ROWID;

-- What is wrong with what was told: code and place, never content. A whole pull without it removes it.
CREATE TABLE provider_issues (
    connection INTEGER NOT NULL REFERENCES provider_connections (id),
    cursor_key TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (connection, cursor_key, code, detail)
) STRICT, WITHOUT ROWID;

-- Rows that count, with the name of their connection and the state of their bucket.
CREATE VIEW billed AS
SELECT c.name AS connection, c.provider, r.family, r.width_minutes, r.start_ms, b.state,
    r.dims ->> 'model' AS model, r.dims, r.in_uncached, r.in_cache_read, r.in_cache_write_5m, r.in_cache_write_30m, r.in_cache_write_1h, r.in_cache_write_12h, r.in_cache_write, r.in_unsplit, r.out, r.out_reasoning, r.in_text, r.in_audio, r.in_image, r.in_text_cached, r.in_audio_cached, r.in_image_cached, r.out_text, r.out_audio, r.out_image, r.requests, r.web_searches, r.file_searches, r.images, r.seconds, r.characters, r.bytes, r.sessions,
    r.amount, r.currency, r.quantity, r.quantity_unit, r.extra, r.revision
FROM provider_rows r
JOIN provider_connections c ON c.id = r.connection
LEFT JOIN provider_buckets b ON b.connection = r.connection AND b.family = r.family
    AND b.width_minutes = r.width_minutes AND b.start_ms = r.start_ms
WHERE NOT r.is_withdrawn;
