-- One line of text for each statement whose rows are not those that it says it has.
SELECT 'wrong count: statement ' || s.id || ' has not ' || s.rows || ' rows' FROM statements s
    WHERE s.rows <> (SELECT count(*) FROM statement_rows r
        JOIN statement_accounts a ON a.id = r.account WHERE a.statement = s.id)
UNION ALL
SELECT 'wrong count: ' || a.provider || ' of statement ' || a.statement || ' has not ' || a.rows
    || ' rows from ' || coalesce(a.from_ms, '?') || ' to ' || coalesce(a.until_ms, '?') FROM statement_accounts a
    WHERE a.rows <> (SELECT count(*) FROM statement_rows r WHERE r.account = a.id)
    OR EXISTS (SELECT 1 FROM statement_rows r WHERE r.account = a.id
        AND (r.start_ms < a.from_ms OR r.start_ms >= a.until_ms))
LIMIT 100;
