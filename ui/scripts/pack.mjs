// What the program embeds: beside each file of `dist` its gzip, and the list as Rust of all that
// `trueup serve` serves. The page of `trueup report --html` is not among these.
//
// gzip alone, because browsers take brotli over TLS only. Its header says neither when nor on which
// system it was made.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const SYSTEM_BYTE = 9;
const UNKNOWN_SYSTEM = 255;
const REPORT = "report.html";
const KINDS = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
};

const dist = new URL("../dist/", import.meta.url);
const names = readdirSync(dist, { recursive: true })
  .map((name) => String(name).replaceAll("\\", "/"))
  .filter((name) => /\.(html|js|css)$/.test(name))
  .sort();

const files = names.map((name) => {
  const bytes = readFileSync(new URL(name, dist));
  const packed = gzipSync(bytes, { level: 9 });
  packed[SYSTEM_BYTE] = UNKNOWN_SYSTEM;
  writeFileSync(new URL(`${name}.gz`, dist), packed);
  return { name, bytes };
});

const served = files.filter(({ name }) => name !== REPORT);
const rows = served.map(({ name, bytes }) => {
  const path = name === "index.html" ? "/" : `/${name}`;
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  const kind = KINDS[name.split(".").at(-1)];
  return `    Asset { path: "${path}", kind: "${kind}", etag: "\\"${hash}\\"", gzip: include_bytes!("${name}.gz") },\n`;
});

writeFileSync(new URL("assets.rs", dist), `// Made by \`npm run build\` in \`ui\`.\n&[\n${rows.join("")}]\n`);
