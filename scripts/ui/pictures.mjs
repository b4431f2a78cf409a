// A picture of each view, for docs/screenshots.

import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { check } from "./checks.mjs";
import { open } from "./page.mjs";

const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 400, height: 800 };
const BYTES_MAX = 150_000;

/** What is drawn at other addresses than it is proven at, so that there is more to see. */
const INSTEAD = {
  explore: "#/explore?metric=cost&group=model&subgroup=agent&top=10&compare=previous",
  sessions: "#/sessions?range=7d",
  host: "#/host?range=7d",
};

async function shoot(page, folder, name, hash, machine) {
  await open(page, machine.url, hash);
  if (/^(parity|errors)/.test(name)) await page.locator("main details.item > summary").first().click();
  // Nothing is pointed at, and nothing has the focus.
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.activeElement?.blur());
  await page.waitForTimeout(150);
  const path = join(folder, `${name}.png`);
  // A page of nothing but words is cut shorter: it takes more bytes than charts do.
  const clip = name === "sessions" ? { x: 0, y: 0, width: WIDE.width, height: 560 } : undefined;
  await page.screenshot({ path, animations: "disabled", clip });
  const { size } = statSync(path);
  if (size > BYTES_MAX) throw new Error(`${path} has ${size} bytes, at most ${BYTES_MAX} are wanted`);
  return `${size} bytes`;
}

export async function pictures({ page, machine, views }, folder) {
  mkdirSync(folder, { recursive: true });
  const all = { ...views, ...INSTEAD };
  await page.setViewportSize(WIDE);
  for (const [name, hash] of Object.entries(all)) {
    await check(`A picture of ${name}`, () => shoot(page, folder, name, hash, machine));
  }
  await page.emulateMedia({ colorScheme: "dark" });
  for (const name of ["overview", "explore", "parity"]) {
    await check(`A picture of ${name} in the dark`, () => shoot(page, folder, `${name}-dark`, all[name], machine));
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(NARROW);
  await check("A narrow picture", () => shoot(page, folder, "overview-400", all.overview, machine));
  await page.setViewportSize(WIDE);
}

/** A hub with devices of each state. */
export async function picturesOfFleet({ page, machine }, folder) {
  mkdirSync(folder, { recursive: true });
  await page.setViewportSize(WIDE);
  await check("A picture of devices", () => shoot(page, folder, "devices", "#/devices", machine));
}
