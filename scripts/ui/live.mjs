// New calls show by themselves, and a tab that nobody sees costs nothing.

import assert from "node:assert/strict";
import { check } from "./checks.mjs";
import { card, figure, open, settled } from "./page.mjs";

/** A new call is seen at most this long after it was posted. */
const SEEN_MS_MAX = 1000;
/** So do the sums after a quiet time: they are asked for at most every two seconds (docs/dashboard.md). */
const SUMS_MS_MAX = 1000;
/** How long a hidden tab is watched. */
const HIDDEN_MS = 3000;

let posted = 0;

function call() {
  posted += 1;
  return {
    trace_id: `live-${posted}`,
    provider: "openai",
    model: `live-${posted}`,
    prompt_tokens: 1000 * posted,
    completion_tokens: 10,
    agent: "live",
    session_id: "live",
  };
}

/** Posts, and says after how many milliseconds the page shows it. */
async function untilSeen(page, machine) {
  const one = call();
  const seen = page.waitForFunction((model) => document.querySelector("section[aria-label='Latest calls']")?.textContent.includes(model), one.model, { polling: "raf", timeout: 5000 });
  const began = Date.now();
  await machine.post("/v1/traces", [one]);
  await seen;
  return Date.now() - began;
}

/** A tab as the browser has it when it is behind another. */
const hide = (page, isHidden) =>
  page.evaluate((is) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => is });
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (is ? "hidden" : "visible") });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);

export async function live({ page, machine }) {
  const connections = new Set();
  let asked = [];
  page.on("request", (request) => {
    asked.push(request.url());
    if (request.url().endsWith("/api/v1/live")) connections.add(request);
  });
  for (const end of ["requestfinished", "requestfailed"]) page.on(end, (request) => connections.delete(request));

  await open(page, machine.url, "#/overview");
  await page.waitForSelector(".badge.good:text-is('live')");
  await page.evaluate(() => (window.wasNotReloaded = true));
  await check(`A posted call shows within ${SEEN_MS_MAX} ms`, async () => {
    const times = [];
    for (let round = 0; round < 5; round += 1) {
      times.push(await untilSeen(page, machine));
      await page.waitForTimeout(400);
    }
    assert(Math.max(...times) <= SEEN_MS_MAX, `${times} ms`);
    assert(await page.evaluate(() => window.wasNotReloaded), "the page was loaded anew");
    return `${times.join(", ")} ms`;
  });
  await check(`The sums follow within ${SUMS_MS_MAX} ms`, async () => {
    await page.waitForTimeout(2500);
    await settled(page);
    const before = Number(figure(await card(page, "Calls")));
    const began = Date.now();
    await machine.post("/v1/traces", [call()]);
    const title = (before + 1).toLocaleString("en-US");
    await page.waitForFunction((said) => document.querySelectorAll(".card dd.value")[2].title === said, title, { polling: 50, timeout: 6000 });
    const took = Date.now() - began;
    assert(took <= SUMS_MS_MAX, `${took} ms`);
    return `${took} ms`;
  });
  await check("A tab that is not seen holds no connection and asks nothing", async () => {
    assert.equal(connections.size, 1, "one connection while it is seen");
    await page.waitForTimeout(2500);
    await settled(page);
    await hide(page, true);
    await page.waitForTimeout(300);
    assert.equal(connections.size, 0, "the connection is closed");
    asked = [];
    await machine.post("/v1/traces", [call()]);
    await page.waitForTimeout(HIDDEN_MS);
    assert.deepEqual(asked, []);
    assert.equal(connections.size, 0);
  });
  await check("A tab that is seen again shows what came meanwhile", async () => {
    const latest = `live-${posted}`;
    const before = Number(figure(await card(page, "Calls")));
    const began = Date.now();
    await hide(page, false);
    const title = (before + 1).toLocaleString("en-US");
    await page.waitForFunction((said) => document.querySelectorAll(".card dd.value")[2].title === said, title, { polling: 50, timeout: 6000 });
    assert.equal(connections.size, 1);
    return `${latest} after ${Date.now() - began} ms`;
  });
}
