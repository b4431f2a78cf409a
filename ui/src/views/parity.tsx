// The account against the bill: which part of it is explained, and where the rest is.

import { type Amounts, type Comparison, type Finding, type Parity as Told, parityUrl } from "../api";
import { isFleet } from "../fleet";
import { useAnswer } from "../load";
import { counted, dollars, grouped, less } from "../money";
import { Cli } from "../parts/cli";
import { Range } from "../parts/range";
import { Show } from "../parts/show";
import { type Row, Table, number, text } from "../parts/table";
import { Badge, type BadgeLook, Missing, Name } from "../parts/words";
import { go, here, param } from "../url";

const VERDICTS: Record<string, { look: BadgeLook; what: string }> = {
  parity: { look: "good", what: "no difference over what is tolerated" },
  variance: { look: "bad", what: "something differs" },
  incomplete: { look: "warn", what: "no difference, but days are not known" },
  schema_drift: {
    look: "warn",
    what: "no difference, but the provider told something in a form that is not known",
  },
  tie_out_broken: { look: "bad", what: "amounts do not tie out: trueup itself is wrong" },
};

const SEVERITIES: Record<Finding["severity"], BadgeLook> = { fail: "bad", warn: "warn", info: "plain" };

/** Findings that are drawn at once. */
const FINDINGS_MAX = 500;

export function Parity() {
  const parity = useAnswer<Told>(parityUrl(), "once");
  return (
    <>
      <Range isUtc />
      <Show of={parity} what="both sides" refused={(why) => <NoBill why={why} />}>
        {(data) => <Run data={data} />}
      </Show>
    </>
  );
}

/** Nothing to compare with. */
function NoBill({ why }: { why: string }) {
  return (
    <div class="note empty">
      <p dir="auto">{why}</p>
      {isFleet.value ? (
        <p>Devices tell a hub what was used, and not what was billed: compare where the bills are.</p>
      ) : (
        <>
          <p>To compare, connect a provider, or import a statement that it lets you download:</p>
          <Cli command="trueup provider add openai" />
          <Cli command="trueup import completions_usage.csv" />
        </>
      )}
    </div>
  );
}

function Run({ data }: { data: Told }) {
  const verdict = VERDICTS[data.verdict] ?? { look: "plain" as const, what: "" };
  return (
    <>
      <p class="row">
        <Badge look={verdict.look}>{data.verdict.replaceAll("_", " ")}</Badge>
        <span>
          {verdict.what}, {data.from} to {data.to} (UTC)
        </span>
        <Badge look={data.ties_out ? "good" : "bad"}>{data.ties_out ? "ties out" : "does not tie out"}</Badge>
      </p>
      {data.comparisons.length === 0 ? (
        <NoBill why="There is nothing to compare with." />
      ) : (
        <>
          <h2>What was compared</h2>
          {data.comparisons.map((one) => (
            <Compared key={`${one.provider} ${one.left} ${one.right}`} one={one} />
          ))}
          <Findings data={data} />
        </>
      )}
      <Unconnected data={data} />
      <Notes data={data} />
      <Cli command={data.cli} url={parityUrl()} />
    </>
  );
}

/** `0.9821` as `98.21 %`. */
function percent(ratio: string): string {
  const [whole = "0", fraction = ""] = ratio.split(".");
  const digits = whole + fraction.padEnd(4, "0");
  return `${Number(digits.slice(0, -2))}.${digits.slice(-2)} %`;
}

function amount(value: number | string | undefined, quantity: string) {
  if (value === undefined) return <Missing why="not told" />;
  const said = quantity === "cost_usd" ? dollars(String(value)) : grouped(value);
  return <span title={String(value)}>{said}</span>;
}

function Compared({ one }: { one: Comparison }) {
  const capture = Object.entries(one.capture_rate);
  return (
    <details class="item" open={one.tie_out.some(({ holds }) => !holds)}>
      <summary>
        <Name text={one.provider} />{" "}
        <strong>
          {side(one.left)} against {side(one.right)}
        </strong>{" "}
        {capture.map(([what, ratio]) => (
          <span key={what} class="told">
            {percent(ratio)} of {what.replaceAll("_", " ")}
          </span>
        ))}{" "}
        <Settled one={one} />
      </summary>
      <p>
        {one.days_covered} of {one.days} days are told of
        {one.price_ratio && `; the price table comes to ${one.price_ratio} of what was charged`}.
      </p>
      <Table
        caption="It ties out: matched, variance and missing are the total of each side"
        columns={[
          text("Side"),
          text("Quantity"),
          number("Matched"),
          number("Variance"),
          number("Missing"),
          number("Total"),
          text("Holds"),
        ]}
        rows={one.tie_out.map((line) => ({
          key: `${line.side} ${line.is_estimated} ${line.quantity}`,
          cells: [
            side(line.side) + (line.is_estimated ? ", claimed" : ""),
            line.quantity,
            amount(line.matched, line.quantity),
            amount(line.variance, line.quantity),
            amount(line.missing, line.quantity),
            amount(line.total, line.quantity),
            <Badge look={line.holds ? "good" : "bad"}>{line.holds ? "yes" : "no"}</Badge>,
          ],
        }))}
      />
      <ByClass one={one} />
    </details>
  );
}

/** A row for each class and quantity: side by side, the quantities of one class are wider than a page. */
function ByClass({ one }: { one: Comparison }) {
  const rows = Object.entries(one.classes).flatMap(([name, { cells, left, right }]) =>
    one.quantities.map((quantity, line) => ({
      key: `${name} ${quantity}`,
      cells: [
        name.replaceAll("_", " "),
        line === 0 ? grouped(cells) : "",
        quantity,
        amount(left[quantity], quantity),
        amount(right[quantity], quantity),
      ],
    })),
  );
  return (
    <Table
      caption="By class"
      columns={[
        text("Class"),
        number("Cells"),
        text("Quantity"),
        number(side(one.left)),
        number(side(one.right)),
      ]}
      rows={rows}
    />
  );
}

function Settled({ one }: { one: Comparison }) {
  if (one.days_provisional === 0) return <Badge look="good">settled</Badge>;
  return (
    <Badge look="open" title="The provider may still change these days">
      {one.days_provisional} of {one.days} days provisional
    </Badge>
  );
}

const SIDES: Record<string, string> = {
  account: "account",
  usage: "provider's usage",
  cost: "provider's cost",
  statement: "statement",
  statement_cost: "statement's cost",
};
const side = (name: string): string => SIDES[name] ?? name;

/** Findings day by day, each as small as it could be found. */
function Findings({ data }: { data: Told }) {
  const severity = param("severity", "");
  const asked = data.findings.filter((one) => severity === "" || one.severity === severity);
  const shown = asked.slice(0, FINDINGS_MAX);
  const days = Map.groupBy(shown, ({ day, provider }) => `${day} ${provider}`);
  return (
    <>
      <div class="row spread">
        <h2>Where they differ</h2>
        <label>
          <span>Show</span>
          <select
            value={severity}
            onChange={({ currentTarget }) => go({ severity: currentTarget.value || null })}
          >
            <option value="">all {grouped(data.findings.length)} findings</option>
            <option value="fail">what fails</option>
            <option value="warn">warnings</option>
            <option value="info">what is only told</option>
          </select>
        </label>
      </div>
      {asked.length === 0 && (
        <p class="note empty">
          {data.findings.length === 0 ? "Nowhere: 0 findings." : "None of these."}{" "}
          {severity && <a href={here({ severity: null })}>All findings</a>}
        </p>
      )}
      {[...days].map(([key, findings]) => (
        <Day key={key} findings={findings} />
      ))}
      {asked.length > shown.length && (
        <p class="quiet">
          {grouped(asked.length - shown.length)} more are not drawn: the command below prints them.
        </p>
      )}
    </>
  );
}

function Day({ findings }: { findings: Finding[] }) {
  const [first] = findings;
  if (!first) return null;
  const classes = [...new Set(findings.map((one) => one.class.replaceAll("_", " ")))].join(", ");
  const named = findings.filter(({ is_named }) => is_named).length;
  return (
    <details class="item">
      <summary>
        <Badge look={SEVERITIES[first.severity]}>{first.severity}</Badge> <strong>{first.day}</strong>{" "}
        <Name text={first.provider} /> {classes} in {counted(findings.length, "cell")}
        {named > 0 && named < findings.length && `, ${named} of them make up nine tenths`}{" "}
        <Badge look={isOpen(first) ? "open" : "plain"}>{settle(first)}</Badge>
      </summary>
      <Table
        caption={`Cells of ${first.day} in which the difference lies`}
        columns={[
          text("Cell"),
          text("Class"),
          text("Quantity"),
          number("Left"),
          number("Claimed"),
          number("Right"),
          number("Difference"),
          text("Told by"),
        ]}
        rows={findings.flatMap(cellRows)}
      />
    </details>
  );
}

const isOpen = (finding: Finding): boolean => finding.class === "provisional";

function settle(finding: Finding): string {
  if (isOpen(finding)) return `provisional, would be ${finding.kind.replaceAll("_", " ")}`;
  return finding.class === "restated" ? "restated after it settled" : "settled";
}

/** Labels of a cell; null is of all, and empty means that there is none. */
function cellName(finding: Finding): string {
  const labels = [finding.model, finding.tier, finding.context, finding.project, finding.key];
  const names = ["model", "tier", "context", "project", "key"];
  const told = labels.flatMap((label, at) =>
    label === null ? [] : [`${names[at]} ${label === "" ? "(none)" : label}`],
  );
  return told.length === 0 ? "the whole day" : told.join(", ");
}

function cellRows(finding: Finding, at: number): Row[] {
  const { left_says: left, right_says: right, estimated, told_by } = finding;
  const quantities = [...new Set([...Object.keys(left), ...Object.keys(right), ...Object.keys(estimated)])];
  const telling = told_by
    .map(({ project, key }) => [project, key].filter(Boolean).join(" / ") || "no key")
    .join("; ");
  return quantities.map((quantity, line) => {
    const [mine, theirs] = [left[quantity], right[quantity]];
    const difference = less(String(mine ?? 0), String(theirs ?? 0));
    const isFirst = line === 0;
    return {
      key: `${at} ${quantity}`,
      look: finding.is_named ? "named" : undefined,
      cells: [
        <span class="cell" dir="auto">
          {cellName(finding)}
        </span>,
        isFirst ? (
          <>
            <Badge look={SEVERITIES[finding.severity]}>{finding.class.replaceAll("_", " ")}</Badge>
            {finding.accepted && (
              <Badge look="plain" title={finding.accepted}>
                accepted
              </Badge>
            )}
          </>
        ) : (
          ""
        ),
        quantity,
        amount(mine, quantity),
        amount(estimated[quantity], quantity),
        amount(theirs, quantity),
        amount(difference, quantity),
        isFirst && telling ? <Name text={telling} /> : "",
      ],
    };
  });
}

function Unconnected({ data }: { data: Told }) {
  const all = Object.entries(data.unconnected);
  if (all.length === 0) return null;
  return (
    <>
      <h2>Nobody else tells of these</h2>
      <Table
        caption="What the account has of providers that are not connected"
        columns={[text("Provider"), text("What")]}
        rows={all.map(([provider, told]: [string, Amounts]) => ({
          key: provider,
          cells: [
            <Name text={provider} />,
            Object.entries(told).map(([quantity, value]) => (
              <span key={quantity} class="told">
                {quantity} {amount(value, quantity)}
              </span>
            )),
          ],
        }))}
      />
    </>
  );
}

function Notes({ data }: { data: Told }) {
  const notices = Object.entries(data.notices).map(
    ([name, { count }]) => `${name.replaceAll("_", " ")}: ${grouped(count)}`,
  );
  const notes = [...notices, ...data.notes];
  if (notes.length === 0) return null;
  return (
    <details class="item">
      <summary>{counted(notes.length, "note")} on what was taken and left out</summary>
      <ul>
        {notes.map((note) => (
          <li key={note} dir="auto">
            {note}
          </li>
        ))}
      </ul>
    </details>
  );
}
