//! Words as rows of tables.
//!
//! Each row has a version, and of the rows of one key the one with the largest holds, in whatever order
//! they come. Of calls it is that of the word; of everything else, which is told once and never changes, it
//! is made of the row itself.

use trueup_core::{
    Call, CustomEvent, ErrorEvent, Fact, FactId, HostMetric, Key, Outcome, Rank, Version, Word,
};

use crate::day::Day;
use crate::native::{Columns, Get};
use crate::schema::millis;
use crate::statement::Statement;

/// Bits below the version of a word, for two devices that say different words of one version: which of
/// them holds does not depend on which came last, but for one case in three.
const TIE_BITS: u32 = 2;
/// What a word that takes back says in these bits: it holds.
const TAKEN_BACK: u64 = 3;

/// What all rows of facts begin with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) day: Day,
    pub(crate) id: FactId,
    pub(crate) device: &'a str,
}

/// One row.
#[derive(Debug)]
pub(crate) struct FactRow<'a, F> {
    head: Head<'a>,
    ver: u64,
    fact: F,
}

/// The rows of each table that go into one partition of one shard.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    calls: Vec<FactRow<'a, Option<&'a Call>>>,
    errors: Vec<FactRow<'a, &'a ErrorEvent>>,
    events: Vec<FactRow<'a, &'a CustomEvent>>,
    hosts: Vec<FactRow<'a, &'a HostMetric>>,
}

impl<'a> Rows<'a> {
    /// Takes a word; `false` for one of a kind that no table has.
    pub(crate) fn push(&mut self, head: Head<'a>, word: &'a Word) -> bool {
        match word {
            Word::Is(Fact::Call(call)) => {
                let ver = call_ver(call.rank);
                self.calls.push(FactRow { head, ver, fact: Some(call) });
            }
            Word::IsNot { version, id: _ } => {
                let ver = shifted(*version) | TAKEN_BACK;
                self.calls.push(FactRow { head, ver, fact: None });
            }
            Word::Is(Fact::Error(error)) => {
                let texts = [&error.message, error.stack_trace.as_deref().unwrap_or_default()];
                let ver = ver_of_itself(head, &texts, error.metadata.as_deref());
                self.errors.push(FactRow { head, ver, fact: error });
            }
            Word::Is(Fact::Event(event)) => {
                let ver = ver_of_itself(head, &[&event.name], event.metadata.as_deref());
                self.events.push(FactRow { head, ver, fact: event });
            }
            Word::Is(Fact::Host(host)) => {
                let told = format!("{host:?}");
                let ver = ver_of_itself(head, &[&told], host.metadata.as_deref());
                self.hosts.push(FactRow { head, ver, fact: host });
            }
            Word::Is(Fact::SessionTotal(_) | Fact::Quota(_) | Fact::Metered(_)) => return false,
        }
        true
    }

    /// An insert for each table that gets any: table, number of rows, statement.
    pub(crate) fn inserts(&self) -> Vec<(&'static str, usize, Statement)> {
        let calls = insert("llm_event", &call_columns(), &self.calls);
        let errors = insert("error_event", &error_columns(), &self.errors);
        let events = insert("custom_event", &event_columns(), &self.events);
        let hosts = insert("system_metric", &host_columns(), &self.hosts);
        [calls, errors, events, hosts].into_iter().flatten().collect()
    }
}

fn insert<R>(
    table: &'static str,
    columns: &Columns<R>,
    rows: &[R],
) -> Option<(&'static str, usize, Statement)> {
    (!rows.is_empty()).then(|| (table, rows.len(), Statement::insert(table, columns, rows)))
}

fn shifted(version: Version) -> u64 {
    version.0.min(u64::MAX >> TIE_BITS) << TIE_BITS
}

/// The version of a call, of its rank: the word's, and a part of the hash of what was told.
fn call_ver(rank: Rank) -> u64 {
    let hash = u64::try_from(rank.0 & u128::from(u64::MAX)).unwrap_or(0);
    shifted(Version::of_rank(rank)) | (hash % TAKEN_BACK)
}

/// The version that a row brings back to the rank that it came with, as far as it is kept.
pub(crate) fn rank_of_ver(ver: u64) -> Rank {
    Rank(u128::from(ver >> TIE_BITS) << 64)
}

/// The version of what never changes: of two rows of one id the one that says more, for a record may have
/// been cut to be sent at all.
fn ver_of_itself(head: Head<'_>, texts: &[&str], metadata: Option<&str>) -> u64 {
    let parts = texts.iter().copied().chain(metadata).chain([head.device]);
    let parts: Vec<&[u8]> = parts.map(str::as_bytes).collect();
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u64::from(u32::try_from(length).unwrap_or(u32::MAX));
    let hash = Key::of("row", &parts).as_u128() & u128::from(u32::MAX);
    length << 32 | u64::try_from(hash).unwrap_or(0)
}

macro_rules! call {
    ($row:ident, $call:ident => $value:expr) => {
        |$row| $row.fact.map_or(Default::default(), |$call| $value)
    };
}

fn call_columns<'a>() -> Columns<FactRow<'a, Option<&'a Call>>> {
    head_columns::<Option<&'a Call>>(|row| {
        row.fact.map_or_else(|| millis(row.head.id.time()), |call| millis(call.time))
    })
    .with("counts", Get::U8(|row| u8::from(row.fact.is_some())))
    .with("source", Get::Text(call!(row, call => &*call.origin.source)))
    .with("provider", Get::Text(call!(row, call => &*call.origin.provider)))
    .with("model", Get::Text(call!(row, call => &*call.origin.model)))
    .with("project", Get::Text(call!(row, call => &*call.origin.project)))
    .with("session", Get::Text(call!(row, call => &*call.origin.session)))
    .with("kind", Get::Text(call!(row, call => &*call.origin.kind)))
    .with(
        "price_class",
        Get::U16(call!(row, call => call.billing.class(call.tokens.prompt()).to_code())),
    )
    .with("input", Get::U64(call!(row, call => call.tokens.input)))
    .with("cache_read", Get::U64(call!(row, call => call.tokens.cache_read)))
    .with("cache_write_5m", Get::U64(call!(row, call => call.tokens.cache_write_5m)))
    .with("cache_write_1h", Get::U64(call!(row, call => call.tokens.cache_write_1h)))
    .with("cache_write", Get::U64(call!(row, call => call.tokens.cache_write)))
    .with("output", Get::U64(call!(row, call => call.tokens.output)))
    .with("reasoning", Get::U64(call!(row, call => call.tokens.reasoning)))
    .with("reported_cost", Get::MaybeI64(call!(row, call => call.reported_cost.map(|it| it.0))))
    .with("latency_ms", Get::MaybeU32(call!(row, call => call.latency_ms)))
    .with("first_token_ms", Get::MaybeU32(call!(row, call => call.time_to_first_token_ms)))
    .with("error_type", Get::MaybeText(call!(row, call => error_type(call))))
    .with("trace_id", Get::MaybeText(call!(row, call => call.trace_id.as_deref())))
    .with(
        "input_text",
        Get::MaybeText(call!(row, call => call.body.as_ref()?.input_text.as_deref())),
    )
    .with(
        "output_text",
        Get::MaybeText(call!(row, call => call.body.as_ref()?.output_text.as_deref())),
    )
    .with("metadata", Get::MaybeText(call!(row, call => call.body.as_ref()?.metadata.as_deref())))
    .with(
        "is_text_cut",
        Get::U8(call!(row, call => u8::from(call.body.as_ref().is_some_and(|it| it.is_text_cut)))),
    )
}

fn error_type(call: &Call) -> Option<&str> {
    match &call.outcome {
        Outcome::Ok => None,
        Outcome::Failed { error_type } => Some(error_type),
    }
}

fn error_columns<'a>() -> Columns<FactRow<'a, &'a ErrorEvent>> {
    head_columns::<&'a ErrorEvent>(|row| millis(row.fact.time))
        .with("source", Get::Text(|row| &row.fact.source))
        .with("session", Get::Text(|row| &row.fact.session))
        .with("error_type", Get::Text(|row| &row.fact.error_type))
        .with("message", Get::Text(|row| &row.fact.message))
        .with("stack_trace", Get::MaybeText(|row| row.fact.stack_trace.as_deref()))
        .with("severity", Get::Text(|row| &row.fact.severity))
        .with("metadata", Get::MaybeText(|row| row.fact.metadata.as_deref()))
        .with("trace_id", Get::MaybeText(|row| row.fact.trace_id.as_deref()))
}

fn event_columns<'a>() -> Columns<FactRow<'a, &'a CustomEvent>> {
    head_columns::<&'a CustomEvent>(|row| millis(row.fact.time))
        .with("source", Get::Text(|row| &row.fact.source))
        .with("session", Get::Text(|row| &row.fact.session))
        .with("name", Get::Text(|row| &row.fact.name))
        .with("metadata", Get::MaybeText(|row| row.fact.metadata.as_deref()))
        .with("trace_id", Get::MaybeText(|row| row.fact.trace_id.as_deref()))
}

fn host_columns<'a>() -> Columns<FactRow<'a, &'a HostMetric>> {
    head_columns::<&'a HostMetric>(|row| millis(row.fact.time))
        .with("scope", Get::Text(|row| &row.fact.scope))
        .with("cpu_millipercent", Get::MaybeU64(|row| row.fact.cpu_millipercent.map(u64::from)))
        .with("cpu_capacity_millicores", Get::MaybeU64(|row| row.fact.cpu_capacity_millicores))
        .with("mem_rss_bytes", Get::MaybeU64(|row| row.fact.mem_rss_bytes))
        .with("mem_working_set_bytes", Get::MaybeU64(|row| row.fact.mem_working_set_bytes))
        .with("mem_limit_bytes", Get::MaybeU64(|row| row.fact.mem_limit_bytes))
        .with(
            "cpu_some_millipercent",
            Get::MaybeU64(|row| row.fact.cpu_pressure.some_millipercent.map(u64::from)),
        )
        .with(
            "cpu_full_millipercent",
            Get::MaybeU64(|row| row.fact.cpu_pressure.full_millipercent.map(u64::from)),
        )
        .with(
            "mem_some_millipercent",
            Get::MaybeU64(|row| row.fact.mem_pressure.some_millipercent.map(u64::from)),
        )
        .with(
            "mem_full_millipercent",
            Get::MaybeU64(|row| row.fact.mem_pressure.full_millipercent.map(u64::from)),
        )
        .with(
            "io_some_millipercent",
            Get::MaybeU64(|row| row.fact.io_pressure.some_millipercent.map(u64::from)),
        )
        .with(
            "io_full_millipercent",
            Get::MaybeU64(|row| row.fact.io_pressure.full_millipercent.map(u64::from)),
        )
        .with("disk_used_bytes", Get::MaybeU64(|row| row.fact.disk_used_bytes))
        .with("disk_available_bytes", Get::MaybeU64(|row| row.fact.disk_available_bytes))
        .with("disk_total_bytes", Get::MaybeU64(|row| row.fact.disk_total_bytes))
        .with(
            "disk_read_bytes_per_second",
            Get::MaybeU64(|row| row.fact.disk_read_bytes_per_second),
        )
        .with(
            "disk_write_bytes_per_second",
            Get::MaybeU64(|row| row.fact.disk_write_bytes_per_second),
        )
        .with("net_rx_bytes_per_second", Get::MaybeU64(|row| row.fact.net_rx_bytes_per_second))
        .with("net_tx_bytes_per_second", Get::MaybeU64(|row| row.fact.net_tx_bytes_per_second))
        .with("processes", Get::MaybeU64(|row| row.fact.processes))
        .with("threads", Get::MaybeU64(|row| row.fact.threads))
        .with("zombies", Get::MaybeU64(|row| row.fact.zombies))
        .with("oom_kills", Get::MaybeU64(|row| row.fact.oom_kills))
        .with("metadata", Get::MaybeText(|row| row.fact.metadata.as_deref()))
}

fn head_columns<'a, F>(ts_ms: fn(&FactRow<'a, F>) -> u64) -> Columns<FactRow<'a, F>> {
    Columns::new()
        .with("tenant", Get::Text(|row: &FactRow<'a, F>| row.head.tenant))
        .with("day", Get::Date(|row| row.head.day.number()))
        .with("event_id", Get::Fixed16(|row| row.head.id.0))
        .with("ver", Get::U64(|row| row.ver))
        .with("ts_ms", Get::U64(ts_ms))
        .with("device", Get::Text(|row| row.head.device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use trueup_core::UnixMs;

    fn types<R>(columns: &Columns<R>) -> BTreeSet<(String, String)> {
        columns.types().map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    }

    /// Every column of a table is written, and as what the schema has it.
    #[test]
    fn rows_are_those_of_the_schema() {
        let schema = include_str!("schema/001_hub.sql");
        let of_table = |name: &str| -> BTreeSet<(String, String)> {
            let table = schema.split_once(&format!("EXISTS {name} (\n")).unwrap().1;
            let lines = table.split_once("\n)").unwrap().0.lines();
            let pair = |line: &str| {
                let (name, kind) = line.trim().trim_end_matches(',').split_once(' ').unwrap();
                (name.to_owned(), kind.to_owned())
            };
            lines.map(pair).collect()
        };
        assert_eq!(types(&call_columns()), of_table("llm_event"));
        assert_eq!(types(&error_columns()), of_table("error_event"));
        assert_eq!(types(&event_columns()), of_table("custom_event"));
        assert_eq!(types(&host_columns()), of_table("system_metric"));
    }

    #[test]
    fn a_newer_word_has_a_larger_version_whatever_was_told() {
        let at = |ms: i64, place| Version::new(UnixMs(1_795_212_509_482 + ms), place);
        let (old, new) = (at(0, 3), at(0, 4));
        assert!(call_ver(old.rank(&[b"a"])) < call_ver(new.rank(&[b"b"])));
        assert!(call_ver(old.rank(&[b"a"])) < (shifted(old) | TAKEN_BACK));
        assert!((shifted(old) | TAKEN_BACK) < call_ver(new.rank(&[b"b"])));
        assert_eq!(Version::of_rank(rank_of_ver(call_ver(old.rank(&[b"a"])))), old);
        assert!(shifted(Version(u64::MAX)) > shifted(new));
    }
}
