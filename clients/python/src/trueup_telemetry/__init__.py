"""Tells a trueup daemon what a product may tell of itself.

What is told is added up by the daemon, by the product's manifest, and nothing else is kept or sent.
This client never raises into the product and never makes it wait: it hands objects to a thread, which
hands them to the daemon, and drops them, counted, where that is not there.

    telemetry = TelemetryClient("claude-mem", base={"version": "13.15.3"})
    telemetry.record("observer_turn", key="s1", props={"tokens_input": 120, "outcome": "ok"})
    telemetry.end("s1")
"""

from ._client import TelemetryClient

__all__ = ["TelemetryClient"]
