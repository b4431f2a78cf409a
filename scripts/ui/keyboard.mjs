// Who has no mouse gets everywhere, and sees at each step where that is.

import assert from "node:assert/strict";
import { check } from "./checks.mjs";
import { open, params, settled } from "./page.mjs";

const STOPS_MAX = 120;

/** What has the focus, and whether it can be seen that it has. */
const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
    const { top, left, width, height } = element.getBoundingClientRect();
    const isMarked = (outlineStyle !== "none" && Number.parseFloat(outlineWidth) >= 1) || boxShadow !== "none";
    const isOnScreen = width > 1 && height > 1 && top < innerHeight && top + height > 0 && left < innerWidth && left + width > 0;
    const label = element.getAttribute("aria-label") ?? element.labels?.[0]?.innerText ?? element.innerText ?? "";
    return { tag: element.tagName.toLowerCase(), kind: element.className, label: label.trim().slice(0, 60), href: element.getAttribute("href"), isMarked, isOnScreen };
  });

/** Tabs on until something has the focus, and holds each stop before it to be seen. */
async function tabTo(page, is, what) {
  for (let stop = 0; stop < STOPS_MAX; stop += 1) {
    await page.keyboard.press("Tab");
    const at = await focused(page);
    assert(at.tag !== "body", `the focus is lost on the way to ${what}`);
    assert(at.isMarked, `the focus is not seen on ${JSON.stringify(at)}`);
    assert(at.isOnScreen, `the focus is off the screen on ${JSON.stringify(at)}`);
    if (is(at)) return at;
  }
  throw new Error(`${what} is not reached by ${STOPS_MAX} tabs`);
}

/** A view as it is when it was just loaded: the first stop is that of the page. */
async function fresh(page, machine, hash) {
  await open(page, machine.url, hash);
  await page.reload();
  await settled(page);
}

export async function keyboard({ page, machine }) {
  await check("The first stop leads past the views to the figures", async () => {
    await open(page, machine.url, "#/overview");
    const skip = await tabTo(page, () => true, "the first stop");
    assert.equal(skip.label, "To the figures");
    await page.keyboard.press("Enter");
    assert.equal((await focused(page)).tag, "h1");
    const after = await tabTo(page, () => true, "the first control");
    assert.equal(await page.evaluate(() => document.querySelector("main").contains(document.activeElement)), true, after.label);
  });
  await check("Views, a filter, a chart and a download, by Tab, Enter and arrows, with the focus seen at each stop", async () => {
    await fresh(page, machine, "#/overview");
    await tabTo(page, ({ tag, label }) => tag === "a" && label === "Explore", "Explore");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.hash.startsWith("#/explore"));
    await page.waitForTimeout(100);
    await settled(page);
    assert.equal((await focused(page)).tag, "h1", "the focus goes along to the view");
    await tabTo(page, ({ tag, label }) => tag === "select" && label.startsWith("by"), "the group");
    await page.keyboard.press("ArrowDown");
    await page.waitForTimeout(150);
    await settled(page);
    assert.equal(params(page).get("group"), "project");
    assert.equal((await focused(page)).tag, "select", "the focus stays where something was chosen");
    await tabTo(page, ({ tag, label }) => tag === "input" && /for any text/.test(label), "the filter");
    await page.keyboard.type("my-agent");
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.type("A");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.hash.includes("agent=my-agent"));
    await page.waitForTimeout(150);
    await settled(page);
    await tabTo(page, ({ kind }) => kind === "chart", "the chart");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    const first = await page.locator(".chart .readout strong").innerText();
    await page.keyboard.press("Home");
    const home = await page.locator(".chart .readout strong").innerText();
    assert(home < first, `${home} is before ${first}`);
    await tabTo(page, ({ tag, label }) => tag === "a" && label === "CSV", "a download");
    const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
    assert.equal(await download.failure(), null);
  });
  await check("A time of the chart opens its sessions, a day of the year too, and Escape closes what was opened", async () => {
    await open(page, machine.url, "#/overview");
    await page.locator(".chart").focus();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.hash.startsWith("#/sessions"));
    await open(page, machine.url, "#/year");
    await page.locator(".chart.year").focus();
    for (const key of ["ArrowUp", "ArrowLeft", "ArrowRight"]) await page.keyboard.press(key);
    assert.match(await page.locator(".chart .readout strong").innerText(), /^\d{4}-\d\d-\d\d$/);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.hash.startsWith("#/sessions"));
    await page.waitForTimeout(100);
    await settled(page);
    await page.locator(".saved summary").focus();
    await page.keyboard.press("Enter");
    await page.locator(".saved input").focus();
    await page.keyboard.type("mine");
    await page.keyboard.press("Enter");
    await page.locator(".saved a", { hasText: "mine" }).waitFor();
    await page.keyboard.press("Escape");
    assert.equal(await page.locator(".saved").evaluate((element) => element.open), false);
    assert.equal((await focused(page)).tag, "summary");
  });
  await check("Every stop of every view is seen", async () => {
    let stops = 0;
    for (const hash of ["#/sessions", "#/year", "#/errors", "#/host?range=7d", "#/completeness", "#/parity", "#/budgets", "#/settings"]) {
      await fresh(page, machine, hash);
      const count = await page.locator("a, button, select, input, summary, [tabindex='0']").count();
      for (let stop = 0; stop < Math.min(count, 40); stop += 1) {
        await page.keyboard.press("Tab");
        const at = await focused(page);
        if (at.tag === "body") break;
        assert(at.isMarked && at.isOnScreen, `${hash}: ${JSON.stringify(at)}`);
        stops += 1;
      }
    }
    return `${stops} stops`;
  });
}
