// A program with OpenTelemetry's SDK for JavaScript: client.mjs PROTOCOL ENDPOINT
//
// Makes spans of calls as instrumentations make them, and events as Claude Code does, exports each twice to
// ENDPOINT as JSON, protobuf or gRPC, and prints what was used, by model: what a ledger must hold.

import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const [protocol, endpoint] = process.argv.slice(2);
const suffix = { json: "http", proto: "proto", grpc: "grpc" }[protocol];
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${suffix}`);
const { OTLPLogExporter } = await import(`@opentelemetry/exporter-logs-otlp-${suffix}`);
const address = (path) => (protocol === "grpc" ? endpoint : `${endpoint}/v1/${path}`);
const options = protocol === "json" ? { compression: "gzip" } : {};

// Sends everything again, as an exporter does that has heard no answer.
class Twice {
    constructor(exporter) {
        this.exporter = exporter;
    }
    export(records, done) {
        this.exporter.export(records, (first) => {
            if (first.code !== 0) throw first.error ?? new Error("not taken");
            this.exporter.export(records, (second) => {
                if (second.code !== 0) throw second.error ?? new Error("not taken");
                done(second);
            });
        });
    }
    forceFlush() {
        return Promise.resolve();
    }
    shutdown() {
        return this.exporter.shutdown();
    }
}

const resource = resourceFromAttributes({ "service.name": `proof-js-${protocol}` });
const spans = new NodeTracerProvider({
    resource,
    spanProcessors: [new BatchSpanProcessor(new Twice(new OTLPTraceExporter({ url: address("traces"), ...options })))],
});
const logs = new LoggerProvider({
    resource,
    processors: [
        new BatchLogRecordProcessor({
            exporter: new Twice(new OTLPLogExporter({ url: address("logs"), ...options })),
        }),
    ],
});

const name = (kind) => `proof-js-${protocol}-${kind}`;
const used = {};
const tracer = spans.getTracer("proof");
for (const [kind, cached, reasoning] of [["plain", 0, 0], ["cached", 400, 0], ["thinks", 0, 7]]) {
    const span = tracer.startSpan(`chat ${name(kind)}`, { kind: SpanKind.CLIENT });
    span.setAttributes({
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": name(kind),
        "gen_ai.response.id": `chatcmpl-${name(kind)}`,
        "gen_ai.usage.input_tokens": 1020,
        "gen_ai.usage.cache_read.input_tokens": cached,
        "gen_ai.usage.output_tokens": 52,
        "gen_ai.usage.reasoning.output_tokens": reasoning,
        "gen_ai.input.messages": "SECRET question",
    });
    span.end();
    used[name(kind)] = { calls: 1, errors: 0, input: 1020 - cached, cache_read: cached, output: 52, reasoning };
}
const failed = tracer.startSpan("chat", { kind: SpanKind.CLIENT });
failed.setAttributes({ "gen_ai.operation.name": "chat", "gen_ai.request.model": name("fails") });
failed.recordException(new TypeError("no"));
failed.setStatus({ code: SpanStatusCode.ERROR });
failed.end();
used[name("fails")] = { calls: 1, errors: 1, input: 0, cache_read: 0, output: 0, reasoning: 0 };

// The conventions' event of a call, and much that is none.
const logger = logs.getLogger("proof");
logger.emit({
    eventName: "gen_ai.client.inference.operation.details",
    attributes: {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": name("event"),
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 5,
    },
});
// An event in the span of its call, which alone has the id of the answer.
const around = tracer.startSpan("chat", { kind: SpanKind.CLIENT });
const said = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": name("both"),
    "gen_ai.usage.input_tokens": 70,
    "gen_ai.usage.output_tokens": 9,
};
around.setAttributes({ ...said, "gen_ai.response.id": `chatcmpl-${name("both")}` });
logger.emit({
    eventName: "gen_ai.client.inference.operation.details",
    attributes: said,
    context: trace.setSpan(ROOT_CONTEXT, around),
});
around.end();
used[name("both")] = { calls: 1, errors: 0, input: 70, cache_read: 0, output: 9, reasoning: 0 };

used[name("event")] = { calls: 1, errors: 0, input: 30, cache_read: 0, output: 5, reasoning: 0 };
for (let number = 0; number < 100; number += 1) {
    logger.emit({ body: `SECRET line ${number}`, attributes: { number } });
    tracer.startSpan("GET /").end();
}

await spans.forceFlush();
await logs.forceFlush();
await spans.shutdown();
await logs.shutdown();
console.log(JSON.stringify(used));
