//! The one face of all this, for a program that has telemetry in it and for the daemon.
//!
//! A [`Telemetry`] knows the decision, and follows it: off, it has no thread, no file and no record.
//! Otherwise records are added up in memory, and one thread writes, seals and, where that is allowed,
//! sends. It never fails, never waits for another machine, and never says on its own that something is
//! wrong: [`status`](Telemetry::status) does.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use trueup_telemetry::consent::Mode;
//! use trueup_telemetry::manifest::{Input, Manifest};
//! use trueup_telemetry::product::{Environment, Options, Outcome, Telemetry};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path();
//! let manifest = Manifest::parse(
//!     r#"
//!     product = "example"
//!     env_prefix = "EXAMPLE"
//!     default = "local"
//!     [fields]
//!     tokens = { u64 = true }
//!     [[rollup]]
//!     event = "turns"
//!     grain = "session"
//!     sum = ["tokens"]
//!     max_age = "1h"
//!     max_records = 1000
//!     "#,
//!     "telemetry.toml",
//! )?;
//! let telemetry = Telemetry::open(Options::new(Arc::new(manifest), folder, Environment::default()));
//! assert_eq!(telemetry.status().mode, Mode::Local);
//! let recorded = telemetry.record("turns", Some("a session"), &[("tokens", Input::U64(7))]);
//! assert_eq!(recorded.outcome, Outcome::Taken);
//! telemetry.end("a session");
//! telemetry.shut_down(Duration::from_millis(500));
//! let kept = telemetry.sent();
//! assert!(String::from_utf8_lossy(&kept[0].body).contains("\"total_tokens\":7"));
//! # Ok::<(), trueup_telemetry::manifest::ManifestError>(())
//! ```

mod keeper;
mod options;
mod outlets;
mod recording;
mod status;

use std::sync::Arc;
use std::time::Duration;

pub use keeper::{Backfilled, ERRANDS_MAX, Flushed};
pub use options::{Clock, Environment, Options, Random};
pub use outlets::Transports;
pub(crate) use recording::held;
pub use recording::{Outcome, Recorded, WAITING_MAX};
pub(crate) use status::words;
pub use status::{Shown, Status};

use crate::backfill::{Gate, History};
use crate::consent::{Mode, WriteError};
use crate::errors::{self, Report};
use crate::manifest::{Drops, Input, Manifest};
use crate::state::{StateError, Sums};
use keeper::Keeper;

/// The telemetry of a product in this process. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Telemetry {
    held: Arc<Held>,
}

/// What the last clone lets go of.
#[derive(Debug)]
struct Held {
    keeper: Arc<Keeper>,
}

impl Drop for Held {
    /// Whoever forgot to shut down loses no record, only the attempt to send.
    fn drop(&mut self) {
        self.keeper.shut_down(Duration::ZERO);
    }
}

impl Telemetry {
    /// Opens it. This never fails: what is wrong is in [`Status::problem`], and then it is off. Where
    /// somebody turned it off since the last time, what was recorded and not sent is deleted. Nothing
    /// is made before something is recorded.
    #[must_use]
    pub fn open(options: Options) -> Self {
        Self { held: Arc::new(Held { keeper: Arc::new(Keeper::new(options)) }) }
    }

    /// Adds a record of an event. Where telemetry is off this is one look at a number.
    #[inline]
    pub fn record(
        &self,
        event: &str,
        session: Option<&str>,
        properties: &[(&str, Input<'_>)],
    ) -> Recorded {
        if self.held.keeper.is_off() {
            return Recorded { outcome: Outcome::Off, drops: Drops::default() };
        }
        self.held.keeper.record(event, session, properties)
    }

    /// Ends a session: its sums become an event, as far as the budget has room. A second time there is
    /// nothing to end.
    pub fn end(&self, session: &str) {
        if !self.held.keeper.is_off() {
            self.held.keeper.end(session);
        }
    }

    /// Tells that something happened of which there are few by nature, such as an installation: an event
    /// of its own, as often in a day as the manifest says.
    pub fn lifecycle(&self, event: &str, properties: &[(&str, Input<'_>)]) -> Recorded {
        if self.held.keeper.is_off() {
            return Recorded { outcome: Outcome::Off, drops: Drops::default() };
        }
        self.held.keeper.lifecycle(event, properties)
    }

    /// Tells of an error, as the manifest allows: its count, and what of its text may leave.
    pub fn report(&self, report: &Report<'_>) {
        if !self.held.keeper.is_off() {
            self.held.keeper.report(report);
        }
    }

    /// Tells of every panic of this process, too, without any change to what it shows. Each call adds
    /// another hook: once is enough.
    pub fn report_panics(&self) {
        let held = Arc::downgrade(&self.held);
        errors::panic_hook(move |report| {
            if let Some(held) = held.upgrade().filter(|held| !held.keeper.is_off()) {
                held.keeper.report(report);
                held.keeper.persist();
            }
        });
    }

    /// Ends it as a kill would: nothing is sealed, and nothing more is written.
    pub(crate) fn abandon(&self) {
        self.held.keeper.abandon();
    }

    /// Whether nothing is recorded.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.held.keeper.is_off()
    }

    /// Looks at the decision again, seals what has ended, and sends what may be sent; on this thread.
    pub fn flush(&self) -> Flushed {
        self.held.keeper.flush()
    }

    /// Looks at the decision again, and follows it, without anything else that a
    /// [`flush`](Self::flush) does. Where it is off and stays so this waits for nobody.
    pub fn look_again(&self) {
        self.held.keeper.look_again();
    }

    /// What it may tell.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.held.keeper.options().manifest
    }

    /// How things stand. It makes no file.
    #[must_use]
    pub fn status(&self) -> Status {
        self.held.keeper.status()
    }

    /// The next request, to the byte, if one may be sent now. It makes no file.
    #[must_use]
    pub fn preview(&self) -> Option<Shown> {
        self.held.keeper.preview()
    }

    /// What was sent, what was put aside, and what was kept on this machine: as far back as it is still
    /// there, the oldest first. It makes no file.
    #[must_use]
    pub fn sent(&self) -> Vec<Shown> {
        self.held.keeper.sent()
    }

    /// What is being added up by now, in every process that has written it, as it would be told. It makes
    /// no file.
    #[must_use]
    pub fn sums(&self) -> Vec<Sums> {
        self.held.keeper.sums().unwrap_or_default()
    }

    /// Whether the past may be told; `None` where the manifest tells nothing of it. Ask before anything is
    /// read. `is_asked_for` says that somebody asked for it by a command.
    #[must_use]
    pub fn backfill_gate(&self, is_asked_for: bool) -> Option<Gate> {
        self.held.keeper.gate(is_asked_for)
    }

    /// The bytes that would tell the past. Nothing is queued, marked or sent.
    #[must_use]
    pub fn backfill_rehearsal(&self, history: &History<'_>) -> Vec<Vec<u8>> {
        self.held.keeper.rehearse(history)
    }

    /// Queues the past, once; [`flush`](Self::flush) sends it. What is under way is not queued again.
    pub fn backfill(
        &self,
        history: &History<'_>,
        is_asked_for: bool,
    ) -> Result<Backfilled, String> {
        self.held.keeper.backfill(history, is_asked_for)
    }

    /// Writes the decision, and follows it at once. Off deletes all that was recorded and not sent.
    pub fn set_mode(&self, mode: Mode) -> Result<(), WriteError> {
        self.held.keeper.decide(mode)
    }

    /// Writes that the notice was shown, without which a product that is on by default sends nothing.
    pub fn notice_shown(&self) -> Result<(), WriteError> {
        self.held.keeper.notice_shown()
    }

    /// Deletes all that was recorded and not sent, and what is known of what was. The mode stays.
    pub fn purge(&self) -> Result<(), StateError> {
        self.held.keeper.purge()
    }

    /// Ends it at once, without waiting for the disk: what was recorded lies where the next one that opens
    /// this telemetry finds it, and is sealed then. For programs that run for a moment; now and then one
    /// of them seals what all of them left.
    pub fn leave(&self) {
        self.held.keeper.leave();
    }

    /// Ends it: nothing is recorded any more, what is open ends as `worker_shutdown`, is sealed and
    /// synced, and one attempt is made to send it, for no longer than `bound`. What is not sent waits
    /// for the next start.
    pub fn shut_down(&self, bound: Duration) {
        self.held.keeper.shut_down(bound);
    }
}
