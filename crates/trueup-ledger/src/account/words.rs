//! What devices tell: of each id the newest word holds.
//!
//! ```text
//! fact_keys: key of the id, variant 0 (it counts) or 1 (it does not), rank = version of the word
//! ```

use rusqlite::{OptionalExtension as _, params};
use trueup_core::{Call, Fact, FactId, Key, Rank, Variant, Version, Word};

use super::Account;

const COUNTS: Variant = Variant(0);
const COUNTS_NOT: Variant = Variant(1);

/// What one device tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) device: i64,
    pub(crate) words: &'a [Word],
}

/// A call that a device says is so.
struct So<'a> {
    id: FactId,
    call: &'a Call,
    /// Whose word it is, by its place among those who tell.
    of: usize,
}

impl Account<'_> {
    /// Takes what devices tell in, and says of each which of its words said nothing new. Words are as good
    /// as those of all devices.
    pub(crate) fn words(&mut self, told: &[Told<'_>]) -> rusqlite::Result<Vec<Vec<FactId>>> {
        let mut known = vec![Vec::new(); told.len()];
        let mut calls: Vec<So<'_>> = Vec::new();
        for ((of, Told { device, words }), known) in told.iter().enumerate().zip(&mut known) {
            self.device = *device;
            for word in *words {
                let (id, before) = (word.id(), self.written.known);
                match word {
                    Word::Is(Fact::Call(call)) => calls.push(So { id, call, of }),
                    Word::Is(Fact::Error(error)) => self.error(error)?,
                    Word::Is(Fact::Event(event)) => self.event(event)?,
                    Word::Is(Fact::Host(host)) => self.host(host)?,
                    // No device says these of another's account.
                    Word::Is(Fact::SessionTotal(_) | Fact::Quota(_) | Fact::Metered(_)) => {}
                    Word::IsNot { id, version } => self.counts_not(*id, *version)?,
                }
                if self.written.known > before {
                    known.push(id);
                }
            }
        }
        // Whoever tells of it: each table is walked in the order of its keys, so that each page is touched
        // once. Of one id the newest is first, so that it alone can be new.
        calls.sort_unstable_by_key(|so| (so.id, std::cmp::Reverse(so.call.rank)));
        let mut new = Vec::with_capacity(calls.len());
        for so in calls {
            if self.counts(&so)? {
                new.push(so);
            } else if let Some(known) = known.get_mut(so.of) {
                known.push(so.id);
            }
        }
        self.insert_told(told, new)?;
        Ok(known)
    }

    /// Writes the rows of calls.
    fn insert_told(&mut self, told: &[Told<'_>], mut new: Vec<So<'_>>) -> rusqlite::Result<()> {
        // Names are looked up device by device: the last ones are found first.
        new.sort_unstable_by_key(|so| (so.of, so.id));
        let mut numbered = Vec::with_capacity(new.len());
        for so in new {
            if let Some(Told { device, .. }) = told.get(so.of) {
                self.names.be_of(*device);
                numbered.push((so.id, so.call, self.names.of_call(self.database, so.call)?));
            }
        }
        numbered.sort_unstable_by_key(|(id, ..)| *id);
        let mut rows = numbered.into_iter();
        rows.try_for_each(|(id, call, numbers)| self.insert_numbered(id, call, numbers))
    }

    /// A device says that a call is so; whether a row is to be written of it.
    fn counts(&mut self, so: &So<'_>) -> rusqlite::Result<bool> {
        let So { id, call, .. } = *so;
        match self.last_word(call.key)? {
            None => {
                self.remember(call.key, COUNTS, call.rank, id)?;
                self.written.added += 1;
                return Ok(true);
            }
            Some((_, rank)) if rank >= call.rank => {}
            Some((COUNTS, rank)) if Version::is_same_word(rank, call.rank) => {
                self.put_word(call.key, COUNTS, call.rank)?;
            }
            // What retention took stays counted as it was, and cannot be amended.
            Some((COUNTS, _)) if !self.has_row(id)? => {}
            Some((before, _)) => {
                if before == COUNTS {
                    self.remove_call(id)?;
                }
                self.put_word(call.key, COUNTS, call.rank)?;
                self.written.replaced += 1;
                return Ok(true);
            }
        }
        self.written.known += 1;
        Ok(false)
    }

    /// A device says that a call no longer counts.
    fn counts_not(&mut self, id: FactId, version: Version) -> rusqlite::Result<()> {
        let (key, rank) = (Key::of_id(id), version.rank(&[]));
        match self.last_word(key)? {
            None => {
                self.remember(key, COUNTS_NOT, rank, id)?;
                self.written.added += 1;
                return Ok(());
            }
            Some((_, newest)) if newest >= rank => {}
            Some((COUNTS, _)) if self.has_row(id)? => {
                self.remove_call(id)?;
                self.put_word(key, COUNTS_NOT, rank)?;
                self.written.replaced += 1;
                return Ok(());
            }
            Some((COUNTS, _)) => {}
            Some(_) => self.put_word(key, COUNTS_NOT, rank)?,
        }
        self.written.known += 1;
        Ok(())
    }

    fn last_word(&mut self, key: Key) -> rusqlite::Result<Option<(Variant, Rank)>> {
        self.hot
            .counted
            .query_row([key.0], |row| {
                Ok((Variant(row.get(0)?), Rank(u128::from_be_bytes(row.get(1)?))))
            })
            .optional()
    }

    fn put_word(&self, key: Key, variant: Variant, rank: Rank) -> rusqlite::Result<()> {
        self.database
            .prepare_cached("UPDATE fact_keys SET variant = ?2, rank = ?3 WHERE key = ?1")?
            .execute(params![key.0, variant.0, rank.0.to_be_bytes()])?;
        Ok(())
    }

    fn has_row(&self, id: FactId) -> rusqlite::Result<bool> {
        self.database.prepare_cached("SELECT 1 FROM llm_calls WHERE id = ?1")?.exists([id.0])
    }
}
