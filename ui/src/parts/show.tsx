// What stands in the place of an answer that is not there: being read, refused, or empty.

import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { isFleet, learnFleet } from "../fleet";
import { type Answer, useAnswer } from "../load";
import { FILTERS, device, filters, go, here } from "../url";
import { Cli } from "./cli";

interface Props<T> {
  of: Answer<T>;
  /** What is read, such as `sessions`. */
  what: string;
  /** What stands there where the question was refused as one without an answer, such as no budgets. */
  refused?: (why: string) => ComponentChildren;
  children: (data: T) => ComponentChildren;
}

/** An answer, or why there is none. */
export function Show<T>({ of, what, refused, children }: Props<T>) {
  const { data, error, isLoading, isOld, retry } = of;
  const isNone = error !== null && [400, 404, 409].includes(error.status);
  if (refused && isNone && !isLoading) return <>{refused(error.message)}</>;
  if (data === null) {
    if (error && !isLoading) return <Failed text={error.message} retry={retry} />;
    return (
      <p class="loading" role="status">
        Reading {what}…
      </p>
    );
  }
  return (
    <div class={isOld ? "busy" : undefined} aria-busy={isOld}>
      {error && <Failed text={`What is shown is older: ${error.message}`} retry={retry} />}
      {children(data)}
    </div>
  );
}

function Failed({ text, retry }: { text: string; retry(): void }) {
  return (
    <div class="note bad" role="alert">
      <p dir="auto">{text}</p>
      <button type="button" onClick={retry}>
        Try again
      </button>
    </div>
  );
}

/** Nothing was ever counted: on this machine, of a device, or by any device of a hub. */
export function NoUsage() {
  if (device.value !== null) return <NothingHere first={null} last={null} />;
  return isFleet.value ? <NoUsageOfDevices /> : <NoUsageAtAll />;
}

function NoUsageOfDevices() {
  return (
    <section class="note empty" aria-label="No usage known">
      <h2>No usage is known</h2>
      <p>
        <a href="#/devices">Devices</a> tell this hub, and none of them has told of a call.
      </p>
    </section>
  );
}

function NoUsageAtAll() {
  // A hub of which no device has told yet looks like a machine that has no usage.
  const health = useAnswer<{ store?: string }>("/health", "once");
  return (
    <Show of={health} what="what is known">
      {({ store }) => (store === undefined ? <NoUsageHere /> : <NoDevices />)}
    </Show>
  );
}

/** A hub that nobody has told anything. */
export function NoDevices() {
  // Who sees this end has seen a device come.
  useEffect(() => () => void learnFleet(), []);
  return (
    <section class="note empty" aria-label="No devices">
      <h2>No device has told anything yet</h2>
      <p>
        Devices tell a <code>trueup hub</code> what their <code>trueup serve</code> counts. Each needs a token
        of its own, made where the hub is:
      </p>
      <Cli command="trueup hub token create --tenant TENANT --device DEVICE > DEVICE.token" />
      <p>On the device, then:</p>
      <Cli
        command={`TRUEUP_PUSH_ENDPOINT=${location.origin}/v1/ingest TRUEUP_PUSH_TOKEN_FILE=DEVICE.token trueup serve`}
      />
    </section>
  );
}

function NoUsageHere() {
  return (
    <section class="note empty" aria-label="No usage known">
      <h2>No usage is known</h2>
      <p>
        That is not zero: no agent's store was read, and nothing was posted. These say where trueup looked,
        and what is wrong there:
      </p>
      <Cli command="trueup sources" />
      <Cli command="trueup doctor" />
      <p>Your own agents post their calls:</p>
      <Cli
        command={`curl ${location.origin}/v1/traces -H 'Content-Type: application/json' -d '{"provider":"openai","model":"gpt-5.5","prompt_tokens":1020,"completion_tokens":52}'`}
      />
      <p>
        <code>trueup demo</code> shows all of this on built-in data.
      </p>
    </section>
  );
}

/** There is usage, but none of what was asked for. */
export function NothingHere({ first, last }: { first: string | null; last: string | null }) {
  const isFiltered = FILTERS.some((name) => filters(name).length > 0);
  const none = Object.fromEntries(FILTERS.map((name) => [name, null]));
  return (
    <div class="note empty">
      <p>
        Nothing of these days{isFiltered && " and filters"}
        {first ? ": the account was kept, and nothing was used. " : "."}
        {first && last && `Usage is known from ${first.slice(0, 10)} to ${last.slice(0, 10)} (UTC).`}
      </p>
      <p class="row">
        {isFiltered && <a href={here(none)}>Without filters</a>}
        <button type="button" onClick={() => go({ range: "all", from: null, to: null })}>
          All that is known
        </button>
      </p>
    </div>
  );
}
