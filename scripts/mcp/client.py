"""Asks `trueup mcp` with the protocol's own SDK: client.py TRUEUP, in a home folder with sessions."""

import asyncio
import json
import os
import subprocess
import sys

import jsonschema
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp.client.stdio import stdio_client

TRUEUP = sys.argv[1]
ENVIRONMENT = {"HOME": os.environ["HOME"], "PATH": os.environ["PATH"], "TZ": "UTC"}

# Each tool, what it is asked, and the command line that says the same.
SAME = [
    ("query_usage", {}, ["report", "--json"]),
    ("query_usage", {"by": ["model"], "breakdown": True}, ["report", "--by", "model", "--breakdown", "--json"]),
    ("query_usage", {"by": ["day", "agent"], "source": ["codex"], "cost": "computed", "limit": 500},
     ["report", "--by", "day,agent", "--source", "codex", "--cost", "computed", "--json"]),
    ("query_usage", {"by": ["week"], "tz": "America/New_York", "since": "2026-01-01"},
     ["report", "--by", "week", "--tz", "America/New_York", "--since", "2026-01-01", "--json"]),
    ("list_sessions", {"last": 0}, ["sessions", "--last", "0", "--json"]),
    ("query_completeness", {"by": ["month"]}, ["report", "--by", "month", "--completeness", "--json"]),
]
# What is refused, and what the refusal must name.
WRONG = [
    ("query_usage", {"since": "yesterday"}, "since"),
    ("query_usage", {"by": ["colour"]}, "colour"),
    ("query_usage", {"source": ["nobody"]}, "nobody"),
    ("query_usage", {"tz": "Mars/Olympus"}, "Mars/Olympus"),
    ("query_usage", {"no_ledger": True}, "no_ledger"),
    ("query_usage", {"ledger": "/etc/passwd"}, "ledger"),
    ("query_cost", {"out": "/tmp/x"}, "out"),
    ("query_usage", {"limit": 0}, "limit"),
    ("query_usage", {"limit": "many"}, "limit"),
    ("list_sessions", {"last": -1}, "-1"),
    ("query_cost", {"from": "2026-02-02", "to": "2026-02-01"}, "2026-02-01"),
    ("check_parity", {}, "pull"),
    ("list_budgets", {}, "budget"),
]


def printed(arguments):
    done = subprocess.run([TRUEUP, *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def whole(answer):
    """An answer without what says which part it is, which must be all."""
    answer = dict(answer)
    assert answer.pop("next_offset") is None, answer
    lists = [name for name in answer if name.endswith("_total")]
    assert [len(answer[name.removesuffix("_total")]) for name in lists] == [answer.pop(name) for name in lists]
    return answer


async def ask(client, schemas, name, arguments):
    result = await client.call_tool(name, arguments)
    text = result.content[0].text
    if result.is_error:
        return text
    jsonschema.validate(arguments, schemas[name])
    assert json.loads(text) == result.structured_content
    return result.structured_content


async def prove(mode):
    server = StdioServerParameters(command=TRUEUP, args=["mcp"], env=ENVIRONMENT)
    async with Client(stdio_client(server), mode=mode) as client:
        tools = (await client.list_tools()).tools
        schemas = {tool.name: tool.input_schema for tool in tools}
        for tool in tools:
            jsonschema.Draft202012Validator.check_schema(tool.input_schema)
            assert tool.description and tool.annotations.read_only_hint, tool
        for name, arguments, command in SAME:
            told = whole(await ask(client, schemas, name, arguments))
            assert told == printed(command), (name, arguments)
            assert told["rows"], f"{name} {arguments}: nothing was compared"
        for name, arguments, word in WRONG:
            refusal = await ask(client, schemas, name, arguments)
            assert isinstance(refusal, str) and word in refusal, (name, arguments, refusal)

        # In parts: together they are the whole.
        parts, offset = [], 0
        while offset is not None:
            part = await ask(client, schemas, "query_usage", {"by": ["session"], "limit": 1, "offset": offset})
            assert len(part["rows"]) == 1
            parts += part["rows"]
            offset = part["next_offset"]
        assert parts == printed(["report", "--by", "session", "--json"])["rows"] and len(parts) > 2

        # What usage cost, against the sum of the report, and what doctor finds.
        cost = await ask(client, schemas, "query_cost", {"by": ["provider", "model"], "cost": "computed"})
        assert {total["basis"] for total in cost["totals"]} <= {"billed", "estimate", "unpriced"}
        gaps = await ask(client, schemas, "find_gaps", {})
        doctor = subprocess.run([TRUEUP, "doctor", "--json"], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        names = lambda report: [(check["id"], check["status"]) for check in report["checks"]]
        assert names(whole(gaps)) == names(json.loads(doctor.stdout))
        print(f"mcp, Python SDK, {mode}: {client.protocol_version}, {len(tools)} tools, {len(SAME)} answers as printed, {len(WRONG)} refusals")


for mode in ("auto", "legacy", "2026-07-28"):
    asyncio.run(prove(mode))
