// The machine, of a hub one of its devices: what agents left of it, with their calls behind.

import { useMemo } from "preact/hooks";
import { type Host as Told, type HostMetric, exportUrl, hostUrl } from "../api";
import { Dense } from "../charts/dense";
import type { Layer } from "../charts/stacked";
import { Legend } from "../charts/usage";
import { fleet, isFleet } from "../fleet";
import { useAnswer } from "../load";
import { bytes, short } from "../money";
import { AsOf } from "../parts/asof";
import { Cli } from "../parts/cli";
import { ChooseDevice, OfDevice } from "../parts/device";
import { Exports } from "../parts/exports";
import { Range } from "../parts/range";
import { Show } from "../parts/show";
import { Twin, number, text } from "../parts/table";
import { Missing } from "../parts/words";
import { device, param, spanDays } from "../url";

/** Which metrics share a chart; the first that fits takes one. */
const CHARTS: { title: string; fits: RegExp }[] = [
  { title: "Pressure: time in which work waited", fits: /_(some|full)(_|$)|psi|pressure/ },
  { title: "CPU", fits: /^cpu/ },
  { title: "Memory", fits: /^mem/ },
  { title: "Disk and network", fits: /^(disk|net).*per_second/ },
  { title: "The ledger's volume", fits: /^disk/ },
  { title: "Processes", fits: /./ },
];

/** Charts of one title stand in this order of their units; the others follow. */
const UNITS = ["percent", "bytes per second", "bytes"];

/** Metrics of a chart of which the largest value is a line, too. */
const WITH_MAX = 2;

/** The finest buckets of which an answer may have enough for so many days (400). */
function finest(days: number | null): string {
  if (days === null || days > 16) return "auto";
  return days > 8 ? "1h" : "30m";
}

export function Host() {
  const isOfNone = isFleet.value && device.value === null;
  return (
    <>
      <Range />
      <OfDevice all="choose one" />
      {fleet.value === null ? <Unknown /> : isOfNone ? <ChooseDevice what="Samples" /> : <Samples />}
    </>
  );
}

/** Before it is known whether there are devices: many machines are not asked for as one. */
function Unknown() {
  return (
    <p class="loading" role="status">
      Reading whether there are devices…
    </p>
  );
}

function Samples() {
  const bucket = param("bucket", finest(spanDays.value));
  const url = hostUrl({ bucket });
  const host = useAnswer<Told>(url);
  return (
    <>
      <Show of={host} what="samples of the machine">
        {(data) => (
          <>
            <AsOf asOf={null} buckets={data.buckets} tz={data.tz} />
            {Object.values(data.metrics).some(({ mean }) => mean.some((value) => value !== null)) ? (
              <Charts data={data} />
            ) : (
              <p class="note empty">
                No sample of these days: <code>trueup serve</code> takes one every 15 s, unless{" "}
                <code>metrics_interval</code> is off{isFleet.value && " there"}.
              </p>
            )}
            {data.sources.length > 0 && <p class="quiet">As {data.sources.join(", ")} tells it.</p>}
            <Exports url={(format) => exportUrl("host", format)} />
            <Cli command={data.cli} url={url} />
          </>
        )}
      </Show>
    </>
  );
}

interface Chart {
  title: string;
  unit: string;
  metrics: [string, HostMetric][];
}

function charts(metrics: Told["metrics"]): Chart[] {
  const all = new Map<string, Chart & { order: number }>();
  for (const [name, metric] of Object.entries(metrics)) {
    if (metric.mean.every((value) => value === null)) continue;
    const order = CHARTS.findIndex(({ fits }) => fits.test(name));
    const { unit } = metric;
    const key = `${order} ${unit}`;
    const chart = all.get(key) ?? { order, title: CHARTS[order]?.title ?? name, unit, metrics: [] };
    chart.metrics.push([name, metric]);
    all.set(key, chart);
  }
  const rank = ({ unit }: Chart) => (UNITS.includes(unit) ? UNITS.indexOf(unit) : UNITS.length);
  return [...all.values()].sort((one, other) => one.order - other.order || rank(one) - rank(other));
}

function said(value: number, unit: string): string {
  if (unit === "percent") return `${Math.round(value * 10) / 10} %`;
  if (unit.startsWith("bytes")) return `${bytes(value)}${unit.includes("second") ? "/s" : ""}`;
  return short(value);
}

const title = (name: string): string =>
  name.replace(/_(milli)?percent$|_bytes(_per_second)?$/, "").replaceAll("_", " ");

function Charts({ data }: { data: Told }) {
  // Where no sample was kept, calls lie behind nothing: the table below has them.
  const behind: Layer = useMemo(() => {
    const isKept = (at: number) => data.buckets[at]?.state !== "missing";
    const values = data.calls.map((calls, at) => (isKept(at) ? calls : null));
    return { name: "calls", look: "shade", values };
  }, [data]);
  return charts(data.metrics).map(({ title: heading, unit, metrics }) => {
    const withMax = metrics.length <= WITH_MAX;
    const layers: Layer[] = metrics.flatMap(([name, { mean, max }], at) => [
      { name: title(name), look: `c${2 * at}`, values: mean },
      ...(withMax ? [{ name: `${title(name)}, largest`, look: `c${2 * at + 1}`, values: max }] : []),
    ]);
    const format = (value: number) => said(value, unit);
    return (
      <section key={heading + unit} aria-label={`${heading}, ${unit}`}>
        <h2>
          {heading} <span class="quiet">{unit.replaceAll("_", " ")}</span>
        </h2>
        <Dense
          title={`${heading}, with calls behind`}
          description={`Mean of each ${data.bucket}${withMax ? " and the largest value in it" : ""}; gaps are times without a sample. Bars are calls.`}
          buckets={data.buckets}
          layers={layers}
          behind={behind}
          format={format}
          isLines
        />
        <Legend layers={[]} buckets={data.buckets} />
        <Twin
          caption={`${heading}, ${unit}`}
          make={() => ({
            columns: [text("Time"), number("Calls"), ...layers.map(({ name }) => number(name))],
            rows: data.buckets.map(({ key, state }, at) => ({
              key,
              look: state,
              cells: [
                key,
                data.calls[at] ?? <Missing why="not kept" />,
                ...layers.map(({ values }) => {
                  const value = values[at];
                  return value == null ? <Missing why="no sample" /> : format(Number(value));
                }),
              ],
            })),
          })}
        />
      </section>
    );
  });
}
