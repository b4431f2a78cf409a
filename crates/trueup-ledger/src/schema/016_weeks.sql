-- The sums of days once more, by week in UTC from Monday, of everything (device 0) and by device. Days are
-- only added up where the same kinds of tokens were used: a price may be known of some and not of others.
CREATE TABLE usage_week (
    device INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    series INTEGER NOT NULL,
    kinds INTEGER NOT NULL,             -- of a day: bits, as in the view below
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
    PRIMARY KEY (device, start_ms, series, kinds)
) STRICT, WITHOUT ROWID;

-- What it must hold. Sums stop at the largest number, where sum() would fail.
CREATE VIEW weeks_of_days AS
WITH days AS (
    SELECT 0 AS device, * FROM usage_time WHERE width_minutes = 1440
    UNION ALL
    SELECT * FROM usage_device WHERE width_minutes = 1440
)
SELECT device,
    (start_ms - (((start_ms + 259200000) % 604800000) + 604800000) % 604800000) AS week_ms, series,
    (input > 0) + 2 * (cache_read > 0) + 4 * (max(cache_write_5m, cache_write) > 0)
        + 8 * (cache_write_1h > 0) + 16 * (output > reasoning) + 32 * (min(reasoning, output) > 0)
        + 64 * (reasoning > output) AS day_kinds,
    min(9223372036854775807, sum(calls >> 32) * 4294967296 + sum(calls & 4294967295)) AS calls,
    min(9223372036854775807, sum(errors >> 32) * 4294967296 + sum(errors & 4294967295)) AS errors,
    min(9223372036854775807, sum(input >> 32) * 4294967296 + sum(input & 4294967295)) AS input,
    min(9223372036854775807, sum(cache_read >> 32) * 4294967296 + sum(cache_read & 4294967295)) AS cache_read,
    min(9223372036854775807, sum(cache_write_5m >> 32) * 4294967296 + sum(cache_write_5m & 4294967295)) AS cache_write_5m,
    min(9223372036854775807, sum(cache_write_1h >> 32) * 4294967296 + sum(cache_write_1h & 4294967295)) AS cache_write_1h,
    min(9223372036854775807, sum(cache_write >> 32) * 4294967296 + sum(cache_write & 4294967295)) AS cache_write,
    min(9223372036854775807, sum(output >> 32) * 4294967296 + sum(output & 4294967295)) AS output,
    min(9223372036854775807, sum(reasoning >> 32) * 4294967296 + sum(reasoning & 4294967295)) AS reasoning,
    min(9223372036854775807, sum(reported_cost_nanousd >> 32) * 4294967296 + sum(reported_cost_nanousd & 4294967295)) AS reported_cost_nanousd,
    min(first_ms) AS first_ms, max(last_ms) AS last_ms
FROM days GROUP BY device, week_ms, series, day_kinds;

INSERT INTO usage_week SELECT * FROM weeks_of_days;
