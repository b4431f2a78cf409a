// Days and instants. Days are those of a zone, which is always named beside them.

import { signal } from "@preact/signals";

/** The zone of this browser. */
export const localZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

const KEY = "trueup.zone";

/** The zone of trueup's settings, as the last answer has named it; before the first that of the browser. */
export const settingsZone = signal(localStorage.getItem(KEY) ?? localZone);

export function learnSettingsZone(zone: string): void {
  if (zone === "" || zone === settingsZone.value) return;
  settingsZone.value = zone;
  localStorage.setItem(KEY, zone);
}

/** The day of an instant in a zone, such as `2026-11-22`. */
export function dayOf(instant: Date, zone: string): string {
  try {
    return new Intl.DateTimeFormat("en-CA", { timeZone: zone }).format(instant);
  } catch {
    // A zone without a name (`+02:00`) that this browser does not know.
    return instant.toISOString().slice(0, 10);
  }
}

/** `days` after a day; before it, where they are fewer than none. */
export function plusDays(day: string, days: number): string {
  const instant = new Date(`${day}T00:00:00Z`);
  instant.setUTCDate(instant.getUTCDate() + days);
  return instant.toISOString().slice(0, 10);
}

/** The last day of the month of a day. */
export function lastOfMonth(day: string): string {
  const [year, month] = day.split("-").map(Number);
  return new Date(Date.UTC(year ?? 0, month ?? 0, 0)).toISOString().slice(0, 10);
}

/** How many days there are from `from` to `to`, both included. */
export function daysBetween(from: string, to: string): number {
  return Math.round((Date.parse(to) - Date.parse(from)) / 86_400_000) + 1;
}

/** An instant in a zone: `2026-11-20 09:00:12`. */
export function moment(instant: string, zone: string): string {
  const date = new Date(instant);
  if (Number.isNaN(date.getTime())) return instant;
  try {
    return new Intl.DateTimeFormat("sv-SE", {
      timeZone: zone,
      dateStyle: "short",
      timeStyle: "medium",
    }).format(date);
  } catch {
    return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  }
}

/** A length of time: `412 ms`, `2.1 s`, `2 h 05 min`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} days`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function monthName(month: number): string {
  return MONTHS[month] ?? "";
}

/** The key of a bucket, short enough for an axis: `20 Nov`, `13:30`, `Nov 2026`. */
export function axisLabel(key: string): string {
  const [day = "", clock] = key.split(/[ T]/);
  if (clock) return clock.slice(0, 5) === "00:00" ? axisLabel(day) : clock.slice(0, 5);
  const [year, month, date] = day.split("-");
  const name = monthName(Number(month) - 1);
  return date ? `${Number(date)} ${name}` : month ? `${name} ${year}` : key;
}
