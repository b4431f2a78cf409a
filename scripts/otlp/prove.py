"""Runs clients that are not ours against one `trueup serve`: prove.py TRUEUP PYTHON NODE_FOLDER|none

What each of them used must be in the report, call by call and token by token, and nothing else.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

TRUEUP, PYTHON, NODE = sys.argv[1:]
HERE = pathlib.Path(__file__).parent
COUNTS = ["input", "cache_read", "output", "reasoning"]


def main():
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "PATH": os.environ["PATH"], "TZ": "UTC", "TRUEUP_LEDGER": f"{home}/trueup.db",
                       "TRUEUP_PORT": "0", "TRUEUP_METRICS_INTERVAL": "off", "TRUEUP_OTLP_HTTP_PORT": "off",
                       "TRUEUP_OTLP_GRPC_PORT": "off"}
        log = open(f"{home}/log", "w")
        daemon = subprocess.Popen([TRUEUP, "serve"], env=environment, stderr=log)
        try:
            prove(f"http://{address(home)}", environment)
        finally:
            daemon.terminate()
            assert daemon.wait(20) == 0, "the daemon did not end well"
        database = pathlib.Path(f"{home}/trueup.db").read_bytes()
        assert b"SECRET" not in database, "a prompt was stored"


def address(home):
    for _ in range(100):
        found = re.search(r'"addr":"([^"]+)"', pathlib.Path(f"{home}/log").read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise SystemExit("the daemon does not listen")


def prove(endpoint, environment):
    expected = {}
    runs = [[PYTHON, HERE / "client.py", instrumentation, protocol, endpoint]
            for instrumentation in ["openai-v2", "openinference", "traceloop", "both"] for protocol in ["http", "gzip", "grpc"]]
    if NODE != "none":
        runs += [["node", f"{NODE}/client.mjs", protocol, endpoint] for protocol in ["json", "proto", "grpc"]]
    for run in runs:
        done = subprocess.run(run, env={**os.environ, "NO_COLOR": "1"}, stdout=subprocess.PIPE, check=True)
        used = json.loads(done.stdout)
        known = report(environment)
        for model, row in used.items():
            assert model not in expected, model
            found = known.get(model)
            assert found == row, f"{model}: {found} is in the ledger, and {row} was used"
        expected.update(used)
        print(*[pathlib.Path(part).name for part in run[1:-1]], "ok:", sum(row["calls"] for row in used.values()), "calls")
    known = report(environment)
    assert known == expected, f"also in the ledger: {set(known) - set(expected)}"


def report(environment):
    arguments = [TRUEUP, "report", "--by", "model", "--source", "otlp", "--json"]
    report = json.loads(subprocess.run(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True).stdout)
    return {row["model"]: counts(row["exact"]) for row in report["rows"]}


def counts(row):
    return {"calls": row["calls"], "errors": row["errors"], **{name: row[name] for name in COUNTS}}


main()
