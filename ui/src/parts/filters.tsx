// What is filtered by, as chips; each can be taken away, and others be added.

import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { type Usage, usageUrl } from "../api";
import { deviceNames, filterNames } from "../fleet";
import { type Changes, FILTERS, type FilterName, filters, go, here } from "../url";
import { Name } from "./words";

const TITLES: Record<FilterName, string> = {
  provider: "Provider",
  model: "Model",
  project: "Project",
  agent: "Agent",
  kind: "Session kind",
  tier: "Tier",
  device: "Device",
};

/** Names that are suggested, by what they are of. */
const suggested = signal<Partial<Record<FilterName, string[]>>>({});

/** Asks once for the names that there are. */
async function suggest(name: FilterName): Promise<void> {
  if (name === "device" || suggested.value[name]) return;
  try {
    const none = Object.fromEntries(FILTERS.map((one) => [one, null]));
    const response = await fetch(
      usageUrl({ ...none, group: name, bucket: "none", top: "50", from: null, to: null }),
    );
    if (!response.ok) return;
    const usage = (await response.json()) as Usage;
    const names = usage.series.flatMap(({ group, is_other }) => (group && !is_other ? [group] : []));
    suggested.value = { ...suggested.value, [name]: names };
  } catch {
    // Without suggestions a name can still be typed.
  }
}

/** The address without one of the values. */
function without(name: FilterName, value: string): string {
  return here({ [name]: filters(name).filter((one) => one !== value), cursor: null });
}

/** The address with a value more. */
export function withFilter(name: FilterName, value: string): string {
  return here(added(name, value));
}

/** A value more; of devices, another instead. */
function added(name: FilterName, value: string): Changes {
  const before = name === "device" ? [] : filters(name);
  return { [name]: [...new Set([...before, value])], cursor: null };
}

export function Filters() {
  const [name, choose] = useState<FilterName>("model");
  const [value, type] = useState("");
  const add = (event: Event) => {
    event.preventDefault();
    if (value.trim() === "") return;
    go(added(name, value.trim()));
    type("");
  };
  const hint = `${TITLES[name]}${name === "device" ? ", its whole name" : ", * for any text"}`;
  const chips = FILTERS.flatMap((one) => filters(one).map((of) => ({ one, of })));
  return (
    <div class="bar filters">
      {chips.length > 0 && (
        <ul class="chips" aria-label="Filters">
          {chips.map(({ one, of }) => (
            <li key={`${one} ${of}`} class="chip">
              <span class="quiet">{TITLES[one]}</span> <Name text={of} />
              <a href={without(one, of)} aria-label={`Remove the filter ${TITLES[one]} ${of}`}>
                ✕
              </a>
            </li>
          ))}
        </ul>
      )}
      <form class="row" onSubmit={add}>
        <label>
          <span>Filter by</span>
          <select
            value={name}
            onChange={(event) => {
              const next = FILTERS.find((one) => one === event.currentTarget.value) ?? "model";
              choose(next);
              void suggest(next);
            }}
          >
            {filterNames.value.map((one) => (
              <option key={one} value={one}>
                {TITLES[one]}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span class="hidden">{hint}</span>
          <input
            value={value}
            list="suggested"
            placeholder={name === "device" ? "name" : "name, * for any text"}
            maxLength={1024}
            dir="auto"
            onFocus={() => void suggest(name)}
            onInput={(event) => type(event.currentTarget.value)}
          />
        </label>
        <datalist id="suggested">
          {(name === "device" ? deviceNames.value : (suggested.value[name] ?? [])).map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <button type="submit">Add</button>
      </form>
    </div>
  );
}
