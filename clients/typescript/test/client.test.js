// The client against the real `trueup serve`, whose program TRUEUP_BIN names.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { TelemetryClient } from "../dist/index.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const target = resolve(root, process.env.CARGO_TARGET_DIR ?? "target");
const program = process.env.TRUEUP_BIN ?? join(target, "debug/trueup");
const dist = new URL("../dist/index.js", import.meta.url).href;
delete process.env.DO_NOT_TRACK;

const MANIFEST = `
product = "observer"
env_prefix = "OBSERVER"
data_dir = "~/.observer"
default = "local"
base = ["version"]

[fields]
version = { semver = true }
tokens = { u64 = true }
cost = { usd = true }
outcome = { enum = ["ok", "error"] }

[[rollup]]
event = "turns"
grain = "session"
sum = ["tokens", "cost"]
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
`;

/** A home, which goes with the test. */
function makeHome(t) {
  const home = mkdtempSync(join(tmpdir(), "trueup-"));
  t.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 10 }));
  writeFileSync(join(home, "observer.toml"), MANIFEST);
  return home;
}

/** A running daemon. */
async function start(t, home, { port = 0, ...variables } = {}) {
  const child = spawn(program, ["serve"], {
    env: {
      HOME: home,
      TRUEUP_LEDGER: join(home, "ledger.db"),
      TRUEUP_PORT: String(port),
      TRUEUP_METRICS_INTERVAL: "off",
      TRUEUP_TELEMETRY_MANIFESTS: join(home, "observer.toml"),
      ...variables,
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stderr });
  const first = await new Promise((told) => lines.once("line", told));
  const { message, addr } = JSON.parse(first);
  assert.equal(message, "listening", first);
  const stop = () =>
    new Promise((told) => {
      child.once("exit", told);
      child.kill("SIGTERM");
    });
  return { address: `http://${addr}`, stop };
}

function bodies(home) {
  const outbox = join(home, ".observer/telemetry/outbox");
  const names = readdirSync(outbox).filter((name) => name.endsWith(".body"));
  return names.map((name) => readFileSync(join(outbox, name), "utf8"));
}

function turns(home) {
  const told = bodies(home).map((body) => JSON.parse(body));
  return told.filter(({ event }) => event === "turns").map(({ properties }) => properties);
}

/** A port that nobody has. */
async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

test("what is told is sealed", async (t) => {
  const home = makeHome(t);
  const daemon = await start(t, home);
  const client = new TelemetryClient("observer", {
    address: daemon.address,
    base: { version: "1.2.3" },
  });
  for (let at = 0; at < 500; at += 1) {
    client.record("turns", { key: "s1", props: { tokens: 2, outcome: "ok" } });
  }
  client.end("s1");
  client.record("turns", { key: 7, props: { tokens: 1 } });
  assert.equal(await client.flush(5_000), true, client.problem);
  assert.equal(client.dropped, 0);
  assert.equal((await client.status(5_000))?.mode, "local");
  await client.close();
  assert.equal(await daemon.stop(), 0);
  const told = turns(home).sort((a, b) => b.count - a.count);
  assert.deepEqual(
    told.map((one) => [one.count, one.total_tokens, one.rollup_reason, one.version]),
    [
      [500, 1000, "session_end", "1.2.3"],
      [1, 1, "worker_shutdown", "1.2.3"],
    ],
  );
});

test("check_41: the client and the pipe lead to the same bytes", async (t) => {
  const lines = [
    { event: "turns", key: "s1", props: { tokens: 120, cost: "0.0125", outcome: "ok" } },
    { event: "turns", key: "s1", props: { tokens: 7, cost: 0.5, outcome: "error", prompt: "x" } },
    {
      error: {
        type: "TypeError",
        message: "cannot open /home/alice/plan.md after 3 tries",
        stack: "    at open (/home/alice/app/db.js:12:9)",
        handled: true,
      },
    },
    { end: "s1" },
    { event: "turns", key: "s2", props: { tokens: 1, outcome: "ok" } },
    { lifecycle: "started", props: {} },
  ];
  const home = makeHome(t);
  const daemon = await start(t, home);
  const client = new TelemetryClient("observer", {
    address: daemon.address,
    base: { version: "1.2.3" },
  });
  for (const { event, key, props, lifecycle, end, error } of lines) {
    if (event) client.record(event, { key, props });
    else if (lifecycle) client.lifecycle(lifecycle, props);
    else if (end) client.end(end);
    else client.error(error.type, error);
  }
  await client.close(5_000);
  assert.equal(client.dropped, 0);
  assert.equal(await daemon.stop(), 0);

  const other = makeHome(t);
  const pipe = spawnSync(
    program,
    ["telemetry", "pipe", "--manifest", join(other, "observer.toml"), "--base", "version=1.2.3"],
    {
      env: { HOME: other, TRUEUP_LEDGER: join(other, "ledger.db") },
      input: lines.map((line) => JSON.stringify(line)).join("\n"),
      encoding: "utf8",
    },
  );
  assert.equal(JSON.parse(pipe.stdout).accepted, lines.length, pipe.stdout + pipe.stderr);
  // Ids and times differ from run to run; nothing else may.
  const masked = (home) =>
    bodies(home)
      .map((body) => body.replace(/"(uuid|timestamp|window_start_ts)":[^,}]+/g, '"$1":*'))
      .sort();
  assert.equal(bodies(home).length, 4);
  assert.deepEqual(masked(home), masked(other));
});

test("an error is told with its frames, and without what is somebody's", async (t) => {
  const home = makeHome(t);
  const daemon = await start(t, home);
  const client = new TelemetryClient("observer", { address: daemon.address });
  client.error(new RangeError("cannot open /home/alice/plan.md"));
  assert.equal(await client.flush(5_000), true, client.problem);
  await client.close();
  assert.equal(await daemon.stop(), 0);
  const body = bodies(home).find((one) => one.includes("$exception_list"));
  assert.ok(body.includes("RangeError") && body.includes("client.test.js"), body);
  assert.ok(!body.includes("alice"), body);
});

/** Runs a script to its end; how long that took. */
async function run(script) {
  const began = performance.now();
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: "inherit",
  });
  assert.equal(await new Promise((told) => child.once("exit", told)), 0);
  return performance.now() - began;
}

test("the end of a process hands over what waits", async (t) => {
  const home = makeHome(t);
  const daemon = await start(t, home);
  await run(`
    import { TelemetryClient } from ${JSON.stringify(dist)};
    const client = new TelemetryClient("observer", { address: ${JSON.stringify(daemon.address)} });
    for (let at = 0; at < 300; at += 1) client.record("turns", { key: "s", props: { tokens: 1 } });
    client.end("s");
  `);
  assert.equal(await daemon.stop(), 0);
  assert.deepEqual(turns(home).map((told) => told.total_tokens), [300]);
});

test("a daemon that comes later gets what waited", async (t) => {
  const home = makeHome(t);
  const port = await freePort();
  const client = new TelemetryClient("observer", { address: `127.0.0.1:${port}` });
  for (let at = 0; at < 10; at += 1) client.record("turns", { key: "s1", props: { tokens: 1 } });
  assert.equal(await client.flush(), false);
  const daemon = await start(t, home, { port });
  client.end("s1");
  assert.equal(await client.flush(5_000), true, client.problem);
  assert.equal(client.dropped, 0);
  await client.close();
  assert.equal(await daemon.stop(), 0);
  assert.deepEqual(turns(home).map((told) => told.total_tokens), [10]);
});

test("a daemon that began anew gets all, with base fields", async (t) => {
  const home = makeHome(t);
  let daemon = await start(t, home);
  const { address } = daemon;
  const client = new TelemetryClient("observer", { address, base: { version: "1.2.3" } });
  client.record("turns", { key: "s1", props: { tokens: 1 } });
  client.end("s1");
  assert.equal(await client.flush(5_000), true, client.problem);
  assert.equal(await daemon.stop(), 0);
  daemon = await start(t, home, { port: new URL(address).port });
  client.record("turns", { key: "s2", props: { tokens: 2 } });
  client.end("s2");
  assert.equal(await client.flush(5_000), true, client.problem);
  assert.equal(client.dropped, 0);
  await client.close();
  assert.equal(await daemon.stop(), 0);
  const told = turns(home).map((one) => [one.total_tokens, one.version]);
  assert.deepEqual(told.sort(), [
    [1, "1.2.3"],
    [2, "1.2.3"],
  ]);
});

test("a cut text and one that is none refuse nothing", async (t) => {
  const home = makeHome(t);
  const daemon = await start(t, home);
  const client = new TelemetryClient("observer", { address: daemon.address });
  const texts = { CutError: "x".repeat(1_023) + "\u{1f600}", HalfError: "a\ud83d" };
  for (const [type, text] of Object.entries(texts)) {
    client.record("turns", { key: "s1", props: { tokens: 1, outcome: text, [text]: 1 } });
    const stack = `    at ${text} (${"z".repeat(7_977)}.js:1:1)`;
    client.error(type, { message: "y".repeat(7_999) + text, stack });
  }
  client.end("s1");
  assert.equal(await client.flush(5_000), true, client.problem);
  await client.close();
  assert.equal(await daemon.stop(), 0);
  assert.deepEqual(turns(home).map((told) => told.count), [2]);
  const told = bodies(home).join();
  assert.ok(Object.keys(texts).every((type) => told.includes(type)), told);
});

test("a redirect is not followed", async (t) => {
  const asked = [];
  const server = createHttpServer((request, answer) => {
    asked.push(request.url);
    request.resume();
    answer.writeHead(307, { location: "/elsewhere" }).end();
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  const client = new TelemetryClient("observer", {
    address: `127.0.0.1:${server.address().port}`,
    base: { version: "1.2.3" },
  });
  client.record("turns", { key: "s1" });
  assert.equal(await client.flush(5_000), false);
  assert.equal(await client.status(5_000), undefined);
  assert.match(client.problem, /307/);
  await client.close();
  assert.ok(asked.includes("/v1/telemetry/observer/records"), asked.join());
  assert.ok(!asked.includes("/elsewhere"), asked.join());
});

test("nothing waits for a daemon that is not there", async () => {
  const client = new TelemetryClient("observer", { address: `127.0.0.1:${await freePort()}` });
  let began = performance.now();
  for (let at = 0; at < 10_000; at += 1) client.record("turns", { key: "s1", props: { tokens: 1 } });
  assert.ok(performance.now() - began < 1_000);
  assert.equal(client.dropped, 9_000);
  assert.equal(await client.status(), undefined);
  began = performance.now();
  await client.close();
  assert.ok(performance.now() - began < 700);
  assert.ok(client.isOff);
});

test("nothing waits for a daemon that never answers", async (t) => {
  const silent = createServer();
  await new Promise((done) => silent.listen(0, "127.0.0.1", done));
  t.after(() => silent.close());
  const sockets = [];
  silent.on("connection", (socket) => sockets.push(socket));
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  const client = new TelemetryClient("observer", { address: `127.0.0.1:${silent.address().port}` });
  client.record("turns", { key: "s" });
  const began = performance.now();
  await client.close();
  assert.ok(performance.now() - began < 700);
});

test("who does not want to be tracked is not", async (t) => {
  let asked = 0;
  const server = createServer(() => (asked += 1));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  process.env.DO_NOT_TRACK = "1";
  t.after(() => delete process.env.DO_NOT_TRACK);
  const client = new TelemetryClient("observer", { address: `127.0.0.1:${server.address().port}` });
  client.record("turns", { key: "s1" });
  client.error(new Error("x"));
  assert.equal(await client.flush(), false);
  assert.equal(await client.status(), undefined);
  assert.ok(client.isOff);
  assert.equal(asked, 0);
});

test("it never throws", async (t) => {
  const hostile = {
    toString() {
      throw new Error("no");
    },
    toJSON() {
      throw new Error("no");
    },
  };
  for (const address of ["ftp://x", "http://[", "http://x:99999", "", "nonsense://"]) {
    await new TelemetryClient("p", { address }).close(0);
  }
  const home = makeHome(t);
  const daemon = await start(t, home);
  const nobody = new TelemetryClient("nobody", { address: daemon.address });
  nobody.record("turns", { key: "s1" });
  assert.equal(await nobody.flush(5_000), false);
  assert.match(nobody.problem, /telemetry_manifests/);
  const client = new TelemetryClient("observer", { address: daemon.address });
  client.record(hostile, { key: hostile, props: hostile });
  client.record("turns", null);
  client.error(new Error("x"), null);
  client.record("turns", { key: "s1", props: { tokens: hostile, cost: NaN, outcome: 5n } });
  client.record("turns", { key: "s1", props: { ["x".repeat(10_000)]: "y".repeat(1_000_000) } });
  client.lifecycle(hostile);
  client.end(hostile);
  client.error(hostile);
  client.error("E", { message: "m".repeat(1_000_000), stack: "s".repeat(1_000_000) });
  assert.equal(await client.flush(5_000), true, client.problem);
  await client.close();
  assert.equal(await daemon.stop(), 0);
});
