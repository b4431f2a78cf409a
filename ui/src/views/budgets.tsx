// What is spent and left of each budget, how long it lasts, and what is to be expected.

import { type Budget, type Budgets as Told, type ForecastDay, budgetsUrl } from "../api";
import { type Layer, Stacked } from "../charts/stacked";
import { Legend } from "../charts/usage";
import { isFleet } from "../fleet";
import { useAnswer } from "../load";
import { dollars, grouped, less, short } from "../money";
import { Cli } from "../parts/cli";
import { Show } from "../parts/show";
import { Twin, number, text } from "../parts/table";
import { Badge, Missing, Money, Name } from "../parts/words";

const EXAMPLE = `[[budget]]
name = "everything, a month"
limit = 200
per = "month"`;

export function Budgets() {
  const budgets = useAnswer<Told>(budgetsUrl());
  return (
    <Show of={budgets} what="budgets" refused={(why) => <NoBudgets why={why} />}>
      {(data) =>
        data.budgets.length === 0 ? (
          <NoBudgets why="No budget is set." />
        ) : (
          <>
            {data.budgets.map((budget) => (
              <OneBudget key={budget.name} budget={budget} />
            ))}
            <Cli command={data.cli} url={budgetsUrl()} />
            {!isFleet.value && <Cli command="trueup alerts" />}
          </>
        )
      }
    </Show>
  );
}

function NoBudgets({ why }: { why: string }) {
  return (
    <div class="note empty">
      <p dir="auto">{why}</p>
      <p>A budget is a few lines in the settings file:</p>
      <pre tabIndex={0}>{EXAMPLE}</pre>
    </div>
  );
}

function scopeOf(budget: Budget): string {
  const names = ["provider", "project", "key", "agent", "model", "tag"] as const;
  const told = names.flatMap((name) => (budget[name] ? [`${name} ${budget[name]}`] : []));
  return told.join(", ") || "everything";
}

function OneBudget({ budget }: { budget: Budget }) {
  const { spent_usd: spent, limit_usd: limit, forecast, burn_rate: rate } = budget;
  return (
    <section class="item" aria-label={`Budget ${budget.name}`}>
      <h2>
        <Name text={budget.name} />{" "}
        {forecast?.is_over_limit && <Badge look="bad">forecast over the limit</Badge>}
        {(budget.days_provisional ?? 0) > 0 && (
          <Badge look="open">{budget.days_provisional} days provisional</Badge>
        )}
      </h2>
      <p class="quiet" dir="auto">
        {scopeOf(budget)}; {budget.of === "billed" ? "what providers say was charged" : "by the account"},
        days of {budget.tz}
        {budget.from && `; ${budget.per} from ${budget.from} to ${budget.to}`}
      </p>
      {limit === null ? (
        <p>No limit is set: it is only watched for days out of the ordinary.</p>
      ) : (
        <>
          <Meter budget={budget} />
          <dl class="cards of-five">
            <Fact name="Spent">
              <Money of={spent} />
            </Fact>
            <Fact name="Left">
              <Money of={budget.remaining_usd} />
            </Fact>
            <Fact name="A day">
              {rate ? <Money of={rate.usd_per_day} /> : <Missing why="too few days are known" />}
            </Fact>
            <Fact name="Used up">
              {budget.exhausted_on ?? (rate ? "it lasts" : <Missing why="too few days are known" />)}
            </Fact>
            <Fact
              name="Forecast"
              more={forecast && `${dollars(forecast.low_usd)} to ${dollars(forecast.high_usd)}`}
            >
              {forecast ? <Money of={forecast.amount_usd} /> : <Missing why="too few days are known" />}
            </Fact>
          </dl>
          <Days budget={budget} />
        </>
      )}
      <ul class="quiet">
        {(budget.unpriced_calls ?? 0) > 0 && (
          <li>{grouped(budget.unpriced_calls ?? 0)} calls without a known price are not in what is spent</li>
        )}
        {(budget.days_unknown ?? 0) > 0 && (
          <li>{budget.days_unknown} days are not known: that is not zero</li>
        )}
        {budget.notes.map((note) => (
          <li key={note} dir="auto">
            {note}
          </li>
        ))}
      </ul>
    </section>
  );
}

interface FactProps {
  name: string;
  /** What stands below the figure. */
  more?: string | null | undefined;
  children: preact.ComponentChildren;
}

function Fact({ name, more, children }: FactProps) {
  return (
    <div class="card">
      <dt>{name}</dt>
      <dd class="value small">{children}</dd>
      {more && <dd class="quiet">{more}</dd>}
    </div>
  );
}

function Meter({ budget }: { budget: Budget }) {
  if (budget.used_percent == null)
    return (
      <p>
        <Missing why="nothing is known of the period yet" /> of {dollars(budget.limit_usd ?? "0")}
      </p>
    );
  const used = Number.parseFloat(budget.used_percent);
  const reached = (budget.thresholds ?? []).filter(({ reached_on }) => reached_on !== null);
  return (
    <>
      <p class="row">
        <meter
          min={0}
          max={100}
          high={80}
          optimum={0}
          value={Math.min(100, used)}
          aria-label={`${used} % of the limit is used`}
        />
        <span>
          {used} % of <Money of={budget.limit_usd} />
        </span>
        {reached.map(({ percent, reached_on }) => (
          <Badge key={percent} look={percent >= 100 ? "bad" : "warn"}>
            {percent} % on {reached_on}
          </Badge>
        ))}
      </p>
    </>
  );
}

function Days({ budget }: { budget: Budget }) {
  const past = budget.days ?? [];
  const ahead = budget.forecast?.days ?? [];
  const spent = new Map(past.map((day) => [day.day, day]));
  const expected = new Map(ahead.map((day) => [day.day, day]));
  const days = [...new Set([...spent.keys(), ...expected.keys()])];
  const ofPast = (isSettled: boolean) =>
    days.map((day) =>
      spent.get(day)?.is_settled === isSettled ? (spent.get(day)?.amount_usd ?? null) : null,
    );
  // What is expected of the present day is for all of it: what it has come to is drawn already.
  const ofAhead = (take: (day: ForecastDay) => string) =>
    days.map((day) => {
      const of = expected.get(day);
      return of ? take(of) : null;
    });
  const layers: Layer[] = [
    { name: "settled", look: "c0", values: ofPast(true) },
    { name: "may still change", look: "claimed", values: ofPast(false) },
    {
      name: "expected",
      look: "c2",
      values: ofAhead(({ day, amount_usd }) => less(amount_usd, spent.get(day)?.amount_usd ?? "0")),
    },
    {
      name: "up to the upper quartile",
      look: "other",
      values: ofAhead(({ amount_usd, high_usd }) => less(high_usd, amount_usd)),
    },
  ].filter(({ values }) => values.some((value) => value !== null));
  // Of a single day the figures above say all.
  if (days.length < 2) return null;
  const buckets = days.map((day) => ({
    key: day,
    start: day,
    state: day === budget.today ? ("open" as const) : ("closed" as const),
  }));
  const title = `${budget.name}: dollars by day, and what is to be expected`;
  return (
    <>
      <Stacked
        {...{ title, buckets, layers }}
        description={`${past.length} days that are known and ${ahead.length} to come.`}
        shape="bars"
        format={(value) => `$${short(value)}`}
        say={(value) => dollars(String(value))}
      />
      <Legend layers={layers} buckets={buckets} />
      <Twin
        caption={title}
        make={() => ({
          columns: [
            text("Day"),
            number("Spent"),
            text("State"),
            number("Expected"),
            number("Low"),
            number("High"),
          ],
          rows: [
            ...past.map(({ day, amount_usd, is_settled }) => ({
              key: day,
              cells: [
                day,
                <Money of={amount_usd} />,
                is_settled ? "settled" : "may still change",
                "",
                "",
                "",
              ],
            })),
            ...ahead.map(({ day, amount_usd, low_usd, high_usd }) => ({
              key: `${day} ahead`,
              cells: [
                day,
                "",
                "expected",
                <Money of={amount_usd} />,
                <Money of={low_usd} />,
                <Money of={high_usd} />,
              ],
            })),
          ],
        })}
      />
    </>
  );
}
