"""The client against the real `trueup serve`, whose program TRUEUP_BIN names."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Optional

SRC = Path(__file__).resolve().parent.parent / "src"
sys.path.insert(0, str(SRC))

from trueup_telemetry import TelemetryClient  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
PROGRAM = os.environ.get("TRUEUP_BIN", str(TARGET / "debug" / "trueup"))

MANIFEST = """
product = "observer"
env_prefix = "OBSERVER"
data_dir = "~/.observer"
default = "local"
base = ["version"]

[fields]
version = { semver = true }
tokens = { u64 = true }
outcome = { enum = ["ok", "error"] }

[[rollup]]
event = "turns"
grain = "session"
sum = ["tokens"]
enum = ["outcome"]
max_age = "1h"
max_records = 1000000

[[lifecycle]]
event = "started"
max_per_day = 1

[errors]
level = "template"
rollup = "turns"

[budget]
events_per_day = 20
hard_cap = 40
exceptions_per_day = 2
"""


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
        return port


class Daemon:
    """A running daemon, in a home of its own."""

    def __init__(self, home: Path, port: int = 0, **variables: str) -> None:
        environment = {
            "HOME": str(home),
            "TRUEUP_LEDGER": str(home / "ledger.db"),
            "TRUEUP_PORT": str(port),
            "TRUEUP_METRICS_INTERVAL": "off",
            "TRUEUP_TELEMETRY_MANIFESTS": str(home / "observer.toml"),
            **variables,
        }
        (home / "observer.toml").write_text(MANIFEST)
        self.process = subprocess.Popen(
            [PROGRAM, "serve"], env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        first = json.loads(self.process.stderr.readline())
        assert first["message"] == "listening", first
        self.address = "http://" + first["addr"]
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


class ClientTest(unittest.TestCase):
    def setUp(self) -> None:
        os.environ.pop("DO_NOT_TRACK", None)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)
        self.daemon: Optional[Daemon] = None
        self.addCleanup(self.kill)

    def kill(self) -> None:
        if self.daemon is not None:
            self.daemon.process.kill()
            self.daemon.process.wait()
            assert self.daemon.process.stderr is not None

    def start(self, port: int = 0, **variables: str) -> Daemon:
        self.daemon = Daemon(self.home, port, **variables)
        return self.daemon

    def bodies(self) -> list[Any]:
        """What was sealed."""
        outbox = self.home / ".observer" / "telemetry" / "outbox"
        return [json.loads(path.read_text()) for path in sorted(outbox.glob("*.body"))]

    def turns(self) -> list[Any]:
        return [body["properties"] for body in self.bodies() if body["event"] == "turns"]

    def test_what_is_told_is_sealed(self) -> None:
        daemon = self.start()
        client = TelemetryClient("observer", daemon.address, base={"version": "1.2.3"})
        for _ in range(500):
            client.record("turns", key="s1", props={"tokens": 2, "outcome": "ok"})
        client.lifecycle("started")
        try:
            raise ValueError("cannot open /home/alice/plan.md")
        except ValueError as error:
            client.error(error)
        client.end("s1")
        client.record("turns", key=7, props={"tokens": 1})
        self.assertTrue(client.flush(5.0), client.problem)
        self.assertEqual((client.dropped, client.problem), (0, None))
        status = client.status()
        self.assertEqual(status and status["mode"], "local")
        client.close()
        self.assertEqual(daemon.stop(), 0)
        first, second = sorted(self.turns(), key=lambda told: -int(told["count"]))
        self.assertEqual((first["count"], first["total_tokens"]), (500, 1000))
        self.assertEqual((first["outcomes_ok"], first["rollup_reason"]), (500, "session_end"))
        self.assertEqual((second["total_tokens"], second["rollup_reason"]), (1, "worker_shutdown"))
        self.assertEqual((first["version"], second["version"]), ("1.2.3", "1.2.3"))
        events = [body["event"] for body in self.bodies()]
        self.assertEqual(sorted(events), ["$exception", "started", "turns", "turns"])
        exception = next(body for body in self.bodies() if body["event"] == "$exception")
        told = exception["properties"]["$exception_list"][0]
        self.assertEqual(told["type"], "ValueError")
        self.assertNotIn("alice", json.dumps(exception))
        self.assertIn("test_what_is_told_is_sealed", json.dumps(told["stacktrace"]))

    def test_the_end_of_a_process_hands_over_what_waits(self) -> None:
        daemon = self.start()
        script = (
            "from trueup_telemetry import TelemetryClient\n"
            f"client = TelemetryClient('observer', {daemon.address!r})\n"
            "for _ in range(300): client.record('turns', key='s', props={'tokens': 1})\n"
            "client.end('s')\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(SRC)}
        subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=20)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual([told["total_tokens"] for told in self.turns()], [300])

    def test_a_daemon_that_comes_later_gets_what_waited(self) -> None:
        port = free_port()
        client = TelemetryClient("observer", f"127.0.0.1:{port}")
        for _ in range(10):
            client.record("turns", key="s1", props={"tokens": 1})
        start = time.monotonic()
        self.assertFalse(client.flush(0.5))
        self.assertLess(time.monotonic() - start, 1.0)
        daemon = self.start(port)
        client.end("s1")
        self.assertTrue(client.flush(5.0), client.problem)
        self.assertEqual(client.dropped, 0)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual([told["total_tokens"] for told in self.turns()], [10])

    def test_a_daemon_that_began_anew_gets_all_with_base_fields(self) -> None:
        daemon = self.start()
        port = int(daemon.address.rsplit(":", 1)[1])
        client = TelemetryClient("observer", daemon.address, base={"version": "1.2.3"})
        client.record("turns", key="s1", props={"tokens": 1})
        client.end("s1")
        self.assertTrue(client.flush(5.0), client.problem)
        self.assertEqual(daemon.stop(), 0)
        daemon = self.start(port)
        client.record("turns", key="s2", props={"tokens": 2})
        client.end("s2")
        self.assertTrue(client.flush(5.0), client.problem)
        self.assertEqual((client.dropped, client.problem), (0, None))
        self.assertEqual(daemon.stop(), 0)
        told = sorted((told["total_tokens"], told.get("version")) for told in self.turns())
        self.assertEqual(told, [(1, "1.2.3"), (2, "1.2.3")])

    def test_a_cut_text_and_one_that_is_none_refuse_nothing(self) -> None:
        daemon = self.start()
        client = TelemetryClient("observer", daemon.address)
        texts = {"CutError": "x" * 1023 + "\U0001f600", "HalfError": "a\ud83d"}
        for kind, text in texts.items():
            client.record("turns", key="s1", props={"tokens": 1, "outcome": text})
            client.error(kind, "y" * 7999 + text, stack=text + "z" * 7999)
        client.end("s1")
        self.assertTrue(client.flush(5.0), client.problem)
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual([told["count"] for told in self.turns()], [2])
        told = json.dumps(self.bodies())
        self.assertTrue(all(kind in told for kind in texts), told)

    def test_a_redirect_is_not_followed(self) -> None:
        asked: list[str] = []

        class Elsewhere(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                asked.append(self.path)
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(307)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Elsewhere)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = TelemetryClient("observer", f"127.0.0.1:{server.server_port}", base={"version": "1.2.3"})
        client.record("turns", key="s1")
        self.assertFalse(client.flush(5.0))
        self.assertIsNone(client.status())
        self.assertNotIn("/elsewhere", asked)
        self.assertIn("/v1/telemetry/observer/records", asked)
        self.assertIn("307", client.problem or "")

    def test_nothing_waits_for_a_daemon_that_is_not_there(self) -> None:
        client = TelemetryClient("observer", f"http://127.0.0.1:{free_port()}")
        start = time.monotonic()
        for _ in range(10_000):
            client.record("turns", key="s1", props={"tokens": 1})
        self.assertLess(time.monotonic() - start, 2.0)
        self.assertGreaterEqual(client.dropped, 8_000)
        self.assertIsNone(client.status())
        start = time.monotonic()
        client.close()
        self.assertLess(time.monotonic() - start, 0.7)
        self.assertTrue(client.is_off)

    def test_nothing_waits_for_a_daemon_that_never_answers(self) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            script = (
                "from trueup_telemetry import TelemetryClient\n"
                f"client = TelemetryClient('observer', '127.0.0.1:{silent.getsockname()[1]}')\n"
                "client.record('turns', key='s')\n"
            )
            environment = {**os.environ, "PYTHONPATH": str(SRC)}
            start = time.monotonic()
            subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=20)
            self.assertLess(time.monotonic() - start, 1.5)

    def test_who_does_not_want_to_be_tracked_is_not(self) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            nobody.listen()
            nobody.settimeout(0.3)
            os.environ["DO_NOT_TRACK"] = "1"
            try:
                client = TelemetryClient("observer", f"127.0.0.1:{nobody.getsockname()[1]}")
                client.record("turns", key="s1")
                client.error(ValueError("x"))
                self.assertFalse(client.flush(0.1))
                self.assertTrue(client.is_off)
                self.assertIsNone(client.status())
                with self.assertRaises(OSError):
                    nobody.accept()
            finally:
                del os.environ["DO_NOT_TRACK"]

    def test_a_product_that_nobody_knows_is_no_error(self) -> None:
        daemon = self.start()
        client = TelemetryClient("nobody", daemon.address)
        client.record("turns", key="s1")
        self.assertFalse(client.flush(5.0))
        self.assertIn("telemetry_manifests", client.problem or "")
        self.assertEqual(client.dropped, 2)

    def test_a_token_is_shown(self) -> None:
        daemon = self.start(TRUEUP_TOKEN="s3cret")
        without = TelemetryClient("observer", daemon.address)
        without.record("turns", key="s1")
        self.assertFalse(without.flush(5.0))
        client = TelemetryClient("observer", daemon.address, token="s3cret")
        client.record("turns", key="s1")
        self.assertTrue(client.flush(5.0), client.problem)

    def test_it_never_raises(self) -> None:
        class Hostile:
            def __str__(self) -> str:
                raise RuntimeError("no")

        for address in ("ftp://x", "http://[", "http://x:99999", "", None, "nonsense://"):
            TelemetryClient("p", address).close(0.0)
        daemon = self.start()
        client = TelemetryClient("observer", daemon.address)
        hostile: Any = Hostile()
        client.record(hostile, key=hostile, props=hostile)
        client.record("turns", key="s1", props={"tokens": hostile, "outcome": float("nan")})
        client.record("turns", key="s1", props={"x" * 10_000: "y" * 1_000_000, "\ud800": "\ud800"})
        client.record("turns", key="s1", props={"tokens": 1 << 5_000})
        client.lifecycle(hostile)
        client.end(hostile)
        client.error(hostile)
        client.error("E", "m" * 1_000_000, stack="s" * 1_000_000)
        self.assertTrue(client.flush(5.0), client.problem)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork")
    def test_a_forked_child_tells_for_itself(self) -> None:
        daemon = self.start()
        client = TelemetryClient("observer", daemon.address)
        client.record("turns", key="s1", props={"tokens": 1})
        self.assertTrue(client.flush(5.0))
        child = os.fork()
        if child == 0:
            client.record("turns", key="s1", props={"tokens": 10})
            os._exit(0 if client.flush(5.0) else 1)
        _, status = os.waitpid(child, 0)
        self.assertEqual(status, 0)
        client.end("s1")
        self.assertTrue(client.flush(5.0))
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(sum(told["total_tokens"] for told in self.turns()), 11)


if __name__ == "__main__":
    unittest.main()
