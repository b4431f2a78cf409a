// The real program on a home folder of its own: `trueup serve`, and the commands that a person would type.

import { execFile, spawn } from "node:child_process";
import { mkdirSync, openSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";

const STARTED_MS_MAX = 20_000;

/** The address that a log says is listened at. */
export async function listening(log) {
  const end = Date.now() + STARTED_MS_MAX;
  while (Date.now() < end) {
    const first = readFileSync(log, "utf8").split("\n").find((line) => line.includes('"listening"'));
    if (first) return `http://${JSON.parse(first).addr}`;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`trueup does not listen: ${readFileSync(log, "utf8")}`);
}

export class Machine {
  constructor(home, trueup) {
    this.home = home;
    // A folder in which the program has its name, as commands on a view call it.
    this.bin = join(home, ".bin");
    mkdirSync(this.bin, { recursive: true });
    symlinkSync(trueup, join(this.bin, "trueup"));
  }

  get environment() {
    return {
      HOME: this.home,
      PATH: `${this.bin}:/usr/bin:/bin`,
      TRUEUP_LEDGER: join(this.home, "trueup.db"),
      TRUEUP_PORT: "0",
      TRUEUP_METRICS_INTERVAL: "off",
    };
  }

  /** What a command line prints, run by a shell as somebody who has copied it would; a Buffer. */
  run(command, { mayFail = false } = {}) {
    return new Promise((done, fail) => {
      const options = { env: this.environment, cwd: this.home, encoding: "buffer", maxBuffer: 64 << 20 };
      execFile("/bin/sh", ["-c", command], options, (error, stdout, stderr) => {
        if (error && !mayFail) fail(new Error(`${command}\n${stderr}`));
        else done(stdout);
      });
    });
  }

  async json(command, options) {
    const said = (await this.run(command, options)).toString();
    try {
      return JSON.parse(said);
    } catch {
      throw new Error(`${command} printed no JSON: ${said.slice(0, 200)}`);
    }
  }

  /** Starts to serve, at the port of before where there was one. */
  async serve(name = "log") {
    const log = join(this.home, name);
    const port = this.url ? new URL(this.url).port : "0";
    const environment = { ...this.environment, TRUEUP_PORT: port };
    this.daemon = spawn(join(this.bin, "trueup"), ["serve"], { env: environment, stdio: ["ignore", "ignore", openSync(log, "w")] });
    this.ended = new Promise((done) => this.daemon.once("exit", done));
    this.url = await listening(log);
  }

  async stop() {
    this.daemon?.kill("SIGTERM");
    await this.ended;
    this.daemon = null;
  }

  async get(path) {
    const answer = await fetch(this.url + path);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer;
  }

  async post(path, records) {
    const body = records.map((record) => JSON.stringify(record)).join("\n");
    const answer = await fetch(`${this.url}${path}?wait=1`, { method: "POST", body });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }
}
