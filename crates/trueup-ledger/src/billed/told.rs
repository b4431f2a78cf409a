//! What providers say of a range of days, for those who compare it.

use std::collections::BTreeSet;

use rusqlite::Row;
use trueup_core::{BilledWidth, Charge, DAY_MS, Dims, Measure, Measures, Text, UnixMs};

use crate::stated::{charge_of_row, dims_of_row, measures_of_row};
use crate::{LedgerError, Reader};

/// A day of a family that a connection was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldDay {
    /// The connection's name.
    pub connection: Text,
    /// The provider's id.
    pub provider: Text,
    /// The family.
    pub family: Text,
    /// Where it begins, in UTC.
    pub day: UnixMs,
    /// The width of the buckets that tell it: the widest that tell all of it.
    pub width: BilledWidth,
    /// The state of its buckets: the least certain of them.
    pub state: ToldState,
    /// When the bucket that was pulled first of them was last told as a whole.
    pub last_pull_at: Option<UnixMs>,
}

/// How far what is told of a day stands. A day of which something is missing is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldState {
    /// It may still change.
    Provisional,
    /// It has stayed the same.
    Settled,
    /// It has changed after that.
    Restated,
}

impl ToldState {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provisional => "provisional",
            Self::Settled => "settled",
            Self::Restated => "restated",
        }
    }
}

/// A row that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldRow {
    /// Where its bucket begins.
    pub start: UnixMs,
    /// What it is about.
    pub dims: Dims,
    /// What was counted.
    pub measures: Measures,
    /// What was charged.
    pub charge: Option<Charge>,
    /// When it took its present value, where its bucket had settled before.
    pub restated_at: Option<UnixMs>,
}

/// What an id is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldName {
    /// The provider's id.
    pub provider: Text,
    /// Of what: `project`, `user`, `key`.
    pub kind: Text,
    /// The id.
    pub id: Text,
    /// Its name.
    pub name: Text,
}

/// Widths, the widest first, in minutes.
const WIDTHS: [(BilledWidth, i64); 3] =
    [(BilledWidth::Day, 1_440), (BilledWidth::Hour, 60), (BilledWidth::Minute, 1)];

impl Reader {
    /// The days from `from` on and before `until` of which every bucket came, by connection and family.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn told_days(&self, from: UnixMs, until: UnixMs) -> Result<Vec<ToldDay>, LedgerError> {
        if !self.has_table("provider_buckets")? {
            return Ok(Vec::new());
        }
        let sql = "SELECT c.name, c.provider, b.family,
             (b.start_ms - ((b.start_ms % ?4) + ?4) % ?4) AS day,
             min(CASE b.state WHEN 'provisional' THEN 1 WHEN 'restated' THEN 2 ELSE 3 END),
             min(coalesce(b.last_pull_at, -1))
             FROM provider_connections c JOIN provider_buckets b ON b.connection = c.id
             WHERE b.width_minutes = ?1 AND b.start_ms >= ?2 AND b.start_ms < ?3
             AND b.state <> 'missing'
             GROUP BY c.id, b.family, day HAVING count(*) = 1440 / ?1 ORDER BY 1, 3, 4";
        let mut days: Vec<ToldDay> = Vec::new();
        let mut known: BTreeSet<(Text, Text, UnixMs)> = BTreeSet::new();
        for (width, minutes) in WIDTHS {
            let told: Vec<ToldDay> =
                self.all(sql, [minutes, from.0, until.0, DAY_MS], |row| day_of_row(row, width))?;
            for one in told {
                if known.insert((one.connection.clone(), one.family.clone(), one.day)) {
                    days.push(one);
                }
            }
        }
        Ok(days)
    }

    /// Hands the rows of a day to `each`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn told_rows(
        &self,
        day: &ToldDay,
        mut each: impl FnMut(ToldRow),
    ) -> Result<(), LedgerError> {
        let measures: Vec<&str> = Measure::ALL.iter().map(|measure| measure.name()).collect();
        let sql = format!(
            "SELECT start_ms, dims, amount, currency, quantity, quantity_unit,
             (SELECT seen_at FROM provider_revisions v WHERE v.row = provider_rows.id
              AND v.revision = provider_rows.revision AND v.state = 'restated'), {}
             FROM provider_rows
             WHERE connection = (SELECT id FROM provider_connections WHERE name = ?1)
             AND family = ?2 AND width_minutes = ?3 AND start_ms >= ?4 AND start_ms < ?5
             AND NOT is_withdrawn",
            measures.join(", ")
        );
        let width_minutes = day.width.ms() / 60_000;
        let until = day.day.0 + DAY_MS;
        let values =
            rusqlite::params![&*day.connection, &*day.family, width_minutes, day.day.0, until];
        self.each(&sql, values, |row| {
            each(told_of_row(row)?);
            Ok(())
        })
    }

    /// What ids of projects, users and keys are called.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn provider_names(&self) -> Result<Vec<ToldName>, LedgerError> {
        if !self.has_table("provider_names")? {
            return Ok(Vec::new());
        }
        let sql = "SELECT c.provider, n.kind, n.id, n.name FROM provider_names n
             JOIN provider_connections c ON c.id = n.connection ORDER BY 1, 2, 3";
        self.all(sql, [], |row| {
            let text = |at: usize| row.get::<_, String>(at).map(Text::from);
            Ok(ToldName { provider: text(0)?, kind: text(1)?, id: text(2)?, name: text(3)? })
        })
    }
}

fn day_of_row(row: &Row<'_>, width: BilledWidth) -> rusqlite::Result<ToldDay> {
    let text = |at: usize| row.get::<_, String>(at).map(Text::from);
    let state = match row.get::<_, i64>(4)? {
        1 => ToldState::Provisional,
        2 => ToldState::Restated,
        _ => ToldState::Settled,
    };
    Ok(ToldDay {
        connection: text(0)?,
        provider: text(1)?,
        family: text(2)?,
        day: UnixMs(row.get(3)?),
        width,
        state,
        last_pull_at: Some(UnixMs(row.get(5)?)).filter(|at| at.0 >= 0),
    })
}

/// Columns before the measures.
const MEASURES_AT: usize = 7;

fn told_of_row(row: &Row<'_>) -> rusqlite::Result<ToldRow> {
    Ok(ToldRow {
        start: UnixMs(row.get(0)?),
        dims: dims_of_row(row, 1)?,
        measures: measures_of_row(row, MEASURES_AT)?,
        charge: charge_of_row(row, 2)?,
        restated_at: row.get::<_, Option<i64>>(6)?.map(UnixMs),
    })
}
