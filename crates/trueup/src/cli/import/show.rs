//! What `trueup import` says.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};
use trueup_core::UnixMs;
use trueup_ledger::{Statement, StatementAccount};
use trueup_providers::StatementSummary;
use unicode_width::UnicodeWidthStr as _;

use super::Tried;
use crate::render::number::{counted, grouped, hex};
use crate::render::table::{Cell, Layout, Look, cut, shortened};
use crate::render::terminal::Terminal;
use crate::statement::{Outcome, Status};

/// Issues that are written out of each file.
const ISSUES_SHOWN_MAX: usize = 12;
/// Columns of an issue's line.
const COLUMNS: usize = 80;
/// The shortest that a file's name is cut to.
const NAME_MIN: usize = 20;

/// What came of a file.
pub(super) fn outcome(outcome: &Outcome, out: &mut impl Write) -> Result<()> {
    let Outcome { name, format, providers, summary, status, supersedes } = outcome;
    let days = summary.span.map_or_else(String::new, |span| format!(", {}", days(span)));
    let told = format.title.len() + days.len() + ": ".len();
    // Files of one provider's own kind need no name of it; others may be of any, and of many.
    let all = if format.provider.is_empty() { providers.join(", ") } else { String::new() };
    let room = COLUMNS.saturating_sub(NAME_MIN + told + " of ".len());
    let are_many = providers.len() > 1 && all.width() > room;
    let of = if are_many {
        format!(" of {}", counted(providers.len() as u64, "provider"))
    } else if all.is_empty() {
        String::new()
    } else {
        format!(" of {}", shortened(&all, room))
    };
    let room = COLUMNS.saturating_sub(told + of.width());
    writeln!(out, "{}: {}{of}{days}", shortened(name, room), format.title)?;
    if are_many {
        let begin = "  of ";
        writeln!(out, "{begin}{}", cut(&all, COLUMNS - begin.len()))?;
    }
    let rows = counted(summary.rows, "row");
    match status {
        Status::Imported(id) => writeln!(out, "  {rows}, as statement {id}")?,
        Status::Known(id) => {
            writeln!(out, "  nothing new: this is statement {id}")?;
            return Ok(());
        }
        Status::Tried => writeln!(out, "  {rows}; nothing was written")?,
    }
    counts(summary, out)?;
    for (statement, rows) in supersedes {
        let rows = counted(*rows, "row");
        let begin = format!("  supersedes {rows} of statement {}, ", statement.id);
        let room = COLUMNS.saturating_sub(begin.chars().count());
        writeln!(out, "{begin}{}", shortened(&statement.name, room))?;
    }
    issues(summary, out)
}

fn counts(summary: &StatementSummary, out: &mut impl Write) -> Result<()> {
    let StatementSummary { blank, odd, unplaced, without_ids, .. } = summary;
    if *blank > 0 {
        writeln!(out, "  {} in which nothing was used, left out", counted(*blank, "bucket"))?;
    }
    if *without_ids > 0 {
        let rows = counted(*without_ids, "row");
        writeln!(out, "  {rows} of no named model, project or key: kept")?;
    }
    if *odd > 0 {
        writeln!(out, "  {} could not be read in full: kept as written", counted(*odd, "row"))?;
    }
    if *unplaced > 0 {
        writeln!(
            out,
            "  {} without a time that can be read: kept, and in no day",
            counted(*unplaced, "row")
        )?;
    }
    Ok(())
}

fn issues(summary: &StatementSummary, out: &mut impl Write) -> Result<()> {
    for (issue, (line, count)) in summary.issues.iter().take(ISSUES_SHOWN_MAX) {
        let times = if *count > 1 { format!(", {} times", grouped(*count)) } else { String::new() };
        let place = format!(" (line {line}{times})");
        let room = COLUMNS.saturating_sub(2 + place.chars().count());
        writeln!(out, "  {}{place}", cut(&issue.to_string(), room))?;
    }
    let more = summary.issues.len().saturating_sub(ISSUES_SHOWN_MAX);
    if more > 0 {
        writeln!(out, "  {} more: --json has them", counted(more as u64, "issue"))?;
    }
    Ok(())
}

/// `2026-11-01 to 2026-11-30`.
fn days((first, last): (UnixMs, UnixMs)) -> String {
    let (first, last) = (first.utc_date(), last.utc_date());
    if first == last { first } else { format!("{first} to {last}") }
}

/// The days that a statement covers: the first and the last one.
fn covered(accounts: &[StatementAccount]) -> Option<(UnixMs, UnixMs)> {
    let covers = || accounts.iter().filter_map(|account| account.covers);
    let first = covers().map(|(from, _)| from).min()?;
    let last = covers().map(|(_, until)| UnixMs(until.0 - 1)).max()?;
    Some((first, last))
}

/// Rows that count on some day.
fn counting(statement: &Statement, superseded: &BTreeMap<i64, u64>) -> u64 {
    let superseded = superseded.get(&statement.id).copied().unwrap_or_default();
    statement.rows.saturating_sub(superseded).saturating_sub(statement.unplaced)
}

/// Every statement.
pub(super) fn list(
    statements: &[Statement],
    superseded: &BTreeMap<i64, u64>,
    terminal: Terminal,
    out: &mut impl Write,
) -> Result<()> {
    if statements.is_empty() {
        writeln!(out, "Nothing was imported; `trueup import FILE` does it.")?;
        return Ok(());
    }
    let mut layout = Layout::new(vec!["Id", "Kind", "From", "To", "Rows", "Counting", "File"]);
    for statement in statements {
        let covers = covered(&statement.accounts);
        let shown =
            |at: Option<UnixMs>| Cell::Text(at.map_or_else(|| "—".to_owned(), UnixMs::utc_date));
        layout.row(
            Look::Plain,
            vec![
                Cell::Number(statement.id.to_string()),
                Cell::Text(statement.kind.clone()),
                shown(covers.map(|(first, _)| first)),
                shown(covers.map(|(_, last)| last)),
                Cell::Count(statement.rows),
                Cell::Count(counting(statement, superseded)),
                Cell::Name(statement.name.clone()),
            ],
        );
    }
    out.write_all(layout.draw(terminal).as_bytes())?;
    writeln!(out, "\nRows that do not count have no time, or a later file covers their day.")?;
    Ok(())
}

/// What was taken back.
pub(super) fn removed(statement: &Statement, out: &mut impl Write) -> Result<()> {
    let rows = counted(statement.rows, "row");
    let (begin, end) = (format!("Statement {}, ", statement.id), format!(": {rows} taken back."));
    let room = COLUMNS.saturating_sub(begin.len() + end.len());
    writeln!(out, "{begin}{}{end}", shortened(&statement.name, room))?;
    Ok(())
}

/// What came of a file.
pub(super) fn as_json((file, outcome): &Tried<'_>) -> Value {
    let file = file.to_string_lossy();
    match outcome {
        Err(error) => json!({ "file": file, "status": "failed", "error": format!("{error:#}") }),
        Ok(outcome) => outcome_as_json(&file, outcome),
    }
}

fn outcome_as_json(file: &str, outcome: &Outcome) -> Value {
    let Outcome { format, providers, summary, status, supersedes, .. } = outcome;
    let (status, id) = match status {
        Status::Imported(id) => ("imported", Some(id)),
        Status::Known(id) => ("known", Some(id)),
        Status::Tried => ("tried", None),
    };
    let issues = summary.issues.iter().map(|(issue, (line, count))| {
        json!({
            "code": issue.code.name(), "detail": issue.detail, "first_line": line, "count": count,
        })
    });
    let supersedes = supersedes.iter().map(
        |(statement, rows)| json!({ "id": statement.id, "name": statement.name, "rows": rows }),
    );
    json!({
        "file": file,
        "status": status,
        "id": id,
        "kind": format.kind,
        "family": format.family,
        "providers": providers,
        "from": summary.span.map(|(first, _)| first.to_string()),
        "last": summary.span.map(|(_, last)| last.to_string()),
        "rows": summary.rows,
        "blank": summary.blank,
        "odd": summary.odd,
        "unplaced": summary.unplaced,
        "without_ids": summary.without_ids,
        "supersedes": supersedes.collect::<Vec<_>>(),
        "issues": issues.collect::<Vec<_>>(),
    })
}

/// A statement that was imported.
pub(super) fn statement_as_json(statement: &Statement, superseded: &BTreeMap<i64, u64>) -> Value {
    let accounts = statement.accounts.iter().map(|account| {
        json!({
            "provider": account.provider,
            "account": account.account,
            "from": account.covers.map(|(from, _)| from.to_string()),
            "until": account.covers.map(|(_, until)| until.to_string()),
            "rows": account.rows,
        })
    });
    json!({
        "id": statement.id,
        "name": statement.name,
        "sha256": hex(&statement.sha256),
        "bytes": statement.bytes,
        "kind": statement.kind,
        "family": statement.family,
        "imported_at": statement.imported_at.to_string(),
        "accounts": accounts.collect::<Vec<_>>(),
        "rows": statement.rows,
        "counting": counting(statement, superseded),
        "blank": statement.blank,
        "odd": statement.odd,
        "unplaced": statement.unplaced,
        "without_ids": statement.without_ids,
    })
}
