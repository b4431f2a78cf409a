//! Writes the facts of one transaction, so that each counts once.
//!
//! Copies of a call are settled among themselves first, then against what the file knows. Only what
//! really counts touches the tables and the sums.

pub(crate) mod claims;
mod drop_device;
mod drop_source;
mod metered;
mod twins;
pub(crate) mod words;

use std::collections::BTreeSet;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use trueup_core::{
    Batch, Call, CallBody, Counters, CustomEvent, ErrorEvent, Fact, FactId, HostMetric, Key,
    NanoUsd, Outcome, Quota, Rank, UnixMs, Variant, Verdict, settle,
};

pub(crate) use drop_source::{drop_source, lost};

use crate::anew::is_told_anew;
use crate::intern::{Names, Numbers};
use crate::rollup::{Changes, KnownSums, Place};
use crate::row::{signed, token_values, tokens_of_row};
use twins::Twins;

/// What was written of some facts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) added: u64,
    pub(crate) replaced: u64,
    pub(crate) known: u64,
    /// Those of the added that are claims.
    pub(crate) claims: u64,
}

/// The number of a kind of row in the outbox.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Call = 0,
    Error = 1,
    Event = 2,
    Host = 3,
    /// A call that was sent, or may have been, and no longer counts.
    TakenBack = 4,
}

/// What is remembered of the file from one transaction to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    names: Names,
    sums: KnownSums,
    /// Whether telemetry has told of any call; nothing until it is asked for.
    has_told: Option<bool>,
    /// Whether copies that do not count are taken back; nothing until it is asked for.
    is_anew: Option<bool>,
}

impl Memory {
    /// Forgets everything: after a rollback the file is as it was before.
    pub(crate) fn clear(&mut self) {
        self.names.clear();
        self.sums.clear();
        self.has_told = None;
        self.is_anew = None;
    }
}

/// One transaction's work on the account.
pub(crate) struct Account<'a> {
    database: &'a Connection,
    hot: Hot<'a>,
    names: &'a mut Names,
    sums: &'a mut KnownSums,
    has_told: &'a mut Option<bool>,
    has_outbox: bool,
    /// Copies that do not count may have been told before an older copy of the file was put back.
    is_anew: bool,
    changes: Changes,
    /// Sessions whose claims must be held against their calls.
    unsettled: BTreeSet<i64>,
    twins: Twins,
    /// Whether there are rows of counters that were not there before.
    has_metered_more: bool,
    now: UnixMs,
    written: Written,
    /// Who tells; 0 for this machine.
    device: i64,
}

/// The statements that run for every call: prepared once in a transaction.
struct Hot<'a> {
    counted: CachedStatement<'a>,
    remember: CachedStatement<'a>,
    cover: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    insert_body: CachedStatement<'a>,
}

impl<'a> Account<'a> {
    pub(crate) fn new(
        database: &'a Connection,
        memory: &'a mut Memory,
        has_outbox: bool,
        now: UnixMs,
    ) -> rusqlite::Result<Self> {
        memory.names.be_of(0);
        let hot = Hot {
            counted: database
                .prepare_cached("SELECT variant, rank, id FROM fact_keys WHERE key = ?1")?,
            remember: database.prepare_cached(
                "INSERT INTO fact_keys (key, variant, rank, id) VALUES (?1, ?2, ?3, ?4)",
            )?,
            cover: database
                .prepare_cached("INSERT OR IGNORE INTO covered_calls (twin) VALUES (?1)")?,
            insert: database.prepare_cached(
                "INSERT INTO llm_calls (id, created_at, series, session, input, cache_read,
                 cache_write_5m, cache_write_1h, cache_write, output, reasoning,
                 reported_cost_nanousd, latency_ms, time_to_first_token_ms, error_type,
                 client_trace_id, claimed_session)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            )?,
            insert_body: database.prepare_cached(
                "INSERT OR REPLACE INTO llm_trace_texts (id, input_text, output_text, is_text_cut, metadata)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
        };
        let is_anew = match memory.is_anew {
            Some(known) => known,
            None => *memory.is_anew.insert(is_told_anew(database)?),
        };
        Ok(Self {
            database,
            hot,
            names: &mut memory.names,
            sums: &mut memory.sums,
            has_told: &mut memory.has_told,
            has_outbox,
            is_anew,
            changes: Changes::default(),
            unsettled: BTreeSet::new(),
            twins: Twins::default(),
            has_metered_more: false,
            now,
            written: Written::default(),
            device: 0,
        })
    }

    pub(crate) fn batches(&mut self, batches: &[&Batch]) -> rusqlite::Result<()> {
        let mut calls = Vec::new();
        for fact in batches.iter().flat_map(|batch| &batch.facts) {
            match fact {
                Fact::Call(call) => calls.push(&**call),
                Fact::Error(error) => self.error(error)?,
                Fact::Event(event) => self.event(event)?,
                Fact::Host(host) => self.host(host)?,
                Fact::SessionTotal(claim) => self.claim(claim)?,
                Fact::Quota(quota) => self.quota(quota)?,
                Fact::Metered(metered) => self.metered(metered)?,
            }
        }
        // Each table is walked in its own order, so that a batch touches each of its pages once. What is
        // covered comes first: a call and what covers it may come together.
        self.cover(&calls)?;
        let mut copies: BTreeSet<(Key, FactId)> = BTreeSet::new();
        if self.is_anew {
            copies.extend(batches.iter().flat_map(|batch| &batch.copies));
            copies.extend(calls.iter().map(|call| (call.key, call.id())));
        }
        let (calls, known) = settled(calls);
        self.written.known += known;
        let mut new = Vec::with_capacity(calls.len());
        for call in calls {
            if self.takes(call)? {
                new.push((call.id(), call));
            }
        }
        self.take_back(copies)?;
        new.sort_unstable_by_key(|(id, _)| *id);
        new.into_iter().try_for_each(|(id, call)| self.insert_call(id, call))
    }

    /// Brings the sums up to the facts; the last step of the transaction.
    pub(crate) fn finish(mut self) -> rusqlite::Result<Written> {
        self.settle_claims()?;
        self.tell_sessions()?;
        self.bound_metered()?;
        self.changes.write(self.database, self.sums)?;
        Ok(self.written)
    }

    /// Whether a call counts, given the copies of it that count already. It is remembered, and what
    /// it displaces is taken out.
    fn takes(&mut self, call: &Call) -> rusqlite::Result<bool> {
        if call.id().is_of_itself(call.key) {
            self.written.added += 1;
            return Ok(true);
        }
        let counted = self.counted(call.key)?;
        let ranks: Vec<_> = counted.iter().map(|(variant, rank, _)| (*variant, *rank)).collect();
        let displaced = match settle(&ranks, call.variant, call.rank) {
            Verdict::Ignore => {
                self.written.known += 1;
                return Ok(false);
            }
            Verdict::Add => &[],
            Verdict::Replace(at) => counted.get(at..=at).unwrap_or_default(),
            Verdict::ReplaceAll => &counted,
        };
        if !self.are_there(displaced)? || self.is_stood_in_for(call) {
            self.written.known += 1;
            return Ok(false);
        }
        self.displace(call, displaced)?;
        self.remember(call.key, call.variant, call.rank, call.id())?;
        if let Some(twin) = call.twin
            && self.is_covered(call, twin, displaced)?
        {
            self.written.known += 1;
            return Ok(false);
        }
        if displaced.is_empty() {
            self.written.added += 1;
        } else {
            self.written.replaced += 1;
        }
        Ok(true)
    }

    /// Takes those of these copies back that do not count: they may have been told before an older copy of
    /// the file was put in its place. Whether one counts is known by its key, also where its row has gone.
    fn take_back(&mut self, copies: BTreeSet<(Key, FactId)>) -> rusqlite::Result<()> {
        for (key, id) in copies.into_iter().filter(|(key, id)| !id.is_of_itself(*key)) {
            if !self.counted(key)?.iter().any(|(_, _, counted)| *counted == id) {
                self.queue(Kind::TakenBack, id)?;
            }
        }
        Ok(())
    }

    /// Whether retention has left the rows of these copies: what it took stays counted as it was, and
    /// cannot be amended.
    fn are_there(&self, copies: &[(Variant, Rank, FactId)]) -> rusqlite::Result<bool> {
        let mut is_there = self.database.prepare_cached("SELECT 1 FROM llm_calls WHERE id = ?1")?;
        for (_, _, id) in copies {
            if !is_there.exists([id.0])? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn counted(&mut self, key: Key) -> rusqlite::Result<Vec<(Variant, Rank, FactId)>> {
        self.hot
            .counted
            .query_map([key.0], |row| {
                let rank = Rank(u128::from_be_bytes(row.get(1)?));
                Ok((Variant(row.get(0)?), rank, FactId(row.get(2)?)))
            })?
            .collect()
    }

    /// Takes copies out of the account.
    fn displace(&mut self, by: &Call, copies: &[(Variant, Rank, FactId)]) -> rusqlite::Result<()> {
        for (variant, _, id) in copies {
            self.remove_call(*id)?;
            // Under the same id the better copy takes the place of the other at the receiver, too.
            if *id != by.id() {
                self.queue(Kind::TakenBack, *id)?;
            }
            self.database
                .prepare_cached("DELETE FROM fact_keys WHERE key = ?1 AND variant = ?2")?
                .execute(params![by.key.0, variant.0])?;
        }
        Ok(())
    }

    fn insert_call(&mut self, id: FactId, call: &Call) -> rusqlite::Result<()> {
        let numbers = self.names.of_call(self.database, call)?;
        self.insert_numbered(id, call, numbers)
    }

    fn insert_numbered(
        &mut self,
        id: FactId,
        call: &Call,
        numbers: Numbers,
    ) -> rusqlite::Result<()> {
        let Numbers { series, session, claimed_session } = numbers;
        let [input, cache_read, write_5m, write_1h, write, output, reasoning] =
            token_values(&call.tokens);
        let error_type = match &call.outcome {
            Outcome::Ok => None,
            Outcome::Failed { error_type } => Some(&**error_type),
        };
        self.hot.insert.execute(params![
            id.0,
            call.time.0,
            series,
            session,
            input,
            cache_read,
            write_5m,
            write_1h,
            write,
            output,
            reasoning,
            call.reported_cost.map(|cost| cost.0),
            call.latency_ms,
            call.time_to_first_token_ms,
            error_type,
            call.trace_id.as_deref(),
            claimed_session,
        ])?;
        if let Some(body) = &call.body {
            self.insert_body(id, body)?;
        }
        self.queue(Kind::Call, id)?;
        self.may_cover(session)?;
        let place = Place { series, session, time: call.time };
        self.changes.add(place, &Counters::of_call(call));
        Ok(())
    }

    fn insert_body(&mut self, id: FactId, body: &CallBody) -> rusqlite::Result<()> {
        let CallBody { input_text, output_text, is_text_cut, metadata } = body;
        self.hot.insert_body.execute(params![
            id.0,
            input_text,
            output_text,
            is_text_cut,
            metadata
        ])?;
        Ok(())
    }

    fn remember(
        &mut self,
        key: Key,
        variant: Variant,
        rank: Rank,
        id: FactId,
    ) -> rusqlite::Result<()> {
        self.hot.remember.execute(params![key.0, variant.0, rank.0.to_be_bytes(), id.0])?;
        Ok(())
    }

    /// Takes a call out of the account, where it is still there.
    fn remove_call(&mut self, id: FactId) -> rusqlite::Result<()> {
        let found = self
            .database
            .prepare_cached(
                "SELECT series, session, created_at, error_type IS NOT NULL,
                 coalesce(reported_cost_nanousd, 0), input, cache_read, cache_write_5m,
                 cache_write_1h, cache_write, output, reasoning FROM llm_calls WHERE id = ?1",
            )?
            .query_row([id.0], |row| {
                let place =
                    Place { series: row.get(0)?, session: row.get(1)?, time: UnixMs(row.get(2)?) };
                let counters = Counters {
                    calls: 1,
                    errors: u64::from(row.get::<_, bool>(3)?),
                    reported_cost: NanoUsd(row.get(4)?),
                    tokens: tokens_of_row(row, 5)?,
                };
                Ok((place, counters))
            })
            .optional()?;
        let Some((place, counters)) = found else { return Ok(()) };
        self.changes.remove(place, &counters);
        for statement in
            ["DELETE FROM llm_calls WHERE id = ?1", "DELETE FROM llm_trace_texts WHERE id = ?1"]
        {
            self.database.prepare_cached(statement)?.execute([id.0])?;
        }
        Ok(())
    }

    /// Whether a fact of this key is new; it is remembered either way.
    fn is_first(&mut self, key: Key, id: FactId) -> rusqlite::Result<bool> {
        if id.is_of_itself(key) {
            self.written.added += 1;
            return Ok(true);
        }
        let is_first = self
            .database
            .prepare_cached(
                "INSERT OR IGNORE INTO fact_keys (key, variant, rank, id) VALUES (?1, 0, x'00', ?2)",
            )?
            .execute(params![key.0, id.0])?
            > 0;
        if is_first {
            self.written.added += 1;
        } else {
            self.written.known += 1;
        }
        Ok(is_first)
    }

    fn queue(&self, kind: Kind, id: FactId) -> rusqlite::Result<()> {
        if self.has_outbox {
            self.database
                .prepare_cached("INSERT INTO outbox (kind, id) VALUES (?1, ?2)")?
                .execute(params![kind as i64, id.0])?;
        }
        Ok(())
    }

    fn error(&mut self, error: &ErrorEvent) -> rusqlite::Result<()> {
        let id = FactId::new(error.time, error.key);
        if !self.is_first(error.key, id)? {
            return Ok(());
        }
        self.database
            .prepare_cached(
                "INSERT INTO error_events (id, created_at, source, session, error_type, message,
                 stack_trace, severity, metadata, client_trace_id, device)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                id.0,
                error.time.0,
                &*error.source,
                &*error.session,
                &*error.error_type,
                error.message,
                error.stack_trace,
                &*error.severity,
                error.metadata,
                error.trace_id.as_deref(),
                self.device,
            ])?;
        self.queue(Kind::Error, id)
    }

    fn event(&mut self, event: &CustomEvent) -> rusqlite::Result<()> {
        let id = FactId::new(event.time, event.key);
        if !self.is_first(event.key, id)? {
            return Ok(());
        }
        self.database
            .prepare_cached(
                "INSERT INTO custom_events (id, created_at, source, session, name, metadata,
                 client_trace_id, device) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                id.0,
                event.time.0,
                &*event.source,
                &*event.session,
                &*event.name,
                event.metadata,
                event.trace_id.as_deref(),
                self.device,
            ])?;
        self.queue(Kind::Event, id)
    }

    fn host(&mut self, host: &HostMetric) -> rusqlite::Result<()> {
        let id = FactId::new(host.time, host.key);
        if !self.is_first(host.key, id)? {
            return Ok(());
        }
        self.database
            .prepare_cached(
                "INSERT INTO system_metrics (id, created_at, scope, cpu_millipercent,
                 cpu_capacity_millicores, mem_rss_bytes, mem_working_set_bytes, mem_limit_bytes,
                 cpu_some_millipercent, cpu_full_millipercent, mem_some_millipercent,
                 mem_full_millipercent, io_some_millipercent, io_full_millipercent,
                 disk_used_bytes, disk_available_bytes, disk_total_bytes,
                 disk_read_bytes_per_second, disk_write_bytes_per_second,
                 net_rx_bytes_per_second, net_tx_bytes_per_second,
                 processes, threads, zombies, oom_kills, metadata, device)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                 ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27)",
            )?
            .execute(params![
                id.0,
                host.time.0,
                &*host.scope,
                host.cpu_millipercent,
                host.cpu_capacity_millicores.map(signed),
                host.mem_rss_bytes.map(signed),
                host.mem_working_set_bytes.map(signed),
                host.mem_limit_bytes.map(signed),
                host.cpu_pressure.some_millipercent,
                host.cpu_pressure.full_millipercent,
                host.mem_pressure.some_millipercent,
                host.mem_pressure.full_millipercent,
                host.io_pressure.some_millipercent,
                host.io_pressure.full_millipercent,
                host.disk_used_bytes.map(signed),
                host.disk_available_bytes.map(signed),
                host.disk_total_bytes.map(signed),
                host.disk_read_bytes_per_second.map(signed),
                host.disk_write_bytes_per_second.map(signed),
                host.net_rx_bytes_per_second.map(signed),
                host.net_tx_bytes_per_second.map(signed),
                host.processes.map(signed),
                host.threads.map(signed),
                host.zombies.map(signed),
                host.oom_kills.map(signed),
                host.metadata,
                self.device,
            ])?;
        self.queue(Kind::Host, id)
    }

    fn quota(&self, quota: &Quota) -> rusqlite::Result<()> {
        self.database
            .prepare_cached(
                "INSERT INTO quotas (source, window_minutes, observed_at, used_millipercent, resets_at, plan)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (source, window_minutes) DO UPDATE SET observed_at = excluded.observed_at,
                 used_millipercent = excluded.used_millipercent, resets_at = excluded.resets_at,
                 plan = excluded.plan WHERE excluded.observed_at > observed_at",
            )?
            .execute(params![
                &*quota.source,
                quota.window_minutes,
                quota.time.0,
                quota.used_millipercent,
                quota.resets_at.map(|time| time.0),
                &*quota.plan,
            ])?;
        Ok(())
    }
}

/// The calls that count among themselves, in the order of their keys, and how many copies of them there
/// were.
fn settled(mut calls: Vec<&Call>) -> (Vec<&Call>, u64) {
    calls.sort_by_key(|call| call.key);
    let mut counted = Vec::with_capacity(calls.len());
    for copies in calls.chunk_by(|one, next| one.key == next.key) {
        match copies {
            [only] => counted.push(*only),
            copies => counted.extend(settled_copies(copies)),
        }
    }
    let copies = (calls.len() - counted.len()) as u64;
    (counted, copies)
}

/// Those that count of calls that share a key.
fn settled_copies<'c>(copies: &[&'c Call]) -> Vec<&'c Call> {
    let mut counted: Vec<&Call> = Vec::new();
    for call in copies {
        let ranks: Vec<_> = counted.iter().map(|call| (call.variant, call.rank)).collect();
        match settle(&ranks, call.variant, call.rank) {
            Verdict::Ignore => {}
            Verdict::Add => counted.push(call),
            Verdict::Replace(at) => {
                if let Some(old) = counted.get_mut(at) {
                    *old = call;
                }
            }
            Verdict::ReplaceAll => counted = vec![call],
        }
    }
    counted
}
