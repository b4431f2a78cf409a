// Nothing leaves the page's origin, nothing breaks its policy, and names are text.

import assert from "node:assert/strict";
import { check } from "./checks.mjs";
import { open } from "./page.mjs";
import { FORMULA, HOSTILE, LONG } from "./seed.mjs";

/** Listens to everything that pages of a browser's context do; what they should not have done. */
export async function watch(context) {
  const seen = { requests: 0, elsewhere: [], complaints: [] };
  await context.exposeBinding("complain", (_, words) => seen.complaints.push(words));
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) =>
      window.complain(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber} ${event.sample}`),
    );
  });
  const origins = new Set();
  context.on("page", (page) => {
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) seen.complaints.push(`console: ${message.text()} at ${message.location().url}`);
    });
    page.on("pageerror", (error) => seen.complaints.push(`script: ${error.stack}`));
    page.on("crash", () => seen.complaints.push("the page has crashed"));
  });
  context.on("request", (request) => {
    seen.requests += 1;
    const { protocol, origin } = new URL(request.url());
    if (protocol !== "data:" && !origins.has(origin)) seen.elsewhere.push(request.url());
  });
  return { seen, allow: (url) => origins.add(new URL(url).origin) };
}

/** A refusal or an absence is told in the console by the browser itself; these were meant. */
const isMeant = (words) => /Failed to load resource: .*(404|ERR_CONNECTION_REFUSED|400)/.test(words) || /net::ERR_/.test(words);

export async function silence({ seen }, { refusals = false } = {}) {
  await check("The policy, the console and scripts have nothing to complain of", () => {
    const complaints = seen.complaints.filter((words) => !(refusals && isMeant(words)));
    assert.deepEqual([...new Set(complaints)].slice(0, 8), []);
    return `${seen.requests} requests`;
  });
  await check("No request left the origin", () => assert.deepEqual(seen.elsewhere, []));
}

/** Elements that no view ever draws, and that the names would. */
export const INJECTED = "main img, main script, main b, main iframe, [onerror]";

export async function names({ page, machine, views }) {
  await check("Names that hurt are text on every view", async () => {
    const all = { ...views };
    HOSTILE.forEach((name, at) => {
      const query = new URLSearchParams({ project: name, group: "project" });
      all[`overview ${at}`] = `#/overview?${query}`;
      all[`explore ${at}`] = `#/explore?${query}`;
      all[`sessions ${at}`] = `#/sessions?${query}`;
      all[`session ${at}`] = `#/session/${encodeURIComponent(name)}`;
    });
    for (const [view, hash] of Object.entries(all)) {
      await open(page, machine.url, hash);
      await page.evaluate(() => document.querySelectorAll("main details").forEach((one) => (one.open = true)));
      await page.waitForTimeout(30);
      assert.equal(await page.locator(`${INJECTED}, body > script`).count(), 0, `${view}: an element of a name`);
      assert.equal(await page.evaluate(() => window.hurt), undefined, `${view}: a name was run`);
    }
    for (const [at, name] of HOSTILE.entries()) {
      await open(page, machine.url, all[`explore ${at}`]);
      assert((await page.locator("main").evaluate((main) => main.textContent)).includes(name), `${name} is not shown as it is`);
      assert.equal(await page.locator(".chip .name").getAttribute("dir"), "auto");
    }
    await open(page, machine.url, "#/errors");
    const said = await page.locator("main").evaluate((main) => main.textContent);
    // A word of 300 letters is taken for a secret, and an address for a place: both are left out.
    for (const name of HOSTILE.filter((name) => ![LONG, FORMULA].includes(name))) assert(said.includes(name), `${name} is not among the errors`);
    return `${Object.keys(all).length} addresses`;
  });
  await check("The page is served with a policy without exceptions", async () => {
    const policy = (await machine.get("/")).headers.get("content-security-policy");
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  });
}
