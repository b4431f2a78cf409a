// What a browser has to fetch, packed: fails where that is more than was promised.

import { readFileSync, readdirSync, statSync } from "node:fs";

/** JavaScript without which nothing is drawn. */
const INITIAL_MAX = 40_000;
/** All JavaScript and styles, also those that only some views need. */
const TOTAL_MAX = 80_000;
/** The page of `trueup report --html`, with script and style, without figures. */
const REPORT_MAX = 25_000;

const dist = new URL("../dist/", import.meta.url);
const index = readFileSync(new URL("index.html", dist), "utf8");
const files = readdirSync(new URL("assets/", dist)).filter((name) => name.endsWith(".gz"));
const sizes = files.map((name) => {
  const file = name.replace(/\.gz$/, "");
  return { file, bytes: statSync(new URL(`assets/${name}`, dist)).size, isInitial: index.includes(file) };
});
const sum = (all) => all.reduce((total, { bytes }) => total + bytes, 0);
const initial = sum(sizes.filter(({ file, isInitial }) => isInitial && file.endsWith(".js")));
const total = sum(sizes);

for (const { file, bytes, isInitial } of sizes)
  console.log(`${bytes}\t${file}${isInitial ? "" : " (later)"}`);
console.log(`initial JavaScript: ${initial} bytes packed, at most ${INITIAL_MAX}`);
console.log(`all: ${total} bytes packed, at most ${TOTAL_MAX}`);
const report = statSync(new URL("report.html.gz", dist)).size;
console.log(`report.html: ${report} bytes packed, at most ${REPORT_MAX}`);
if (/<script(?![^>]*\bsrc=)|\bstyle=|\bon[a-z]+=/.test(index)) {
  console.error("index.html has a script, a style or a handler in it: the browser is told to refuse these");
  process.exitCode = 1;
}
if (initial > INITIAL_MAX || total > TOTAL_MAX || report > REPORT_MAX) process.exitCode = 1;
