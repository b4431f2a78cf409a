//! Claimed runs: what counts of them, beside the calls that were measured.
//!
//! Claims are kept whether they count or not. One that calls cover stays covered: retention may take
//! these calls, and their run must not come back as an estimate.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, params};
use trueup_core::{
    ClaimedRun, Counters, FactId, Key, MeasuredCall, NanoUsd, Series, SessionTotal, UnixMs, covered,
};

use super::Account;
use crate::rollup::Place;
use crate::row::{token_values, tokens_of_row};

/// Calls of a session from a time on, where its source makes claims.
pub(crate) const MEASURED: &str = "SELECT created_at, input, output FROM llm_calls
     WHERE claimed_session = ?1 AND id >= ?2
     UNION ALL
     SELECT last_ms, input, output FROM usage_removed WHERE session = ?1 AND last_ms >= ?3";

/// Polls that are counted; more say nothing more, and each count is a write.
pub(crate) const POLLS_MAX: i64 = 10;

/// A claim as it is stored.
struct Stored {
    id: FactId,
    series: i64,
    run: ClaimedRun,
    counters: Counters,
    parent: Option<i64>,
    is_superseded: bool,
}

impl Account<'_> {
    /// Remembers a claim. A run is claimed again whenever its session's entry is touched: the first
    /// claim says when it was.
    pub(super) fn claim(&mut self, claim: &SessionTotal) -> rusqlite::Result<()> {
        let id = FactId::new(claim.time, claim.key);
        if !self.is_first(claim.key, id)? {
            let known: [u8; 16] = self
                .database
                .prepare_cached("SELECT id FROM fact_keys WHERE key = ?1")?
                .query_row([claim.key.0], |row| row.get(0))?;
            return if known > id.0 {
                self.claim_earlier(claim.key, FactId(known), id)
            } else {
                Ok(())
            };
        }
        self.written.claims += 1;
        let source = &claim.origin.source;
        let series = self.names.series(self.database, &Series::of_claim(claim))?;
        self.names.note_claim(self.database, source)?;
        let session = self.names.session(self.database, source, &claim.origin.session)?;
        let parent = match &*claim.parent {
            "" => None,
            _ => Some(self.names.session(self.database, source, &claim.parent)?),
        };
        let [input, cache_read, write_5m, write_1h, write, output, reasoning] =
            token_values(&claim.tokens);
        self.database
            .prepare_cached(
                "INSERT INTO session_totals (id, created_at, series, session, input, cache_read,
                 cache_write_5m, cache_write_1h, cache_write, output, reasoning,
                 reported_cost_nanousd, started_at, parent, seen_at, is_superseded)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, 0)",
            )?
            .execute(params![
                id.0,
                claim.time.0,
                series,
                session,
                input,
                cache_read,
                write_5m,
                write_1h,
                write,
                output,
                reasoning,
                claim.reported_cost.map(|cost| cost.0),
                claim.started.map(|time| time.0),
                parent,
                self.now.0,
            ])?;
        self.changes.add(Place { series, session, time: claim.time }, &Counters::of_claim(claim));
        self.names.open_claim(session, parent);
        self.unsettled.extend([Some(session), parent].into_iter().flatten());
        Ok(())
    }

    /// Moves a claim to where it was first made.
    fn claim_earlier(&mut self, key: Key, known: FactId, id: FactId) -> rusqlite::Result<()> {
        let session: Option<i64> = self
            .database
            .prepare_cached("SELECT session FROM session_totals WHERE id = ?1")?
            .query_row([known.0], |row| row.get(0))
            .optional()?;
        let Some(session) = session else { return Ok(()) };
        let claims = self.claims(session)?;
        if let Some(claim) = claims.iter().find(|claim| claim.id == known && !claim.is_superseded) {
            let place = |time| Place { series: claim.series, session, time };
            self.changes.remove(place(claim.run.time), &claim.counters);
            self.changes.add(place(id.time()), &claim.counters);
        }
        self.database
            .prepare_cached("UPDATE session_totals SET id = ?2, created_at = ?3 WHERE id = ?1")?
            .execute(params![known.0, id.0, id.time().0])?;
        self.database
            .prepare_cached("UPDATE fact_keys SET id = ?2 WHERE key = ?1")?
            .execute(params![key.0, id.0])?;
        self.unsettled.insert(session);
        Ok(())
    }

    /// Notes that a call of `session` was added, which may cover claims.
    pub(super) fn may_cover(&mut self, session: i64) -> rusqlite::Result<()> {
        if let Some(claimants) = self.names.claimants(self.database, session)? {
            self.unsettled.extend(claimants);
        }
        Ok(())
    }

    /// Takes out of the account what calls cover by now.
    pub(super) fn settle_claims(&mut self) -> rusqlite::Result<()> {
        for session in std::mem::take(&mut self.unsettled) {
            self.settle_claims_of(session)?;
        }
        Ok(())
    }

    fn settle_claims_of(&mut self, session: i64) -> rusqlite::Result<()> {
        let claims = self.claims(session)?;
        let is_open = |claim: &Stored| !claim.is_superseded;
        let Some(first_open) = claims.iter().position(is_open) else { return Ok(()) };
        // What was before the run before the first open one matters to none of them.
        let claims = claims.get(first_open.saturating_sub(1)..).unwrap_or_default();
        let Some(first) = claims.first() else { return Ok(()) };
        let since = if first.is_superseded { first.run.time } else { UnixMs(0) };
        let calls = self.measured(&BTreeSet::from([session]), since)?;
        let mut copies = self.copies(session)?;
        copies.extend(claims.iter().filter_map(|claim| claim.parent));
        let copied = self.measured(&copies, since)?;
        let runs: Vec<ClaimedRun> = claims.iter().map(|claim| claim.run).collect();
        let mut is_any_open = false;
        for (claim, is_covered) in claims.iter().zip(covered(&runs, &calls, &copied)) {
            if is_covered && is_open(claim) {
                let place = Place { series: claim.series, session, time: claim.run.time };
                self.changes.remove(place, &claim.counters);
                self.database
                    .prepare_cached("UPDATE session_totals SET is_superseded = 1 WHERE id = ?1")?
                    .execute([claim.id.0])?;
            }
            is_any_open |= is_open(claim) && !is_covered;
        }
        if !is_any_open {
            self.names.close_claims(session, claims.iter().filter_map(|claim| claim.parent));
        }
        Ok(())
    }

    /// The sessions that began as copies of a session.
    fn copies(&self, session: i64) -> rusqlite::Result<BTreeSet<i64>> {
        let mut copies =
            self.database.prepare_cached("SELECT session FROM session_totals WHERE parent = ?1")?;
        copies.query_map([session], |row| row.get(0))?.collect()
    }

    /// The claims of a session, by time.
    fn claims(&self, session: i64) -> rusqlite::Result<Vec<Stored>> {
        let mut claims = self.database.prepare_cached(
            "SELECT id, series, created_at, started_at, parent, is_superseded,
             reported_cost_nanousd, input, cache_read, cache_write_5m, cache_write_1h, cache_write,
             output, reasoning FROM session_totals WHERE session = ?1 ORDER BY id",
        )?;
        let claims = claims.query_map([session], |row| {
            let tokens = tokens_of_row(row, 7)?;
            let reported_cost = NanoUsd(row.get::<_, Option<i64>>(6)?.unwrap_or(0));
            Ok(Stored {
                id: FactId(row.get(0)?),
                series: row.get(1)?,
                run: ClaimedRun {
                    time: UnixMs(row.get(2)?),
                    started: row.get::<_, Option<i64>>(3)?.map(UnixMs),
                    used: (tokens.input, tokens.output),
                },
                counters: Counters { calls: 1, errors: 0, tokens, reported_cost },
                parent: row.get(4)?,
                is_superseded: row.get(5)?,
            })
        })?;
        claims.collect()
    }

    /// The calls of some sessions from a time on, by time.
    fn measured(
        &self,
        sessions: &BTreeSet<i64>,
        since: UnixMs,
    ) -> rusqlite::Result<Vec<MeasuredCall>> {
        let mut statement = self.database.prepare_cached(MEASURED)?;
        let first = FactId::first_at(since);
        let mut calls = Vec::new();
        for session in sessions {
            let rows = statement.query_map(params![session, first.0, since.0], |row| {
                let [input, output] = [row.get::<_, i64>(1)?, row.get(2)?].map(i64::unsigned_abs);
                Ok(MeasuredCall { time: UnixMs(row.get(0)?), used: (input, output) })
            })?;
            for call in rows {
                calls.push(call?);
            }
        }
        calls.sort_by_key(|call| call.time);
        Ok(calls)
    }
}

/// Notes that all stores were looked at once more, and that what is still open was not covered.
pub(crate) fn note_poll(database: &Connection) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "UPDATE session_totals SET polls = polls + 1 WHERE NOT is_superseded AND polls < ?1",
        )?
        .execute([POLLS_MAX])?;
    Ok(())
}
