"""A program with the real `openai` client and one instrumentation: client.py INSTRUMENTATION PROTOCOL ENDPOINT

Asks the mock for every kind of answer, exports the spans and events of it to ENDPOINT, and prints what was used,
by model: what a ledger must hold.
"""

import json
import os
import sys

import mock

instrumentation, protocol, endpoint = sys.argv[1:]
os.environ.setdefault("OTEL_SERVICE_NAME", f"proof-{instrumentation}")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    compression = Compression.Gzip if protocol == "gzip" else Compression.NoCompression
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", compression=compression)



class Twice(SpanExporter):
    """Sends everything again, as one does that has heard no answer."""

    def export(self, spans):
        results = {exporter.export(spans), exporter.export(spans)}
        assert results == {SpanExportResult.SUCCESS}, results
        return SpanExportResult.SUCCESS

    def shutdown(self):
        exporter.shutdown()


provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(Twice()))
trace.set_tracer_provider(provider)

from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as Traceloop
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor as OpenAIv2

KNOWN = {"openai-v2": [OpenAIv2], "openinference": [OpenInference], "traceloop": [Traceloop],
         "both": [OpenAIv2, OpenInference]}
for known in KNOWN[instrumentation]:
    known().instrument(tracer_provider=provider)

import openai

client = openai.OpenAI(api_key="k", base_url=mock.start(), max_retries=0)
name = f"proof-{instrumentation}-{protocol}"
messages = [{"role": "user", "content": "SECRET question"}]
used = {}


def said(counts, is_streaming):
    """What the instrumentation tells of caches and reasoning; what was used in all, each tells exactly."""
    cached = counts["prompt_tokens_details"]["cached_tokens"]
    reasoning = counts["completion_tokens_details"]["reasoning_tokens"]
    if instrumentation == "openai-v2":  # 2.4b0 has neither
        return 0, 0
    if instrumentation == "traceloop" and is_streaming:  # 0.62.4 has reasoning only of whole answers
        return cached, 0
    return cached, reasoning


def ask(kind, **more):
    model = f"{name}-{kind}"
    counts = mock.usage(model)
    try:
        answer = client.chat.completions.create(model=model, messages=messages, **more)
        if more.get("stream"):
            for _ in answer:
                pass
    except openai.RateLimitError:
        used[model] = {"calls": 1, "errors": 1, "input": 0, "cache_read": 0, "output": 0, "reasoning": 0}
        return
    cached, reasoning = said(counts, bool(more.get("stream")))
    row = used.setdefault(model, {"calls": 0, "errors": 0, "input": 0, "cache_read": 0, "output": 0, "reasoning": 0})
    row["calls"] += 1
    row["input"] += counts["prompt_tokens"] - cached
    row["cache_read"] += cached
    row["output"] += counts["completion_tokens"]
    row["reasoning"] += reasoning


streaming = {"stream": True, "stream_options": {"include_usage": True}}
for kind in ["plain", "cached", "thinks"]:
    ask(kind)
    ask(kind)
    ask(kind, **streaming)
# Only an answer has an id that tells two instrumentations that they have watched the same call.
if instrumentation != "both":
    ask("fails")
    ask("fails-stream-fails", **streaming)
    client.embeddings.create(model=f"{name}-embeds", input="SECRET text")
    used[f"{name}-embeds"] = {"calls": 1, "errors": 0, "input": 99, "cache_read": 0, "output": 0, "reasoning": 0}

assert provider.force_flush(30_000)
provider.shutdown()
print(json.dumps(used))
