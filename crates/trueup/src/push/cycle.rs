//! One cycle: send until nothing is left, or until it makes no sense to go on.
//!
//! What happens outside (the outbox, the receiver, the clock, chance) is a [`World`], so that the tests in
//! `sim.rs` can put a cycle into thousands of bad ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use trueup_core::{Reply, UnixMs};
use trueup_ledger::{Ack, Destination, Effect, Frozen, Outcome, Rejected};

use super::batch::{Made, Wanted};
use super::compress::IDENTITY;
use super::hunt::Hunt;
use super::verdict::{Verdict, encoding, wishes};
use super::world::{Outside, World};
use crate::net::backoff;

/// Tries of one batch in a cycle.
const TRIES_MAX: u32 = 5;
/// How long a cycle goes on trying the same batch.
const TRYING_TIME_MAX: Duration = Duration::from_secs(25);
/// The longest that a receiver can ask to be left alone for: where it seems to be longer, the clock was
/// set back.
const HOLD_TIME_MAX: Duration = Duration::from_hours(1);
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
    /// How often the receiver wants to hear of us, where it said so.
    pub(crate) asked_interval: Option<Duration>,
}

/// Sends what is in the outbox of a ledger.
pub(crate) struct Pusher<W = Outside> {
    pub(super) world: W,
    bytes_max: u64,
    /// What the receiver found not too large.
    learned_bytes_max: u64,
    /// How large the one record alone may be that was found too large.
    single_bytes_max: Option<u64>,
    hunt: Option<Hunt>,
    refused_in_a_row: u32,
    /// After how many seconds of silence the receiver wants to hear that we are there; 0 is never.
    heartbeat_seconds: u32,
    /// Everything was told anew: once, whatever the receiver says. Nobody puts a ledger back that is open.
    has_told_anew: bool,
    /// When something was last taken; `None` where nothing was since the start.
    taken_at: Option<Instant>,
}

/// What happens next.
enum Next {
    /// The next batch.
    Go,
    /// The same again, after a wait where one was asked for.
    Again(String, Option<Duration>),
    End(End),
}

impl<W: World> Pusher<W> {
    /// A pusher into this world, whose destination is active.
    pub(super) fn of(world: W, bytes_max: u64) -> Result<Self> {
        let heartbeat_seconds = world.heartbeat_seconds()?;
        Ok(Self {
            world,
            bytes_max,
            learned_bytes_max: bytes_max,
            single_bytes_max: None,
            hunt: None,
            refused_in_a_row: 0,
            heartbeat_seconds,
            has_told_anew: false,
            taken_at: None,
        })
    }

    /// Sends until nothing is left. `wait` waits, or says that the process ends.
    pub(crate) fn cycle(&mut self, tries: Tries, wait: &dyn Fn(Duration) -> bool) -> Cycle {
        let mut cycle = Cycle {
            end: End::Drained,
            pushed: 0,
            requests: (0, 0),
            quarantined: 0,
            asked_interval: None,
        };
        // Records that were refused for good, as they are written down: what a receiver put off too
        // often is among them.
        let quarantined_before = self.world.quarantined().ok();
        // A receiver that took less for a while may take more again.
        self.learned_bytes_max = self.learned_bytes_max.saturating_mul(2).min(self.bytes_max);
        cycle.end = self
            .run(tries, wait, &mut cycle)
            .unwrap_or_else(|error| End::Failed(format!("{error:#}")));
        let counts = self.world.quarantined().ok().zip(quarantined_before);
        cycle.quarantined = counts.map_or(0, |(now, before)| now.saturating_sub(before));
        cycle
    }

    /// How long the receiver may still be left without a word; `None` where it does not mind.
    pub(crate) fn silence_left(&self) -> Option<Duration> {
        let longest = Duration::from_secs(self.heartbeat_seconds.into());
        let silence = self.taken_at.map(|at| self.world.instant().saturating_duration_since(at));
        (!longest.is_zero())
            .then(|| silence.map_or(Duration::ZERO, |silence| longest.saturating_sub(silence)))
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
            let Some(time_max) = time_left(tries, self.world.instant()).filter(|_| !is_ending)
            else {
                return Ok(End::Stopped);
            };
            let destination = self.world.destination()?;
            if let Some(end) = hold(&destination, tries, self.world.now(), wait) {
                return Ok(end);
            }
            let frozen = match self.world.frozen()? {
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
                Next::Again(reason, asked) => match trying.pause(asked, &self.world) {
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
            match self.world.make(&wanted)? {
                Made::Batch(batch) => {
                    self.world.freeze(&batch)?;
                    return Ok(Some(batch));
                }
                Made::Nothing(until) => {
                    if until > after {
                        self.world.skip(until)?;
                    }
                    if self.hunt.take().is_some() && until < horizon {
                        after = until;
                        continue;
                    }
                    return self.heartbeat(until, tries);
                }
                Made::TooLarge(seq) => {
                    self.quarantine_unsent(seq)?;
                    self.single_bytes_max = None;
                    after = seq;
                }
            }
        }
    }

    /// Says that we are there, where the receiver wants to hear it and was told nothing for long enough.
    fn heartbeat(&self, after: i64, tries: Tries) -> Result<Option<Frozen>> {
        let is_due = self.silence_left().is_some_and(|left| left.is_zero());
        if !is_due || matches!(tries, Tries::Last(_)) {
            return Ok(None);
        }
        let batch = self.world.heartbeat(after)?;
        self.world.freeze(&batch)?;
        Ok(Some(batch))
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
    fn quarantine_unsent(&self, seq: i64) -> Result<()> {
        let reason = "larger than push_max_bytes even without its texts";
        let now = self.world.now();
        let batch = Frozen {
            id: self.world.batch_id(),
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
            heartbeat_seconds: None,
            effect: refusal(seq, reason),
        };
        self.world.settle(&batch, outcome)
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
        let (at, start) = (self.world.now(), self.world.instant());
        let answer = self.world.send(batch, time_max);
        let duration = self.world.instant().saturating_duration_since(start);
        let now = self.world.now();
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
                *horizon = self.world.last_queued()?;
            }
        }
        let mut outcome = Outcome {
            at,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            status: "ok",
            http_status,
            error: None,
            encoding: None,
            heartbeat_seconds: None,
            effect: Effect::Dropped,
        };
        let reply = answer.ok();
        let next = self.judge(batch, verdict, reply.as_ref(), now, &mut outcome);
        outcome.encoding = outcome.encoding.filter(|encoding| *encoding != destination.encoding);
        let wishes = reply.as_ref().map(wishes).unwrap_or_default();
        cycle.asked_interval = wishes.interval.or(cycle.asked_interval);
        outcome.heartbeat_seconds =
            wishes.heartbeat_seconds.filter(|wanted| *wanted != self.heartbeat_seconds);
        self.heartbeat_seconds = wishes.heartbeat_seconds.unwrap_or(self.heartbeat_seconds);
        if let Some(newest_at) = wishes.newest_at.filter(|_| !self.has_told_anew)
            && newest_at > self.world.acked_batch_at()?
        {
            self.has_told_anew = true;
            // An older copy of the ledger was put in its place. Before the acknowledgement is noted: with
            // it this would no longer show.
            self.world.tell_anew(newest_at)?;
            self.hunt = None;
        }
        self.world.settle(batch, outcome)?;
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
        let is_heartbeat = batch.events == 0;
        match verdict {
            Verdict::Conflict
            | Verdict::Unread
            | Verdict::TooLarge
            | Verdict::Unheard(_)
            | Verdict::Refused(_)
                if is_heartbeat =>
            {
                self.unheard(reply, outcome)
            }
            Verdict::Taken(mut ack, pause) => {
                outcome.encoding = reply.and_then(encoding);
                ack.next_at = pause.map(|pause| later(now, pause));
                outcome.effect = Effect::Acked(ack);
                self.hunt = self.hunt.and_then(|hunt| hunt.taken(batch.events));
                self.taken_at = Some(self.world.instant());
                if !is_heartbeat {
                    self.single_bytes_max = None;
                    self.refused_in_a_row = 0;
                }
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
            Verdict::Unheard(reason) => self.unread_answer(batch, reason, outcome),
            Verdict::Refused(reason) => self.refused(batch, reason, outcome),
        }
    }

    /// A batch without records is not taken, although it was asked for: none is sent again before another
    /// reply asks for one, or the next start.
    fn unheard(&mut self, reply: Option<&Reply>, outcome: &mut Outcome) -> Next {
        outcome.status = "refused";
        outcome.error = reply.map(Reply::words);
        self.heartbeat_seconds = 0;
        Next::Go
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

    /// An answer that is too long to be read: half of the batch gets half of it.
    fn unread_answer(&mut self, batch: &Frozen, reason: String, outcome: &mut Outcome) -> Next {
        outcome.error = Some(reason.clone());
        if batch.events > 1 {
            outcome.status = "refused";
            self.learned_bytes_max = batch.bytes / 2;
            return Next::Go;
        }
        outcome.status = "paused";
        outcome.effect = Effect::Kept(None);
        Next::End(End::Paused(reason))
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
    fn pause(&mut self, asked: Option<Duration>, world: &impl World) -> Option<Duration> {
        self.count += 1;
        let now = world.instant();
        let trying = now.saturating_duration_since(*self.since.get_or_insert(now));
        let pause = asked.unwrap_or_else(|| backoff(self.count, world.random()));
        let is_over = self.count >= TRIES_MAX || trying + pause > TRYING_TIME_MAX;
        (!is_over).then_some(pause)
    }
}

/// Waits as a receiver asked; how the cycle ends where it does not wait that long.
fn hold(
    destination: &Destination,
    tries: Tries,
    now: UnixMs,
    wait: &dyn Fn(Duration) -> bool,
) -> Option<End> {
    let until = destination.next_at.filter(|until| *until > now)?;
    let left = Duration::from_millis(until.0.abs_diff(now.0));
    if left > HOLD_TIME_MAX {
        return None;
    }
    if tries != Tries::Many || left > TRYING_TIME_MAX {
        return Some(End::Waiting(until));
    }
    (!wait(left)).then_some(End::Stopped)
}

/// How long the next request may take; `None` where the process has no time left for one.
fn time_left(tries: Tries, now: Instant) -> Option<Duration> {
    match tries {
        Tries::Many | Tries::Probe => Some(REQUEST_TIME_MAX),
        Tries::Last(deadline) => deadline
            .checked_duration_since(now)
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
