-- Files that providers let their customers download, as they were imported.
CREATE TABLE statements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 BLOB NOT NULL UNIQUE, -- of the file: the same file adds nothing
    bytes INTEGER NOT NULL,
    kind TEXT NOT NULL, -- openai_usage, anthropic_cost, focus…
    family TEXT NOT NULL, -- what the provider's interface tells the same by; empty where there is none
    name TEXT NOT NULL, -- of the file, without its folder
    imported_at INTEGER NOT NULL,
    -- The later one counts where two cover a day. Parts of one export have the same number.
    generation INTEGER NOT NULL,
    rows INTEGER NOT NULL, -- that were kept
    blank INTEGER NOT NULL, -- all zero and without ids: buckets of time in which nothing was used
    odd INTEGER NOT NULL, -- that could not be read in full, and were kept
    unplaced INTEGER NOT NULL, -- of these, without a time that can be read
    without_ids INTEGER NOT NULL -- that say something, and not of what: kept
) STRICT;

-- Whose usage a statement tells, and which UTC days of it it covers, blank buckets too.
CREATE TABLE statement_accounts (
    id INTEGER PRIMARY KEY,
    statement INTEGER NOT NULL REFERENCES statements (id),
    provider TEXT NOT NULL,
    account TEXT NOT NULL, -- empty where it is not told
    from_ms INTEGER, -- null where no row has a time
    until_ms INTEGER,
    rows INTEGER NOT NULL,
    UNIQUE (statement, provider, account)
) STRICT;

-- Each row as it came. Null: not told.
CREATE TABLE statement_rows (
    account INTEGER NOT NULL REFERENCES statement_accounts (id),
    line INTEGER NOT NULL, -- of the file, from 1
    start_ms INTEGER, -- null: its time cannot be read
    width_minutes INTEGER NOT NULL,
    dims TEXT NOT NULL, -- JSON; what is empty in the file is not in it
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
    extra TEXT NOT NULL -- columns that were not known or could not be read, as JSON
) STRICT;

CREATE INDEX statement_rows_time ON statement_rows (account, start_ms);

-- What was not as it should be: code and place, never content.
CREATE TABLE statement_issues (
    statement INTEGER NOT NULL REFERENCES statements (id),
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    first_line INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (statement, code, detail)
) STRICT, WITHOUT ROWID;

-- Rows that count: those of a day that a later statement of the same kind covers do not. An account
-- that is not told may be any. CROSS JOIN keeps the order, so that a range is read by its index.
CREATE VIEW stated AS
SELECT s.id AS statement, s.name, s.kind, s.family, a.provider, a.account, r.line, r.width_minutes,
    r.start_ms, r.dims ->> 'model' AS model, r.dims, r.in_uncached, r.in_cache_read, r.in_cache_write_5m, r.in_cache_write_30m, r.in_cache_write_1h, r.in_cache_write_12h, r.in_cache_write, r.in_unsplit, r.out, r.out_reasoning, r.in_text, r.in_audio, r.in_image, r.in_text_cached, r.in_audio_cached, r.in_image_cached, r.out_text, r.out_audio, r.out_image, r.requests, r.web_searches, r.file_searches, r.images, r.seconds, r.characters, r.bytes, r.sessions,
    r.amount, r.currency, r.quantity, r.quantity_unit, r.extra
FROM statements s
CROSS JOIN statement_accounts a ON a.statement = s.id
CROSS JOIN statement_rows r ON r.account = a.id
WHERE NOT EXISTS (
    SELECT 1 FROM statements later JOIN statement_accounts covers ON covers.statement = later.id
    WHERE later.kind = s.kind AND later.generation > s.generation AND covers.provider = a.provider
    AND (covers.account = a.account OR covers.account = '' OR a.account = '')
    AND r.start_ms >= covers.from_ms AND r.start_ms < covers.until_ms
);
