// The scrubber of claude-mem, out of its own bundle: texts in (JSON on standard input), texts out.
//
// The package has no entry for it, so its functions are found by what they hold. They are pure but for a
// look at the home folder and a line of log where something fails.

import { readFileSync } from "node:fs";
import * as os from "node:os";

const bundle = readFileSync(process.argv[2], "utf8");
const found = (pattern, from = 0) => {
  const match = new RegExp(pattern, "s").exec(bundle.slice(from));
  if (match === null) throw new Error(`claude-mem: there is no ${pattern}: another version?`);
  return { at: from + match.index, end: from + match.index + match[0].length, match };
};
const begin = found(String.raw`var \w+=500,\w+=2048,\w+=10,\w+=8192,\w+="\[REDACTED\]";`);
const entry = found(
  String.raw`function (\w+)\(\w+\)\{try\{let \w+=\w+\(\w+\(\w+\(\w+\)\)\);return.{0,400}?emitting empty message.{0,80}?\}\}`,
  begin.at,
);
const [, home] = found(String.raw`(\w+)\.default\.homedir\(\)`, begin.at).match;
const [, log] = found(String.raw`(\w+)\.warn\("SYSTEM","error-scrub`, begin.at).match;
const code = `${bundle.slice(begin.at, entry.end)};return ${entry.match[1]}`;
const scrub = new Function(home, log, code)({ default: os }, { warn() {} });

const texts = JSON.parse(readFileSync(0, "utf8"));
const before = process.cpuUsage();
const scrubbed = texts.map((text) => scrub(text));
const { user, system } = process.cpuUsage(before);
process.stdout.write(JSON.stringify({ texts: scrubbed, seconds: (user + system) / 1e6 }));
