// Asking the daemon: once for each address, anew when the account has changed, and never more than the
// answer's ETag says is needed.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { pulse } from "./live";
import { learnSettingsZone } from "./time";
import { zoneChoice } from "./url";

/** Answers that are kept, so that the way back shows at once what it showed. */
const KEPT_MAX = 40;
/** How often a busy ledger is asked again. */
const BUSY_TRIES_MAX = 3;

interface Kept {
  etag: string;
  data: unknown;
}

const kept = new Map<string, Kept>();

function keep(url: string, etag: string | null, data: unknown): void {
  if (!etag) return;
  kept.delete(url);
  kept.set(url, { etag, data });
  const oldest = kept.keys().next().value;
  if (kept.size > KEPT_MAX && oldest !== undefined) kept.delete(oldest);
}

/** Why there is no answer. */
class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function refusal(response: Response): Promise<Refusal> {
  const text = await response.text();
  try {
    const said: unknown = JSON.parse(text).error;
    if (typeof said === "string") return new Refusal(response.status, said);
  } catch {
    // No JSON: a proxy in between, or a page.
  }
  return new Refusal(response.status, `${response.status} ${response.statusText || "error"}`);
}

function sleep(seconds: number, abort: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    const timer = setTimeout(done, seconds * 1000);
    abort.addEventListener("abort", () => {
      clearTimeout(timer);
      fail(abort.reason);
    });
  });
}

/** Asks once; what came before may be the answer still. */
export async function ask<T>(url: string, abort: AbortSignal): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    const before = kept.get(url);
    const headers: HeadersInit = before ? { "If-None-Match": before.etag } : {};
    const response = await fetch(url, { headers, signal: abort, cache: "no-store" });
    if (response.status === 304 && before) return before.data as T;
    if (response.ok) {
      const data: unknown = await response.json();
      keep(url, response.headers.get("ETag"), data);
      return data as T;
    }
    if (response.status !== 503 || tries >= BUSY_TRIES_MAX) throw await refusal(response);
    await sleep(Number(response.headers.get("Retry-After")) || 1, abort);
  }
}

/** What is known of an answer. */
export interface Answer<T> {
  /** Of this address, or of the one before while it is asked for. */
  data: T | null;
  error: Refusal | null;
  isLoading: boolean;
  /** Whether `data` is of the address before. */
  isOld: boolean;
  retry(): void;
}

interface State<T> {
  /** Of which address `data` is. */
  of: string;
  data: T | null;
  error: Refusal | null;
  isLoading: boolean;
}

/** Answers whose days are of the zone of the settings, where none was asked for. */
const OF_ZONE = /\/(usage\/query|sessions(\/[^?]*)?|errors|metrics\/host|completeness)(\?|$)/;

function learnZone(url: string, data: unknown): void {
  const zone = (data as { tz?: unknown }).tz;
  if (zoneChoice.peek() !== "settings" || !OF_ZONE.test(url) || typeof zone !== "string") return;
  learnSettingsZone(zone);
}

/** What is answered at `url`. With `follows`, it is asked again whenever the account has changed. */
export function useAnswer<T>(url: string, follows: "live" | "once" = "live"): Answer<T> {
  const [state, set] = useState<State<T>>(() => {
    const before = kept.get(url);
    return { of: url, data: before ? (before.data as T) : null, error: null, isLoading: true };
  });
  const [attempt, tryAgain] = useState(0);
  const underWay = useRef<{ of: string; abort: AbortController } | null>(null);
  const beat = follows === "live" ? pulse.value : 0;
  useEffect(() => {
    const of = `${attempt} ${url}`;
    // A slow answer is waited for: events that come faster must not keep it from coming at all.
    if (underWay.current?.of === of) return;
    underWay.current?.abort.abort();
    const mine = { of, abort: new AbortController() };
    underWay.current = mine;
    // What is shown stays as it is while it is only looked at again.
    set((old) => (old.of === url && old.data !== null ? old : { ...old, isLoading: true }));
    ask<T>(url, mine.abort.signal).then(
      (data) => {
        learnZone(url, data);
        if (underWay.current !== mine) return;
        underWay.current = null;
        set({ of: url, data, error: null, isLoading: false });
      },
      (cause: unknown) => {
        if (underWay.current !== mine) return;
        underWay.current = null;
        const away = `trueup does not answer at ${location.host}: is it still running?`;
        const error = cause instanceof Refusal ? cause : new Refusal(0, away);
        set((old) => ({ of: url, data: old.of === url ? old.data : null, error, isLoading: false }));
      },
    );
  }, [url, attempt, beat]);
  useEffect(() => () => underWay.current?.abort.abort(), []);
  const retry = useCallback(() => tryAgain((count) => count + 1), []);
  return { ...state, isOld: state.of !== url, retry };
}
