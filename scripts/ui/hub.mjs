// A real `trueup hub` with a fleet: two sidecars that count calls and push them, and devices of each state,
// whose batches are posted as a device would. All of it is of two tenants; one of them has no device yet.

import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Machine, listening } from "./daemon.mjs";
import { HTML } from "./seed.mjs";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const TOLD_MS_MAX = 20_000;

/** Devices that serve, and those whose batches are posted: how many of each and in which state is known. */
export const SIDECARS = ["laptop-7", "box-1"];
export const STATES = { "ci-runner": "ok", "edge-3": "behind", "old-mac": "silent", "build-7": "lossy" };
export const DEVICES = [...SIDECARS, ...Object.keys(STATES)];

const MODELS = [["openai", "gpt-5.5"], ["anthropic", "claude-sonnet-4-6"], ["google", "gemini-3-pro"]];

/** Calls of a device in the days before now, the same each time. */
function calls(device, now, days) {
  const size = 1 + device.length;
  return Array.from({ length: 6 * days }, (_, at) => {
    const [provider, model] = MODELS[(at + size) % MODELS.length];
    return {
      trace_id: `${device}-${at}`,
      created_at: now - Math.floor(at / 6) * DAY_MS - (at % 6) * HOUR_MS - 60_000,
      provider,
      model,
      prompt_tokens: 1000 * size + 37 * at,
      completion_tokens: 50 + at,
      source: "codex",
      project: `/home/u/${device}`,
      session: `${device}-${Math.floor(at / 6)}`,
      status: at % 11 === 3 ? "error" : "ok",
      ...(at % 11 === 3 && { error_type: "rate_limit" }),
    };
  });
}

/** A machine that asks a hub: its commands have the address on the page and a token that reads. */
export class Hub extends Machine {
  constructor(home, trueup) {
    super(home, trueup);
    this.store = join(home, "store");
    this.sidecars = [];
  }

  get environment() {
    return { ...super.environment, TRUEUP_HUB_STORE: this.store, TRUEUP_HUB_PORT: "0", TRUEUP_HUB_TOKEN_FILE: join(this.home, "reader.token") };
  }

  async token(tenant, device) {
    const of = device ? `--device ${device}` : "--read";
    return (await this.run(`trueup hub token create --tenant ${tenant} ${of} 2>/dev/null`)).toString().trim();
  }

  async start(name) {
    const log = join(this.home, name);
    const port = this.url ? new URL(this.url).port : "0";
    const environment = { ...this.environment, TRUEUP_HUB_PORT: port };
    this.daemon = spawn(join(this.bin, "trueup"), ["hub", "--push-interval", "1s"], { env: environment, stdio: ["ignore", "ignore", openSync(log, "w")] });
    this.ended = new Promise((done) => this.daemon.once("exit", done));
    this.url = await listening(log);
  }

  /** A hub of which a fleet has told. */
  async serve(now = Date.now()) {
    this.reader = await this.token("acme");
    writeFileSync(join(this.home, "reader.token"), this.reader, { mode: 0o600 });
    this.emptyReader = await this.token("nobody");
    this.newcomer = await this.token("nobody", "newcomer");
    // Before it starts: a hub hears of new tokens after a while.
    const tokens = Object.fromEntries(await Promise.all(DEVICES.map(async (device) => [device, await this.token("acme", device)])));
    await this.start("hub-first");
    const places = { waiting: 0, dropped: 0, refused: 0 };
    const told = {
      "ci-runner": { status: places },
      "edge-3": { status: { ...places, waiting: 412, oldest_waiting_at: now - 3 * HOUR_MS } },
      "old-mac": { status: places, days: 12 },
      "build-7": { status: { ...places, dropped: 7, refused: 2 }, gap: 5 },
    };
    for (const [device, { status, days = 30, gap = 0 }] of Object.entries(told)) {
      const all = calls(device, now - (device === "old-mac" ? 9 * DAY_MS : 0), days);
      const half = all.length / 2;
      await this.tell(tokens[device], device, all.slice(0, half), { status });
      await this.tell(tokens[device], device, all.slice(half), { status, first: half + 1 + gap, errors: this.errors(device, now) });
    }
    await this.stop();
    this.silence("old-mac", now - 2 * DAY_MS);
    await this.start("hub");
    for (const device of SIDECARS) await this.sidecar(device, tokens[device], now);
  }

  errors(device, now) {
    return ["the model answered 529: overloaded", HTML].map((message, at) => ({
      trace_id: `${device}-error-${at}`,
      created_at: now - (at + 1) * HOUR_MS,
      error_type: "llm_error",
      message,
      severity: "error",
      source: "codex",
    }));
  }

  /** A device that was last heard of then. */
  silence(device, at) {
    const script = "import sqlite3, sys\nstore = sqlite3.connect(sys.argv[1])\nstore.execute('UPDATE devices SET last_seen_at = ? WHERE name = ?', (int(sys.argv[3]), sys.argv[2]))\nstore.commit()";
    execFileSync("python3", ["-c", script, join(this.store, "tenants/acme.db"), device, String(at)]);
  }

  /** Sends a batch as a device's outbox does. */
  async tell(token, device, traces, { status, first = 1, errors = [], host = `${device}.example` } = {}) {
    const records = [...traces.map((data) => ["llm_trace", data]), ...errors.map((data) => ["error_event", data])];
    const events = JSON.stringify(records.map(([type, data], at) => ({ type, seq: first + at, data })));
    const hash = (text) => createHash("sha256").update(text).digest("hex");
    const batch = { id: hash(`${device} ${first}`).slice(0, 32), created_at: Date.now(), count: records.length, first_seq: first, last_seq: first + records.length - 1, sha256: hash(events) };
    const source = { id: `ledger-of-${device}`, epoch: "1", host, agent: "", version: "0.1.0", status };
    const body = `{"v":1,"batch":${JSON.stringify(batch)},"source":${JSON.stringify(source)},"events":${events}}`;
    const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
    const answer = await fetch(`${this.url}/v1/ingest`, { method: "POST", headers, body });
    const said = await answer.json();
    if (!answer.ok || said.rejected.length > 0) throw new Error(`the hub took no batch of ${device}: ${JSON.stringify(said)}`);
  }

  /** A sidecar that pushes, with calls of two weeks and a sample of its machine. */
  async sidecar(device, token, now) {
    const home = join(this.home, device);
    mkdirSync(home);
    const sidecar = new Sidecar(home, join(this.bin, "trueup"), { endpoint: `${this.url}/v1/ingest`, token });
    await sidecar.serve();
    this.sidecars.push(sidecar);
    const records = calls(device, now, 14).map(({ created_at: at, session, source: agent, ...call }) => ({ ...call, timestamp: new Date(at).toISOString(), session_id: session, agent }));
    await sidecar.post("/v1/traces", records);
    const end = Date.now() + TOLD_MS_MAX;
    while (Date.now() < end) {
      const { rows } = await (await this.get("/api/v1/devices")).json();
      if (rows.some((row) => row.device === device && row.accepted >= records.length)) return;
      await new Promise((done) => setTimeout(done, 200));
    }
    throw new Error(`${device} has not told the hub: ${JSON.stringify(await sidecar.json("trueup push status --json"))}`);
  }

  async get(path) {
    const answer = await fetch(this.url + path, { headers: { Authorization: `Bearer ${this.reader}` } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }

  async end() {
    for (const sidecar of this.sidecars) await sidecar.stop();
    await this.stop();
  }
}

class Sidecar extends Machine {
  constructor(home, trueup, { endpoint, token }) {
    super(home, trueup);
    this.endpoint = endpoint;
    this.tokenFile = join(home, "device.token");
    writeFileSync(this.tokenFile, token, { mode: 0o600 });
  }

  get environment() {
    return {
      ...super.environment,
      TRUEUP_METRICS_INTERVAL: "15s",
      TRUEUP_PUSH_ENDPOINT: this.endpoint,
      TRUEUP_PUSH_TOKEN_FILE: this.tokenFile,
      TRUEUP_PUSH_INTERVAL: "1s",
      TRUEUP_OTLP_HTTP_PORT: "off",
      TRUEUP_OTLP_GRPC_PORT: "off",
    };
  }
}
