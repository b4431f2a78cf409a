// Which days, and of which zone.

import { RANGES, type RangeName, go, rangeName, span, zone, zoneChoice } from "../url";
import { dayOf, localZone, plusDays, settingsZone } from "../time";

const TITLES: Record<RangeName, string> = {
  today: "Today",
  "7d": "7 days",
  "35d": "35 days",
  "90d": "90 days",
  "365d": "365 days",
  all: "All that is known",
};

const CUSTOM = "days";

function chooseRange(name: string): void {
  if (name !== CUSTOM) return go({ range: name, from: null, to: null });
  const today = dayOf(new Date(), zone.value);
  const { from } = span.value;
  go({ range: null, from: from ?? plusDays(today, -34), to: today });
}

function chooseDay(which: "from" | "to", day: string): void {
  if (day !== "") go({ range: null, [which]: day });
}

export function Range({ isUtc }: { isUtc?: boolean }) {
  const name = rangeName.value;
  const { from, to } = span.value;
  return (
    <fieldset class="bar">
      <legend class="hidden">Days</legend>
      <label>
        <span>Days</span>
        <select value={name ?? CUSTOM} onChange={(event) => chooseRange(event.currentTarget.value)}>
          {Object.keys(RANGES).map((one) => (
            <option key={one} value={one}>
              {TITLES[one as RangeName]}
            </option>
          ))}
          <option value={CUSTOM}>From … to …</option>
        </select>
      </label>
      {name === null && (
        <>
          <label>
            <span>From</span>
            <input
              type="date"
              value={from ?? ""}
              onChange={(event) => chooseDay("from", event.currentTarget.value)}
            />
          </label>
          <label>
            <span>To</span>
            <input
              type="date"
              value={to ?? ""}
              onChange={(event) => chooseDay("to", event.currentTarget.value)}
            />
          </label>
        </>
      )}
      {isUtc ? (
        <p class="quiet">Days are UTC days here, as bills have them.</p>
      ) : (
        <label>
          <span>Days of</span>
          <select
            value={zoneChoice.value}
            onChange={(event) => {
              const choice = event.currentTarget.value;
              go({ tz: choice === "settings" ? null : choice });
            }}
          >
            <option value="settings">Settings ({settingsZone.value})</option>
            <option value="local">This browser ({localZone})</option>
            <option value="utc">UTC</option>
            {!["settings", "local", "utc"].includes(zoneChoice.value) && (
              <option value={zoneChoice.value}>{zoneChoice.value}</option>
            )}
          </select>
        </label>
      )}
    </fieldset>
  );
}
