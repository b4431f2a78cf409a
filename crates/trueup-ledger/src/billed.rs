//! What providers say, written down: page by page, with every revision.
//!
//! A range is asked for page by page. Each page is one transaction: the page as it came, its rows, and
//! the cursor of the next, so that whatever ends the process, the range goes on where it was. When a
//! range is whole, what was expected and did not come is missing, and rows that are no longer told are
//! withdrawn. A value that changes is a new revision; the old one stays.
//!
//! ```text
//! begin ──▶ store page ──▶ … ──▶ store page ──▶ finish: complete? withdrawn? settled?
//!               │ killed here: begin finds the cursor, and goes on
//! ```

mod backfill;
mod issues;
mod lag;
mod prune;
mod read;
mod rows;
mod settle;
mod told;

use std::slice;

use rusqlite::{Connection, OptionalExtension as _, params};
use trueup_core::{BilledFact, BilledName, BilledWidth, Issue, UnixMs};

use crate::row::signed;
use crate::{Ledger, LedgerError};

pub use backfill::BackfillStep;
pub use lag::SettleLag;
pub use prune::{Prunable, Pruned};
pub use read::{BilledBucket, ConnectionState, StoredIssue};
pub(crate) use rows::{value_columns, value_of};
pub use settle::SETTLE_AGE_MS;
pub use told::{ToldDay, ToldName, ToldRow, ToldState};

/// A range that was left in the middle is asked for anew after this long: its cursor has grown old.
const RESUME_MS_MAX: i64 = 24 * trueup_core::HOUR_MS;

/// A range of a family, asked for with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRange {
    /// The connection's name.
    pub connection: String,
    /// The provider's id.
    pub provider: String,
    /// Where it is asked.
    pub address: String,
    /// The family: `usage/completions`.
    pub family: String,
    /// The family and the key that asks: `usage/completions:key_1f0c2a9b`.
    pub cursor_key: String,
    /// The length of its buckets.
    pub width: BilledWidth,
    /// Where the first begins.
    pub from: UnixMs,
    /// What the last ends before.
    pub until: UnixMs,
}

/// Issues that were not seen for this long are forgotten: days that still change are asked for once a
/// week, so that these are of days that nobody asks for again.
const ISSUE_MS_MAX: i64 = 14 * trueup_core::DAY_MS;
/// Cursors that have not moved for this long are forgotten.
const CURSOR_MS_MAX: i64 = 90 * trueup_core::DAY_MS;

impl PullRange {
    const fn width_minutes(&self) -> i64 {
        self.width.ms() / 60_000
    }
}

/// Where a range stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulling {
    /// When it began: every row that it tells is seen at this time.
    pub started_at: UnixMs,
    /// What rows are told apart by, divided by commas.
    pub grouping: String,
    /// The cursor of the next page; `None` for the first.
    pub page_cursor: Option<String>,
    /// Pages so far.
    pub pages: u32,
}

/// A page as it came, and what was read of it.
#[derive(Debug, Clone)]
pub struct PulledPage {
    /// What was asked, without the key.
    pub query: String,
    /// Its length.
    pub bytes: u64,
    /// The hash of its bytes.
    pub sha256: [u8; 32],
    /// The bytes, compressed by zstd.
    pub body: Vec<u8>,
    /// Its rows.
    pub facts: Vec<BilledFact>,
    /// Where its buckets begin.
    pub buckets: Vec<UnixMs>,
    /// What ids are called.
    pub names: Vec<BilledName>,
    /// What was not understood.
    pub issues: Vec<Issue>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// What became of the rows of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows that are new.
    pub stored: u64,
    /// Rows whose value changed.
    pub updated: u64,
    /// Rows that were known as they are.
    pub skipped: u64,
}

/// How a range ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finished {
    /// Buckets that were asked for and did not come.
    pub missing: Vec<UnixMs>,
    /// Rows that are no longer told.
    pub withdrawn: u64,
    /// Buckets that count as settled from now on.
    pub settled: u64,
}

impl Ledger {
    /// Begins a range, or goes on with one that was left in the middle, told apart by what that was.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn begin_pull(
        &mut self,
        range: &PullRange,
        grouping: &str,
        now: UnixMs,
    ) -> Result<Pulling, LedgerError> {
        self.try_change(|database| {
            let connection = connect_of(database, range, now)?;
            forget_done(database, connection, now)?;
            match left_over(database, connection, range)? {
                Some(left) if now.0 - left.started_at.0 <= RESUME_MS_MAX => Ok(left),
                _ => restart(database, connection, range, grouping, now),
            }
        })
    }

    /// Begins a range anew, told apart by less: a dimension was refused, which is noted.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn regroup_pull(
        &mut self,
        range: &PullRange,
        grouping: &str,
        issue: &Issue,
        now: UnixMs,
    ) -> Result<Pulling, LedgerError> {
        self.try_change(|database| {
            let connection = connect_of(database, range, now)?;
            let pulling = restart(database, connection, range, grouping, now)?;
            issues::note(database, connection, range, slice::from_ref(issue), now)?;
            Ok(pulling)
        })
    }

    /// Writes a page: its bytes, its rows and the cursor of the next, or nothing.
    /// On a full disk it fails, and leaves the ballast alone: what a provider says can be asked for again.
    ///
    /// # Errors
    /// What SQLite says; nothing was written.
    pub fn store_page(
        &mut self,
        range: &PullRange,
        pulling: &Pulling,
        page: &PulledPage,
        now: UnixMs,
    ) -> Result<RowCounts, LedgerError> {
        let stored = self.try_change(|database| {
            let connection = connect_of(database, range, now)?;
            let page_id = keep_page(database, connection, range, page, now)?;
            let at = rows::Place { connection, range, page: Some(page_id), pulling, now };
            let mut stored = RowCounts::default();
            for fact in &page.facts {
                rows::store(database, &at, fact, &mut stored)?;
            }
            settle::list(database, &at, &page.buckets)?;
            keep_names(database, connection, &page.names, now)?;
            issues::note(database, connection, range, &page.issues, now)?;
            advance(database, connection, range, page.next.as_deref(), now)?;
            Ok(stored)
        })?;
        self.shed_memory()?;
        Ok(stored)
    }

    /// The last page of a range is written: what did not come is missing, what is no longer told is
    /// withdrawn, and what has stayed the same for long enough is settled. `lists_empty` says whether a
    /// bucket without usage would have been listed.
    ///
    /// # Errors
    /// What SQLite says; nothing was written.
    pub fn finish_pull(
        &mut self,
        range: &PullRange,
        pulling: &Pulling,
        lists_empty: bool,
        now: UnixMs,
    ) -> Result<Finished, LedgerError> {
        self.try_change(|database| {
            let connection = connect_of(database, range, now)?;
            let at = rows::Place { connection, range, page: None, pulling, now };
            let finished = settle::finish(database, &at, lists_empty)?;
            let state = if finished.missing.is_empty() { "done" } else { "incomplete" };
            set_state(database, connection, range, state, None, now)?;
            issues::mend(database, connection, range, pulling.started_at)?;
            issues::note_missing(database, connection, range, &finished.missing, now)?;
            Ok(finished)
        })
    }

    /// Keeps what ids of a connection are called.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn name_billed(
        &mut self,
        connection: &str,
        provider: &str,
        address: &str,
        names: &[BilledName],
        now: UnixMs,
    ) -> Result<(), LedgerError> {
        self.try_change(|database| {
            let connection = connect(database, connection, provider, address, now)?;
            keep_names(database, connection, names, now)
        })
    }

    /// Notes that a range could not be gone on with. `is_left` where it is to go on from its cursor;
    /// otherwise the next pull begins it anew.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn fail_pull(
        &mut self,
        range: &PullRange,
        issue: &Issue,
        is_left: bool,
        now: UnixMs,
    ) -> Result<(), LedgerError> {
        self.try_change(|database| {
            let connection = connect_of(database, range, now)?;
            let state = if is_left { "partial" } else { "failed" };
            set_state(database, connection, range, state, Some(&issue.to_string()), now)?;
            issues::note(database, connection, range, slice::from_ref(issue), now)
        })
    }
}

fn connect_of(database: &Connection, range: &PullRange, now: UnixMs) -> rusqlite::Result<i64> {
    connect(database, &range.connection, &range.provider, &range.address, now)
}

/// The number of a connection; it gets one when it is first pulled.
fn connect(
    database: &Connection,
    name: &str,
    provider: &str,
    address: &str,
    now: UnixMs,
) -> rusqlite::Result<i64> {
    database
        .prepare_cached(
            "INSERT INTO provider_connections (name, provider, address, first_pull_at)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET provider = ?2, address = ?3 RETURNING id",
        )?
        .query_row(params![name, provider, address, now.0], |row| row.get(0))
}

/// The range as it was left in the middle.
fn left_over(
    database: &Connection,
    connection: i64,
    range: &PullRange,
) -> rusqlite::Result<Option<Pulling>> {
    database
        .prepare_cached(
            "SELECT started_at, grouping, page_cursor, pages FROM provider_cursors
             WHERE connection = ?1 AND cursor_key = ?2 AND width_minutes = ?3 AND from_ms = ?4
             AND until_ms = ?5 AND state = 'partial'",
        )?
        .query_row(
            params![
                connection,
                range.cursor_key,
                range.width_minutes(),
                range.from.0,
                range.until.0
            ],
            |row| {
                Ok(Pulling {
                    started_at: UnixMs(row.get(0)?),
                    grouping: row.get(1)?,
                    page_cursor: row.get(2)?,
                    pages: row.get(3)?,
                })
            },
        )
        .optional()
}

/// What was asked for long ago is told by its buckets; what was wrong then, with days that nobody asks
/// for any more, is too old to be mended.
fn forget_done(database: &Connection, connection: i64, now: UnixMs) -> rusqlite::Result<()> {
    for (sql, age_ms_max) in [
        ("DELETE FROM provider_cursors WHERE connection = ?1 AND updated_at < ?2", CURSOR_MS_MAX),
        ("DELETE FROM provider_issues WHERE connection = ?1 AND last_seen_at < ?2", ISSUE_MS_MAX),
    ] {
        database.prepare_cached(sql)?.execute(params![connection, now.0 - age_ms_max])?;
    }
    Ok(())
}

fn restart(
    database: &Connection,
    connection: i64,
    range: &PullRange,
    grouping: &str,
    now: UnixMs,
) -> rusqlite::Result<Pulling> {
    database
        .prepare_cached(
            "INSERT INTO provider_cursors (connection, cursor_key, width_minutes, from_ms, until_ms,
             grouping, state, pages, attempts, started_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'partial', 0, 0, ?7, ?7)
             ON CONFLICT DO UPDATE SET grouping = ?6, state = 'partial', page_cursor = NULL,
             pages = 0, started_at = ?7, updated_at = ?7",
        )?
        .execute(params![
            connection,
            range.cursor_key,
            range.width_minutes(),
            range.from.0,
            range.until.0,
            grouping,
            now.0
        ])?;
    let grouping = grouping.to_owned();
    Ok(Pulling { started_at: now, grouping, page_cursor: None, pages: 0 })
}

fn advance(
    database: &Connection,
    connection: i64,
    range: &PullRange,
    next: Option<&str>,
    now: UnixMs,
) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "UPDATE provider_cursors SET page_cursor = ?6, pages = pages + 1, attempts = 0,
             last_error = NULL, updated_at = ?7
             WHERE connection = ?1 AND cursor_key = ?2 AND width_minutes = ?3 AND from_ms = ?4
             AND until_ms = ?5",
        )?
        .execute(params![
            connection,
            range.cursor_key,
            range.width_minutes(),
            range.from.0,
            range.until.0,
            next,
            now.0
        ])
        .map(drop)
}

fn set_state(
    database: &Connection,
    connection: i64,
    range: &PullRange,
    state: &str,
    error: Option<&str>,
    now: UnixMs,
) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "UPDATE provider_cursors SET state = ?6, last_error = ?7,
             attempts = iif(?7 IS NULL, 0, attempts + 1), updated_at = ?8
             WHERE connection = ?1 AND cursor_key = ?2 AND width_minutes = ?3 AND from_ms = ?4
             AND until_ms = ?5",
        )?
        .execute(params![
            connection,
            range.cursor_key,
            range.width_minutes(),
            range.from.0,
            range.until.0,
            state,
            error,
            now.0
        ])
        .map(drop)
}

/// Notes that a page came again as it was.
const SEE_PAGE: &str = "UPDATE provider_pages SET last_seen_at = ?5
     WHERE connection = ?1 AND cursor_key = ?2 AND query = ?3 AND sha256 = ?4 RETURNING id";

/// Keeps a page's bytes; its number. The same bytes for the same question are kept once.
fn keep_page(
    database: &Connection,
    connection: i64,
    range: &PullRange,
    page: &PulledPage,
    now: UnixMs,
) -> rusqlite::Result<i64> {
    let known: Option<i64> = database
        .prepare_cached(SEE_PAGE)?
        .query_row(params![connection, range.cursor_key, page.query, page.sha256, now.0], |row| {
            row.get(0)
        })
        .optional()?;
    if let Some(known) = known {
        return Ok(known);
    }
    database
        .prepare_cached(
            "INSERT INTO provider_pages (connection, cursor_key, query, first_seen_at, last_seen_at,
             bytes, sha256, body, from_ms, until_ms)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .insert(params![
            connection,
            range.cursor_key,
            page.query,
            now.0,
            signed(page.bytes),
            page.sha256,
            page.body,
            range.from.0,
            range.until.0
        ])
}

fn keep_names(
    database: &Connection,
    connection: i64,
    names: &[BilledName],
    now: UnixMs,
) -> rusqlite::Result<()> {
    let mut keep = database.prepare_cached(
        "INSERT INTO provider_names (connection, kind, id, name, seen_at)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at",
    )?;
    for BilledName { kind, id, name } in names {
        keep.execute(params![connection, &**kind, &**id, &**name, now.0])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::params_from_iter;

    use super::*;

    /// A statement that goes through all rows would be slow after a year.
    #[test]
    fn nothing_that_is_done_for_each_row_scans_the_rows() {
        let mut database = Connection::open_in_memory().unwrap();
        crate::schema::migrate(&mut database, Path::new("")).unwrap();
        for sql in [rows::SEE, settle::UNSEEN, SEE_PAGE] {
            let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values = vec![0; plan.parameter_count()];
            let steps = plan.query_map(params_from_iter(values), |row| row.get(3)).unwrap();
            let plan: Vec<String> = steps.map(Result::unwrap).collect();
            assert!(
                !plan.is_empty() && plan.iter().all(|step| step.starts_with("SEARCH")),
                "{plan:?}"
            );
        }
    }
}
