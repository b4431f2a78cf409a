-- Calls that a file holds, by what telemetry may tell of them, too: 64 bits of their twin keys. A number
-- alone, because there is one for each call of a file; it stays for good.
CREATE TABLE covered_calls (twin INTEGER NOT NULL PRIMARY KEY) STRICT;

-- What agents told of their sessions by telemetry, beside what their files hold: one row a session.
CREATE TABLE told_sessions (
    session INTEGER NOT NULL PRIMARY KEY REFERENCES sessions (id),
    calls INTEGER NOT NULL,             -- told, each once
    matched INTEGER NOT NULL            -- those of them that a file holds, too: they count as the file has them
) STRICT;
