//! How long after its end a day still changed: what a provider's *settled* is worth.

use trueup_core::{DAY_MS, HOUR_MS, UnixMs};

use crate::{LedgerError, Reader};

/// Days that are looked at, from the present one back.
const DAYS_BACK: i64 = 90;
/// A day that was first told later than this after its end was not watched: when it changed is not
/// known.
const WATCHED_MS: i64 = 12 * HOUR_MS;

/// When a settled day of a family was last seen to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleLag {
    /// The connection's name.
    pub connection: String,
    /// The provider's id.
    pub provider: String,
    /// Milliseconds after the end of the day; 0 where it did not change after it.
    pub lag_ms: u64,
}

impl Reader {
    /// Each day of a family of the last 90 days that has settled, has rows, and was watched from its end
    /// on.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn settle_lags(&self, now: UnixMs) -> Result<Vec<SettleLag>, LedgerError> {
        if !self.has_table("provider_buckets")? {
            return Ok(Vec::new());
        }
        let sql = "WITH days AS (
                 SELECT b.connection, b.start_ms + 86400000 AS ended,
                     (SELECT min(r.first_seen_at) FROM provider_rows r
                      WHERE r.connection = b.connection AND r.family = b.family
                      AND r.width_minutes = 1440 AND r.start_ms = b.start_ms) AS first,
                     (SELECT max(r.last_changed_at) FROM provider_rows r
                      WHERE r.connection = b.connection AND r.family = b.family
                      AND r.width_minutes = 1440 AND r.start_ms = b.start_ms) AS changed
                 FROM provider_buckets b
                 WHERE b.width_minutes = 1440 AND b.settled_at IS NOT NULL AND b.start_ms >= ?1)
             SELECT c.name, c.provider, max(0, d.changed - d.ended) FROM days d
             JOIN provider_connections c ON c.id = d.connection
             WHERE d.first <= d.ended + ?2 ORDER BY 1, 3";
        let from = now.0 - DAYS_BACK * DAY_MS;
        self.all(sql, [from, WATCHED_MS], |row| {
            Ok(SettleLag {
                connection: row.get(0)?,
                provider: row.get(1)?,
                lag_ms: row.get::<_, i64>(2)?.unsigned_abs(),
            })
        })
    }
}
