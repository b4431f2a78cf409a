-- Calls that clients post are found by their time alone. Their entries in the index of sessions, each at
-- another place, were two fifths of all that was written for them; and who asks for them by session,
-- which is rare, asks for those of a stretch of time.
ALTER TABLE sessions ADD COLUMN has_posted INTEGER NOT NULL DEFAULT 0; -- clients have posted calls of it

UPDATE sessions SET has_posted = 1
WHERE id IN (SELECT session FROM llm_calls WHERE client_trace_id IS NOT NULL);

DROP INDEX llm_traces_session;

CREATE INDEX llm_calls_session ON llm_calls (session, id) WHERE client_trace_id IS NULL;
