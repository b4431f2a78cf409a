// Reading the dashboard as a person does: by what stands in its tables, its cards and its addresses.

import assert from "node:assert/strict";

/** Every view, and an address of it that has something to show. */
export const VIEWS = {
  overview: "#/overview",
  explore: "#/explore?group=project&top=50",
  sessions: "#/sessions",
  session: null,
  call: null,
  year: "#/year",
  errors: "#/errors",
  host: "#/host?range=7d",
  completeness: "#/completeness",
  parity: "#/parity",
  budgets: "#/budgets",
  settings: "#/settings",
};

const SETTLED_MS_MAX = 20_000;

/** Waits until nothing is asked for, and what is drawn late is drawn. */
export async function settled(page) {
  await page.waitForFunction(
    () =>
      document.querySelector("main h1") !== null &&
      document.querySelector(".loading, main [aria-busy=true]") === null &&
      [...document.querySelectorAll(".plot")].every((place) => place.querySelector("canvas") !== null),
    null,
    { timeout: SETTLED_MS_MAX },
  );
}

/** Goes to an address, by the bar of addresses. */
export async function open(page, url, hash) {
  await page.goto(`${url}/${hash}`);
  // An answer is asked for in the frame after the one that shows the new address.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50))));
  await settled(page);
}

/** The commands of a view, in the order in which they stand there. */
export const commands = (page) => page.locator("main .cli code").allInnerTexts();

/** The command that prints the figures of a view. */
export async function command(page, begins = "trueup ") {
  const all = await commands(page);
  const found = all.filter((one) => one.startsWith(begins)).at(-1);
  assert(found, `no command on the view begins with ${begins}: ${JSON.stringify(all)}`);
  return found;
}

/** A table by its caption: the names of its columns, and rows of cells. */
export async function table(page, caption) {
  const captioned = page.locator("main table", { has: page.locator("caption", { hasText: caption }) });
  assert((await captioned.count()) > 0, `no table is called ${caption}`);
  return captioned.first().evaluate((element) => {
    const cell = (one) => ({
      text: one.innerText.trim(),
      title: one.querySelector("[title]")?.getAttribute("title") ?? null,
      isMissing: one.querySelector(".missing") !== null,
    });
    return {
      columns: [...element.querySelectorAll("thead th")].map((one) => one.innerText.trim()),
      rows: [...element.querySelectorAll("tbody tr")].map((row) => ({ look: row.className, cells: [...row.children].map(cell) })),
    };
  });
}

/** The table of a chart's figures, opened. */
export async function twin(page, at = 0) {
  const place = page.locator("details.twin").nth(at);
  if (!(await place.evaluate((element) => element.open))) await place.locator("summary").click();
  const caption = await place.locator("table caption").innerText();
  return table(page, caption);
}

/** The figure of a cell, in full: digits alone, or null where it is not known. */
export function figure({ text, title, isMissing }) {
  if (isMissing) return null;
  const said = title !== null && /^[$\d-]/.test(title) ? title : text;
  return plain(said.replace(/[$,]| \(open\)/g, "").replace(/\*$/, ""));
}

/** A decimal without zeros at its end. */
export function plain(amount) {
  const said = String(amount);
  return said.includes(".") ? said.replace(/\.?0+$/, "") : said;
}

/** The card of a name. */
export async function card(page, name) {
  const place = page.locator(".card", { has: page.locator("dt", { hasText: new RegExp(`^${name}`) }) });
  return place.first().evaluate((element) => {
    const value = element.querySelector("dd.value");
    const inner = value.querySelector("span[title]");
    return {
      text: value.innerText.trim(),
      title: value.getAttribute("title") ?? inner?.getAttribute("title") ?? null,
      isMissing: value.querySelector(".missing") !== null,
    };
  });
}

/** The parameters of the address. */
export const params = (page) => new URLSearchParams(new URL(page.url()).hash.split("?")[1] ?? "");

/** A text as one word of a shell. */
export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A choice by the word before it. */
export const choice = (page, title) =>
  page.locator("main label", { has: page.locator(`span:text-is("${title}")`) }).locator("select, input");

/** What a list has by a key, in its order: of the language itself only from Node 21 on. */
export function groupBy(list, key) {
  const groups = new Map();
  for (const one of list) {
    const of = key(one);
    groups.set(of, [...(groups.get(of) ?? []), one]);
  }
  return groups;
}

/** The cells of a column. */
export function column({ columns }, cells, name) {
  const at = columns.indexOf(name);
  assert(at >= 0, `no column is called ${name}: ${columns}`);
  return cells[at];
}
