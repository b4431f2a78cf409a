//! What devices tell: of each id the newest word holds.
//!
//! ```text
//! fact_keys: key of the id, variant 0 (it counts) or 1 (it does not), rank = version of the word
//! ```

use rusqlite::{OptionalExtension as _, params};
use trueup_core::{Call, Fact, FactId, Key, Rank, Variant, Version, Word};

use super::{Account, Written};

const COUNTS: Variant = Variant(0);
const COUNTS_NOT: Variant = Variant(1);

impl Account<'_> {
    /// Takes what a device tells in. Words are as good as those of all devices.
    pub(crate) fn words(&mut self, device: i64, words: &[Word]) -> rusqlite::Result<Written> {
        let before = self.written;
        self.device = device;
        self.names.be_of(device);
        // In the order of their ids, so that each page is touched once; of one id, the newest first.
        let mut calls: Vec<(FactId, &Call)> = Vec::new();
        for word in words {
            match word {
                Word::Is(Fact::Call(call)) => calls.push((call.id(), call)),
                Word::Is(Fact::Error(error)) => self.error(error)?,
                Word::Is(Fact::Event(event)) => self.event(event)?,
                Word::Is(Fact::Host(host)) => self.host(host)?,
                // No device says either of another's account.
                Word::Is(Fact::SessionTotal(_) | Fact::Quota(_)) => {}
                Word::IsNot { id, version } => self.counts_not(*id, *version)?,
            }
        }
        calls.sort_unstable_by_key(|(id, call)| (*id, std::cmp::Reverse(call.rank)));
        for (id, call) in calls {
            self.counts(id, call)?;
        }
        Ok(Written {
            added: self.written.added - before.added,
            replaced: self.written.replaced - before.replaced,
            known: self.written.known - before.known,
            claims: 0,
        })
    }

    /// A device says that a call is so.
    fn counts(&mut self, id: FactId, call: &Call) -> rusqlite::Result<()> {
        match self.last_word(call.key)? {
            None => {
                self.remember(call.key, COUNTS, call.rank, id)?;
                self.written.added += 1;
                return self.insert_call(id, call);
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
                return self.insert_call(id, call);
            }
        }
        self.written.known += 1;
        Ok(())
    }

    /// A device says that a call no longer counts.
    fn counts_not(&mut self, id: FactId, version: Version) -> rusqlite::Result<()> {
        let (key, rank) = (Key::of_id(id), version.rank(b""));
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

    fn last_word(&self, key: Key) -> rusqlite::Result<Option<(Variant, Rank)>> {
        self.database
            .prepare_cached("SELECT variant, rank FROM fact_keys WHERE key = ?1")?
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
