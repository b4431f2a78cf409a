// The address is the state. What is shown stands behind the `#`, so that a link shows the same, and the
// way back is the browser's:
//
//   #/explore?range=35d&group=model&metric=cost&model=gpt-5*
//
// Nothing else decides what is shown, but the theme and saved views, which are this browser's.

import { computed, signal } from "@preact/signals";
import { dayOf, daysBetween, localZone, plusDays, settingsZone } from "./time";

/** What may be filtered by; several of one name are alternatives. Of devices there is one, or all. */
export const FILTERS = ["provider", "model", "project", "agent", "kind", "tier", "device"] as const;
export type FilterName = (typeof FILTERS)[number];

/** Ranges that have a name, and their days; of `all` the first usage decides. */
export const RANGES = { today: 1, "7d": 7, "35d": 35, "90d": 90, "365d": 365, all: null } as const;
export type RangeName = keyof typeof RANGES;
const RANGE_DEFAULT: RangeName = "35d";

/** What goes along from one view to another. */
const KEPT: readonly string[] = ["range", "from", "to", "tz", ...FILTERS];

interface Route {
  view: string;
  /** What comes behind the view, such as a session. */
  id: string | null;
  params: URLSearchParams;
}

function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [view = "", id] = path.split("/");
  let decoded: string | null = null;
  try {
    decoded = id ? decodeURIComponent(id) : null;
  } catch {
    decoded = id ?? null;
  }
  return { view: view || "overview", id: decoded, params: new URLSearchParams(query) };
}

export const route = signal(parse(location.hash));
addEventListener("hashchange", () => (route.value = parse(location.hash)));

export type Changes = Record<string, string | readonly string[] | null>;

function address(path: string, params: URLSearchParams): string {
  const query = params.toString();
  return `#/${path}${query ? `?${query}` : ""}`;
}

function changed(params: URLSearchParams, changes: Changes): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const one of value === null ? [] : [value].flat()) next.append(name, one);
  }
  return next;
}

/** The address of this view with changes; null takes a parameter out. */
export function here(changes: Changes): string {
  const { view, id, params } = route.value;
  const path = id === null ? view : `${view}/${encodeURIComponent(id)}`;
  return address(path, changed(params, changes));
}

/** The address of a view, with the range, the zone and the filters that hold here. */
export function to(view: string, changes: Changes = {}, id?: string): string {
  const kept = new URLSearchParams([...route.value.params].filter(([name]) => KEPT.includes(name)));
  const path = id === undefined ? view : `${view}/${encodeURIComponent(id)}`;
  return address(path, changed(kept, changes));
}

/** Changes what is shown; `isSlight` leaves no step for the way back. */
export function go(changes: Changes, isSlight = false): void {
  const next = here(changes);
  if (isSlight) {
    history.replaceState(null, "", next);
    route.value = parse(next);
  } else {
    location.hash = next;
  }
}

/** A parameter of the address, or what holds without one. */
export function param(name: string, fallback: string): string {
  return route.value.params.get(name) ?? fallback;
}

export function filters(name: FilterName): string[] {
  const all = route.value.params.getAll(name);
  return name === "device" ? all.slice(0, 1) : all;
}

/** The device that is looked at; null where it is all of them, or a single machine. */
export const device = computed((): string | null => filters("device")[0] ?? null);

/** Which zone was chosen. */
export const zoneChoice = computed(() => param("tz", "settings"));

/** The zone of days: a name. */
export const zone = computed(() => {
  const choice = zoneChoice.value;
  if (choice === "settings") return settingsZone.value;
  return choice === "local" ? localZone : choice === "utc" ? "UTC" : choice;
});

/** The name of the range that was chosen, or null where days were given. */
export const rangeName = computed((): RangeName | null => {
  const { params } = route.value;
  if (params.has("from") || params.has("to")) return null;
  const name = params.get("range");
  return name !== null && name in RANGES ? (name as RangeName) : RANGE_DEFAULT;
});

/** The first and the last day; null where the account itself begins or ends. */
export const span = computed((): { from: string | null; to: string | null } => {
  const name = rangeName.value;
  const { params } = route.value;
  if (name === null) return { from: params.get("from"), to: params.get("to") };
  const days = RANGES[name];
  const today = dayOf(new Date(), zone.value);
  return { from: days === null ? null : plusDays(today, 1 - days), to: null };
});

/** How many days are shown, today included; null where the account decides. */
export const spanDays = computed((): number | null => {
  const { from, to: last } = span.value;
  return from === null ? null : daysBetween(from, last ?? dayOf(new Date(), zone.value));
});

/** What every question about usage has: days, zone, filters. */
export function scope(extra: Changes = {}): URLSearchParams {
  const query = new URLSearchParams();
  const { from, to: last } = span.value;
  if (from) query.set("from", from);
  if (last) query.set("to", last);
  if (zoneChoice.value !== "settings") query.set("tz", zone.value);
  for (const name of FILTERS) for (const value of filters(name)) query.append(name, value);
  return changed(query, extra);
}
