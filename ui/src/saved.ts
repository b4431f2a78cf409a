// Views that were given a name in this browser: nothing but addresses.

import { signal } from "@preact/signals";

const KEY = "trueup.saved";

export interface Saved {
  name: string;
  hash: string;
}

function stored(): Saved[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    if (!Array.isArray(list)) return [];
    return list.filter((one): one is Saved => typeof one?.name === "string" && typeof one?.hash === "string");
  } catch {
    return [];
  }
}

export const saved = signal<Saved[]>(stored());

function keep(next: Saved[]): void {
  saved.value = next;
  localStorage.setItem(KEY, JSON.stringify(next));
}

/** Saves what is shown; a name that is there already gets the new view. */
export function save(name: string): void {
  keep([...saved.value.filter((one) => one.name !== name), { name, hash: location.hash || "#/overview" }]);
}

export function forget(name: string): void {
  keep(saved.value.filter((one) => one.name !== name));
}
