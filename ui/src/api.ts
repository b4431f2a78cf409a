// What `trueup serve` answers (docs/usage-api.md), and the addresses to ask at.
//
// Counts are numbers, money is decimal text, times are RFC 3339 in UTC, days are those of `tz`.

import { type Changes, scope } from "./url";

export interface Sum {
  calls: number;
  errors: number;
  input: number;
  cache_read: number;
  cache_write_5m: number;
  cache_write_1h: number;
  cache_write: number;
  output: number;
  reasoning: number;
  total: number;
  cost_usd: string;
  unpriced_calls: number;
  cache_saved_usd?: string;
}

/** What was measured, and what is only claimed; never added to each other. */
export interface Sums {
  exact: Sum;
  estimated: Sum;
}

export interface Bucket {
  key: string;
  start: string;
  state: "missing" | "open" | "closed";
}

/** A count, or an amount as text; null where the account was not kept. */
export type Value = number | string | null;

export interface Series {
  group: string | null;
  subgroup: string | null;
  is_other: boolean;
  groups: number;
  exact: Value[];
  estimated: Value[];
  totals: Sums;
}

export interface Usage {
  tz: string;
  from: string;
  to: string;
  bucket: string;
  metric: string;
  group: string | null;
  subgroup: string | null;
  buckets: Bucket[];
  series: Series[];
  totals: Sums;
  previous: { from: string; to: string; totals: Sums } | null;
  first_usage: string | null;
  last_usage: string | null;
  as_of: string | null;
  unpriced_models: Record<string, number>;
  cli?: string;
}

export interface SessionRow extends Sums {
  session: string;
  /** Null where the account is of one machine. */
  device: string | null;
  agents: string[];
  projects: string[];
  models: string[];
  kinds: string[];
  first: string;
  last: string;
}

export interface SessionList {
  tz: string;
  total: number;
  rows: SessionRow[];
  next_cursor: string | null;
  cli?: string;
}

export interface Call {
  id: string;
  at: string;
  agent: string;
  provider: string;
  model: string;
  project: string;
  kind: string;
  tier: string;
  input: number;
  cache_read: number;
  cache_write_5m: number;
  cache_write_1h: number;
  cache_write: number;
  output: number;
  reasoning: number;
  total: number;
  cost_usd: string | null;
  latency_ms: number | null;
  time_to_first_token_ms: number | null;
  status: string;
  error_type: string | null;
}

export interface Session extends Sums {
  tz: string;
  session: string;
  agents: string[];
  /** Those that have a session of this name; none where the account is of one machine. */
  devices: string[];
  projects: string[];
  first: string | null;
  last: string | null;
  calls: Call[];
  calls_removed: number;
  next_cursor: string | null;
  cli?: string;
}

export interface ErrorRow {
  fingerprint: string;
  type: string;
  message: string;
  severity: string;
  count: number;
  first: string;
  last: string;
  sample_message?: string;
  sample_stack: string | null;
}

export interface FailedCalls {
  agent: string;
  provider: string;
  model: string;
  error_type: string | null;
  calls: number;
  last: string | null;
}

export interface Errors {
  tz: string;
  calls_failed: number;
  events: number;
  rows: ErrorRow[];
  failed_calls: FailedCalls[];
  is_cut: boolean;
  next_cursor: string | null;
  cli?: string;
}

export interface HostMetric {
  unit: string;
  mean: (number | null)[];
  max: (number | null)[];
}

export interface Host {
  tz: string;
  bucket: string;
  buckets: Bucket[];
  calls: (number | null)[];
  metrics: Record<string, HostMetric>;
  sources: string[];
  cli?: string;
}

export interface Lack {
  calls: number;
  runs_estimated: number;
  sessions_estimated: number;
  sessions_superseded: number;
  sessions_without_transcript: number;
  bad_lines: number;
}

export interface Completeness {
  by: string;
  tz: string;
  rows: (Lack & { agent: string } & Record<string, string | number>)[];
  totals: Lack;
  cli?: string;
}

export interface CheckItem {
  session?: string;
  path?: string;
  reason: string;
  first?: string;
  mend: string | null;
}

export interface Check {
  id: string;
  source: string | null;
  status: "ok" | "warn" | "fail";
  detail: string;
  items: CheckItem[];
  meta: Record<string, string | number>;
}

export interface Doctor {
  generated_at: string;
  ok: boolean;
  summary: { ok: number; warn: number; fail: number };
  checks: Check[];
  cli?: string;
}

/** Amounts by quantity: counts, or decimal texts. */
export type Amounts = Record<string, number | string>;

export interface Finding {
  class: string;
  kind: string;
  severity: "fail" | "warn" | "info";
  provider: string;
  left: string;
  right: string;
  day: string;
  model: string | null;
  tier: string | null;
  context: string | null;
  project: string | null;
  key: string | null;
  left_says: Amounts;
  estimated: Amounts;
  right_says: Amounts;
  told_by: { project: string | null; key: string | null; weight: number | string }[];
  unsupported: string[];
  is_named: boolean;
  accepted: string | null;
}

export interface TieLine {
  side: string;
  is_estimated: boolean;
  quantity: string;
  matched: number | string;
  variance: number | string;
  missing: number | string;
  total: number | string;
  holds: boolean;
}

export interface Comparison {
  provider: string;
  left: string;
  right: string;
  quantities: string[];
  days: number;
  days_covered: number;
  days_provisional: number;
  capture_rate: Record<string, string>;
  price_ratio: string | null;
  classes: Record<string, { cells: number; left: Amounts; right: Amounts }>;
  tie_out: TieLine[];
}

export interface Parity {
  run_id: string;
  from: string;
  to: string;
  verdict: string;
  exit_code: number;
  ties_out: boolean;
  comparisons: Comparison[];
  findings: Finding[];
  notices: Record<string, { count: number; places: unknown[] }>;
  unconnected: Record<string, Amounts>;
  files: string[];
  notes: string[];
  cli?: string;
}

export interface ForecastDay {
  day: string;
  amount_usd: string;
  low_usd: string;
  high_usd: string;
}

export interface Budget {
  name: string;
  of: string;
  tz: string;
  today: string;
  provider: string | null;
  project: string | null;
  key: string | null;
  agent: string | null;
  model: string | null;
  tag: string | null;
  notes: string[];
  per?: string;
  from?: string;
  to?: string;
  limit_usd: string | null;
  spent_usd?: string | null;
  settled_usd?: string | null;
  estimated_usd?: string | null;
  remaining_usd?: string | null;
  used_percent?: string | null;
  unpriced_calls?: number | null;
  days_known?: number;
  days_provisional?: number;
  days_unknown?: number;
  thresholds?: { percent: number; reached_on: string | null }[];
  burn_rate?: { usd_per_day: string; sum_usd: string; days: number } | null;
  exhausted_on?: string | null;
  forecast?: {
    amount_usd: string;
    low_usd: string;
    high_usd: string;
    is_over_limit: boolean;
    days: ForecastDay[];
  } | null;
  days?: { day: string; amount_usd: string; is_settled: boolean }[];
}

export interface Budgets {
  budgets: Budget[];
  cli?: string;
}

export interface CostRow {
  basis: "billed" | "estimate" | "unpriced";
  currency: string;
  amount: string | null;
  tokens: string;
}

export interface Cost {
  by: string;
  rows: (CostRow & Record<string, string | null>)[];
  totals: CostRow[];
  notes: string[];
  cli?: string;
}

export interface Setting {
  value: string;
  from: string;
}

/** What trueup may tell of itself, and what it would tell next. */
export interface Telemetry {
  status: {
    mode: "off" | "local" | "on";
    decided_by: string;
    awaits_notice: boolean;
    errors: boolean;
    /** Places that the manifest names. */
    sinks: string[];
    sent_today: { events: number; hard_cap: number; bytes: number; bytes_per_day: number };
    queued: number;
    kept: number;
    warnings: string[];
    problem: string | null;
  };
  /** The next request to the byte, or why there is none. */
  shown: string;
  cli?: string;
}

/** How a device of a hub is; the first that holds, from the last on. */
export type DeviceState = "ok" | "behind" | "silent" | "lossy";

export interface Device {
  device: string;
  state: DeviceState;
  first_seen_at: string;
  last_seen_at: string;
  seen_seconds_ago: number;
  host: string | null;
  agent: string | null;
  version: string | null;
  newest_at: string | null;
  /** Null where the device has not told. */
  waiting: number | null;
  oldest_waiting_at: string | null;
  dropped: number;
  refused: number;
  missing: number;
  accepted: number;
  duplicates: number | null;
}

/** Who tells a hub; without rows on a single machine. */
export interface Devices {
  as_of: string;
  silent_after_seconds: number;
  is_complete: boolean;
  counts: Record<DeviceState, number>;
  rows: Device[];
  cli?: string;
}

export interface LiveCall {
  id: string;
  at: string;
  agent: string;
  model: string;
  session: string;
  total: number;
  cost_usd: string | null;
}

/** What an event of `/api/v1/live` says. */
export interface LiveUsage {
  seq: number;
  as_of: string | null;
  calls: LiveCall[];
}

export const LIVE = "/api/v1/live";

const at = (path: string, query: URLSearchParams) => `/api/v1/${path}?${query}`;

/** Usage over time, with the days, the zone and the filters of this view. */
export const usageUrl = (query: Changes) => at("usage/query", scope(query));
export const sessionsUrl = (query: Changes) => at("sessions", scope(query));
export const sessionUrl = (id: string, query: Record<string, string>) =>
  at(`sessions/${encodeURIComponent(id)}`, some(["device"], query));

/** Some of what this view asks for, and more. */
function some(names: string[], query: Record<string, string> = {}): URLSearchParams {
  const kept = [...scope()].filter(([name]) => names.includes(name) && !(name in query));
  return new URLSearchParams([...kept, ...Object.entries(query)]);
}

const UTC_DAYS = ["from", "to"];
const DAYS = [...UTC_DAYS, "tz"];
const DAYS_OF_DEVICE = [...DAYS, "device"];

export const errorsUrl = (query: Record<string, string>) => at("errors", some(DAYS_OF_DEVICE, query));
export const hostUrl = (query: Record<string, string>) => at("metrics/host", some(DAYS_OF_DEVICE, query));
/** By UTC day, as bills have it. */
export const costUrl = (query: Record<string, string>) => at("cost", some(UTC_DAYS, query));
export const parityUrl = () => at("parity", some(UTC_DAYS));
export const devicesUrl = () => "/api/v1/devices";
export const doctorUrl = () => "/api/v1/doctor";
export const budgetsUrl = () => "/api/v1/budgets";
export const configUrl = () => "/api/v1/config";
export const telemetryUrl = () => "/api/v1/telemetry";

/** Completeness is a report, whose days are called `since` and `until`. */
export function completenessUrl(by: string): string {
  const query = some(DAYS);
  const names: Record<string, string> = { from: "since", to: "until", tz: "tz" };
  const renamed = [...query].map(([name, value]) => [names[name] ?? name, value]);
  return at("completeness", new URLSearchParams([...renamed, ["by", by]]));
}

/** What may be asked of a file, by what is in it; of usage and sessions everything. */
const OF_FILE: Record<string, string[]> = {
  focus: [...UTC_DAYS, "provider"],
  errors: DAYS_OF_DEVICE,
  host: DAYS_OF_DEVICE,
};

/** A file of what a view shows. */
export function exportUrl(view: string, format: string, query: Changes = {}): string {
  const only = OF_FILE[format] ?? OF_FILE[view];
  const asked = format === "focus" ? scope() : scope(query);
  const kept = [...asked].filter(([name]) => only?.includes(name) ?? true);
  return at("export", new URLSearchParams([["view", view], ["format", format], ...kept]));
}
