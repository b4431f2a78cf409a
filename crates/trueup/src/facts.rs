//! Single facts for whoever looks at them: errors, calls of a session, samples of the machine. They are
//! kept in the ledger, or in a hub's store on ClickHouse.
//!
//! Sums are [`Usage`](crate::usage::Usage)'s.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::Result;
use trueup_clickhouse::{Kind, Record, RecordsQuestion};
use trueup_core::report::Window;
use trueup_core::{Call, Counters, Fact, FactId, NanoUsd, Outcome, Series, Text, UnixMs, Witness};
use trueup_ledger::{
    CallsPart, Folded, FoldedSamples, LatestCall, Reader, Records, StoredCall, StoredError, Value,
};

use crate::hub::{Reading, facts_between};

/// Facts, wherever they are kept.
#[derive(Debug)]
pub(crate) enum Facts {
    /// In the ledger.
    Ledger(Box<Reader>),
    /// In a hub's store on ClickHouse.
    ClickHouse(Box<Reading>),
}

/// What tells failed calls apart.
pub(crate) type Failing = (Text, Text, Text);

/// Why calls failed.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// How many calls of each source, provider and model failed.
    pub(crate) calls: BTreeMap<Failing, u64>,
    /// Those of which the kind of error is known: which, how many, and when the last of them failed.
    pub(crate) known: Vec<(Failing, String, u64, UnixMs)>,
    /// Whether some were not looked at.
    pub(crate) is_cut: bool,
}

/// A call.
#[derive(Debug)]
pub(crate) struct SeenCall {
    pub(crate) id: FactId,
    pub(crate) time: UnixMs,
    pub(crate) session: Text,
    pub(crate) series: Arc<Series>,
    pub(crate) counters: Counters,
    pub(crate) latency_ms: Option<u64>,
    pub(crate) time_to_first_token_ms: Option<u64>,
    pub(crate) error_type: Option<String>,
}

/// Some calls of a session, in order of their ids.
#[derive(Debug, Default)]
pub(crate) struct SessionPart {
    pub(crate) calls: Vec<SeenCall>,
    /// The id behind which the next part begins.
    pub(crate) next: Option<FactId>,
    /// Calls that are in sums and have no row any more.
    pub(crate) removed: u64,
}

/// Reasons that are read of one shard.
const REASONS_MAX: usize = 5_000;
/// Samples that one question looks at in the ledger, the last ones: 34 days of one every 15 seconds.
const SAMPLES_MAX: u64 = 200_000;
/// Facts that are held while they are handed over.
const RECORDS_AT_ONCE: usize = 300;
/// How far back the latest calls are looked for at first, and how much farther each time.
const LATEST_WITHIN_MS: i64 = 6 * 60 * 60 * 1_000;
const LATEST_WIDER: i64 = 8;

impl Facts {
    /// When the first error happened.
    pub(crate) fn first_error(&self) -> Result<Option<UnixMs>> {
        match self {
            Self::Ledger(reader) => Ok(reader.first_error()?),
            Self::ClickHouse(reading) => reading.first(Kind::Errors),
        }
    }

    /// How many errors have ids from `from` on and before `until`.
    pub(crate) fn error_count(&self, from: FactId, until: FactId) -> Result<u64> {
        match self {
            Self::Ledger(reader) => Ok(reader.error_count(from, until)?),
            Self::ClickHouse(reading) => {
                reading.count(&facts_between(Kind::Errors, from, until, 0))
            }
        }
    }

    /// Hands up to `limit` errors with ids from `from` on and before `until` to `each`, the last first.
    pub(crate) fn errors(
        &self,
        from: FactId,
        until: FactId,
        limit: u32,
        each: &mut dyn FnMut(StoredError),
    ) -> Result<()> {
        let reading = match self {
            Self::Ledger(reader) => return Ok(reader.errors(from, until, limit, each)?),
            Self::ClickHouse(reading) => reading,
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        for record in reading.records(&facts_between(Kind::ErrorsInShort, from, until, limit))? {
            if let Fact::Error(error) = record.fact {
                each(StoredError {
                    id: record.id,
                    time: error.time,
                    error_type: error.error_type.to_string(),
                    message: error.message,
                    severity: error.severity.to_string(),
                });
            }
        }
        Ok(())
    }

    /// The stacks of errors that have one, in the client's own form: they may hold secrets.
    pub(crate) fn stacks_of_errors(&self, ids: &[FactId]) -> Result<HashMap<FactId, String>> {
        let mut stacks = HashMap::new();
        match self {
            Self::Ledger(reader) => {
                for id in ids {
                    stacks.extend(reader.stack_of_error(*id)?.map(|stack| (*id, stack)));
                }
            }
            Self::ClickHouse(_) if ids.is_empty() => {}
            Self::ClickHouse(reading) => {
                let question =
                    RecordsQuestion { ids, ..RecordsQuestion::of("", Kind::Errors, ids.len()) };
                for record in reading.records(&question)? {
                    let Fact::Error(error) = record.fact else { continue };
                    stacks.extend(error.stack_trace.map(|stack| (record.id, stack)));
                }
            }
        }
        Ok(stacks)
    }

    /// The calls that failed in a time, and why.
    pub(crate) fn failures(&self, window: Window) -> Result<Failures> {
        match self {
            Self::Ledger(reader) => failures_of_ledger(reader, window),
            Self::ClickHouse(reading) => failures_of_clickhouse(reading, window),
        }
    }

    /// When the first sample was taken.
    pub(crate) fn first_sample(&self) -> Result<Option<UnixMs>> {
        match self {
            Self::Ledger(reader) => Ok(reader.first_sample()?),
            Self::ClickHouse(reading) => reading.first(Kind::Hosts),
        }
    }

    /// The samples of stretches that follow each other, each as one; whether there were too many for the
    /// first ones.
    pub(crate) fn samples(
        &self,
        stretches: &[(UnixMs, UnixMs)],
    ) -> Result<(Vec<FoldedSamples>, bool)> {
        match self {
            Self::Ledger(reader) => samples_of_ledger(reader, stretches),
            Self::ClickHouse(reading) => Ok((samples_of_clickhouse(reading, stretches)?, false)),
        }
    }

    /// Up to `limit` calls of the sessions of a name and some sources, behind the call `after`: they used
    /// something between two times, in so many calls.
    pub(crate) fn of_session(
        &self,
        name: &str,
        sources: &[Text],
        (after, limit): (Option<FactId>, usize),
        times: (UnixMs, UnixMs),
        calls: u64,
    ) -> Result<SessionPart> {
        match self {
            Self::Ledger(reader) => session_of_ledger(reader, name, sources, (after, limit)),
            Self::ClickHouse(reading) => {
                let mut part = SessionPart::default();
                let mut kept = 0;
                for source in sources {
                    let question = RecordsQuestion {
                        from: times.0,
                        until: UnixMs(times.1.0.saturating_add(1)),
                        session: Some((source, name)),
                        ..RecordsQuestion::of("", Kind::Calls, limit.saturating_add(1))
                    };
                    kept += reading.count(&question)?;
                    let behind = reading.records(&RecordsQuestion { after, ..question })?;
                    part.calls.extend(behind.into_iter().filter_map(SeenCall::of_record));
                }
                part.calls.sort_by_key(|call| call.id);
                let has_more = part.calls.len() > limit;
                part.calls.truncate(limit);
                part.next = part.calls.last().filter(|_| has_more).map(|call| call.id);
                part.removed = calls.saturating_sub(kept);
                Ok(part)
            }
        }
    }

    /// Keeps little of what is read in memory: for one who walks over facts and does not come back.
    pub(crate) fn keep_little(&self) -> Result<()> {
        match self {
            Self::Ledger(reader) => Ok(reader.keep_little()?),
            Self::ClickHouse(_) => Ok(()),
        }
    }

    /// Hands facts with ids in `from..until` to `each`, by their ids, until it breaks: the values of
    /// [`Records`].
    pub(crate) fn records(
        &self,
        records: Records,
        from: FactId,
        until: FactId,
        each: &mut dyn FnMut(FactId, &[Value<'_>]) -> ControlFlow<()>,
    ) -> Result<()> {
        let reading = match self {
            Self::Ledger(reader) => return Ok(reader.records(records, from, until, each)?),
            Self::ClickHouse(reading) => reading,
        };
        let kind = match records {
            Records::Errors => Kind::Errors,
            Records::Host => Kind::Hosts,
        };
        let mut after = before(from);
        loop {
            let question = RecordsQuestion {
                from: from.time(),
                until: until.time(),
                after,
                ..RecordsQuestion::of("", kind, RECORDS_AT_ONCE)
            };
            let part = reading.records(&question)?;
            for record in &part {
                if each(record.id, &values_of(&record.fact)).is_break() {
                    return Ok(());
                }
            }
            match part.last() {
                Some(last) if part.len() == RECORDS_AT_ONCE => after = Some(last.id),
                _ => return Ok(()),
            }
        }
    }

    /// The calls with the latest times, the last first.
    pub(crate) fn latest_calls(&self, limit: u32) -> Result<Vec<SeenCall>> {
        match self {
            Self::Ledger(reader) => {
                let series = reader.series()?;
                let calls = reader.latest_calls(limit)?.into_iter();
                let seen = calls.filter_map(|LatestCall { call, session }| {
                    let series = Arc::clone(series.get(&call.series)?);
                    Some(SeenCall::of_stored(call, session, series))
                });
                Ok(seen.collect())
            }
            Self::ClickHouse(reading) => latest_of_clickhouse(reading, limit),
        }
    }
}

/// The id before another.
fn before(id: FactId) -> Option<FactId> {
    Some(FactId(u128::from_be_bytes(id.0).checked_sub(1)?.to_be_bytes()))
}

/// A fact's values in the order of [`Records`].
fn values_of(fact: &Fact) -> Vec<Value<'_>> {
    match fact {
        Fact::Error(error) => vec![
            Value::Integer(error.time.0),
            Value::Text(error.trace_id.as_deref().unwrap_or_default()),
            Value::Text(&error.source),
            Value::Text(&error.session),
            Value::Text(&error.error_type),
            Value::Text(&error.severity),
            Value::Text(&error.message),
            error.stack_trace.as_deref().map_or(Value::Null, Value::Text),
            error.metadata.as_deref().map_or(Value::Null, Value::Text),
        ],
        Fact::Host(host) => {
            let [cpu, memory, io] = [host.cpu_pressure, host.mem_pressure, host.io_pressure]
                .map(|it| [it.some_millipercent, it.full_millipercent].map(|of| of.map(u64::from)));
            let numbers = [
                host.cpu_millipercent.map(u64::from),
                host.cpu_capacity_millicores,
                host.mem_rss_bytes,
                host.mem_working_set_bytes,
                host.mem_limit_bytes,
            ]
            .into_iter()
            .chain(cpu)
            .chain(memory)
            .chain(io)
            .chain([
                host.disk_read_bytes_per_second,
                host.disk_write_bytes_per_second,
                host.oom_kills,
                host.disk_used_bytes,
                host.disk_available_bytes,
                host.disk_total_bytes,
                host.net_rx_bytes_per_second,
                host.net_tx_bytes_per_second,
                host.processes,
                host.threads,
                host.zombies,
            ]);
            let number = |number: Option<u64>| {
                let number = number.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
                number.map_or(Value::Null, Value::Integer)
            };
            let head = [Value::Integer(host.time.0), Value::Text(&host.scope)];
            head.into_iter().chain(numbers.map(number)).collect()
        }
        Fact::Call(_)
        | Fact::Event(_)
        | Fact::SessionTotal(_)
        | Fact::Quota(_)
        | Fact::Metered(_) => Vec::new(),
    }
}

impl SeenCall {
    fn of_stored(call: StoredCall, session: Text, series: Arc<Series>) -> Self {
        let StoredCall {
            id, time, counters, latency_ms, time_to_first_token_ms, error_type, ..
        } = call;
        Self { id, time, session, series, counters, latency_ms, time_to_first_token_ms, error_type }
    }

    fn of_record(record: Record) -> Option<Self> {
        let Fact::Call(call) = record.fact else { return None };
        let Call { time, origin, tokens, billing, reported_cost, .. } = *call;
        let has_failed = matches!(call.outcome, Outcome::Failed { .. });
        let series = Series {
            witness: Witness::Measured,
            source: origin.source,
            provider: origin.provider,
            model: origin.model,
            project: origin.project,
            kind: origin.kind,
            class: billing.class(tokens.prompt()),
            has_reported_cost: reported_cost.is_some(),
            device: Text::default(),
        };
        Some(Self {
            id: record.id,
            time,
            session: origin.session,
            series: Arc::new(series),
            counters: Counters {
                calls: 1,
                errors: u64::from(has_failed),
                tokens,
                reported_cost: reported_cost.unwrap_or(NanoUsd(0)),
            },
            latency_ms: call.latency_ms.map(Into::into),
            time_to_first_token_ms: call.time_to_first_token_ms.map(Into::into),
            error_type: match call.outcome {
                Outcome::Failed { error_type } => Some(error_type.to_string()),
                Outcome::Ok => None,
            },
        })
    }
}

fn failures_of_ledger(reader: &Reader, window: Window) -> Result<Failures> {
    let series = reader.series()?;
    let failing = |number: &i64| series.get(number).map(|series| failing(series));
    let (known, is_cut) = reader.failed_calls(window.from, window.until)?;
    let mut failures = Failures { is_cut, ..Failures::default() };
    for (number, calls) in reader.failed_by_series(window.from, window.until)? {
        if let Some(failing) = failing(&number) {
            *failures.calls.entry(failing).or_default() += calls;
        }
    }
    let known = known.into_iter().filter_map(|((number, kind), (calls, last))| {
        failing(&number).map(|failing| (failing, kind, calls, last))
    });
    failures.known = known.collect();
    Ok(failures)
}

fn failing(series: &Series) -> Failing {
    (Text::clone(&series.source), Text::clone(&series.provider), Text::clone(&series.model))
}

fn failures_of_clickhouse(reading: &Reading, window: Window) -> Result<Failures> {
    let mut failures = Failures::default();
    for sum in reading.between(window, |_| Vec::new())? {
        let entry = sum.entry();
        if entry.counters.errors > 0 {
            *failures.calls.entry(failing(entry.series)).or_default() += entry.counters.errors;
        }
    }
    let (known, is_cut) = reading.failed(window, REASONS_MAX)?;
    failures.is_cut = is_cut;
    let known = known.into_iter().map(|it| {
        ((it.source, it.provider, it.model), it.error_type.to_string(), it.calls, it.last)
    });
    failures.known = known.collect();
    Ok(failures)
}

fn samples_of_ledger(
    reader: &Reader,
    stretches: &[(UnixMs, UnixMs)],
) -> Result<(Vec<FoldedSamples>, bool)> {
    let (mut all, mut looked_at) = (Vec::with_capacity(stretches.len()), 0_u64);
    for (from, until) in stretches.iter().rev() {
        looked_at = looked_at.saturating_add(reader.sample_count(*from, *until)?);
        let is_too_much = looked_at > SAMPLES_MAX;
        let folded = if is_too_much {
            FoldedSamples::default()
        } else {
            reader.folded_samples(*from, *until)?
        };
        all.push(folded);
    }
    all.reverse();
    Ok((all, looked_at > SAMPLES_MAX))
}

fn samples_of_clickhouse(
    reading: &Reading,
    stretches: &[(UnixMs, UnixMs)],
) -> Result<Vec<FoldedSamples>> {
    let mut all = vec![FoldedSamples::default(); stretches.len()];
    for folded in reading.folded(stretches)? {
        let Some(samples) = all.get_mut(folded.stretch) else { continue };
        samples.scopes.insert(folded.scope.to_string());
        for (value, more) in samples.values.iter_mut().zip(folded.values) {
            let Some((count, sum, max)) = more else { continue };
            let (count, max) =
                (u32::try_from(count).unwrap_or(u32::MAX), i64::try_from(max).unwrap_or(i64::MAX));
            let before = value.unwrap_or(Folded { samples: 0, sum: 0, max: i64::MIN });
            *value = Some(Folded {
                samples: before.samples.saturating_add(count),
                sum: before.sum.saturating_add(sum),
                max: before.max.max(max),
            });
        }
    }
    Ok(all)
}

fn session_of_ledger(
    reader: &Reader,
    name: &str,
    sources: &[Text],
    (after, limit): (Option<FactId>, usize),
) -> Result<SessionPart> {
    let mut sessions = reader.sessions_named(name)?;
    sessions.retain(|(_, source, _)| sources.contains(source));
    let numbers: Vec<i64> = sessions.iter().map(|(number, ..)| *number).collect();
    let CallsPart { calls, next } = reader.timeline(&numbers, after, limit)?;
    let series: HashMap<i64, Arc<Series>> = reader.series()?;
    let calls = calls.into_iter().filter_map(|call| {
        let series = Arc::clone(series.get(&call.series)?);
        Some(SeenCall::of_stored(call, name.into(), series))
    });
    let mut part = SessionPart { calls: calls.collect(), next, removed: 0 };
    for number in numbers {
        part.removed = part.removed.saturating_add(reader.calls_removed(number)?);
    }
    Ok(part)
}

/// They are looked for from the last usage back, over ever longer times: most accounts have them in the
/// last hours.
fn latest_of_clickhouse(reading: &Reading, limit: u32) -> Result<Vec<SeenCall>> {
    let Some((first, last)) = reading.summary()?.span else { return Ok(Vec::new()) };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut within = LATEST_WITHIN_MS;
    loop {
        let from = UnixMs(last.0.saturating_sub(within));
        let question = RecordsQuestion {
            from,
            is_latest_first: true,
            ..RecordsQuestion::of("", Kind::Calls, limit)
        };
        let records = reading.records(&question)?;
        if records.len() >= limit || from <= first {
            return Ok(records.into_iter().filter_map(SeenCall::of_record).collect());
        }
        within = within.saturating_mul(LATEST_WIDER);
    }
}
