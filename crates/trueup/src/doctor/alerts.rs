//! Whether alerts reach those who are to be told.
//!
//! ```text
//! 2 alerts waiting for webhook
//! ```
//!
//! Nothing is delivered from here: that a webhook can be reached is known only of the past.

use std::collections::BTreeMap;

use trueup_ledger::{ALERTS_LOST, AlertDelivery, LedgerError, Reader};

use super::{Item, LedgerState, Mend, Sight, Status, Verdict, ago};
use crate::daemon::check_alerts;
use crate::render::number::counted;

/// What the ledger tells of alerts.
#[derive(Debug)]
pub(super) struct Untold {
    /// What waits, the oldest first.
    waiting: Vec<AlertDelivery>,
    /// What found no room, or was refused for good, since the ledger was made.
    lost: u64,
}

impl Untold {
    pub(super) fn read(reader: &Reader) -> Result<Self, LedgerError> {
        Ok(Self { waiting: reader.alert_deliveries()?, lost: reader.counter(ALERTS_LOST)? })
    }
}

/// Whether alerts are delivered.
pub(super) fn alert_delivery(sight: &Sight<'_>) -> Verdict {
    let Untold { waiting, lost } = &sight.untold;
    let is_on = !sight.config.budgets.is_empty();
    let mut by_sink: BTreeMap<&str, Vec<&AlertDelivery>> = BTreeMap::new();
    for delivery in waiting {
        by_sink.entry(&delivery.sink).or_default().push(delivery);
    }
    let unusable = check_alerts(sight.config).err().map(|error| {
        let mend = (Some("correct it, and restart `trueup serve`"), "trueup config");
        Item::new(format!("{error:#}")).mended(mend)
    });
    let stuck = by_sink.iter().filter_map(|(sink, waiting)| stuck(sight, sink, waiting));
    let items: Vec<Item> = unusable.into_iter().chain(stuck).collect();
    let detail = match (waiting.len(), is_on) {
        (0, false) => "off: no budget is set".to_owned(),
        (0, true) => "no alert waits to be delivered".to_owned(),
        (count, _) => {
            let sinks: Vec<&str> = by_sink.keys().copied().collect();
            format!("{} waiting for {}", counted(count as u64, "alert"), sinks.join(", "))
        }
    };
    let detail = match lost {
        0 => detail,
        lost => format!("{detail}; {} lost so far", counted(*lost, "alert")),
    };
    let status = if items.is_empty() { Status::Ok } else { Status::Warn };
    Verdict::new(status, detail)
        .with(items)
        .meta("is_on", is_on)
        .meta("waiting", waiting.len())
        .meta("lost", *lost)
}

/// What waits for one of them, where an attempt failed or nobody is there to make one.
fn stuck(sight: &Sight<'_>, sink: &str, waiting: &[&AlertDelivery]) -> Option<Item> {
    let first = waiting.first()?;
    let alerts = counted(waiting.len() as u64, "alert");
    let since = format!(
        "{sink}: {alerts} not delivered, the first raised {}",
        ago(first.created_at, sight.now)
    );
    // The oldest is tried first, and those behind it only once it has been taken.
    let failed = waiting.iter().find_map(|one| Some((one.attempts, one.error.as_ref()?)));
    if let Some((attempts, error)) = failed {
        let attempts = counted(attempts, "attempt");
        let reason = format!("{since}; {attempts} failed, the last with {error}");
        return Some(Item::new(reason).mended(mend(sink)));
    }
    let is_running = matches!(sight.state, LedgerState::Held { .. });
    let mend = (Some("start `trueup serve`, which delivers"), "trueup alerts");
    (!is_running)
        .then(|| Item::new(format!("{since}, and no process is there to deliver")).mended(mend))
}

fn mend(sink: &str) -> Mend {
    match sink {
        "webhook" => (
            Some("correct alert_webhook or its token, and restart `trueup serve`"),
            "trueup config",
        ),
        "file" => (Some("let the user of trueup write alert_file"), "trueup config"),
        _ => (None, "trueup config"),
    }
}
