// Asks `trueup mcp` with the protocol's own SDK: client.mjs TRUEUP, in a home folder with sessions.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [, , trueup] = process.argv;
const env = { HOME: process.env.HOME, PATH: process.env.PATH, TZ: "UTC" };
const printed = (...command) => JSON.parse(execFileSync(trueup, command, { env, stdio: ["ignore", "pipe", "ignore"] }));

const client = new Client({ name: "proof", version: "1" });
await client.connect(new StdioClientTransport({ command: trueup, args: ["mcp"], env }));
const { tools } = await client.listTools();

const answer = await client.callTool({ name: "query_usage", arguments: { by: ["day", "model"], limit: 500 } });
const { next_offset: next, rows_total: total, ...told } = answer.structuredContent;
assert.equal(next, null);
assert.equal(total, told.rows.length);
assert.ok(total > 0);
assert.deepEqual(told, printed("report", "--by", "day,model", "--json"));

const refusal = await client.callTool({ name: "query_usage", arguments: { since: "yesterday" } });
assert.equal(refusal.isError, true);
assert.match(refusal.content[0].text, /since/);
await assert.rejects(client.callTool({ name: "no_such_tool", arguments: {} }), /no_such_tool/);

console.log(`mcp, TypeScript SDK: ${client.getServerVersion().name}, ${tools.length} tools, one answer as printed, two refusals`);
await client.close();
