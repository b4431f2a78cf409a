//! The thread that looks at budgets and anomalies, and tells of what it finds.
//!
//! ```text
//! look ──▶ turns ──▶ record ─────────────────▶ deliver ──▶ log, file, webhook
//! sums of  levels    level and message, in     each by itself; what fails waits in the
//! days     reached   one transaction           ledger, and keeps nobody else waiting
//! ```
//!
//! A level is told once: that it was is in the ledger before anybody hears of it. What is delivered may
//! come twice after a crash, always with the same id.

mod deliver;
mod webhook;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use trueup_core::budget::Turn;
use trueup_core::prices::PriceBook;
use trueup_core::{Decimal, UnixMs};
use trueup_ledger::{ALERTS_LOST, AlertChange, AlertState, Reader, Writer};

use super::settings::interval_or_off;
use super::watch::Watch;
use crate::budget::{Alert, Looked, Source, Told, id_of, look, standing, turns};
use crate::config::Config;
use crate::ticker::Ticker;
use crate::usage::Usage;
use crate::{budget, clock};
use deliver::Deliverer;
use webhook::Webhook;

/// How soon the thread looks again while the agents' stores have not been read yet.
const UNREAD_REST: Duration = Duration::from_secs(1);

/// The settings of the thread.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(super) interval: Duration,
    budgets: Vec<budget::Settings>,
    zone: TimeZone,
    file: Option<PathBuf>,
    webhook: Option<webhook::Settings>,
}

impl Settings {
    /// `None` where there is nothing to look at, or nobody is to look.
    pub(super) fn of(config: &Config) -> Result<Option<Self>> {
        let interval = interval_or_off(config, "alert_interval")?;
        let webhook = webhook::Settings::of(config)?;
        let Some(interval) = interval.filter(|_| !config.budgets.is_empty()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            interval,
            budgets: config.budgets.clone(),
            zone: config.zone()?,
            file: config.path("alert_file"),
            webhook,
        }))
    }

    /// Who is told.
    fn sinks(&self) -> Vec<&'static str> {
        let file = self.file.is_some().then_some(deliver::FILE);
        let webhook = self.webhook.is_some().then_some(deliver::WEBHOOK);
        [Some(deliver::LOG), file, webhook].into_iter().flatten().collect()
    }
}

/// Whether the settings are such that alerts can be raised and delivered.
pub(crate) fn check(config: &Config) -> Result<()> {
    Settings::of(config).map(drop)
}

/// The thread, as others see it.
#[derive(Debug, Default)]
pub(crate) struct Alerts(Mutex<Seen>);

/// What the thread has done so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// When it last looked.
    pub(crate) last_look: Option<UnixMs>,
    /// Budgets with a limit.
    pub(crate) budgets: Vec<BudgetSeen>,
    /// What stands: class, cell, and level in percent.
    pub(crate) standing: Vec<(&'static str, String, u32)>,
    /// Alerts since the start, by class.
    pub(crate) raised: BTreeMap<&'static str, u64>,
    /// What waits to be delivered, by sink.
    pub(crate) waiting: BTreeMap<&'static str, u64>,
    /// What found no room or was refused for good, over all runs.
    pub(crate) lost: u64,
    /// Why the last look failed.
    pub(crate) error: Option<String>,
}

/// A budget, as metrics tell of it.
#[derive(Debug, Clone)]
pub(crate) struct BudgetSeen {
    pub(crate) name: String,
    pub(crate) per: &'static str,
    pub(crate) of: &'static str,
    pub(crate) limit: Decimal,
    /// `None` where nothing is known.
    pub(crate) spent: Option<Decimal>,
    pub(crate) forecast: Option<Decimal>,
    pub(crate) unpriced_calls: u64,
}

impl Alerts {
    /// What was done so far.
    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread works with.
pub(super) struct Task {
    pub(super) settings: Settings,
    pub(super) ledger: PathBuf,
    pub(super) writer: Arc<Writer>,
    pub(super) book: PriceBook,
    /// Whether the agents' stores have been read.
    pub(super) watch: Arc<Watch>,
    pub(super) ticker: Arc<Ticker>,
    pub(super) alerts: Arc<Alerts>,
}

/// Starts the thread. It ends with its ticker, or with the process: what was not delivered waits.
pub(super) fn spawn(task: Task) -> std::io::Result<()> {
    std::thread::Builder::new().name("alerts".into()).spawn(move || task.run()).map(drop)
}

impl Task {
    fn run(&self) {
        // Days that are only half read would look out of the ordinary.
        while self.is_unread() {
            if !self.ticker.pause(UNREAD_REST) {
                return;
            }
        }
        let mut deliverer = Deliverer::new(
            Arc::clone(&self.writer),
            self.settings.file.clone(),
            self.settings.webhook.as_ref().map(Webhook::new),
            self.settings.interval,
        );
        loop {
            let error = self.look(&mut deliverer).err().map(|error| format!("{error:#}"));
            // At the end of the process the ledger closes under it: what was not done is done next time.
            if error.is_some() && !self.ticker.pause(Duration::ZERO) {
                return;
            }
            let mut seen = self.alerts.lock();
            if let Some(error) = error.as_ref().filter(|error| seen.error.as_ref() != Some(error)) {
                tracing::warn!(error, "alerts_failed");
            }
            seen.error = error;
            drop(seen);
            if !self.ticker.tick(Duration::ZERO) {
                return;
            }
        }
    }

    /// Whether the stores are still being read for the first time; those that cannot be read are not
    /// waited for.
    fn is_unread(&self) -> bool {
        let seen = self.watch.seen();
        seen.last_sync.is_none() && seen.error.is_none()
    }

    fn look(&self, deliverer: &mut Deliverer) -> Result<()> {
        let now = clock::now();
        let reader = Reader::open(&self.ledger)?.context("the ledger has vanished")?;
        let usage = Usage::of_ledger(&self.ledger)?;
        let Settings { budgets, zone, .. } = &self.settings;
        let source = Source { usage: &usage, reader: Some(&reader), book: &self.book, zone };
        let all = look(source, budgets, now)?;
        drop(usage);
        let changes = changes(&all, &Told::new(reader.alerts()?), now);
        self.record(changes, now)?;
        self.tell(&reader, &all, now)?;
        let pause = |wait| self.ticker.pause(wait);
        deliverer.deliver(&reader, &pause)?;
        let waiting = deliver::waiting(&reader, &self.settings.sinks())?;
        self.alerts.lock().waiting = waiting;
        Ok(())
    }

    fn record(&self, changes: Vec<AlertChange>, now: UnixMs) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let sinks = self.settings.sinks();
        let raised = changes.iter().filter(|change| change.message.is_some());
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        for change in raised {
            let class = if change.state.class == "budget" { "budget" } else { "anomaly" };
            *counts.entry(class).or_default() += 1;
        }
        let fallen: Vec<String> = changes
            .iter()
            .filter(|change| change.message.is_none())
            .map(|change| change.state.cell.clone())
            .collect();
        let record =
            move |ledger: &mut trueup_ledger::Ledger| ledger.record_alerts(&changes, &sinks, now);
        self.writer.run(record).context("the ledger is closed")??;
        for cell in fallen {
            tracing::info!(cell, "alert_fell");
        }
        let mut seen = self.alerts.lock();
        for (class, count) in counts {
            *seen.raised.entry(class).or_default() += count;
        }
        drop(seen);
        Ok(())
    }

    /// What others see of it.
    fn tell(&self, reader: &Reader, all: &[Looked], now: UnixMs) -> Result<()> {
        let told = Told::new(reader.alerts()?);
        let standing = standing(all, &told);
        // Read before the lock, which `/metrics` takes, too.
        let lost = reader.counter(ALERTS_LOST)?;
        let mut seen = self.alerts.lock();
        seen.last_look = Some(now);
        seen.budgets = all.iter().filter_map(BudgetSeen::of).collect();
        seen.standing = standing
            .iter()
            .map(|alert| (alert.cell.class(), alert.cell.name.clone(), alert.level))
            .collect();
        seen.lost = lost;
        drop(seen);
        Ok(())
    }
}

impl BudgetSeen {
    fn of(looked: &Looked) -> Option<Self> {
        let status = looked.status.as_ref()?;
        Some(Self {
            name: looked.settings.name.clone(),
            per: looked.settings.per.name(),
            of: looked.of.name(),
            limit: status.limit.clone(),
            spent: (status.days_known > 0).then(|| status.spent.clone()),
            forecast: status.forecast.as_ref().map(|forecast| forecast.amount.clone()),
            unpriced_calls: status.unpriced_calls,
        })
    }
}

/// What is to be written down: levels that were reached, with what is said of them, and levels that
/// have fallen.
fn changes(all: &[Looked], told: &Told, now: UnixMs) -> Vec<AlertChange> {
    let mut changes = Vec::new();
    for (looked, cell, turn) in turns(all, told) {
        let before = told.level(cell);
        let level = turn.level(before);
        let told_id = match turn {
            Turn::Same => continue,
            Turn::Raised(_) => Some(id_of(cell, level, now)),
            Turn::Fell(_) => None,
        };
        let message = told_id.clone().map(|id| {
            let alert = Alert { looked, cell, level, since: Some(now), id: Some(id.clone()) };
            (id, alert.json().to_string())
        });
        changes.push(AlertChange {
            state: AlertState {
                class: cell.class().to_owned(),
                cell: cell.name.clone(),
                level,
                since: now,
                told_id,
            },
            before,
            message,
        });
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::example::api;

    #[test]
    fn what_was_told_is_not_told_again_and_what_has_fallen_is_let_go() {
        let all = [api()];
        let now = UnixMs(1_795_212_509_000);
        let raised = changes(&all, &Told::default(), now);
        let cells: Vec<(&str, u32)> =
            raised.iter().map(|one| (one.state.cell.as_str(), one.state.level)).collect();
        assert_eq!(cells, [("api/2026-11", 50), ("api/2026-11-13", 100)]);
        for (id, body) in raised.iter().filter_map(|one| one.message.as_ref()) {
            let json: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(json["id"] == id.as_str() && !body.contains('\n'), "{body}");
        }
        let mut states: Vec<AlertState> = raised.into_iter().map(|one| one.state).collect();
        let later = UnixMs(now.0 + 1);
        assert_eq!(changes(&all, &Told::new(states.clone()), later), []);
        // It was at 80 % once, before a price was corrected.
        states[0].level = 80;
        let fallen = changes(&all, &Told::new(states), later);
        let [fallen] = fallen.as_slice() else { panic!("{fallen:?}") };
        assert_eq!((fallen.before, fallen.state.level, &fallen.message), (80, 50, &None));
    }

    #[test]
    fn only_what_was_told_has_an_id() {
        let all = [api()];
        let raised = changes(&all, &Told::default(), UnixMs(1));
        let ids = |states: &[AlertState]| {
            let told = Told::new(states.to_vec());
            standing(&all, &told).into_iter().map(|alert| alert.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&[]), [None, None]);
        let mut states: Vec<AlertState> = raised.iter().map(|one| one.state.clone()).collect();
        let sent: Vec<_> =
            raised.iter().map(|one| one.message.as_ref().map(|(id, _)| id.clone())).collect();
        assert_eq!(ids(&states), sent);
        // It was at 80 % once, and is at half: before the thread has seen that, and after.
        states[0].level = 80;
        assert_eq!(ids(&states), [None, sent[1].clone()]);
        let fallen = changes(&all, &Told::new(states.clone()), UnixMs(2));
        states[0] = fallen[0].state.clone();
        assert_eq!(ids(&states), [None, sent[1].clone()]);
        assert_eq!(changes(&all, &Told::new(states), UnixMs(3)), []);
    }

    #[test]
    fn ids_differ_by_cell_level_and_moment() {
        let all = [api()];
        let ids = |now: i64| {
            let changes = changes(&all, &Told::default(), UnixMs(now));
            changes.into_iter().filter_map(|one| Some(one.message?.0)).collect::<Vec<_>>()
        };
        let (one, other) = (ids(1), ids(2));
        assert_eq!(one, ids(1));
        assert!(one[0] != one[1] && one[0] != other[0] && one[0].len() == 32, "{one:?}");
    }
}
