// Whether this is the account of one machine or a hub's of many devices. It is asked once: of a single
// machine nothing more is, and nothing of devices is shown.

import { computed, signal } from "@preact/signals";
import { type Devices, devicesUrl } from "./api";
import { ask } from "./load";
import { FILTERS, type FilterName } from "./url";

/** Most devices that a list to choose from offers. */
const OFFERED_MAX = 2000;

/** What was last said of devices; null before the first answer. */
export const fleet = signal<Devices | null>(null);
export const isFleet = computed(() => (fleet.value?.rows.length ?? 0) > 0);
/** Names to choose from, in their order. */
export const deviceNames = computed(() =>
  (fleet.value?.rows ?? []).slice(0, OFFERED_MAX).map(({ device }) => device),
);

/** What one may filter and group by here. */
export const filterNames = computed((): FilterName[] =>
  FILTERS.filter((name) => name !== "device" || isFleet.value),
);

const NONE: Devices = {
  as_of: "",
  silent_after_seconds: 0,
  is_complete: true,
  counts: { ok: 0, behind: 0, silent: 0, lossy: 0 },
  rows: [],
};

/** Asks who tells this account. Without an answer it is taken for a single machine's. */
export async function learnFleet(): Promise<void> {
  try {
    fleet.value = await ask<Devices>(devicesUrl(), new AbortController().signal);
  } catch {
    fleet.value ??= NONE;
  }
}
