//! Sums of days, worked out anew from the calls that count.
//!
//! No sum is ever added to. A mark says that calls of a day were written; whoever finds a day with more
//! marks than its sums hold works them out again, as a whole, and then says how many marks they hold:
//!
//! ```text
//! dirty    acme 2026-11-20  receiver 7: 12, receiver 9: 4    → 16 marks
//! rolled   acme 2026-11-20  14                               → two are not in the sums yet
//! ```
//!
//! The number of marks only grows, and a mark is written after its calls. So sums that were begun at more
//! marks hold all that sums of fewer do: their number is the version by which one replaces the other,
//! however many work at once, however long one of them takes, and whatever their clocks say. A retraction
//! is a row like any other, so each stretch that ever had calls has a row of sums, maybe without groups.

mod marked;

use crate::day::Day;
use crate::native::{Columns, Get, NativeError, Row};
use crate::quote::quoted;
use crate::statement::{Purpose, Statement};

pub use marked::{Marked, Saying, marked, saying_of};

/// Days that are worked out by one statement: one insert may be of 100 partitions at most.
pub const DAYS_AT_ONCE: usize = 90;

/// Low bits of a version, which tell apart who worked at the same number of marks.
const DRAWN_BITS: u32 = 20;

/// A day of a tenant whose sums lack something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirtyDay {
    /// Whose.
    pub tenant: String,
    /// Which day.
    pub day: Day,
    /// How many marks it has.
    pub marks: u64,
}

/// What a row of sums has of each of its groups: the array, what it is of calls, and nothing of its type.
struct Part {
    name: &'static str,
    of_calls: String,
    nothing: &'static str,
}

/// What groups are told apart by.
const GROUPS: [(&str, &str, &str); 8] = [
    ("device", "device", TEXT),
    ("source", "source", TEXT),
    ("provider", "provider", TEXT),
    ("model", "model", TEXT),
    ("project", "project", TEXT),
    ("kind", "kind", TEXT),
    ("price_class", "price_class", "toUInt16(0)"),
    ("has_cost", "toUInt8(isNotNull(reported_cost))", "toUInt8(0)"),
];

/// Nothing of some types.
const TEXT: &str = "''";
const COUNT: &str = "toUInt64(0)";
const MONEY: &str = "toInt64(0)";

fn groups() -> Vec<Part> {
    let groups = GROUPS.into_iter().chain([("session", "session", TEXT)]);
    groups
        .map(|(name, of_calls, nothing)| Part { name, of_calls: of_calls.to_owned(), nothing })
        .collect()
}

fn counters() -> Vec<Part> {
    let part =
        |name, of_calls: &str, nothing| Part { name, of_calls: of_calls.to_owned(), nothing };
    let tokens = TOKENS.map(|name| part(name, &bounded_sum(name), COUNT));
    let cost = bounded_money("ifNull(reported_cost, toInt64(0))");
    let mut parts = vec![
        part("calls", "sum(counts)", COUNT),
        part("errors", "countIf(isNotNull(error_type))", COUNT),
        part("reported_cost", &cost, MONEY),
        part("first_ms", "minIf(ts_ms, counts = 1)", COUNT),
        part("last_ms", "maxIf(ts_ms, counts = 1)", COUNT),
    ];
    parts.extend(tokens);
    parts
}

/// Token counts, as calls and sums have them.
pub(crate) const TOKENS: [&str; 7] = [
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "cache_write",
    "output",
    "reasoning",
];

/// A sum that stops at the largest count there is, which only hostile input can reach.
pub(crate) fn bounded_sum(of: &str) -> String {
    format!("if(sum(toFloat64({of})) >= 9.2e18, toUInt64(9223372036854775807), sum({of}))")
}

/// The same of money, which may be negative.
pub(crate) fn bounded_money(of: &str) -> String {
    format!(
        "multiIf(sum(toFloat64({of})) >= 9.2e18, toInt64(9223372036854775807), \
         sum(toFloat64({of})) <= -9.2e18, toInt64(-9223372036854775807), sum({of}))"
    )
}

/// Asks for days whose sums lack something, of those tenants and days that are named, or of all:
/// [`dirty_day_of`] reads each row.
#[must_use]
pub fn dirty(only: &[(&str, Day)], limit: usize) -> Statement {
    let only = if only.is_empty() { String::new() } else { format!("AND {}", pairs(only)) };
    let sql = format!(
        "SELECT tenant, day, sum(told) AS marks FROM (
            SELECT tenant, day, max(seq) AS told, toUInt64(0) AS held FROM dirty
            WHERE {KEPT} {only} GROUP BY tenant, day, receiver
            UNION ALL
            SELECT tenant, day, toUInt64(0) AS told, max(marks) AS held FROM rolled
            WHERE {KEPT} {only} GROUP BY tenant, day)
         GROUP BY tenant, day HAVING sum(told) > sum(held) ORDER BY day DESC, tenant LIMIT {limit}"
    );
    Statement::new(Purpose::Read, sql)
}

/// Asks how often calls of a tenant were written: [`marks_of`] reads the answer.
#[must_use]
pub fn marks(tenant: &str) -> Statement {
    let sql = format!(
        "SELECT sum(told) AS marks FROM (
            SELECT max(seq) AS told FROM dirty WHERE tenant = {} GROUP BY day, receiver)",
        quoted(tenant)
    );
    Statement::new(Purpose::Ask, sql)
}

/// How often.
///
/// # Errors
/// What is no row of the answer.
pub fn marks_of(row: Row<'_>) -> Result<u64, NativeError> {
    row.unsigned("marks")
}

/// A day that lacks something.
///
/// # Errors
/// What is no row of the answer.
pub fn dirty_day_of(row: Row<'_>) -> Result<DirtyDay, NativeError> {
    let day = Day::of_column(row.unsigned("day")?).ok_or(NativeError::Value { column: "day" })?;
    Ok(DirtyDay { tenant: row.text("tenant")?.to_owned(), day, marks: row.unsigned("marks")? })
}

/// Works the sums of these days out anew, and then says so: statements for one replica of a shard, which
/// does all of them in order. `drawn` is a random number, another one each time.
///
/// Marks may have come to a replica before the calls that they are of. So it first gets all that was
/// written anywhere up to then.
#[must_use]
pub fn recompute(days: &[DirtyDay], is_replicated: bool, drawn: u64) -> Vec<Statement> {
    if days.is_empty() {
        return Vec::new();
    }
    let sums = days.chunks(DAYS_AT_ONCE).flat_map(|days| {
        let only: Vec<(&str, Day)> = days.iter().map(|it| (it.tenant.as_str(), it.day)).collect();
        let only = format!("{} AND {KEPT}", pairs(&only));
        let version = generation(days, drawn);
        let fold = |fold: Fold| fold.statement(&only, &version);
        let folds = [Fold::DAYS].into_iter().chain(OF_DEVICES).chain(OF_FLEET).map(fold);
        let of_calls = quarters(&only, &version);
        [of_calls].into_iter().chain(folds).chain([rolled(days)]).collect::<Vec<_>>()
    });
    let sync = || Statement::new(Purpose::Define, "SYSTEM SYNC REPLICA llm_event");
    is_replicated.then(sync).into_iter().chain(sums).collect()
}

/// Days whose sums are worked out at all.
const KEPT: &str = "day >= (SELECT max(day) FROM horizon)";

/// Sums of quarters of an hour, by device and session, of the calls of these days.
fn quarters(only: &str, version: &str) -> Statement {
    let quarter = "toUInt8(intDiv(ts_ms % 86400000, 900000)) AS quarter";
    let (groups, counters) = (groups(), counters());
    let all = || groups.iter().chain(&counters);
    let listed = |of: &mut dyn Iterator<Item = String>| of.collect::<Vec<_>>().join(", ");
    // Rows of sums whose calls are all gone, as after an erasure, are there again, and empty.
    let sql = format!(
        "INSERT INTO roll_quarter (tenant, day, quarter, gen, {arrays})
         SELECT tenant, day, quarter, {version} AS gen, {gathered} FROM (
            SELECT tenant, day, {quarter}, {of_calls} FROM llm_event FINAL
            WHERE {only} GROUP BY tenant, day, quarter, {grouped}
            UNION ALL
            SELECT DISTINCT tenant, day, quarter, {nothing} FROM roll_quarter WHERE {only})
         GROUP BY tenant, day, quarter, gen",
        arrays = listed(&mut all().map(|it| it.name.to_owned())),
        gathered = listed(&mut all().map(|it| format!("groupArrayIf(g_{}, g_calls > 0)", it.name))),
        of_calls = listed(&mut all().map(|it| format!("{} AS g_{}", it.of_calls, it.name))),
        grouped = listed(&mut groups.iter().map(|it| format!("g_{}", it.name))),
        nothing = listed(&mut all().map(|it| it.nothing.to_owned())),
    );
    Statement::new(Purpose::Write, sql)
}

/// Sums that are made of finer ones, row by row.
#[derive(Clone, Copy)]
pub(crate) struct Fold {
    from: &'static str,
    /// The level of those that it is made of, where they have one.
    from_level: Option<u8>,
    to: &'static str,
    to_level: Option<u8>,
    is_quarter: bool,
    /// What groups are still told apart by.
    groups: &'static [&'static str],
}

/// What all sums are told apart by, and what those of level 0 are.
const SERIES: [&str; 7] =
    ["source", "provider", "model", "project", "kind", "price_class", "has_cost"];
const SHORT: [&str; 6] = ["source", "provider", "model", "price_class", "has_cost", "used"];

/// Those that are of sums of devices, and those that are of the first of these.
pub(crate) const OF_DEVICES: [Fold; 3] = [
    Fold::of_devices("roll_quarter", "fleet_quarter", true),
    Fold::of_devices("roll_day", "fleet_day", false),
    Fold { to_level: Some(2), groups: &["device", "source"], ..OF_DAYS },
];
pub(crate) const OF_FLEET: [Fold; 2] =
    [Fold::shorter("fleet_quarter", true), Fold::shorter("fleet_day", false)];
const OF_DAYS: Fold = Fold::of_devices("roll_day", "fleet_day", false);

impl Fold {
    const DAYS: Self = Self {
        from: "roll_quarter",
        from_level: None,
        to: "roll_day",
        to_level: None,
        is_quarter: false,
        groups: &[
            "device",
            "source",
            "provider",
            "model",
            "project",
            "kind",
            "price_class",
            "has_cost",
        ],
    };

    const fn of_devices(from: &'static str, to: &'static str, is_quarter: bool) -> Self {
        Self { from, from_level: None, to, to_level: Some(1), is_quarter, groups: &SERIES }
    }

    const fn shorter(of: &'static str, is_quarter: bool) -> Self {
        Self {
            from: of,
            from_level: Some(1),
            to: of,
            to_level: Some(0),
            is_quarter,
            groups: &SHORT,
        }
    }

    /// Of these days.
    fn statement(self, only: &str, version: &str) -> Statement {
        self.folded(only, None, version)
    }

    /// Of rows that `only` says. Without what is of a device, where there is one: then, and where `version`
    /// says nothing of days, versions are made of those of the rows, `old_gen`.
    pub(crate) fn folded(self, only: &str, without: Option<&str>, version: &str) -> Statement {
        let key = if self.is_quarter { "tenant, day, quarter" } else { "tenant, day" };
        let listed = |of: &[&str], each: &dyn Fn(&str) -> String| -> String {
            of.iter().map(|name| each(name)).collect::<Vec<_>>().join(", ")
        };
        let mut counters = vec!["calls", "errors", "reported_cost", "first_ms", "last_ms"];
        counters.extend(TOKENS);
        let taken = [self.groups, &counters].concat();
        let (is_fleet, is_first) = (self.to_level.is_some(), self.to_level == Some(1));
        let of_row = |name: &str| match without {
            Some(device) => {
                format!("arrayFilter((x, of) -> of != {device}, {name}, device) AS {name}_left")
            }
            None => format!("{name} AS {name}_left"),
        };
        let sum = |name: &str| match name {
            "first_ms" => "minIf(g_first_ms, g_calls > 0) AS s_first_ms".to_owned(),
            "last_ms" => "max(g_last_ms) AS s_last_ms".to_owned(),
            "reported_cost" => format!("{} AS s_{name}", bounded_money(&format!("g_{name}"))),
            _ => format!("{} AS s_{name}", bounded_sum(&format!("g_{name}"))),
        };
        let used = if is_first { format!(", {} AS g_used", used("s_")) } else { String::new() };
        let groups = [self.groups, if is_first { &["used"] } else { &[] }].concat();
        let is_of_rows = version.contains("old_gen");
        let old = if is_of_rows { ", old_gen" } else { "" };
        let level = self.to_level.map_or(String::new(), |level| format!("toUInt8({level}), "));
        let bulk: Vec<String> = TOKENS.iter().map(|name| format!("toFloat64(s_{name})")).collect();
        let about = format!(
            "minIf(s_first_ms, s_calls > 0), max(s_last_ms), groupUniqArrayIf(g_source, s_calls > 0), \
             sum({} + abs(toFloat64(s_reported_cost))), ",
            bulk.join(" + ")
        );
        let from_level =
            self.from_level.map_or(String::new(), |level| format!("level = {level} AND "));
        let sql = format!(
            "INSERT INTO {to} ({key}, gen, {into}{arrays})
             SELECT {key}, {version} AS new_gen, {level}{about}{gathered} FROM (
                SELECT {key}{old}, {of_groups}, {sums}{used} FROM (
                    SELECT {key}{old}, {split} FROM (
                        SELECT {key}, gen AS old_gen, {rows} FROM {from} FINAL WHERE {from_level}{only})
                    LEFT ARRAY JOIN {joined})
                GROUP BY {key}{old}, {of_groups})
             GROUP BY {key}, new_gen",
            to = self.to,
            from = self.from,
            into = if is_fleet { "level, first, last, sources, bulk, " } else { "" },
            about = if is_fleet { &*about } else { "" },
            arrays = [&groups[..], &counters].concat().join(", "),
            gathered = [
                listed(&groups, &|name| format!("groupArrayIf(g_{name}, s_calls > 0)")),
                listed(&counters, &|name| format!("groupArrayIf(s_{name}, s_calls > 0)")),
            ]
            .join(", "),
            of_groups = listed(self.groups, &|name| format!("g_{name}")),
            sums = listed(&counters, &sum),
            split = listed(&taken, &|name| format!("g_{name}")),
            rows = listed(&taken, &of_row),
            joined = listed(&taken, &|name| format!("{name}_left AS g_{name}")),
        );
        Statement::new(Purpose::Write, sql)
    }
}

/// Which kinds of tokens a sum has, as bits ([`kinds`](trueup_core::report::kinds)); `prefix` is that of its
/// columns.
pub(crate) fn used(prefix: &str) -> String {
    let is_used = [
        "@input > 0",
        "@cache_read > 0",
        "greatest(@cache_write_5m, @cache_write) > 0",
        "@cache_write_1h > 0",
        "@output > @reasoning",
        "least(@output, @reasoning) > 0",
        "@reasoning > @output",
    ];
    let bits =
        is_used.iter().enumerate().map(|(bit, is_used)| format!("{} * ({is_used})", 1 << bit));
    format!("toUInt8({})", bits.collect::<Vec<_>>().join(" + ")).replace('@', prefix)
}

/// The version of the sums of each of these days.
fn generation(days: &[DirtyDay], drawn: u64) -> String {
    let drawn = drawn & ((1 << DRAWN_BITS) - 1);
    let named: Vec<String> =
        days.iter().map(|it| quoted(&format!("{} {}", it.day.number(), it.tenant))).collect();
    let versions: Vec<String> = days
        .iter()
        .map(|it| {
            format!("toUInt64({})", it.marks.min(u64::MAX >> DRAWN_BITS) << DRAWN_BITS | drawn)
        })
        .collect();
    format!(
        "transform(concat(toString(toUInt16(day)), ' ', tenant), [{}], [{}], toUInt64(0))",
        named.join(", "),
        versions.join(", ")
    )
}

/// Says how many marks the sums of these days hold.
fn rolled(days: &[DirtyDay]) -> Statement {
    let columns = Columns::new()
        .with("tenant", Get::Text(|it: &DirtyDay| it.tenant.as_str()))
        .with("day", Get::Date(|it: &DirtyDay| it.day.number()))
        .with("marks", Get::U64(|it: &DirtyDay| it.marks));
    Statement::insert("rolled", &columns, days)
}

/// These days of these tenants.
fn pairs(days: &[(&str, Day)]) -> String {
    let pairs: Vec<String> =
        days.iter().map(|(tenant, day)| format!("({}, {})", quoted(tenant), day.sql())).collect();
    format!("(tenant, day) IN ({})", pairs.join(", "))
}
