//! One cycle: send until nothing is left, or until it makes no sense to go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use trueup_core::{Reply, UnixMs};
use trueup_ledger::{
    Ack, Destination, Effect, Frozen, LedgerError, Outcome, Reader, Rejected, Writer,
};
use uuid::Uuid;

use super::batch::{self, Made, Sender, Wanted};
use super::compress::IDENTITY;
use super::hunt::Hunt;
use super::verdict::{Verdict, encoding};
use super::{Client, DESTINATION, Settings};
use crate::clock;
use crate::net::{backoff, random};

/// Tries of one batch in a cycle.
const TRIES_MAX: u32 = 5;
/// How long a cycle goes on trying the same batch.
const TRYING_TIME_MAX: Duration = Duration::from_secs(25);
/// How long a receiver may take over one request.
const REQUEST_TIME_MAX: Duration = Duration::from_mins(1);
/// Least time that a request is given at the end of the process.
const REQUEST_TIME_MIN: Duration = Duration::from_millis(200);
/// Records of the batch that tries whether a receiver is there again.
const PROBE_EVENTS: u64 = 10;
/// A receiver that finds even this too large for one record will not take it at any size.
const SINGLE_BYTES_MIN: u64 = 16 << 10;
/// Records refused one after the other, with none taken between, after which it is no longer the
/// records that are taken to be wrong.
const REFUSED_IN_A_ROW_MAX: u32 = 8;

/// How much trouble a cycle takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tries {
    /// Every batch several times.
    Many,
    /// Whether a receiver that failed is there again: once, with little.
    Probe,
    /// The process ends: once, and not beyond this moment.
    Last(Instant),
}

/// How a cycle ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing is left.
    Drained,
    /// The receiver asked to be left alone until then.
    Waiting(UnixMs),
    /// It could not be reached, or failed.
    Failed(String),
    /// It takes nothing, whatever it is: its owner must act.
    Paused(String),
    /// The process ends.
    Stopped,
}

/// What a cycle did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cycle {
    pub(crate) end: End,
    /// Records that the receiver took.
    pub(crate) pushed: u64,
    /// Requests that were answered well, and others.
    pub(crate) requests: (u64, u64),
    /// Records that were refused for good.
    pub(crate) quarantined: u64,
}

/// Sends what is in the outbox of a ledger.
pub(crate) struct Pusher {
    writer: Arc<Writer>,
    reader: Reader,
    client: Client,
    sender: Sender,
    bytes_max: u64,
    /// What the receiver found not too large.
    learned_bytes_max: u64,
    /// How large the one record alone may be that was found too large.
    single_bytes_max: Option<u64>,
    hunt: Option<Hunt>,
    refused_in_a_row: u32,
}

/// What happens next.
enum Next {
    /// The next batch.
    Go,
    /// The same again, after a wait where one was asked for.
    Again(String, Option<Duration>),
    End(End),
}

impl Pusher {
    /// A pusher of a ledger whose destination is active.
    pub(crate) fn new(writer: Arc<Writer>, reader: Reader, settings: &Settings) -> Result<Self> {
        reader.keep_little()?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let sender = Sender { identity: reader.identity()?, host, agent: settings.agent.clone() };
        Ok(Self {
            writer,
            reader,
            client: Client::new(settings),
            sender,
            bytes_max: settings.bytes_max,
            learned_bytes_max: settings.bytes_max,
            single_bytes_max: None,
            hunt: None,
            refused_in_a_row: 0,
        })
    }

    /// The ledger as others write it.
    pub(crate) const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Sends until nothing is left. `wait` waits, or says that the process ends.
    pub(crate) fn cycle(&mut self, tries: Tries, wait: &dyn Fn(Duration) -> bool) -> Cycle {
        let mut cycle = Cycle { end: End::Drained, pushed: 0, requests: (0, 0), quarantined: 0 };
        let quarantined_before = self.quarantined();
        // A receiver that took less for a while may take more again.
        self.learned_bytes_max = self.learned_bytes_max.saturating_mul(2).min(self.bytes_max);
        cycle.end = self
            .run(tries, wait, &mut cycle)
            .unwrap_or_else(|error| End::Failed(format!("{error:#}")));
        let counts = self.quarantined().zip(quarantined_before);
        cycle.quarantined = counts.map_or(0, |(now, before)| now.saturating_sub(before));
        cycle
    }

    /// Records that were refused for good, as they are written down: what a receiver put off too
    /// often is among them. `None` where the ledger cannot be asked now.
    fn quarantined(&self) -> Option<u64> {
        self.reader.quarantined_count(DESTINATION).ok()
    }

    fn run(
        &mut self,
        mut tries: Tries,
        wait: &dyn Fn(Duration) -> bool,
        cycle: &mut Cycle,
    ) -> Result<End> {
        let mut trying = Trying::default();
        // What is put off comes again behind this place, in the next cycle.
        let mut horizon = i64::MAX;
        loop {
            let is_ending = !matches!(tries, Tries::Last(_)) && !wait(Duration::ZERO);
            let Some(time_max) = time_left(tries).filter(|_| !is_ending) else {
                return Ok(End::Stopped);
            };
            let destination = self.destination()?;
            if let Some(end) = hold(&destination, tries, wait) {
                return Ok(end);
            }
            let frozen = match self.reader.frozen(DESTINATION)? {
                Some(batch) => Some(batch),
                None => self.freeze(&destination, tries, horizon)?,
            };
            let Some(batch) = frozen else { return Ok(End::Drained) };
            match self.send(&batch, &destination, time_max, cycle, &mut horizon)? {
                Next::End(end) => return Ok(end),
                Next::Go => {
                    trying = Trying::default();
                    if tries == Tries::Probe {
                        tries = Tries::Many;
                    }
                }
                Next::Again(reason, asked) => match trying.pause(asked) {
                    Some(pause) if tries == Tries::Many => {
                        if !wait(pause) {
                            return Ok(End::Stopped);
                        }
                    }
                    Some(_) | None => return Ok(End::Failed(reason)),
                },
            }
        }
    }

    fn destination(&self) -> Result<Destination> {
        self.reader.destination(DESTINATION)?.context("the ledger has lost its destination")
    }

    /// Makes the next batch and keeps it; `None` where nothing is left to send.
    fn freeze(
        &mut self,
        destination: &Destination,
        tries: Tries,
        horizon: i64,
    ) -> Result<Option<Frozen>> {
        let mut after = destination.acked_seq;
        loop {
            if self.hunt.is_some_and(|hunt| hunt.until <= after) {
                self.hunt = None;
            }
            let wanted = self.wanted(after, &destination.encoding, tries, horizon);
            let now = clock::now();
            let id = batch_id(now);
            let made = self
                .reader
                .at_once(|snapshot| batch::make(snapshot, &wanted, &self.sender, &id, now));
            match made? {
                Made::Batch(batch) => {
                    let kept = batch.clone();
                    self.write(move |ledger| ledger.freeze(DESTINATION, &kept))?;
                    return Ok(Some(batch));
                }
                Made::Nothing(until) => {
                    if until > after {
                        self.write(move |ledger| ledger.skip(DESTINATION, until, now))?;
                    }
                    if self.hunt.take().is_some() && until < horizon {
                        after = until;
                        continue;
                    }
                    return Ok(None);
                }
                Made::TooLarge(seq) => {
                    self.quarantine_unsent(seq, now)?;
                    self.single_bytes_max = None;
                    after = seq;
                }
            }
        }
    }

    fn wanted(&self, after: i64, encoding: &str, tries: Tries, horizon: i64) -> Wanted {
        let hunted = self.hunt.map_or(u64::MAX, Hunt::events_max);
        let probed = if tries == Tries::Probe { PROBE_EVENTS } else { u64::MAX };
        let alone = if self.single_bytes_max.is_some() { 1 } else { u64::MAX };
        Wanted {
            after,
            until: self.hunt.map_or(i64::MAX, |hunt| hunt.until).min(horizon),
            events_max: hunted.min(probed).min(alone),
            bytes_max: self.learned_bytes_max,
            single_bytes_max: self.single_bytes_max.unwrap_or(self.bytes_max),
            encoding: encoding.to_owned(),
        }
    }

    /// A record that fits into no request: it is told as if it had been refused.
    fn quarantine_unsent(&self, seq: i64, now: UnixMs) -> Result<()> {
        let reason = "larger than push_max_bytes even without its texts";
        let batch = Frozen {
            id: batch_id(now),
            created_at: now,
            first_seq: seq,
            last_seq: seq,
            events: 1,
            bytes: 0,
            is_cut: true,
            encoding: IDENTITY.to_owned(),
            attempts: 0,
            body: Arc::default(),
        };
        let outcome = Outcome {
            at: now,
            duration_ms: 0,
            status: "quarantined",
            http_status: None,
            error: Some(reason.to_owned()),
            encoding: None,
            effect: refusal(seq, reason),
        };
        self.write(move |ledger| ledger.settle(DESTINATION, &batch, &outcome))
    }

    /// Sends a batch, and writes down what came of it.
    fn send(
        &mut self,
        batch: &Frozen,
        destination: &Destination,
        time_max: Duration,
        cycle: &mut Cycle,
        horizon: &mut i64,
    ) -> Result<Next> {
        let (at, start) = (clock::now(), Instant::now());
        let answer = self.client.send(batch, &self.sender.identity, time_max);
        let duration = start.elapsed();
        let now = clock::now();
        let http_status = answer.as_ref().ok().map(|reply| reply.status);
        let verdict = match &answer {
            Ok(reply) => Verdict::of(reply, batch, now),
            Err(error) => Verdict::Later(error.clone(), None),
        };
        if matches!(verdict, Verdict::Taken(..)) {
            cycle.requests.0 += 1;
        } else {
            cycle.requests.1 += 1;
        }
        if let Verdict::Taken(ack, _) = &verdict {
            // A receiver may also list places whose record is gone.
            let untaken = (ack.rejected.len() + ack.postponed.len()) as u64;
            cycle.pushed += batch.events.saturating_sub(untaken);
            if !ack.postponed.is_empty() && *horizon == i64::MAX {
                *horizon = self.reader.last_queued()?;
            }
        }
        let mut outcome = Outcome {
            at,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            status: "ok",
            http_status,
            error: None,
            encoding: None,
            effect: Effect::Dropped,
        };
        let next = self.judge(batch, verdict, answer.ok().as_ref(), now, &mut outcome);
        outcome.encoding = outcome.encoding.filter(|encoding| *encoding != destination.encoding);
        let kept = batch.clone();
        self.write(move |ledger| ledger.settle(DESTINATION, &kept, &outcome))?;
        Ok(next)
    }

    /// What follows from a verdict: for the batch, and for what is sent next.
    fn judge(
        &mut self,
        batch: &Frozen,
        verdict: Verdict,
        reply: Option<&Reply>,
        now: UnixMs,
        outcome: &mut Outcome,
    ) -> Next {
        match verdict {
            Verdict::Taken(mut ack, pause) => {
                outcome.encoding = reply.and_then(encoding);
                ack.next_at = pause.map(|pause| later(now, pause));
                outcome.effect = Effect::Acked(ack);
                self.hunt = self.hunt.and_then(|hunt| hunt.taken(batch.events));
                self.single_bytes_max = None;
                self.refused_in_a_row = 0;
                Next::Go
            }
            Verdict::Later(reason, asked) => {
                outcome.status = "retry";
                outcome.error = Some(reason.clone());
                outcome.effect = Effect::Kept(asked.map(|wait| later(now, wait)));
                Next::Again(reason, asked)
            }
            Verdict::Shut(reason) => {
                outcome.status = "paused";
                outcome.error = Some(reason.clone());
                outcome.effect = Effect::Kept(None);
                Next::End(End::Paused(reason))
            }
            Verdict::Conflict => {
                let reason = "HTTP 409: the batch gets a new id".to_owned();
                outcome.status = "refused";
                outcome.error = Some(reason.clone());
                Next::Again(reason, None)
            }
            Verdict::Unread => unread(batch, reply, outcome),
            Verdict::TooLarge => self.too_large(batch, outcome),
            Verdict::Refused(reason) => self.refused(batch, reason, outcome),
        }
    }

    /// 413: half of it, or one record with its texts cut, or none.
    fn too_large(&mut self, batch: &Frozen, outcome: &mut Outcome) -> Next {
        let reason = format!("HTTP 413: {} bytes are too many", batch.bytes);
        outcome.error = Some(reason.clone());
        let half = batch.bytes / 2;
        if batch.events > 1 {
            outcome.status = "refused";
            self.learned_bytes_max = half;
            return Next::Go;
        }
        if half >= SINGLE_BYTES_MIN {
            outcome.status = "refused";
            self.single_bytes_max = Some(half);
            return Next::Go;
        }
        self.quarantine(batch, reason, outcome)
    }

    /// 4xx: the record that is not taken is looked for.
    fn refused(&mut self, batch: &Frozen, reason: String, outcome: &mut Outcome) -> Next {
        outcome.error = Some(reason.clone());
        if batch.events > 1 {
            outcome.status = "refused";
            self.hunt = Some(Hunt::refused(batch.last_seq, batch.events));
            return Next::Go;
        }
        if self.refused_in_a_row >= REFUSED_IN_A_ROW_MAX {
            outcome.status = "paused";
            outcome.effect = Effect::Kept(None);
            return Next::End(End::Paused(format!(
                "{reason} ({REFUSED_IN_A_ROW_MAX} records were refused one after the other)"
            )));
        }
        self.quarantine(batch, reason, outcome)
    }

    fn quarantine(&mut self, batch: &Frozen, reason: String, outcome: &mut Outcome) -> Next {
        outcome.status = "quarantined";
        outcome.effect = refusal(batch.last_seq, &reason);
        outcome.error = Some(reason);
        self.hunt = None;
        self.single_bytes_max = None;
        self.refused_in_a_row += 1;
        Next::Go
    }

    /// Has the writer do something.
    fn write(
        &self,
        task: impl FnOnce(&mut trueup_ledger::Ledger) -> Result<(), LedgerError> + Send + 'static,
    ) -> Result<()> {
        Ok(self.writer.run(task).context("the ledger is closed")??)
    }
}

/// 415: another encoding, unless there is none left.
fn unread(batch: &Frozen, reply: Option<&Reply>, outcome: &mut Outcome) -> Next {
    let reason = format!("HTTP 415: `{}` is not read there", batch.encoding);
    outcome.error = Some(reason.clone());
    if batch.encoding == IDENTITY {
        outcome.status = "paused";
        outcome.effect = Effect::Kept(None);
        return Next::End(End::Paused(reason));
    }
    outcome.status = "refused";
    let named = reply.and_then(encoding);
    let other = named.filter(|named| *named != batch.encoding);
    outcome.encoding = Some(other.unwrap_or(IDENTITY));
    // Counted: a receiver that names one encoding and refuses it could do so for ever.
    Next::Again(reason, Some(Duration::ZERO))
}

/// Tries of one batch that failed.
#[derive(Debug, Default)]
struct Trying {
    count: u32,
    since: Option<Instant>,
}

impl Trying {
    /// One more has failed: the wait before the next; `None` where it was the last.
    fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.count += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        let pause = asked.unwrap_or_else(|| backoff(self.count, random()));
        let is_over = self.count >= TRIES_MAX || since.elapsed() + pause > TRYING_TIME_MAX;
        (!is_over).then_some(pause)
    }
}

/// Waits as a receiver asked; how the cycle ends where it does not wait that long.
fn hold(destination: &Destination, tries: Tries, wait: &dyn Fn(Duration) -> bool) -> Option<End> {
    let now = clock::now();
    let until = destination.next_at.filter(|until| *until > now)?;
    let left = Duration::from_millis(until.0.abs_diff(now.0));
    if tries != Tries::Many || left > TRYING_TIME_MAX {
        return Some(End::Waiting(until));
    }
    (!wait(left)).then_some(End::Stopped)
}

/// How long the next request may take; `None` where the process has no time left for one.
fn time_left(tries: Tries) -> Option<Duration> {
    match tries {
        Tries::Many | Tries::Probe => Some(REQUEST_TIME_MAX),
        Tries::Last(deadline) => deadline
            .checked_duration_since(Instant::now())
            .filter(|left| *left >= REQUEST_TIME_MIN)
            .map(|left| left.min(REQUEST_TIME_MAX)),
    }
}

fn later(now: UnixMs, wait: Duration) -> UnixMs {
    let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    UnixMs(now.0.saturating_add(ms))
}

/// The one record of a batch is never taken: its place is the batch's last.
fn refusal(seq: i64, reason: &str) -> Effect {
    let rejected = vec![Rejected { seq, reason: reason.to_owned() }];
    Effect::Acked(Ack { rejected, ..Ack::default() })
}

/// An id that nobody else gives: a UUID of version 7.
fn batch_id(now: UnixMs) -> String {
    let ms = u64::try_from(now.0).unwrap_or(0);
    let (random, more) = Uuid::new_v4().as_u64_pair();
    let mut bytes = [0; 10];
    let random = (u128::from(random) << 64 | u128::from(more)).to_le_bytes();
    bytes.copy_from_slice(random.split_at(10).0);
    uuid::Builder::from_unix_timestamp_millis(ms, &bytes).into_uuid().to_string()
}
