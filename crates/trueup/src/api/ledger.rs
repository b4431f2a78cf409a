//! Sums out of the ledger, for the metrics.
//!
//! Read on another thread, one at a time, with a connection that is closed again: between two looks
//! it would only hold memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::timeout;
use trueup_core::prices::{PriceBook, YoctoUsd};
use trueup_core::report::{CostMode, Pricer, Window};
use trueup_core::{Counters, DAY_MS, Text};
use trueup_ledger::{Reader, SettleLag};

use super::App;
use crate::clock;
use crate::completeness::{self, Lack};
use crate::usage::{Keeping, reader_of};

/// How long an answer waits for the ledger, and for servers.
const READ_TIME_MAX: Duration = Duration::from_secs(2);
const ASK_TIME_MAX: Duration = Duration::from_secs(30);

impl App {
    /// Reads from where the account is kept. An error where that is busy: the answer then goes without.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Keeping, &PriceBook) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let app = Arc::clone(self);
        let reading = async move {
            let permit = Arc::clone(&app.reading).acquire_owned().await?;
            tokio::task::spawn_blocking(move || {
                // Held until the thread is done, even if nobody waits for it any more.
                let _permit = permit;
                read(&app.kept, &app.known.book)
            })
            .await?
        };
        match self.kept.tenant() {
            None => timeout(READ_TIME_MAX, reading).await.context("the ledger is busy")?,
            Some(_) => timeout(ASK_TIME_MAX, reading).await.context("the store is busy")?,
        }
    }
}

/// How long after their end days of providers still changed.
pub(super) fn settle_lags(kept: &Keeping) -> Result<Vec<SettleLag>> {
    let reader = Reader::open(kept.ledger())?.context("there is no ledger")?;
    Ok(reader.settle_lags(clock::now())?)
}

/// What metrics tell usage apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Labels {
    pub(super) agent: Text,
    pub(super) provider: Text,
    pub(super) model: Text,
}

/// Kinds of usage that metrics tell apart; further ones are summed up under `other`.
pub(super) const LABELS_MAX: usize = 500;

/// Usage, and what it cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Total {
    pub(super) counters: Counters,
    /// As it was reported, or else at the prices of the table.
    pub(super) cost: YoctoUsd,
}

/// All usage there is, measured and claimed, by what metrics tell apart.
pub(super) fn all_usage(kept: &Keeping, book: &PriceBook) -> Result<BTreeMap<Labels, Total>> {
    let mut sums: BTreeMap<Labels, Total> = BTreeMap::new();
    let mut pricer = Pricer::new(book, CostMode::Auto);
    kept.usage(None)?.by_time(DAY_MS, Window::ALL, &mut |entry| {
        let series = entry.series;
        let labels = Labels {
            agent: Text::clone(&series.source),
            provider: Text::clone(&series.provider),
            model: Text::clone(&series.model),
        };
        let is_known = sums.len() < LABELS_MAX || sums.contains_key(&labels);
        let labels = if is_known { labels } else { Labels::other() };
        let sum = sums.entry(labels).or_default();
        sum.counters = sum.counters.plus(entry.counters);
        sum.cost = sum.cost.plus(pricer.price(entry.start, series, entry.counters).cost);
    })?;
    Ok(sums)
}

/// What is known not to be measured, by agent.
pub(super) fn lacks(kept: &Keeping) -> Result<BTreeMap<Text, Lack>> {
    completeness::by_source(&reader_of(kept.ledger(), None)?)
}

impl Labels {
    fn other() -> Self {
        let other = || Text::from("other");
        Self { agent: other(), provider: other(), model: other() }
    }
}
