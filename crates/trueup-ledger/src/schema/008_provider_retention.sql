-- Which days a page tells of; null for pages from before this version.
ALTER TABLE provider_pages ADD COLUMN from_ms INTEGER;
ALTER TABLE provider_pages ADD COLUMN until_ms INTEGER;

-- Each day of a family: since when it has not changed, where it is settled, and when it was last
-- compared with the account. What was compared after that is no longer needed in detail.
CREATE VIEW provider_days AS
SELECT b.connection, b.family, b.start_ms, b.state,
    iif(b.settled_at IS NULL, NULL, max(b.settled_at, coalesce((
        SELECT max(w.last_changed_at) FROM provider_rows w
        WHERE w.connection = b.connection AND w.family = b.family AND w.width_minutes = 1440
            AND w.start_ms = b.start_ms), 0))) AS still_since,
    (SELECT max(r.at) FROM reconciliations r
        WHERE r.from_ms <= b.start_ms AND r.until_ms >= b.start_ms + 86400000
            AND NOT r.is_partial AND r.verdict <> 'unreadable'
            AND (r.provider IS NULL OR r.provider = c.provider)
            AND (r.connection IS NULL OR r.connection = c.name)) AS compared_at
FROM provider_buckets b
JOIN provider_connections c ON c.id = b.connection
WHERE b.width_minutes = 1440;
