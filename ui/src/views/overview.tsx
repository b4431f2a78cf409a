// What was used, what it cost, who says so, and what is new.

import { useEffect } from "preact/hooks";
import { type Bucket, type Cost, type DeviceState, type Sum, type Usage, costUrl, usageUrl } from "../api";
import { Spark } from "../charts/spark";
import { UsageChart, metricTitle, nameOf } from "../charts/usage";
import { fleet, isFleet, learnFleet } from "../fleet";
import { liveCalls } from "../live";
import { type Answer, useAnswer } from "../load";
import { counted, divided, dollars, grouped, short } from "../money";
import { AsOf } from "../parts/asof";
import { Cli } from "../parts/cli";
import { OfAllDevices } from "../parts/device";
import { Filters, withFilter } from "../parts/filters";
import { Range } from "../parts/range";
import { NoUsage, NothingHere, Show } from "../parts/show";
import { type Row, Table, number, text } from "../parts/table";
import { Badge, Cost as CostOf, Count, Delta, Missing, Moment, Money, Name } from "../parts/words";
import { daysBetween, lastOfMonth, plusDays } from "../time";
import { FILTERS, type FilterName, device, go, here, param, to } from "../url";

const STATES: DeviceState[] = ["ok", "behind", "silent", "lossy"];
const METRICS = ["tokens", "cost", "calls", "errors"];
const TOP = "5";

export function Overview() {
  const metric = METRICS.find((one) => one === param("metric", "tokens")) ?? "tokens";
  const usage = useAnswer<Usage>(usageUrl({ group: "model", metric, compare: "previous" }));
  return (
    <>
      <Range />
      <Filters />
      {isFleet.value && <Fleet />}
      <Show of={usage} what="usage">
        {(data) => (data.first_usage === null ? <NoUsage /> : <Account usage={data} metric={metric} />)}
      </Show>
    </>
  );
}

/** Whether all of it came: what devices have not told is in no figure. */
function Fleet() {
  useEffect(() => void learnFleet(), []);
  const { counts, is_complete: isComplete, rows } = fleet.value ?? {};
  const states = STATES.map((state) => [state, counts?.[state] ?? 0] as const).filter(
    ([, count]) => count > 0,
  );
  return (
    <p class="row">
      <a href={to("devices")}>{counted(rows?.length ?? 0, "device")}</a>
      <Badge look={isComplete ? "good" : "warn"}>
        {states.map(([state, count]) => `${grouped(count)} ${state}`).join(", ")}
      </Badge>
    </p>
  );
}

function Account({ usage, metric }: { usage: Usage; metric: string }) {
  const { exact, estimated } = usage.totals;
  const isEmpty = exact.calls === 0 && estimated.calls === 0;
  return (
    <>
      <AsOf asOf={usage.as_of} buckets={usage.buckets} tz={usage.tz} />
      <Cards usage={usage} />
      {isEmpty ? (
        <NothingHere first={usage.first_usage} last={usage.last_usage} />
      ) : (
        <section aria-label="Usage over time">
          <div class="row spread">
            <h2>Over time</h2>
            <label>
              <span>Show</span>
              <select value={metric} onChange={(event) => go({ metric: event.currentTarget.value })}>
                {METRICS.map((one) => (
                  <option key={one} value={one}>
                    {metricTitle(one)}
                  </option>
                ))}
              </select>
            </label>
          </div>
          <UsageChart usage={usage} hrefOf={sessionsOf(usage)} />
        </section>
      )}
      <Witnesses usage={usage} />
      <div class="columns">
        <TopModels usage={usage} />
        <Top name="project" title="Projects" />
        <Top name="agent" title="Agents" />
        {isFleet.value && device.value === null && <Top name="device" title="Devices" />}
        <Latest />
      </div>
      <Cli command={usage.cli} />
    </>
  );
}

/** Where a bucket of a usage leads to: the sessions of its day, or days. */
export function sessionsOf({ bucket }: Usage): (of: Bucket) => string {
  return ({ key }) => {
    const from = key.length === 7 ? `${key}-01` : key.slice(0, 10);
    const last = bucket === "1mo" ? lastOfMonth(from) : bucket === "1w" ? plusDays(from, 6) : from;
    return to("sessions", { range: null, from, to: last });
  };
}

/** Whether there is an account of the time before. */
export function wasKept({ previous, first_usage }: Usage): boolean {
  return previous !== null && first_usage !== null && first_usage.slice(0, 10) <= previous.to;
}

export function Cards({ usage }: { usage: Usage }) {
  const { exact, estimated } = usage.totals;
  const isKept = wasKept(usage);
  const before = isKept ? usage.previous?.totals.exact : undefined;
  const first = usage.first_usage?.slice(0, 10) ?? usage.from;
  const days = Math.max(1, daysBetween(first > usage.from ? first : usage.from, usage.to));
  const cached = exact.cache_saved_usd;
  const delta = (of: (sum: Sum) => string | number | undefined) => {
    const [now, then] = [of(exact), before && of(before)];
    return now !== undefined && then !== undefined ? <Delta now={now} before={then} /> : null;
  };
  return (
    <section aria-label="Totals">
      <dl class="cards">
        <Card
          name="Tokens"
          value={short(exact.total)}
          title={grouped(exact.total)}
          delta={delta((sum) => sum.total)}
        >
          {estimated.total > 0 && `and ${short(estimated.total)} only claimed`}
        </Card>
        <Card name="Cost, at list prices" value={<CostOf of={exact} />} delta={delta((sum) => sum.cost_usd)}>
          {exact.unpriced_calls > 0 && `${counted(exact.unpriced_calls, "call")} without a price`}
        </Card>
        <Card
          name="Calls"
          value={short(exact.calls)}
          title={grouped(exact.calls)}
          delta={delta((sum) => sum.calls)}
        >
          {estimated.calls > 0 && `and ${counted(estimated.calls, "claimed run")}`}
        </Card>
        <Card
          name="Saved by caches"
          value={cached === undefined ? <Missing why="not told" /> : <Money of={cached} />}
          delta={delta((sum) => sum.cache_saved_usd)}
        >
          {short(exact.cache_read)} tokens read
        </Card>
        <Card
          name="Failed calls"
          value={short(exact.errors)}
          title={grouped(exact.errors)}
          delta={delta((sum) => sum.errors)}
        >
          {exact.calls > 0 && `${divided(String(exact.errors * 100), exact.calls).slice(0, 4)} % of calls`}
        </Card>
        <Card name="Burn rate" value={`${dollars(divided(exact.cost_usd, days))} a day`}>
          mean of {days} {days === 1 ? "day" : "days"}, the open one too
        </Card>
      </dl>
      {usage.previous && (
        <p class="quiet">
          Before is {usage.previous.from} to {usage.previous.to}
          {!isKept && ", of which there is no account"}.
        </p>
      )}
    </section>
  );
}

interface CardProps {
  name: string;
  value: preact.ComponentChildren;
  title?: string;
  delta?: preact.ComponentChildren;
  children?: preact.ComponentChildren;
}

function Card({ name, value, title, delta, children }: CardProps) {
  return (
    <div class="card">
      <dt>{name}</dt>
      <dd class="value" title={title}>
        {value}
      </dd>
      {delta && <dd>{delta}</dd>}
      <dd class="quiet">{children || " "}</dd>
    </div>
  );
}

const BASIS: Record<string, { name: string; what: string }> = {
  billed: { name: "Billed", what: "providers, or their statements, say that it was charged" },
  estimate: { name: "Not billed yet", what: "the account's usage at list prices, where no bill is known" },
  unpriced: { name: "Without a price", what: "the account knows the usage, and nobody its price" },
};

const OF_MACHINE = "connect a provider, or import a statement";
const OF_HUB = "devices tell a hub of none";

/** Measured, claimed, billed: three witnesses, which are never added to each other. */
function Witnesses({ usage }: { usage: Usage }) {
  const cost = useAnswer<Cost>(costUrl({ by: "month" }), "once");
  const { exact, estimated } = usage.totals;
  const own: Row[] = [
    {
      key: "measured",
      cells: [
        "Measured",
        "records of single calls",
        <Count of={exact.total} isShort />,
        <CostOf of={exact} />,
      ],
    },
    {
      key: "claimed",
      cells: [
        "Claimed",
        "what agents say of runs of which no call was measured",
        <Count of={estimated.total} isShort />,
        <CostOf of={estimated} />,
      ],
    },
  ];
  const isFiltered = FILTERS.some((name) => param(name, "") !== "");
  return (
    <section aria-label="Who says so">
      <h2>Who says so</h2>
      <Table
        caption="What was measured, claimed and billed; these are never added to each other"
        columns={[text("Witness"), text("What it is"), number("Tokens"), number("Dollars")]}
        rows={[...own, ...billed(cost)]}
      />
      {cost.error && <p class="quiet">What was billed cannot be read: {cost.error.message}</p>}
      <p class="quiet">
        What was billed is of UTC days{isFiltered && ", and of everything: bills do not know these filters"}.{" "}
        <a href={to("parity")}>Where account and bill differ</a>
      </p>
    </section>
  );
}

function billed({ data, isLoading }: Answer<Cost>): Row[] {
  if (data === null) {
    if (!isLoading) return [];
    return [
      {
        key: "billed",
        cells: ["Billed", "reading…", <Missing why="being read" />, <Missing why="being read" />],
      },
    ];
  }
  const rows: Row[] = data.totals.map(({ basis, currency, amount, tokens }) => ({
    key: `${basis} ${currency}`,
    cells: [
      BASIS[basis]?.name ?? basis,
      BASIS[basis]?.what ?? "",
      <span title={tokens}>{short(Number(tokens))}</span>,
      <Money of={amount} currency={currency} />,
    ],
  }));
  if (data.totals.some(({ basis }) => basis === "billed")) return rows;
  const none = <Missing why="no bill is known" />;
  return [
    {
      key: "billed",
      cells: ["Billed", `no bill is known: ${isFleet.value ? OF_HUB : OF_MACHINE}`, none, none],
    },
    ...rows,
  ];
}

function TopModels({ usage }: { usage: Usage }) {
  const rows = usage.series
    .filter(({ is_other }) => !is_other)
    .slice(0, Number(TOP))
    .map((series) => ({
      key: nameOf(series),
      cells: [
        <a href={withFilter("model", series.group ?? "")}>
          <Name text={series.group} />
        </a>,
        <Spark values={series.exact} name={metricTitle(usage.metric)} />,
        <Count of={series.totals.exact.total} isShort />,
        <CostOf of={series.totals.exact} />,
      ],
    }));
  return (
    <section aria-label="Models">
      <h2>
        Models{" "}
        <a class="more" href={to("explore", { group: "model" })}>
          all
        </a>
      </h2>
      <Table
        caption="Models"
        isCaptionHidden
        columns={[text("Model"), text("Over time"), number("Tokens"), number("Cost")]}
        rows={rows}
      />
    </section>
  );
}

function Top({ name, title }: { name: FilterName; title: string }) {
  const usage = useAnswer<Usage>(usageUrl({ group: name, bucket: "none", top: TOP }));
  return (
    <section aria-label={title}>
      <h2>
        {title}{" "}
        <a class="more" href={to("explore", { group: name })}>
          all
        </a>
      </h2>
      <Show of={usage} what={title.toLowerCase()}>
        {(data) => (
          <Table
            caption={title}
            isCaptionHidden
            columns={[text(title.slice(0, -1)), number("Calls"), number("Tokens"), number("Cost")]}
            rows={data.series.map((series) => ({
              key: nameOf(series),
              cells: [
                series.is_other || !series.group ? (
                  nameOf(series)
                ) : (
                  <a href={here({ [name]: series.group })}>
                    <Name text={series.group} />
                  </a>
                ),
                <Count of={series.totals.exact.calls} isShort />,
                <Count of={series.totals.exact.total} isShort />,
                <CostOf of={series.totals.exact} />,
              ],
            }))}
          />
        )}
      </Show>
    </section>
  );
}

/** The latest calls, and those that come while somebody looks. */
function Latest() {
  const calls = liveCalls.value;
  return (
    <section aria-label="Latest calls">
      <h2>Latest calls</h2>
      <OfAllDevices />
      {calls.length === 0 ? (
        <p class="quiet">None is known.</p>
      ) : (
        <Table
          caption="Latest calls"
          isCaptionHidden
          columns={[text("When"), text("Agent"), text("Model"), number("Tokens"), number("Cost")]}
          rows={calls.slice(0, 8).map((call) => ({
            key: call.id,
            cells: [
              call.session ? (
                <a href={to("session", { call: call.id, owner: call.agent, device: null }, call.session)}>
                  <Moment at={call.at} />
                </a>
              ) : (
                <Moment at={call.at} />
              ),
              <Name text={call.agent} />,
              <Name text={call.model} />,
              <Count of={call.total} isShort />,
              <Money of={call.cost_usd} />,
            ],
          }))}
        />
      )}
    </section>
  );
}
