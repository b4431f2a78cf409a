// Which device of a hub: of a single machine there is none to choose.

import { deviceNames, isFleet } from "../fleet";
import { counted } from "../money";
import { device, go, here } from "../url";
import { Name } from "./words";

/** The devices to choose from, and all of them. */
export function OfDevice({ all = "all" }: { all?: string }) {
  if (!isFleet.value && device.value === null) return null;
  const chosen = device.value ?? "";
  const names = deviceNames.value;
  return (
    <div class="bar">
      <label>
        <span>Device</span>
        <select
          value={chosen}
          onChange={({ currentTarget }) => go({ device: currentTarget.value || null, cursor: null })}
        >
          <option value="">{all}</option>
          {(chosen === "" || names.includes(chosen) ? names : [chosen, ...names]).map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}

/** Most devices that stand there to be clicked; the others are in the list above. */
const SHOWN_MAX = 100;

/** What stands where there is only something to show of one device. */
export function ChooseDevice({ what }: { what: string }) {
  const more = deviceNames.value.length - SHOWN_MAX;
  return (
    <section class="note" aria-label="Choose a device">
      <p>{what} are of one device. Choose which:</p>
      <ul class="row plain">
        {deviceNames.value.slice(0, SHOWN_MAX).map((name) => (
          <li key={name}>
            <a class="button" href={here({ device: name })}>
              <Name text={name} />
            </a>
          </li>
        ))}
      </ul>
      {more > 0 && <p class="quiet">{counted(more, "device")} more are in the list above.</p>}
    </section>
  );
}

/** Said where a device was chosen, and what is shown knows none. */
export function OfAllDevices() {
  if (!isFleet.value || device.value === null) return null;
  return (
    <p class="quiet">
      Of all devices, not of <Name text={device.value} /> alone.
    </p>
  );
}
