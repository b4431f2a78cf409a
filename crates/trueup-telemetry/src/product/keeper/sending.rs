//! From bytes that are fixed to whoever they are for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, TryLockError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use trueup_core::UnixMs;

use super::{BUSY_WAIT, Flushed, Keeper, Stopper, busy};
use crate::deliver::{self, Bounds, Delivered, Ended, deliver};
use crate::identity::Identity;
use crate::product::outlets::Outlet;
use crate::product::{held, words};
use crate::state::{Reach, StateError};

/// How often whoever waits for another attempt looks whether that is still wanted.
const WAIT_LOOK: Duration = Duration::from_millis(200);

impl Keeper {
    /// Sends what may be sent, unless somebody does already.
    pub(super) fn send(&self, bounds: Bounds, flushed: &mut Flushed) {
        if let Some(_turn) = self.turn(Duration::ZERO) {
            self.pass(bounds, &self.is_ended, flushed);
        }
    }

    /// The right to send, once nobody else has it; for no longer than this is waited.
    fn turn(&self, wait_max: Duration) -> Option<MutexGuard<'_, ()>> {
        let began = Instant::now();
        loop {
            match self.sending.try_lock() {
                Ok(turn) => return Some(turn),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if began.elapsed() >= wait_max => return None,
                Err(TryLockError::WouldBlock) => thread::park_timeout(BUSY_WAIT),
            }
        }
    }

    /// Sends until nothing is due, or it is over.
    fn pass(&self, bounds: Bounds, is_over: &AtomicBool, flushed: &mut Flushed) {
        for outlet in &self.outlets {
            if is_over.load(Ordering::Acquire) || !self.may_send() {
                break;
            }
            match busy(|| self.deliver(outlet, bounds, is_over)) {
                Ok(delivered) => {
                    flushed.requests += delivered.requests;
                    flushed.sent += delivered.items;
                    let wrong = match delivered.ended {
                        Ended::Failed(words) | Ended::Stopped(words) => Some(words),
                        Ended::Done | Ended::Short(_) | Ended::OutOfTime | Ended::Forbidden => None,
                    };
                    let wrong = wrong.map(|words| format!("{}: {words}", outlet.sink.kind()));
                    flushed.problem = flushed.problem.take().or(wrong);
                }
                Err(error) => flushed.problem = Some(words(&error)),
            }
        }
    }

    fn deliver(
        &self,
        outlet: &Outlet,
        bounds: Bounds,
        is_over: &AtomicBool,
    ) -> Result<Delivered, StateError> {
        let Some(reach) = self.sending_reach() else {
            let ended = Ended::Forbidden;
            return Ok(Delivered { requests: 0, items: 0, quarantined: 0, refused: vec![], ended });
        };
        let manifest = &self.options.manifest;
        let mut store = self.store(reach, &Identity::None).only(&outlet.name);
        let encoder = outlet.encoder(manifest, &self.base, "");
        let mut transport = outlet.transport(&self.options);
        let clock = Waiting { keeper: self, is_over, began: Instant::now() };
        let [first, ..] = (self.options.random)();
        let seed = u64::from(first) ^ self.now().0.cast_unsigned();
        let bounds = Bounds { jitter: seed, ..bounds };
        *held(&self.stopper) = Stopper(Some(transport.stopper()));
        let is_allowed = || self.may_send();
        let done = deliver(&mut store, &encoder, &mut *transport, &clock, &is_allowed, bounds);
        *held(&self.stopper) = Stopper(None);
        done
    }

    /// Whether something may leave at this moment: the decision is looked at again.
    pub(super) fn may_send(&self) -> bool {
        self.refresh(false);
        self.sending_reach().is_some()
    }

    /// What may be sent, where anything may; also while this ends.
    pub(super) fn sending_reach(&self) -> Option<Reach> {
        let decided = held(&self.decided);
        let since = decided.consent.as_of.unwrap_or(UnixMs(i64::MIN));
        (!self.is_local(decided.consent.mode)).then_some(Reach::Since(since))
    }

    /// One attempt to send, behind the request that is under way, for no longer than `bound`: whoever
    /// waits for the end of a program waits no longer, whatever the network does.
    pub(super) fn last_attempt(self: &Arc<Self>, bound: Duration) {
        if bound.is_zero() || !self.may_send() {
            return;
        }
        if self.options.is_driven {
            return self.attempt(bound);
        }
        let (done, ended) = mpsc::sync_channel(1);
        let keeper = Arc::clone(self);
        let attempt = move || {
            keeper.attempt(bound);
            // Nobody listens any more where it took too long.
            let _is_heard = done.send(()).is_ok();
        };
        if thread::Builder::new().name("telemetry-end".to_owned()).spawn(attempt).is_ok() {
            let _is_done = ended.recv_timeout(bound).is_ok();
        }
    }

    fn attempt(&self, bound: Duration) {
        let began = Instant::now();
        let Some(_turn) = self.turn(bound) else { return };
        let time_max = bound.saturating_sub(began.elapsed());
        let bounds = Bounds { time_max, failures_max: 1, jitter: 0 };
        self.pass(bounds, &self.is_cut, &mut Flushed::default());
    }
}

/// Time as a pass of delivery needs it. Where there is no thread, nobody waits.
struct Waiting<'a> {
    keeper: &'a Keeper,
    is_over: &'a AtomicBool,
    began: Instant,
}

impl deliver::Clock for Waiting<'_> {
    fn now(&self) -> UnixMs {
        self.keeper.now()
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let is_driven = self.keeper.options.is_driven;
            let is_over = is_driven || self.is_over() || !self.keeper.may_send();
            if left.is_zero() || is_over {
                return !is_over;
            }
            thread::park_timeout(left.min(WAIT_LOOK));
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}
