// Nobody is kept out: axe finds nothing, in light, dark and forced colours, and a narrow screen does not
// scroll sideways.

import assert from "node:assert/strict";
import { axeSource } from "./browser.mjs";
import { check } from "./checks.mjs";
import { VIEWS, open } from "./page.mjs";

export const NARROW = { width: 400, height: 800 };
export const WIDE = { width: 1280, height: 800 };

export const MEDIA = {
  light: { colorScheme: "light", forcedColors: "none", contrast: "no-preference" },
  dark: { colorScheme: "dark", forcedColors: "none", contrast: "no-preference" },
  "more contrast": { colorScheme: "light", forcedColors: "none", contrast: "more" },
  "more contrast in the dark": { colorScheme: "dark", forcedColors: "none", contrast: "more" },
  "forced colours": { colorScheme: "dark", forcedColors: "active", contrast: "no-preference" },
};

export const told = (violations) =>
  violations
    .map(({ id, help, nodes }) => `${id} (${help}), ${nodes.length}: ${nodes.slice(0, 3).map(({ target, any }) => `${target.join(" ")}: ${any[0]?.message ?? ""}`).join(" | ")}`)
    .join("\n");

/** Rules that colours can break; the others are the same in every theme. */
const OF_COLOUR = ["color-contrast", "link-in-text-block"];

/** What axe finds in the whole page, by all of its rules or by some. */
export async function violations(page, rules = null) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axeSource());
  const options = { resultTypes: ["violations"], ...(rules && { runOnly: { type: "rule", values: rules } }) };
  const { violations, passes } = await page.evaluate((options) => window.axe.run(document, options), options);
  assert(passes.length > (rules ? 0 : 10), "axe has looked at the page");
  return violations;
}

/** What axe finds in any theme: by all of its rules in the first, by those of colours in the others. */
export async function violationsOfThemes(page) {
  const found = [];
  for (const [look, media] of Object.entries(MEDIA)) {
    await page.emulateMedia(media);
    const words = told(await violations(page, look === "light" ? null : OF_COLOUR));
    if (words) found.push(`${look}: ${words}`);
  }
  await page.emulateMedia(MEDIA.light);
  return found.join("\n");
}

export async function looks({ page, machine, views }) {
  // Tables of a day are looked at: axe takes a minute for those of a week.
  for (const [name, hash] of Object.entries({ ...views, host: "#/host?range=today" })) {
    await check(`axe, ${name}: ${Object.keys(MEDIA).join(", ")}`, async () => {
      await page.setViewportSize(WIDE);
      await open(page, machine.url, hash);
      await page.evaluate(() => document.querySelectorAll("main details").forEach((one) => (one.open = true)));
      await page.waitForTimeout(100);
      assert.equal(await violationsOfThemes(page), "");
    });
    await check(`${NARROW.width} px wide, ${name}: the page does not scroll sideways, and axe finds nothing`, async () => {
      await page.setViewportSize(NARROW);
      await open(page, machine.url, hash);
      const width = () => page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth));
      assert(await width() <= NARROW.width, `closed, it is ${await width()} px wide`);
      await page.evaluate(() => document.querySelectorAll("main details").forEach((one) => (one.open = true)));
      await page.waitForTimeout(100);
      assert(await width() <= NARROW.width, `opened, it is ${await width()} px wide`);
      assert.equal(told(await violations(page, ["color-contrast", "target-size", "scrollable-region-focusable"])), "");
    });
  }
  await check("Rows of cards are even at every width", async () => {
    for (const width of [1280, 1100, 800, NARROW.width]) {
      await page.setViewportSize({ width, height: 800 });
      for (const hash of [views.overview, views.budgets]) {
        await open(page, machine.url, hash);
        // The last card of each row ends where the row does.
        const ends = await page.locator(".cards").evaluateAll((all) =>
          all.map((cards) => {
            const rows = new Map([...cards.children].map((card) => [card.offsetTop, card.getBoundingClientRect().right]));
            return [...rows.values()].map((right) => Math.round(cards.getBoundingClientRect().right - right));
          }),
        );
        assert(ends.length > 0 && ends.flat().every((gap) => Math.abs(gap) <= 1), `${hash} at ${width} px: ${JSON.stringify(ends)}`);
      }
    }
  });
  await check("What is wider than its box says so, and classes of parity and sessions are not, at 1,280 px", async () => {
    await page.setViewportSize(WIDE);
    const fits = async (caption) => {
      const box = page.locator("main .scroll", { has: page.locator("caption", { hasText: caption }) }).first();
      return box.evaluate((one) => one.scrollWidth <= one.clientWidth);
    };
    await open(page, machine.url, views.parity);
    await page.locator("details.item > summary").first().click();
    assert(await fits("By class"));
    await open(page, machine.url, "#/sessions");
    await page.setViewportSize(NARROW);
    assert(!(await fits("Sessions, times of")));
    const box = page.locator("main .scroll").first();
    assert.notEqual(await box.evaluate((one) => getComputedStyle(one).boxShadow), "none", "no edge is marked");
    await box.focus();
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction(() => document.querySelector("main .scroll").scrollLeft > 0);
  });
  await page.setViewportSize(WIDE);
}

/** Addresses of all views, with a session and a call that there are. */
export async function addresses(machine) {
  const { rows } = await (await machine.get("/api/v1/sessions?limit=20")).json();
  const session = rows.find(({ exact, agents }) => exact.calls > 2 && agents[0] !== "live") ?? rows[0];
  const { calls } = await (await machine.get(`/api/v1/sessions/${encodeURIComponent(session.session)}`)).json();
  const path = `#/session/${encodeURIComponent(session.session)}`;
  return { ...VIEWS, session: path, call: `${path}?call=${encodeURIComponent(calls[0].id)}` };
}
