// A hub's account in a browser: the figures of its devices, all together and each alone, are those that
// commands print; a single machine shows nothing of devices and asks once.

import assert from "node:assert/strict";
import { check } from "./checks.mjs";
import { INJECTED } from "./fence.mjs";
import { DEVICES, SIDECARS, STATES } from "./hub.mjs";
import { MEDIA, NARROW, WIDE, told, violations, violationsOfThemes } from "./looks.mjs";
import { HTML } from "./seed.mjs";
import { VIEWS, card, choice, command, commands, figure, open, params, plain, settled, table } from "./page.mjs";

/** A call of a sidecar is seen at its hub at most this long after it was posted: it pushes each second. */
const SEEN_MS_MAX = 5000;
/** Addresses of a fleet: all views, and those of one device. */
const OF_FLEET = { ...VIEWS, session: "#/session/ci-runner-1?device=ci-runner", call: null, devices: "#/devices" };
const OF_ONE = Object.fromEntries(["overview", "explore", "sessions", "errors", "host"].map((view) => [view, `#/${view}?device=laptop-7&range=7d`]));

const texts = (cells) => cells.map(({ text }) => text);

/** What a command prints and what a page shows, of one and the same time. */
async function both(page, machine, hash, line) {
  for (let round = 0; round < 20; round += 1) {
    const before = await machine.json(line, { mayFail: true });
    await open(page, machine.url, hash);
    const shown = await table(page, "Devices, times of");
    const after = await machine.json(line, { mayFail: true });
    const still = ({ rows }) => rows.map(({ seen_seconds_ago, ...row }) => row);
    if (JSON.stringify(still(before)) === JSON.stringify(still(after))) return { shown, printed: after };
  }
  throw new Error("devices tell more often than they can be looked at");
}

async function devices({ page, machine }) {
  const { url } = machine;
  await check("Devices: rows and counts are those of its command", async () => {
    await open(page, url, "#/devices");
    const line = await command(page, "trueup hub devices");
    assert.equal(line, `trueup hub devices --hub ${url}`);
    const { shown, printed } = await both(page, machine, "#/devices", `${line} --json`);
    assert.deepEqual(new Set(printed.rows.map(({ device }) => device)), new Set(DEVICES));
    for (const row of printed.rows) {
      const { cells } = shown.rows.find(({ cells: [first] }) => first.title === row.device);
      const [, state, seen, version, waiting, since, dropped, refused, missing, records] = cells;
      assert.equal(state.text, row.state, row.device);
      assert.equal(seen.title, row.last_seen_at);
      assert.equal(version.text, row.version);
      assert.equal(figure(waiting), row.waiting === null ? null : plain(row.waiting));
      assert.equal(since.title, row.oldest_waiting_at ?? since.title);
      assert.deepEqual([dropped, refused, missing, records].map(figure), [row.dropped, row.refused, row.missing, row.accepted].map(plain), row.device);
    }
    assert.equal(shown.rows.length, printed.rows.length);
    for (const [state, count] of Object.entries(printed.counts)) assert.equal((await card(page, state)).text, String(count), state);
    for (const [device, state] of Object.entries(STATES)) assert.equal(printed.rows.find((row) => row.device === device).state, state);
    const lossy = printed.rows.find(({ state }) => state === "lossy");
    assert.deepEqual([lossy.dropped, lossy.refused, lossy.missing], [7, 2, 5]);
    assert.equal(shown.rows[0].cells[1].text, "lossy", "the worst stands first");
    // In words, too: what a person reads who types it.
    const words = (await machine.run(`COLUMNS=200 ${line}`, { mayFail: true })).toString();
    for (const { device, state } of printed.rows) assert.match(words, new RegExp(`${device} +${state}`));
    return `${printed.rows.length} devices, ${Object.entries(printed.counts).map(([state, count]) => `${count} ${state}`).join(", ")}`;
  });
  await check("Devices: a state, a name, and each device lead on", async () => {
    await open(page, url, "#/devices");
    await page.getByRole("link", { name: /, silent$/ }).click();
    await page.waitForFunction(() => document.querySelectorAll("main tbody tr").length === 1);
    assert.equal(params(page).get("state"), "silent");
    await page.getByRole("link", { name: "All devices" }).click();
    await choice(page, "Name has").fill("box");
    await page.waitForFunction(() => document.querySelectorAll("main tbody tr").length === 1);
    assert.equal(params(page).get("find"), "box");
    for (const [view, title] of Object.entries({ explore: "Explore", sessions: "Sessions", errors: "Errors", host: "Host" })) {
      await open(page, url, "#/devices");
      await page.getByRole("link", { name: `${title} of box-1`, exact: true }).click();
      await page.waitForFunction((view) => location.hash.startsWith(`#/${view}?`), view);
      assert.equal(params(page).get("device"), "box-1");
      await page.waitForTimeout(100);
      await settled(page);
    }
  });
}

/** A column of a report's rows, added up by a key. */
function sums(report, key) {
  const all = new Map();
  for (const row of report.rows) {
    const sum = all.get(row[key]) ?? { calls: 0, errors: 0, output: 0, total: 0 };
    for (const name of Object.keys(sum)) sum[name] += row.exact[name];
    all.set(row[key], sum);
  }
  return all;
}

const figures = (cells) => [cells[1], cells[2], cells[5], cells[6]].map(figure);
const expected = ({ calls, errors, output, total }) => [calls, errors, output, total].map(plain);

async function usage({ page, machine }) {
  const { url } = machine;
  await check("Explore by device: groups and totals are those of trueup report --hub", async () => {
    await open(page, url, "#/explore?group=device&top=50");
    const line = await command(page, "trueup report");
    assert(line.endsWith(` --hub ${url}`), line);
    const report = await machine.json(`${line} --json`);
    const { rows } = await table(page, "days of");
    const groups = sums(report, "device");
    assert.deepEqual(new Set(rows.slice(0, -1).map(({ cells: [first] }) => first.text)), new Set(groups.keys()));
    for (const { cells } of rows.slice(0, -1)) assert.deepEqual(figures(cells), expected(groups.get(cells[0].text)), cells[0].text);
    assert.deepEqual(figures(rows.at(-1).cells), expected(report.totals.exact));
    assert.equal(figure(rows.at(-1).cells[7]), plain(report.totals.exact.cost_usd));
    return `${groups.size} devices, ${report.totals.exact.calls} calls`;
  });
  for (const [subgroup, metric, bucket] of [["device", "cost", "1w"], ["model", "calls", "1mo"]])
    await check(`Explore of one device, and by device and ${subgroup}, per ${bucket}: those of the command`, async () => {
      const of = subgroup === "device" ? "group=model&subgroup=device" : "group=device&subgroup=model";
      for (const more of ["", "&device=edge-3"]) {
        await open(page, url, `#/explore?${of}&metric=${metric}&bucket=${bucket}&top=50&cost=computed${more}`);
        const report = await machine.json(`${await command(page, "trueup report")} --json`);
        const { rows } = await table(page, "days of");
        assert.deepEqual(figures(rows.at(-1).cells), expected(report.totals.exact));
        const devices = new Set(report.rows.map(({ device }) => device));
        assert.equal(devices.size, more === "" ? DEVICES.length : 1);
      }
    });
  await check("A device is a filter: its chip, its figures, its files and its way back", async () => {
    await open(page, url, "#/explore?group=model");
    await choice(page, "Filter by").selectOption("device");
    assert.deepEqual((await page.locator("#suggested option").evaluateAll((all) => all.map(({ value }) => value))).sort(), [...DEVICES].sort());
    const type = page.locator("main .filters input");
    for (const device of ["box-1", "ci-runner"]) {
      await type.fill(device);
      await page.getByRole("button", { name: "Add" }).click();
      await page.waitForFunction((device) => location.hash.includes(`device=${device}`), device);
    }
    assert.deepEqual(params(page).getAll("device"), ["ci-runner"], "another device takes its place");
    await page.waitForTimeout(100);
    await settled(page);
    assert.equal(await page.locator(".chip").innerText().then((text) => text.replace(/\s+/g, " ")), "Device ci-runner ✕");
    const line = await command(page, "trueup report");
    assert.match(line, /--device=ci-runner.* --hub /);
    const report = await machine.json(`${line} --json`);
    assert.deepEqual(figures((await table(page, "days of")).rows.at(-1).cells), expected(report.totals.exact));
    const href = await page.getByRole("link", { name: "JSON", exact: true }).getAttribute("href");
    const file = await (await machine.get(href)).text();
    const calls = JSON.parse(file).rows.reduce((all, row) => all + row.exact_calls, 0);
    assert.equal(calls, report.totals.exact.calls, "the file is of the device");
    assert.equal(await page.getByRole("link", { name: "FOCUS" }).count(), 0, "bills know no devices");
    for (const [view, kept] of Object.entries({ overview: true, sessions: true, year: true })) {
      const link = page.locator("header nav a", { hasText: new RegExp(`^${view}$`, "i") });
      assert.equal((await link.getAttribute("href")).includes("device=ci-runner"), kept, view);
    }
    await page.locator(".chip a").click();
    await page.waitForFunction(() => !location.hash.includes("device="));
  });
  await check("Overview: of all devices and of one, the cards are those of its command", async () => {
    for (const more of ["?device=build-7", ""]) {
      await open(page, url, `#/overview${more}`);
      const report = await machine.json(`${await command(page, "trueup report")} --json`);
      const { exact } = report.totals;
      assert.equal(figure(await card(page, "Tokens")), plain(exact.total));
      assert.equal(figure(await card(page, "Calls")), plain(exact.calls));
      assert.equal(figure(await card(page, "Cost")), plain(exact.cost_usd));
      assert.equal(await page.locator("section[aria-label=Devices]").count(), more === "" ? 1 : 0);
    }
    assert.match(await page.locator("main").innerText(), /6 devices\s+3 ok, 1 behind, 1 silent, 1 lossy/);
  });
  await check("Sessions, Errors and Host of a device are those of their commands", async () => {
    for (const [view, rows] of [["sessions", ({ rows }) => rows.length], ["errors", ({ rows }) => rows.length], ["host", ({ metrics }) => Object.keys(metrics).length]]) {
      const device = view === "host" ? SIDECARS[0] : "build-7";
      await open(page, url, `#/${view}?device=${device}&range=35d`);
      const [line] = await commands(page);
      assert(line.startsWith("curl ") && line.includes(`device=${device}`), line);
      const answer = await machine.json(`curl -fsS ${line.slice(5)}`);
      assert(rows(answer) > 0, view);
      if (view === "sessions") assert.deepEqual((await table(page, "Sessions")).rows.map(({ cells }) => cells[1].title), answer.rows.map(({ session }) => session));
      if (view === "errors") assert.equal(await page.locator("main details.item").count(), rows(answer));
      for (const link of await page.getByRole("group", { name: "Download" }).getByRole("link").all()) assert.match(await link.getAttribute("href"), new RegExp(`device=${device}`));
    }
    assert((await page.locator("main .plot").count()) > 0, "nothing is drawn of the host");
  });
  await check("Host asks nothing before a device is chosen, and offers all", async () => {
    let asked = 0;
    page.on("request", (request) => (asked += request.url().includes("metrics/host") ? 1 : 0));
    await open(page, url, "#/host");
    assert.equal(asked, 0);
    assert.deepEqual((await page.locator("section[aria-label='Choose a device'] a").allInnerTexts()).sort(), [...DEVICES].sort());
    assert.deepEqual((await choice(page, "Device").locator("option").allInnerTexts()).sort(), ["choose one", ...DEVICES].sort());
    const request = page.waitForRequest(/metrics\/host\?.*device=laptop-7/);
    await page.getByRole("link", { name: SIDECARS[0], exact: true }).click();
    await request;
    await page.locator("main .plot canvas").first().waitFor();
  });
  await check("A view is saved with its device", async () => {
    await open(page, url, "#/errors?device=build-7");
    await page.locator(".saved summary").click();
    await page.locator(".saved input").fill("errors of build-7");
    await page.keyboard.press("Enter");
    assert.match(await page.locator(".saved a").getAttribute("href"), /device=build-7/);
    await page.locator(".saved summary").click();
  });
}

async function everyone({ page, machine }) {
  const { url } = machine;
  const all = Object.entries({ ...OF_FLEET, ...Object.fromEntries(Object.entries(OF_ONE).map(([view, hash]) => [`${view} of a device`, hash])) }).filter(([, hash]) => hash !== null);
  await check("No view says that a fleet is one machine, and names are text", async () => {
    for (const [view, hash] of all) {
      await open(page, url, hash);
      const words = await page.locator("main").innerText();
      if (view !== "settings") assert.doesNotMatch(words, /this machine|trueup serve takes one/i, view);
      assert.equal(await page.locator(INJECTED).count(), 0, view);
      assert.equal(await page.getByRole("link", { name: "Devices", exact: true }).first().isVisible(), true, view);
    }
    return `${all.length} addresses`;
  });
  const changed = all.filter(([view]) => /device|host|overview|settings/.test(view));
  for (const [name, hash] of changed) {
    await check(`axe, ${name}: ${Object.keys(MEDIA).join(", ")}`, async () => {
      await page.setViewportSize(WIDE);
      await open(page, url, hash);
      await page.waitForTimeout(100);
      assert.equal(await violationsOfThemes(page), "");
    });
  }
  for (const [name, hash] of changed) {
    await check(`${NARROW.width} px wide, ${name}: the page does not scroll sideways, and axe finds nothing`, async () => {
      await page.setViewportSize(NARROW);
      await open(page, url, hash);
      const width = await page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth));
      assert(width <= NARROW.width, `it is ${width} px wide`);
      assert.equal(told(await violations(page, ["color-contrast", "target-size", "scrollable-region-focusable"])), "");
    });
  }
  await page.setViewportSize(WIDE);
  await check("Devices by keyboard: every stop is seen, and Enter opens a device", async () => {
    await open(page, url, "#/devices");
    await page.reload();
    await settled(page);
    for (let stop = 0; stop < 60; stop += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
        const { width, top } = document.activeElement.getBoundingClientRect();
        const isSeen = outlineStyle !== "none" && Number.parseFloat(outlineWidth) >= 1 && width > 1 && top < innerHeight;
        return { label: document.activeElement.getAttribute("aria-label") ?? document.activeElement.innerText, isSeen };
      });
      assert(at.isSeen, `the focus is not seen on ${at.label}`);
      if (at.label === "Explore of box-1") break;
    }
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => location.hash.startsWith("#/explore?") && location.hash.includes("device=box-1"));
  });
}

async function live({ page, machine }) {
  await check(`A call that a device counts shows at its hub within ${SEEN_MS_MAX} ms`, async () => {
    await open(page, machine.url, "#/overview");
    await page.waitForSelector(".badge.good:text-is('live')");
    const before = Number(figure(await card(page, "Calls")));
    const seen = page.waitForFunction(() => document.querySelector("section[aria-label='Latest calls']")?.textContent.includes("live-model"), null, { polling: "raf", timeout: 15_000 });
    const began = Date.now();
    await machine.sidecars[0].post("/v1/traces", [{ trace_id: "live-of-fleet", provider: "openai", model: "live-model", prompt_tokens: 1000, completion_tokens: 10, agent: "live", session_id: "live" }]);
    await seen;
    const took = Date.now() - began;
    await page.waitForFunction((title) => document.querySelectorAll(".card dd.value")[2].title === title, (before + 1).toLocaleString("en-US"), { timeout: 10_000 });
    assert(took <= SEEN_MS_MAX, `${took} ms`);
    return `${took} ms`;
  });
}

/** All that is looked at of a hub whose fleet has told. */
export async function fleet(place) {
  await devices(place);
  await usage(place);
  await everyone(place);
  await live(place);
}

/** A hub that no device has told, and the first that does. */
export async function newcomer({ page, machine }) {
  await check("A hub without devices says what to do, and shows the first device as it comes", async () => {
    for (const view of ["overview", "explore", "devices"]) {
      await open(page, machine.url, `#/${view}`);
      assert.match(await page.locator("main").innerText(), /No device has told anything yet/, view);
      assert((await commands(page)).some((line) => line.includes(`TRUEUP_PUSH_ENDPOINT=${machine.url}/v1/ingest`)));
    }
    const nav = page.locator("header nav");
    assert.equal(await nav.getByRole("link", { name: "Devices" }).count(), 0);
    await open(page, machine.url, "#/overview");
    await page.waitForTimeout(500);
    const call = { trace_id: "first", created_at: Date.now() - 1000, provider: "openai", model: "gpt-5.5", prompt_tokens: 1000, completion_tokens: 5 };
    await machine.tell(machine.newcomer, "newcomer", [call], { host: HTML });
    await page.locator(".cards").waitFor();
    await nav.getByRole("link", { name: "Devices" }).click();
    await page.locator("main td").first().waitFor();
    assert((await page.locator("main").textContent()).includes(HTML), "what a device says of itself is text");
    assert.equal(await page.locator(INJECTED).count(), 0);
  });
}

/** A single machine: nothing of devices is shown, and one small answer is all that is asked. */
export async function single({ page, machine }) {
  await check("On a single machine nothing of devices shows, and they are asked for once", async () => {
    const asked = [];
    page.on("request", (request) => /devices/.test(request.url()) && asked.push(request));
    for (const [view, hash] of Object.entries(VIEWS)) {
      if (hash === null) continue;
      await open(page, machine.url, hash);
      assert.doesNotMatch(await page.locator("body").innerText(), /\bdevices?\b/i, view);
      const options = await page.locator("select option").allInnerTexts();
      assert(!options.some((option) => /device/i.test(option)), view);
      assert(!(await commands(page)).some((line) => / --hub |curl .*Bearer/.test(line)), view);
    }
    assert.equal(asked.length, 1, asked.map((request) => request.url()).join(" "));
    const { responseBodySize } = await asked[0].sizes();
    assert(responseBodySize < 400, `${responseBodySize} bytes`);
    return `${responseBodySize} bytes`;
  });
}
