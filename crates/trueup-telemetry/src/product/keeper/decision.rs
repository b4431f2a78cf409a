//! Looking at the decision, and following it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::{Keeper, busy, told};
use crate::consent::{Consent, Evidence, Mode, StateFile, WriteError, decide};
use crate::identity::Identity;
use crate::manifest::{Grain, Rollup};
use crate::product::held;
use crate::product::options::Options;
use crate::state::{Reach, StateError};

/// The decision, and the files of which it was made, as they were.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub(super) consent: Consent,
    stamps: [Option<Stamp>; 2],
}

/// By what a file is known to be as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    changed: (i64, i64),
    bytes: u64,
}

impl Keeper {
    pub(in crate::product) fn consent(&self) -> Consent {
        held(&self.decided).consent.clone()
    }

    /// Writes a decision, and follows it.
    pub(in crate::product) fn decide(&self, mode: Mode) -> Result<(), WriteError> {
        let written = StateFile::write_decision(&self.options.file, mode, self.now());
        let is_local = self.refresh(true) == Mode::Local;
        if is_local && !self.options.is_onlooker && self.options.state.exists() {
            // What waits to be sent stays here from now on, whoever decides otherwise later.
            self.note(self.seal(self.now()).map(drop));
        }
        written
    }

    pub(in crate::product) fn notice_shown(&self) -> Result<(), WriteError> {
        let written = StateFile::write_notice_shown(&self.options.file, self.now());
        self.refresh(true);
        written
    }

    /// Looks at the decision again, where its files may have changed, and follows it.
    pub(super) fn refresh(&self, is_known: bool) -> Mode {
        let stamps = stamps(&self.options);
        if is_known || held(&self.decided).stamps != stamps {
            // Of two looks the one that began last is kept. Not while `decided` is held, which whoever
            // reports an error looks at: files are read.
            let following = held(&self.following);
            let fresh = Decided::now(&self.options);
            *held(&self.identity) = None;
            *held(&self.exceptions) = None;
            let before = std::mem::replace(&mut *held(&self.decided), fresh.clone());
            drop(following);
            if before.consent != fresh.consent {
                self.follow();
            }
        }
        self.intake.mode()
    }

    /// Does what was decided.
    pub(super) fn follow(&self) {
        // Of two decisions the one that was made last is followed last.
        let _following = held(&self.following);
        let decided = self.decided_mode();
        // Once this ends nothing is recorded, and what waits is left to the next start.
        let mode = if self.is_ended.load(Ordering::Acquire) { Mode::Off } else { decided };
        let is_local = self.is_local(mode);
        self.intake.set_mode(mode, is_local);
        if self.is_local(decided) {
            // Not while the lock is held: whoever is ended may look at it.
            let stopper = std::mem::take(&mut *held(&self.stopper));
            if let Some(stop) = stopper.0 {
                stop();
            }
        }
        if decided == Mode::Off && !self.options.is_onlooker {
            self.note(told(self.purge()));
        }
    }

    /// The mode; off where nothing can be recorded.
    fn decided_mode(&self) -> Mode {
        let mode = held(&self.decided).consent.mode;
        let rollups = &self.options.manifest.rollups;
        let is_added_up = |rollup: &Rollup| !matches!(rollup.grain, Grain::Event { .. });
        let is_broken = self.intake.plan.is_empty() && rollups.iter().any(is_added_up);
        if is_broken { Mode::Off } else { mode }
    }

    /// Whether what is recorded now stays on this machine.
    pub(super) fn is_local(&self, mode: Mode) -> bool {
        mode != Mode::On || self.outlets.is_empty() || self.is_debug
    }

    /// Deletes what was recorded and not sent.
    pub(in crate::product) fn purge(&self) -> Result<(), StateError> {
        let _sealing = held(&self.sealing);
        self.intake.clear();
        held(&self.errands).clear();
        let mut store = self.store(Reach::Local, &Identity::None);
        busy(|| store.purge())
    }
}

impl Decided {
    pub(super) fn now(options: &Options) -> Self {
        let stamps = stamps(options);
        Self { consent: ask(options), stamps }
    }
}

fn ask(options: &Options) -> Consent {
    let environment = &options.environment;
    decide(&Evidence {
        do_not_track: environment.do_not_track.as_deref(),
        prefix: &options.manifest.env_prefix,
        variable: environment.telemetry.as_deref(),
        errors_variable: environment.errors.as_deref(),
        policy: &StateFile::read(&options.policy),
        file: &StateFile::read(&options.file),
        ci: environment.ci.as_deref(),
        default: options.manifest.default,
        notice: options.manifest.notice,
    })
}

fn stamps(options: &Options) -> [Option<Stamp>; 2] {
    let stamp = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some(Stamp {
            place: (metadata.dev(), metadata.ino()),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            bytes: metadata.len(),
        })
    };
    [stamp(&options.file), stamp(&options.policy)]
}
