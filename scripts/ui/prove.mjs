// Drives the dashboard of the real program through everything that it promises: scripts/prove-ui runs it.
//
//     node scripts/ui/prove.mjs TRUEUP FOLDER [--screenshots FOLDER] [--only PART]

import { mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";
import { begin, finish } from "./checks.mjs";
import { Machine } from "./daemon.mjs";
import { names, silence, watch } from "./fence.mjs";
import { figures } from "./figures.mjs";
import { fleet, newcomer, single } from "./fleet.mjs";
import { Hub } from "./hub.mjs";
import { keyboard } from "./keyboard.mjs";
import { live } from "./live.mjs";
import { addresses, looks } from "./looks.mjs";
import { pictures, picturesOfFleet } from "./pictures.mjs";
import { report } from "./report.mjs";
import { post, postHostile, prepare } from "./seed.mjs";
import { emptiness, outage, states, zones } from "./states.mjs";

const REPOSITORY = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
/** The browser is of another zone than the settings. */
const CONTEXT = { viewport: { width: 1280, height: 800 }, timezoneId: "America/New_York", locale: "en-US", colorScheme: "light", acceptDownloads: true };

const [trueup, folder, ...options] = process.argv.slice(2);
const option = (name) => (options.includes(name) ? options[options.indexOf(name) + 1] : null);
const screenshots = option("--screenshots");
const only = option("--only");
const isWanted = (part) => (only ? only.split(",").includes(part) : !/pictures/.test(part) || screenshots);

const now = Date.now();
const machine = new Machine(join(folder, "home"), trueup);
mkdirSync(join(folder, "bare"), { recursive: true });
const bare = new Machine(join(folder, "bare"), trueup);
mkdirSync(join(folder, "hub"), { recursive: true });
const hub = new Hub(join(folder, "hub"), trueup);
const browser = await launch();

/** A tab of its own for a part, which is watched. */
async function part(name, title, body, { of = machine, context: more = {}, refusals = false, allowed = of.url } = {}) {
  if (!isWanted(name)) return;
  begin(title);
  const context = await browser.newContext({ ...CONTEXT, ...more });
  context.setDefaultTimeout(10_000);
  const fence = await watch(context);
  fence.allow(allowed);
  const page = await context.newPage();
  await body({ page, machine: of, now, views: of === machine ? await addresses(machine) : {} });
  await silence(fence, { refusals });
  await context.close();
}

try {
  await prepare(machine, REPOSITORY, now);
  await machine.serve();
  await post(machine, now);
  const folderOfPictures = screenshots ?? join(folder, "pictures");
  await part("pictures", "Pictures", (place) => pictures(place, folderOfPictures), { context: { timezoneId: "Europe/Berlin" } });
  await postHostile(machine, now);
  await part("figures", "Figures", figures);
  await part("states", "What is not there", states);
  await part("zones", "Zones", zones);
  await part("names", "Names that hurt", names);
  await part("keyboard", "Keyboard", keyboard);
  await part("looks", "Looks", looks);
  await part("report", "The page of report --html", report, { allowed: "file:///" });
  await part("live", "Live", live);
  if (isWanted("bare")) {
    await bare.serve();
    await part("bare", "A ledger without usage", emptiness, { of: bare, refusals: true });
    await bare.stop();
  }
  await part("single", "A single machine has no devices", single);
  if (isWanted("fleet") || isWanted("newcomer") || isWanted("fleet-pictures")) {
    await hub.serve(now);
    const reads = (password) => ({ of: hub, context: { httpCredentials: { username: "reader", password } } });
    if (screenshots) await part("fleet-pictures", "Pictures of a fleet", (place) => picturesOfFleet(place, folderOfPictures), { of: hub, context: { ...reads(hub.reader).context, timezoneId: "Europe/Berlin" } });
    await part("fleet", "A fleet", fleet, { ...reads(hub.reader), refusals: true });
    await part("newcomer", "A hub without devices", newcomer, reads(hub.emptyReader));
    await hub.end();
  }
  await part("outage", "A daemon that ends", outage, { refusals: true });
} finally {
  await browser.close();
  await machine.stop();
  await bare.stop();
  await hub.end();
}
process.exitCode = finish() ? 0 : 1;
