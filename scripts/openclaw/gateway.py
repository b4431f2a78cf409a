"""A real OpenClaw gateway on loopback, in a home of its own, with the mock as its only model.

Everything asked of it goes through its own command line, as a person or a script would ask.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from openclaw.mock import MODEL

# A cold start on a small machine takes half a minute; one on a busy one has been seen at two.
READY_S_MAX = 240
COMMAND_S_MAX = 180
# It reads its sessions at leisure to sum them up: a minute was seen.
USAGE_S_MAX = 240
# How often a turn is asked for while it says that it should be asked for again.
AGAIN_MAX = 10


class GatewayError(Exception):
    """OpenClaw was asked for something and said no; its own words."""


class Gateway:
    def __init__(self, installed, home: Path, mock_url: str):
        self.installed = installed
        self.home = home
        self.state = home / ".openclaw"
        self.log = home / "gateway.log"
        self.token = secrets.token_hex(16)
        self.port = free_port()
        self.process = None
        self.state.mkdir(parents=True)
        (self.home / "tmp").mkdir()
        (self.state / "openclaw.json").write_text(json.dumps(self.config(mock_url), indent=2))

    def config(self, mock_url: str) -> dict:
        model = {
            "id": MODEL,
            "name": "Mock 1",
            "reasoning": False,
            "input": ["text"],
            "cost": {"input": 1, "output": 2, "cacheRead": 0.1, "cacheWrite": 0},
            "contextWindow": 200000,
            "maxTokens": 4096,
        }
        provider = {"baseUrl": mock_url, "apiKey": "mock", "api": "openai-completions", "models": [model]}
        return {
            "gateway": {
                "mode": "local",
                "bind": "loopback",
                "port": self.port,
                "auth": {"mode": "token", "token": self.token},
            },
            "logging": {"file": str(self.home / "openclaw.log")},
            "models": {"mode": "merge", "providers": {"mock": provider}},
            "agents": {
                "defaults": {
                    "model": {"primary": f"mock/{MODEL}"},
                    "workspace": str(self.home / "workspace"),
                    "heartbeat": {"every": "24h"},
                    "compaction": {"mode": "default"},
                }
            },
        }

    def environment(self) -> dict:
        return {
            "HOME": str(self.home),
            "OPENCLAW_STATE_DIR": str(self.state),
            "PATH": self.path(),
            "TMPDIR": str(self.home / "tmp"),
            "TZ": "UTC",
            "NO_COLOR": "1",
            "OPENCLAW_HIDE_BANNER": "1",
            "OPENCLAW_SKIP_CHANNELS": "1",
            "OPENCLAW_DISABLE_BONJOUR": "1",
            "OPENCLAW_NO_RESPAWN": "1",
        }

    def path(self) -> str:
        """With `openclaw` and `node` on it, as on a machine where both are installed."""
        programs = self.installed.program.parent.parent / ".bin"
        return f"{programs}:{self.installed.node.parent}:/usr/local/bin:/usr/bin:/bin"

    # --- its life --------------------------------------------------------------------------------

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.installed.command("gateway", "run", "--port", self.port),
                env=self.environment(), cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + READY_S_MAX
        while not self.is_ready():
            if self.process.poll() is not None:
                raise GatewayError(f"the gateway ended with {self.process.returncode}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise GatewayError(f"the gateway was not ready after {READY_S_MAX} s: {self.last_words()}")
            time.sleep(0.5)

    def is_ready(self) -> bool:
        """It listens on its port before it is ready, so it is asked for its health as well."""
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2).close()
        except urllib.error.HTTPError:
            pass
        except OSError:
            return False
        try:
            self.call("health")
        except GatewayError:
            return False
        return True

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def stop(self) -> None:
        if self.process is None:
            return
        self.signal(signal.SIGTERM, wait_s=20)
        self.signal(signal.SIGKILL)

    def signal(self, number: int, wait_s: float = 10) -> None:
        """To the gateway and all that it started, which share a process group."""
        try:
            os.killpg(self.process.pid, number)
            self.process.wait(timeout=wait_s)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-1500:]

    # --- what is asked of it ---------------------------------------------------------------------

    def command(self, *words, wait_s: float = COMMAND_S_MAX) -> str:
        try:
            done = subprocess.run(
                self.installed.command(*words), env=self.environment(), cwd=self.home, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=wait_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise GatewayError(f"{words[0]}: no answer within {wait_s} s") from error
        if done.returncode != 0:
            raise GatewayError(f"{' '.join(map(str, words))}: {(done.stderr or done.stdout).strip()[-600:]}")
        return done.stdout

    def json(self, *words):
        return json_in(self.command(*words, "--json"))

    def call(self, method: str, **params):
        return self.json("gateway", "call", method, "--params", json.dumps(params), "--token", self.token,
                         "--timeout", 60000)  # fmt: skip

    def turn(self, key: str, message: str) -> dict:
        """One turn in the session of this key, over the gateway, until its answer is complete."""
        params = {"message": message, "sessionKey": key, "idempotencyKey": secrets.token_hex(8)}
        return self.json("gateway", "call", "agent", "--params", json.dumps(params), "--token", self.token,
                         "--expect-final", "--timeout", 120000)  # fmt: skip

    def turn_again(self, key: str, message: str) -> dict:
        """A turn after a restart, when OpenClaw may be at work on what was interrupted, and says so."""
        for _ in range(AGAIN_MAX):
            try:
                return self.turn(key, message)
            except GatewayError as error:
                if "Retry" not in str(error):
                    raise
                time.sleep(2)
        return self.turn(key, message)

    def usage_cost(self) -> dict:
        """Its own sums of these two days, once it has read everything: until then they are partial."""
        words = ["gateway", "usage-cost", "--days", 2, "--token", self.token]
        words += [] if self.installed.is_file_era else ["--all-agents"]
        deadline = time.monotonic() + USAGE_S_MAX
        while True:
            said = self.json(*words)
            status = said.get("cacheStatus", {}).get("status", "fresh")
            if status == "fresh":
                return said["totals"]
            if time.monotonic() > deadline:
                raise GatewayError(f"usage-cost is still {status} after {USAGE_S_MAX} s")
            time.sleep(3)

    def chat(self, key: str, message: str) -> dict:
        """A message as from a chat's window; returns at once."""
        return self.call("chat.send", sessionKey=key, message=message, idempotencyKey=secrets.token_hex(8))


def json_in(text: str):
    """The JSON of an output that may have words before it."""
    for start, letter in enumerate(text):
        if letter in "{[":
            try:
                return json.JSONDecoder().raw_decode(text[start:])[0]
            except ValueError:
                continue
    raise GatewayError(f"no JSON in {text[:300]!r}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
