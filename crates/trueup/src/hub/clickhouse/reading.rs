//! A tenant's account on ClickHouse, as questions see it.
//!
//! Every shard is asked, all at once, and has a part of each answer; where one of them does not answer
//! there is no answer at all, and never a part of one. What was acknowledged is in it: days whose sums are
//! behind are looked for first, and read from their calls.
//!
//! ```text
//! question 1   which days lack something → what there is in all → sums
//! question 2   which days lack something ┐
//!              what there is in all      ┴ nothing happened since question 1: it holds → sums
//! ```

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use tokio::sync::Semaphore;
use trueup_clickhouse::rollup::{Marked, marked, marks, marks_of, saying_of};
use trueup_clickhouse::{
    Apart, Block, Cut, Day, DeviceState, FailedCalls, Kind, KnownSeries, Name, NativeError, Record,
    RecordsQuestion, Row, SamplesFolded, Statement, Usage, UsageQuestion, Width, count, count_of,
    device_of, devices, failed, failed_of, folded, folded_of, known_devices, record_of, records,
    summary, summary_of, taken, taken_of, usage,
};
use trueup_core::report::Window;
use trueup_core::{DAY_MS, FactId, QUARTER_MS, Text, UnixMs};
use trueup_ledger::{Device, DeviceLedger, SAMPLED};

use super::client::{Answer, Client};
use crate::cli::{Nothing, WrongUsage};

/// Sums that one shard says at most: they are held.
const SUMS_MAX: usize = 250_000;
/// Days of a window that are looked at for edges though there may be no usage in them.
const DAYS_MAX: i64 = 1_000;
/// Days of a shard that are read from their calls at most.
const UNSUMMED_MAX: usize = 4_000;

/// Whose account it is, and where.
#[derive(Clone)]
pub(crate) struct Tenant {
    client: Arc<Client>,
    name: Text,
    /// A permit for each question of any tenant that may be answered at once.
    questions: Arc<Semaphore>,
    /// What each shard said last of its days, if it was asked.
    marked: Arc<Mutex<Vec<Said>>>,
}

/// What was said of the days of a shard, and by which replica.
#[derive(Debug, Clone)]
struct Said {
    marked: Arc<Marked>,
    replica: usize,
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.name, self.client.address)
    }
}

impl Tenant {
    pub(super) fn new(client: Arc<Client>, name: Text, questions: Arc<Semaphore>) -> Self {
        Self { client, name, questions, marked: Arc::default() }
    }

    /// The permits of questions.
    pub(crate) fn questions(&self) -> Arc<Semaphore> {
        Arc::clone(&self.questions)
    }

    /// What one question sees, confined to a device where one is asked for.
    pub(crate) fn reading(&self, device: Option<&str>) -> Result<Reading> {
        let reading = Reading {
            tenant: self.clone(),
            device: RefCell::default(),
            is_by_device: false,
            unsummed: OnceCell::new(),
            summary: RefCell::default(),
        };
        if let Some(device) = device {
            reading.only(device)?;
        }
        Ok(reading)
    }

    /// How often calls were written, by whichever hub: another number where there are new ones.
    pub(crate) fn marks(&self) -> Result<u64> {
        let told = self.of_shards(|_| marks(&self.name), marks_of)?;
        Ok(told.into_iter().flatten().fold(0, u64::wrapping_add))
    }

    /// The devices, by name. Which words were known before is not known of them.
    pub(crate) fn devices(&self) -> Result<Vec<Device>> {
        let states = self.states()?;
        let taken = self.of_first(&taken(&self.name), taken_of)?;
        let mut batches: BTreeMap<[Text; 3], _> = taken.into_iter().collect();
        let mut all: Vec<Device> = Vec::new();
        for state in states {
            let key = [&state.device, &state.sender.ledger, &state.sender.epoch].map(Text::clone);
            let taken = batches.remove(&key).unwrap_or_default();
            let first = Some(taken.first_seen).filter(|_| taken.batches > 0);
            let first_seen_at = first.unwrap_or(state.seen).min(state.seen);
            let is_new = all.last().is_none_or(|last| last.name != state.device);
            let ledger = DeviceLedger {
                sender: state.sender,
                first_seen_at,
                last_seen_at: state.seen,
                newest_at: state.newest.max(taken.newest),
                last_seq: state.last_seq.max(taken.last_seq),
                missing: taken.missing,
                batches: taken.batches,
                accepted: taken.words,
                duplicates: 0,
            };
            match all.last_mut().filter(|_| !is_new) {
                Some(device) => {
                    device.first_seen_at = device.first_seen_at.min(first_seen_at);
                    device.ledgers.push(ledger);
                }
                None => all.push(Device {
                    id: 0,
                    name: state.device,
                    first_seen_at,
                    last_seen_at: state.seen,
                    ledgers: vec![ledger],
                }),
            }
        }
        Ok(all)
    }

    /// What devices last said of themselves, by name.
    fn states(&self) -> Result<Vec<DeviceState>> {
        self.of_first(&devices(&self.name), device_of)
    }

    /// Whether there is a device of this name, or any.
    fn knows(&self, device: Option<&str>) -> Result<bool> {
        Ok(!self.of_first(&known_devices(&self.name, device), |_| Ok(()))?.is_empty())
    }

    fn of_first<T>(
        &self,
        statement: &Statement,
        of: impl FnMut(Row<'_>) -> Result<T, NativeError>,
    ) -> Result<Vec<T>> {
        self.client.rows(0, statement, of).context(UNANSWERED)
    }

    /// What was said of the days of each shard when that was asked last; nothing where it was not yet.
    fn said(&self) -> Vec<Said> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is said of them now, which is remembered. Of days that are done with, as far as is known, nothing is.
    fn say(&self, before: &[Said]) -> Result<Vec<Said>> {
        let of_shard =
            |shard: usize| marked(&self.name, before.get(shard).map(|said| &*said.marked));
        let answers = self.answers(of_shard, saying_of)?.into_iter();
        let said = answers
            .map(|Answer { rows, replica }| Said { marked: Arc::new(Marked::of(&rows)), replica });
        let said: Vec<Said> = said.collect();
        self.marked.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&said);
        Ok(said)
    }

    /// The rows that all shards answer.
    fn of_shards<T: Send>(
        &self,
        statement: impl Fn(usize) -> Statement + Sync,
        of: impl Fn(Row<'_>) -> Result<T, NativeError> + Sync,
    ) -> Result<Vec<Vec<T>>> {
        Ok(self.answers(statement, of)?.into_iter().map(|answer| answer.rows).collect())
    }

    /// What all shards answer, and which of their replicas.
    fn answers<T: Send>(
        &self,
        statement: impl Fn(usize) -> Statement + Sync,
        of: impl Fn(Row<'_>) -> Result<T, NativeError> + Sync,
    ) -> Result<Vec<Answer<T>>> {
        self.on_shards(|shard| self.client.rows_of(shard, &statement(shard), &of))
    }

    /// Asks all shards, each by a thread of its own where there are several.
    fn on_shards<T: Send>(&self, ask: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
        let ask = |shard: usize| ask(shard).context(UNANSWERED);
        let shards = self.client.shards();
        if shards == 1 {
            return Ok(vec![ask(0)?]);
        }
        std::thread::scope(|scope| {
            let ask = &ask;
            let asked: Vec<_> = (0..shards).map(|shard| scope.spawn(move || ask(shard))).collect();
            let told = asked.into_iter().map(|thread| match thread.join() {
                Ok(told) => told,
                Err(_) => bail!("a thread that asks the store has ended"),
            });
            told.collect()
        })
    }
}

/// What is said to whoever asked; why is for the log.
const UNANSWERED: &str = "not every shard of the store answers";

/// What is asked about sums that are to be priced.
pub(crate) struct Priced<'a> {
    pub(crate) window: Window,
    /// Within which stretches they lie.
    pub(crate) width_ms: i64,
    /// Where sums may not go on, given from when until when they go; `None` where that is too often.
    pub(crate) spans: &'a dyn Fn(UnixMs, UnixMs) -> Option<Vec<UnixMs>>,
    /// What they are told apart by, beside what prices depend on.
    pub(crate) names: &'a [Name],
}

/// An account as one question sees it.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    tenant: Tenant,
    /// The device that it is confined to.
    device: RefCell<Option<String>>,
    /// Whether sums are told apart by device.
    is_by_device: bool,
    /// The days of each shard that are read from their calls.
    unsummed: OnceCell<Vec<Vec<Day>>>,
    /// What there is in all, once it was asked.
    summary: RefCell<Option<Summary>>,
}

/// What there is in all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    /// The first and the last moment with usage.
    pub(crate) span: Option<(UnixMs, UnixMs)>,
    pub(crate) sources: BTreeSet<Text>,
    /// How much, as it bounds sums.
    bulk: u64,
}

impl Reading {
    /// Confines it to a device.
    pub(crate) fn only(&self, device: &str) -> Result<()> {
        if !self.tenant.knows(Some(device))? {
            bail!(Nothing(format!("there is no device `{device}` in this account")));
        }
        self.confine(Some(device.to_owned()));
        Ok(())
    }

    /// Whether any device told something.
    pub(crate) fn has_devices(&self) -> Result<bool> {
        self.tenant.knows(None)
    }

    fn confine(&self, device: Option<String>) {
        self.device.replace(device);
        self.summary.replace(None);
    }

    /// The same account with sums that are told apart by device, of one where it is asked for.
    pub(crate) fn by_device(&self, device: Option<&str>) -> Self {
        let apart = Self { is_by_device: true, ..self.clone() };
        if let Some(device) = device {
            apart.confine(Some(device.to_owned()));
        }
        apart
    }

    /// Sums over quarters of an hour or days that begin in a window, by time.
    pub(crate) fn by_time(&self, width_ms: i64, window: Window) -> Result<Vec<Usage>> {
        let question =
            UsageQuestion { from: window.from, until: window.until, ..of(width(width_ms)) };
        self.sums(&question)
    }

    /// Sums over what lies in a window, by time: none of them reaches over midnight in UTC, or over one of
    /// the edges that `edges` names of a day, given where that begins in UTC.
    pub(crate) fn between(
        &self,
        window: Window,
        edges: impl FnMut(UnixMs) -> Vec<UnixMs>,
    ) -> Result<Vec<Usage>> {
        let length_ms = window.until.0.saturating_sub(window.from.0);
        let span = if length_ms / DAY_MS > DAYS_MAX {
            self.summary()?.span
        } else {
            Some((window.from, window.until))
        };
        let Some(span) = span else { return Ok(Vec::new()) };
        let cuts = cuts(window, span, edges);
        let (from, until) = (window.from, window.until);
        self.sums(&UsageQuestion { from, until, cuts: &cuts, ..of(Width::Day) })
    }

    /// Sums over sessions, by device, of the quarters of an hour that begin in a window.
    pub(crate) fn by_session(&self, window: Window) -> Result<Vec<Usage>> {
        let (from, until) = (window.from, window.until);
        let question = UsageQuestion {
            from,
            until,
            is_by_session: true,
            is_by_device: true,
            is_by_time: false,
            ..of(Width::Quarter)
        };
        let mut sums = self.sums(&question)?;
        for sum in &mut sums {
            sum.start = sum.times.0;
        }
        Ok(sums)
    }

    /// Sums of the sessions of a name, by device.
    pub(crate) fn of_sessions_named(&self, name: &str) -> Result<Vec<Usage>> {
        let question = UsageQuestion {
            session: Some(name),
            is_by_device: true,
            is_by_time: false,
            ..of(Width::Quarter)
        };
        let mut sums = self.sums(&question)?;
        for sum in &mut sums {
            (sum.start, sum.session) = (sum.times.0, name.into());
        }
        Ok(sums)
    }

    /// Sums that are to be priced, in no order: none reaches over the end of a span.
    pub(crate) fn priced(
        &self,
        asked: &Priced<'_>,
        edges: impl FnMut(UnixMs) -> Vec<UnixMs>,
    ) -> Result<Vec<Usage>> {
        let summary = self.summary()?;
        let Some((first, last)) = summary.span else { return Ok(Vec::new()) };
        let mut window = asked.window;
        if window.until.0.saturating_sub(window.from.0) / DAY_MS > DAYS_MAX {
            // What comes meanwhile is not of the days that are looked at.
            let end = UnixMs(last.floor(DAY_MS).0.saturating_add(DAY_MS));
            let (from, until) = (window.from.max(first.floor(DAY_MS)), window.until.min(end));
            window = Window { from, until };
        }
        let Window { from, until } = window;
        let cuts = match width(asked.width_ms) {
            Width::Quarter => Vec::new(),
            Width::Day => cuts(window, (from, until), edges),
        };
        let spans = (asked.spans)(from, until);
        self.sums(&UsageQuestion {
            from,
            until,
            cuts: &cuts,
            spans: &spans.unwrap_or_default(),
            apart: Apart::Prices(asked.names),
            adding: trueup_clickhouse::Summary::adding(summary.bulk),
            ..of(width(asked.width_ms))
        })
    }

    /// What there is in all, which is asked once.
    pub(crate) fn summary(&self) -> Result<Summary> {
        if let Some(known) = &*self.summary.borrow() {
            return Ok(known.clone());
        }
        let mut all = Summary::default();
        for told in self.summaries()?.into_iter().flat_map(|answer| answer.rows) {
            let (first, last) = all.span.unwrap_or(told.times);
            all.span = Some((first.min(told.times.0), last.max(told.times.1)));
            all.bulk = all.bulk.saturating_add(told.bulk);
            all.sources.insert(told.source);
        }
        self.summary.replace(Some(all.clone()));
        Ok(all)
    }

    /// What the shards say of that. Where it is not known yet which days lack something, both are asked at
    /// once, this as it was right before: where nothing happened since, it still is.
    fn summaries(&self) -> Result<Vec<Answer<trueup_clickhouse::Summary>>> {
        let device = self.device.borrow().clone();
        let (tenant, device) = (&self.tenant, device.as_deref());
        let asked = |unsummed: &[Vec<Day>]| {
            let of_shard = |shard: usize| {
                let unsummed = unsummed.get(shard).map_or(&[][..], Vec::as_slice);
                summary(&tenant.name, device, unsummed)
            };
            tenant.answers(of_shard, summary_of)
        };
        let before = tenant.said();
        if self.unsummed.get().is_some() || before.is_empty() {
            return asked(self.unsummed()?);
        }
        let lacking = lacking(&before);
        let (said, answers) = std::thread::scope(|scope| {
            let said = scope.spawn(|| tenant.say(&before));
            let answers = asked(&lacking);
            (said.join(), answers)
        });
        let Ok(said) = said else { bail!("a thread that asks the store has ended") };
        let (said, answers) = (said?, answers?);
        let now = self.settle(&said)?;
        let mut shards = said.iter().zip(&before).zip(answers.iter().zip(&lacking));
        let is_settled = shards.all(|((now, before), (answer, lacking))| {
            let is_of_one = now.replica == before.replica && answer.replica == before.replica;
            is_of_one && now.marked.is_settled_since(&before.marked, lacking)
        });
        if is_settled { Ok(answers) } else { asked(now) }
    }

    /// Asks all shards, each of which has other days that are read from their calls.
    fn sums(&self, question: &UsageQuestion<'_>) -> Result<Vec<Usage>> {
        let device = self.device.borrow();
        let devices: Vec<&str> = device.iter().map(String::as_str).collect();
        let question = UsageQuestion {
            tenant: &self.tenant.name,
            devices: &devices,
            is_by_device: question.is_by_device || self.is_by_device,
            limit: SUMS_MAX + 1,
            ..question.clone()
        };
        let unsummed = self.unsummed()?;
        let of_shard = |shard: usize| {
            let unsummed = unsummed.get(shard).map_or(&[][..], Vec::as_slice);
            usage(&UsageQuestion { unsummed, ..question.clone() })
        };
        let known = Mutex::new(KnownSeries::default());
        let of_block = |block: &Block, sums: &mut Vec<Usage>| {
            sums.reserve(block.rows());
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.read(&question, block, &mut |sum| sums.push(sum))
        };
        let client = &self.tenant.client;
        let told =
            self.tenant.on_shards(|shard| client.of_blocks(shard, &of_shard(shard), of_block))?;
        if told.iter().map(Vec::len).sum::<usize>() > SUMS_MAX {
            let words = "this is more than is read at once: ask for fewer days, or wider buckets";
            bail!(WrongUsage(words.to_owned()));
        }
        let mut sums: Vec<Usage> = told.into_iter().flatten().collect();
        if question.apart == Apart::Series {
            // Whoever asks again is told the same in the same order.
            sums.sort_by(|one, other| {
                (one.start, &one.session, &one.series).cmp(&(
                    other.start,
                    &other.session,
                    &other.series,
                ))
            });
        }
        Ok(sums)
    }

    /// The days of each shard whose sums lack something: what was acknowledged before this is asked is in
    /// the sums of all others.
    fn unsummed(&self) -> Result<&[Vec<Day>]> {
        match self.unsummed.get() {
            Some(days) => Ok(days),
            None => self.settle(&self.tenant.say(&self.tenant.said())?),
        }
    }

    fn settle(&self, said: &[Said]) -> Result<&[Vec<Day>]> {
        let days = lacking(said);
        if days.iter().any(|days| days.len() >= UNSUMMED_MAX) {
            bail!("the sums of too many days are still to be worked out");
        }
        Ok(self.unsummed.get_or_init(|| days))
    }

    /// Facts by their ids, in the order that is asked for; the first of all shards.
    pub(crate) fn records(&self, question: &RecordsQuestion<'_>) -> Result<Vec<Record>> {
        let mut all = self.on_records(question, records, |row| record_of(question.kind, row))?;
        all.sort_unstable_by_key(|record| record.id);
        if question.is_latest_first {
            all.reverse();
        }
        all.truncate(question.limit);
        Ok(all)
    }

    /// How many facts there are.
    pub(crate) fn count(&self, question: &RecordsQuestion<'_>) -> Result<u64> {
        Ok(self.on_records(question, count, count_of)?.into_iter().sum())
    }

    /// When the first fact of a kind was.
    pub(crate) fn first(&self, kind: Kind) -> Result<Option<UnixMs>> {
        let first = self.records(&RecordsQuestion::of("", kind, 1))?;
        Ok(first.first().map(|record| record.id.time()))
    }

    /// Why calls failed, and whether some reasons are left out.
    pub(crate) fn failed(&self, window: Window, limit: usize) -> Result<(Vec<FailedCalls>, bool)> {
        let (from, until) = (window.from, window.until);
        let question =
            RecordsQuestion { from, until, ..RecordsQuestion::of("", Kind::Calls, limit) };
        let failed = self.on_records(&question, failed, failed_of)?;
        let is_cut = failed.len() >= limit;
        Ok((failed, is_cut))
    }

    /// Samples folded by stretches that follow each other.
    pub(crate) fn folded(&self, stretches: &[(UnixMs, UnixMs)]) -> Result<Vec<SamplesFolded>> {
        let starts: Vec<UnixMs> = stretches.iter().map(|(start, _)| *start).collect();
        let (Some((from, _)), Some((_, until))) = (stretches.first(), stretches.last()) else {
            return Ok(Vec::new());
        };
        let (from, until) = (*from, *until);
        let question = RecordsQuestion { from, until, ..RecordsQuestion::of("", Kind::Hosts, 0) };
        let of_question = |question: &RecordsQuestion<'_>| folded(question, &starts, &SAMPLED);
        self.on_records(&question, of_question, folded_of)
    }

    fn on_records<T: Send>(
        &self,
        question: &RecordsQuestion<'_>,
        statement: impl Fn(&RecordsQuestion<'_>) -> Statement,
        of: impl Fn(Row<'_>) -> Result<T, NativeError> + Sync,
    ) -> Result<Vec<T>> {
        let device = self.device.borrow();
        let devices: Vec<&str> = device.iter().map(String::as_str).collect();
        let tenant = &*self.tenant.name;
        let statement =
            statement(&RecordsQuestion { tenant, devices: &devices, ..question.clone() });
        Ok(self.tenant.of_shards(|_| statement.clone(), of)?.into_iter().flatten().collect())
    }
}

/// The days of each shard that lack something.
fn lacking(said: &[Said]) -> Vec<Vec<Day>> {
    said.iter().map(|said| said.marked.lacking()).collect()
}

/// The widest stretches that are no wider than asked for.
const fn width(width_ms: i64) -> Width {
    if width_ms < DAY_MS { Width::Quarter } else { Width::Day }
}

/// A question about sums; whose, is filled in.
const fn of(width: Width) -> UsageQuestion<'static> {
    UsageQuestion::of("", width)
}

/// Where the days of a window are cut.
fn cuts(
    window: Window,
    (first, last): (UnixMs, UnixMs),
    mut edges: impl FnMut(UnixMs) -> Vec<UnixMs>,
) -> Vec<Cut> {
    let from = window.from.max(first).floor(DAY_MS);
    let until = window.until.min(UnixMs(last.0.saturating_add(1)));
    let days: Range<i64> =
        from.0.div_euclid(DAY_MS)..until.0.saturating_sub(1).div_euclid(DAY_MS) + 1;
    let cut = days.filter_map(|day| {
        let start = UnixMs(day.saturating_mul(DAY_MS));
        let ends = [window.from, window.until];
        let quarter = |edge: UnixMs| {
            let quarter = edge.0.checked_sub(start.0)?.div_euclid(QUARTER_MS);
            u8::try_from(quarter).ok().filter(|quarter| (1..QUARTERS).contains(quarter))
        };
        let mut quarters: Vec<u8> =
            edges(start).into_iter().chain(ends).filter_map(quarter).collect();
        quarters.sort_unstable();
        quarters.dedup();
        Some((Day::of(start)?, quarters)).filter(|(_, quarters)| !quarters.is_empty())
    });
    Cut::joined(cut)
}

/// Quarters of an hour in a day.
const QUARTERS: u8 = 96;

/// Which facts lie between two ids.
pub(crate) fn between(
    kind: Kind,
    from: FactId,
    until: FactId,
    limit: usize,
) -> RecordsQuestion<'static> {
    RecordsQuestion {
        from: from.time(),
        until: UnixMs(until.time().0.saturating_add(1)),
        after: Some(until),
        is_latest_first: true,
        ..RecordsQuestion::of("", kind, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMs {
        UnixMs::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn days_are_cut_at_edges_and_at_the_ends_of_a_window() {
        let span = (at("2026-11-01T10:00:00Z"), at("2026-11-05T10:00:00Z"));
        let none = |_| Vec::new();
        assert_eq!(cuts(Window::ALL, span, none), []);
        let at_six = |day: UnixMs| vec![UnixMs(day.0 + DAY_MS / 4)];
        let day = |text: &str| Day::of(at(text)).unwrap();
        let (first, last) = (day("2026-11-01T00:00:00Z"), day("2026-11-05T00:00:00Z"));
        let run = |first, last, quarters: &[u8]| Cut { first, last, quarters: quarters.to_vec() };
        assert_eq!(cuts(Window::ALL, span, at_six), [run(first, last, &[24])]);
        let window = Window { from: at("2026-11-02T01:00:00Z"), until: at("2026-11-04T00:00:00Z") };
        let second = first.ahead(1);
        assert_eq!(cuts(window, span, none), [run(second, second, &[4])]);
        let third = first.ahead(2);
        assert_eq!(
            cuts(window, span, at_six),
            [run(second, second, &[4, 24]), run(third, third, &[24])]
        );
    }
}
