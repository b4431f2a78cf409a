// Tables of the page: by model, project, agent and time, and what has no price.

import type { Sums, Usage } from "../api";
import { nameOf } from "../charts/usage";
import { type Column, type Row, Table, number, text } from "../parts/table";
import { Cost, Count, Name } from "../parts/words";
import type { TimeReport } from "./data";

const SUMS: Column[] = [
  number("Calls"),
  number("Failed"),
  number("Input"),
  number("Cached"),
  number("Output"),
  number("Tokens"),
  number("Cost"),
  number("Claimed"),
];

/** Cells in the order of `SUMS`; `Claimed` are tokens that are in no other column. */
function cells({ exact, estimated }: Sums) {
  const written = exact.cache_write_5m + exact.cache_write_1h + exact.cache_write;
  return [
    <Count of={exact.calls} />,
    <Count of={exact.errors} />,
    <Count of={exact.input + written} isShort />,
    <Count of={exact.cache_read} isShort />,
    <Count of={exact.output} isShort />,
    <Count of={exact.total} isShort />,
    <Cost of={exact} />,
    <Count of={estimated.total} isShort />,
  ];
}

const total = (sums: Sums): Row => ({
  key: "\ntotal",
  look: "total",
  cells: ["Total", ...cells(sums)],
});

const TITLES: Record<string, string> = { model: "Models", project: "Projects", agent: "Agents" };

/** All groups of one kind, the largest first. */
export function Groups({ usage }: { usage: Usage }) {
  const title = TITLES[usage.group ?? ""] ?? "Usage";
  const rows: Row[] = usage.series.map((series) => ({
    key: series.is_other ? "\nother" : (series.group ?? ""),
    cells: [
      series.is_other ? nameOf(series) : <Name text={series.group} />,
      ...cells(series.totals),
    ],
  }));
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      <Table
        caption={title}
        isCaptionHidden
        columns={[text(title.slice(0, -1)), ...SUMS]}
        rows={[...rows, total(usage.totals)]}
      />
    </section>
  );
}

const PERIODS: Record<string, string> = {
  day: "Days",
  week: "Weeks, by their Mondays",
  month: "Months",
};

/** Each time with usage, the last first. */
export function Times({ times, sums, tz }: { times: TimeReport; sums: Sums; tz: string }) {
  const title = PERIODS[times.by] ?? times.by;
  const key = (row: TimeReport["rows"][number]) => String(row[times.by]);
  const rows: Row[] = [...times.rows]
    .reverse()
    .map((row) => ({ key: key(row), cells: [key(row), ...cells(row)] }));
  return (
    <section aria-label={title}>
      <h2>
        {title} <span class="more quiet">of {tz}; those without usage are left out</span>
      </h2>
      <Table
        caption={title}
        isCaptionHidden
        columns={[text("When"), ...SUMS]}
        rows={[...rows, total(sums)]}
      />
    </section>
  );
}

/** Measured, and claimed: two witnesses, which are never added to each other. */
export function Witnesses({ of }: { of: Sums }) {
  const row = (name: string, what: string, sum: Sums["exact"]): Row => ({
    key: name,
    cells: [name, what, <Count of={sum.calls} />, <Count of={sum.total} />, <Cost of={sum} />],
  });
  return (
    <section aria-label="Who says so">
      <h2>Who says so</h2>
      <Table
        caption="What was measured, and what is only claimed; these are never added to each other"
        columns={[
          text("Witness"),
          text("What it is"),
          number("Calls"),
          number("Tokens"),
          number("Dollars"),
        ]}
        rows={[
          row("Measured", "records of single calls", of.exact),
          row("Claimed", "what agents say of runs of which no call was measured", of.estimated),
        ]}
      />
    </section>
  );
}

/** Models whose calls are in no cost. */
export function Unpriced({ models }: { models: Record<string, number> }) {
  const rows = Object.entries(models).sort(([, one], [, other]) => other - one);
  if (rows.length === 0) return null;
  return (
    <section aria-label="Without a price">
      <h2>Without a price</h2>
      <p class="quiet">Calls of these models are in no cost: nobody knows their price.</p>
      <Table
        caption="Models without a price"
        isCaptionHidden
        columns={[text("Model"), number("Calls")]}
        rows={rows.map(([model, calls]) => ({
          key: model,
          cells: [<Name text={model} />, <Count of={calls} />],
        }))}
      />
    </section>
  );
}
