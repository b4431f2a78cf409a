//! Whether what is counted reaches its destination: what the settings want, and what came of attempts.
//!
//! ```text
//! on: 0 records waiting for https://hub.example/ingest, last attempt 3 min ago
//! ```
//!
//! Nothing is sent from here: that the destination can be reached is known only of the past.

use trueup_ledger::{LedgerError, PushAttempt, Quarantined, Reader};

use super::{Item, LedgerState, Sight, Status, Verdict, ago};
use crate::push::{DESTINATION, endpoint, shown};
use crate::render::number::counted;

/// Attempts that are looked at: as many as are made of one batch before the next cycle.
const ATTEMPTS_SEEN: u32 = 5;

/// The command that says more.
const LOOK: &str = "trueup push status";

/// What the ledger tells of its destination.
#[derive(Debug)]
pub(super) struct Sent {
    /// Its address, without what may be secret in it.
    endpoint: String,
    /// Records that it does not have.
    waiting: u64,
    /// Records that it refused for good, and the last of them.
    quarantined: u64,
    last_quarantined: Option<Quarantined>,
    /// The last attempts, the latest first.
    attempts: Vec<PushAttempt>,
}

impl Sent {
    /// Reads it; `None` where rows are queued for nobody.
    pub(super) fn read(reader: &Reader) -> Result<Option<Self>, LedgerError> {
        let destination = reader.destination(DESTINATION)?;
        let Some(destination) = destination.filter(|destination| destination.is_active) else {
            return Ok(None);
        };
        Ok(Some(Self {
            endpoint: destination.endpoint,
            waiting: reader.waiting(DESTINATION)?,
            quarantined: reader.quarantined_count(DESTINATION)?,
            last_quarantined: reader.quarantined(DESTINATION, 1)?.pop(),
            attempts: reader.push_attempts(DESTINATION, ATTEMPTS_SEEN)?,
        }))
    }
}

/// Whether what is counted reaches its destination.
pub(super) fn push_state(sight: &Sight<'_>) -> Verdict {
    // `serve` may have got its settings from elsewhere: then the ledger alone knows of them.
    let wanted = match endpoint(sight.config) {
        Ok(wanted) => wanted.map(shown),
        Err(error) => return unusable(&error),
    };
    let is_wanted = |sent: &&Sent| wanted.as_ref().is_none_or(|wanted| *wanted == sent.endpoint);
    match (sight.sent.as_ref().filter(is_wanted), &wanted) {
        (Some(sent), _) => sent.verdict(sight),
        (None, Some(wanted)) => unknown_to_ledger(wanted, &sight.state),
        (None, None) => Verdict::ok("off: no destination is configured").meta("is_on", false),
    }
}

/// The setting is no address.
fn unusable(error: &anyhow::Error) -> Verdict {
    let mend = (Some("correct push_endpoint"), "trueup config");
    Verdict::new(Status::Warn, "off: the destination that is configured cannot be used")
        .with(vec![Item::new(error.to_string()).mended(mend)])
        .meta("is_on", false)
}

/// The setting is there, but the ledger does not know of it: nobody has sent since it is.
fn unknown_to_ledger(endpoint: &str, state: &LedgerState) -> Verdict {
    if let LedgerState::Unusable { .. } = state {
        return Verdict::ok("not known: the ledger cannot be used").meta("is_on", true);
    }
    let mend = (Some("start `trueup serve` with this setting"), "trueup push --now");
    Verdict::new(Status::Warn, format!("{endpoint} is configured, and was never sent to"))
        .with(vec![Item::new("nothing is queued for it").mended(mend)])
        .meta("is_on", true)
        .meta("endpoint", endpoint)
}

impl Sent {
    fn verdict(&self, sight: &Sight<'_>) -> Verdict {
        let Self { endpoint, waiting, quarantined, .. } = self;
        let last = self.attempts.first();
        let items: Vec<Item> = [self.failing(), self.never_tried(&sight.state), self.refused()]
            .into_iter()
            .flatten()
            .collect();
        let status = if items.is_empty() { Status::Ok } else { Status::Warn };
        let records = counted(*waiting, "record");
        let tried = last.map_or_else(
            || "never tried".to_owned(),
            |last| format!("last attempt {}", ago(last.at, sight.now)),
        );
        Verdict::new(status, format!("on: {records} waiting for {endpoint}, {tried}"))
            .with(items)
            .meta("is_on", true)
            .meta("endpoint", endpoint.clone())
            .meta("waiting", *waiting)
            .meta("quarantined", *quarantined)
            .meta("last_attempt", last.map(|last| last.at.to_string()))
            .meta("last_status", last.map(|last| last.status.clone()))
    }

    /// The last attempts have failed, or the destination takes nothing until somebody acts.
    fn failing(&self) -> Option<Item> {
        let last = self.attempts.first()?;
        let error = last.error.as_deref().unwrap_or(&last.status);
        if last.status == "paused" {
            let mend =
                (Some("correct push_endpoint or its token, and restart `trueup serve`"), LOOK);
            return Some(Item::new(format!("paused: {error}")).mended(mend));
        }
        let is_any_taken = self.attempts.iter().any(|attempt| attempt.status == "ok");
        let attempts = counted(self.attempts.len() as u64, "attempt");
        let reason = format!("nothing was taken in the last {attempts}: {error}");
        (!is_any_taken).then(|| Item::new(reason).mended((None, LOOK)))
    }

    /// Records wait, and nobody is there to send them.
    fn never_tried(&self, state: &LedgerState) -> Option<Item> {
        let is_running = matches!(state, LedgerState::Held { .. });
        let mend = (Some("start `trueup serve`, which sends"), "trueup push --now");
        (self.attempts.is_empty() && self.waiting > 0 && !is_running)
            .then(|| Item::new("never tried, and no process is there to send").mended(mend))
    }

    fn refused(&self) -> Option<Item> {
        let last = self.last_quarantined.as_ref()?;
        let records = counted(self.quarantined, "record");
        let reason =
            format!("{records} refused for good, the last at {}: {}", last.at, last.reason);
        Some(Item::new(reason).mended((None, LOOK)))
    }
}
