// The page of `trueup report --html`, written beside a running `serve` and opened from a disk: its figures,
// its looks, and that it asks for nothing.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { check } from "./checks.mjs";
import { INJECTED } from "./fence.mjs";
import { MEDIA, NARROW, WIDE, told, violations, violationsOfThemes } from "./looks.mjs";
import { card, figure, plain, table, twin } from "./page.mjs";
import { HOSTILE } from "./seed.mjs";

const dataOf = (page) => page.evaluate(() => JSON.parse(document.getElementById("data").textContent));

/** An instant as pages write it. */
const moment = (instant, zone) =>
  new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" }).format(new Date(instant));

export async function report({ page, machine }) {
  const path = join(machine.home, "usage.html");
  const url = pathToFileURL(path).href;
  writeFileSync(path, await machine.run("trueup report --html"));
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(url);
  await page.waitForSelector("main h1");
  const data = await dataOf(page);

  await check("Its figures are those of the report, and its command writes it again", async () => {
    const { totals } = await machine.json("trueup report --json");
    assert(totals.exact.calls > 300, "the seed is not there");
    for (const [name, value] of [["Tokens", totals.exact.total], ["Cost", totals.exact.cost_usd], ["Calls", totals.exact.calls]]) {
      assert.equal(figure(await card(page, name)), plain(value), name);
    }
    assert((await twin(page)).rows.length > 10);
    assert.equal(await page.locator(".cli code").innerText(), data.cli);
    assert.match((await machine.run(data.cli)).toString(), /^<!doctype html>/i);
    return `${totals.exact.calls} calls`;
  });
  await check("Beside `serve` it says of when its data are: the last that is known, as the dashboard does", async () => {
    const { as_of: asOf, last_usage: last } = data.over_time[0];
    const told = await (await machine.get("/api/v1/usage/query?bucket=none")).json();
    assert.equal(last, told.last_usage);
    assert(asOf >= last, `${asOf} is before ${last}`);
    assert(asOf <= told.as_of, `${asOf} is after ${told.as_of}`);
    assert((await page.locator(".asof").innerText()).startsWith(`Data as of ${moment(asOf, data.over_time[0].tz)}`));
    return asOf;
  });
  await check("Names that hurt are text", async () => {
    assert.equal(await page.locator(INJECTED).count(), 0);
    assert.equal(await page.locator("script").count(), 2, "its own, and its data");
    assert.equal(await page.evaluate(() => window.hurt), undefined);
    const projects = (await table(page, "Projects")).rows.map(({ cells }) => cells[0].title);
    for (const name of HOSTILE) assert(projects.includes(name), `${name} is not shown as it is`);
  });
  await check(`axe: ${Object.keys(MEDIA).join(", ")}`, async () => {
    await page.setViewportSize(WIDE);
    await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
    assert.equal(await violationsOfThemes(page), "");
  });
  await check(`${NARROW.width} px wide: it does not scroll sideways, and axe finds nothing`, async () => {
    await page.setViewportSize(NARROW);
    const width = await page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth));
    assert(width <= NARROW.width, `it is ${width} px wide`);
    assert.equal(told(await violations(page, ["color-contrast", "target-size", "scrollable-region-focusable"])), "");
  });
  await check("Each metric is drawn, by a policy without exceptions, and nothing but the file is asked for", async () => {
    for (const at of data.over_time.keys()) {
      await page.locator("label.choice select").selectOption(String(at));
      assert(await page.locator(".chart svg path.layer").first().getAttribute("d"), data.over_time[at].metric);
    }
    const policy = await page.locator("meta[http-equiv='Content-Security-Policy' i]").getAttribute("content");
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    assert.deepEqual(asked, [url]);
  });
}
