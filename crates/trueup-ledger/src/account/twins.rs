//! Calls that an agent's files and its telemetry both tell of: the file's counts. And calls that an SDK tells of
//! twice: that with the provider's id counts.
//!
//! `covered_calls` says of which twin keys a file, or a record with an id, has the call. It says so for good, whatever becomes of the
//! call: what the account holds does not depend on which of the two came first, nor on how often. Calls of
//! telemetry that count stand in `fact_keys` under their twin key, each under a variant made of its own key:
//!
//! ```text
//! twin key of req_01 | variant of the event's key | rank 0… | id of the event's row
//! ```
//!
//! What retention has taken cannot be taken out of the sums: such a call of telemetry stays, and stands in
//! for the file's.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension as _, params};
use trueup_core::{Call, FactId, Key, Rank, Twin, Variant};

use super::{Account, Kind};

/// What one transaction learns of twins.
#[derive(Debug, Default)]
pub(super) struct Twins {
    /// Twin keys of calls that count as telemetry told them, for good.
    stood_in: BTreeSet<Key>,
    /// What is to be added to the numbers of sessions: calls told, and calls matched.
    sessions: BTreeMap<i64, (u64, u64)>,
}

impl Account<'_> {
    /// Notes what calls of files cover, and takes out of the account what telemetry told of them. Copies
    /// that do not count cover, too: which of them came first must not matter.
    pub(super) fn cover(&mut self, calls: &[&Call]) -> rusqlite::Result<()> {
        let twins = calls.iter().filter_map(|call| call.twin);
        let covers = twins.filter_map(|twin| Some((twin.covers()?, twin.is_of_files())));
        let mut keys: Vec<(i64, Key, bool)> =
            covers.map(|(key, is_of_files)| (number(key), key, is_of_files)).collect();
        keys.sort_unstable();
        keys.dedup();
        for (number, ..) in &keys {
            self.hot.cover.execute([number])?;
        }
        for (_, key, is_of_files) in keys {
            // On most machines no agent ever tells.
            if !is_of_files || self.has_told()? {
                self.take_out(key, is_of_files)?;
            }
        }
        Ok(())
    }

    fn has_told(&mut self) -> rusqlite::Result<bool> {
        if let Some(known) = *self.has_told {
            return Ok(known);
        }
        let mut told = self.database.prepare("SELECT 1 FROM told_sessions")?;
        let has_told = told.exists([])?;
        *self.has_told = Some(has_told);
        Ok(has_told)
    }

    /// Takes out what telemetry told under a twin key.
    fn take_out(&mut self, key: Key, is_of_files: bool) -> rusqlite::Result<()> {
        for (variant, _, id) in self.counted(key)? {
            if let Some(session) = self.session_of(id)? {
                self.remove_call(id)?;
                self.queue(Kind::TakenBack, id)?;
                self.forget(key, variant)?;
                if is_of_files {
                    self.twins.sessions.entry(session).or_default().1 += 1;
                }
            } else {
                self.twins.stood_in.insert(key);
            }
        }
        Ok(())
    }

    /// Whether a call of telemetry that retention has taken counts in the place of this one.
    pub(super) fn is_stood_in_for(&self, call: &Call) -> bool {
        call.twin.and_then(Twin::covers).is_some_and(|key| self.twins.stood_in.contains(&key))
    }

    /// Whether a file has a call that telemetry tells of, or another record the provider's id of it. If not,
    /// it is remembered, for one may come. `displaced` are the copies of it that it takes the place of.
    pub(super) fn is_covered(
        &mut self,
        call: &Call,
        twin: Twin,
        displaced: &[(Variant, Rank, FactId)],
    ) -> rusqlite::Result<bool> {
        let Some(key) = twin.covered_by() else { return Ok(false) };
        let is_covered = self
            .database
            .prepare_cached("SELECT 1 FROM covered_calls WHERE twin = ?1")?
            .exists([number(key)])?;
        if displaced.is_empty() && twin.is_of_files() {
            *self.has_told = Some(true);
            let origin = &call.origin;
            let session = self.names.session(self.database, &origin.source, &origin.session)?;
            let (told, matched) = self.twins.sessions.entry(session).or_default();
            *told += 1;
            *matched += u64::from(is_covered);
        }
        if key == call.key {
            // It stands there already, and only while it counts: what is not there was taken by retention.
            if is_covered {
                self.forget(key, call.variant)?;
            }
            return Ok(is_covered);
        }
        for (variant, _, _) in displaced {
            self.forget(key, variant_of(call.key, *variant))?;
        }
        if !is_covered {
            self.remember(key, variant_of(call.key, call.variant), Rank(0), call.id())?;
        }
        Ok(is_covered)
    }

    fn forget(&self, key: Key, variant: Variant) -> rusqlite::Result<()> {
        self.database
            .prepare_cached("DELETE FROM fact_keys WHERE key = ?1 AND variant = ?2")?
            .execute(params![key.0, variant.0])?;
        Ok(())
    }

    /// The session of a call, where its row is still there.
    fn session_of(&self, id: FactId) -> rusqlite::Result<Option<i64>> {
        self.database
            .prepare_cached("SELECT session FROM llm_calls WHERE id = ?1")?
            .query_row([id.0], |row| row.get(0))
            .optional()
    }

    /// Brings the numbers of sessions up to what was told.
    pub(super) fn tell_sessions(&mut self) -> rusqlite::Result<()> {
        for (session, (told, matched)) in std::mem::take(&mut self.twins.sessions) {
            self.database
                .prepare_cached(
                    "INSERT INTO told_sessions (session, calls, matched) VALUES (?1, ?2, ?3)
                     ON CONFLICT (session) DO UPDATE SET calls = calls + excluded.calls,
                     matched = matched + excluded.matched",
                )?
                .execute(params![session, told.cast_signed(), matched.cast_signed()])?;
        }
        Ok(())
    }
}

/// What tells apart the calls that share a twin key.
fn variant_of(key: Key, variant: Variant) -> Variant {
    Variant(number(key).wrapping_add(variant.0))
}

/// A key as a number: with a billion calls two of them share one with a chance of 1 to 37.
fn number(key: Key) -> i64 {
    key.0.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}
