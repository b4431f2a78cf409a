//! What `trueup export` and `/api/v1/export` write: usage, sessions, errors and samples of the machine.
//!
//! Usage and sessions are folded a piece at a time, and records are read a part at a time, so that no more
//! is held than is being written; and while somebody slow takes it, no part of the ledger is held either.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::ControlFlow;

use anyhow::{Context as _, Result};
use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use trueup_core::prices::PriceBook;
use trueup_core::report::{
    CostMode, Dimension, Filter, Pricer, Report, ReportBuilder, Row, Sum, Window, matches,
};
use trueup_core::{Bucket, Calendar, DAY_MS, FactId, Text, UnixMs};
use trueup_ledger::{Records, Value as Kept};

use super::table::{Column, Format, Kind, Table, Value};
use crate::facts::Facts;
use crate::query;
use crate::usage::Usage;

/// What usage is asked for.
#[derive(Debug)]
pub(crate) struct AskedUsage<'a> {
    pub(crate) calendar: Calendar,
    pub(crate) filter: &'a Filter,
    pub(crate) book: &'a PriceBook,
    pub(crate) cost: CostMode,
}

/// Writes usage by `by`: the rows of `trueup report`, in their order.
pub(crate) fn usage(
    usage: &Usage,
    by: &[Dimension],
    asked: &AskedUsage<'_>,
    format: Format,
    out: &mut dyn Write,
) -> Result<u64> {
    let by = query::apart(usage, by.to_vec())?;
    let mut table = Table::new(format, "usage", usage_columns(&by), out)?;
    for window in pieces(usage, &by, asked)? {
        let filter = Filter { window, ..asked.filter.clone() };
        let pricer = Pricer::new(asked.book, asked.cost);
        let report = query::build(usage, by.clone(), asked.calendar.clone(), &filter, pricer)?;
        put_report(&report, &mut table)?;
    }
    table.finish()
}

/// Writes a report that is there already.
pub(crate) fn report(report: &Report, format: Format, out: &mut dyn Write) -> Result<u64> {
    let mut table = Table::new(format, "usage", usage_columns(&report.by), out)?;
    put_report(report, &mut table)?;
    table.finish()
}

/// Writes one row for each session of an agent, in no particular order.
pub(crate) fn sessions(
    usage: &Usage,
    asked: &AskedUsage<'_>,
    format: Format,
    out: &mut dyn Write,
) -> Result<u64> {
    let columns = SESSION_COLUMNS.into_iter().chain(sum_columns()).collect();
    let mut table = Table::new(format, "sessions", columns, out)?;
    for numbers in usage.session_parts()? {
        let by = vec![Dimension::Session, Dimension::Agent, Dimension::Device];
        let pricer = Pricer::new(asked.book, asked.cost);
        let mut report = ReportBuilder::new(by, asked.calendar.clone(), asked.filter, pricer);
        usage.by_sessions(&[numbers], asked.filter.window, &mut |entry| report.add(entry))?;
        for row in &report.finish().rows {
            put_session(row, &mut table)?;
        }
    }
    table.finish()
}

/// Writes errors, as they are kept, by their times.
pub(crate) fn errors(
    facts: &Facts,
    window: Window,
    sources: &[String],
    format: Format,
    out: &mut dyn Write,
) -> Result<u64> {
    let table = Table::new(format, "errors", ERROR_COLUMNS.into(), out)?;
    let is_meant = |values: &[Kept<'_>]| match values.get(ERROR_AGENT_AT) {
        _ if sources.is_empty() => true,
        Some(Kept::Text(agent)) => sources.iter().any(|source| matches(source, agent)),
        _ => false,
    };
    records(facts, Records::Errors, window, table, &ERROR_COLUMNS, is_meant)
}

/// Writes samples of the machine by their times.
pub(crate) fn host(
    facts: &Facts,
    window: Window,
    format: Format,
    out: &mut dyn Write,
) -> Result<u64> {
    let table = Table::new(format, "host", HOST_COLUMNS.into(), out)?;
    records(facts, Records::Host, window, table, &HOST_COLUMNS, |_| true)
}

/// The columns of [`Records::Errors`].
const ERROR_COLUMNS: [Column; 9] = [
    Column::new("at", Kind::Instant),
    Column::new("id", Kind::Text),
    Column::new("agent", Kind::Text),
    Column::new("session", Kind::Text),
    Column::new("type", Kind::Text),
    Column::new("severity", Kind::Text),
    Column::new("message", Kind::Text),
    Column::nullable("stack_trace", Kind::Text),
    Column::nullable("metadata", Kind::Text),
];

/// Where the agent stands among them.
const ERROR_AGENT_AT: usize = 2;

/// The columns of [`Records::Host`].
const HOST_COLUMNS: [Column; 24] = [
    Column::new("at", Kind::Instant),
    Column::new("scope", Kind::Text),
    Column::nullable("cpu_millipercent", Kind::Integer),
    Column::nullable("cpu_capacity_millicores", Kind::Integer),
    Column::nullable("mem_rss_bytes", Kind::Integer),
    Column::nullable("mem_working_set_bytes", Kind::Integer),
    Column::nullable("mem_limit_bytes", Kind::Integer),
    Column::nullable("cpu_some_millipercent", Kind::Integer),
    Column::nullable("cpu_full_millipercent", Kind::Integer),
    Column::nullable("mem_some_millipercent", Kind::Integer),
    Column::nullable("mem_full_millipercent", Kind::Integer),
    Column::nullable("io_some_millipercent", Kind::Integer),
    Column::nullable("io_full_millipercent", Kind::Integer),
    Column::nullable("disk_read_bytes_per_second", Kind::Integer),
    Column::nullable("disk_write_bytes_per_second", Kind::Integer),
    Column::nullable("oom_kills", Kind::Integer),
    Column::nullable("disk_used_bytes", Kind::Integer),
    Column::nullable("disk_available_bytes", Kind::Integer),
    Column::nullable("disk_total_bytes", Kind::Integer),
    Column::nullable("net_rx_bytes_per_second", Kind::Integer),
    Column::nullable("net_tx_bytes_per_second", Kind::Integer),
    Column::nullable("processes", Kind::Integer),
    Column::nullable("threads", Kind::Integer),
    Column::nullable("zombies", Kind::Integer),
];

const SESSION_COLUMNS: [Column; 8] = [
    Column::new("session", Kind::Text),
    Column::new("agent", Kind::Text),
    Column::new("device", Kind::Text),
    Column::new("projects", Kind::Texts),
    Column::new("models", Kind::Texts),
    Column::new("kinds", Kind::Texts),
    Column::new("first", Kind::Instant),
    Column::new("last", Kind::Instant),
];

/// The columns of each of the two kinds of usage.
const SUM_COLUMNS: [(&str, Kind); 13] = [
    ("calls", Kind::Integer),
    ("errors", Kind::Integer),
    ("input", Kind::Integer),
    ("cache_read", Kind::Integer),
    ("cache_write_5m", Kind::Integer),
    ("cache_write_1h", Kind::Integer),
    ("cache_write", Kind::Integer),
    ("output", Kind::Integer),
    ("reasoning", Kind::Integer),
    ("total", Kind::Integer),
    ("cost_usd", Kind::Money),
    ("unpriced_calls", Kind::Integer),
    ("cache_saved_usd", Kind::Money),
];

fn sum_values<'a>(sum: &Sum) -> [Value<'a>; 13] {
    let tokens = &sum.tokens;
    let count = |count| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    [
        count(sum.calls),
        count(sum.errors),
        count(tokens.input),
        count(tokens.cache_read),
        count(tokens.cache_write_5m),
        count(tokens.cache_write_1h),
        count(tokens.cache_write),
        count(tokens.output),
        count(tokens.reasoning),
        count(tokens.total()),
        Value::Money(sum.cost_nanousd()),
        count(sum.unpriced_calls),
        Value::Money(sum.cache_saved.to_nano()),
    ]
}

fn sum_columns() -> impl Iterator<Item = Column> {
    ["exact", "estimated"].into_iter().flat_map(|kind| {
        SUM_COLUMNS.map(|(name, of)| Column {
            name: format!("{kind}_{name}").into(),
            ..Column::new(name, of)
        })
    })
}

fn usage_columns(by: &[Dimension]) -> Vec<Column> {
    let keys = by.iter().map(|dimension| Column::new(dimension.name(), Kind::Text));
    keys.chain(sum_columns()).collect()
}

fn put_report(report: &Report, table: &mut Table<'_>) -> Result<()> {
    for row in &report.rows {
        put_sums(row.keys.iter().map(|key| Value::Text(key)).collect(), row, table)?;
    }
    Ok(())
}

fn put_session(row: &Row, table: &mut Table<'_>) -> Result<()> {
    let list = |texts: &BTreeSet<Text>| -> Vec<Text> { texts.iter().cloned().collect() };
    let (projects, kinds) = (list(&row.projects), list(&row.kinds));
    let models: Vec<Text> = row.models.keys().cloned().collect();
    let mut values: Vec<Value<'_>> = row.keys.iter().map(|key| Value::Text(key)).collect();
    values.extend([&projects, &models, &kinds].map(|texts| Value::Texts(texts)));
    values.extend([Value::Instant(row.times.0), Value::Instant(row.times.1)]);
    put_sums(values, row, table)
}

/// Puts the sums of a row behind what it is about, and writes both.
fn put_sums(mut values: Vec<Value<'_>>, row: &Row, table: &mut Table<'_>) -> Result<()> {
    values.extend([&row.sums.exact, &row.sums.estimated].into_iter().flat_map(sum_values));
    table.row_on(&values)
}

/// The pieces of time that rows can be written by one after the other: where they begin with a time,
/// some weeks each, so that only their rows are held; else all of it.
fn pieces(usage: &Usage, by: &[Dimension], asked: &AskedUsage<'_>) -> Result<Vec<Window>> {
    let whole = asked.filter.window;
    let (Some(bucket), Some((first, last))) =
        (by.first().and_then(|first| first.bucket()), usage.span()?)
    else {
        return Ok(vec![whole]);
    };
    let calendar = &asked.calendar;
    let from = whole.from.max(first);
    let end = whole.until.min(UnixMs(last.0.saturating_add(DAY_MS)));
    let mut pieces = Vec::new();
    let mut day = Some(calendar.day(from));
    while let Some(since) = day.filter(|day| calendar.start_of_day(*day) < end) {
        let next = next_piece(bucket, since);
        let until = next.map_or(end, |next| calendar.start_of_day(next));
        let begin = calendar.start_of_day(since);
        pieces.push(Window { from: begin.max(whole.from), until: until.min(whole.until) });
        day = next;
    }
    Ok(pieces)
}

/// The day on which the next piece begins: no bucket lies in two.
fn next_piece(bucket: Bucket, day: Date) -> Option<Date> {
    match bucket {
        Bucket::HalfHour | Bucket::Hour | Bucket::Day | Bucket::Month => {
            day.first_of_month().checked_add(1.month()).ok()
        }
        Bucket::Week => {
            let past_monday = i64::from(day.weekday().since(Weekday::Monday));
            day.checked_add((WEEKS_OF_PIECE * 7 - past_monday).days()).ok()
        }
    }
}

/// Weeks that are folded at a time.
const WEEKS_OF_PIECE: i64 = 4;

/// Writes the records of a kind whose values are meant.
fn records(
    facts: &Facts,
    records: Records,
    window: Window,
    mut table: Table<'_>,
    columns: &[Column],
    is_meant: impl Fn(&[Kept<'_>]) -> bool,
) -> Result<u64> {
    facts.keep_little()?;
    let until = FactId::first_at(window.until);
    let mut next = Some(FactId::first_at(window.from));
    while let Some(from) = next.take() {
        let mut is_taken = Ok(());
        facts.records(records, from, until, &mut |id, values| {
            if is_meant(values) {
                let values: Vec<Value<'_>> = columns.iter().zip(values).map(of_kept).collect();
                is_taken = table.row(&values);
            }
            if is_taken.is_ok() && !table.is_full() {
                return ControlFlow::Continue(());
            }
            next = id.next();
            ControlFlow::Break(())
        })?;
        is_taken.context("a record of the account cannot be written")?;
        table.pass_on()?;
    }
    table.finish()
}

fn of_kept<'a>((column, kept): (&Column, &Kept<'a>)) -> Value<'a> {
    match (kept, column.kind) {
        (Kept::Integer(ms), Kind::Instant) => Value::Instant(UnixMs(*ms)),
        (Kept::Integer(number), _) => Value::Integer(*number),
        (Kept::Text(text), _) => Value::Text(text),
        (Kept::Null | Kept::Real(_), _) => Value::Null,
    }
}
