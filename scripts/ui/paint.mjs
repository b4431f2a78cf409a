#!/usr/bin/env node
// How soon the overview is seen: scripts/ui/paint.mjs URL
//
// Loads the page of a running `trueup serve` with nothing in the cache, five times, and prints the medians
// as JSON: from the navigation to the first paint of anything, and to the first chart with its figures.

import { launch } from "./browser.mjs";

const ROUNDS = 5;
const VIEWPORT = { width: 1280, height: 800 };

const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];

async function load(browser, url) {
  const context = await browser.newContext({ viewport: VIEWPORT });
  await context.addInitScript(() => {
    // The first frame in which the chart and the sums stand.
    const look = () => {
      if (document.querySelector(".chart path.layer") && document.querySelector(".cards .value")) {
        requestAnimationFrame(() => setTimeout(() => (window.figuresAt = performance.now()), 0));
        return true;
      }
      return false;
    };
    new MutationObserver((_, observer) => look() && observer.disconnect()).observe(document, { childList: true, subtree: true });
  });
  const page = await context.newPage();
  await page.goto(url);
  await page.waitForFunction(() => window.figuresAt !== undefined);
  const seen = await page.evaluate(() => ({
    first: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    figures: window.figuresAt,
  }));
  await context.close();
  return seen;
}

const [url] = process.argv.slice(2);
if (!url) {
  console.error("scripts/ui/paint.mjs URL");
  process.exit(2);
}
const browser = await launch();
const seen = [];
// The browser's own first page is slower than any other, whatever it shows.
await load(browser, url);
for (let round = 0; round < ROUNDS; round += 1) seen.push(await load(browser, url));
await browser.close();
console.log(
  JSON.stringify({
    "first contentful paint, 35 days × 20 models": Math.round(median(seen.map(({ first }) => first))),
    "first meaningful paint (the chart and its figures), 35 days × 20 models": Math.round(median(seen.map(({ figures }) => figures))),
  }),
);
