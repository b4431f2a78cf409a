//! Which buckets came, and which no longer change.
//!
//! Providers correct what they have told: a day is *provisional*, *settled* once it has long been over
//! and two whole pulls in a row brought nothing new, and *restated* where it changes after that.

use rusqlite::{Connection, params};
use trueup_core::UnixMs;

use super::Finished;
use super::rows::{Place, withdraw};

/// How long a bucket must be over before it can be settled.
pub const SETTLE_AGE_MS: i64 = 48 * trueup_core::HOUR_MS;
/// Whole pulls in a row that must have brought nothing new.
const UNCHANGED_MIN: i64 = 2;

/// Notes that buckets came.
pub(super) fn list(
    database: &Connection,
    at: &Place<'_>,
    buckets: &[UnixMs],
) -> rusqlite::Result<()> {
    let mut list = database.prepare_cached(
        "INSERT INTO provider_buckets (connection, family, width_minutes, start_ms, state, pulls,
         unchanged, listed_by) VALUES (?1, ?2, ?3, ?4, 'provisional', 0, 0, ?5)
         ON CONFLICT DO UPDATE SET listed_by = excluded.listed_by",
    )?;
    for start in buckets {
        list.execute(params![
            at.connection,
            at.range.family,
            at.range.width_minutes(),
            start.0,
            at.pulling.started_at.0
        ])?;
    }
    Ok(())
}

/// Looks at every bucket of a range whose last page was written.
pub(super) fn finish(
    database: &Connection,
    at: &Place<'_>,
    lists_empty: bool,
) -> rusqlite::Result<Finished> {
    let width_ms = at.range.width.ms();
    let count = (at.range.until.0 - at.range.from.0).max(0) / width_ms;
    let expected: Vec<UnixMs> =
        (0..count).map(|number| UnixMs(at.range.from.0 + number * width_ms)).collect();
    if !lists_empty {
        list(database, at, &expected)?;
    }
    let mut finished = Finished::default();
    for start in expected {
        if !was_listed(database, at, start)? {
            mark_missing(database, at, start)?;
            finished.missing.push(start);
            continue;
        }
        let withdrawn = withdraw_unseen(database, at, start)?;
        finished.withdrawn += withdrawn;
        finished.settled += u64::from(settle(database, at, start)?);
    }
    Ok(finished)
}

fn was_listed(database: &Connection, at: &Place<'_>, start: UnixMs) -> rusqlite::Result<bool> {
    database
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM provider_buckets WHERE connection = ?1 AND family = ?2
             AND width_minutes = ?3 AND start_ms = ?4 AND listed_by = ?5)",
        )?
        .query_row(
            params![
                at.connection,
                at.range.family,
                at.range.width_minutes(),
                start.0,
                at.pulling.started_at.0
            ],
            |row| row.get(0),
        )
}

/// A bucket that never came is missing; one that came before keeps what is known of it. Both know when
/// they were asked for.
fn mark_missing(database: &Connection, at: &Place<'_>, start: UnixMs) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "INSERT INTO provider_buckets (connection, family, width_minutes, start_ms, state, pulls,
             unchanged, listed_by, asked_at) VALUES (?1, ?2, ?3, ?4, 'missing', 0, 0, 0, ?5)
             ON CONFLICT DO UPDATE SET asked_at = excluded.asked_at",
        )?
        .execute(params![
            at.connection,
            at.range.family,
            at.range.width_minutes(),
            start.0,
            at.now.0
        ])
        .map(drop)
}

/// Rows of a bucket that this pull has not seen.
pub(super) const UNSEEN: &str = "SELECT id FROM provider_rows WHERE connection = ?1 AND family = ?2
     AND width_minutes = ?3 AND start_ms = ?4 AND last_seen_at < ?5 AND NOT is_withdrawn";

fn withdraw_unseen(database: &Connection, at: &Place<'_>, start: UnixMs) -> rusqlite::Result<u64> {
    let unseen: Vec<i64> = database
        .prepare_cached(UNSEEN)?
        .query_map(
            params![
                at.connection,
                at.range.family,
                at.range.width_minutes(),
                start.0,
                at.pulling.started_at.0
            ],
            |row| row.get(0),
        )?
        .collect::<rusqlite::Result<_>>()?;
    for row in &unseen {
        withdraw(database, at, *row, start)?;
    }
    Ok(unseen.len() as u64)
}

/// A whole pull of a bucket is over; whether it is settled from now on.
fn settle(database: &Connection, at: &Place<'_>, start: UnixMs) -> rusqlite::Result<bool> {
    let is_over = at.now.0 - start.0 - at.range.width.ms() >= SETTLE_AGE_MS;
    // The first pull brings everything: what has no row yet has not changed by it. A pull that did not
    // come to its end may have brought a change, too, since the last one that did.
    database
        .prepare_cached(
            "UPDATE provider_buckets AS b SET pulls = pulls + 1, last_pull_at = ?6,
             unchanged = iif(changed, 0, unchanged + (pulls > 0)),
             state = CASE WHEN settled_at IS NOT NULL AND changed THEN 'restated'
                 WHEN state = 'restated' THEN 'restated'
                 WHEN settled_at IS NULL AND ?7 AND NOT changed AND unchanged + (pulls > 0) >= ?8
                 THEN 'settled'
                 WHEN settled_at IS NOT NULL THEN 'settled' ELSE 'provisional' END,
             settled_at = coalesce(settled_at, iif(?7 AND NOT changed
                 AND unchanged + (pulls > 0) >= ?8, ?6, NULL))
             FROM (SELECT EXISTS (SELECT 1 FROM provider_rows WHERE connection = ?1 AND family = ?2
                 AND width_minutes = ?3 AND start_ms = ?4 AND (last_changed_at >= ?5
                 OR last_changed_at > (SELECT p.last_pull_at FROM provider_buckets p
                     WHERE p.connection = ?1 AND p.family = ?2 AND p.width_minutes = ?3
                     AND p.start_ms = ?4))) AS changed)
             WHERE b.connection = ?1 AND b.family = ?2 AND b.width_minutes = ?3 AND b.start_ms = ?4
             RETURNING settled_at = ?6",
        )?
        .query_row(
            params![
                at.connection,
                at.range.family,
                at.range.width_minutes(),
                start.0,
                at.pulling.started_at.0,
                at.now.0,
                is_over,
                UNCHANGED_MIN
            ],
            |row| Ok(row.get::<_, Option<bool>>(0)?.unwrap_or(false)),
        )
}
