// What `trueup report --html` writes into the page: answers of the usage API (docs/usage-api.md), and a
// report by day (docs/report-json.md).

import type { Sums, Usage } from "../api";

export interface TimeReport {
  /** `day`, `week` or `month`, which is also the field of a row that says when. */
  by: string;
  rows: (Sums & Record<string, unknown>)[];
}

export interface Data {
  version: string;
  generated_at: string;
  /** The command that writes this page. */
  cli: string;
  /** Patterns by what they are of; without any, everything is told. */
  filters: Record<string, string[]>;
  /** Over time by model, for each metric that can be chosen. */
  over_time: Usage[];
  /** All of the time, by what its `group` says. */
  by: Usage[];
  times: TimeReport;
}

/** The data of this page. */
export function read(): Data {
  return JSON.parse(document.getElementById("data")?.textContent ?? "");
}
