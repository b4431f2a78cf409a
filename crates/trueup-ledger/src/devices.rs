//! Devices: a ledger that a hub keeps for a tenant, told by many.
//!
//! What a device tells, what it says of itself, and which of its places nobody has told are written in
//! one transaction. A [`Reader`] may be confined to one device: whatever it is asked then, it answers
//! as that device's own ledger would.
//!
//! ```text
//! laptop-7, ledger 5f0d6ab1…, epoch 9c41f0aa…: told 1 to 8,112, but for 402 to 409; 3 waiting
//! ```

mod sums;

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use trueup_core::{BatchHead, Delivery, Fact, FactId, Sender, SenderStatus, Text, UnixMs, Word};

use crate::account::words::Told;
use crate::account::{Account, Memory};
use crate::ledger::OpenOptions;
use crate::row::signed;
use crate::{Ledger, LedgerError, Reader};

/// How long the answer to a batch is remembered.
const ANSWERS_KEPT_MS: i64 = 86_400_000;

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// It is in the file.
    Taken {
        /// Words that were new.
        accepted: u64,
        /// Words that said nothing new.
        duplicates: u64,
        /// What those are about; nothing of a batch that is answered as before.
        known: Vec<FactId>,
        /// When the newest other batch of the same ledger was made, in whichever of its epochs: where that
        /// is ahead of the ledger's own, it is an older copy.
        newest_at: Option<UnixMs>,
        /// Whether the batch was known as a whole.
        is_replay: bool,
    },
    /// Another batch has this id: nothing was taken.
    Conflict,
}

/// A device, as a hub knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its number in the file.
    pub id: i64,
    /// The name on its token.
    pub name: Text,
    /// When it was first heard of.
    pub first_seen_at: UnixMs,
    /// When it was last heard of.
    pub last_seen_at: UnixMs,
    /// The ledgers that it told from, the last heard of first.
    pub ledgers: Vec<DeviceLedger>,
}

/// A ledger of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceLedger {
    /// What the device last said of itself.
    pub sender: Sender,
    /// When it was first heard of.
    pub first_seen_at: UnixMs,
    /// When it was last heard of.
    pub last_seen_at: UnixMs,
    /// When the newest of its records happened.
    pub newest_at: Option<UnixMs>,
    /// The farthest place that it told of; `None` of senders that do not number.
    pub last_seq: Option<i64>,
    /// Places that it passed over, and never told.
    pub missing: u64,
    /// Batches that came.
    pub batches: u64,
    /// Words that were new.
    pub accepted: u64,
    /// Words that said nothing new.
    pub duplicates: u64,
}

impl Ledger {
    /// Whether it is a hub's account of devices.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn has_devices(&self) -> Result<bool, LedgerError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM devices)";
        let found = self.database.query_row(sql, [], |row| row.get(0));
        found.map_err(LedgerError::sqlite(&self.path))
    }

    /// Writes what devices tell, all in one transaction. One answer for each delivery, in order.
    ///
    /// # Errors
    /// What SQLite says; nothing is written then.
    pub fn deliver(
        &mut self,
        deliveries: &[Delivery],
        now: UnixMs,
    ) -> Result<Vec<Delivered>, LedgerError> {
        if self.is_low {
            let words = deliveries.iter().flat_map(|delivery| &delivery.words);
            let weight = words.map(|word| match word {
                Word::Is(fact) => fact.weight_bytes(),
                Word::IsNot { .. } => size_of::<Word>(),
            });
            self.secure_room(weight.sum())?;
        }
        let Self { path, database, memory, options, .. } = self;
        let result = deliver(database, memory, *options, deliveries, now);
        if result.is_err() {
            memory.clear();
        }
        let result = result.map_err(LedgerError::sqlite(path));
        self.reuse_log();
        result
    }
}

fn deliver(
    database: &mut Connection,
    memory: &mut Memory,
    options: OpenOptions,
    deliveries: &[Delivery],
    now: UnixMs,
) -> rusqlite::Result<Vec<Delivered>> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut places = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        places.push(Place::of(&transaction, delivery, now)?);
    }
    let mut account = Account::new(&transaction, memory, options.has_outbox, now)?;
    let mut delivered = Vec::with_capacity(deliveries.len());
    let mut rest: Vec<(&Delivery, &Place)> = deliveries.iter().zip(&places).collect();
    while !rest.is_empty() {
        let again = rest.split_off(until_again(&rest));
        delivered.extend(deliver_once(&transaction, &mut account, &rest, now)?);
        rest = again;
    }
    account.finish()?;
    transaction.commit()?;
    Ok(delivered)
}

/// How many come before the first batch that one before it is as well.
fn until_again(deliveries: &[(&Delivery, &Place)]) -> usize {
    let mut known = BTreeSet::new();
    let is_again = |(delivery, place): &(&Delivery, &Place)| {
        let batch = delivery.batch.as_ref();
        batch.is_some_and(|batch| !known.insert((place.ledger, Text::clone(&batch.id))))
    };
    deliveries.iter().position(is_again).unwrap_or(deliveries.len())
}

/// Writes deliveries of which none is another again.
fn deliver_once(
    database: &Connection,
    account: &mut Account<'_>,
    deliveries: &[(&Delivery, &Place)],
    now: UnixMs,
) -> rusqlite::Result<Vec<Delivered>> {
    let mut answers = Vec::with_capacity(deliveries.len());
    for (delivery, place) in deliveries {
        answers.push(place.answered(database, delivery.batch.as_ref())?);
    }
    let new = || deliveries.iter().zip(&answers).filter(|(_, answer)| answer.is_none());
    let told: Vec<Told<'_>> = new()
        .map(|((delivery, place), _)| Told { device: place.device, words: &delivery.words })
        .collect();
    let mut known = account.words(&told)?.into_iter();
    let mut delivered = Vec::with_capacity(deliveries.len());
    for ((delivery, place), answer) in deliveries.iter().zip(answers) {
        delivered.push(match answer {
            Some(answer) => answer,
            None => place.note(database, delivery, known.next().unwrap_or_default(), now)?,
        });
    }
    Ok(delivered)
}

/// A device and one of its ledgers, by their numbers.
struct Place {
    device: i64,
    ledger: i64,
}

impl Place {
    /// Looks a sender up, or notes that there is one, and what it says of itself.
    fn of(database: &Connection, delivery: &Delivery, now: UnixMs) -> rusqlite::Result<Self> {
        let device = database
            .prepare_cached(
                "INSERT INTO devices (name, first_seen_at, last_seen_at) VALUES (?1, ?2, ?2)
                 ON CONFLICT (name) DO UPDATE SET last_seen_at = max(last_seen_at, ?2) RETURNING id",
            )?
            .query_row(params![&*delivery.device, now.0], |row| row.get(0))?;
        let Sender { ledger, epoch, host, agent, version, status } = &delivery.sender;
        let ledger = database
            .prepare_cached(
                "INSERT INTO device_ledgers (device, ledger, epoch, host, agent, version, first_seen_at,
                 last_seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
                 ON CONFLICT (device, ledger, epoch) DO UPDATE SET host = excluded.host,
                 agent = excluded.agent, version = excluded.version,
                 last_seen_at = max(last_seen_at, excluded.last_seen_at) RETURNING id",
            )?
            .query_row(
                params![device, &**ledger, &**epoch, &**host, &**agent, &**version, now.0],
                |row| row.get(0),
            )?;
        if let Some(status) = status {
            database
                .prepare_cached(
                    "UPDATE device_ledgers SET waiting = ?2, oldest_waiting_at = ?3, dropped = ?4,
                     refused = ?5, last_read_at = ?6 WHERE id = ?1",
                )?
                .execute(params![
                    ledger,
                    signed(status.waiting),
                    status.oldest_waiting_at.map(|time| time.0),
                    signed(status.dropped),
                    signed(status.refused),
                    status.last_read_at.map(|time| time.0),
                ])?;
        }
        Ok(Self { device, ledger })
    }

    /// What a batch was answered when it came before; `None` where it did not.
    fn answered(
        &self,
        database: &Connection,
        batch: Option<&BatchHead>,
    ) -> rusqlite::Result<Option<Delivered>> {
        let Some(batch) = batch else { return Ok(None) };
        database
            .prepare_cached(
                "SELECT sha256, accepted, duplicates FROM device_batches
                 WHERE ledger = ?1 AND batch = ?2",
            )?
            .query_row(params![self.ledger, &*batch.id], |row| {
                if row.get_ref(0)?.as_str()? != &*batch.sha256 {
                    return Ok(Delivered::Conflict);
                }
                let count = |at| Ok::<_, rusqlite::Error>(row.get::<_, i64>(at)?.cast_unsigned());
                let (accepted, duplicates) = (count(1)?, count(2)?);
                let known = Vec::new();
                Ok(Delivered::Taken {
                    accepted,
                    duplicates,
                    known,
                    newest_at: None,
                    is_replay: true,
                })
            })
            .optional()
    }

    /// Notes what became of a delivery, and which places it covers.
    fn note(
        &self,
        database: &Connection,
        delivery: &Delivery,
        known: Vec<FactId>,
        now: UnixMs,
    ) -> rusqlite::Result<Delivered> {
        let duplicates = known.len() as u64;
        let accepted = (delivery.words.len() as u64).saturating_sub(duplicates);
        let newest = delivery.words.iter().filter_map(time).max();
        database
            .prepare_cached(
                "UPDATE device_ledgers SET batches = batches + 1, accepted = accepted + ?2,
                 duplicates = duplicates + ?3, newest_at = max(coalesce(newest_at, ?4), ?4)
                 WHERE id = ?1",
            )?
            .execute(params![
                self.ledger,
                signed(accepted),
                signed(duplicates),
                newest.map(|time| time.0)
            ])?;
        let mut newest_at = None;
        if let Some(batch) = &delivery.batch {
            newest_at = self.newest_batch(database, &delivery.sender)?;
            database
                .prepare_cached(
                    "UPDATE device_ledgers SET last_batch_at = max(coalesce(last_batch_at, ?2), ?2)
                     WHERE id = ?1",
                )?
                .execute([self.ledger, batch.created_at.0])?;
            self.cover(database, batch.first_seq, batch.last_seq)?;
            database
                .prepare_cached(
                    "INSERT INTO device_batches (ledger, batch, sha256, received_at, accepted, duplicates)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    self.ledger,
                    &*batch.id,
                    &*batch.sha256,
                    now.0,
                    signed(accepted),
                    signed(duplicates)
                ])?;
            database
                .prepare_cached(
                    "DELETE FROM device_batches WHERE ledger = ?1 AND received_at < ?2",
                )?
                .execute([self.ledger, now.0.saturating_sub(ANSWERS_KEPT_MS)])?;
        }
        Ok(Delivered::Taken { accepted, duplicates, known, newest_at, is_replay: false })
    }

    /// When the newest batch of a sender's ledger was made, as far as was told.
    fn newest_batch(
        &self,
        database: &Connection,
        sender: &Sender,
    ) -> rusqlite::Result<Option<UnixMs>> {
        let newest: Option<i64> = database
            .prepare_cached(
                "SELECT max(last_batch_at) FROM device_ledgers WHERE device = ?1 AND ledger = ?2",
            )?
            .query_row(params![self.device, &*sender.ledger], |row| row.get(0))?;
        Ok(newest.map(UnixMs))
    }

    /// Notes that places were told of. Those between them and what was told of before are missing.
    fn cover(&self, database: &Connection, first: i64, last: i64) -> rusqlite::Result<()> {
        let known: (Option<i64>, Option<i64>) = database
            .prepare_cached("SELECT first_seq, last_seq FROM device_ledgers WHERE id = ?1")?
            .query_row([self.ledger], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let span = match known {
            (Some(from), Some(to)) => {
                if first > to.saturating_add(1) {
                    self.miss(database, to + 1, first - 1)?;
                }
                // What comes first need not be what was sent first.
                if last >= first && last.saturating_add(1) < from {
                    self.miss(database, last + 1, from - 1)?;
                }
                self.find(database, first, last)?;
                (from.min(first), to.max(last))
            }
            _ => (first, last),
        };
        database
            .prepare_cached(
                "UPDATE device_ledgers SET first_seq = ?2, last_seq = ?3 WHERE id = ?1",
            )?
            .execute([self.ledger, span.0, span.1.max(span.0 - 1)])?;
        Ok(())
    }

    fn miss(&self, database: &Connection, first: i64, last: i64) -> rusqlite::Result<()> {
        database
            .prepare_cached(
                "INSERT OR REPLACE INTO device_gaps (ledger, first_seq, last_seq) VALUES (?1, ?2, ?3)",
            )?
            .execute([self.ledger, first, last])?;
        Ok(())
    }

    /// Takes places out of those that are missing.
    fn find(&self, database: &Connection, first: i64, last: i64) -> rusqlite::Result<()> {
        let gaps: Vec<(i64, i64)> = database
            .prepare_cached(
                "SELECT first_seq, last_seq FROM device_gaps
                 WHERE ledger = ?1 AND first_seq <= ?3 AND last_seq >= ?2",
            )?
            .query_map([self.ledger, first, last], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (from, to) in gaps {
            database
                .prepare_cached("DELETE FROM device_gaps WHERE ledger = ?1 AND first_seq = ?2")?
                .execute([self.ledger, from])?;
            if from < first {
                self.miss(database, from, first - 1)?;
            }
            if to > last {
                self.miss(database, last + 1, to)?;
            }
        }
        Ok(())
    }
}

/// When what a word is about happened.
fn time(word: &Word) -> Option<UnixMs> {
    match word {
        Word::Is(fact) => Some(Fact::time(fact)),
        Word::IsNot { .. } => None,
    }
}

/// Views in the place of tables, which hold what is of the one device in `only_device`.
const ONLY: &str = "
CREATE TEMP TABLE only_device (id INTEGER NOT NULL);
CREATE TEMP VIEW usage_time AS SELECT width_minutes, start_ms, series, calls, errors, input, cache_read,
    cache_write_5m, cache_write_1h, cache_write, output, reasoning, reported_cost_nanousd, first_ms, last_ms
    FROM main.usage_device WHERE device = (SELECT id FROM temp.only_device);
CREATE TEMP VIEW sessions AS SELECT * FROM main.sessions
    WHERE device = (SELECT id FROM temp.only_device) AND device <> 0;
CREATE TEMP VIEW usage_session AS SELECT * FROM main.usage_session
    WHERE session IN (SELECT id FROM temp.sessions);
CREATE TEMP VIEW llm_calls AS SELECT * FROM main.llm_calls
    WHERE session IN (SELECT id FROM temp.sessions);
CREATE TEMP VIEW error_events AS SELECT * FROM main.error_events
    WHERE device = (SELECT id FROM temp.only_device);
CREATE TEMP VIEW custom_events AS SELECT * FROM main.custom_events
    WHERE device = (SELECT id FROM temp.only_device);
CREATE TEMP VIEW system_metrics AS SELECT * FROM main.system_metrics
    WHERE device = (SELECT id FROM temp.only_device) AND device <> 0;
";

fn is_confined(database: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_temp_schema WHERE name = 'only_device')";
    database.query_row(sql, [], |row| row.get(0))
}

impl Reader {
    /// Confines the reader to one device, by its number.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn only(&self, device: i64) -> Result<(), LedgerError> {
        let run = || {
            let is_confined: bool =
                self.database
                    .query_row("SELECT count(*) FROM sqlite_temp_schema", [], |row| row.get(0))?;
            if !is_confined {
                self.database.execute_batch(ONLY)?;
            }
            self.database.prepare_cached("DELETE FROM temp.only_device")?.execute([])?;
            self.database
                .prepare_cached("INSERT INTO temp.only_device VALUES (?1)")?
                .execute([device])?;
            Ok(())
        };
        run().map_err(LedgerError::sqlite(&self.path))
    }

    /// Whether the reader is confined to a device.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn is_confined(&self) -> Result<bool, LedgerError> {
        is_confined(&self.database).map_err(LedgerError::sqlite(&self.path))
    }

    /// The number of a device.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn device(&self, name: &str) -> Result<Option<i64>, LedgerError> {
        if !self.has_table("devices")? {
            return Ok(None);
        }
        let found: Vec<i64> =
            self.all("SELECT id FROM devices WHERE name = ?1", [name], |row| row.get(0))?;
        Ok(found.first().copied())
    }

    /// The numbers and names of all devices, by name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn device_names(&self) -> Result<Vec<(i64, Text)>, LedgerError> {
        if !self.has_table("devices")? {
            return Ok(Vec::new());
        }
        self.all("SELECT id, name FROM devices ORDER BY name", [], |row| {
            Ok((row.get(0)?, row.get_ref(1)?.as_str()?.into()))
        })
    }

    /// All devices, and what they say of themselves, by name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn devices(&self) -> Result<Vec<Device>, LedgerError> {
        if !self.has_table("devices")? {
            return Ok(Vec::new());
        }
        let sql = "SELECT id, name, first_seen_at, last_seen_at FROM devices ORDER BY name";
        let mut devices: Vec<Device> = self.all(sql, [], |row| {
            Ok(Device {
                id: row.get(0)?,
                name: row.get_ref(1)?.as_str()?.into(),
                first_seen_at: UnixMs(row.get(2)?),
                last_seen_at: UnixMs(row.get(3)?),
                ledgers: Vec::new(),
            })
        })?;
        for device in &mut devices {
            device.ledgers = self.ledgers_of(device.id)?;
        }
        Ok(devices)
    }

    fn ledgers_of(&self, device: i64) -> Result<Vec<DeviceLedger>, LedgerError> {
        let sql = "SELECT ledger, epoch, host, agent, version, first_seen_at, last_seen_at, newest_at,
             last_seq, (SELECT coalesce(sum(g.last_seq - g.first_seq + 1), 0) FROM device_gaps g
             WHERE g.ledger = l.id), batches, accepted, duplicates, waiting, oldest_waiting_at, dropped,
             refused, last_read_at
             FROM device_ledgers l WHERE device = ?1 ORDER BY last_seen_at DESC, id DESC";
        self.all(sql, [device], |row| {
            let text = |at: usize| Ok::<Text, rusqlite::Error>(row.get_ref(at)?.as_str()?.into());
            let time =
                |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(UnixMs));
            let count = |at: usize| {
                Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(i64::cast_unsigned))
            };
            let status = match count(13)? {
                Some(waiting) => Some(SenderStatus {
                    waiting,
                    oldest_waiting_at: time(14)?,
                    dropped: count(15)?.unwrap_or(0),
                    refused: count(16)?.unwrap_or(0),
                    last_read_at: time(17)?,
                }),
                None => None,
            };
            Ok(DeviceLedger {
                sender: Sender {
                    ledger: text(0)?,
                    epoch: text(1)?,
                    host: text(2)?,
                    agent: text(3)?,
                    version: text(4)?,
                    status,
                },
                first_seen_at: UnixMs(row.get(5)?),
                last_seen_at: UnixMs(row.get(6)?),
                newest_at: time(7)?,
                last_seq: row.get(8)?,
                missing: count(9)?.unwrap_or(0),
                batches: count(10)?.unwrap_or(0),
                accepted: count(11)?.unwrap_or(0),
                duplicates: count(12)?.unwrap_or(0),
            })
        })
    }
}
