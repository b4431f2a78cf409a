// How new the figures are, and which of them may still change.

import type { Bucket } from "../api";
import { liveAsOf, liveState } from "../live";
import { zone } from "../url";
import { Badge, Moment } from "./words";

const LIVE = {
  on: "live: new calls show by themselves",
  waiting: "connecting…",
  off: "not live: reload for new calls",
};

interface Props {
  asOf: string | null;
  buckets?: Bucket[];
  tz: string;
}

export function AsOf({ asOf, buckets = [], tz }: Props) {
  const open = buckets.filter(({ state }) => state === "open").at(-1);
  const state = liveState.value;
  return (
    <p class="asof">
      <span>
        Data as of <Moment at={later(asOf, liveAsOf.value)} /> ({zone.value}); days of {tz}
      </span>
      {open && (
        <Badge look="open" title="It is not over: its figures may still grow">
          {open.key} is open
        </Badge>
      )}
      <Badge look={state === "on" ? "good" : "plain"} title={LIVE[state]}>
        {state === "on" ? "live" : state === "waiting" ? "connecting" : "not live"}
      </Badge>
    </p>
  );
}

function later(one: string | null, other: string | null): string | null {
  if (one === null || other === null) return one ?? other;
  return one > other ? one : other;
}
