// How much was measured, how much only stands in for it, and what mends the rest.

import { type Check, type Completeness as Told, type Doctor, completenessUrl, doctorUrl } from "../api";
import { useAnswer } from "../load";
import { counted, grouped } from "../money";
import { Cli } from "../parts/cli";
import { Range } from "../parts/range";
import { Show } from "../parts/show";
import { Table, number, text } from "../parts/table";
import { Badge, type BadgeLook, Count, Moment, Name } from "../parts/words";
import { go, param } from "../url";

const LOOKS: Record<Check["status"], BadgeLook> = { ok: "good", warn: "warn", fail: "bad" };
const SPANS = ["day", "week", "month"];

/** Items of a check that are listed. */
const ITEMS_MAX = 100;

export function Completeness() {
  const by = SPANS.find((one) => one === param("by", "day")) ?? "day";
  const url = completenessUrl(by);
  const lacks = useAnswer<Told>(url);
  const doctor = useAnswer<Doctor>(doctorUrl(), "once");
  return (
    <>
      <h2>What the account lacks</h2>
      <Show of={doctor} what="what the account lacks: every store is looked at">
        {(data) => <Checks data={data} again={doctor.retry} />}
      </Show>
      <h2>Measured, and not</h2>
      <Range />
      <label>
        <span>By</span>
        <select value={by} onChange={({ currentTarget }) => go({ by: currentTarget.value })}>
          {SPANS.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      <Show of={lacks} what="completeness">
        {(data) => <Rows data={data} by={by} url={url} />}
      </Show>
    </>
  );
}

function Rows({ data, by, url }: { data: Told; by: string; url: string }) {
  const columns = [
    text(by),
    text("Agent"),
    number("Calls", "measured calls"),
    number("Runs", "claimed runs that no call covers: they are estimates"),
    number("Sessions", "sessions with such a run"),
    number("Superseded", "sessions with a claimed run that calls took the place of"),
    number("Missing", "sessions with an estimate and without any call"),
    number("Bad lines", "records that could not be read, on the day when they were seen"),
  ];
  const counts = (of: Told["totals"]) => [
    <Count of={of.calls} />,
    <Count of={of.runs_estimated} />,
    <Count of={of.sessions_estimated} />,
    <Count of={of.sessions_superseded} />,
    <Count of={of.sessions_without_transcript} />,
    <Count of={of.bad_lines} />,
  ];
  if (data.rows.length === 0)
    return (
      <>
        <p class="note empty">Nothing was read in these days.</p>
        <Cli command={data.cli} url={url} />
      </>
    );
  const rows = data.rows.toReversed().map((row) => ({
    key: `${row[by]} ${row.agent}`,
    look: row.bad_lines + row.sessions_without_transcript > 0 ? "lacking" : undefined,
    cells: [String(row[by] ?? ""), <Name text={row.agent} />, ...counts(row)],
  }));
  return (
    <>
      <Table
        caption={`By ${by} and agent, days of ${data.tz}`}
        columns={columns}
        rows={[...rows, { key: "total", look: "total", cells: ["Total", "", ...counts(data.totals)] }]}
      />
      <Cli command={data.cli} url={url} />
    </>
  );
}

function Checks({ data, again }: { data: Doctor; again(): void }) {
  const order = { fail: 0, warn: 1, ok: 2 };
  const checks = data.checks.toSorted((one, other) => order[one.status] - order[other.status]);
  const isWell = ({ status }: Check) => status === "ok";
  return (
    <>
      <p class="row">
        <Badge look={data.ok ? "good" : data.summary.fail > 0 ? "bad" : "warn"}>
          {data.ok
            ? "all is well"
            : `${counted(data.summary.fail, "failure")}, ${counted(data.summary.warn, "warning")}`}
        </Badge>
        <span class="quiet">
          looked at <Moment at={data.generated_at} />
        </span>
        <button type="button" onClick={again}>
          Look again
        </button>
      </p>
      {checks
        .filter((check) => !isWell(check))
        .map((check) => (
          <OneCheck key={`${check.id} ${check.source}`} check={check} />
        ))}
      <details class="item">
        <summary>{checks.filter(isWell).length} checks are well</summary>
        <Table
          caption="Checks that are well"
          isCaptionHidden
          columns={[text("Check"), text("Agent"), text("What it says")]}
          rows={checks
            .filter(isWell)
            .map(({ id, source, detail }) => ({
              key: `${id} ${source}`,
              cells: [id, <Name text={source} other="all" />, detail],
            }))}
        />
      </details>
      <Cli command={data.cli} url={doctorUrl()} />
    </>
  );
}

function OneCheck({ check }: { check: Check }) {
  const { id, source, status, detail, items } = check;
  const hidden = items.length - ITEMS_MAX + Number(check.meta["items_not_listed"] ?? 0);
  return (
    <details class="item" open={status === "fail"}>
      <summary>
        <Badge look={LOOKS[status]}>{status}</Badge> <strong>{id}</strong> {source && <Name text={source} />}{" "}
        <span class="wrap">{detail}</span>
      </summary>
      <ul class="plain">
        {items.slice(0, ITEMS_MAX).map((item, at) => (
          <li key={at} class="note">
            {item.session && (
              <p>
                Session <Name text={item.session} />
              </p>
            )}
            {item.path && (
              <p class="wrap">
                <code dir="ltr">{item.path}</code>
              </p>
            )}
            <p dir="auto">{item.reason}</p>
            {item.first && <p>First {item.first}, then</p>}
            {item.mend ? <Cli command={item.mend} /> : <p class="quiet">Nothing is to be done.</p>}
          </li>
        ))}
      </ul>
      {hidden > 0 && <p class="quiet">{grouped(hidden)} more are not listed.</p>}
    </details>
  );
}
