"""Compares what trueup and the official SDKs know with the stand-in's ledger of truth.

compare.py SIM KEY LEDGER PULLED: the stand-in's address, its key, trueup's ledger after a pull of 31
days, and what that pull printed. Exits with 1 where anything differs.
"""

import inspect
import json
import re
import sqlite3
import sys
import time
import typing
import urllib.parse
import urllib.request
from decimal import Decimal, getcontext

import anthropic
import openai

DAY = 86_400
DAYS = 31

# Exact sums of the longest amounts.
getcontext().prec = 100

sim, key, ledger, pulled = sys.argv[1:]
today = int(time.time()) // DAY * DAY
first = today - (DAYS - 1) * DAY
wrong = []


def check(what, found, expected):
    print(f"{'ok   ' if found == expected else 'WRONG'} {what}: {found}")
    if found != expected:
        print(f"      expected {expected}")
        wrong.append(what)


def fetch(path):
    with urllib.request.urlopen(sim + path) as answer:
        return json.load(answer)


def truth(since, until):
    return fetch(f"/_truth?from={since}&until={until}")


def rows(sql):
    return sqlite3.connect(ledger).execute(sql).fetchall()


def date(seconds):
    return time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(seconds))


whole, past = truth(first, today + DAY), truth(first, today)

# --- trueup, through Prism -----------------------------------------------------------------------

with open(pulled) as file:
    summary = json.load(file)
# The description that Prism checks by is older than the SDK: it does not know `decisions`.
check("trueup: nothing failed", summary["failures"], [])
check("trueup: issues", sorted(summary["issues"]), ["not_offered"])

tokens = "sum(in_uncached), sum(in_cache_read), sum(in_cache_write), sum(out), sum(requests), count(*)"
names = ["uncached", "cached", "written", "output", "requests", "rows"]
for connection in ["openai", "direct"]:
    [counts] = rows(
        f"SELECT {tokens} FROM billed WHERE connection = '{connection}' AND family = 'usage/completions'"
    )
    for name, found in zip(names, counts):
        check(f"trueup: {connection} {name}", found, whole[name])


def cost(connection, family):
    sql = f"SELECT amount FROM billed WHERE connection = '{connection}' AND family = '{family}'"
    return sum((Decimal(amount) for (amount,) in rows(sql)), Decimal(0))


check("trueup: direct cost", cost("direct", "costs"), Decimal(past["cost"]))
off = abs(cost("openai", "costs") - Decimal(past["cost"]))
check("trueup: openai cost, but for the floats of Prism", off < Decimal("0.000001"), True)
check("trueup: anthropic cost", cost("anthropic", "costs"), Decimal(past["cost"]))
check("trueup: anthropic analytics cost", cost("anthropic", "analytics/cost"), Decimal(past["cost"]))
[(output,)] = rows("SELECT sum(out) FROM billed WHERE family = 'usage/messages'")
check("trueup: anthropic output", output, whole["output"])

# --- the SDK of OpenAI ---------------------------------------------------------------------------

client = openai.OpenAI(admin_api_key=key, api_key="unused", base_url=f"{sim}/v1")
usage = client.admin.organization.usage


def buckets(method, **asked):
    page = None
    while True:
        more = {"page": page} if page else {}
        answer = method(start_time=first, end_time=today + DAY, limit=31, **asked, **more)
        yield from answer.data
        if not answer.has_more:
            return
        page = answer.next_page


by = ["model", "project_id"]
told = [row for bucket in buckets(usage.completions, group_by=by) for row in bucket.results]
kinds = {type(row).__name__ for row in told}
check("openai SDK: rows are of completions", kinds, {"DataResultOrganizationUsageCompletionsResult"})
check("openai SDK: output", sum(row.output_tokens for row in told), whole["output"])
check("openai SDK: uncached", sum(row.input_uncached_tokens for row in told), whole["uncached"])
check("openai SDK: requests", sum(row.num_model_requests for row in told), whole["requests"])
listed = [bucket.start_time for bucket in buckets(usage.costs, group_by=["line_item"])]
check("openai SDK: buckets of costs", listed, [first + at * DAY for at in range(DAYS)])


def known_dims(method):
    """What the SDK's types allow in `group_by`."""
    hint = typing.get_type_hints(method)["group_by"]
    return set(re.findall(r"'([a-z_]+)'", str(hint)))


asked = {}
for target in fetch("/_requests"):
    path, _, query = target.partition("?")
    family = re.fullmatch(r"/organization/(?:usage/)?(\w+)", path)
    if family and family[1] != "projects":
        dims = urllib.parse.parse_qs(query).get("group_by[]", [])
        asked.setdefault(family[1], set()).update(dims)
families = [name for name, _ in inspect.getmembers(usage, inspect.ismethod) if not name.startswith("_")]
check("trueup asked every family of the SDK", sorted(asked), sorted(families))
for family, dims in sorted(asked.items()):
    check(f"openai SDK knows what {family} is told apart by", dims - known_dims(getattr(usage, family)), set())

# --- the SDK of Anthropic ------------------------------------------------------------------------

client = anthropic.Anthropic(api_key=key, base_url=sim)
analytics = client.beta.organization.analytics
asked = {"starting_at": date(first), "ending_at": date(today), "time_bucket_width": "1d", "order_by": "time"}
told = list(analytics.usage.list(group_by=["model", "api_key_id"], limit=1000, **asked))
check("anthropic SDK: output", sum(row.usage.output_tokens for row in told), past["output"])
check("anthropic SDK: requests", sum(row.usage.requests for row in told), past["requests"])
told = list(analytics.cost.list(group_by=["model"], limit=1000, **asked))
cents = sum((Decimal(row.cost.amount) for row in told), Decimal(0))
check("anthropic SDK: cost", cents / 100, Decimal(past["cost"]))

print(f"{len(wrong)} wrong" if wrong else "all as it is told")
sys.exit(bool(wrong))
