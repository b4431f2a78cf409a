//! What is outside of a cycle: the outbox of a ledger, the receiver, the clock, and chance.
//!
//! A cycle decides; this only does. What each method of [`World`] writes is one transaction.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use trueup_core::{Reply, UnixMs};
use trueup_ledger::{Destination, Frozen, Ledger, LedgerError, Outcome, Reader, Writer};
use uuid::Uuid;

use super::batch::{self, Made, Sender, Wanted};
use super::{Client, DESTINATION, Pusher, Settings};
use crate::clock;

/// What a cycle asks of the outside.
pub(crate) trait World {
    /// The time of day.
    fn now(&self) -> UnixMs;
    /// A time that never goes back.
    fn instant(&self) -> Instant;
    /// A number that nobody can foresee.
    fn random(&self) -> u64;

    /// Sends a batch. An error where there is no answer.
    fn send(&self, batch: &Frozen, time_max: Duration) -> Result<Reply, String>;

    /// Where to, and how far it has what is there.
    fn destination(&self) -> Result<Destination>;
    /// The batch that is on its way.
    fn frozen(&self) -> Result<Option<Frozen>>;
    /// The last place of the outbox.
    fn last_queued(&self) -> Result<i64>;
    /// How many records were refused for good.
    fn quarantined(&self) -> Result<u64>;
    /// After how many seconds of silence the receiver wants to hear of us; 0 is never.
    fn heartbeat_seconds(&self) -> Result<u32>;

    /// When the newest batch was made that was acknowledged.
    fn acked_batch_at(&self) -> Result<UnixMs>;

    /// Makes a batch of records.
    fn make(&self, wanted: &Wanted) -> Result<Made>;
    /// Makes a batch without records, behind this place.
    fn heartbeat(&self, after: i64) -> Result<Frozen>;
    /// Keeps a batch.
    fn freeze(&self, batch: &Frozen) -> Result<()>;
    /// Passes places over that hold nothing to send.
    fn skip(&self, until: i64) -> Result<()>;
    /// Writes down how an attempt ended, and what follows from it.
    fn settle(&self, batch: &Frozen, outcome: Outcome) -> Result<()>;
    /// Tells everything again: the receiver knows a batch of this time, which the ledger does not.
    fn tell_anew(&self, newest_at: UnixMs) -> Result<()>;

    /// An id that nobody else gives: a UUID of version 7.
    fn batch_id(&self) -> String {
        let ms = u64::try_from(self.now().0).unwrap_or(0);
        let random = u128::from(self.random()) << 64 | u128::from(self.random());
        let mut bytes = [0; 10];
        bytes.copy_from_slice(random.to_le_bytes().split_at(10).0);
        uuid::Builder::from_unix_timestamp_millis(ms, &bytes).into_uuid().to_string()
    }
}

/// The real one.
pub(crate) struct Outside {
    writer: Arc<Writer>,
    reader: Reader,
    client: Client,
    /// It is another one once everything is told anew.
    sender: RefCell<Sender>,
}

impl Pusher {
    /// A pusher of a ledger whose destination is active.
    pub(crate) fn new(writer: Arc<Writer>, reader: Reader, settings: &Settings) -> Result<Self> {
        reader.keep_little()?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let sender = Sender { identity: reader.identity()?, host, agent: settings.agent.clone() };
        let outside =
            Outside { writer, reader, client: Client::new(settings), sender: RefCell::new(sender) };
        Self::of(outside, settings.bytes_max)
    }

    /// The ledger as others write it.
    pub(crate) const fn reader(&self) -> &Reader {
        &self.world.reader
    }
}

impl Outside {
    /// Has the writer do something.
    fn write(
        &self,
        task: impl FnOnce(&mut Ledger) -> Result<(), LedgerError> + Send + 'static,
    ) -> Result<()> {
        Ok(self.writer.run(task).context("the ledger is closed")??)
    }
}

impl World for Outside {
    fn now(&self) -> UnixMs {
        clock::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn random(&self) -> u64 {
        let (one, other) = Uuid::new_v4().as_u64_pair();
        // Six bits of each are not random.
        one ^ other.rotate_left(32)
    }

    fn send(&self, batch: &Frozen, time_max: Duration) -> Result<Reply, String> {
        self.client.send(batch, &self.sender.borrow().identity, time_max)
    }

    fn destination(&self) -> Result<Destination> {
        self.reader.destination(DESTINATION)?.context("the ledger has lost its destination")
    }

    fn frozen(&self) -> Result<Option<Frozen>> {
        Ok(self.reader.frozen(DESTINATION)?)
    }

    fn last_queued(&self) -> Result<i64> {
        Ok(self.reader.last_queued()?)
    }

    fn quarantined(&self) -> Result<u64> {
        Ok(self.reader.quarantined_count(DESTINATION)?)
    }

    fn heartbeat_seconds(&self) -> Result<u32> {
        Ok(self.reader.heartbeat_seconds()?)
    }

    fn acked_batch_at(&self) -> Result<UnixMs> {
        Ok(self.reader.acked_batch_at()?)
    }

    fn make(&self, wanted: &Wanted) -> Result<Made> {
        let (id, now, sender) = (self.batch_id(), self.now(), self.sender.borrow());
        Ok(self.reader.at_once(|snapshot| batch::make(snapshot, wanted, &sender, &id, now))?)
    }

    fn heartbeat(&self, after: i64) -> Result<Frozen> {
        let (id, now, sender) = (self.batch_id(), self.now(), self.sender.borrow());
        Ok(self.reader.at_once(|snapshot| batch::heartbeat(snapshot, after, &sender, &id, now))?)
    }

    fn freeze(&self, batch: &Frozen) -> Result<()> {
        let batch = batch.clone();
        self.write(move |ledger| ledger.freeze(DESTINATION, &batch))
    }

    fn skip(&self, until: i64) -> Result<()> {
        let now = self.now();
        self.write(move |ledger| ledger.skip(DESTINATION, until, now))
    }

    fn settle(&self, batch: &Frozen, outcome: Outcome) -> Result<()> {
        let batch = batch.clone();
        self.write(move |ledger| ledger.settle(DESTINATION, &batch, &outcome))
    }

    fn tell_anew(&self, newest_at: UnixMs) -> Result<()> {
        tracing::warn!(%newest_at, "ledger_is_an_older_copy");
        self.write(move |ledger| ledger.tell_anew(newest_at))?;
        self.sender.borrow_mut().identity = self.reader.identity()?;
        Ok(())
    }
}
