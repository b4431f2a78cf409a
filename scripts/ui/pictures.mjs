// A picture of each view, for docs/screenshots.

import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { check } from "./checks.mjs";
import { open } from "./page.mjs";

const WIDE = { width: 1280, height: 800 };
const BYTES_MAX = 150_000;

async function shoot(page, folder, name) {
  const path = join(folder, `${name}.png`);
  // Nothing is pointed at, and nothing has the focus.
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.activeElement?.blur());
  await page.waitForTimeout(150);
  await page.screenshot({ path, animations: "disabled" });
  const { size } = statSync(path);
  if (size > BYTES_MAX) throw new Error(`${path} has ${size} bytes, at most ${BYTES_MAX} are wanted`);
}

export async function pictures({ page, machine, views }, folder) {
  mkdirSync(folder, { recursive: true });
  await page.setViewportSize(WIDE);
  for (const [name, hash] of Object.entries(views)) {
    await check(`A picture of ${name}`, async () => {
      await open(page, machine.url, hash);
      if (["parity", "errors"].includes(name)) await page.locator("main details.item > summary").first().click();
      await shoot(page, folder, name);
    });
  }
  await check("A picture in the dark, and a narrow one", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await open(page, machine.url, views.overview);
    await shoot(page, folder, "overview-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 400, height: 800 });
    await open(page, machine.url, views.overview);
    await shoot(page, folder, "overview-narrow");
    await page.setViewportSize(WIDE);
  });
}
