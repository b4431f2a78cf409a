"""Compares requests of the sinks, as files, with what peers make and read of the same events."""

import gzip
import hashlib
import hmac
import json
import sys
import threading
import uuid
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import posthog
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from posthog import capture_v1

SECRET = b"a secret of both"
KEY = "phc_test"


def read(name):
    """A request: address, headers, bytes of the body."""
    head, body = (Path(sys.argv[1]) / f"{name}.http").read_bytes().split(b"\n\n", 1)
    first, *lines = head.decode().splitlines()
    return first.split(" ", 1)[1], dict(line.split(": ", 1) for line in lines), body


def equal(said, expected, what):
    if said != expected:
        sys.exit(f"{what}: {said!r}, expected {expected!r}")


class Recorder(BaseHTTPRequestHandler):
    """Keeps what the SDK sends."""

    kept = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.kept.append((self.path, headers, body))
        answer = b'{"status":1,"results":{}}'
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def of_sdk(events, is_gzip=False):
    """What the SDK sends of the same events, by v0 and by v1: path, headers, bytes as they come."""
    Recorder.kept = []
    server = HTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    for mode in ("v0", "v1"):
        client = posthog.Posthog(KEY, host=host, capture_mode=mode, gzip=is_gzip)
        for event in events:
            client.capture(
                event["event"],
                distinct_id=event["distinct_id"],
                properties=dict(event["properties"]),
                timestamp=datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00")),
                uuid=event["uuid"],
            )
        client.shutdown()
    server.shutdown()
    return Recorder.kept


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def check_v0(sdk):
    url, _, body = read("posthog-v0")
    path = "/batch/"
    equal(url, "https://us.i.posthog.com" + path, "v0: address")
    headers, theirs = sdk[path]
    ours = json.loads(body)
    equal(ours["api_key"], theirs["api_key"], "v0: key")
    unknown = set(ours) - set(theirs) - {"historical_migration", "sent_at"}
    equal(unknown, set(), "v0: keys of the body that the SDK does not have")
    equal(len(ours["batch"]), len(theirs["batch"]), "v0: events")
    for our, their in zip(ours["batch"], theirs["batch"]):
        equal(set(our) - set(their), set(), "v0: keys of an event that the SDK does not have")
        for key in ("uuid", "event", "distinct_id"):
            equal(our[key], their[key], f"v0: {key}")
        equal(instant(our["timestamp"]), instant(their["timestamp"]), "v0: timestamp")
        for key, value in our["properties"].items():
            if key not in ("$lib", "$lib_version"):
                equal(their["properties"].get(key), value, f"v0: property {key}")
    return ours["batch"]


def check_v1(sdk, batch):
    url, headers, body = read("posthog-v1")
    path = "/i/v1/analytics/events"
    equal(url, "https://us.i.posthog.com" + path, "v1: address")
    their_headers, theirs = sdk[path]
    ours = json.loads(body)
    connection = {"host", "connection", "content-length", "accept-encoding"}
    equal(set(their_headers) - set(headers) - connection, set(), "v1: headers that only the SDK has")
    equal(headers["authorization"], their_headers["authorization"], "v1: authorization")
    uuid.UUID(headers["posthog-request-id"])
    instant(ours["created_at"][:26] + "Z")
    equal(set(ours) - set(theirs) - {"historical_migration"}, set(), "v1: keys of the body")
    for our, event, their in zip(ours["batch"], batch, theirs["batch"], strict=True):
        made = capture_v1._to_v1_event(event)
        made["timestamp"] = our["timestamp"]
        equal(our, made, "v1: the event as the SDK makes it of ours of v0")
        equal(instant(our["timestamp"]), instant(their["timestamp"]), "v1: timestamp")
        equal(set(our), set(their), "v1: keys of an event")
        equal(our["options"], their["options"], "v1: options")


def check_gzip(packed, sdk, batch):
    """Packed bodies are asked for with the header of the SDK, and with nothing else that it has not."""
    _, headers, body = read("posthog-gzip")
    _, plain_headers, plain = read("posthog-v0")
    equal(body, plain, "gzip: what is stored and shown")
    encoding = {"content-encoding": "gzip"}
    equal(dict(headers.items() - plain_headers.items()), encoding, "gzip: headers")
    for path, their_headers, theirs in packed:
        equal(their_headers["content-encoding"], "gzip", "gzip: the SDK's own header")
        events = json.loads(gzip.decompress(theirs))["batch"]
        equal(len(events), len(batch), "gzip: the SDK's events")
        equal(path in sdk, True, "gzip: the SDK's address")


def value(any_value):
    which = any_value.WhichOneof("value")
    return getattr(any_value, which) if which else None


def check_otlp(batch):
    logs = json_format.Parse(read("otlp-logs")[2], ExportLogsServiceRequest())
    records = logs.resource_logs[0].scope_logs[0].log_records
    metrics = json_format.Parse(read("otlp-metrics")[2], ExportMetricsServiceRequest())
    scopes = metrics.resource_metrics[0].scope_metrics
    for record, scope, event in zip(records, scopes, batch, strict=True):
        equal(record.event_name, event["event"], "OTLP: name")
        nanos = round(instant(event["timestamp"]).timestamp() * 1000) * 1_000_000
        equal(record.time_unix_nano, nanos, "OTLP: time")
        attributes = {one.key: value(one.value) for one in record.attributes}
        equal(attributes["trueup.event.uuid"], event["uuid"], "OTLP: id")
        points = {}
        for metric in scope.metrics:
            data = metric.sum if metric.HasField("sum") else metric.gauge
            point = data.data_points[0]
            points[metric.name] = getattr(point, point.WhichOneof("value"))
        for key, known in event["properties"].items():
            if key.startswith("$") or isinstance(known, list):
                continue
            equal(attributes[key], known, f"OTLP: attribute {key}")
            if isinstance(known, (int, float)) and not isinstance(known, bool):
                equal(points[f"{event['event']}.{key}"], known, f"OTLP: metric {key}")


def check_webhook(batch):
    _, headers, body = read("webhook")
    signature = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    equal(headers["x-signature"], signature, "webhook: signature")
    equal(headers["idempotency-key"], hashlib.sha256(body).hexdigest(), "webhook: key")
    lines = [json.loads(line) for line in read("file")[2].splitlines()]
    for told, line, event in zip(json.loads(body)["events"], lines, batch, strict=True):
        equal(told["uuid"], event["uuid"], "webhook: id")
        equal({key: line[key] for key in told}, told, "file: an event")


def main():
    batch = json.loads(read("posthog-v0")[2])["batch"]
    sdk = {path: (headers, json.loads(body)) for path, headers, body in of_sdk(batch)}
    check_v1(sdk, check_v0(sdk))
    check_gzip(of_sdk(batch, is_gzip=True), sdk, batch)
    check_otlp(batch)
    check_webhook(batch)
    print(f"posthog {posthog.VERSION}, opentelemetry-proto and hashlib agree on {len(batch)} events")


main()
