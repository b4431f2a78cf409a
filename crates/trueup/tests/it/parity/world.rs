//! A world of usage, told by a provider and, with gaps, by the account.

use std::process::Output;

use provider_sim::{DAY_S, KEY, Plan, Sim, Told};
use serde_json::{Value, json};

use crate::serve::daemon::Home;

/// Where the prices of the world stand: those of the simulator, exactly.
const PRICES: &str = "prices.toml";
/// Posts in one request.
const POSTS: usize = 200;

/// A model that no price table knows.
pub(crate) const UNPRICED: &str = "ft:gpt-4.1-2025-04-14:acme::Ab1";

/// Both sides of a world.
pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) sim: Sim,
    pub(crate) plan: Plan,
}

/// One call that is posted.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) at_s: i64,
    pub(crate) row: Told,
}

/// What a run printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
    pub(crate) errors: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            text: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl World {
    /// A world of so many days, to which late usage has come and in which all is corrected.
    pub(crate) fn new(seed: u64, days: i64) -> Self {
        let world = Self::at_first(seed, days);
        world.sim.advance();
        world.sim.advance();
        world
    }

    /// The same before that.
    pub(crate) fn at_first(seed: u64, days: i64) -> Self {
        Self::of(Plan { seed, days, ..Plan::default() })
    }

    /// One whose last day is a day of long ago, so that what is printed is always the same.
    pub(crate) fn of_day(today_s: i64, seed: u64, days: i64) -> Self {
        let world = Self::of(Plan { seed, days, today_s, ..Plan::default() });
        world.sim.advance();
        world.sim.advance();
        world
    }

    fn of(plan: Plan) -> Self {
        let plan = Plan { page_buckets: 31, requests_max: 3, ..plan };
        let sim = Sim::start(plan.clone()).unwrap();
        let home =
            Home::with(&[("TRUEUP_PULL_INTERVAL", "off"), ("COLUMNS", "80"), ("NO_COLOR", "1")]);
        let world = Self { home, sim, plan };
        world.price("");
        std::fs::write(world.home.path("key"), KEY).unwrap();
        let mut add = world.home.verb("provider");
        add.args(["add", "openai", "--requests-per-minute", "60000", "--address"]);
        add.arg(world.sim.url()).arg("--key-file").arg(world.home.path("key"));
        assert!(add.output().unwrap().status.success());
        world
    }

    /// States the simulator's prices for every model but one, and more.
    pub(crate) fn price(&self, more: &str) {
        let models: std::collections::BTreeSet<&str> = self
            .sim
            .told()
            .iter()
            .map(|row| row.model)
            .filter(|model| *model != UNPRICED)
            .collect();
        let mut prices = String::new();
        for model in models {
            prices += &price(model, "", "0.1250000000001", "1.0000000000003");
        }
        std::fs::write(self.home.path(PRICES), prices + more).unwrap();
    }

    /// Pulls everything so many times.
    pub(crate) fn pull(&self, times: usize) {
        let (from, to) = (date(self.day(self.plan.days - 1)), date(self.day(0)));
        for _ in 0..times {
            let ran = self.run(&["pull", "--from", &from, "--to", &to]);
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
    }

    pub(crate) fn run(&self, line: &[&str]) -> Ran {
        self.run_in("UTC", line)
    }

    pub(crate) fn run_in(&self, zone: &str, line: &[&str]) -> Ran {
        let mut command = self.home.verb(line[0]);
        command.env("TZ", zone).env("TRUEUP_PRICES", self.home.path(PRICES)).args(&line[1..]);
        Ran::of(command.output().unwrap())
    }

    /// A day of the world, the present one being 0.
    pub(crate) fn day(&self, back: i64) -> i64 {
        self.plan.today_s - back * DAY_S
    }

    /// Parity of all settled days.
    pub(crate) fn parity(&self, options: &[&str]) -> Ran {
        let (from, to) = self.settled();
        self.run(&[&["parity", "--from", &date(from), "--to", &date(to)], options].concat())
    }

    /// The first and the last day that can be settled: the last two may still change.
    pub(crate) fn settled(&self) -> (i64, i64) {
        (self.day(self.plan.days - 1), self.day(3))
    }

    /// Each row of the world as the calls that it is the sum of, at noon.
    pub(crate) fn calls(&self) -> Vec<Posted> {
        self.sim.told().iter().flat_map(calls_of).collect()
    }

    /// Posts calls to `serve`, which ends then.
    pub(crate) fn post(&self, calls: &[Posted]) {
        let mut daemon = self.home.start();
        for some in calls.chunks(POSTS) {
            let lines: Vec<String> = some.iter().map(|call| call.json().to_string()).collect();
            let kind = [("content-type", "application/x-ndjson")];
            let answer = daemon.post_with("/v1/traces?wait=1", &lines.join("\n"), &kind);
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        assert!(daemon.terminate().success());
    }
}

/// What OpenAI lets its customers export of these rows: a bucket for each, by hours, so that they must be
/// added up, and an empty one for each day.
pub(crate) fn statement(rows: &[Told]) -> String {
    let mut csv = "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,\
        user_id,api_key_id,model,batch,service_tier,input_tokens,output_tokens,input_cached_tokens,\
        input_uncached_tokens\n"
        .to_owned();
    let lines = rows.iter().map(|row| {
        let Told { day_s, project, key, model, tier, is_batch, .. } = row;
        let Told { uncached, cached, written, output, requests, .. } = row;
        let start = day_s + 23 * 3_600;
        let end = start + 3_600;
        // An export has no column for what was written to a cache: it is part of the uncached prompt.
        let uncached = uncached + written;
        let input = uncached + cached;
        let used =
            format!("{project},{requests}.0,,{key},{model},{is_batch},{tier},{input},{output}");
        let empty = format!("{day_s},{},,,,,,,,,,0,0,0,0", day_s + 3_600);
        format!("{start},{end},,,{used},{cached},{uncached}\n{empty}\n")
    });
    csv.extend(lines);
    csv
}

/// A stated price.
pub(crate) fn price(model: &str, from_day: &str, input: &str, output: &str) -> String {
    let from_day =
        if from_day.is_empty() { String::new() } else { format!("from_day = \"{from_day}\"\n") };
    format!(
        "[[price]]\nmodel = \"{model}\"\n{from_day}input_usd_per_mtok = \"{input}\"\n\
         output_usd_per_mtok = \"{output}\"\ncache_read_usd_per_mtok = \"0.0125\"\n\
         cache_write_5m_usd_per_mtok = \"0.15625\"\n"
    )
}

/// The calls of a row: as many as it counts requests, with what it counts divided among them.
pub(crate) fn calls_of(row: &Told) -> Vec<Posted> {
    (0..row.requests)
        .map(|at| {
            let part = |whole: u64| whole / row.requests + u64::from(at < whole % row.requests);
            let row = Told {
                uncached: part(row.uncached),
                cached: part(row.cached),
                written: part(row.written),
                output: part(row.output),
                requests: 1,
                ..row.clone()
            };
            Posted { at_s: row.day_s + DAY_S / 2, row }
        })
        .collect()
}

impl Posted {
    pub(crate) fn json(&self) -> Value {
        let Told { project, model, uncached, cached, written, output, .. } = self.row;
        json!({
            "provider": "openai", "model": model, "project": project, "timestamp": self.at_s,
            "prompt_tokens": uncached + cached + written, "completion_tokens": output,
            "cache_read_tokens": cached, "cache_write_tokens": written,
        })
    }
}

/// A day as options write it.
pub(crate) fn date(day_s: i64) -> String {
    let at = trueup_core::UnixMs(day_s * 1_000);
    at.to_string().chars().take(10).collect()
}
