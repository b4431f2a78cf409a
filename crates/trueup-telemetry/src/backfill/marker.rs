//! What is remembered of a backfill: that it is under way, and that it is done.
//!
//! ```json
//! {"completedAt":"2026-11-21T12:00:00.000Z","throughDay":"2026-11-19","eventCount":402,
//!  "installId":"0b7f…","version":2}
//! ```
//!
//! The marker lies in the product's folder as `backfill.json` and stays there whatever becomes of
//! consent. It is written once all days have arrived, and not before: a day that was refused leaves none.
//! What is under way lies in the outbox, as `outbox/backfill.json`, and goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use trueup_core::UnixMs;
use uuid::Uuid;

use super::{day_uuid, namespace};
use crate::budget::{Class, Day};
use crate::manifest::Backfill;
use crate::outbox::{Item, ItemState};
use crate::state::{StateError, create_folder, read_capped, remove, write_whole};

/// Bytes of a marker at most; a longer one is no marker of ours.
pub const MARKER_BYTES_MAX: usize = 65_536;
/// Bytes of what is under way at most: days that are told at most, and what stands around them.
const PENDING_BYTES_MAX: usize = 1024 * 1024;

/// A backfill that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// When the last event had arrived.
    pub completed_at: String,
    /// The last day that was told.
    pub through_day: String,
    /// Events that were sent.
    pub event_count: u64,
    /// The install that they were sent for.
    pub install_id: String,
    /// The version of the manifest's backfill.
    pub version: u64,
}

/// What is known of a backfill that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// None is.
    Absent,
    /// One of this version.
    Done(u64),
    /// There is a marker, and it cannot be read. It counts as done, since what is sent twice cannot be
    /// taken back.
    Damaged,
}

impl Mark {
    /// What a marker says; one without a version is of the first.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let json = (bytes.len() <= MARKER_BYTES_MAX).then(|| serde_json::from_slice(bytes).ok());
        let Some(Json::Object(marker)) = json.flatten() else { return Self::Damaged };
        match marker.get("version") {
            None => Self::Done(1),
            Some(version) => version.as_u64().map_or(Self::Damaged, Self::Done),
        }
    }

    /// Looks into a product's folder.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        match read_capped(&marker_path(folder), MARKER_BYTES_MAX) {
            Ok(None) => Self::Absent,
            Ok(Some(bytes)) => Self::of(&bytes),
            Err(_) => Self::Damaged,
        }
    }

    /// Whether a backfill of this version is done.
    #[must_use]
    pub const fn covers(&self, version: u64) -> bool {
        match self {
            Self::Absent => false,
            Self::Done(done) => *done >= version,
            Self::Damaged => true,
        }
    }
}

/// The folder of the outbox, which goes as a whole when consent does.
const OUTBOX: &str = "outbox";

fn marker_path(folder: &Path) -> PathBuf {
    folder.join("backfill.json")
}

fn pending_path(folder: &Path) -> PathBuf {
    folder.join(OUTBOX).join("backfill.json")
}

/// A backfill that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    version: u64,
    install_id: String,
    through_day: Day,
    event_count: u64,
    /// The last item of the outbox that was there before.
    after: u64,
    /// Days that have not arrived yet.
    left: BTreeSet<Day>,
}

/// How far a backfill is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Progress {
    /// None is under way.
    #[default]
    None,
    /// So many days have not arrived yet.
    Sending(u64),
    /// All days have arrived, and it was marked as done.
    Done(Marker),
    /// Some were refused, or are gone from the outbox: it was not marked, and can be asked for again.
    Failed {
        /// Days that did not arrive.
        days: u64,
    },
}

impl Pending {
    pub(super) fn new(
        version: u64,
        install: &str,
        through_day: Day,
        left: BTreeSet<Day>,
        after: u64,
    ) -> Self {
        let event_count = u64::try_from(left.len()).unwrap_or(u64::MAX);
        Self { version, install_id: install.to_owned(), through_day, event_count, after, left }
    }

    /// Remembers that it is under way, in the outbox of `folder`. Call it where nobody else queues or
    /// follows it, just before its chunks are queued in one step: [`Store::queue_made`] has a place for it.
    /// With nothing to send, [`follow`](Self::follow) marks it as done.
    ///
    /// [`Store::queue_made`]: crate::state::Store::queue_made
    pub fn write(&self, folder: &Path) -> Result<(), StateError> {
        let json = serde_json::to_vec(self)
            .map_err(|source| StateError::Json { what: "a backfill", source })?;
        create_folder(&folder.join(OUTBOX))?;
        write_whole(&pending_path(folder), &json).map(drop)
    }

    /// Whether one is under way: nothing is queued again while it is.
    #[must_use]
    pub fn is_under_way(folder: &Path) -> bool {
        pending_path(folder).exists()
    }

    /// Looks how far a backfill is, by what became of the items of the outbox, and marks it as done once
    /// all has arrived. Call it after each delivery, and in [`Store::queue_made`], where no other process
    /// does: items are forgotten after a while.
    ///
    /// [`Store::queue_made`]: crate::state::Store::queue_made
    pub fn follow(
        folder: &Path,
        backfill: &Backfill,
        items: &[Item],
        now: UnixMs,
    ) -> Result<Progress, StateError> {
        let path = pending_path(folder);
        let Some(bytes) = read_capped(&path, PENDING_BYTES_MAX)? else { return Ok(Progress::None) };
        let Ok(mut pending) = serde_json::from_slice::<Self>(&bytes) else {
            remove(&path)?;
            return Ok(Progress::Failed { days: 0 });
        };
        let states = states(items, pending.after);
        let before = pending.left.len();
        let (mut queued, mut failed) = (0_u64, 0_u64);
        pending.left.retain(|day| {
            let id = day_uuid(namespace(backfill), &pending.install_id, &backfill.event, *day);
            match states.get(&id) {
                Some(ItemState::Sent) => return false,
                Some(ItemState::Queued) => queued += 1,
                Some(ItemState::Quarantined | ItemState::Kept) | None => failed += 1,
            }
            true
        });
        if queued > 0 {
            if pending.left.len() < before {
                pending.write(folder)?;
            }
            return Ok(Progress::Sending(queued + failed));
        }
        if failed > 0 {
            remove(&path)?;
            return Ok(Progress::Failed { days: failed });
        }
        let marker = pending.marker(now);
        marker.write(folder)?;
        remove(&path)?;
        Ok(Progress::Done(marker))
    }

    fn marker(&self, now: UnixMs) -> Marker {
        Marker {
            completed_at: now.to_string(),
            through_day: self.through_day.to_string(),
            event_count: self.event_count,
            install_id: self.install_id.clone(),
            version: self.version,
        }
    }
}

impl Marker {
    fn write(&self, folder: &Path) -> Result<(), StateError> {
        let json = serde_json::to_vec(self)
            .map_err(|source| StateError::Json { what: "the marker of a backfill", source })?;
        write_whole(&marker_path(folder), &json).map(drop)
    }
}

/// What became of each historical event. One that goes to several places has arrived once it has at all
/// of them, and is refused once it is at one.
fn states(items: &[Item], after: u64) -> BTreeMap<Uuid, ItemState> {
    let rank = |state| match state {
        ItemState::Sent => 0,
        ItemState::Queued => 1,
        ItemState::Quarantined | ItemState::Kept => 2,
    };
    let mut states = BTreeMap::new();
    let is_of_it = |item: &&Item| item.class == Class::Historical && item.number > after;
    for item in items.iter().filter(is_of_it) {
        for uuid in &item.uuids {
            let state = states.entry(*uuid).or_insert(item.state);
            if rank(item.state) > rank(*state) {
                *state = item.state;
            }
        }
    }
    states
}
