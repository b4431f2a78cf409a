//! What stands: figures that have reached a level, held by what was told before.

use std::collections::BTreeMap;

use trueup_core::budget::{Turn, turn};
use trueup_ledger::AlertState;

use super::look::{About, Cell, Looked};
use super::say::Alert;

/// An anomaly has one level: all of its margin.
const ANOMALY_LEVELS: [u32; 1] = [100];

/// Levels that were told, by class and cell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told(BTreeMap<(String, String), AlertState>);

impl Told {
    /// What the ledger remembers.
    pub(crate) fn new(states: Vec<AlertState>) -> Self {
        let states = states.into_iter();
        Self(states.map(|one| ((one.class.clone(), one.cell.clone()), one)).collect())
    }

    /// What is remembered of a cell.
    fn of(&self, cell: &Cell) -> Option<&AlertState> {
        self.0.get(&(cell.class().to_owned(), cell.name.clone()))
    }

    /// The level of a cell; 0 where nothing was told.
    pub(crate) fn level(&self, cell: &Cell) -> u32 {
        self.of(cell).map_or(0, |known| known.level)
    }
}

/// What becomes of each cell, in order.
pub(crate) fn turns<'a>(
    all: &'a [Looked],
    told: &'a Told,
) -> impl Iterator<Item = (&'a Looked, &'a Cell, Turn)> {
    let cells = all.iter().flat_map(|looked| looked.cells.iter().map(move |cell| (looked, cell)));
    cells.map(|(looked, cell)| {
        let (figure, whole) = cell.figures();
        let levels = match cell.about {
            About::Budget(_) => looked.settings.thresholds.as_slice(),
            About::Anomaly(_) => &ANOMALY_LEVELS,
        };
        (looked, cell, turn(told.level(cell), &figure, &whole, levels))
    })
}

/// What stands, told or not: budgets before anomalies, the highest level first.
pub(crate) fn standing<'a>(all: &'a [Looked], told: &'a Told) -> Vec<Alert<'a>> {
    let mut alerts: Vec<Alert<'a>> = turns(all, told)
        .filter_map(|(looked, cell, turn)| {
            let level = turn.level(told.level(cell));
            // What has just been reached was told by nobody, and what has just fallen is another level
            // than the one that was told.
            let known = told.of(cell).filter(|known| level <= known.level);
            let since = known.map(|known| known.since);
            let id = known.filter(|known| level == known.level).and_then(|one| one.told_id.clone());
            (level > 0).then_some(Alert { looked, cell, level, since, id })
        })
        .collect();
    alerts.sort_by_key(|alert| {
        let is_anomaly = matches!(alert.cell.about, About::Anomaly(_));
        (is_anomaly, u32::MAX - alert.level, &alert.cell.name)
    });
    alerts
}
