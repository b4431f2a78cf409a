// Every figure that a view shows is what the command below it prints.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { check } from "./checks.mjs";
import { card, choice, column, command, commands, figure, groupBy, open, params, plain, quoted, settled, table, twin } from "./page.mjs";
import { HOSTILE, SHELL, UNPRICED } from "./seed.mjs";

const input = (sum) => sum.input + sum.cache_write_5m + sum.cache_write_1h + sum.cache_write;

/** What the columns of groups show of a sum; the cost is not known where no call of it has a price. */
const groupColumns = ({ exact, estimated }) => [
  exact.calls,
  exact.errors,
  input(exact),
  exact.cache_read,
  exact.output,
  exact.total,
  exact.calls > 0 && exact.unpriced_calls === exact.calls ? null : exact.cost_usd,
  estimated.total,
];

const said = (values) => values.map((value) => (value === null ? null : plain(value)));

const COUNTS = ["calls", "errors", "input", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write", "output", "total", "unpriced_calls"];

/** Sums of reports, added up: counts as numbers, money in billionths. */
function added(rows) {
  const one = (witness) => {
    const sum = Object.fromEntries(COUNTS.map((name) => [name, rows.reduce((all, row) => all + row[witness][name], 0)]));
    const nanos = rows.reduce((all, row) => all + nano(row[witness].cost_usd), 0n);
    const digits = nanos.toString().padStart(10, "0");
    return { ...sum, cost_usd: `${digits.slice(0, -9)}.${digits.slice(-9)}` };
  };
  return { exact: one("exact"), estimated: one("estimated") };
}

function nano(amount) {
  const [whole, fraction = ""] = amount.split(".");
  return BigInt(whole + fraction.padEnd(9, "0"));
}

/** Rows of a report by a key. */
function groupedBy(rows, key) {
  const all = groupBy(rows, key);
  return new Map([...all].map(([name, of]) => [name, added(of)]));
}

const nameOf = (text) => (text === "" ? "not said" : text);

/** A chart's table against a report by time and group. */
export function compareTwin(shown, report, time, group, value) {
  const cells = groupedBy(report.rows, (row) => JSON.stringify([row[time], group === null ? "All" : nameOf(row[group])]));
  const names = shown.columns.slice(1);
  const own = new Set(group === null ? ["All"] : names.filter((name) => !/^Other \(\d+\)$/.test(name)));
  let compared = 0;
  for (const { look, cells: [first, ...rest] } of shown.rows) {
    const key = first.text.replace(/ \(open\)$/, "");
    const ofTime = [...cells].map(([id, sums]) => [JSON.parse(id), sums]).filter(([[at]]) => at === key);
    if (look === "missing") {
      assert.equal(ofTime.length, 0, `${key} is drawn as not kept, and the report has it`);
      assert(rest.every(({ isMissing }) => isMissing), `${key}: not kept is no number`);
      continue;
    }
    names.forEach((name, at) => {
      const of = ofTime.filter(([[, one]]) => (name === "claimed, not measured" || group === null ? true : own.has(name) ? one === name : !own.has(one)));
      const sums = added(of.map(([, sums]) => sums));
      const expected = name === "claimed, not measured" ? value(sums.estimated) : value(sums.exact);
      assert.equal(figure(rest[at]), plain(expected), `${key}, ${name}`);
      compared += 1;
    });
  }
  const keys = new Set(shown.rows.map(({ cells: [first] }) => first.text.replace(/ \(open\)$/, "")));
  for (const id of cells.keys()) assert(keys.has(JSON.parse(id)[0]), `${id} is in the report and not in the chart`);
  return compared;
}

async function overview({ page, machine }) {
  const { url } = machine;
  await check("Overview: cards are the totals of its command", async () => {
    await open(page, url, "#/overview");
    const report = await machine.json(`${await command(page, "trueup report")} --json`);
    const { exact } = report.totals;
    assert(exact.calls > 300, "the seed is not there");
    assert.equal(figure(await card(page, "Tokens")), plain(exact.total));
    assert.equal(figure(await card(page, "Cost")), plain(exact.cost_usd));
    assert.equal(figure(await card(page, "Calls")), plain(exact.calls));
    assert.equal(figure(await card(page, "Failed calls")), plain(exact.errors));
    assert.equal(figure(await card(page, "Saved by caches")), plain(exact.cache_saved_usd));
    return `${exact.calls} calls, $${exact.cost_usd}`;
  });
  for (const [metric, value] of [["tokens", (sum) => sum.total], ["calls", (sum) => sum.calls], ["errors", (sum) => sum.errors]]) {
    await check(`Overview: ${metric} by day and model are those of its command`, async () => {
      await open(page, url, `#/overview?metric=${metric}`);
      const report = await machine.json(`${await command(page, "trueup report")} --json`);
      return `${compareTwin(await twin(page), report, "day", "model", value)} cells`;
    });
  }
  await check("Overview: a model without a price is marked, and no cost is shown for it", async () => {
    await open(page, url, `#/overview?model=${UNPRICED}`);
    assert((await card(page, "Cost")).isMissing, "a cost is shown where no price is known");
  });
  await check("Overview: witnesses are measured, claimed and billed", async () => {
    await open(page, url, "#/overview");
    const rows = (await table(page, "What was measured")).rows.map(({ cells }) => cells.map(({ text }) => text));
    const names = rows.map(([name]) => name);
    for (const name of ["Measured", "Claimed", "Billed"]) assert(names.includes(name), `${name} is not in ${names}`);
    const claimed = (await table(page, "What was measured")).rows[1].cells[2];
    assert.notEqual(figure(claimed), "0", "the claimed run is not shown");
  });
}

async function explore({ page, machine }) {
  const { url } = machine;
  for (const group of ["agent", "provider", "model", "project", "kind", "tier"]) {
    await check(`Explore by ${group}: groups and totals are those of its command`, async () => {
      await open(page, url, `#/explore?group=${group}&top=50`);
      const report = await machine.json(`${await command(page, "trueup report")} --json`);
      const groups = groupedBy(report.rows, (row) => nameOf(row[group]));
      const { rows } = await table(page, "days of");
      assert.equal(rows.length - 1, groups.size, "as many groups");
      for (const { look, cells: [name, ...cells] } of rows) {
        const sums = look === "total" ? report.totals : groups.get(name.title ?? name.text);
        assert(sums, `${name.text} is in no row of the report`);
        assert.deepEqual(cells.map(figure), said(groupColumns(sums)), name.text);
      }
      return `${groups.size} groups`;
    });
  }
  await check("Explore by project and model: each pair", async () => {
    await open(page, url, "#/explore?group=project&subgroup=model&top=50");
    const report = await machine.json(`${await command(page, "trueup report")} --json`);
    const groups = groupedBy(report.rows, (row) => `${nameOf(row.project)} / ${nameOf(row.model)}`);
    const { rows } = await table(page, "days of");
    for (const { look, cells: [name, ...cells] } of rows) {
      if (look === "total" || /^Other \(\d+\)$/.test(name.text)) continue;
      const sums = groups.get(name.title ?? name.text);
      assert(sums, `${name.text} is in no row of the report`);
      assert.deepEqual(cells.map(figure), said(groupColumns(sums)), name.text);
    }
    return `${groups.size} pairs`;
  });
  for (const [bucket, time] of [["1h", "hour"], ["30m", "30m"], ["1w", "week"], ["1mo", "month"]]) {
    await check(`Explore per ${time}: each time and model`, async () => {
      const range = ["1h", "30m"].includes(bucket) ? "7d" : "90d";
      await open(page, url, `#/explore?bucket=${bucket}&range=${range}&metric=output`);
      const report = await machine.json(`${await command(page, "trueup report")} --json`);
      return `${compareTwin(await twin(page), report, time, "model", (sum) => sum.output)} cells`;
    });
  }
  await check("Explore: a command with names that hurt a shell prints the same, and runs nothing else", async () => {
    for (const name of HOSTILE) {
      await open(page, url, `#/explore?${new URLSearchParams({ project: name, group: "model" })}`);
      const report = await machine.json(`${await command(page, "trueup report")} --json`);
      assert.equal(report.totals.exact.calls, 1, `${name}: the command finds its call`);
      const { rows } = await table(page, "days of");
      assert.deepEqual(rows.at(-1).cells.slice(1).map(figure), said(groupColumns(report.totals)), name);
    }
    assert.equal((await machine.run("ls -a | grep -x hurt || true")).toString(), "", `the shell ran a part of ${SHELL}`);
  });
}

async function sessions({ page, machine }) {
  const { url } = machine;
  await check("Sessions: rows are those of its command", async () => {
    await open(page, url, "#/sessions");
    const told = await machine.json(`${await command(page, "trueup sessions")} --json`);
    const list = new Map((told.sessions ?? told.rows).map((row) => [`${row.session}`, row]));
    const shown = await table(page, "Sessions, times of");
    assert(shown.rows.length > 20, "sessions are shown");
    for (const { cells } of shown.rows) {
      const of = (name) => column(shown, cells, name);
      const id = of("Session").title ?? "";
      const row = list.get(id);
      assert(row, `${id} is not printed`);
      const { exact, estimated } = row;
      assert.deepEqual(
        ["Calls", "Failed", "Tokens", "Claimed"].map((name) => figure(of(name))),
        said([exact.calls, exact.errors, exact.total, estimated.total]),
        id,
      );
      if (figure(of("Cost")) !== null) assert.equal(figure(of("Cost")), plain(exact.cost_usd), id);
      else assert.equal(exact.unpriced_calls, exact.calls, `${id}: its cost is known`);
    }
    return `${shown.rows.length} sessions`;
  });
  await check("Sessions: pages follow each other, and each session is on one of them", async () => {
    await open(page, url, "#/sessions?range=365d");
    const seen = [];
    for (;;) {
      const shown = await table(page, "Sessions, times of");
      seen.push(...shown.rows.map(({ cells }) => `${column(shown, cells, "Agent").title} ${column(shown, cells, "Session").title}`));
      const older = page.locator("nav a", { hasText: "Older ones" });
      if ((await older.count()) === 0) break;
      const before = page.url();
      await older.click();
      await page.waitForFunction((old) => location.href !== old, before);
      await page.waitForTimeout(100);
      await settled(page);
    }
    const all = Number((await page.locator("nav", { hasText: "in all" }).innerText()).match(/([\d,]+) in all/)[1].replaceAll(",", ""));
    assert.equal(new Set(seen).size, seen.length, "a session is shown twice");
    assert.equal(seen.length, all);
    return `${all} sessions`;
  });
  await check("A session and a call: the sums of the report, and each call as the API tells it", async () => {
    await open(page, url, "#/sessions");
    const link = page.locator("main table a[href^='#/session/']").first();
    const id = await link.innerText();
    await link.click();
    await page.waitForURL(/#\/session\//);
    await settled(page);
    const list = await machine.json(`${await command(page, "trueup sessions")} --json`);
    const row = list.rows.find(({ session }) => session === id);
    const shown = await table(page, "Calls, times of");
    const { rows } = shown;
    assert.equal(rows.length, row.exact.calls);
    const total = rows.reduce((all, { cells }) => all + Number(figure(column(shown, cells, "Total"))), 0);
    assert.equal(total, row.exact.total);
    const answer = await (await machine.get(`/api/v1/sessions/${encodeURIComponent(id)}?limit=1000`)).json();
    answer.calls.forEach((call, at) => {
      const cells = ["Input", "Cached", "Output", "Total", "Cost"].map((name) => figure(column(shown, rows[at].cells, name)));
      assert.deepEqual(cells, said([input(call), call.cache_read, call.output, call.total, call.cost_usd]), call.id);
    });
    await page.locator("main table a").first().click();
    await page.waitForSelector("section[aria-label='One call']");
    const told = await page.locator("section[aria-label='One call'] dl").innerText();
    assert(told.includes(answer.calls[0].id), "the call's fields are shown");
    assert.equal(params(page).get("call"), answer.calls[0].id);
    await page.reload();
    await page.waitForSelector("section[aria-label='One call']");
    return `${rows.length} calls`;
  });
  await check("A session with a name that hurts opens from the list", async () => {
    for (const name of HOSTILE) {
      await open(page, url, `#/sessions?${new URLSearchParams({ project: name })}`);
      await page.locator("main table a[href^='#/session/']").first().click();
      await page.waitForURL(/#\/session\//);
      await settled(page);
      const shown = await page.locator("dl.facts dd .name").first().getAttribute("title");
      assert.equal(shown, name);
    }
  });
}

async function year({ page, machine }) {
  await check("Year: days and months are those of its command", async () => {
    await open(page, machine.url, "#/year");
    const report = await machine.json(`${await command(page, "trueup report")} --json`);
    const cells = compareTwin(await twin(page), report, "day", null, (sum) => sum.total);
    const months = groupedBy(report.rows, (row) => row.day.slice(0, 7));
    const names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    for (const { cells: [name, total] } of (await table(page, "By month")).rows) {
      const [month, of] = name.text.split(" ");
      const sums = months.get(`${of}-${String(names.indexOf(month) + 1).padStart(2, "0")}`);
      if (figure(total) === null) assert.equal(sums, undefined, `${name.text} is shown as not kept`);
      else assert.equal(figure(total), plain(sums?.exact.total ?? 0), name.text);
    }
    return `${cells} days`;
  });
}

async function errors({ page, machine }) {
  await check("Errors: fingerprints add up to the errors that are exported, and failed calls to the report", async () => {
    await open(page, machine.url, "#/errors");
    const { rows } = await machine.json(`${await command(page, "trueup export errors")} --format json`);
    const counts = await page.locator("details.item summary strong").allInnerTexts();
    const total = counts.reduce((all, one) => all + Number(one.replace(/[^\d]/g, "")), 0);
    assert.equal(total, rows.length);
    const report = await machine.json(`trueup report --by agent,provider,model --since ${since(34)} --json`);
    const failed = await table(page, "calls");
    for (const [model, of] of groupBy(failed.rows, ({ cells }) => cells[0].title ?? "")) {
      const shown = of.reduce((all, { cells }) => all + Number(figure(cells[4])), 0);
      const told = added(report.rows.filter((row) => row.model === model)).exact.errors;
      assert.equal(shown, told, model);
    }
    return `${total} errors of ${counts.length} fingerprints`;
  });
}

/** The day that many before the present one, in the zone of the settings. */
function since(back) {
  const today = new Intl.DateTimeFormat("en-CA", { timeZone: "Europe/Berlin" }).format(new Date());
  return new Date(Date.parse(today) - back * 86_400_000).toISOString().slice(0, 10);
}

async function host({ page, machine }) {
  await check("Host: means are those of the samples that are exported", async () => {
    await open(page, machine.url, "#/host?range=7d");
    const { rows } = await machine.json(`${await command(page, "trueup export host")} --format json`);
    assert(rows.length > 800, `${rows.length} samples`);
    const answer = await (await machine.get(`/api/v1/metrics/host?from=${since(6)}&bucket=30m`)).json();
    const shown = await page.locator("section h2").allInnerTexts();
    for (const name of ["CPU", "Memory", "Pressure"]) assert(shown.some((one) => one.startsWith(name)), `${name} is not in ${shown}`);
    const starts = answer.buckets.map(({ start }) => Date.parse(start));
    const ends = [...starts.slice(1), Infinity];
    const cpu = answer.metrics.cpu_percent;
    const exported = rows.map((row) => ({ at: Date.parse(row.at), cpu: row.cpu_millipercent / 1000 }));
    cpu.mean.forEach((mean, at) => {
      const inside = exported.filter((row) => row.at >= starts[at] && row.at < ends[at]);
      if (mean === null) return assert.equal(inside.length, 0);
      const expected = inside.reduce((all, one) => all + one.cpu, 0) / inside.length;
      assert(Math.abs(mean - expected) < 0.01, `${answer.buckets[at].key}: ${mean} is not ${expected}`);
    });
    const place = page.locator("section[aria-label^='CPU, percent']");
    await place.locator("details.twin summary").click();
    await place.locator("details.twin table").waitFor();
    const drawn = await table(page, "CPU, percent");
    const shownMeans = drawn.rows.map(({ cells }) => column(drawn, cells, "cpu")).map(({ text, isMissing }) => (isMissing ? null : text));
    assert.deepEqual(shownMeans, cpu.mean.map((mean) => (mean === null ? null : `${Math.round(mean * 10) / 10} %`)));
    return `${rows.length} samples in ${starts.length} buckets`;
  });
}

async function completeness({ page, machine }) {
  await check("Completeness: what was measured, and what doctor says", async () => {
    await open(page, machine.url, "#/completeness");
    const report = await machine.json(`${await command(page, "trueup report --completeness")} --json`);
    const shown = await table(page, "By day and agent");
    const fields = ["calls", "runs_estimated", "sessions_estimated", "sessions_superseded", "sessions_without_transcript", "bad_lines"];
    const expected = [...report.rows].reverse().map((row) => fields.map((name) => row[name]));
    expected.push(fields.map((name) => report.totals[name]));
    assert.deepEqual(shown.rows.map(({ cells }) => cells.slice(2).map(figure)), expected.map(said));
    const doctor = await machine.json(`${(await commands(page)).find((one) => one.startsWith("trueup doctor"))} --json`, { mayFail: true });
    const unwell = doctor.checks.filter(({ status }) => status !== "ok").map(({ id }) => id);
    const told = await page.locator("details.item > summary > strong").allInnerTexts();
    assert.deepEqual(told.toSorted(), unwell.toSorted());
    return `${shown.rows.length - 1} rows, ${unwell.join(", ")}`;
  });
}

async function parity({ page, machine }) {
  await check("Parity: the verdict, what ties out, and findings are those of its command", async () => {
    await open(page, machine.url, "#/parity");
    const printed = await machine.json(`${await command(page, "trueup parity")} --format json`, { mayFail: true });
    assert((await page.locator(".badge").allInnerTexts()).includes(printed.verdict.replaceAll("_", " ")), printed.verdict);
    for (const [at, one] of printed.comparisons.entries()) {
      await page.locator("details.item").nth(at).locator("summary").first().click();
      const rows = await page.locator("details.item").nth(at).locator("table").first().locator("tbody tr").evaluateAll((all) =>
        all.map((row) => [...row.children].slice(2, 6).map((cell) => cell.querySelector("[title]")?.getAttribute("title"))),
      );
      assert.deepEqual(rows, one.tie_out.map((line) => [line.matched, line.variance, line.missing, line.total].map(String)));
    }
    const days = new Set(printed.findings.map(({ day, provider }) => `${day} ${provider}`));
    const shown = await page.locator("details.item summary").allInnerTexts();
    const ofDays = shown.filter((text) => /\d{4}-\d\d-\d\d/.test(text));
    assert.equal(ofDays.length, days.size);
    assert(printed.findings.some(({ class: of }) => of === "mismatch_tokens"), "the seed's difference is not found");
    return `${printed.verdict}, ${printed.findings.length} findings on ${days.size} days`;
  });
}

async function budgets({ page, machine }) {
  await check("Budgets: what is spent, left and expected", async () => {
    await open(page, machine.url, "#/budgets");
    const { budgets: printed } = await machine.json(`${(await commands(page)).find((one) => one.startsWith("trueup budget"))} --json`);
    const sections = page.locator("main section.item");
    assert.equal(await sections.count(), printed.length);
    for (const [at, budget] of printed.entries()) {
      const shown = await sections.nth(at).locator("h2 .name").getAttribute("title");
      assert.equal(shown, budget.name);
      if (budget.limit_usd === null) continue;
      const cards = await sections.nth(at).locator(".card").evaluateAll((all) =>
        Object.fromEntries(all.map((one) => [one.querySelector("dt").innerText, one.querySelector("[title]")?.getAttribute("title")])),
      );
      assert.equal(plain(cards.Spent.replace("$", "")), plain(budget.spent_usd));
      assert.equal(plain(cards.Left.replace("$", "")), plain(budget.remaining_usd));
      if (budget.forecast) assert.equal(plain(cards.Forecast.replace("$", "")), plain(budget.forecast.amount_usd));
    }
    return `${printed.length} budgets`;
  });
}

async function settings({ page, machine }) {
  await check("Settings: every setting, its value and its origin", async () => {
    await open(page, machine.url, "#/settings");
    const printed = await machine.json(`${(await commands(page)).find((one) => one.startsWith("trueup config"))} --json`.replace(/--json --json/, "--json"));
    const shown = await table(page, "Settings, their values");
    const told = shown.rows.map(({ cells }) => cells.map(({ title, text }) => title ?? text));
    const expected = Object.entries(printed).filter(([, one]) => one && typeof one === "object" && "value" in one && "from" in one);
    assert(expected.length > 20);
    // The daemon was given a free port; the command is given none.
    for (const [name, { value, from }] of expected.filter(([name]) => name !== "port")) {
      const row = told.find(([one]) => one === name);
      assert.deepEqual(row, [name, value === "" ? "none" : value, from]);
    }
    return `${expected.length} settings`;
  });
  await check("Settings: what telemetry would send, to the byte, and how it stands", async () => {
    const shown = await page.locator("pre[aria-labelledby=next]").evaluate((one) => one.textContent);
    assert.equal(shown, (await machine.run(await command(page, "trueup telemetry show"))).toString());
    const status = await machine.json(`${await command(page, "trueup telemetry status")} --json`);
    const { rows } = await table(page, "What trueup may tell of itself");
    assert.equal(rows[0].cells[1].text, status.mode);
    return shown.split("\n")[0];
  });
}

/** Command lines that print what a download holds. */
function exportCommand(href) {
  const asked = new URL(href, "http://localhost").searchParams;
  const view = asked.get("format") === "focus" ? "focus" : asked.get("view");
  const names = view === "focus" ? {} : { from: "since", to: "until", agent: "source" };
  const options = [...asked].filter(([name]) => !["view", "format"].includes(name)).map(([name, value]) => `--${names[name] ?? name} ${quoted(value)}`);
  const format = view === "focus" ? "" : ` --format ${asked.get("format")}`;
  return `trueup export ${view}${format} ${options.join(" ")}`;
}

async function exports({ page, machine }) {
  const places = ["#/explore", `#/explore?${new URLSearchParams({ group: "project", subgroup: "model", project: SHELL })}`, "#/sessions", "#/errors", "#/host?range=7d"];
  for (const hash of places) {
    await check(`Downloads of ${hash.split("?")[0]}${hash.includes("project") ? ", filtered" : ""}: the bytes of the API, and of trueup export`, async () => {
      await open(page, machine.url, hash);
      const links = await page.locator("a.button[download]").all();
      assert(links.length >= 4, "as many formats");
      const sizes = [];
      for (const link of links) {
        const href = await link.getAttribute("href");
        const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
        assert.equal(await download.failure(), null, href);
        const saved = await readFile(await download.path());
        const asked = Buffer.from(await (await machine.get(href)).arrayBuffer());
        const printed = await machine.run(exportCommand(href));
        assert(saved.equals(asked), `${href}: other bytes than the API's`);
        assert(saved.equals(printed), `${href}: other bytes than of ${exportCommand(href)}`);
        assert(saved.length > 0);
        sizes.push(`${download.suggestedFilename()} ${saved.length}`);
      }
      return sizes.join(", ");
    });
  }
}

async function address({ page, machine }) {
  const { url } = machine;
  await check("Pickers and filters change the address; reload and the way back restore what was shown", async () => {
    await open(page, url, "#/explore");
    const seen = [];
    const look = async () => ({ hash: new URL(page.url()).hash, text: (await table(page, "days of")).rows.map(({ cells }) => cells.map(({ text }) => text)) });
    const step = async (act, name, value) => {
      seen.push(await look());
      await act();
      await page.waitForTimeout(100);
      await settled(page);
      assert.equal(params(page).get(name), value);
    };
    await step(() => choice(page, "by").selectOption("project"), "group", "project");
    await step(() => choice(page, "and").selectOption("model"), "subgroup", "model");
    await step(() => choice(page, "Show").selectOption("cost"), "metric", "cost");
    await step(() => choice(page, "per").selectOption("1w"), "bucket", "1w");
    await step(() => choice(page, "Days").selectOption("90d"), "range", "90d");
    await step(async () => {
      await choice(page, "Filter by").selectOption("agent");
      await page.locator("form input").last().fill("my-agent");
      await page.getByRole("button", { name: "Add" }).click();
    }, "agent", "my-agent");
    await step(() => choice(page, "Added up").click(), "cumulative", "1");
    const last = await look();
    await page.reload();
    await settled(page);
    assert.deepEqual(await look(), last, "a reload shows the same");
    for (const before of seen.toReversed()) {
      await page.goBack();
      await page.waitForTimeout(100);
      await settled(page);
      assert.deepEqual(await look(), before, "the way back shows what was there");
    }
    return `${seen.length} steps`;
  });
  await check("A group leads to its filter, a chip takes it away", async () => {
    await open(page, url, "#/explore?group=model");
    await page.locator("main table a", { hasText: "gpt-5.5" }).first().click();
    await page.waitForTimeout(100);
    await settled(page);
    assert.equal(params(page).get("model"), "gpt-5.5");
    await page.getByRole("link", { name: "Remove the filter Model gpt-5.5" }).click();
    await page.waitForTimeout(100);
    assert.equal(params(page).get("model"), null);
  });
}

export async function figures(place) {
  for (const part of [overview, explore, sessions, year, errors, host, completeness, parity, budgets, settings, exports, address]) await part(place);
}
