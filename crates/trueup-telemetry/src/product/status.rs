//! How things stand, and what was sent.

use std::path::PathBuf;

use trueup_core::UnixMs;

use super::keeper::Keeper;
use crate::budget::{Caps, Day, Spent};
use crate::consent::{Consent, Layer, Mode};
use crate::identity::{self, Found};
use crate::manifest::Drops;
use crate::outbox::{Item, ItemState};
use crate::sink::Request;
use crate::state::{Health, Look};

/// How things stand.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whose telemetry.
    pub product: String,
    /// How much is told.
    pub mode: Mode,
    /// Who decided.
    pub layer: Layer,
    /// When that was decided, where it has a date.
    pub as_of: Option<UnixMs>,
    /// Whether it would be `on`, had the notice been shown.
    pub awaits_notice: bool,
    /// Whether errors are told beside the rest.
    pub errors: bool,
    /// What was doubtful in the decision.
    pub warnings: Vec<String>,
    /// The file with the user's decision.
    pub file: PathBuf,
    /// The file with the decision of whoever manages the machine.
    pub policy: PathBuf,
    /// The folder of the state.
    pub state: PathBuf,
    /// By what events are told apart, as far as that was made yet.
    pub identity: Found,
    /// The day that counts.
    pub day: Day,
    /// What was sent on it.
    pub spent: Spent,
    /// What may be sent on a day.
    pub caps: Caps,
    /// Requests that wait to be sent.
    pub queued: u64,
    /// Events that were kept on this machine instead of being sent, as far as they are still shown.
    pub kept: u64,
    /// What is being added up: event, day, and records in it.
    pub days: Vec<(String, Day, u64)>,
    /// Events that were given up because they waited too long.
    pub expired: u64,
    /// The last request that was answered, and how.
    pub last: Option<Item>,
    /// What did not go as it should while recording.
    pub health: Health,
    /// Records that were dropped because too many waited.
    pub refused: u64,
    /// Properties that were dropped in this process.
    pub drops: Drops,
    /// What is wrong, in words.
    pub problem: Option<String>,
}

/// Bytes of one request, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What is known of it.
    pub item: Item,
    /// Its very bytes; none where they are no longer there.
    pub body: Vec<u8>,
    /// All of the request; none where it stays on this machine, or is for a place that is no more.
    pub request: Option<Request>,
}

impl Keeper {
    pub(super) fn status(&self) -> Status {
        let Consent { mode, layer, as_of, awaits_notice, errors, warnings } = self.consent();
        let (look, error) = match self.look() {
            Ok(look) => (Some(look), None),
            Err(error) => (None, Some(words(&error))),
        };
        let count = |state| {
            let items = look.iter().flat_map(|look| &look.items);
            items.filter(|item| item.state == state).count() as u64
        };
        let answered = |look: &Look| {
            let answered = look.items.iter().filter(|item| item.status.is_some());
            answered.max_by_key(|item| (item.settled, item.number)).cloned()
        };
        let options = self.options();
        Status {
            product: options.manifest.product.clone(),
            mode,
            layer,
            as_of,
            awaits_notice,
            errors,
            warnings: warnings.iter().map(ToString::to_string).collect(),
            identity: identity::find(options.manifest.id, &self.file()),
            file: options.file.clone(),
            policy: options.policy.clone(),
            state: options.state.clone(),
            day: look.as_ref().map_or_else(|| Day::of(self.now()), |look| look.day),
            spent: look.as_ref().map(|look| look.spent.clone()).unwrap_or_default(),
            caps: options.manifest.budget.caps(),
            queued: count(ItemState::Queued),
            kept: count(ItemState::Kept),
            days: look.as_ref().map(|look| look.days.clone()).unwrap_or_default(),
            expired: look.as_ref().map_or(0, |look| look.expired),
            last: look.as_ref().and_then(answered),
            health: self.intake().health(),
            refused: self.intake().refused(),
            drops: self.intake().drops(),
            problem: self.problem().or(error),
        }
    }

    pub(super) fn preview(&self) -> Option<Shown> {
        let next = self.look().ok()?.next?;
        Some(self.shown(next.item, next.body))
    }

    pub(super) fn sent(&self) -> Vec<Shown> {
        let Ok(look) = self.look() else { return Vec::new() };
        let settled = look.items.into_iter().filter(|item| item.state != ItemState::Queued);
        let shown = |item: Item| {
            let body = self.body(&item);
            self.shown(item, body)
        };
        settled.map(shown).collect()
    }

    fn shown(&self, item: Item, body: Vec<u8>) -> Shown {
        let outlet = self.outlets().iter().find(|outlet| outlet.name == item.sink);
        let request = outlet.map(|outlet| {
            let encoder = outlet.encoder(&self.options().manifest, self.base(), "");
            match item.state {
                ItemState::Queued => encoder.preview(&item, &body, self.now()),
                ItemState::Sent | ItemState::Quarantined | ItemState::Kept => {
                    encoder.request(&item, &body)
                }
            }
        });
        Shown { item, body, request }
    }
}

/// An error with all that it comes from, on one line.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(": ");
        words.push_str(&error.to_string());
        source = error.source();
    }
    words
}
