//! What is kept of devices beside what they tell: how each said that it is, its batches, and its token.
//! All of it is on the first shard, for there is little.

use trueup_core::{BatchHead, Delivery, HubToken, Sender, SenderStatus, Text, UnixMs, Word};

use crate::day::Day;
use crate::native::{Columns, Get, NativeError, Row};
use crate::quote::quoted;
use crate::schema::millis;
use crate::statement::{Purpose, Statement};
use crate::usage::time;

/// A ledger of a device, as it said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceState {
    /// Whose it is.
    pub tenant: Text,
    /// The name on its token.
    pub device: Text,
    /// What it said of itself.
    pub sender: Sender,
    /// When it said so, by its own clock: of two words of one ledger the later one holds.
    pub told: UnixMs,
    /// When that came.
    pub seen: UnixMs,
    /// The last place that it told of.
    pub last_seq: Option<i64>,
    /// When the newest of the records happened that it told of then.
    pub newest: Option<UnixMs>,
}

impl DeviceState {
    /// What a delivery says of its sender.
    #[must_use]
    pub fn of(tenant: &str, delivery: &Delivery, seen: UnixMs) -> Self {
        let batch = delivery.batch.as_ref();
        Self {
            tenant: tenant.into(),
            device: delivery.device.clone(),
            sender: delivery.sender.clone(),
            told: batch.map_or(seen, |batch| batch.created_at),
            seen,
            last_seq: batch.map(|batch| batch.last_seq),
            newest: newest_of(delivery),
        }
    }

    fn status(&self) -> Option<&SenderStatus> {
        self.sender.status.as_ref()
    }
}

/// When the newest of the records happened that a delivery tells of.
#[must_use]
pub fn newest_of(delivery: &Delivery) -> Option<UnixMs> {
    let is_told = |word: &&Word| matches!(word, Word::Is(_));
    delivery.words.iter().filter(is_told).map(|word| word.id().time()).max()
}

/// Keeps what devices said of themselves.
#[must_use]
pub fn keep_devices(states: &[DeviceState]) -> Statement {
    let columns = Columns::new()
        .with("tenant", Get::Text(|it: &DeviceState| &it.tenant))
        .with("device", Get::Text(|it| &it.device))
        .with("ledger", Get::Text(|it| &it.sender.ledger))
        .with("epoch", Get::Text(|it| &it.sender.epoch))
        .with("told_ms", Get::U64(|it| millis(it.told)))
        .with("seen_ms", Get::U64(|it| millis(it.seen)))
        .with("host", Get::Text(|it| &it.sender.host))
        .with("agent", Get::Text(|it| &it.sender.agent))
        .with("version", Get::Text(|it| &it.sender.version))
        .with("last_seq", Get::MaybeI64(|it| it.last_seq))
        .with("newest_ms", Get::MaybeU64(|it| it.newest.map(millis)))
        .with("waiting", Get::MaybeU64(|it| Some(it.status()?.waiting)))
        .with("oldest_waiting_ms", Get::MaybeU64(|it| it.status()?.oldest_waiting_at.map(millis)))
        .with("dropped", Get::MaybeU64(|it| Some(it.status()?.dropped)))
        .with("refused", Get::MaybeU64(|it| Some(it.status()?.refused)))
        .with("last_read_ms", Get::MaybeU64(|it| it.status()?.last_read_at.map(millis)));
    Statement::insert("device_state", &columns, states)
}

/// Asks for a tenant's devices, by name, each with its ledgers, the last heard of first: [`device_of`]
/// reads each row.
#[must_use]
pub fn devices(tenant: &str) -> Statement {
    let sql = format!(
        "SELECT tenant, device, ledger, epoch, told_ms, seen_ms, host, agent, version, last_seq,
            newest_ms, waiting, oldest_waiting_ms, dropped, refused, last_read_ms
         FROM device_state FINAL WHERE tenant = {}
         ORDER BY device, seen_ms DESC, ledger, epoch",
        quoted(tenant)
    );
    Statement::new(Purpose::Ask, sql)
}

/// Asks whether there are any devices, or one of a name: a row where there are.
#[must_use]
pub fn known_devices(tenant: &str, device: Option<&str>) -> Statement {
    let device = device.map_or(String::new(), |device| format!("AND device = {}", quoted(device)));
    let sql = format!(
        "SELECT device FROM device_state WHERE tenant = {} {device} LIMIT 1",
        quoted(tenant)
    );
    Statement::new(Purpose::Ask, sql)
}

/// A ledger of a device.
///
/// # Errors
/// What is no row of the answer.
pub fn device_of(row: Row<'_>) -> Result<DeviceState, NativeError> {
    let status = match row.maybe_unsigned("waiting")? {
        Some(waiting) => Some(SenderStatus {
            waiting,
            oldest_waiting_at: maybe_time(row, "oldest_waiting_ms")?,
            dropped: row.maybe_unsigned("dropped")?.unwrap_or(0),
            refused: row.maybe_unsigned("refused")?.unwrap_or(0),
            last_read_at: maybe_time(row, "last_read_ms")?,
        }),
        None => None,
    };
    Ok(DeviceState {
        tenant: row.text("tenant")?.into(),
        device: row.text("device")?.into(),
        sender: Sender {
            ledger: row.text("ledger")?.into(),
            epoch: row.text("epoch")?.into(),
            host: row.text("host")?.into(),
            agent: row.text("agent")?.into(),
            version: row.text("version")?.into(),
            status,
        },
        told: time(row, "told_ms")?,
        seen: time(row, "seen_ms")?,
        last_seq: row.maybe_signed("last_seq")?,
        newest: maybe_time(row, "newest_ms")?,
    })
}

fn maybe_time(row: Row<'_>, column: &'static str) -> Result<Option<UnixMs>, NativeError> {
    let ms = row.maybe_unsigned(column)?.map(i64::try_from).transpose();
    ms.map(|ms| ms.map(UnixMs)).map_err(|_| NativeError::Value { column })
}

/// A batch that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchTaken {
    /// Whose it is.
    pub tenant: Text,
    /// The device that sent it.
    pub device: Text,
    /// Of which ledger.
    pub ledger: Text,
    /// Of which of its epochs.
    pub epoch: Text,
    /// Which batch.
    pub head: BatchHead,
    /// When the newest of its records happened.
    pub newest: Option<UnixMs>,
    /// How many words were kept of it.
    pub words: u64,
    /// When it came.
    pub seen: UnixMs,
}

/// Keeps which batches were taken. To be sent behind what is in them.
#[must_use]
pub fn keep_batches(batches: &[BatchTaken]) -> Vec<Statement> {
    let columns = Columns::new()
        .with("tenant", Get::Text(|it: &BatchTaken| &it.tenant))
        .with("day", Get::Date(|it| Day::near(it.head.created_at).number()))
        .with("batch_id", Get::Text(|it| &it.head.id))
        .with("sha256", Get::Text(|it| &it.head.sha256))
        .with("device", Get::Text(|it| &it.device))
        .with("ledger", Get::Text(|it| &it.ledger))
        .with("epoch", Get::Text(|it| &it.epoch))
        .with("first_seq", Get::MaybeI64(|it| Some(it.head.first_seq)))
        .with("last_seq", Get::MaybeI64(|it| Some(it.head.last_seq)))
        .with("newest_ms", Get::MaybeU64(|it| it.newest.map(millis)))
        .with("words", Get::U64(|it| it.words))
        .with("seen_ms", Get::U64(|it| millis(it.seen)));
    let week = |batch: &BatchTaken| Day::near(batch.head.created_at).monday();
    let mut sorted = batches.to_vec();
    sorted.sort_by_key(week);
    let parts = sorted.chunk_by(|one, next| week(one) == week(next));
    parts.map(|part| Statement::insert("batch", &columns, part)).collect()
}

/// Asks what is known of batches of these names: [`known_batch_of`] reads each row.
#[must_use]
pub fn known_batches(batches: &[(&str, &BatchHead)]) -> Statement {
    let key = |(tenant, head): &(&str, &BatchHead)| {
        let day = Day::near(head.created_at).sql();
        format!("({}, {day}, {})", quoted(tenant), quoted(&head.id))
    };
    let keys: Vec<String> = batches.iter().map(key).collect();
    let sql = format!(
        "SELECT tenant, batch_id, sha256, words FROM batch FINAL WHERE (tenant, day, batch_id) IN ({})",
        keys.join(", ")
    );
    Statement::new(Purpose::Read, sql)
}

/// A batch that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBatch {
    /// Whose it is.
    pub tenant: Text,
    /// Its name.
    pub id: Text,
    /// The hash of its events.
    pub sha256: Text,
    /// How many words were kept of it.
    pub words: u64,
}

/// A batch that is known.
///
/// # Errors
/// What is no row of the answer.
pub fn known_batch_of(row: Row<'_>) -> Result<KnownBatch, NativeError> {
    let text = |column| row.text(column).map(Text::from);
    Ok(KnownBatch {
        tenant: text("tenant")?,
        id: text("batch_id")?,
        sha256: text("sha256")?,
        words: row.unsigned("words")?,
    })
}

/// The batches of a ledger of a device, as far as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchesTaken {
    /// How many.
    pub batches: u64,
    /// How many words were kept of them; some may have said nothing new.
    pub words: u64,
    /// When the first one came.
    pub first_seen: UnixMs,
    /// The last place that they told of.
    pub last_seq: Option<i64>,
    /// When the newest of their records happened.
    pub newest: Option<UnixMs>,
    /// Places between their first and their last one that none of them told of.
    pub missing: u64,
}

/// Asks for the batches of a tenant's devices, by device, ledger and epoch: [`taken_of`] reads each row.
///
/// Where all begin and where all end is sorted apart from each other: where the next one begins behind the
/// end of as many as began before it, nobody told of what lies between, however they overlap.
#[must_use]
pub fn taken(tenant: &str) -> Statement {
    let sql = format!(
        "SELECT device, ledger, epoch, count() AS batches, sum(words) AS sum_words,
            min(seen_ms) AS first_seen_ms, max(last_seq) AS max_seq, max(newest_ms) AS max_newest_ms,
            toUInt64(arraySum(arrayMap((next, end) -> if(next > end + 1, next - end - 1, 0),
                arrayPopFront(arraySort(groupArray(ifNull(first_seq, toInt64(0))))),
                arrayPopBack(arraySort(groupArray(ifNull(last_seq, toInt64(0)))))))) AS missing
         FROM batch FINAL WHERE tenant = {}
         GROUP BY device, ledger, epoch",
        quoted(tenant)
    );
    Statement::new(Purpose::Ask, sql)
}

/// The batches of a ledger: device, ledger and epoch, and what is known of them.
///
/// # Errors
/// What is no row of the answer.
pub fn taken_of(row: Row<'_>) -> Result<([Text; 3], BatchesTaken), NativeError> {
    let text = |column| row.text(column).map(Text::from);
    let taken = BatchesTaken {
        batches: row.unsigned("batches")?,
        words: row.unsigned("sum_words")?,
        first_seen: time(row, "first_seen_ms")?,
        last_seq: row.maybe_signed("max_seq")?,
        newest: maybe_time(row, "max_newest_ms")?,
        missing: row.unsigned("missing")?,
    };
    Ok(([text("device")?, text("ledger")?, text("epoch")?], taken))
}

/// Keeps tokens, each in the place of one with its id.
#[must_use]
pub fn keep_tokens(tokens: &[HubToken]) -> Statement {
    let columns = Columns::new()
        .with("id", Get::Text(|(it, _): &(&HubToken, String)| &it.id))
        .with("ver", Get::U64(|(it, _)| millis(it.revoked_at.unwrap_or(it.created_at))))
        .with("hash", Get::Text(|(_, hash)| hash))
        .with("tenant", Get::Text(|(it, _)| &it.tenant))
        .with("device", Get::MaybeText(|(it, _)| it.device.as_deref()))
        .with("created_ms", Get::U64(|(it, _)| millis(it.created_at)))
        .with("revoked_ms", Get::MaybeU64(|(it, _)| it.revoked_at.map(millis)));
    let hex = |token: &HubToken| token.hash.map(|byte| format!("{byte:02x}")).concat();
    let rows: Vec<_> = tokens.iter().map(|token| (token, hex(token))).collect();
    Statement::insert("hub_token", &columns, &rows)
}

/// Asks for all tokens, in the order in which they were made: [`token_of`] reads each row.
#[must_use]
pub fn tokens() -> Statement {
    let sql = "SELECT id, hash, tenant, device, created_ms, revoked_ms FROM hub_token FINAL
         ORDER BY created_ms, id";
    Statement::new(Purpose::Read, sql)
}

/// A token.
///
/// # Errors
/// What is no row of the answer.
pub fn token_of(row: Row<'_>) -> Result<HubToken, NativeError> {
    let wrong = || NativeError::Value { column: "hash" };
    let mut hash = [0; 32];
    let digits = row.text("hash")?;
    for (at, byte) in hash.iter_mut().enumerate() {
        let digits = digits.get(at * 2..at * 2 + 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(HubToken {
        id: row.text("id")?.into(),
        hash,
        tenant: row.text("tenant")?.into(),
        device: row.maybe_text("device")?.map(Text::from),
        created_at: time(row, "created_ms")?,
        revoked_at: maybe_time(row, "revoked_ms")?,
    })
}
