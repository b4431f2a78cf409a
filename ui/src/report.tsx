// The page of `trueup report --html`: an account as it was at one moment, to be kept, sent
// or printed.

import "./style.css";
import "./report/report.css";
import { render } from "preact";
import { useState } from "preact/hooks";
import { UsageChart, metricTitle } from "./charts/usage";
import { Badge, Name } from "./parts/words";
import { type Data, read } from "./report/data";
import { Groups, Times, Unpriced, Witnesses } from "./report/tables";
import { moment } from "./time";
import { Cards } from "./views/overview";

function Page({ data }: { data: Data }) {
  const [at, choose] = useState(0);
  const usage = data.over_time[at] ?? data.over_time[0];
  if (!usage) return <p>There is no account in this page.</p>;
  const { totals, tz } = usage;
  const isEmpty = totals.exact.calls === 0 && totals.estimated.calls === 0;
  return (
    <main class="page">
      <h1>
        Usage of AI agents, {usage.from} to {usage.to}
      </h1>
      <About data={data} />
      <Cards usage={usage} />
      {isEmpty && (
        <p class="note empty">
          Nothing was used in these days
          {Object.keys(data.filters).length > 0 && ", as far as these filters let it pass"}.
        </p>
      )}
      <section aria-label="Usage over time">
        <div class="row spread">
          <h2>Over time</h2>
          <label class="choice">
            <span>Show</span>
            <select value={at} onChange={(event) => choose(Number(event.currentTarget.value))}>
              {data.over_time.map(({ metric }, place) => (
                <option key={metric} value={place}>
                  {metricTitle(metric)}
                </option>
              ))}
            </select>
          </label>
        </div>
        <UsageChart usage={usage} />
      </section>
      <Witnesses of={totals} />
      {data.by.map((one) => (
        <Groups key={one.group} usage={one} />
      ))}
      <Unpriced models={usage.unpriced_models} />
      <Times times={data.times} sums={totals} tz={tz} />
      <footer>
        <p class="quiet">
          Input has what was written to caches; Cached is what was read from them. Claimed tokens
          are in no other column. Cost is at list prices, or as agents state it; an asterisk marks
          that calls without a known price are not in it.
        </p>
        <div class="cli">
          <code dir="ltr">{data.cli}</code>
        </div>
        <p class="quiet">
          Written by trueup {data.version}. This page holds its figures itself, and asks nothing of
          any network.
        </p>
      </footer>
    </main>
  );
}

/** How new the figures are, whose days they are, and what was left out. */
function About({ data }: { data: Data }) {
  const usage = data.over_time[0];
  if (!usage) return null;
  const open = usage.buckets.findLast(({ state }) => state === "open");
  const filters = Object.entries(data.filters).flatMap(([name, all]) =>
    all.map((value) => ({ name, value })),
  );
  return (
    <>
      <p class="asof">
        <span>
          Data as of {moment(usage.as_of ?? data.generated_at, usage.tz)}, written{" "}
          {moment(data.generated_at, usage.tz)}; times and days of {usage.tz}
        </span>
        {open && (
          <Badge look="open" title="It is not over: its figures may still grow">
            {open.key} is open
          </Badge>
        )}
      </p>
      {filters.length > 0 && (
        <ul class="chips" aria-label="Only">
          {filters.map(({ name, value }) => (
            <li key={`${name}\n${value}`} class="chip">
              <span class="quiet">{name}</span> <Name text={value} />
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

const data = read();
document.title = `trueup: usage ${data.over_time[0]?.from ?? ""} to ${data.over_time[0]?.to ?? ""}`;
const root = document.getElementById("app");
if (root) render(<Page data={data} />, root);
