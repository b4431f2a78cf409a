// What failed: errors that were told, by fingerprint, and calls without an answer.

import { type ErrorRow, type Errors as Told, errorsUrl, exportUrl } from "../api";
import { useAnswer } from "../load";
import { grouped } from "../money";
import { Cli } from "../parts/cli";
import { OfDevice } from "../parts/device";
import { Exports } from "../parts/exports";
import { Range } from "../parts/range";
import { Show } from "../parts/show";
import { Table, number, text } from "../parts/table";
import { Badge, Count, Moment, Name } from "../parts/words";
import { here, param, to, zone } from "../url";

export function Errors() {
  const cursor = param("cursor", "");
  const url = errorsUrl({ limit: "100", ...(cursor && { cursor }) });
  const errors = useAnswer<Told>(url);
  return (
    <>
      <Range />
      <OfDevice />
      <Show of={errors} what="errors">
        {(data) => (
          <>
            <h2>Errors by fingerprint</h2>
            {data.is_cut && (
              <p class="note">There are more than could be looked at: the oldest are not in these counts.</p>
            )}
            {data.rows.length === 0 ? (
              <p class="note empty">0 errors: none were told in these days.</p>
            ) : (
              <>
                <p class="quiet">
                  {grouped(data.events)} errors, the latest first, times of {zone.value}.
                </p>
                {data.rows.map((row) => (
                  <Fingerprint key={row.fingerprint} row={row} />
                ))}
              </>
            )}
            <nav class="row" aria-label="Pages">
              {cursor && <a href={here({ cursor: null })}>The first</a>}
              {data.next_cursor && <a href={here({ cursor: data.next_cursor })}>More</a>}
            </nav>
            <FailedCalls data={data} />
            <Exports url={(format) => exportUrl("errors", format)} />
            <Cli command={data.cli} url={url} />
          </>
        )}
      </Show>
    </>
  );
}

function Fingerprint({ row }: { row: ErrorRow }) {
  return (
    <details class="item">
      <summary>
        <Badge look={row.severity === "error" || row.severity === "fatal" ? "bad" : "warn"}>
          {row.severity}
        </Badge>{" "}
        <strong>{grouped(row.count)} ×</strong> <Name text={row.type} />{" "}
        <span class="name wide" dir="auto">
          {row.message}
        </span>
      </summary>
      <dl class="facts">
        <div>
          <dt>First</dt>
          <dd>
            <Moment at={row.first} />
          </dd>
        </div>
        <div>
          <dt>Last</dt>
          <dd>
            <Moment at={row.last} />
          </dd>
        </div>
        <div>
          <dt>Fingerprint</dt>
          <dd>
            <code>{row.fingerprint}</code>
          </dd>
        </div>
      </dl>
      <p dir="auto" class="wrap">
        {row.sample_message ?? row.message}
      </p>
      {row.sample_stack ? (
        <pre tabIndex={0}>{row.sample_stack}</pre>
      ) : (
        <p class="quiet">No stack was told.</p>
      )}
    </details>
  );
}

function FailedCalls({ data }: { data: Told }) {
  if (data.failed_calls.length === 0) {
    return (
      <>
        <h2>Calls that failed</h2>
        <p class="note empty">
          {data.calls_failed === 0
            ? "0 calls failed in these days."
            : `${grouped(data.calls_failed)} calls failed; their rows are gone.`}
        </p>
      </>
    );
  }
  return (
    <>
      <h2>Calls that failed</h2>
      <Table
        caption={`${grouped(data.calls_failed)} calls`}
        columns={[
          text("Model"),
          text("Provider"),
          text("Agent"),
          text("Kind of failure"),
          number("Calls"),
          text("Last"),
        ]}
        rows={data.failed_calls.map((row) => ({
          key: [row.agent, row.provider, row.model, row.error_type].join(" "),
          cells: [
            <a href={to("explore", { metric: "errors", model: row.model || null })}>
              <Name text={row.model} />
            </a>,
            <Name text={row.provider} />,
            <Name text={row.agent} />,
            <Name text={row.error_type} />,
            <Count of={row.calls} />,
            <Moment at={row.last} />,
          ],
        }))}
      />
    </>
  );
}
