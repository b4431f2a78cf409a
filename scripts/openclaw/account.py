"""What trueup says, and what it should say: the account of the mock, and three ways to ask trueup."""

import json
import subprocess
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

from openclaw.mock import Call, Mock

# What OpenClaw is told that the mock costs, in US dollars per million tokens.
PRICES = {"input": Decimal(1), "output": Decimal(2), "cacheRead": Decimal("0.1"), "cacheWrite": Decimal(0)}

# trueup reads these few sessions in some milliseconds; enabling the hook starts OpenClaw, which is slow.
RUN_S_MAX = 60


class TrueupError(Exception):
    """trueup failed; its own words."""


@dataclass
class Account:
    """Sums over calls, in the units of a report."""

    calls: int = 0
    errors: int = 0
    input: int = 0
    cache_read: int = 0
    output: int = 0
    reasoning: int = 0
    cost_usd: Decimal = Decimal(0)

    @property
    def total(self) -> int:
        return self.input + self.cache_read + self.output

    def __str__(self) -> str:
        return ", ".join(f"{name} {figure}" for name, figure in asdict(self).items())


def answered(calls: list[Call], is_file_era: bool) -> Account:
    """The account of calls that were answered, as OpenClaw would write it down.

    OpenClaw 2026.2 adds reasoning to an answer that includes it already, and keeps no count of it.
    """
    account = Account()
    for call in calls:
        cached = call.usage["prompt_tokens_details"]["cached_tokens"]
        reasoning = call.usage["completion_tokens_details"]["reasoning_tokens"]
        account.calls += 1
        account.input += call.usage["prompt_tokens"] - cached
        account.cache_read += cached
        account.output += call.usage["completion_tokens"] + (reasoning if is_file_era else 0)
        account.reasoning += 0 if is_file_era else reasoning
    account.cost_usd = (
        account.input * PRICES["input"]
        + account.output * PRICES["output"]
        + account.cache_read * PRICES["cacheRead"]
    ) / 1_000_000
    return account


def expected(mock: Mock, is_file_era: bool) -> Account:
    """Turns that were answered, and those that failed for good: each of these is a call as well.

    What failed and was tried again is in no transcript, nor is what OpenClaw asked for itself.
    """
    account = answered(mock.of("turn", "answered"), is_file_era)
    failed = [call for call in mock.of("turn", "failed") if call.asked.startswith("mock:refuse")]
    account.calls += len(failed)
    account.errors += len(failed)
    return account


@dataclass
class Trueup:
    program: Path
    home: Path
    state: Path
    work: Path
    path: str

    def environment(self) -> dict:
        return {"HOME": str(self.home), "OPENCLAW_STATE_DIR": str(self.state), "PATH": self.path, "TZ": "UTC"}

    def run(self, *words, may_fail: bool = False) -> subprocess.CompletedProcess:
        command = [str(word) for word in (self.program, *words)]
        try:
            done = subprocess.run(
                command, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=RUN_S_MAX, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            said = (error.stderr or b"").decode(errors="replace")[-300:]
            raise TrueupError(f"{' '.join(command)} did not end within {RUN_S_MAX} s: {said}") from error
        if done.returncode != 0 and not may_fail:
            raise TrueupError(f"{' '.join(command)} failed: {done.stderr.strip()}")
        return done

    def report(self, *words) -> dict:
        report = json.loads(self.run(*words, "--json").stdout)
        if report["schema"] != 1:
            raise TrueupError(f"report of schema {report['schema']}")
        return report

    def reports(self) -> dict[str, dict]:
        """The same report from nothing, from a new ledger, and from the one that goes on."""
        fresh, going_on = self.work / "fresh.db", self.work / "ledger.db"
        remove(fresh)
        self.run("--ledger", going_on, "sync")
        return {
            "no ledger": self.report("report", "session", "--no-ledger"),
            "new ledger": self.report("--ledger", fresh, "report", "session"),
            "same ledger": self.report("--ledger", going_on, "report", "session"),
        }

    def problems(self) -> list[str]:
        said = self.report("--ledger", self.work / "ledger.db", "sources")
        return [f"{each['path']}: {each['kind']}: {each['detail']}" for each in said["problems"]]


def measured(sums: dict) -> Account:
    names = ("calls", "errors", "input", "cache_read", "output", "reasoning")
    account = Account(**{name: sums[name] for name in names}, cost_usd=Decimal(sums["cost_usd"]))
    if sums["total"] != account.total:
        raise TrueupError(f"total {sums['total']} is not the sum of {account}")
    return account


def of_session(report: dict, session: str) -> Account:
    for row in report["rows"]:
        if row["session"] == session:
            return measured(row["exact"])
    return Account()


def remove(ledger: Path) -> None:
    for path in ledger.parent.glob(f"{ledger.name}*"):
        path.unlink()
