// Which device of a hub: of a single machine there is none to choose.

import { deviceNames, isFleet } from "../fleet";
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

/** What stands where there is only something to show of one device. */
export function ChooseDevice({ what }: { what: string }) {
  return (
    <section class="note" aria-label="Choose a device">
      <p>{what} are of one device. Choose which:</p>
      <ul class="row plain">
        {deviceNames.value.map((name) => (
          <li key={name}>
            <a class="button" href={here({ device: name })}>
              <Name text={name} />
            </a>
          </li>
        ))}
      </ul>
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
