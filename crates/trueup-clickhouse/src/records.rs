//! Reading facts: calls, errors, events and samples, by their ids.

use trueup_core::{
    Billing, Call, CallBody, CustomEvent, ErrorEvent, Fact, FactId, HostMetric, Key, NanoUsd,
    Origin, Outcome, Pressure, PriceClass, Text, Tokens, UnixMs, Variant,
};

use crate::day::Day;
use crate::native::{NativeError, Row};
use crate::quote::{fixed, quoted};
use crate::rows::rank_of_ver;
use crate::statement::{Purpose, Statement};
use crate::usage::{listed, time};

/// What kind of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Calls that count, without their texts.
    Calls,
    /// The same with their texts.
    CallsWithTexts,
    /// Errors.
    Errors,
    /// Errors with the beginnings of their messages, without stacks and metadata: for who looks at many.
    ErrorsInShort,
    /// Events that clients name.
    Events,
    /// Samples of machines.
    Hosts,
}

/// Which facts are wanted.
#[derive(Debug, Clone)]
pub struct RecordsQuestion<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// Of what kind.
    pub kind: Kind,
    /// From this time on.
    pub from: UnixMs,
    /// Before this one.
    pub until: UnixMs,
    /// Those behind this id, in the order that is asked for.
    pub after: Option<FactId>,
    /// Those of these ids; of all where none is named.
    pub ids: &'a [FactId],
    /// Of these devices; of all where none is named.
    pub devices: &'a [&'a str],
    /// Of this session, by source and name. Samples have none.
    pub session: Option<(&'a str, &'a str)>,
    /// The latest first.
    pub is_latest_first: bool,
    /// At most so many.
    pub limit: usize,
}

impl<'a> RecordsQuestion<'a> {
    /// The first of a tenant's facts, by their ids.
    #[must_use]
    pub const fn of(tenant: &'a str, kind: Kind, limit: usize) -> Self {
        Self {
            tenant,
            kind,
            from: UnixMs(0),
            until: UnixMs(i64::MAX),
            after: None,
            ids: &[],
            devices: &[],
            session: None,
            is_latest_first: false,
            limit,
        }
    }
}

/// A fact, and who told it last. Its key is [`Key::of_id`].
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: FactId,
    /// The device.
    pub device: Text,
    /// The fact.
    pub fact: Fact,
}

const HEAD: &str = "event_id, ver, ts_ms, device";
const CALL: &str = "CAST(source AS String) AS source, CAST(provider AS String) AS provider, \
    CAST(model AS String) AS model, CAST(project AS String) AS project, session, CAST(kind AS String) AS kind, \
    price_class, input, cache_read, cache_write_5m, cache_write_1h, cache_write, output, reasoning, \
    reported_cost, latency_ms, first_token_ms, error_type, trace_id";
const TEXTS: &str = ", input_text, output_text, metadata, is_text_cut";
const ERROR: &str =
    "source, session, error_type, message, stack_trace, severity, metadata, trace_id";
/// As much of a message as anything is told apart by: more than 1 KiB.
const ERROR_IN_SHORT: &str =
    "source, session, error_type, substringUTF8(message, 1, 1100) AS message, severity, trace_id";
const EVENT: &str = "source, session, name, metadata, trace_id";
const HOST: &str = "scope, cpu_millipercent, cpu_capacity_millicores, mem_rss_bytes, \
    mem_working_set_bytes, mem_limit_bytes, cpu_some_millipercent, cpu_full_millipercent, \
    mem_some_millipercent, mem_full_millipercent, io_some_millipercent, io_full_millipercent, \
    disk_used_bytes, disk_available_bytes, disk_total_bytes, disk_read_bytes_per_second, \
    disk_write_bytes_per_second, net_rx_bytes_per_second, net_tx_bytes_per_second, processes, \
    threads, zombies, oom_kills, metadata";

/// Asks for facts: [`record_of`] reads each row. Of what several shards say, the first `limit` by their
/// ids are those of the whole store.
#[must_use]
pub fn records(question: &RecordsQuestion<'_>) -> Statement {
    let columns = match question.kind {
        Kind::Calls => CALL.to_owned(),
        Kind::CallsWithTexts => format!("{CALL}{TEXTS}"),
        Kind::Errors => ERROR.to_owned(),
        Kind::ErrorsInShort => ERROR_IN_SHORT.to_owned(),
        Kind::Events => EVENT.to_owned(),
        Kind::Hosts => HOST.to_owned(),
    };
    let order = if question.is_latest_first { "event_id DESC" } else { "event_id" };
    let sql = format!(
        "SELECT {HEAD}, {columns} FROM {} ORDER BY {order} LIMIT {}",
        question.of_table(),
        question.limit
    );
    Statement::new(Purpose::Ask, sql)
}

/// Asks how many facts there are, whatever the limit: [`count_of`] reads the answer.
#[must_use]
pub fn count(question: &RecordsQuestion<'_>) -> Statement {
    let sql = format!("SELECT count() AS facts FROM {}", question.of_table());
    Statement::new(Purpose::Ask, sql)
}

/// How many.
///
/// # Errors
/// What is no row of the answer.
pub fn count_of(row: Row<'_>) -> Result<u64, NativeError> {
    row.unsigned("facts")
}

/// Calls that failed alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCalls {
    /// The source.
    pub source: Text,
    /// The provider.
    pub provider: Text,
    /// The model.
    pub model: Text,
    /// The kind of error, in the client's own words.
    pub error_type: Text,
    /// How many.
    pub calls: u64,
    /// When the last of them did.
    pub last: UnixMs,
}

/// Asks why calls failed, the most frequent reasons first: [`failed_of`] reads each row.
#[must_use]
pub fn failed(question: &RecordsQuestion<'_>) -> Statement {
    let names = "source, provider, model, error_type";
    let sql = format!(
        "SELECT CAST(source AS String) AS g_source, CAST(provider AS String) AS g_provider,
            CAST(model AS String) AS g_model, ifNull(error_type, '') AS g_error, count() AS calls,
            max(ts_ms) AS last_ms
         FROM (SELECT {names}, ts_ms FROM {} AND isNotNull(error_type))
         GROUP BY g_source, g_provider, g_model, g_error
         ORDER BY calls DESC, g_source, g_provider, g_model, g_error LIMIT {}",
        question.of_table(),
        question.limit
    );
    Statement::new(Purpose::Ask, sql)
}

/// Calls that failed alike.
///
/// # Errors
/// What is no row of the answer.
pub fn failed_of(row: Row<'_>) -> Result<FailedCalls, NativeError> {
    Ok(FailedCalls {
        source: row.text("g_source")?.into(),
        provider: row.text("g_provider")?.into(),
        model: row.text("g_model")?.into(),
        error_type: row.text("g_error")?.into(),
        calls: row.unsigned("calls")?,
        last: time(row, "last_ms")?,
    })
}

/// Samples of one scope in one stretch of time, as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplesFolded {
    /// Which stretch: its place in those that were asked for.
    pub stretch: usize,
    /// What was measured.
    pub scope: Text,
    /// How many there are.
    pub samples: u64,
    /// Of each value, in the order in which they were asked for: how many samples have it, their sum, and
    /// the largest.
    pub values: Vec<Option<(u64, i128, u64)>>,
}

/// Values are added up in two halves, so that no sum is too large.
const HALF_BITS: u32 = 32;

macro_rules! folded_names {
    ($($at:literal)*) => {
        [$([concat!("n", $at), concat!("h", $at), concat!("l", $at), concat!("m", $at)]),*]
    };
}

/// Names of the columns of an answer, which are known only where it is read.
const FOLDED: [[&str; 4]; 22] =
    folded_names!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21);

/// Asks for samples, folded by stretches that begin at these times and follow each other: [`folded_of`]
/// reads each row. The last one ends where the question does.
#[must_use]
pub fn folded(question: &RecordsQuestion<'_>, starts: &[UnixMs], values: &[&str; 22]) -> Statement {
    let starts: Vec<String> =
        starts.iter().map(|start| format!("toUInt64({})", start.0.max(0))).collect();
    // Old servers do not read a column that only a lambda names: `ts_ms >= 0` makes them.
    let each: Vec<String> = values
        .iter()
        .zip(FOLDED)
        .map(|(value, [count, high, low, max])| {
            let of = format!("ifNull({value}, toUInt64(0))");
            format!(
                "count({value}) AS {count}, sum(bitShiftRight({of}, {HALF_BITS})) AS {high}, \
                 sum(bitAnd({of}, toUInt64(4294967295))) AS {low}, max({of}) AS {max}"
            )
        })
        .collect();
    let sql = format!(
        "SELECT arrayCount(edge -> edge <= ts_ms, [{starts}]) AS behind, scope, count() AS samples, {each}
         FROM {table} AND ts_ms >= 0 GROUP BY behind, scope",
        starts = starts.join(", "),
        each = each.join(", "),
        table = question.of_table(),
    );
    Statement::new(Purpose::Ask, sql)
}

/// Samples of one scope and stretch.
///
/// # Errors
/// What is no row of the answer.
pub fn folded_of(row: Row<'_>) -> Result<SamplesFolded, NativeError> {
    let behind = usize::try_from(row.unsigned("behind")?).unwrap_or(0);
    let value = |[count, high, low, max]: [&'static str; 4]| {
        let samples = row.unsigned(count)?;
        let sum = (i128::from(row.unsigned(high)?) << HALF_BITS) + i128::from(row.unsigned(low)?);
        Ok::<_, NativeError>((samples > 0).then_some((samples, sum, row.unsigned(max)?)))
    };
    Ok(SamplesFolded {
        stretch: behind.checked_sub(1).ok_or(NativeError::Value { column: "behind" })?,
        scope: row.text("scope")?.into(),
        samples: row.unsigned("samples")?,
        values: FOLDED.into_iter().map(value).collect::<Result<_, _>>()?,
    })
}

impl RecordsQuestion<'_> {
    /// The table and what passes, as SQL.
    fn of_table(&self) -> String {
        let table = match self.kind {
            Kind::Calls | Kind::CallsWithTexts => "llm_event",
            Kind::Errors | Kind::ErrorsInShort => "error_event",
            Kind::Events => "custom_event",
            Kind::Hosts => "system_metric",
        };
        let (first, last) = (Day::near(self.from), Day::near(self.until));
        let mut only = vec![
            format!("tenant = {}", quoted(self.tenant)),
            format!("day >= {} AND day <= {}", first.sql(), last.sql()),
            format!("event_id >= {}", fixed(FactId::first_at(self.from).0)),
            format!("event_id < {}", fixed(FactId::first_at(self.until).0)),
        ];
        if let Some(after) = self.after {
            let behind = if self.is_latest_first { '<' } else { '>' };
            only.push(format!("event_id {behind} {}", fixed(after.0)));
        }
        if !self.ids.is_empty() {
            let days: Vec<String> = self.ids.iter().map(|id| Day::near(id.time()).sql()).collect();
            let ids: Vec<String> = self.ids.iter().map(|id| fixed(id.0)).collect();
            only.push(format!("day IN ({}) AND event_id IN ({})", days.join(", "), ids.join(", ")));
        }
        if !self.devices.is_empty() {
            only.push(format!("device IN ({})", listed(self.devices)));
        }
        if let Some((source, session)) = self.session.filter(|_| self.kind != Kind::Hosts) {
            only.push(format!("source = {} AND session = {}", quoted(source), quoted(session)));
        }
        if matches!(self.kind, Kind::Calls | Kind::CallsWithTexts) {
            only.push("counts = 1".to_owned());
        }
        format!("{table} FINAL WHERE {}", only.join(" AND "))
    }
}

/// A fact.
///
/// # Errors
/// What is no row of the answer.
pub fn record_of(kind: Kind, row: Row<'_>) -> Result<Record, NativeError> {
    let id = row.id("event_id")?;
    let fact = match kind {
        Kind::Calls => Fact::Call(Box::new(call(id, row)?)),
        Kind::CallsWithTexts => {
            let body = body(row)?.map(Box::new);
            Fact::Call(Box::new(Call { body, ..call(id, row)? }))
        }
        Kind::Errors => Fact::Error(Box::new(ErrorEvent {
            stack_trace: owned(row, "stack_trace")?,
            metadata: owned(row, "metadata")?,
            ..error(id, row)?
        })),
        Kind::ErrorsInShort => Fact::Error(Box::new(error(id, row)?)),
        Kind::Events => Fact::Event(Box::new(event(id, row)?)),
        Kind::Hosts => Fact::Host(Box::new(host(id, row)?)),
    };
    Ok(Record { id, device: row.text("device")?.into(), fact })
}

fn call(id: FactId, row: Row<'_>) -> Result<Call, NativeError> {
    let code = u16::try_from(row.unsigned("price_class")?).ok();
    let class = code.and_then(PriceClass::from_code);
    let class = class.ok_or(NativeError::Value { column: "price_class" })?;
    Ok(Call {
        key: Key::of_id(id),
        variant: Variant::default(),
        rank: rank_of_ver(row.unsigned("ver")?),
        twin: None,
        time: time(row, "ts_ms")?,
        origin: Origin {
            source: row.text("source")?.into(),
            provider: row.text("provider")?.into(),
            model: row.text("model")?.into(),
            project: row.text("project")?.into(),
            session: row.text("session")?.into(),
            kind: row.text("kind")?.into(),
        },
        tokens: Tokens {
            input: row.unsigned("input")?,
            cache_read: row.unsigned("cache_read")?,
            cache_write_5m: row.unsigned("cache_write_5m")?,
            cache_write_1h: row.unsigned("cache_write_1h")?,
            cache_write: row.unsigned("cache_write")?,
            output: row.unsigned("output")?,
            reasoning: row.unsigned("reasoning")?,
        },
        billing: Billing { tier: class.tier, speed: class.speed, region: class.region },
        reported_cost: row.maybe_signed("reported_cost")?.map(NanoUsd),
        latency_ms: small(row, "latency_ms")?,
        time_to_first_token_ms: small(row, "first_token_ms")?,
        outcome: row
            .maybe_text("error_type")?
            .map_or(Outcome::Ok, |error_type| Outcome::Failed { error_type: error_type.into() }),
        trace_id: maybe(row, "trace_id")?,
        body: None,
    })
}

fn body(row: Row<'_>) -> Result<Option<CallBody>, NativeError> {
    let body = CallBody {
        input_text: owned(row, "input_text")?,
        output_text: owned(row, "output_text")?,
        is_text_cut: row.unsigned("is_text_cut")? != 0,
        metadata: owned(row, "metadata")?,
    };
    Ok((body != CallBody::default()).then_some(body))
}

fn error(id: FactId, row: Row<'_>) -> Result<ErrorEvent, NativeError> {
    Ok(ErrorEvent {
        key: Key::of_id(id),
        time: time(row, "ts_ms")?,
        trace_id: maybe(row, "trace_id")?,
        source: row.text("source")?.into(),
        session: row.text("session")?.into(),
        error_type: row.text("error_type")?.into(),
        message: row.text("message")?.to_owned(),
        stack_trace: None,
        severity: row.text("severity")?.into(),
        metadata: None,
    })
}

fn event(id: FactId, row: Row<'_>) -> Result<CustomEvent, NativeError> {
    Ok(CustomEvent {
        key: Key::of_id(id),
        time: time(row, "ts_ms")?,
        trace_id: maybe(row, "trace_id")?,
        source: row.text("source")?.into(),
        session: row.text("session")?.into(),
        name: row.text("name")?.into(),
        metadata: owned(row, "metadata")?,
    })
}

fn host(id: FactId, row: Row<'_>) -> Result<HostMetric, NativeError> {
    let number = |column| row.maybe_unsigned(column);
    let pressure = |some, full| {
        Ok::<_, NativeError>(Pressure {
            some_millipercent: small(row, some)?,
            full_millipercent: small(row, full)?,
        })
    };
    Ok(HostMetric {
        key: Key::of_id(id),
        time: time(row, "ts_ms")?,
        scope: row.text("scope")?.into(),
        cpu_millipercent: small(row, "cpu_millipercent")?,
        cpu_capacity_millicores: number("cpu_capacity_millicores")?,
        mem_rss_bytes: number("mem_rss_bytes")?,
        mem_working_set_bytes: number("mem_working_set_bytes")?,
        mem_limit_bytes: number("mem_limit_bytes")?,
        cpu_pressure: pressure("cpu_some_millipercent", "cpu_full_millipercent")?,
        mem_pressure: pressure("mem_some_millipercent", "mem_full_millipercent")?,
        io_pressure: pressure("io_some_millipercent", "io_full_millipercent")?,
        disk_used_bytes: number("disk_used_bytes")?,
        disk_available_bytes: number("disk_available_bytes")?,
        disk_total_bytes: number("disk_total_bytes")?,
        disk_read_bytes_per_second: number("disk_read_bytes_per_second")?,
        disk_write_bytes_per_second: number("disk_write_bytes_per_second")?,
        net_rx_bytes_per_second: number("net_rx_bytes_per_second")?,
        net_tx_bytes_per_second: number("net_tx_bytes_per_second")?,
        processes: number("processes")?,
        threads: number("threads")?,
        zombies: number("zombies")?,
        oom_kills: number("oom_kills")?,
        metadata: owned(row, "metadata")?,
    })
}

fn small(row: Row<'_>, column: &'static str) -> Result<Option<u32>, NativeError> {
    let number = row.maybe_unsigned(column)?.map(u32::try_from).transpose();
    number.map_err(|_| NativeError::Value { column })
}

fn maybe(row: Row<'_>, column: &'static str) -> Result<Option<Text>, NativeError> {
    Ok(row.maybe_text(column)?.map(Into::into))
}

fn owned(row: Row<'_>, column: &'static str) -> Result<Option<String>, NativeError> {
    Ok(row.maybe_text(column)?.map(str::to_owned))
}
