// Devices of a hub: who tells it, and whether all of it came.

import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { type Device, type DeviceState, type Devices as Told, devicesUrl } from "../api";
import { fleet } from "../fleet";
import { beat } from "../live";
import { useAnswer } from "../load";
import { counted, grouped } from "../money";
import { Cli } from "../parts/cli";
import { NoDevices, Show } from "../parts/show";
import { Table, number, text } from "../parts/table";
import { Badge, type BadgeLook, Count, Missing, Moment, Name } from "../parts/words";
import { duration } from "../time";
import { device as chosen, go, here, param, to, zone } from "../url";

/** Devices that are listed; more are found by their state or their name. */
const ROWS_MAX = 200;
/** How often it is asked anew while somebody looks: a device that falls silent makes no event. */
const AGAIN_MS = 10_000;

/** What a state is, and what to do; the worst first. The first that holds is a device's. */
const STATES: {
  state: DeviceState;
  look: BadgeLook;
  short: string;
  what: string;
  mend: ComponentChildren;
}[] = [
  {
    state: "lossy",
    look: "bad",
    short: "some of it never comes",
    what: "Some of its records will never come: it had to drop them, the hub refused them, or places of its outbox were passed over (missing). Sums are too low by them.",
    mend: (
      <>
        <code>trueup push status</code> on the device tells which, and why.
      </>
    ),
  },
  {
    state: "silent",
    look: "warn",
    short: "not heard of",
    what: "It was not heard of for three heartbeats. It may be off, asleep, or without a way to the hub; what it counts meanwhile comes later.",
    mend: (
      <>
        <code>trueup push status</code> on the device tells what its last attempts met.
      </>
    ),
  },
  {
    state: "behind",
    look: "warn",
    short: "records wait",
    what: "It is heard of, and a record waits on it for longer than three heartbeats. Its last figures are still to come.",
    mend: (
      <>
        Nothing where it was offline for long: it catches up. Otherwise <code>trueup push status</code> on the
        device tells what keeps it from sending.
      </>
    ),
  },
  {
    state: "ok",
    look: "good",
    short: "all of it comes",
    what: "It is heard of, nothing of it is known to be missing, and nothing waits for long.",
    mend: null,
  },
];

const looks = new Map(STATES.map(({ state, look }) => [state, look]));
const ranks = new Map(STATES.map(({ state }, rank) => [state, rank]));

/** Views of which each has something to show of a single device. */
const VIEWS = { explore: "Explore", sessions: "Sessions", errors: "Errors", host: "Host" };

export function Devices() {
  const devices = useAnswer<Told>(devicesUrl());
  const { data } = devices;
  useEffect(() => {
    if (data) fleet.value = data;
  }, [data]);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || beat(), AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <Show of={devices} what="devices">
      {(told) => (told.rows.length === 0 ? <NoDevices /> : <All told={told} />)}
    </Show>
  );
}

function All({ told }: { told: Told }) {
  return (
    <>
      <p class="asof">
        <Badge look={told.is_complete ? "good" : "warn"}>
          {told.is_complete ? "all of it came" : "not all of it came"}
        </Badge>
        <span>
          As of <Moment at={told.as_of} /> ({zone.value})
        </span>
      </p>
      <Counts told={told} />
      <List told={told} />
      <h2>What the states mean</h2>
      <dl>
        {STATES.map(({ state, look, what, mend }) => (
          <div key={state} class="item">
            <dt>
              <Badge look={look}>{state}</Badge>
            </dt>
            <dd>{what}</dd>
            {mend && <dd>{mend}</dd>}
          </div>
        ))}
      </dl>
      <p class="quiet">
        Three heartbeats are {duration(told.silent_after_seconds * 1000)} (<code>hub_heartbeat</code>). Of
        several states the first of these holds.
      </p>
      <Cli command={told.cli} />
    </>
  );
}

function Counts({ told }: { told: Told }) {
  const state = param("state", "");
  const card = (name: string, count: number, what: string, of: string | null) => (
    <div class="card" key={name}>
      <dt>{of === null ? name : <Badge look={looks.get(of as DeviceState) ?? "plain"}>{name}</Badge>}</dt>
      <dd class="value">
        <a
          href={here({ state: of })}
          aria-current={state === (of ?? "") ? "true" : undefined}
          aria-label={`${counted(count, "device")}, ${of ?? "of any state"}`}
        >
          {grouped(count)}
        </a>
      </dd>
      <dd class="quiet">{what}</dd>
    </div>
  );
  return (
    <section aria-label="Devices by state">
      <dl class="cards of-five">
        {card("Devices", told.rows.length, "in all", null)}
        {STATES.toReversed().map((one) => card(one.state, told.counts[one.state], one.short, one.state))}
      </dl>
    </section>
  );
}

function List({ told }: { told: Told }) {
  const [state, find] = [param("state", ""), param("find", "")];
  const rank = (one: Device) => ranks.get(one.state) ?? 0;
  const fits = (one: Device) => (state === "" || one.state === state) && one.device.includes(find);
  const found = told.rows.filter(fits).toSorted((one, other) => rank(one) - rank(other));
  const left = found.length - ROWS_MAX;
  return (
    <>
      <div class="bar">
        <label>
          <span>Name has</span>
          <input
            value={find}
            maxLength={256}
            onInput={({ currentTarget }) => go({ find: currentTarget.value || null }, true)}
          />
        </label>
        {(state || find) && <a href={here({ state: null, find: null })}>All devices</a>}
      </div>
      {found.length === 0 ? (
        <p class="note empty">None of {counted(told.rows.length, "device")} is so.</p>
      ) : (
        <div class="narrow">
          <Table
            caption={`Devices, times of ${zone.value}`}
            columns={[
              text("Device"),
              text("State"),
              text("Last seen"),
              text("Version"),
              number("Waiting", "records that wait on the device"),
              text("since"),
              number("Dropped", "records that the device had to drop"),
              number("Refused", "records that the hub refused"),
              number("Missing", "places of its outbox that were passed over"),
              number("Records", "taken by the hub"),
              text("Look at"),
            ]}
            rows={found.slice(0, ROWS_MAX).map(row)}
          />
        </div>
      )}
      {left > 0 && <p class="note">{counted(left, "device")} more: choose a state, or a part of the name.</p>}
    </>
  );
}

function row(one: Device) {
  const { device, state } = one;
  const of = [one.host, one.agent].filter((name) => name !== null && name !== device).join(", ");
  return {
    key: device,
    look: device === chosen.value ? "chosen" : undefined,
    cells: [
      <>
        <a href={to("overview", { device })}>
          <Name text={device} />
        </a>
        {of !== "" && (
          <>
            {" "}
            <span class="quiet">
              <Name text={of} />
            </span>
          </>
        )}
      </>,
      <Badge look={looks.get(state) ?? "plain"}>{state}</Badge>,
      <time dateTime={one.last_seen_at} title={one.last_seen_at}>
        {ago(one.seen_seconds_ago)}
      </time>,
      <Name text={one.version} />,
      <Count of={one.waiting} />,
      one.oldest_waiting_at === null ? (
        <Missing why={one.waiting === null ? "not told" : "nothing waits"} />
      ) : (
        <Moment at={one.oldest_waiting_at} />
      ),
      <Lost of={one.dropped} />,
      <Lost of={one.refused} />,
      <Lost of={one.missing} />,
      <Count of={one.accepted} />,
      <span class="links">
        {Object.entries(VIEWS).map(([view, title]) => (
          <a key={view} href={to(view, { device })} aria-label={`${title} of ${device}`}>
            {title}
          </a>
        ))}
      </span>,
    ],
  };
}

function ago(seconds: number): string {
  return `${seconds < 60 ? `${seconds} s` : duration(seconds * 1000)} ago`;
}

/** What will never come. */
function Lost({ of }: { of: number }) {
  if (of === 0) return <Count of={of} />;
  return (
    <strong>
      <Count of={of} />
    </strong>
  );
}
