"""Runs Claude Code, Codex and Gemini CLI beside one `trueup serve`: agents.py TRUEUP CLAUDE|none CODEX|none GEMINI|none

Each asks a stand-in for its model's API in a home of its own, and tells of it by OpenTelemetry as docs/otlp.md
says. The ledger must hold exactly what that has charged, once: while the daemon takes both as they come, where
telemetry comes first, and where files come first. What an agent exported is kept for the last two by a
collector that the daemon hands it on to.
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
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from models import Models

TRUEUP, *PROGRAMS = sys.argv[1:]
COUNTS = ["input", "cache_read", "cache_write", "output", "reasoning"]
SETTLED_S_MAX = 20


class Agent:
    """How one of them is set up and asked, and what it tells."""

    def __init__(self, program, home, models, endpoint):
        self.program, self.home, self.models, self.endpoint = program, home, models, endpoint
        self.work = home / "work"
        self.work.mkdir(parents=True)
        self.set_up()

    def set_up(self):
        pass

    def run(self, arguments, variables, fails=False):
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], "TZ": "UTC", "NO_COLOR": "1", **variables}
        done = subprocess.run([self.program, *arguments], env=environment, cwd=self.work, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90)
        said = done.stdout[-2000:]
        assert (done.returncode != 0) == fails, f"{self.source} ended with {done.returncode}: {said}"


class ClaudeCode(Agent):
    source = "claude-code"
    orders = ["say one", "tool two", "agent three", "bare four", "--continue say five"]
    protocols = ["http/protobuf", "http/json", "grpc"]
    errors = 1
    # Its telemetry does not say what of an answer was thinking.
    is_thinking_told = False

    def ask(self, order, fails=False):
        flags, prompt = split(order)
        protocol = self.protocols[len(self.models.calls) % len(self.protocols)]
        variables = {"ANTHROPIC_BASE_URL": self.models.url, "ANTHROPIC_API_KEY": "k", "DISABLE_AUTOUPDATER": "1",
                     "CLAUDE_CODE_ENABLE_TELEMETRY": "1", "OTEL_LOGS_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp",
                     "OTEL_TRACES_EXPORTER": "otlp", "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
                     "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint}
        self.run(["-p", *flags, prompt], variables, fails)


class Codex(Agent):
    source = "codex"
    orders = ["say one", "tool two", "resume --last say three"]
    # `codex exec` that fails ends before it has sent anything.
    errors = 0
    is_thinking_told = True

    def set_up(self):
        (self.home / ".codex").mkdir()
        # The line of docs/otlp.md, metrics and spans of the same calls, and a provider that is not OpenAI's.
        (self.home / ".codex/config.toml").write_text(f"""
            model = "gpt-5.5"
            model_provider = "mock"
            check_for_update_on_startup = false
            [model_providers.mock]
            name = "mock"
            base_url = "{self.models.url}/v1"
            env_key = "MOCK_KEY"
            wire_api = "responses"
            [analytics]
            enabled = false
            [otel]
            exporter = {{ otlp-http = {{ endpoint = "{self.endpoint}/v1/logs", protocol = "binary" }} }}
            metrics_exporter = {{ otlp-http = {{ endpoint = "{self.endpoint}/v1/metrics", protocol = "json" }} }}
            trace_exporter = {{ otlp-http = {{ endpoint = "{self.endpoint}/v1/traces", protocol = "binary" }} }}
        """)

    def ask(self, order, fails=False):
        flags, prompt = split(order)
        self.run(["exec", *flags, "--skip-git-repo-check", prompt], {"MOCK_KEY": "k"}, fails)


class GeminiCli(Agent):
    source = "gemini-cli"
    orders = ["say one", "tool two", "--resume latest say three"]
    errors = 1
    is_thinking_told = True

    def set_up(self):
        (self.home / ".gemini").mkdir()
        settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "model": {"name": "gemini-2.5-pro"},
                    "general": {"enableAutoUpdate": False}, "privacy": {"usageStatisticsEnabled": False}}
        (self.home / ".gemini/settings.json").write_text(json.dumps(settings))

    def ask(self, order, fails=False):
        flags, prompt = split(order)
        variables = {"GEMINI_API_KEY": "k", "GOOGLE_GEMINI_BASE_URL": self.models.url, "GEMINI_CLI_TRUST_WORKSPACE": "true",
                     "GEMINI_TELEMETRY_ENABLED": "true", "GEMINI_TELEMETRY_OTLP_ENDPOINT": self.endpoint}
        self.run([*flags, "-p", prompt], variables, fails)


def split(order):
    """Flags, and the order for the model."""
    *flags, name, word = order.split()
    return flags, f"mock:{name} {word}"


class Collector(BaseHTTPRequestHandler):
    """Keeps what is handed on to it."""

    exports = []

    def do_POST(self):
        headers = {name: self.headers[name] for name in ["content-type", "content-encoding"] if name in self.headers}
        Collector.exports.append((self.path, headers, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Trueup:
    """The program, with a ledger of its own and the home that it reads."""

    def __init__(self, ledger, home):
        self.environment = {"HOME": str(home), "PATH": os.environ["PATH"], "TZ": "UTC", "TRUEUP_LEDGER": str(ledger),
                            "TRUEUP_PORT": "0", "TRUEUP_METRICS_INTERVAL": "off", "TRUEUP_OTLP_HTTP_PORT": "off",
                            "TRUEUP_OTLP_GRPC_PORT": "off", "TRUEUP_SYNC_INTERVAL": "1s"}
        self.log = pathlib.Path(f"{ledger}.log")

    def run(self, *arguments, may_warn=False):
        done = subprocess.run([TRUEUP, *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 0 or may_warn, done.stderr.decode()
        return done.stdout

    def account(self, source):
        """What is counted, without the lifetimes of caches."""
        said = json.loads(self.run("report", "--source", source, "--json"))["totals"]
        assert said["estimated"]["calls"] == 0, said
        exact = said["exact"]
        exact["cache_write"] += exact["cache_write_5m"] + exact["cache_write_1h"]
        return {name: exact[name] for name in ["calls", *COUNTS]}

    def check(self, name):
        checks = json.loads(self.run("doctor", "--no-sync", "--json", may_warn=True))["checks"]
        return next(check for check in checks if check["id"] == name)

    def serve(self, **more):
        return Daemon(self, more)


class Daemon:
    def __init__(self, trueup, more):
        self.trueup = trueup
        with open(trueup.log, "w") as log:
            self.process = subprocess.Popen([TRUEUP, "serve"], env={**trueup.environment, **more}, stderr=log)

    def __enter__(self):
        for _ in range(100):
            if found := re.search(r'"addr":"([^"]+)"', self.trueup.log.read_text()):
                self.endpoint = f"http://{found[1]}"
                return self
            time.sleep(0.1)
        raise SystemExit("the daemon does not listen")

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(20) == 0, "the daemon did not end well"

    def health(self):
        with urllib.request.urlopen(f"{self.endpoint}/health") as answer:
            return json.loads(answer.read())["otlp"]

    def send(self, exports):
        for path, headers, body in exports:
            request = urllib.request.Request(self.endpoint + path, body, headers)
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 200, path


def charged(models, has_reasoning=True):
    """What the stand-in has charged."""
    sums = {name: sum(call[name] for call in models.calls) for name in COUNTS}
    return {"calls": len(models.calls), **sums, **({} if has_reasoning else {"reasoning": 0})}


def settles(said, expected, what):
    """Waits until what is said is what should be."""
    deadline = time.monotonic() + SETTLED_S_MAX
    while (found := said()) != expected:
        assert time.monotonic() < deadline, f"{what}: {found}, and it should be {expected}"
        time.sleep(0.2)


def prove(kind, program, work, collector):
    models, home, nobody = Models(), work / "home", work / "nobody"
    nobody.mkdir(parents=True)
    Collector.exports.clear()
    live = Trueup(work / "live.db", home)
    with live.serve(TRUEUP_OTLP_FORWARD=collector) as daemon:
        agent = kind(program, home, models, daemon.endpoint)
        for order in agent.orders:
            agent.ask(order)
        agent.ask("fail six", fails=True)
        expected, told = charged(models), charged(models, agent.is_thinking_told)
        settles(lambda: live.account(agent.source), expected, f"{agent.source}, as they come")
        health = daemon.health()
        assert (health["errors"], health["rejected"], health["refused"]) == (agent.errors, 0, 0), health
        told_by_counters = says_so(live, agent.source, expected["calls"])
        prompt = sum(expected[name] for name in ["input", "cache_read", "cache_write"])
        assert (told_by_counters["prompt"], told_by_counters["output"]) == (prompt, expected["output"]), told_by_counters
    assert models.failed, "no request has failed"
    exports = list(Collector.exports)

    first = Trueup(work / "telemetry.db", nobody)
    with first.serve() as daemon:
        daemon.send(exports)
    assert first.account(agent.source) == told, f"{agent.source}, telemetry alone: {first.account(agent.source)}, {told}"
    then = Trueup(work / "telemetry.db", home)
    then.run("sync")
    assert then.account(agent.source) == expected, f"{agent.source}, telemetry first: {then.account(agent.source)}, {expected}"
    says_so(then, agent.source, expected["calls"])

    files = Trueup(work / "files.db", home)
    files.run("sync")
    assert files.account(agent.source) == expected, f"{agent.source}, files alone: {files.account(agent.source)}, {expected}"
    with files.serve() as daemon:
        for _ in range(2):
            daemon.send(exports)
            assert files.account(agent.source) == expected, f"{agent.source}, files first: {files.account(agent.source)}"
    says_so(files, agent.source, expected["calls"])
    for ledger in work.glob("*.db"):
        assert b"SECRET" not in ledger.read_bytes(), "a text was stored"
    print(agent.source, "ok:", expected)


def says_so(trueup, source, calls):
    """Doctor must find every call told twice and counted once."""
    check = trueup.check("told_twice")
    said = dict(check["meta"]["by_agent"][source])
    assert said.pop("sessions") > 0, check
    assert said == {"calls": calls, "told": calls, "matched": calls, "captured_percent": 100, "sessions_told_twice": 0}, check
    assert check["status"] == "ok", check
    more = trueup.check("metrics_tell_more")
    assert more["status"] == "ok", more
    return more["meta"]["by_agent"][source]


def main():
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as work:
        for kind, program in zip([ClaudeCode, Codex, GeminiCli], PROGRAMS):
            if program != "none":
                prove(kind, program, pathlib.Path(work) / kind.source, f"http://127.0.0.1:{collector.server_port}")


main()
