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

use crate::day::Day;
use crate::native::{Columns, Get, NativeError, Row};
use crate::quote::quoted;
use crate::statement::{Purpose, Statement};

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

fn groups(is_by_session: bool) -> Vec<Part> {
    let session = is_by_session.then_some(("session", "session", TEXT));
    let groups = GROUPS.into_iter().chain(session);
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
    Statement::new(Purpose::Read, lacking(&only, limit))
}

/// The same of one tenant, for whoever asks about its account.
#[must_use]
pub fn dirty_of(tenant: &str, limit: usize) -> Statement {
    Statement::new(Purpose::Ask, lacking(&format!("AND tenant = {}", quoted(tenant)), limit))
}

fn lacking(only: &str, limit: usize) -> String {
    let kept = "day >= (SELECT max(day) FROM horizon)";
    format!(
        "SELECT tenant, day, sum(told) AS marks FROM (
            SELECT tenant, day, max(seq) AS told, toUInt64(0) AS held FROM dirty
            WHERE {kept} {only} GROUP BY tenant, day, receiver
            UNION ALL
            SELECT tenant, day, toUInt64(0) AS told, max(marks) AS held FROM rolled
            WHERE {kept} {only} GROUP BY tenant, day)
         GROUP BY tenant, day HAVING sum(told) > sum(held) ORDER BY day DESC, tenant LIMIT {limit}"
    )
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
    let parts = days.chunks(DAYS_AT_ONCE);
    let sums =
        parts.flat_map(|days| [sums(true, days, drawn), sums(false, days, drawn), rolled(days)]);
    let sync = || Statement::new(Purpose::Define, "SYSTEM SYNC REPLICA llm_event");
    is_replicated.then(sync).into_iter().chain(sums).collect()
}

/// Sums of quarters of an hour, by session, or of days.
fn sums(is_quarter: bool, days: &[DirtyDay], drawn: u64) -> Statement {
    let quarter = "toUInt8(intDiv(ts_ms % 86400000, 900000)) AS quarter";
    let (table, key, key_of_call) = if is_quarter {
        ("roll_quarter", "tenant, day, quarter", format!("tenant, day, {quarter}"))
    } else {
        ("roll_day", "tenant, day", "tenant, day".to_owned())
    };
    let (groups, counters) = (groups(is_quarter), counters());
    let all = || groups.iter().chain(&counters);
    let listed = |of: &mut dyn Iterator<Item = String>| of.collect::<Vec<_>>().join(", ");
    let only: Vec<(&str, Day)> = days.iter().map(|it| (it.tenant.as_str(), it.day)).collect();
    // Rows of sums whose calls are all gone, as after an erasure, are there again, and empty.
    let sql = format!(
        "INSERT INTO {table} ({key}, gen, {arrays})
         SELECT {key}, {gen} AS gen, {gathered} FROM (
            SELECT {key_of_call}, {of_calls} FROM llm_event FINAL
            WHERE {only} GROUP BY {key}, {grouped}
            UNION ALL
            SELECT DISTINCT {key}, {nothing} FROM {table} WHERE {only})
         GROUP BY {key}, gen",
        arrays = listed(&mut all().map(|it| it.name.to_owned())),
        gen = generation(days, drawn),
        gathered = listed(&mut all().map(|it| format!("groupArrayIf(g_{}, g_calls > 0)", it.name))),
        of_calls = listed(&mut all().map(|it| format!("{} AS g_{}", it.of_calls, it.name))),
        only = format_args!("{} AND day >= (SELECT max(day) FROM horizon)", pairs(&only)),
        grouped = listed(&mut groups.iter().map(|it| format!("g_{}", it.name))),
        nothing = listed(&mut all().map(|it| it.nothing.to_owned())),
    );
    Statement::new(Purpose::Write, sql)
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
