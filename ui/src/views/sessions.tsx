// Sessions, the last first, page by page.

import { type SessionList, exportUrl, sessionsUrl } from "../api";
import { isFleet } from "../fleet";
import { useAnswer } from "../load";
import { grouped } from "../money";
import { Cli } from "../parts/cli";
import { Exports } from "../parts/exports";
import { Filters } from "../parts/filters";
import { Range } from "../parts/range";
import { NothingHere, Show } from "../parts/show";
import { Table, number, text } from "../parts/table";
import { Cost, Count, Moment, Name, Names } from "../parts/words";
import { here, param, to, zone } from "../url";

const LIMIT = "50";

export function Sessions() {
  const cursor = param("cursor", "");
  const url = sessionsUrl({ limit: LIMIT, cursor: cursor || null });
  const sessions = useAnswer<SessionList>(url);
  return (
    <>
      <Range />
      <Filters />
      <Show of={sessions} what="sessions">
        {(data) => (
          <>
            {data.rows.length === 0 ? <NothingHere first={null} last={null} /> : <List data={data} />}
            <nav class="row" aria-label="Pages">
              {cursor && <a href={here({ cursor: null })}>The latest</a>}
              {data.next_cursor && <a href={here({ cursor: data.next_cursor })}>Older ones</a>}
              <span class="quiet">{grouped(data.total)} in all</span>
            </nav>
            <Exports url={(format) => exportUrl("sessions", format)} />
            <Cli command={data.cli} url={url} />
          </>
        )}
      </Show>
    </>
  );
}

function List({ data }: { data: SessionList }) {
  return (
    <div class="narrow">
      <Table
        caption={`Sessions, times of ${zone.value}`}
        columns={[
          text("Last call"),
          text("Session"),
          ...(isFleet.value ? [text("Device")] : []),
          number("Calls"),
          number("Failed"),
          number("Tokens"),
          number("Cost"),
          number("Claimed", "tokens that agents claim where no call was measured"),
          text("Agent"),
          text("Project"),
          text("Models"),
          text("Kind"),
        ]}
        rows={data.rows.map((row) => ({
          key: `${row.device ?? ""} ${row.agents[0] ?? ""} ${row.session}`,
          cells: [
            <Moment at={row.last} />,
            row.session ? (
              <a
                href={to(
                  "session",
                  { owner: row.agents.length === 1 ? (row.agents[0] ?? null) : null, of: row.device },
                  row.session,
                )}
              >
                <Name text={row.session} />
              </a>
            ) : (
              <Name text={null} other="none" />
            ),
            ...(isFleet.value ? [<Name text={row.device} />] : []),
            <Count of={row.exact.calls} />,
            <Count of={row.exact.errors} />,
            <Count of={row.exact.total} isShort />,
            <Cost of={row.exact} />,
            <Count of={row.estimated.total} isShort />,
            <Names list={row.agents} />,
            <Names list={row.projects} />,
            <Names list={row.models} />,
            <Names list={row.kinds.filter((kind) => kind !== "")} />,
          ],
        }))}
      />
    </div>
  );
}
