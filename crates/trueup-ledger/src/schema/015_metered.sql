-- What counters of telemetry tell that was used: evidence beside the account, in no sum of it. One row a
-- counter and UTC day; the oldest days go where there are too many.
CREATE TABLE metered (
    day INTEGER NOT NULL,               -- since 1970
    stream INTEGER NOT NULL,            -- 64 bits of who tells, of what, and since when where it adds up
    source TEXT NOT NULL,
    session TEXT NOT NULL,              -- empty where it does not tell
    parts INTEGER NOT NULL,             -- bits: of prompt, cache read, cache write, output, reasoning, cost
    began INTEGER,                      -- cumulative: the day on which it began at nothing; else null
    least INTEGER NOT NULL,             -- cumulative: the first value of the day
    most INTEGER NOT NULL,              -- cumulative: the last value of the day; else the day's sum
    seen BLOB NOT NULL,                 -- else: nanoseconds of the last points in it, so that each is added once
    PRIMARY KEY (day, stream)
) STRICT, WITHOUT ROWID;
