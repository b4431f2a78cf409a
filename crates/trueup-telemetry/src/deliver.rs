//! One pass of delivery: what is due is sent, and what was answered is noted, until nothing is due or it
//! is time to stop.
//!
//! It reads no clock and owns no socket: [`Clock`] and [`Transport`] do, so that a test can be both. Whether
//! sending is allowed is asked before each request; what was sent when it no longer is, is not noted, since
//! what there was to note is gone. Where a pass is only over ([`Clock::is_over`]) no request begins, and the
//! answer to the one that is under way is noted.

mod lines;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use trueup_core::UnixMs;

pub use lines::{FILE_BYTES_MAX, FILES_KEPT, LinesFile, Printer};

use crate::budget::Short;
use crate::manifest::Sink;
use crate::outbox::Verdict;
use crate::sink::{Answer, Encoder, Judged, Refusal, Request, Unreachable};
use crate::state::{Next, StateError, Store};

/// Most time that one request gets.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// How often a store that another process holds is asked again to note an answer, and how long apart.
const NOTES_MAX: u32 = 50;
const NOTES_APART: Duration = Duration::from_millis(10);

/// What brings a request to its place, and the answer back.
pub trait Transport {
    /// Sends a request, packed if it [says so](Request::is_gzip), and waits for the answer no longer than
    /// `time_max`.
    fn send(&mut self, request: &Request, time_max: Duration) -> Result<Answer, Unreachable>;

    /// What ends, from another thread, a request that is under way, and lets none begin after it: for
    /// when consent goes. Looking up a name and connecting are not ended, only bounded in time. It does
    /// nothing where a request does not wait for anybody.
    fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| {})
    }
}

/// What brings requests to a place of a manifest. `home` stands for the `~` of a path.
#[must_use]
pub fn transport(sink: &Sink, home: &Path) -> Box<dyn Transport + Send> {
    match sink {
        Sink::PostHog { .. } | Sink::Otlp { .. } | Sink::Webhook { .. } => network(),
        Sink::File { path } => Box::new(LinesFile::new(below(path, home))),
        Sink::Stdout => Box::new(Printer(io::stdout())),
    }
}

#[cfg(feature = "net")]
fn network() -> Box<dyn Transport + Send> {
    Box::new(crate::net::Net::default())
}

#[cfg(not(feature = "net"))]
fn network() -> Box<dyn Transport + Send> {
    Box::new(NoNetwork)
}

/// In the place of a network that this program was built without.
#[cfg(not(feature = "net"))]
struct NoNetwork;

#[cfg(not(feature = "net"))]
impl Transport for NoNetwork {
    fn send(&mut self, _request: &Request, _time_max: Duration) -> Result<Answer, Unreachable> {
        Err(Unreachable::NoNetwork)
    }
}

fn below(path: &str, home: &Path) -> PathBuf {
    match path.strip_prefix('~') {
        Some("") => home.to_path_buf(),
        Some(rest) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        Some(_) | None => PathBuf::from(path),
    }
}

/// Time, as a pass of delivery needs it.
pub trait Clock {
    /// What time it is.
    fn now(&self) -> UnixMs;
    /// How long it was since the clock was made, whatever became of the time in between.
    fn elapsed(&self) -> Duration;
    /// Waits, and says whether that was not ended before its time.
    fn wait(&self, time: Duration) -> bool;
    /// Whether no request is to begin any more, because whoever sends ends.
    fn is_over(&self) -> bool {
        false
    }
}

/// How far a pass may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How long it may take.
    pub time_max: Duration,
    /// After so many attempts that are to be made again it ends.
    pub failures_max: u32,
    /// Any number: waits differ by it, so that those who failed together do not come back together.
    pub jitter: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { time_max: Duration::from_secs(30), failures_max: 3, jitter: 0 }
    }
}

/// Why a pass ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Nothing is due any more.
    Done,
    /// Something is due, but the budget of the day is used up.
    Short(Short),
    /// Too many attempts failed; why the last one did.
    Failed(String),
    /// There was no more time, or whoever sends ends.
    OutOfTime,
    /// It was no longer allowed.
    Forbidden,
    /// Nothing will be taken before the configuration changes; why. The store rests for a day:
    /// [`Store::rest`] until now ends that.
    Stopped(String),
}

/// What a pass did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Requests that were made.
    pub requests: u64,
    /// Items that arrived.
    pub items: u64,
    /// Items that were refused and put aside.
    pub quarantined: u64,
    /// Events that were refused although their request was not.
    pub refused: Vec<Refusal>,
    /// Why it ended.
    pub ended: Ended,
}

/// Sends what is due.
pub fn deliver(
    store: &mut Store,
    encoder: &Encoder,
    transport: &mut dyn Transport,
    clock: &dyn Clock,
    is_allowed: &dyn Fn() -> bool,
    bounds: Bounds,
) -> Result<Delivered, StateError> {
    let mut pass = Pass {
        end: clock.elapsed().saturating_add(bounds.time_max),
        failures: 0,
        jitter: bounds.jitter,
        wake: None,
        done: Delivered {
            requests: 0,
            items: 0,
            quarantined: 0,
            refused: Vec::new(),
            ended: Ended::Done,
        },
    };
    loop {
        if !is_allowed() {
            return Ok(pass.end_as(Ended::Forbidden));
        }
        let left = pass.end.saturating_sub(clock.elapsed());
        if left.is_zero() || clock.is_over() {
            return Ok(pass.end_as(Ended::OutOfTime));
        }
        let sent = match store.next(clock.now())? {
            Next::Send(sent) => sent,
            Next::Short(short) => return Ok(pass.end_as(Ended::Short(short))),
            Next::Nothing => match pass.wait(clock, left) {
                None => continue,
                Some(ended) => return Ok(pass.end_as(ended)),
            },
        };
        let request = encoder.request(&sent.item, &sent.body);
        let answer = transport.send(&request, left.min(REQUEST_TIME_MAX));
        pass.done.requests += 1;
        if !is_allowed() {
            return Ok(pass.end_as(Ended::Forbidden));
        }
        let now = clock.now();
        let jitter = pass.jitter();
        let judged = encoder.verdict(&sent.item, &sent.body, answer.as_ref(), now, jitter);
        note(store, sent.number, &judged, (clock, is_allowed))?;
        if let Some(ended) = pass.take(judged, &answer, bounds) {
            return Ok(pass.end_as(ended));
        }
    }
}

/// Notes an answer, even if another process holds the store for a moment, and also where nobody would wait
/// for another attempt: otherwise the same would be sent again.
fn note(
    store: &mut Store,
    number: u64,
    judged: &Judged,
    (clock, is_allowed): (&dyn Clock, &dyn Fn() -> bool),
) -> Result<(), StateError> {
    let mut tries = 0;
    loop {
        let now = clock.now();
        let noted = store.settle(number, judged.verdict.clone(), now);
        let noted = noted.and_then(|()| judged.rest.map_or(Ok(()), |rest| store.rest(rest, now)));
        match noted {
            Err(StateError::Busy { .. }) if tries < NOTES_MAX && is_allowed() => {
                tries += 1;
                thread::park_timeout(NOTES_APART);
            }
            noted => return noted,
        }
    }
}

struct Pass {
    /// When it ends, by the time that elapsed.
    end: Duration,
    failures: u32,
    jitter: u64,
    /// When the next attempt may be made, where something waits for one.
    wake: Option<UnixMs>,
    done: Delivered,
}

impl Pass {
    /// Takes note of a verdict, and says whether the pass ends.
    fn take(
        &mut self,
        judged: Judged,
        answer: &Result<Answer, Unreachable>,
        bounds: Bounds,
    ) -> Option<Ended> {
        let Judged { verdict, rest, stop, refused } = judged;
        self.done.refused.extend(refused);
        if let Some(reason) = stop {
            return Some(Ended::Stopped(reason));
        }
        let is_failure = matches!(verdict, Verdict::Retry { .. });
        match verdict {
            Verdict::Delivered { .. } => self.done.items += 1,
            Verdict::Refused { .. } => self.done.quarantined += 1,
            Verdict::Retry { next, .. } => {
                self.wake = Some(self.wake.map_or(next, |wake| wake.min(next)));
            }
            Verdict::Split(_) => {}
        }
        if let Some(rest) = rest {
            self.wake = Some(self.wake.map_or(rest, |wake| wake.max(rest)));
        }
        self.failures += u32::from(is_failure);
        (is_failure && self.failures >= bounds.failures_max).then(|| {
            Ended::Failed(match answer {
                Ok(answer) => answer.words(),
                Err(error) => error.to_string(),
            })
        })
    }

    /// Waits for what is to be sent again; the reason to end where there is nothing, or no time.
    fn wait(&mut self, clock: &dyn Clock, left: Duration) -> Option<Ended> {
        let Some(wake) = self.wake.take() else { return Some(Ended::Done) };
        let wait_ms = u64::try_from(wake.0.saturating_sub(clock.now().0)).unwrap_or(0);
        let wait = Duration::from_millis(wait_ms);
        // There would be no time left for the request.
        if wait >= left {
            return Some(Ended::OutOfTime);
        }
        if clock.wait(wait) { None } else { Some(Ended::OutOfTime) }
    }

    /// Another number each time: `SplitMix64`.
    const fn jitter(&mut self) -> u64 {
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.jitter;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn end_as(self, ended: Ended) -> Delivered {
        Delivered { ended, ..self.done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_stands_for_the_home_folder_and_only_in_front() {
        for (path, expected) in [
            ("~/told.ndjson", "/home/a/told.ndjson"),
            ("~", "/home/a"),
            ("~b/told.ndjson", "~b/told.ndjson"),
            ("/var/~/told.ndjson", "/var/~/told.ndjson"),
        ] {
            assert_eq!(below(path, Path::new("/home/a")), Path::new(expected));
        }
    }

    #[test]
    fn without_the_network_there_is_none() {
        let sink =
            Sink::Webhook { endpoint: "http://127.0.0.1:9".to_owned(), secret_variable: None };
        let url = "http://127.0.0.1:9".to_owned();
        let request = Request { method: "POST", url, headers: Vec::new(), body: Vec::new() };
        let sent = transport(&sink, Path::new("/")).send(&request, Duration::from_secs(1));
        let is_built_without = matches!(sent, Err(Unreachable::NoNetwork));
        assert_eq!(is_built_without, cfg!(not(feature = "net")), "{sent:?}");
    }
}
