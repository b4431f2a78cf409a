// Usage over time, as a chart with its legend and its table. More buckets than SVG is good for are drawn
// by uPlot, which is loaded only then.

import { useMemo } from "preact/hooks";
import type { Bucket, Series, Usage, Value } from "../api";
import { dollars, grouped, height, short, sum } from "../money";
import { type Column, type Row, Twin } from "../parts/table";
import { Missing } from "../parts/words";
import { Dense } from "./dense";
import { type Layer, Stacked } from "./stacked";

/** Buckets that are drawn as SVG. */
const SVG_BUCKETS_MAX = 200;
/** Colours that there are. */
const LOOKS = 12;

const METRICS: Record<string, string> = {
  tokens: "Tokens",
  input: "Input tokens",
  cache_read: "Tokens read from a cache",
  cache_write: "Tokens written to a cache",
  output: "Output tokens",
  reasoning: "Reasoning tokens",
  calls: "Calls",
  errors: "Failed calls",
  cost: "Cost in dollars",
};

export const metricTitle = (metric: string): string => METRICS[metric] ?? metric;
export const metricNames = Object.keys(METRICS);

/** A value of a metric, in full. */
export function said(value: Value, metric: string): string {
  return metric === "cost" ? dollars(String(value ?? 0)) : grouped(value ?? 0);
}

export function nameOf({ group, subgroup, is_other, groups }: Series): string {
  if (is_other) return `Other (${groups})`;
  const name = group === null ? "All" : group || "not said";
  return subgroup === null ? name : `${name} / ${subgroup || "not said"}`;
}

function add(one: Value, other: Value): Value {
  if (one === null || other === null) return one ?? other;
  return typeof one === "string" ? sum([one, String(other)]) : one + Number(other);
}

/** Each value with all before it. */
function cumulated(values: Value[]): Value[] {
  let total: Value = null;
  return values.map((value) => (value === null ? null : (total = add(total, value))));
}

/** Layers of a chart: what was measured by group, and what is claimed upon it. */
function layersOf(usage: Usage, isCumulative: boolean): Layer[] {
  const shaped = isCumulative ? cumulated : (values: Value[]) => values;
  const measured = usage.series.map((series, at) => ({
    name: nameOf(series),
    look: series.is_other ? "other" : `c${at % LOOKS}`,
    values: shaped(series.exact),
  }));
  const claimed = usage.buckets.map((_, at) =>
    usage.series.reduce<Value>((total, { estimated }) => add(total, estimated[at] ?? null), null),
  );
  if (claimed.every((value) => height(value) === 0)) return measured;
  return [...measured, { name: "claimed, not measured", look: "claimed", values: shaped(claimed) }];
}

interface Props {
  usage: Usage;
  isCumulative?: boolean;
  /** Where a bucket leads to. */
  hrefOf?: (bucket: Bucket) => string;
}

export function UsageChart({ usage, isCumulative = false, hrefOf }: Props) {
  const { buckets, metric, bucket } = usage;
  const layers = useMemo(() => layersOf(usage, isCumulative), [usage, isCumulative]);
  const title = `${metricTitle(metric)}${isCumulative ? ", added up" : ""} by ${[bucketName(bucket), usage.group, usage.subgroup].filter(Boolean).join(" and ")}`;
  const description = `${usage.from} to ${usage.to}, days of ${usage.tz}; ${layers.length} layers over ${buckets.length} buckets. The table below has all figures.`;
  const format = (value: number) => (metric === "cost" ? `$${short(value)}` : short(value));
  const say = (value: number | string) => said(value, metric);
  const isDense = buckets.length > SVG_BUCKETS_MAX;
  return (
    <>
      <h2 class="chart-title">{title}</h2>
      {isDense ? (
        <Dense title={title} description={description} buckets={buckets} layers={layers} format={format} />
      ) : (
        <Stacked
          {...{ title, description, buckets, layers, format, say, ...(hrefOf && { hrefOf }) }}
          shape={isCumulative ? "area" : "bars"}
        />
      )}
      <Legend layers={isDense ? [] : layers} buckets={buckets} />
      <Twin caption={title} make={() => table(buckets, layers, say, hrefOf)} />
    </>
  );
}

function bucketName(bucket: string): string {
  const names: Record<string, string> = {
    "30m": "half hour",
    "1h": "hour",
    "1d": "day",
    "1w": "week",
    "1mo": "month",
  };
  return names[bucket] ?? bucket;
}

export function Legend({ layers, buckets }: { layers: Layer[]; buckets: Bucket[] }) {
  const has = (state: Bucket["state"]) => buckets.some((bucket) => bucket.state === state);
  return (
    <ul class="legend">
      {layers.map(({ name, look }, at) => (
        <li key={at}>
          <i class={`swatch ${look}`} />
          <span class="name" dir="auto" title={name}>
            {name}
          </span>
        </li>
      ))}
      {has("missing") && (
        <li>
          <i class="swatch missing" />
          not kept
        </li>
      )}
      {has("open") && (
        <li>
          <i class="swatch open" />
          open: may still grow
        </li>
      )}
    </ul>
  );
}

function table(
  buckets: Bucket[],
  layers: Layer[],
  say: (value: number | string) => string,
  hrefOf: Props["hrefOf"],
) {
  const columns: Column[] = [{ name: "Time" }, ...layers.map(({ name }) => ({ name, isNumber: true }))];
  const rows: Row[] = buckets.map((bucket, at) => ({
    key: bucket.key,
    look: bucket.state,
    cells: [
      <>
        {hrefOf ? <a href={hrefOf(bucket)}>{bucket.key}</a> : bucket.key}
        {bucket.state === "open" && " (open)"}
      </>,
      ...layers.map(({ values }) => {
        const value = values[at] ?? null;
        return value === null ? <Missing why="not kept" /> : say(value);
      }),
    ],
  }));
  return { columns, rows };
}
