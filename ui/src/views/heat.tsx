// A year, day by day.

import { type Usage, type Value, usageUrl } from "../api";
import { metricNames, metricTitle, said } from "../charts/usage";
import { Year, shade } from "../charts/year";
import { useAnswer } from "../load";
import { height, sum } from "../money";
import { AsOf } from "../parts/asof";
import { Cli } from "../parts/cli";
import { Filters } from "../parts/filters";
import { NoUsage, Show } from "../parts/show";
import { Table, Twin, number, text } from "../parts/table";
import { Missing } from "../parts/words";
import { dayOf, monthName } from "../time";
import { go, here, param, to, zone } from "../url";

export function Heat() {
  const now = Number(dayOf(new Date(), zone.value).slice(0, 4));
  const year = Number(param("year", String(now))) || now;
  const metric = param("metric", "tokens");
  const usage = useAnswer<Usage>(
    usageUrl({ from: `${year}-01-01`, to: `${year}-12-31`, bucket: "1d", metric }),
  );
  return (
    <>
      <fieldset class="bar">
        <legend class="hidden">What is shown</legend>
        <nav class="row" aria-label="Years">
          <a href={here({ year: String(year - 1) })}>{year - 1}</a>
          <strong aria-current="true">{year}</strong>
          {year < now && <a href={here({ year: String(year + 1) })}>{year + 1}</a>}
        </nav>
        <label>
          <span>Show</span>
          <select value={metric} onChange={({ currentTarget }) => go({ metric: currentTarget.value })}>
            {metricNames.map((name) => (
              <option key={name} value={name}>
                {metricTitle(name)}
              </option>
            ))}
          </select>
        </label>
      </fieldset>
      <Filters />
      <Show of={usage} what="the year">
        {(data) => (data.first_usage === null ? <NoUsage /> : <Days usage={data} year={year} />)}
      </Show>
    </>
  );
}

function Days({ usage, year }: { usage: Usage; year: number }) {
  const { buckets, metric } = usage;
  const values = buckets.map(({ state }, at) =>
    state === "missing" ? null : (usage.series[0]?.exact[at] ?? 0),
  );
  const say = (value: Value) => (value === null ? "not kept" : said(value, metric));
  const title = `${metricTitle(metric)} by day in ${year}, days of ${usage.tz}`;
  return (
    <>
      <AsOf asOf={usage.as_of} buckets={buckets} tz={usage.tz} />
      <h2 class="chart-title">{title}</h2>
      <Year
        {...{ title, buckets, values, say }}
        onPick={(day) => (location.hash = to("sessions", { range: null, from: day, to: day }))}
      />
      <ul class="legend">
        <li>
          <i class="swatch missing" />
          not kept
        </li>
        <li>
          <i class="swatch h0" />
          nothing used
        </li>
        <li>
          <i class="swatch h1" />
          little
        </li>
        <li>
          <i class="swatch h3" />
        </li>
        <li>
          <i class="swatch h5" />
          much
        </li>
        <li>
          <i class="swatch h-open" />
          open
        </li>
      </ul>
      <Months usage={usage} values={values} say={say} />
      <Twin
        caption={title}
        make={() => ({
          columns: [text("Day"), number(metricTitle(metric))],
          rows: buckets.map(({ key, state }, at) => ({
            key,
            look: state,
            cells: [
              <a
                href={to("sessions", { range: null, from: key, to: key })}
              >{`${key}${state === "open" ? " (open)" : ""}`}</a>,
              values[at] == null ? <Missing why="not kept" /> : say(values[at] ?? null),
            ],
          })),
        })}
      />
      <Cli command={usage.cli} />
    </>
  );
}

/** The year in twelve rows. */
function Months({ usage, values, say }: { usage: Usage; values: Value[]; say: (value: Value) => string }) {
  const months = [...new Set(usage.buckets.map(({ key }) => key.slice(0, 7)))];
  const most = Math.max(0, ...values.map(height));
  const rows = months.flatMap((month) => {
    const days = usage.buckets.flatMap(({ key }, at) =>
      key.startsWith(month) ? [{ key, value: values[at] ?? null }] : [],
    );
    const known = days.filter(({ value }) => value !== null);
    // Months of which there is no account are hatched above, and no row here.
    if (known.length === 0) return [];
    const top = known.toSorted((one, other) => height(other.value) - height(one.value))[0];
    const used = known.filter(({ value }) => shade(value, most) > 0).length;
    return {
      key: month,
      cells: [
        `${monthName(Number(month.slice(5)) - 1)} ${month.slice(0, 4)}`,
        say(sum(known.map(({ value }) => String(value)))),
        `${used} of ${known.length}`,
        top && height(top.value) > 0 ? `${top.key}: ${say(top.value)}` : "0",
      ],
    };
  });
  return (
    <Table
      caption="By month"
      columns={[text("Month"), number("In all"), number("Days with usage"), number("The largest day")]}
      rows={rows}
    />
  );
}
