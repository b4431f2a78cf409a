//! An account in memory: what a ledger keeps, for machines that cannot be written to.
//!
//! The same facts in any order give the same account as the ledger would hold. Twins are not looked at: all
//! that comes here is read from files, and nothing covers that. Rows are kept small:
//! a gigabyte of sessions is some tens of thousands of calls.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use crate::{
    Batch, Call, ClaimedRun, Counters, Fact, Key, MeasuredCall, NanoUsd, Origin, Outcome, Problem,
    Quota, Rank, Series, SessionTotal, StoreId, Text, Tokens, UnixMs, Variant, Verdict, covered,
    settle,
};

/// Calls that count, each once.
#[derive(Debug, Default)]
pub struct Account {
    /// The first row of each key; further variants of it follow by `Row::next`.
    by_key: HashMap<Key, u32, BuildHasherDefault<KeyHasher>>,
    rows: Rows,
    series: Names<Arc<Series>>,
    sessions: Names<(Text, Text)>,
    /// Claimed runs, by their keys.
    claims: BTreeMap<Key, Claim>,
    problems: Vec<(StoreId, Problem)>,
    quotas: HashMap<(Text, u32), Quota>,
}

/// One claimed run.
#[derive(Debug, Clone)]
struct Claim {
    run: ClaimedRun,
    counters: Counters,
    series: u32,
    session: u32,
    /// The session that its own is a copy of.
    parent: Option<u32>,
}

#[derive(Debug, Clone)]
struct Row {
    rank: Rank,
    variant: Variant,
    time: UnixMs,
    tokens: Tokens,
    reported_cost: NanoUsd,
    series: u32,
    session: u32,
    /// The row of the key's next variant.
    next: Option<u32>,
    is_failed: bool,
    /// Whether a row of higher standing has taken its place.
    is_displaced: bool,
}

/// Rows by their number, in chunks: one piece would be copied whenever it grows, and double.
#[derive(Debug, Default)]
struct Rows(Vec<Vec<Row>>);

impl Rows {
    const CHUNK: usize = 1_024;

    fn get(&self, place: u32) -> Option<&Row> {
        let place = place as usize;
        self.0.get(place / Self::CHUNK)?.get(place % Self::CHUNK)
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Row> {
        let place = place as usize;
        self.0.get_mut(place / Self::CHUNK)?.get_mut(place % Self::CHUNK)
    }

    /// The number of the next row.
    fn next(&self) -> u32 {
        let full = self.0.len().saturating_sub(1) * Self::CHUNK;
        index(full + self.0.last().map_or(0, Vec::len))
    }

    fn push(&mut self, row: Row) {
        match self.0.last_mut() {
            Some(chunk) if chunk.len() < Self::CHUNK => chunk.push(row),
            _ => {
                let mut chunk = Vec::with_capacity(Self::CHUNK);
                chunk.push(row);
                self.0.push(chunk);
            }
        }
    }

    /// The rows that count.
    fn counted(&self) -> impl Iterator<Item = &Row> {
        self.0.iter().flatten().filter(|row| !row.is_displaced)
    }
}

/// Values by number, and back.
#[derive(Debug)]
struct Names<T> {
    numbers: HashMap<T, u32, BuildHasherDefault<NameHasher>>,
    values: Vec<T>,
    /// The numbers that were asked for last, the last first.
    recent: VecDeque<u32>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { numbers: HashMap::default(), values: Vec::new(), recent: VecDeque::new() }
    }
}

impl<T: Clone + Eq + Hash> Names<T> {
    /// Numbers that are looked at before a value is made: a session's calls are of a few series.
    const RECENT: usize = 6;

    /// The number of a value that `make` makes, unless `is_it` knows it: calls come in runs that share
    /// theirs.
    fn number(&mut self, is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> u32 {
        let known = self.recent.iter().position(|number| self.value(*number).is_some_and(&is_it));
        let number = known.and_then(|at| self.recent.remove(at)).unwrap_or_else(|| {
            self.recent.truncate(Self::RECENT - 1);
            let value = make();
            self.numbers.get(&value).copied().unwrap_or_else(|| {
                let number = index(self.values.len());
                self.values.push(value.clone());
                self.numbers.insert(value, number);
                number
            })
        });
        self.recent.push_front(number);
        number
    }

    fn value(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)
    }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Takes the last bytes of a key for its hash: a key is one already.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*last);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Mixes the words of a name: quicker than what withstands those who choose names that collide, and nobody
/// does so in their own account.
#[derive(Debug, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(size_of::<u64>()) {
            let word = part.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
            self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

/// One counted call.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    /// When it was answered.
    pub time: UnixMs,
    /// What it belongs to.
    pub series: &'a Arc<Series>,
    /// The source and the session.
    pub session: &'a (Text, Text),
    /// What it adds.
    pub counters: Counters,
}

impl Account {
    /// Counts what a batch brings. Positions are not kept: there is nothing to go on from.
    pub fn append(&mut self, batch: Batch) {
        for fact in batch.facts {
            match fact {
                Fact::Call(call) => self.call(&call),
                Fact::Quota(quota) => self.quota(*quota),
                Fact::SessionTotal(claim) => self.claim(&claim),
                // What only the daemon is told has no place in a report of what lies on disk.
                Fact::Error(_) | Fact::Event(_) | Fact::Host(_) | Fact::Metered(_) => {}
            }
        }
        self.problems.extend(batch.problems);
    }

    /// Every call that counts, and every claimed run that no call covers, in no particular order.
    pub fn counted(&self) -> impl Iterator<Item = Counted<'_>> {
        let claims = self.open_claims().into_iter().filter_map(|claim| {
            Some(Counted {
                time: claim.run.time,
                series: self.series.value(claim.series)?,
                session: self.sessions.value(claim.session)?,
                counters: claim.counters,
            })
        });
        self.measured().chain(claims)
    }

    fn measured(&self) -> impl Iterator<Item = Counted<'_>> {
        self.rows.counted().filter_map(|row| {
            Some(Counted {
                time: row.time,
                series: self.series.value(row.series)?,
                session: self.sessions.value(row.session)?,
                counters: Counters {
                    calls: 1,
                    errors: u64::from(row.is_failed),
                    tokens: row.tokens,
                    reported_cost: row.reported_cost,
                },
            })
        })
    }

    /// The claimed runs that no call covers.
    fn open_claims(&self) -> Vec<&Claim> {
        let mut calls: HashMap<u32, Vec<MeasuredCall>> = self
            .claims
            .values()
            .flat_map(|claim| [Some(claim.session), claim.parent])
            .flatten()
            .map(|session| (session, Vec::new()))
            .collect();
        if calls.is_empty() {
            return Vec::new();
        }
        for row in self.rows.counted() {
            if let Some(calls) = calls.get_mut(&row.session) {
                let used = (row.tokens.input, row.tokens.output);
                calls.push(MeasuredCall { time: row.time, used });
            }
        }
        let mut by_session: BTreeMap<u32, Vec<&Claim>> = BTreeMap::new();
        for claim in self.claims.values() {
            by_session.entry(claim.session).or_default().push(claim);
        }
        let mut copies: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for claim in self.claims.values() {
            if let Some(parent) = claim.parent {
                copies.entry(parent).or_default().push(claim.session);
            }
        }
        let mut open = Vec::new();
        for (session, mut claims) in by_session {
            claims.sort_unstable_by_key(|claim| (claim.run.time, claim.run.used));
            let calls_of = |sessions: BTreeSet<u32>| {
                let calls = sessions.iter().filter_map(|session| calls.get(session)).flatten();
                let mut calls: Vec<MeasuredCall> = calls.copied().collect();
                calls.sort_unstable_by_key(|call| call.time);
                calls
            };
            let originals = claims.iter().filter_map(|claim| claim.parent);
            let copies = copies.get(&session).into_iter().flatten().copied();
            let copied = calls_of(originals.chain(copies).collect());
            let runs: Vec<ClaimedRun> = claims.iter().map(|claim| claim.run).collect();
            let covered = covered(&runs, &calls_of(BTreeSet::from([session])), &copied);
            open.extend(
                claims.into_iter().zip(covered).filter(|(_, is)| !is).map(|(claim, _)| claim),
            );
        }
        open
    }

    /// What could not be understood.
    #[must_use]
    pub fn problems(&self) -> &[(StoreId, Problem)] {
        &self.problems
    }

    /// The allowances that providers told agents about.
    pub fn quotas(&self) -> impl Iterator<Item = &Quota> {
        self.quotas.values()
    }

    fn call(&mut self, call: &Call) {
        let ranks: Vec<_> = self
            .places(call.key)
            .filter_map(|place| self.rows.get(place))
            .map(|row| (row.variant, row.rank))
            .collect();
        match settle(&ranks, call.variant, call.rank) {
            Verdict::Ignore => {}
            Verdict::Add => {
                let mut row = self.row(call);
                let place = self.rows.next();
                row.next = self.by_key.insert(call.key, place);
                self.rows.push(row);
            }
            Verdict::Replace(at) => {
                let place = self.places(call.key).nth(at);
                if let Some(place) = place {
                    self.put(place, call);
                }
            }
            Verdict::ReplaceAll => {
                let places: Vec<u32> = self.places(call.key).collect();
                for place in places.iter().skip(1) {
                    if let Some(row) = self.rows.get_mut(*place) {
                        row.is_displaced = true;
                    }
                }
                if let Some(place) = places.first() {
                    self.put(*place, call);
                    if let Some(row) = self.rows.get_mut(*place) {
                        row.next = None;
                    }
                }
            }
        }
    }

    /// Where the counted copies of a key are.
    fn places(&self, key: Key) -> impl Iterator<Item = u32> {
        let first = self.by_key.get(&key).copied();
        std::iter::successors(first, |place| self.rows.get(*place)?.next)
    }

    fn put(&mut self, place: u32, call: &Call) {
        let mut new = self.row(call);
        if let Some(row) = self.rows.get_mut(place) {
            new.next = row.next;
            *row = new;
        }
    }

    fn row(&mut self, call: &Call) -> Row {
        let Origin { source, session, .. } = &call.origin;
        Row {
            rank: call.rank,
            variant: call.variant,
            time: call.time,
            tokens: call.tokens,
            reported_cost: call.reported_cost.unwrap_or_default(),
            series: self.series.number(|last| last.is_of(call), || Series::of_call(call).into()),
            session: self.sessions.number(
                |last| last.0 == *source && last.1 == *session,
                || (Text::clone(source), Text::clone(session)),
            ),
            next: None,
            is_failed: call.outcome != Outcome::Ok,
            is_displaced: false,
        }
    }

    /// A run is claimed again whenever its session's entry is touched: the first claim says when it was.
    fn claim(&mut self, claim: &SessionTotal) {
        if let Some(known) = self.claims.get_mut(&claim.key) {
            known.run.time = known.run.time.min(claim.time);
            return;
        }
        let source = &claim.origin.source;
        let mut session = |name: &Text| {
            let name = (Text::clone(source), Text::clone(name));
            self.sessions.number(|last| *last == name, || name.clone())
        };
        let parent = (!claim.parent.is_empty()).then(|| session(&claim.parent));
        let session = session(&claim.origin.session);
        let series = Series::of_claim(claim);
        let series = self.series.number(|last| **last == series, || series.clone().into());
        let used = (claim.tokens.input, claim.tokens.output);
        let run = ClaimedRun { time: claim.time, started: claim.started, used };
        let counters = Counters::of_claim(claim);
        self.claims.insert(claim.key, Claim { run, counters, series, session, parent });
    }

    fn quota(&mut self, quota: Quota) {
        let name = (Text::clone(&quota.source), quota.window_minutes);
        let is_newer = self.quotas.get(&name).is_none_or(|known| known.time < quota.time);
        if is_newer {
            self.quotas.insert(name, quota);
        }
    }
}
