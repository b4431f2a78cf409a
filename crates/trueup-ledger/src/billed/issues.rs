//! What is wrong with what was told, and when it no longer is.
//!
//! An issue is about the days that were asked for: only a whole pull of these days without it, with any
//! key, removes it. One of asking, such as a key that is refused, is over with the first whole pull of
//! any days of the family.
//!
//! ```text
//! schema_drift of 1 to 31 October, pulled anew from the 20th on: of 1 to 19 October
//! ```

use rusqlite::{Connection, params};
use trueup_core::{Issue, IssueCode, UnixMs};

use super::PullRange;

/// Issues that are remembered of one connection.
const ISSUES_MAX: i64 = 500;

/// What keeps a family from being asked, and has nothing to do with the days that are asked for.
const OF_ASKING: [IssueCode; 8] = [
    IssueCode::KeyRefused,
    IssueCode::ScopeMissing,
    IssueCode::NotOffered,
    IssueCode::Throttled,
    IssueCode::ProviderFailed,
    IssueCode::Unreachable,
    IssueCode::Redirected,
    IssueCode::ClockSkew,
];

/// The days that an issue is about; `None` where it is of asking.
type Days = Option<(UnixMs, UnixMs)>;

/// Writes issues of a range down; the oldest of the connection give way.
pub(super) fn note(
    database: &Connection,
    connection: i64,
    range: &PullRange,
    issues: &[Issue],
    now: UnixMs,
) -> rusqlite::Result<()> {
    let days =
        |issue: &Issue| (!OF_ASKING.contains(&issue.code)).then_some((range.from, range.until));
    let issues: Vec<(&Issue, Days)> = issues.iter().map(|issue| (issue, days(issue))).collect();
    put(database, connection, range, &issues, now)
}

/// Notes buckets that did not come: those that follow each other are one issue.
pub(super) fn note_missing(
    database: &Connection,
    connection: i64,
    range: &PullRange,
    missing: &[UnixMs],
    now: UnixMs,
) -> rusqlite::Result<()> {
    let width_ms = range.width.ms();
    let runs = missing.chunk_by(|one, next| next.0 - one.0 == width_ms);
    let found: Vec<(Issue, Days)> = runs
        .filter_map(|run| {
            let (first, last) = (*run.first()?, *run.last()?);
            let detail = if first == last {
                format!("the bucket at {first} was asked for and did not come")
            } else {
                format!(
                    "{} buckets from {first} to {last} were asked for and did not come",
                    run.len()
                )
            };
            let issue = Issue::new(IssueCode::BucketMissing, detail);
            Some((issue, Some((first, UnixMs(last.0 + width_ms)))))
        })
        .collect();
    let issues: Vec<(&Issue, Days)> = found.iter().map(|(issue, days)| (issue, *days)).collect();
    put(database, connection, range, &issues, now)
}

/// One that stands already is of the days of both.
fn put(
    database: &Connection,
    connection: i64,
    range: &PullRange,
    issues: &[(&Issue, Days)],
    now: UnixMs,
) -> rusqlite::Result<()> {
    let mut put = database.prepare_cached(
        "INSERT INTO provider_issues AS i (connection, cursor_key, code, detail, first_seen_at,
         last_seen_at, count, from_ms, until_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?5, 1, ?6, ?7)
         ON CONFLICT DO UPDATE SET last_seen_at = excluded.last_seen_at, count = count + 1,
         from_ms = min(coalesce(i.from_ms, ?6), ?6), until_ms = max(coalesce(i.until_ms, ?7), ?7)",
    )?;
    for (issue, days) in issues {
        let (from, until) = (days.map(|(from, _)| from.0), days.map(|(_, until)| until.0));
        let Issue { code, detail } = issue;
        put.execute(params![
            connection,
            range.cursor_key,
            code.name(),
            detail,
            now.0,
            from,
            until
        ])?;
    }
    if issues.is_empty() { Ok(()) } else { trim(database, connection) }
}

fn trim(database: &Connection, connection: i64) -> rusqlite::Result<()> {
    database
        .prepare_cached(
            "DELETE FROM provider_issues WHERE connection = ?1 AND (cursor_key, code, detail) IN
             (SELECT cursor_key, code, detail FROM provider_issues WHERE connection = ?1
              ORDER BY last_seen_at DESC LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![connection, ISSUES_MAX])
        .map(drop)
}

/// A range was told as a whole by a pull that began at `started_at`: what was seen before that, with any
/// key, no longer stands for its days.
pub(super) fn mend(
    database: &Connection,
    connection: i64,
    range: &PullRange,
    started_at: UnixMs,
) -> rusqlite::Result<()> {
    const OF_FAMILY: &str = "connection = ?1 AND last_seen_at < ?3
         AND substr(cursor_key, 1, instr(cursor_key, ':') - 1) = ?2";
    let values = params![connection, range.family, started_at.0, range.from.0, range.until.0];
    // An issue that reaches over one end of the range is from now on of what lies beyond it; one that
    // reaches over both stays as it is.
    let shorten = format!(
        "UPDATE provider_issues SET
         from_ms = iif(from_ms >= ?4 AND from_ms < ?5, ?5, from_ms),
         until_ms = iif(until_ms > ?4 AND until_ms <= ?5, ?4, until_ms)
         WHERE {OF_FAMILY}"
    );
    database.prepare_cached(&shorten)?.execute(values)?;
    let forget = format!(
        "DELETE FROM provider_issues WHERE {OF_FAMILY} AND (from_ms IS NULL OR from_ms >= until_ms)"
    );
    database
        .prepare_cached(&forget)?
        .execute(params![connection, range.family, started_at.0])
        .map(drop)
}
