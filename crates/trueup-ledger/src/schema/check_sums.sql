-- One line of text for each sum that differs from the facts below it. Claims that count are facts of
-- their own; so is what retention has left of calls.
WITH facts AS (
    SELECT series, session, created_at AS first, created_at AS last, 1 AS calls,
        (error_type IS NOT NULL) AS errors, input, cache_read, cache_write_5m, cache_write_1h,
        cache_write, output, reasoning, coalesce(reported_cost_nanousd, 0) AS cost
    FROM llm_calls
    UNION ALL
    SELECT series, session, created_at, created_at, 1, 0, input, cache_read, cache_write_5m,
        cache_write_1h, cache_write, output, reasoning, coalesce(reported_cost_nanousd, 0)
    FROM session_totals WHERE NOT is_superseded
    UNION ALL
    SELECT series, session, first_ms, last_ms, calls, errors, input, cache_read, cache_write_5m,
        cache_write_1h, cache_write, output, reasoning, reported_cost_nanousd
    FROM usage_removed
),
by_width AS (
    SELECT 15 AS width, (first - ((first % 900000) + 900000) % 900000) AS start, * FROM facts
    UNION ALL
    SELECT 1440, (first - ((first % 86400000) + 86400000) % 86400000), * FROM facts
),
expected_time AS (
    SELECT width, start, series, sum(calls) AS calls, sum(errors) AS errors, sum(input) AS input,
        sum(cache_read) AS cache_read, sum(cache_write_5m) AS cache_write_5m,
        sum(cache_write_1h) AS cache_write_1h, sum(cache_write) AS cache_write,
        sum(output) AS output, sum(reasoning) AS reasoning, sum(cost) AS cost
    FROM by_width GROUP BY width, start, series
),
stored_time AS (
    SELECT width_minutes, start_ms, series, calls, errors, input, cache_read, cache_write_5m,
        cache_write_1h, cache_write, output, reasoning, reported_cost_nanousd
    FROM usage_time
),
expected_device AS (
    SELECT n.device, width, start, series, sum(calls), sum(errors), sum(input), sum(cache_read),
        sum(cache_write_5m), sum(cache_write_1h), sum(cache_write), sum(output), sum(reasoning),
        sum(cost)
    FROM by_width JOIN sessions n ON n.id = by_width.session WHERE n.device <> 0
    GROUP BY n.device, width, start, series
),
stored_device AS (
    SELECT device, width_minutes, start_ms, series, calls, errors, input, cache_read, cache_write_5m,
        cache_write_1h, cache_write, output, reasoning, reported_cost_nanousd
    FROM usage_device
),
expected_session AS (
    SELECT session, series, sum(calls), sum(errors), sum(input), sum(cache_read), sum(cache_write_5m),
        sum(cache_write_1h), sum(cache_write), sum(output), sum(reasoning), sum(cost),
        min(first), max(last)
    FROM facts GROUP BY session, series
),
stored_session AS (
    SELECT session, series, calls, errors, input, cache_read, cache_write_5m, cache_write_1h,
        cache_write, output, reasoning, reported_cost_nanousd, first_ms, last_ms
    FROM usage_session
)
SELECT 'missing sum: ' || width || ' min at ' || start || ' of series ' || series
    FROM (SELECT * FROM expected_time EXCEPT SELECT * FROM stored_time)
UNION ALL
SELECT 'wrong sum: ' || width_minutes || ' min at ' || start_ms || ' of series ' || series
    FROM (SELECT * FROM stored_time EXCEPT SELECT * FROM expected_time)
UNION ALL
SELECT 'missing sum: ' || width || ' min at ' || start || ' of series ' || series || ' of device ' || device
    FROM (SELECT * FROM expected_device EXCEPT SELECT * FROM stored_device)
UNION ALL
SELECT 'wrong sum: ' || width_minutes || ' min at ' || start_ms || ' of series ' || series || ' of device ' || device
    FROM (SELECT * FROM stored_device EXCEPT SELECT * FROM expected_device)
UNION ALL
SELECT 'missing sum: session ' || session || ' of series ' || series
    FROM (SELECT * FROM expected_session EXCEPT SELECT * FROM stored_session)
UNION ALL
SELECT 'wrong sum: session ' || session || ' of series ' || series
    FROM (SELECT * FROM stored_session EXCEPT SELECT * FROM expected_session)
LIMIT 100;
