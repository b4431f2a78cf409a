// What holds and where it comes from; how the daemon is; what telemetry would tell.

import { type Setting, configUrl } from "../api";
import { useAnswer } from "../load";
import { bytes, grouped } from "../money";
import { Cli } from "../parts/cli";
import { Show } from "../parts/show";
import { Table, text } from "../parts/table";
import { Badge, Moment, Name } from "../parts/words";
import { THEMES, chooseTheme, theme } from "../theme";

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

function isSetting(value: unknown): value is Setting {
  return typeof value === "object" && value !== null && "value" in value && "from" in value;
}

export function Settings() {
  const config = useAnswer<Config>(configUrl(), "once");
  const health = useAnswer<Health>("/health");
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
      <h2>The daemon</h2>
      <Show of={health} what="how the daemon is">
        {(data) => <Daemon data={data} />}
      </Show>
      <h2>Settings</h2>
      <Show of={config} what="settings">
        {(data) => <Effective data={data} />}
      </Show>
      <h2>Telemetry</h2>
      <p>
        trueup sends nothing about itself: its manifest names no place to send to. No page may ask for
        telemetry of products; a terminal says whether it is on and who decided, and shows the next request,
        to the byte.
      </p>
      <Cli command="trueup telemetry status" />
      <Cli command="trueup telemetry show" />
      {manifests(config.data).map((path) => (
        <Cli key={path} command={`trueup telemetry status --manifest '${path.replaceAll("'", "'\\''")}'`} />
      ))}
    </>
  );
}

/** Manifests of products whose telemetry the daemon takes. */
function manifests(config: Config | null): string[] {
  const setting = config?.["telemetry_manifests"];
  return isSetting(setting) ? setting.value.split(":").filter((path) => path !== "") : [];
}

function Daemon({ data }: { data: Health }) {
  const rows: [string, preact.ComponentChildren][] = [
    ["Status", <Badge look={data.status === "ok" ? "good" : "bad"}>{data.status}</Badge>],
    ["Problem", data.db_error ?? data.sync_error ?? "none"],
    ["Stores read", <Moment at={data.last_sync} />],
    ["Queue", `${grouped(data.queue_depth)} of ${grouped(data.queue_capacity)} records`],
    ["Dropped", grouped(data.dropped_total)],
    ["Ledger", <Name text={data.ledger} other="not shown" />],
    ["Size", bytes(data.db_size_bytes + data.wal_size_bytes)],
    ["Disk", data.disk_status],
    ["Version", data.version],
  ];
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
          cells: [<code>{name}</code>, <Name text={value} other="none" />, <Name text={from} />],
        }))}
      />
      <Cli command={typeof data["cli"] === "string" ? data["cli"] : "trueup config"} />
    </>
  );
}
