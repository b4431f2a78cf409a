// A headless Chromium, driven by playwright-core out of the folder that scripts/ui/install makes.

import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const tools = process.env.TRUEUP_UI_TOOLS ?? execFileSync(join(here, "install"), { encoding: "utf8" }).trim();
const { chromium } = createRequire(join(tools, "package.json"))("playwright-core");

/** What axe runs in a page. */
export const axeSource = () => readFileSync(join(tools, "node_modules/axe-core/axe.min.js"), "utf8");

/** Grey edges of letters are smaller in pictures, and the same on every screen. */
const ARGUMENTS = ["--disable-lcd-text", "--font-render-hinting=none"];

/** As root, as which CI runs in containers, Chromium has no sandbox to be in. */
export const launch = () =>
  chromium.launch({ executablePath: "/usr/bin/chromium", args: [...ARGUMENTS, ...(process.getuid() === 0 ? ["--no-sandbox"] : [])] });
