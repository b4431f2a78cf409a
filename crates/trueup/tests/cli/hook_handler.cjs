// Calls an installed hook as OpenClaw's gateway does. node hook_handler.cjs <handler.js> <what>
"use strict";

const assert = require("node:assert");
const { pathToFileURL } = require("node:url");

const [, , file, what] = process.argv;

// A session's entry with all that must stay where it is.
const entry = (sessionId) => ({
  sessionId,
  sessionFile: `/state/agents/main/sessions/${sessionId}.jsonl`,
  updatedAt: 1795212509482,
  modelProvider: "mock",
  model: "mock-1",
  inputTokens: 690,
  outputTokens: 66,
  cacheRead: 400,
  cacheWrite: null,
  estimatedCostUsd: 0.000764,
  totalTokens: 1090,
  totalTokensFresh: true,
  cliSessionIds: { "claude-cli": "c1", secret: { text: "PRIVATE" } },
  label: "PRIVATE",
  displayName: "PRIVATE",
  lastTo: "PRIVATE",
  origin: { from: "PRIVATE" },
  skillsSnapshot: { prompt: "PRIVATE".repeat(10000) },
  systemPromptReport: { text: "PRIVATE" },
});

const event = (action, sessionId, more) => ({
  type: "command",
  action,
  sessionKey: "agent:main:main",
  timestamp: new Date(1795212509482),
  messages: [],
  context: {
    sessionEntry: { sessionId: "the next one" },
    previousSessionEntry: entry(sessionId),
    commandSource: "telegram",
    senderId: "PRIVATE",
    workspaceDir: "/PRIVATE",
    cfg: { token: "PRIVATE" },
    ...more,
  },
});

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const calls = {
  // Two resets of one session, three seconds apart: neither is throttled away.
  async apart(handler) {
    await handler(event("new", "first", { agentId: "main" }));
    await wait(3000);
    await handler(event("reset", "second"));
  },

  async storm(handler) {
    const ids = Array.from({ length: 50 }, (_, at) => `${process.pid}-${at}`);
    await Promise.all(ids.map(async (id) => handler(event("reset", id))));
  },

  async lifecycle(handler) {
    const of = (type, action, context) =>
      handler({ type, action, sessionKey: "agent:work:main", timestamp: new Date(), context });
    await of("command", "stop", { sessionEntry: entry("stopped"), sessionId: "stopped" });
    await of("session", "auto-reset", { sessionEntry: { sessionId: "idle" }, reason: "idle" });
    await of("session", "patch", { sessionEntry: entry("patched"), patch: { label: "PRIVATE" } });
    await of("session", "compact:before", { sessionId: "compacted", messageCount: 7 });
    await of("session", "compact:after", { sessionId: "compacted", summary: "PRIVATE" });
    await of("gateway", "shutdown", { reason: "PRIVATE" });
    await of("gateway", "pre-restart", undefined);
  },

  // Nothing of this is worth a file, and nothing may throw.
  async weird(handler) {
    const circular = { type: "gateway", action: "startup" };
    circular.context = circular;
    const throwing = { get type() { throw new Error("no"); } };
    const nothing = [undefined, null, 0, "", "command:new", [], {}, Symbol("x"), 7n, () => {}];
    for (const each of [...nothing, circular, throwing, { type: Symbol("x") }]) {
      assert.strictEqual(await handler(each), undefined);
    }
  },

  // Each of this leaves a file all the same.
  async odd(handler) {
    const circular = event("new", "circular");
    circular.context.previousSessionEntry.cliSessionIds = circular;
    circular.context.cfg = circular;
    await handler(circular);
    const huge = event("new", "huge");
    huge.context.previousSessionEntry.model = "m".repeat(1 << 20);
    huge.context.previousSessionEntry.cliSessionIds = { a: "i".repeat(1 << 20) };
    huge.sessionKey = `agent:main:${"k".repeat(1 << 20)}`;
    await handler(huge);
    await handler({ type: "command", action: "new" });
    await handler({ ...event("new", "timeless"), timestamp: "never", sessionKey: 7 });
    await handler({ type: "command", action: "new", context: { previousSessionEntry: [1] } });
    await handler({
      type: "command",
      action: "new",
      context: { previousSessionEntry: { sessionId: "odd", inputTokens: NaN, outputTokens: 1n } },
    });
  },

  async one(handler) {
    await handler(event("new", "one"));
  },
};

async function main() {
  const required = require(file);
  const imported = (await import(`${pathToFileURL(file).href}?t=${Date.now()}`)).default;
  for (const handler of [required, required.default, imported]) {
    assert.strictEqual(typeof handler, "function");
  }
  await calls[what](what === "storm" ? imported : required);
  if (what === "apart") await calls.one(imported);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
