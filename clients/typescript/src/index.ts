/**
 * Tells a trueup daemon what a product may tell of itself.
 *
 * What is told is added up by the daemon, by the product's manifest, and nothing else is kept or sent.
 * This client never throws into the product and never makes it wait: what it is given it hands to the
 * daemon a moment later, and drops, counted, where that is not there.
 *
 *     const telemetry = new TelemetryClient("claude-mem", { base: { version: "13.15.3" } });
 *     telemetry.record("observer_turn", { key: "s1", props: { tokens_input: 120, outcome: "ok" } });
 *     telemetry.end("s1");
 */

import { Agent, request } from "node:http";
import type { Socket } from "node:net";

/** What a field can hold. */
export type Value = string | number | boolean | null;
/** Properties of a record. */
export type Props = Readonly<Record<string, Value | undefined>>;

export interface Options {
  /** Of the daemon; `TRUEUP_ADDRESS`, else `http://127.0.0.1:9090`. */
  address?: string;
  /** Fields that every event carries. */
  base?: Props;
  /** Of the daemon, where it wants one; `TRUEUP_TOKEN`. */
  token?: string;
}

export interface Failure {
  /** What it says, where that is not in the error. */
  message?: string;
  /** Where it came from, where that is not in the error. */
  stack?: string;
  /** Whether the product went on; true unless it is said. */
  handled?: boolean;
}

const DEFAULT_ADDRESS = "http://127.0.0.1:9090";
/** Objects that wait for the daemon at most; more are dropped, and counted. */
const QUEUE_MAX = 1_000;
/** Bytes of a request's body: the daemon takes 64 KiB. */
const BODY_BYTES_MAX = 60_000;
/** Characters of a text: no field holds as many. */
const TEXT_CHARS_MAX = 1_024;
/** Characters of a message or a stack, the innermost frames: the daemon looks at as many. */
const STACK_CHARS_MAX = 8_000;
/** Properties of a record: the daemon looks at as many. */
const PROPS_MAX = 256;
/** How long a request may take. */
const REQUEST_MS_MAX = 2_000;
/** How long the end of the process may wait. */
const EXIT_MS_MAX = 500;
/** How long after a failure it is tried again, at first and at last. */
const RETRY_MS = [500, 60_000] as const;
/** How long objects are collected before they are sent together. */
const COLLECT_MS = 50;

type Line = { text: string; bytes: number };
/** `away` where nobody listens; what is `lost` may have arrived, and is never sent again. */
type Outcome = "taken" | "away" | "lost";
type Answer = { status: number; body: string; socket: Socket | undefined };

export class TelemetryClient {
  #queue: Line[] = [];
  #sending: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = 0;
  #dropped = 0;
  #problem: string | undefined;
  #isOff = false;
  #isAway = false;
  /** One connection at a time. */
  #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  /** The connection on which the base fields were told: behind another there may be another daemon. */
  #told: Socket | undefined;
  #url = "";
  #base = "";
  #headers: Record<string, string> = { "content-type": "application/x-ndjson" };
  #atExit = () => void this.close();

  /** `product` is its name, as in its manifest. */
  constructor(product: string, options: Options = {}) {
    try {
      const stated = options.address ?? process.env["TRUEUP_ADDRESS"] ?? DEFAULT_ADDRESS;
      const url = new URL(stated.includes("://") ? stated : `http://${stated}`);
      if (url.protocol !== "http:") throw new Error("the address of the daemon is http://HOST:PORT");
      this.#url = `${url.origin}/v1/telemetry/${encodeURIComponent(product)}`;
      if (options.base !== undefined) this.#base = JSON.stringify(plain(options.base));
      const token = options.token ?? process.env["TRUEUP_TOKEN"];
      if (token) this.#headers["authorization"] = `Bearer ${token}`;
      this.#isOff = isNotToBeTracked();
    } catch (error) {
      this.#problem = String(error);
      this.#isOff = true;
    }
    if (!this.#isOff) process.once("beforeExit", this.#atExit);
  }

  /** Whether nothing is told: `DO_NOT_TRACK`, a wrong address, or closed. */
  get isOff(): boolean {
    return this.#isOff;
  }

  /** Objects that were not handed over: too many waited, or the daemon did not take them. */
  get dropped(): number {
    return this.#dropped;
  }

  /** What did not go well the last time, in words. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Adds a record to an event, of a session where the event has sessions. */
  record(event: string, of: { key?: string | number; props?: Props } = {}): void {
    this.#put(() => {
      const { key, props } = of;
      const session = key === undefined ? {} : { key: text(key) };
      return { event: text(event), props: plain(props), ...session };
    });
  }

  /** Tells that something happened of which there are few by nature. */
  lifecycle(event: string, props?: Props): void {
    this.#put(() => ({ lifecycle: text(event), props: plain(props) }));
  }

  /** Ends a session. */
  end(key: string | number): void {
    this.#put(() => ({ end: text(key) }));
  }

  /** Tells of something thrown, or of an error by its type. The daemon redacts it. */
  error(error: unknown, failure: Failure = {}): void {
    this.#put(() => {
      const { message, stack, handled = true } = failure;
      const isError = error instanceof Error;
      const type = isError ? error.name : typeof error === "string" ? error : "Error";
      const said = message ?? (isError ? error.message : "");
      const from = stack ?? (isError ? error.stack : undefined);
      return {
        error: {
          type: text(type),
          message: text(said, STACK_CHARS_MAX),
          handled,
          ...(from === undefined ? {} : { stack: framesOf(String(from)) }),
        },
      };
    });
  }

  /**
   * Hands over what waits, and has the daemon seal and send what it may. Whether that was done in time;
   * it waits no longer, and never rejects.
   */
  async flush(timeoutMs = EXIT_MS_MAX): Promise<boolean> {
    this.#put(() => ({ flush: true }));
    return this.#isOff ? false : this.#drain(timeoutMs);
  }

  /** How the product's telemetry stands, as the daemon says; undefined where it does not. */
  async status(timeoutMs = EXIT_MS_MAX): Promise<Record<string, unknown> | undefined> {
    if (this.#isOff) return undefined;
    try {
      const { status, body } = await this.#ask("GET", "/status", "", timeoutMs);
      const told: unknown = JSON.parse(body);
      const isTold = status === 200 && typeof told === "object" && told !== null;
      return isTold ? (told as Record<string, unknown>) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Hands over what waits, for no longer than that, and takes nothing more. */
  async close(timeoutMs = EXIT_MS_MAX): Promise<void> {
    if (this.#isOff) return;
    process.removeListener("beforeExit", this.#atExit);
    await this.#drain(timeoutMs);
    this.#isOff = true;
    this.#agent.destroy();
    clearTimeout(this.#timer);
    this.#dropped += this.#queue.length;
    this.#queue = [];
  }

  #put(make: () => unknown): void {
    if (this.#isOff) return;
    try {
      const text = JSON.stringify(make());
      const bytes = Buffer.byteLength(text) + 1;
      if (this.#queue.length >= QUEUE_MAX || bytes > BODY_BYTES_MAX) {
        this.#dropped += 1;
        return;
      }
      this.#queue.push({ text, bytes });
      this.#plan(this.#retryMs || COLLECT_MS);
    } catch {
      this.#dropped += 1;
    }
  }

  /** Has what waits sent after a time, unless that is planned already. */
  #plan(ms: number): void {
    if (this.#timer !== undefined || this.#sending !== undefined || this.#isOff) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#begin();
    }, ms);
    // It keeps no process alive: what waits at the end is sent by `beforeExit`.
    this.#timer.unref();
  }

  /** Sends what waits, unless that is under way. */
  #begin(): Promise<void> {
    this.#sending ??= this.#turn().finally(() => {
      this.#sending = undefined;
      if (this.#queue.length > 0) this.#plan(this.#retryMs || COLLECT_MS);
    });
    return this.#sending;
  }

  async #turn(): Promise<void> {
    const lines: Line[] = [];
    let bytes = 0;
    for (const line of this.#queue) {
      if (bytes + line.bytes > BODY_BYTES_MAX) break;
      bytes += line.bytes;
      lines.push(line);
    }
    if (lines.length === 0) return;
    this.#queue.splice(0, lines.length);
    const outcome = await this.#send(lines.map((line) => line.text).join("\n"));
    this.#isAway = outcome !== "taken";
    if (outcome === "taken") {
      this.#retryMs = 0;
      return;
    }
    if (outcome === "away") {
      // Nothing of it was handed over: it goes first the next time.
      this.#queue.unshift(...lines);
    } else {
      this.#dropped += lines.length;
    }
    this.#retryMs = Math.min(Math.max(2 * this.#retryMs, RETRY_MS[0]), RETRY_MS[1]);
  }

  async #send(body: string): Promise<Outcome> {
    try {
      // Lets the news in that the daemon has hung up: after a minute of silence, or because it ended.
      await new Promise((turn) => setImmediate(turn));
      if (this.#base !== "" && (this.#told === undefined || this.#told.destroyed)) {
        const answer = await this.#ask("PUT", "/base", this.#base);
        this.#told = this.#isTaken(answer) ? answer.socket : undefined;
      }
      return this.#isTaken(await this.#ask("POST", "/records", body)) ? "taken" : "lost";
    } catch (error) {
      const { code } = error as { code?: unknown };
      this.#problem = typeof code === "string" ? code : String(error);
      return code === "ECONNREFUSED" ? "away" : "lost";
    }
  }

  #isTaken({ status, body }: Answer): boolean {
    const isTaken = status >= 200 && status < 300;
    this.#problem = isTaken ? undefined : body.slice(0, 500) || `the answer was ${status}`;
    return isTaken;
  }

  /** Asks the daemon, and nobody to whom its answer might point. */
  #ask(method: string, path: string, body: string, timeoutMs = REQUEST_MS_MAX): Promise<Answer> {
    return new Promise((told, failed) => {
      const headers = { ...this.#headers, "content-length": Buffer.byteLength(body) };
      const signal = AbortSignal.timeout(timeoutMs);
      let socket: Socket | undefined;
      const asked = request(this.#url + path, { agent: this.#agent, method, headers, signal });
      asked.once("socket", (its) => (socket = its));
      asked.on("error", failed);
      asked.once("response", (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (part: Buffer) => parts.push(part));
        answer.on("error", failed);
        answer.once("end", () => {
          told({ status: answer.statusCode ?? 0, body: Buffer.concat(parts).toString(), socket });
        });
      });
      asked.end(body);
    });
  }

  async #drain(timeoutMs: number): Promise<boolean> {
    const drained = async (): Promise<boolean> => {
      if (this.#sending !== undefined) await this.#sending;
      while (this.#queue.length > 0) {
        await this.#begin();
        // Whoever is not there now will not be within half a second.
        if (this.#isAway) return false;
      }
      return !this.#isAway;
    };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((told) => {
      timer = setTimeout(() => told(false), timeoutMs);
    });
    try {
      return await Promise.race([drained(), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function isNotToBeTracked(): boolean {
  const wish = process.env["DO_NOT_TRACK"] ?? "";
  return wish !== "" && wish !== "0" && wish !== "false";
}

/** A text of so many characters. Half of a pair, such as a cut emoji, would have it refused. */
function text(value: unknown, charsMax = TEXT_CHARS_MAX): string {
  return String(value).slice(0, charsMax).toWellFormed();
}

/** The frames of a stack, the innermost first; not the message, which may have lines of its own. */
function framesOf(stack: string): string {
  const frames = stack.split("\n").filter((line) => line.trimStart().startsWith("at "));
  return text(frames.join("\n"), STACK_CHARS_MAX);
}

/** Only what a field can hold; the rest becomes null, which the daemon drops and counts. */
function plain(props: Props = {}): Record<string, Value> {
  const kept = Object.entries(props).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    kept.slice(0, PROPS_MAX).map(([key, value]): [string, Value] => {
      if (typeof value === "string") return [text(key), text(value)];
      const isPlain = typeof value === "boolean" || (typeof value === "number" && isFinite(value));
      return [text(key), isPlain ? value : null];
    }),
  );
}
