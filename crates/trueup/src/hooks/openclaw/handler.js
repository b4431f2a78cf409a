// trueup hook, version {{version}}
//
// Written by `trueup hooks install openclaw`. OpenClaw calls the function below for each event that
// HOOK.md lists. It leaves one file in a folder of trueup's, and returns: it waits for nobody, starts
// no process, drops no event because of the one before it, and never throws.
//
// What it writes is synchronous, and not synced to the disk: some 100 µs, and there before a gateway
// that shuts down has ended.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { randomBytes } = require("node:crypto");

const SPOOL_DIR = {{spool_json}};
const STATE_DIR = {{state_json}};

// Files that may wait: a folder that nobody reads must not fill a disk.
const FILES_MAX = 10000;

// Longest file, in bytes. One that would be longer loses its long texts and its lists of ids first.
const FILE_BYTES_MAX = 65536;

// Longest text that is kept then.
const TEXT_CHARS_MAX = 512;

// Most ids that one entry may list.
const IDS_MAX = 64;

// Longest list of drops, in bytes.
const DROPPED_BYTES_MAX = 1048576;

const EVENTS = new Set([
  "command:new",
  "command:reset",
  "command:stop",
  "session:auto-reset",
  "session:patch",
  "session:compact:before",
  "session:compact:after",
  "gateway:shutdown",
  "gateway:pre-restart",
]);

// All that is copied of a session's entry: usage and identity. No label, no text, no settings.
const FIELDS = [
  "sessionId",
  "sessionFile",
  "updatedAt",
  "startedAt",
  "endedAt",
  "runtimeMs",
  "status",
  "lastRunId",
  "modelProvider",
  "model",
  "inputTokens",
  "outputTokens",
  "cacheRead",
  "cacheWrite",
  "estimatedCostUsd",
  "totalTokens",
  "totalTokensFresh",
  "contextTokens",
  "compactionCount",
  "parentSessionKey",
  "spawnedBy",
  "chatType",
  "lastChannel",
  "cliSessionIds",
  "claudeCliSessionId",
];

function handler(event) {
  try {
    const name = nameOf(event);
    if (EVENTS.has(name)) leave(name, recordOf(name, event));
  } catch {
    // Whatever it was, the agent must not suffer from it.
  }
}

function nameOf(event) {
  return event && typeof event === "object" ? `${event.type}:${event.action}` : "";
}

function recordOf(name, event) {
  const context = isObject(event.context) ? event.context : {};
  const key = textOf(event.sessionKey);
  return {
    schema: 1,
    source: "openclaw",
    event: name,
    at: timeOf(event.timestamp),
    agent_id: textOf(context.agentId) ?? /^agent:([^:]+):/.exec(key ?? "")?.[1] ?? null,
    session_key: key,
    state_dir: STATE_DIR,
    entries: entriesOf(context),
  };
}

// The entry of the session that the event ends; where there is none, the session's id at least.
function entriesOf(context) {
  const entry = [context.previousSessionEntry, context.sessionEntry].find(isObject);
  const copied = picked(entry ?? { sessionId: context.sessionId });
  return Object.keys(copied).length > 0 ? [copied] : [];
}

function picked(entry) {
  const copied = {};
  for (const field of FIELDS) {
    const value = entry[field];
    if (field === "cliSessionIds" && isObject(value)) {
      const ids = Object.entries(value).filter(([, id]) => typeof id === "string");
      copied[field] = Object.fromEntries(ids.slice(0, IDS_MAX));
    } else if (isScalar(value)) {
      copied[field] = value;
    }
  }
  return copied;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// `null` is one: OpenClaw writes it for a count that it does not know, which is not zero.
function isScalar(value) {
  return value === null || ["string", "boolean"].includes(typeof value) || Number.isFinite(value);
}

function textOf(value) {
  return typeof value === "string" && value !== "" ? value : null;
}

function timeOf(timestamp) {
  const at = typeof timestamp === "string" ? Date.parse(timestamp) : Number(timestamp);
  return Number.isSafeInteger(at) && at > 0 ? at : Date.now();
}

// Under a name of its own first: a reader must never see half a file.
function leave(name, record) {
  fs.mkdirSync(SPOOL_DIR, { recursive: true, mode: 0o700 });
  const text = bounded(record);
  if (text === null) return drop("large", name);
  if (fs.readdirSync(SPOOL_DIR).length >= FILES_MAX) return drop("full", name);
  const file = `${Date.now()}-${process.pid}-${randomBytes(8).toString("hex")}.json`;
  const whole = path.join(SPOOL_DIR, file);
  const half = `${whole}.tmp`;
  try {
    fs.writeFileSync(half, text, { flag: "wx", mode: 0o600 });
    fs.renameSync(half, whole);
  } catch {
    fs.rmSync(half, { force: true });
    drop("unwritable", name);
  }
}

function bounded(record) {
  const texts = [record, shortened(record)].map((each) => `${JSON.stringify(each)}\n`);
  return texts.find((text) => Buffer.byteLength(text) <= FILE_BYTES_MAX) ?? null;
}

function shortened(record) {
  const isShort = (value) => !isObject(value) && !(value?.length > TEXT_CHARS_MAX);
  const short = (entry) => Object.entries(entry).filter(([, value]) => isShort(value));
  const { agent_id, session_key, entries } = record;
  return {
    ...record,
    agent_id: isShort(agent_id) ? agent_id : null,
    session_key: isShort(session_key) ? session_key : null,
    entries: entries.map((entry) => Object.fromEntries(short(entry))),
  };
}

// One line for each event that is lost here: `<ms> <why> <event>`.
function drop(why, name) {
  const list = path.join(SPOOL_DIR, "dropped");
  const size = fs.statSync(list, { throwIfNoEntry: false })?.size ?? 0;
  const line = `${Date.now()} ${why} ${name}\n`;
  if (size < DROPPED_BYTES_MAX) fs.appendFileSync(list, line, { mode: 0o600 });
}

module.exports = handler;
// For loaders that take the module apart as if a compiler had made it.
module.exports.default = handler;
