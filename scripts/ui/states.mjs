// What is not there, what is nothing, and what is not over look different; so do zones, and a daemon that
// is gone.

import assert from "node:assert/strict";
import { check } from "./checks.mjs";
import { compareTwin } from "./figures.mjs";
import { choice, command, figure, open, params, settled, table, twin } from "./page.mjs";
import { CLOCKS, IDLE_DAYS, ZONE, dayOf, lastChange, midnight } from "./seed.mjs";

export async function emptiness({ page, machine }) {
  await check("Without any usage each view says so, and what to do", async () => {
    for (const view of ["overview", "explore", "year"]) {
      await open(page, machine.url, `#/${view}`);
      assert.equal(await page.locator("section.note.empty[aria-label='No usage known']").count(), 1, view);
      assert.equal(await page.locator(".cards").count(), 0, `${view} shows sums of nothing`);
    }
    const words = {
      sessions: /Nothing of these days|No usage is known/,
      errors: /0 errors: none were told[\s\S]*0 calls failed/,
      host: /No sample of these days/,
      completeness: /Nothing was read in these days/,
      parity: /trueup provider add openai/,
      budgets: /\[\[budget\]\]/,
      settings: /Health|Status/,
    };
    for (const [view, said] of Object.entries(words)) {
      await open(page, machine.url, `#/${view}`);
      assert.match(await page.locator("main").innerText(), said, view);
    }
    await open(page, machine.url, "#/session/none");
    assert.equal(await page.locator(".note.bad[role=alert]").count(), 1, "a session that is not there");
    await open(page, machine.url, "#/nowhere");
    assert.match(await page.locator("main").innerText(), /There is no such view/);
  });
}

export async function states({ page, machine, now }) {
  const { url } = machine;
  await check("Not kept, nothing and open look different over time", async () => {
    const { first_usage: first } = await (await machine.get("/api/v1/usage/query?bucket=none")).json();
    const from = dayOf(Date.parse(first) - 3 * 86_400_000);
    const to = dayOf(Date.parse(first) + 9 * 86_400_000);
    await open(page, url, `#/explore?from=${from}&to=${to}&bucket=1d`);
    const before = await twin(page);
    assert.equal(before.rows[0].look, "missing");
    assert(before.rows[0].cells.slice(1).every((cell) => cell.isMissing && cell.text.startsWith("–")), "a dash, and why");
    const after = before.rows.at(-1);
    assert.equal(after.look, "closed");
    assert.equal(figure(after.cells[1]), "0", "the account was kept, and nothing was used");
    const fills = await page.locator(".chart svg > rect").evaluateAll((all) => all.map((one) => one.getAttribute("fill")));
    assert.equal(fills.filter((fill) => fill.endsWith("missing)")).length, before.rows.filter(({ look }) => look === "missing").length);
    assert.notEqual(await page.locator(".chart path.zero").getAttribute("d"), "", "zero is a line on the ground");
    assert.equal(await page.locator(".legend .swatch.missing").count(), 1);

    await open(page, url, "#/overview");
    const { rows } = await twin(page);
    assert.equal(rows.at(-1).look, "open");
    assert.match(rows.at(-1).cells[0].text, /\(open\)$/);
    assert.equal(await page.locator(".legend .swatch.open").count(), 1);
    assert.match(await page.locator(".asof").innerText(), /is open/);
    const idle = rows.find(({ cells }) => cells[0].text === dayOf(midnight(now) - IDLE_DAYS[0] * 86_400_000));
    assert.equal(idle.look, "closed");
    assert(idle.cells.slice(1).every((cell) => figure(cell) === "0"), "a day of nothing is zero");
  });
  await check("Not kept, nothing and open look different in the year", async () => {
    await open(page, url, "#/year");
    const looks = await page.locator(".year rect.day").evaluateAll((all) => all.map((one) => one.getAttribute("class")));
    for (const look of ["h-missing", "h0", "h1", "h5", "h-open"]) assert(looks.some((one) => one.split(" ").includes(look)), look);
    assert.equal(looks.filter((one) => one.includes("h-open")).length, 1);
  });
  await check("Where nothing passes the filters, it says that and not zero usage known", async () => {
    await open(page, url, "#/overview?model=no-such-model");
    assert.match(await page.locator(".note.empty").innerText(), /the account was kept, and nothing was used/);
    await page.getByRole("link", { name: "Without filters" }).click();
    await page.waitForTimeout(100);
    await settled(page);
    assert.equal(params(page).get("model"), null);
  });
}

export async function zones({ page, machine, now }) {
  const { url } = machine;
  const change = lastChange(now);
  await check(`The day of ${change.hours} hours: each hour of the clock is that of the report`, async () => {
    const query = new URLSearchParams({ from: change.day, to: change.day, bucket: "1h", project: CLOCKS, model: "o3", metric: "calls" });
    await open(page, url, `#/explore?${query}`);
    const shown = await twin(page);
    const report = await machine.json(`${await command(page, "trueup report")} --json`);
    compareTwin(shown, report, "hour", "model", (sum) => sum.calls);
    // What the clock shows twice is one row, as in reports; an hour that it leaves out is none.
    const ofClock = new Map(shown.rows.map(({ cells }) => [cells[0].text.slice(11, 13), Number(figure(cells[1]))]));
    assert.equal(ofClock.size, change.hours === 25 ? 24 : 23);
    assert.equal(ofClock.get("02"), change.hours === 25 ? 2 : undefined);
    const total = [...ofClock.values()].reduce((all, one) => all + one, 0);
    assert.equal(total, change.hours);
    return `${change.day}, ${total} calls`;
  });
  await check("Days of the settings, of the browser and UTC are told apart, and named", async () => {
    await open(page, url, "#/explore");
    const place = choice(page, "Days of");
    const browser = await page.evaluate(() => Intl.DateTimeFormat().resolvedOptions().timeZone);
    assert.deepEqual(await place.locator("option").allInnerTexts(), [`Settings (${ZONE})`, `This browser (${browser})`, "UTC"]);
    assert.notEqual(browser, ZONE);
    for (const [choice, zone] of [["local", browser], ["utc", "UTC"], ["settings", ZONE]]) {
      await place.selectOption(choice);
      await page.waitForTimeout(100);
      await settled(page);
      assert.equal(params(page).get("tz"), choice === "settings" ? null : choice);
      assert.match(await page.locator(".asof").innerText(), new RegExp(`days of ${zone}`));
      assert.match((await page.locator("main table caption").first().innerText()) + (await page.locator("main").innerText()), new RegExp(`days of ${zone}`));
      const shown = await command(page, "trueup report");
      const report = await machine.json(`${shown} --json`);
      const total = (await table(page, "days of")).rows.at(-1).cells[6];
      assert.equal(figure(total), String(report.totals.exact.total), zone);
    }
    await open(page, url, "#/parity?tz=local");
    assert.match(await page.locator("main").innerText(), /Days are UTC days here/);
  });
}

/** What stands there while the daemon is gone, and when it is back. */
export async function outage({ page, machine }) {
  await check("A daemon that is gone is told, and asked again when wanted", async () => {
    await open(page, machine.url, "#/explore");
    await machine.stop();
    await choice(page, "Days").selectOption("90d");
    await page.waitForSelector(".note.bad[role=alert]");
    assert.match(await page.locator(".note.bad").first().innerText(), /does not answer/);
    await page.getByRole("button", { name: "Try again" }).first().click();
    await page.waitForSelector(".note.bad[role=alert]");
    await machine.serve("log-again");
    await page.getByRole("button", { name: "Try again" }).first().click();
    await page.waitForSelector(".note.bad[role=alert]", { state: "detached" });
    await settled(page);
    assert((await table(page, "days of")).rows.length > 3);
  });
}
