"""Runs clients that are not ours against one `trueup serve`: prove.py TRUEUP PYTHON NODE_FOLDER|none

What each of them used must be in the report, call by call and token by token, and nothing else; and in the
metrics that are sent to a collector, as OpenTelemetry's own protocol buffers read them.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

TRUEUP, PYTHON, NODE = sys.argv[1:]
HERE = pathlib.Path(__file__).parent
COUNTS = ["input", "cache_read", "output", "reasoning"]


class Collector(BaseHTTPRequestHandler):
    """Keeps the last metrics that came."""

    last = None

    def do_POST(self):
        Collector.last = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "PATH": os.environ["PATH"], "TZ": "UTC", "TRUEUP_LEDGER": f"{home}/trueup.db",
                       "TRUEUP_PORT": "0", "TRUEUP_METRICS_INTERVAL": "off", "TRUEUP_OTLP_HTTP_PORT": "off",
                       "TRUEUP_OTLP_GRPC_PORT": "off", "TRUEUP_OTLP_METRICS_INTERVAL": "500ms",
                       "TRUEUP_OTLP_METRICS_ENDPOINT": f"http://127.0.0.1:{collector.server_port}"}
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


    Collector.last = None
    while Collector.last is None:
        time.sleep(0.1)
    told = tokens_told(Collector.last)
    assert told == {model: {"input": row["input"] + row["cache_read"], "output": row["output"], "calls": row["calls"]}
                    for model, row in expected.items()}, told
    print("metrics out ok:", len(told), "models")


def tokens_told(body):
    """Tokens and calls by model, out of the histogram of the conventions."""
    message = json_format.Parse(body, ExportMetricsServiceRequest())
    metrics = {metric.name: metric for metric in message.resource_metrics[0].scope_metrics[0].metrics}
    assert set(metrics) == {"gen_ai.client.token.usage", "gen_ai.client.operation.duration", "trueup.cost"}, metrics
    told = {}
    for point in metrics["gen_ai.client.token.usage"].histogram.data_points:
        assert list(point.bucket_counts) == [point.count] and not point.explicit_bounds
        of = {attribute.key: attribute.value.string_value for attribute in point.attributes}
        row = told.setdefault(of["gen_ai.response.model"], {"calls": point.count})
        row[of["gen_ai.token.type"]] = int(point.sum)
    for point in metrics["gen_ai.client.operation.duration"].histogram.data_points:
        assert sum(point.bucket_counts) == point.count and len(point.bucket_counts) == len(point.explicit_bounds) + 1
    return told


def report(environment):
    arguments = [TRUEUP, "report", "--by", "model", "--source", "otlp", "--json"]
    report = json.loads(subprocess.run(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True).stdout)
    return {row["model"]: counts(row["exact"]) for row in report["rows"]}


def counts(row):
    return {"calls": row["calls"], "errors": row["errors"], **{name: row[name] for name in COUNTS}}


main()
