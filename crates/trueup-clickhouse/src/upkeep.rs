//! What goes: weeks that are over, and devices that are to be forgotten.
//!
//! Facts of a week are dropped at once, and their sums stay. So that nobody works those out anew from what
//! is no longer there, the *horizon* is said first, to each shard: nothing before it is taken or worked out
//! from then on, and what lies before it is dropped only once whoever had begun earlier has ended.

use trueup_core::UnixMs;

use crate::day::Day;
use crate::native::{Columns, Get, NativeError, Row};
use crate::quote::quoted;
use crate::rollup::{OF_DEVICES, OF_FLEET};
use crate::schema::millis;
use crate::statement::{Purpose, Statement};

/// Tables whose rows go with their week.
const WEEKLY: [&str; 5] = ["llm_event", "error_event", "custom_event", "system_metric", "batch"];
/// Tables of marks, which say nothing of devices.
const MARKS: [&str; 2] = ["dirty", "rolled"];
/// Tables of sums, by day; and those of them that know devices.
const SUMS: [&str; 4] = ["roll_quarter", "roll_day", "fleet_quarter", "fleet_day"];
const SUMS_BY_DEVICE: [&str; 3] = ["roll_quarter", "roll_day", "fleet_day"];
/// How long a horizon stands before anything goes: longer than any statement may take.
const GRACE_MS: u64 = 60 * 60 * 1_000;

/// Where what is kept begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// Nothing before this day is taken.
    pub taken_from: Day,
    /// Nothing before this one need be there any more.
    pub kept_from: Day,
}

/// The first day of those that are kept, where `weeks` of them are, beside the present one.
#[must_use]
pub fn horizon_of(now: UnixMs, weeks: u16) -> Day {
    Day::near(now).monday().back(weeks.saturating_mul(7))
}

/// Says where what is kept begins.
#[must_use]
pub fn keep_horizon(day: Day, now: UnixMs) -> Statement {
    let columns = Columns::new()
        .with("day", Get::Date(|it: &(Day, u64)| it.0.number()))
        .with("set_ms", Get::U64(|it: &(Day, u64)| it.1));
    Statement::insert("horizon", &columns, &[(day, millis(now))])
}

/// Asks for it: [`horizon_of_row`] reads the answer.
#[must_use]
pub fn horizon(now: UnixMs) -> Statement {
    let before = millis(now).saturating_sub(GRACE_MS);
    let sql = format!(
        "SELECT max(day) AS taken_from, maxIf(day, set_ms <= {before}) AS kept_from FROM (
            SELECT day, min(set_ms) AS set_ms FROM horizon GROUP BY day)"
    );
    Statement::new(Purpose::Read, sql)
}

/// Where what is kept begins.
///
/// # Errors
/// What is no row of the answer.
pub fn horizon_of_row(row: Row<'_>) -> Result<Horizon, NativeError> {
    let day = |column| {
        let day = Day::of_column(row.unsigned(column)?).map(|day| day.max(Day::FIRST));
        day.ok_or(NativeError::Value { column })
    };
    Ok(Horizon { taken_from: day("taken_from")?, kept_from: day("kept_from")? })
}

/// Asks which weeks of facts there are: [`week_of`] reads each row.
#[must_use]
pub fn weeks() -> Statement {
    let tables: Vec<String> = WEEKLY.into_iter().map(quoted).collect();
    let sql = format!(
        "SELECT DISTINCT table, toDate(replaceAll(partition, '\\'', '')) AS week FROM system.parts
         WHERE database = currentDatabase() AND active AND table IN ({})",
        tables.join(", ")
    );
    Statement::new(Purpose::Read, sql)
}

/// A week of a table.
///
/// # Errors
/// What is no row of the answer.
pub fn week_of(row: Row<'_>) -> Result<(&'static str, Day), NativeError> {
    let table = row.text("table")?;
    let table = WEEKLY.into_iter().find(|known| *known == table);
    let week = Day::of_column(row.unsigned("week")?);
    table.zip(week).ok_or(NativeError::Value { column: "week" })
}

/// Drops weeks that lie before the horizon as a whole.
#[must_use]
pub fn drop_weeks(weeks: &[(&'static str, Day)], horizon: Horizon) -> Vec<Statement> {
    let is_over = |week: Day| week.ahead(6) < horizon.kept_from;
    let over = weeks.iter().filter(|(_, week)| is_over(*week));
    over.map(|(table, week)| {
        Statement::new(Purpose::Define, format!("ALTER TABLE {table} DROP PARTITION '{week}'"))
    })
    .collect()
}

/// Asks on which days a device told of calls: [`day_of_row`] reads each row. To be asked before
/// [`erase`], for these days are to be marked behind it.
#[must_use]
pub fn days_of_device(tenant: &str, device: &str) -> Statement {
    let (tenant, device) = (quoted(tenant), quoted(device));
    let sql = format!(
        "SELECT DISTINCT day FROM (
            SELECT day FROM llm_event WHERE tenant = {tenant} AND device = {device}
            UNION ALL
            SELECT day FROM roll_day WHERE tenant = {tenant} AND has(device, {device}))"
    );
    Statement::new(Purpose::Read, sql)
}

/// A day.
///
/// # Errors
/// What is no row of the answer.
pub fn day_of_row(row: Row<'_>) -> Result<Day, NativeError> {
    Day::of_column(row.unsigned("day")?).ok_or(NativeError::Value { column: "day" })
}

/// Forgets what a device told: facts, and what it said of itself. Whether that is done is asked by
/// [`undone`]; then its days are to be marked, and [`forget_sums`] goes behind what is left of them.
#[must_use]
pub fn erase(tenant: &str, device: &str) -> Vec<Statement> {
    let only = of(tenant, Some(device), false);
    let tables = WEEKLY.into_iter().chain(["device_state"]);
    tables
        .map(|table| {
            Statement::new(Purpose::Define, format!("ALTER TABLE {table} DELETE WHERE {only}"))
        })
        .collect()
}

/// Takes what is superseded of a device's sums off the disk: to be sent once no sum that holds has it.
#[must_use]
pub fn scrub_sums(tenant: &str, device: &str) -> Vec<Statement> {
    let only = of(tenant, Some(device), true);
    let scrub = |table| format!("ALTER TABLE {table} DELETE WHERE {only}");
    SUMS_BY_DEVICE.into_iter().map(|table| Statement::new(Purpose::Define, scrub(table))).collect()
}

/// Forgets a tenant: facts, sums, devices. Whether that is done is asked by [`undone`].
#[must_use]
pub fn erase_tenant(tenant: &str) -> Vec<Statement> {
    let only = of(tenant, None, false);
    let erase = |table| format!("ALTER TABLE {table} DELETE WHERE {only}");
    let tables = WEEKLY.into_iter().chain(MARKS).chain(SUMS).chain(["device_state"]);
    tables.map(|table| Statement::new(Purpose::Define, erase(table))).collect()
}

/// Asks how many rows there are of a tenant, or of one of its devices: [`left_of`] reads the answer.
/// Rows that are superseded count, too.
#[must_use]
pub fn left(tenant: &str, device: Option<&str>) -> Statement {
    let marks = MARKS.into_iter().filter(|_| device.is_none());
    let facts = WEEKLY.into_iter().chain(marks).chain(["device_state"]);
    let sums = if device.is_some() { &SUMS_BY_DEVICE[..] } else { &SUMS };
    let tables = facts.map(|table| (table, false)).chain(sums.iter().map(|table| (*table, true)));
    let counts: Vec<String> = tables
        .map(|(table, is_sum)| {
            format!("SELECT count() AS rows FROM {table} WHERE {}", of(tenant, device, is_sum))
        })
        .collect();
    let sql = format!("SELECT toUInt64(sum(rows)) AS left FROM ({})", counts.join(" UNION ALL "));
    Statement::new(Purpose::Read, sql)
}

/// How many rows there are.
///
/// # Errors
/// What is no row of the answer.
pub fn left_of(row: Row<'_>) -> Result<u64, NativeError> {
    row.unsigned("left")
}

/// Rows of a tenant, or of one of its devices; of sums, whose rows have all devices of a time, those with it.
fn of(tenant: &str, device: Option<&str>, is_sum: bool) -> String {
    let tenant = quoted(tenant);
    match device.map(quoted) {
        None => format!("tenant = {tenant}"),
        Some(device) if is_sum => format!("tenant = {tenant} AND has(device, {device})"),
        Some(device) => format!("tenant = {tenant} AND device = {device}"),
    }
}

/// Takes a device out of the sums of days before the horizon, which nobody works out anew: what the other
/// devices used stays. Versions are above those of any sums there: what they were plus one does. Sums of
/// devices come last, for those that still have it say of which days the others are.
#[must_use]
pub fn forget_sums(tenant: &str, device: &str) -> Vec<Statement> {
    let arrays = |table: &str| {
        let text = include_str!("schema/001_hub.sql");
        let text = text.split_once(&format!("EXISTS {table} (\n")).map_or("", |(_, rest)| rest);
        let lines = text.lines().take_while(|line| !line.starts_with(')'));
        let arrays = lines.filter(|line| line.contains(" Array("));
        arrays
            .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
            .collect::<Vec<_>>()
    };
    let (tenant, device) = (quoted(tenant), quoted(device));
    let statement = |table: &str| {
        let key = if table == "roll_quarter" { "tenant, day, quarter" } else { "tenant, day" };
        let names = arrays(table);
        let kept: Vec<String> = names
            .iter()
            .map(|name| format!("arrayFilter((x, of) -> of != {device}, {name}, device)"))
            .collect();
        let sql = format!(
            "INSERT INTO {table} ({key}, gen, {}) SELECT {key}, gen + 1, {} FROM {table} FINAL
             WHERE tenant = {tenant} AND has(device, {device})
             AND day < (SELECT max(day) FROM horizon)",
            names.join(", "),
            kept.join(", "),
        );
        Statement::new(Purpose::Write, sql)
    };
    let kept = "day < (SELECT max(day) FROM horizon)";
    let with = format!("tenant = {tenant} AND has(device, {device}) AND {kept}");
    let of_days =
        format!("tenant = {tenant} AND day IN (SELECT day FROM roll_day WHERE {with}) AND {kept}");
    let of_devices =
        OF_DEVICES.into_iter().map(|fold| fold.folded(&with, Some(&device), "old_gen + 1"));
    let of_fleet = OF_FLEET.into_iter().map(|fold| fold.folded(&of_days, None, "old_gen"));
    let rolls = ["roll_quarter", "roll_day"].into_iter().map(statement);
    of_devices.chain(of_fleet).chain(rolls).collect()
}

/// Asks a server what time it is: [`clock_of`] reads the answer.
#[must_use]
pub fn clock() -> Statement {
    Statement::new(Purpose::Read, "SELECT toUInt64(toUnixTimestamp(now())) AS now_s")
}

/// What time it is there, to the second.
///
/// # Errors
/// What is no row of the answer.
pub fn clock_of(row: Row<'_>) -> Result<UnixMs, NativeError> {
    let seconds = i64::try_from(row.unsigned("now_s")?).ok();
    let ms = seconds.and_then(|seconds| seconds.checked_mul(1_000));
    ms.map(UnixMs).ok_or(NativeError::Value { column: "now_s" })
}

/// Asks how many changes of rows are not done yet: [`undone_of`] reads the answer.
#[must_use]
pub fn undone() -> Statement {
    let sql = "SELECT count() AS undone FROM system.mutations
         WHERE database = currentDatabase() AND NOT is_done";
    Statement::new(Purpose::Read, sql)
}

/// How many are not done yet.
///
/// # Errors
/// What is no row of the answer.
pub fn undone_of(row: Row<'_>) -> Result<u64, NativeError> {
    row.unsigned("undone")
}
