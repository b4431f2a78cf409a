// Any question about usage: by what, of what, how fine; as a chart, a table, or a file.

import { type Usage, exportUrl, usageUrl } from "../api";
import { UsageChart, metricNames, metricTitle, nameOf } from "../charts/usage";
import { filterNames } from "../fleet";
import { useAnswer } from "../load";
import { AsOf } from "../parts/asof";
import { Cli } from "../parts/cli";
import { Exports } from "../parts/exports";
import { Filters, withFilter } from "../parts/filters";
import { Range } from "../parts/range";
import { NoUsage, NothingHere, Show } from "../parts/show";
import { Table, number, text } from "../parts/table";
import { Cost, Count, Delta, Name } from "../parts/words";
import { FILTERS, filters, go, param } from "../url";
import { sessionsOf, wasKept } from "./overview";

const BUCKETS: Record<string, string> = {
  auto: "as fits",
  "30m": "half hour",
  "1h": "hour",
  "1d": "day",
  "1w": "week",
  "1mo": "month",
};

/** Names of groups as the command line has them. */
const groups = (): Record<string, string> =>
  Object.fromEntries([
    ["", "nothing"],
    ...filterNames.value.map((name) => [name, name === "kind" ? "session kind" : name]),
  ]);

/** Times as reports name them, by the bucket. */
const BY: Record<string, string> = { "30m": "30m", "1h": "hour", "1d": "day", "1w": "week", "1mo": "month" };

export function Explore() {
  const group = param("group", "model");
  const subgroup = group && param("subgroup", "");
  const asked = {
    group: group || null,
    subgroup: subgroup && subgroup !== group ? subgroup : null,
    metric: param("metric", "tokens"),
    bucket: param("bucket", "auto"),
    top: param("top", "10"),
    compare: param("compare", "") || null,
    cost: param("cost", "") || null,
  };
  const usage = useAnswer<Usage>(usageUrl(asked));
  return (
    <>
      <Range />
      <Pickers group={group} subgroup={subgroup} />
      <Filters />
      <Show of={usage} what="usage">
        {(data) => (data.first_usage === null ? <NoUsage /> : <Answer usage={data} />)}
      </Show>
    </>
  );
}

interface PickProps {
  name: string;
  title: string;
  value: string;
  options: Record<string, string>;
  /** What the address leaves out. */
  fallback: string;
}

function Pick({ name, title, value, options, fallback }: PickProps) {
  return (
    <label>
      <span>{title}</span>
      <select
        value={value}
        onChange={({ currentTarget }) =>
          go({ [name]: currentTarget.value === fallback ? null : currentTarget.value })
        }
      >
        {Object.entries(options).map(([one, said]) => (
          <option key={one} value={one}>
            {said}
          </option>
        ))}
      </select>
    </label>
  );
}

function Pickers({ group, subgroup }: { group: string; subgroup: string }) {
  const metrics = Object.fromEntries(metricNames.map((name) => [name, metricTitle(name)]));
  const tops = Object.fromEntries(["5", "10", "20", "50"].map((top) => [top, `${top} and Other`]));
  return (
    <fieldset class="bar">
      <legend class="hidden">What is shown</legend>
      <Pick
        name="metric"
        title="Show"
        value={param("metric", "tokens")}
        options={metrics}
        fallback="tokens"
      />
      <Pick name="group" title="by" value={group} options={groups()} fallback="model" />
      {group && <Pick name="subgroup" title="and" value={subgroup} options={groups()} fallback="" />}
      <Pick name="bucket" title="per" value={param("bucket", "auto")} options={BUCKETS} fallback="auto" />
      <Pick name="top" title="Named" value={param("top", "10")} options={tops} fallback="10" />
      <Pick
        name="cost"
        title="Cost"
        value={param("cost", "auto")}
        options={{ auto: "as stated, else computed", computed: "computed", reported: "as stated" }}
        fallback="auto"
      />
      <Check name="cumulative" title="Added up" />
      <label class="check">
        <input
          type="checkbox"
          checked={param("compare", "") !== ""}
          onChange={({ currentTarget }) => go({ compare: currentTarget.checked ? "previous" : null })}
        />
        <span>Against the time before</span>
      </label>
    </fieldset>
  );
}

function Check({ name, title }: { name: string; title: string }) {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={param(name, "") === "1"}
        onChange={({ currentTarget }) => go({ [name]: currentTarget.checked ? "1" : null })}
      />
      <span>{title}</span>
    </label>
  );
}

function Answer({ usage }: { usage: Usage }) {
  const { exact, estimated } = usage.totals;
  const by = [BY[usage.bucket], usage.group, usage.subgroup].filter(Boolean).join(",") || null;
  const cost = param("cost", "") || null;
  // Bills know providers, and nothing else of what can be filtered by.
  const isForBills = FILTERS.every((name) => name === "provider" || filters(name).length === 0);
  return (
    <>
      <AsOf asOf={usage.as_of} buckets={usage.buckets} tz={usage.tz} />
      {exact.calls === 0 && estimated.calls === 0 ? (
        <NothingHere first={usage.first_usage} last={usage.last_usage} />
      ) : (
        <>
          <UsageChart
            usage={usage}
            isCumulative={param("cumulative", "") === "1"}
            hrefOf={sessionsOf(usage)}
          />
          <Groups usage={usage} />
        </>
      )}
      <Exports
        url={(format) => exportUrl("usage", format, { by, cost })}
        formats={["csv", "json", "ndjson", "parquet", ...(isForBills ? ["focus"] : [])]}
      />
      <Cli command={usage.cli} />
    </>
  );
}

function Groups({ usage }: { usage: Usage }) {
  const { series, totals, previous, group, subgroup } = usage;
  const sums = (of: Usage["totals"]) => [
    <Count of={of.exact.calls} />,
    <Count of={of.exact.errors} />,
    <Count of={of.exact.input + of.exact.cache_write_5m + of.exact.cache_write_1h + of.exact.cache_write} />,
    <Count of={of.exact.cache_read} />,
    <Count of={of.exact.output} />,
    <Count of={of.exact.total} />,
    <Cost of={of.exact} />,
    of.estimated.total > 0 ? <Count of={of.estimated.total} /> : "0",
  ];
  const isFilter = FILTERS.some((name) => name === group);
  const rows = series.map((one) => ({
    key: nameOf(one),
    cells: [
      isFilter && one.group && !one.is_other ? (
        <a href={withFilter(group as (typeof FILTERS)[number], one.group)}>
          <Name text={nameOf(one)} />
        </a>
      ) : (
        <Name text={nameOf(one)} />
      ),
      ...sums(one.totals),
    ],
  }));
  return (
    <>
      <Table
        caption={`${usage.from} to ${usage.to}, days of ${usage.tz}`}
        columns={[
          text([group, subgroup].filter(Boolean).join(" / ") || "all"),
          number("Calls"),
          number("Failed"),
          number("Input", "prompts, with what was written to caches"),
          number("Cached", "read from a cache"),
          number("Output"),
          number("Total"),
          number("Cost"),
          number("Claimed", "tokens that agents claim where no call was measured; in no other column"),
        ]}
        rows={[...rows, { key: "total", look: "total", cells: ["Total", ...sums(totals)] }]}
      />
      {previous && !wasKept(usage) && (
        <p>
          There is no account of the time before ({previous.from} to {previous.to}).
        </p>
      )}
      {previous && wasKept(usage) && (
        <p>
          Before ({previous.from} to {previous.to}): tokens{" "}
          <Delta now={totals.exact.total} before={previous.totals.exact.total} />, cost{" "}
          <Delta now={totals.exact.cost_usd} before={previous.totals.exact.cost_usd} />, calls{" "}
          <Delta now={totals.exact.calls} before={previous.totals.exact.calls} />.
        </p>
      )}
    </>
  );
}
