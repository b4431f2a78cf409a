-- What somebody was told of, so that nothing is told twice, and what is still to be delivered.
CREATE TABLE alerts (
    class TEXT NOT NULL, -- budget or anomaly
    cell TEXT NOT NULL, -- which budget, and which period or day of it
    level INTEGER NOT NULL, -- the percentage that was reached and is held; 0: it has fallen again
    since INTEGER NOT NULL, -- when that was seen
    told_id TEXT, -- what the alert is known by; null: it has fallen to this level, and nobody was told
    PRIMARY KEY (class, cell)
) STRICT, WITHOUT ROWID;

CREATE TABLE alert_deliveries (
    id INTEGER PRIMARY KEY,
    sink TEXT NOT NULL, -- log, file or webhook
    alert_id TEXT NOT NULL, -- the same for each sink, and each time
    body TEXT NOT NULL, -- one line of JSON
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT -- why the last attempt failed
) STRICT;
