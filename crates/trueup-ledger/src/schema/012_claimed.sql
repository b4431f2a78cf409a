-- Calls are found by session only where claims ask for them: an entry for each call in an index of
-- sessions, each at another place, cost a fifth of all that was written. Who else asks for the calls of
-- sessions knows when these were, and finds them by time.
ALTER TABLE llm_calls ADD COLUMN claimed_session INTEGER; -- its session, where its source makes claims

UPDATE llm_calls SET claimed_session = session
WHERE session IN (SELECT id FROM sessions WHERE source IN
    (SELECT n.source FROM session_totals t JOIN sessions n ON n.id = t.session));

DROP INDEX llm_calls_session;
ALTER TABLE sessions DROP COLUMN has_posted;

CREATE INDEX llm_calls_claimed ON llm_calls (claimed_session, id) WHERE claimed_session IS NOT NULL;

DROP VIEW llm_traces;
CREATE VIEW llm_traces AS
SELECT id, created_at, series, session, input, cache_read, cache_write_5m, cache_write_1h, cache_write,
    output, reasoning, reported_cost_nanousd, latency_ms, time_to_first_token_ms, error_type,
    client_trace_id, pushed_at,
    coalesce(client_trace_id, lower(
        substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-' || substr(hex(id), 13, 4) || '-'
        || substr(hex(id), 17, 4) || '-' || substr(hex(id), 21))) AS trace_id,
    input + cache_read + cache_write_5m + cache_write_1h + cache_write AS prompt_tokens,
    output AS completion_tokens,
    iif(error_type IS NULL, 'ok', 'error') AS status
FROM llm_calls;
