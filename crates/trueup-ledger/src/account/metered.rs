//! What counters of telemetry tell, kept so that the order in which points come, and how often, does not
//! matter: of a cumulative counter the smallest and the largest value of a day, of a delta the sum of points
//! that were not seen before.
//!
//! Bounded: one row a counter and day, of which the oldest days go; and of a delta the last points of a day are
//! remembered. One that is older than all of these may have been added, and is left out.

use rusqlite::{OptionalExtension as _, params};
use trueup_core::{DAY_MS, Metered};

use super::Account;

/// Rows that are kept: a day of heavy use makes a few hundred.
pub(super) const ROWS_MAX: i64 = 20_000;
/// Rows that are left where there were more.
const ROWS_KEPT: i64 = ROWS_MAX / 10 * 9;
/// Points of a delta and day that are remembered: half an hour of Claude Code's.
const SEEN_MAX: usize = 32;

impl Account<'_> {
    /// Notes what a counter has come to.
    pub(super) fn metered(&mut self, metered: &Metered) -> rusqlite::Result<()> {
        let day = metered.time.0.div_euclid(DAY_MS);
        if metered.is_cumulative { self.cumulative(day, metered) } else { self.delta(day, metered) }
    }

    fn cumulative(&mut self, day: i64, metered: &Metered) -> rusqlite::Result<()> {
        let Metered { stream, source, session, began, parts, value, .. } = metered;
        let is_new = self
            .database
            .prepare_cached(
                "UPDATE metered SET least = min(least, ?3), most = max(most, ?3)
                 WHERE day = ?1 AND stream = ?2",
            )?
            .execute([day, *stream, *value])?
            == 0;
        if is_new {
            let began = began.0.div_euclid(DAY_MS);
            self.insert_metered(params![
                day, stream, &**source, &**session, parts.0, began, value, value, [0_u8; 0]
            ])?;
        }
        Ok(())
    }

    fn delta(&mut self, day: i64, metered: &Metered) -> rusqlite::Result<()> {
        let Metered { stream, source, session, point, parts, value, .. } = metered;
        let known: Option<Vec<u8>> = self
            .database
            .prepare_cached("SELECT seen FROM metered WHERE day = ?1 AND stream = ?2")?
            .query_row([day, *stream], |row| row.get(0))
            .optional()?;
        let Some(seen) = known else {
            let seen = point.to_be_bytes();
            return self.insert_metered(params![
                day,
                stream,
                &**source,
                &**session,
                parts.0,
                None::<i64>,
                0,
                value,
                seen
            ]);
        };
        let Some(seen) = with(&seen, *point) else { return Ok(()) };
        self.database
            .prepare_cached(
                "UPDATE metered SET most = min(most + ?3, ?5), seen = ?4
                 WHERE day = ?1 AND stream = ?2",
            )?
            .execute(params![day, stream, value, seen, VALUE_MAX])?;
        Ok(())
    }

    fn insert_metered(&mut self, row: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
        self.database
            .prepare_cached(
                "INSERT INTO metered (day, stream, source, session, parts, began, least, most, seen)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(row)?;
        self.has_metered_more = true;
        Ok(())
    }

    /// Lets the oldest days go where there are too many rows.
    pub(super) fn bound_metered(&self) -> rusqlite::Result<()> {
        if !self.has_metered_more {
            return Ok(());
        }
        let mut count = self.database.prepare_cached("SELECT count(*) FROM metered")?;
        let rows: i64 = count.query_row([], |row| row.get(0))?;
        if rows > ROWS_MAX {
            self.database
                .prepare_cached(
                    "DELETE FROM metered WHERE (day, stream) IN
                     (SELECT day, stream FROM metered ORDER BY day, stream LIMIT ?1)",
                )?
                .execute([rows - ROWS_KEPT])?;
        }
        Ok(())
    }
}

/// What a day's sum stops at: no sum of sums overflows.
const VALUE_MAX: i64 = 1 << 53;

/// The points that were seen with one more; nothing where it was seen, or may have been.
fn with(seen: &[u8], point: i64) -> Option<Vec<u8>> {
    let (points, _) = seen.as_chunks::<8>();
    let mut points: Vec<i64> = points.iter().map(|bytes| i64::from_be_bytes(*bytes)).collect();
    let at = points.binary_search(&point).err()?;
    if points.len() >= SEEN_MAX {
        if at == 0 {
            return None;
        }
        points.insert(at, point);
        points.remove(0);
    } else {
        points.insert(at, point);
    }
    Some(points.into_iter().flat_map(i64::to_be_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_points_are_known_and_older_ones_are_left_out() {
        let mut seen = Vec::new();
        for point in 1..=40 {
            seen = with(&seen, point).unwrap();
            assert_eq!(with(&seen, point), None);
        }
        assert_eq!(seen.len(), SEEN_MAX * 8);
        // 9..=40 are remembered; 8 may have been added.
        assert_eq!(with(&seen, 8), None);
        assert!(with(&seen, 41).is_some());
    }
}
