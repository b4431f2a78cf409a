-- One line of text for each sum of a week that differs from those of its days.
WITH stored AS (
    SELECT device, start_ms AS week_ms, series, kinds AS day_kinds, calls, errors, input, cache_read,
        cache_write_5m, cache_write_1h, cache_write, output, reasoning, reported_cost_nanousd
    FROM usage_week
),
expected AS (
    SELECT device, week_ms, series, day_kinds, calls, errors, input, cache_read, cache_write_5m,
        cache_write_1h, cache_write, output, reasoning, reported_cost_nanousd
    FROM weeks_of_days
)
SELECT 'missing sum: week at ' || week_ms || ' of series ' || series || ' of device ' || device
    FROM (SELECT * FROM expected EXCEPT SELECT * FROM stored)
UNION ALL
SELECT 'wrong sum: week at ' || week_ms || ' of series ' || series || ' of device ' || device
    FROM (SELECT * FROM stored EXCEPT SELECT * FROM expected)
LIMIT 100;
