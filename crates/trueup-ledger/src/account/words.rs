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

impl Account<'_> {
    /// Takes what a device tells in, and says which words said nothing new. Words are as good as those of
    /// all devices.
    pub(crate) fn words(&mut self, device: i64, words: &[Word]) -> rusqlite::Result<Vec<FactId>> {
        self.device = device;
        self.names.be_of(device);
        let mut known = Vec::new();
        let mut each = |account: &mut Self, id, take: &mut dyn FnMut(&mut Self) -> _| {
            let before = account.written.known;
            let taken: rusqlite::Result<()> = take(account);
            if account.written.known > before {
                known.push(id);
            }
            taken
        };
        // In the order of their ids, so that each page is touched once; of one id, the newest first.
        let mut calls: Vec<(FactId, &Call)> = Vec::new();
        for word in words {
            let id = word.id();
            match word {
                Word::Is(Fact::Call(call)) => calls.push((id, call)),
                Word::Is(Fact::Error(error)) => each(self, id, &mut |own| own.error(error))?,
                Word::Is(Fact::Event(event)) => each(self, id, &mut |own| own.event(event))?,
                Word::Is(Fact::Host(host)) => each(self, id, &mut |own| own.host(host))?,
                // No device says these of another's account.
                Word::Is(Fact::SessionTotal(_) | Fact::Quota(_) | Fact::Metered(_)) => {}
                Word::IsNot { id, version } => {
                    each(self, *id, &mut |own| own.counts_not(*id, *version))?;
                }
            }
        }
        calls.sort_unstable_by_key(|(id, call)| (*id, std::cmp::Reverse(call.rank)));
        for (id, call) in calls {
            each(self, id, &mut |own| own.counts(id, call))?;
        }
        Ok(known)
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
