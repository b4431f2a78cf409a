// New calls as they come: server-sent events of `/api/v1/live`.
//
// A tab that nobody sees holds no connection. Where the daemon has no room for another listener, or
// does not know the path, the dashboard goes on without it.

import { signal } from "@preact/signals";
import { LIVE, type LiveCall, type LiveUsage } from "./api";

/** Views ask again at most this often. */
const PULSE_MS = 2000;
/** Somebody who listens is told of new calls at most this often. */
const TOLD_MS = 10_000;
const CALLS_MAX = 20;

type LiveState = "off" | "waiting" | "on";

/** Counts changes of the account; whoever reads it asks again. */
export const pulse = signal(0);
export const liveState = signal<LiveState>("waiting");
/** When stores were last read, as the last event said. */
export const liveAsOf = signal<string | null>(null);
/** The latest calls, the newest first. */
export const liveCalls = signal<LiveCall[]>([]);
/** What is read aloud. */
export const announcement = signal("");

let source: EventSource | null = null;
let lastSeq: number | null = null;
let pulseTimer: number | undefined;
let lastBeat = -PULSE_MS;
let toldTimer: number | undefined;
let untold = 0;

/** Has views ask again: at once after a quiet time, and not sooner than they may. */
export function beat(): void {
  const wait = Math.max(0, lastBeat + PULSE_MS - performance.now());
  pulseTimer ??= window.setTimeout(() => {
    [pulseTimer, lastBeat] = [undefined, performance.now()];
    pulse.value += 1;
  }, wait);
}

function tell(calls: number): void {
  untold += calls;
  if (untold === 0) return;
  toldTimer ??= window.setTimeout(() => {
    announcement.value = untold === 1 ? "1 new call" : `${untold} new calls`;
    [toldTimer, untold] = [undefined, 0];
  }, TOLD_MS);
}

function take(event: MessageEvent<string>): void {
  let usage: LiveUsage;
  try {
    usage = JSON.parse(event.data) as LiveUsage;
  } catch {
    return;
  }
  liveState.value = "on";
  liveAsOf.value = usage.as_of;
  const known = new Set(liveCalls.value.map((call) => call.id));
  const fresh = (usage.calls ?? []).filter((call) => !known.has(call.id));
  if (fresh.length > 0) {
    const all = [...fresh, ...liveCalls.value].sort((one, other) => other.at.localeCompare(one.at));
    liveCalls.value = all.slice(0, CALLS_MAX);
  }
  if (lastSeq !== null && usage.seq !== lastSeq) {
    tell(fresh.length);
    beat();
  }
  lastSeq = usage.seq;
}

function open(): void {
  if (source) return;
  source = new EventSource(LIVE);
  source.addEventListener("usage", take);
  source.addEventListener("open", () => (liveState.value = "on"));
  source.addEventListener("error", () => {
    // The browser tries again by itself, unless it was refused.
    const isRefused = source?.readyState === EventSource.CLOSED;
    liveState.value = isRefused ? "off" : "waiting";
    if (isRefused) close();
  });
}

function close(): void {
  source?.close();
  source = null;
}

/** Begins to listen, as long as the tab is seen. */
export function listen(): void {
  const follow = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", follow);
  follow();
}
