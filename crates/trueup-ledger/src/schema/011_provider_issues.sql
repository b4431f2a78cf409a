-- Which days an issue is about: only a whole pull of these days without it removes it. Null: of asking
-- the family at all; a whole pull of any of its days removes it.
ALTER TABLE provider_issues ADD COLUMN from_ms INTEGER;
ALTER TABLE provider_issues ADD COLUMN until_ms INTEGER;
-- When a bucket that did not come was last asked for.
ALTER TABLE provider_buckets ADD COLUMN asked_at INTEGER;
