// What holds and where it comes from; how the daemon is; what telemetry would tell.

import { type Setting, type Telemetry as Told, configUrl, telemetryUrl } from "../api";
import { isFleet } from "../fleet";
import { useAnswer } from "../load";
import { bytes, counted, grouped } from "../money";
import { Cli } from "../parts/cli";
import { Show } from "../parts/show";
import { Table, text } from "../parts/table";
import { Badge, Moment, Name } from "../parts/words";
import { THEMES, chooseTheme, theme } from "../theme";
import { duration } from "../time";
import { zone } from "../url";

type Config = Record<string, unknown>;

/** What `/health` says. */
interface Health {
  status: string;
  version: string;
  last_sync: string | null;
  db_error: string | null;
  sync_error: string | null;
  queue_depth: number;
  queue_capacity: number;
  dropped_total: number;
  db_size_bytes: number;
  wal_size_bytes: number;
  disk_status: string;
  ledger: string | null;
}

/** What that of a hub says. */
interface HubHealth {
  status: string;
  version: string;
  store: string;
  uptime_seconds: number;
}

function isSetting(value: unknown): value is Setting {
  return typeof value === "object" && value !== null && "value" in value && "from" in value;
}

export function Settings() {
  const config = useAnswer<Config>(configUrl(), "once");
  const health = useAnswer<Health | HubHealth>("/health");
  const telemetry = useAnswer<Told>(telemetryUrl());
  return (
    <>
      <h2>This browser</h2>
      <label>
        <span>Theme</span>
        <select
          value={theme.value}
          onChange={({ currentTarget }) =>
            chooseTheme(THEMES.find((one) => one === currentTarget.value) ?? "auto")
          }
        >
          <option value="auto">as the system has it</option>
          <option value="light">light</option>
          <option value="dark">dark</option>
        </select>
      </label>
      <h2>{isFleet.value ? "The hub" : "The daemon"}</h2>
      <Show of={health} what="how it is">
        {(data) => <Daemon rows={"store" in data ? hubRows(data) : daemonRows(data)} />}
      </Show>
      <h2>Settings</h2>
      <Show of={config} what="settings">
        {(data) => <Effective data={data} />}
      </Show>
      <h2>Telemetry</h2>
      <Show of={telemetry} what="telemetry">
        {(data) => <Telemetry data={data} />}
      </Show>
      <Products paths={manifests(config.data)} />
    </>
  );
}

/** Manifests of products whose telemetry the daemon takes. */
function manifests(config: Config | null): string[] {
  const setting = config?.["telemetry_manifests"];
  return isSetting(setting) ? setting.value.split(":").filter((path) => path !== "") : [];
}

/** Who decides, as `trueup telemetry status` names it. */
const DECIDERS: Record<string, string> = {
  do_not_track: "the variable DO_NOT_TRACK",
  variable: "the variable TRUEUP_TELEMETRY",
  policy: "a policy of the machine",
  file: "a decision that was made here",
  ci: "the variable CI",
  default: "the manifest: nobody has decided",
};

function Telemetry({ data: { status, shown, cli } }: { data: Told }) {
  const { mode, sinks, sent_today: today } = status;
  const places = sinks.length === 0 ? "nowhere: its manifest names no place" : sinks.join(", ");
  const rows: [string, preact.ComponentChildren][] = [
    ["Mode", <Badge look={mode === "on" ? "warn" : "good"}>{mode}</Badge>],
    ["Decided by", DECIDERS[status.decided_by] ?? status.decided_by],
    ["Goes to", mode === "on" || sinks.length === 0 ? places : `${places}, if it were on`],
    ["Errors", status.errors ? "may be told" : "are not told"],
    ["Sent today", `${grouped(today.events)} of ${grouped(today.hard_cap)} events`],
    ["Waits", `${counted(status.queued, "request")}, and ${counted(status.kept, "event")} kept here`],
    ...status.warnings.map((warning): [string, string] => ["Warning", warning]),
    ...(status.problem ? [["Problem", status.problem] as [string, string]] : []),
  ];
  return (
    <>
      <Table
        caption="What trueup may tell of itself"
        columns={[text("What"), text("How")]}
        rows={rows.map(([name, said], at) => ({ key: `${at}`, cells: [name, said] }))}
      />
      {!isFleet.value && <Cli command="trueup telemetry status" />}
      <h3 id="next">What it would send next</h3>
      <pre class="wrap" tabIndex={0} aria-labelledby="next">
        {shown}
      </pre>
      <Cli command={cli} url={telemetryUrl()} />
    </>
  );
}

/** Products that tell of themselves by this daemon: each its own, which no page may ask for. */
function Products({ paths }: { paths: string[] }) {
  if (paths.length === 0) return null;
  return (
    <>
      <h3>Products of others</h3>
      <p>Their telemetry is shown in a terminal alone: no page may ask for it.</p>
      {paths.map((path) => (
        <Cli key={path} command={`trueup telemetry show --manifest '${path.replaceAll("'", "'\\''")}'`} />
      ))}
    </>
  );
}

type Rows = [string, preact.ComponentChildren][];

const status = (said: string) => <Badge look={said === "ok" ? "good" : "bad"}>{said}</Badge>;

function hubRows(data: HubHealth): Rows {
  return [
    ["Status", status(data.status)],
    ["Store", data.store],
    ["Up for", duration(data.uptime_seconds * 1000)],
    ["Version", data.version],
  ];
}

function daemonRows(data: Health): Rows {
  return [
    ["Status", status(data.status)],
    ["Problem", data.db_error ?? data.sync_error ?? "none"],
    [`Stores read, ${zone.value}`, <Moment at={data.last_sync} />],
    ["Queue", `${grouped(data.queue_depth)} of ${grouped(data.queue_capacity)} records`],
    ["Dropped", grouped(data.dropped_total)],
    ["Ledger", <Name text={data.ledger} other="not shown" isWhole />],
    ["Size", bytes(data.db_size_bytes + data.wal_size_bytes)],
    ["Disk", data.disk_status],
    ["Version", data.version],
  ];
}

function Daemon({ rows }: { rows: Rows }) {
  return (
    <Table
      caption="Health"
      isCaptionHidden
      columns={[text("What"), text("How")]}
      rows={rows.map(([name, said]) => ({ key: name, cells: [name, said] }))}
    />
  );
}

function Effective({ data }: { data: Config }) {
  const settings = Object.entries(data).filter((one): one is [string, Setting] => isSetting(one[1]));
  return (
    <>
      <Table
        caption="Settings, their values, and where these come from"
        isCaptionHidden
        columns={[text("Setting"), text("Value"), text("From")]}
        rows={settings.map(([name, { value, from }]) => ({
          key: name,
          cells: [
            <code>{name}</code>,
            <Name text={value} other="none" isWhole />,
            <Name text={from} isWhole />,
          ],
        }))}
      />
      <Cli command={typeof data["cli"] === "string" ? data["cli"] : "trueup config"} url={configUrl()} />
    </>
  );
}
