"""A check of ours beside those of schemathesis."""

import re

import schemathesis

WORDS = re.compile(r"(?i)\b(select .* from|insert into|sqlite|rusqlite|syntax error|no such (table|column))\b")


@schemathesis.check
def tells_no_sql(ctx, response, case):
    if response.status_code >= 400 and WORDS.search(response.text or ""):
        raise AssertionError(f"an error tells of the database: {response.text}")
