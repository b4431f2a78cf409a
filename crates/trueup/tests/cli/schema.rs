//! The JSON of reports, schema 1: every field, and nothing else.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::home::Home;
use crate::sessions::{claude, time, transcript};

/// A report.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    pub(crate) by: String,
    pub(crate) tz: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) totals: Sums,
    /// Not of blocks.
    pub(crate) unpriced_models: Option<BTreeMap<String, u64>>,
}

/// A row of any report.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    #[serde(rename = "30m")]
    half_hour: Option<String>,
    hour: Option<String>,
    day: Option<String>,
    week: Option<String>,
    month: Option<String>,
    agent: Option<String>,
    model: Option<String>,
    project: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) kind: Option<String>,
    block: Option<String>,
    agents: Option<Vec<String>>,
    projects: Option<Vec<String>>,
    first: Option<String>,
    last: Option<String>,
    end: Option<String>,
    is_active: Option<bool>,
    burn: Option<Burn>,
    projection: Option<Projection>,
    models: Option<BTreeMap<String, Sums>>,
    pub(crate) exact: Sum,
    pub(crate) estimated: Sum,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Burn {
    tokens_per_minute: i64,
    cost_usd_per_hour: Usd,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Projection {
    tokens: i64,
    cost_usd: Usd,
}

/// Exact and estimated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sums {
    pub(crate) exact: Sum,
    pub(crate) estimated: Sum,
}

/// One sum.
#[derive(Debug, Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sum {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) input: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write_5m: u64,
    pub(crate) cache_write_1h: u64,
    pub(crate) cache_write: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
    pub(crate) total: u64,
    pub(crate) cost_usd: Usd,
    pub(crate) unpriced_calls: u64,
    pub(crate) cache_saved_usd: Usd,
}

impl Sum {
    pub(crate) const fn counts(&self) -> [u64; 11] {
        [
            self.calls,
            self.errors,
            self.input,
            self.cache_read,
            self.cache_write_5m,
            self.cache_write_1h,
            self.cache_write,
            self.output,
            self.reasoning,
            self.total,
            self.unpriced_calls,
        ]
    }

    fn disjoint_tokens(&self) -> u64 {
        self.input
            + self.cache_read
            + self.cache_write_5m
            + self.cache_write_1h
            + self.cache_write
            + self.output
    }
}

/// Money: nano-dollars, from a decimal string.
#[derive(Debug, Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(crate) struct Usd(pub(crate) i64);

impl TryFrom<String> for Usd {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an amount in nano-dollars");
        let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
        let is_digits = |digits: &str| {
            !digits.is_empty() && digits.len() <= 10 && digits.bytes().all(|c| c.is_ascii_digit())
        };
        if !is_digits(whole) || !is_digits(part) {
            return Err(wrong());
        }
        let nano = format!("{whole}{part:0<9}").parse().map_err(|_| wrong())?;
        Ok(Self(nano))
    }
}

/// The JSON report of a command line.
pub(crate) fn report(home: &Home, line: &str) -> Report {
    let text = home.print(line);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}\n{text}"))
}

const BY: [&str; 14] = [
    "30m",
    "hour",
    "day",
    "week",
    "month",
    "agent",
    "model",
    "project",
    "session",
    "block",
    "day,agent",
    "session,model",
    "kind",
    "kind,model",
];

impl Row {
    /// The value of a dimension.
    fn key(&self, dimension: &str) -> Option<&str> {
        let key = match dimension {
            "30m" => &self.half_hour,
            "hour" => &self.hour,
            "day" => &self.day,
            "week" => &self.week,
            "month" => &self.month,
            "agent" => &self.agent,
            "model" => &self.model,
            "project" => &self.project,
            "session" => &self.session,
            "kind" => &self.kind,
            _ => &self.block,
        };
        key.as_deref()
    }

    /// Whether it has the fields of its report, and no others.
    fn is_of(&self, by: &str, has_models: bool) -> bool {
        let all = [
            "30m", "hour", "day", "week", "month", "agent", "model", "project", "session", "kind",
            "block",
        ];
        let has_keys = all.iter().all(|dimension| {
            let is_asked_for = by.split(',').any(|asked| asked == *dimension);
            self.key(dimension).is_some() == is_asked_for
        });
        let is_block = by == "block";
        let is_session = by.contains("session");
        has_keys
            && self.agents.is_some() == is_session
            && self.projects.is_some() == is_session
            && (self.first.is_some() && self.last.is_some()) == (is_session || is_block)
            && (self.end.is_some() && self.is_active.is_some()) == is_block
            && self.models.is_some() == has_models
    }
}

#[test]
fn reports_have_the_documented_fields() {
    let home = Home::everyday();
    for by in BY {
        for has_models in [false, by != "block"] {
            let option = if has_models { "--breakdown" } else { "" };
            let report = report(&home, &format!("report {by} --json {option}"));
            assert_eq!((report.schema, report.by.as_str(), report.tz.as_str()), (1, by, "UTC"));
            assert!(!report.rows.is_empty());
            for row in &report.rows {
                assert!(row.is_of(by, has_models), "{by}: {row:?}");
                assert_eq!(row.exact.disjoint_tokens(), row.exact.total);
                assert!(row.exact.reasoning <= row.exact.output);
                assert_eq!(row.estimated, Sum::default(), "nothing claims anything yet");
                if let Some(models) = &row.models {
                    let calls: u64 = models.values().map(|sums| sums.exact.calls).sum();
                    assert_eq!(calls, row.exact.calls);
                    assert!(models.values().all(|sums| sums.estimated == Sum::default()));
                }
            }
        }
    }
}

#[test]
fn sessions_have_the_same_fields() {
    let home = Home::everyday();
    let all = report(&home, "sessions --json --last 0");
    assert!(all.rows.iter().all(|row| row.is_of("session", true)));
    // What is listed is what is summed.
    let last = report(&home, "sessions --json --last 2");
    assert_eq!(last.rows.len(), 2);
    let calls: u64 = last.rows.iter().map(|row| row.exact.calls).sum();
    assert_eq!(last.totals.exact.calls, calls);
}

#[test]
fn unpriced_calls_are_counted_and_in_no_cost() {
    let home = Home::new();
    // One of three models has no price.
    home.write(&transcript("one"), claude("one", time("2025-10-20T07:00:00Z"), 9, 1));
    let run = home.run("report model --json");
    let report: Report = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report.totals.exact.calls, 9);
    assert_eq!(report.totals.exact.unpriced_calls, 3);
    let unpriced = BTreeMap::from([("claude-of-nobody".to_owned(), 3)]);
    assert_eq!(report.unpriced_models, Some(unpriced));
    let of_nobody = report.rows.iter().find(|row| row.key("model") == Some("claude-of-nobody"));
    assert_eq!(of_nobody.unwrap().exact.cost_usd, Usd(0));
    let priced = report.rows.iter().map(|row| row.exact.cost_usd.0).sum::<i64>();
    assert_eq!(report.totals.exact.cost_usd, Usd(priced));
    assert!(priced > 0);
    for line in ["report model --json", "report day", "report block", "sessions", "report --csv"] {
        let note = "* 3 calls have no known cost and are in no sum of costs: claude-of-nobody (3).";
        let run = home.run(line);
        assert!(run.stderr.contains(note), "{line}: {}", run.stderr);
        assert_eq!(run.code, Some(0));
    }
    assert_eq!(home.run("report --strict").code, Some(3));
}

#[test]
fn what_has_no_price_is_never_shown_as_free() {
    let home = Home::new();
    let answer = crate::sessions::Answer {
        model: "claude-of-nobody",
        ..crate::sessions::Answer::new("a", "unpriced", time("2025-10-20T07:00:00Z"))
    };
    home.write(&transcript("unpriced"), answer.line());
    for line in ["report day", "report session", "report block", "sessions"] {
        let table = home.print(line);
        assert!(table.contains('—') && !table.contains('$'), "{line}: {table}");
    }
}

#[test]
fn a_running_block_has_a_rate_and_a_projection() {
    let home = Home::new();
    let start = crate::sessions::now() - jiff::SignedDuration::from_mins(40);
    home.write(&transcript("now"), claude("now", start, 4, 10));
    let report = report(&home, "report block --json");
    let row = report.rows.last().unwrap();
    let burn = row.burn.as_ref().unwrap();
    let projection = row.projection.as_ref().unwrap();
    assert_eq!(row.is_active, Some(true));
    assert!(burn.tokens_per_minute > 0 && burn.cost_usd_per_hour.0 > 0);
    assert!(projection.tokens > 0 && projection.cost_usd.0 > row.exact.cost_usd.0);
    let table = home.print("report block");
    assert!(table.contains("Burn rate: ") && table.contains("At this rate "), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}
