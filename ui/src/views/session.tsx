// One session: its calls in order of time, and everything that is known of one of them.

import { type Call, type Session as Told, sessionUrl } from "../api";
import { type Layer, Stacked } from "../charts/stacked";
import { Legend } from "../charts/usage";
import { useAnswer } from "../load";
import { grouped, short } from "../money";
import { Cli } from "../parts/cli";
import { Show } from "../parts/show";
import { Table, number, text } from "../parts/table";
import { Badge, Cost, Count, Missing, Moment, Money, Name, Names } from "../parts/words";
import { duration, moment } from "../time";
import { here, param, to, zone } from "../url";

/** Calls of a page: as many as a chart can show. */
const LIMIT = "200";

export function Session({ id }: { id: string }) {
  const query: Record<string, string> = { limit: LIMIT };
  const owner = param("owner", "");
  const of = param("of", "");
  const cursor = param("cursor", "");
  if (of) query["device"] = of;
  if (owner) query["agent"] = owner;
  if (cursor) query["cursor"] = cursor;
  const url = sessionUrl(id, query);
  const session = useAnswer<Told>(url);
  return (
    <>
      <p>
        <a href={to("sessions")}>All sessions</a>
      </p>
      <Show of={session} what="the session">
        {(data) => <Detail data={data} url={url} />}
      </Show>
    </>
  );
}

function Detail({ data, url }: { data: Told; url: string }) {
  const { exact, estimated, calls } = data;
  const chosen = calls.find(({ id }) => id === param("call", ""));
  return (
    <>
      <dl class="facts">
        <Fact name="Session">
          <Name text={data.session} isWhole />
        </Fact>
        <Fact name="Agent">
          <Names list={data.agents} />
        </Fact>
        {data.devices.length > 0 && (
          <Fact name={data.devices.length === 1 ? "Device" : "Devices"}>
            <Names list={data.devices} />
          </Fact>
        )}
        <Fact name="Project">
          <Names list={data.projects} />
        </Fact>
        <Fact name={`First call, ${zone.value}`}>
          <Moment at={data.first} />
        </Fact>
        <Fact name={`Last call, ${zone.value}`}>
          <Moment at={data.last} />
        </Fact>
        <Fact name="Calls">
          <Count of={exact.calls} />
          {exact.errors > 0 && `, ${grouped(exact.errors)} failed`}
        </Fact>
        <Fact name="Tokens">
          <Count of={exact.total} />
        </Fact>
        <Fact name="Cost">
          <Cost of={exact} />
        </Fact>
        {estimated.calls > 0 && (
          <Fact name="Claimed">
            <Count of={estimated.total} /> tokens, not measured
          </Fact>
        )}
      </dl>
      {data.calls_removed > 0 && (
        <p class="note">
          The rows of {grouped(data.calls_removed)} calls were removed by retention; the sums have them.
        </p>
      )}
      {calls.length > 0 && <Timeline calls={calls} />}
      {chosen && <OneCall call={chosen} />}
      <Calls calls={calls} />
      <nav class="row" aria-label="Pages">
        {param("cursor", "") && <a href={here({ cursor: null, call: null })}>The first calls</a>}
        {data.next_cursor && <a href={here({ cursor: data.next_cursor, call: null })}>Later calls</a>}
      </nav>
      <Cli command={data.cli} url={url} />
    </>
  );
}

function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Timeline({ calls }: { calls: Call[] }) {
  const layer = (name: string, look: string, of: (call: Call) => number): Layer => ({
    name,
    look,
    values: calls.map(of),
  });
  const layers = [
    layer("read from a cache", "c2", (call) => call.cache_read),
    layer("written to a cache", "c3", (call) => call.cache_write_5m + call.cache_write_1h + call.cache_write),
    layer("input", "c0", (call) => call.input),
    layer("output", "c1", (call) => call.output),
  ];
  const buckets = calls.map(({ at }) => ({
    key: moment(at, zone.value),
    start: at,
    state: "closed" as const,
  }));
  const title = `Tokens of each call in order of time, times of ${zone.value}`;
  const hrefOf = ({ start }: { start: string }) =>
    here({ call: calls.find(({ at }) => at === start)?.id ?? null });
  return (
    <section aria-label="Timeline">
      <h2 class="chart-title">{title}</h2>
      <Stacked
        {...{ title, buckets, layers, hrefOf }}
        description={`${calls.length} calls. The table below has all figures.`}
        shape="bars"
        format={short}
        say={(value) => grouped(value)}
      />
      <Legend layers={layers} buckets={buckets} />
    </section>
  );
}

function Calls({ calls }: { calls: Call[] }) {
  if (calls.length === 0) return <p class="note empty">No single call of it is kept.</p>;
  return (
    <Table
      caption={`Calls, times of ${zone.value}`}
      columns={[
        text("When"),
        text("Model"),
        text("Status"),
        number("Input"),
        number("Cached"),
        number("Output"),
        number("Total"),
        number("Cost"),
        number("Took"),
      ]}
      rows={calls.map((call) => ({
        key: call.id,
        look: call.id === param("call", "") ? "chosen" : undefined,
        cells: [
          <a href={here({ call: call.id })}>
            <Moment at={call.at} />
          </a>,
          <Name text={call.model} />,
          <Status call={call} />,
          <Count of={call.input + call.cache_write_5m + call.cache_write_1h + call.cache_write} />,
          <Count of={call.cache_read} />,
          <Count of={call.output} />,
          <Count of={call.total} />,
          <Money of={call.cost_usd} />,
          <Took ms={call.latency_ms} />,
        ],
      }))}
    />
  );
}

function Status({ call }: { call: Call }) {
  if (call.status === "ok" || call.status === "") return <Badge look="good">ok</Badge>;
  return <Badge look="bad">{call.error_type ?? call.status}</Badge>;
}

function Took({ ms }: { ms: number | null }) {
  return ms === null ? <Missing why="not told" /> : <span title={`${ms} ms`}>{duration(ms)}</span>;
}

/** Fields in the order in which one asks for them. */
const FIELDS: (keyof Call)[] = [
  "at",
  "agent",
  "provider",
  "model",
  "project",
  "kind",
  "tier",
  "status",
  "error_type",
  "input",
  "cache_read",
  "cache_write_5m",
  "cache_write_1h",
  "cache_write",
  "output",
  "reasoning",
  "total",
  "cost_usd",
  "latency_ms",
  "time_to_first_token_ms",
  "id",
];

/** Every field, as it was told, but for its time, which is of the zone of this view as all others are. */
function OneCall({ call }: { call: Call }) {
  return (
    <section class="note" aria-label="One call">
      <div class="row spread">
        <h2>One call</h2>
        <a href={here({ call: null })}>Close</a>
      </div>
      <dl class="facts">
        {FIELDS.map((name) => (
          <Fact key={name} name={name === "at" ? `at, ${zone.value}` : name.replaceAll("_", " ")}>
            {name === "at" ? <Moment at={call.at} /> : <Value of={call[name]} />}
          </Fact>
        ))}
      </dl>
    </section>
  );
}

function Value({ of }: { of: Call[keyof Call] }) {
  if (of === null) return <Missing why="not told" />;
  return <Name text={typeof of === "number" ? grouped(of) : of} isWhole />;
}
