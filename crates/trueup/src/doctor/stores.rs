//! Stores and lines that could not be read: what the readers have said of them.

use std::collections::BTreeMap;
use std::path::Path;

use trueup_core::{ProblemKind, Text};
use trueup_ledger::StoredProblem;

use super::{Item, OPENCLAW, RESTORE, Sight, Status, Verdict};
use crate::render::number::counted;

/// Lines that could not be understood, by store.
pub(super) fn bad_lines(sight: &Sight<'_>) -> Verdict {
    let mut stores: BTreeMap<&Text, Vec<&StoredProblem>> = BTreeMap::new();
    for problem in sight.problems.iter().filter(|problem| problem.is_bad_line()) {
        stores.entry(&problem.store.path).or_default().push(problem);
    }
    let lines: u64 = stores.values().map(|problems| problems.len() as u64).sum();
    let items: Vec<Item> = stores.iter().map(|(path, of)| bad_lines_of(path, of)).collect();
    let verdict = match lines {
        0 => Verdict::ok("every record could be understood"),
        lines => {
            let stores = counted(stores.len() as u64, "store");
            let detail =
                format!("{} in {stores} could not be understood", counted(lines, "record"));
            Verdict::new(Status::Warn, detail)
        }
    };
    verdict.with(items).meta("bad_lines", lines)
}

fn bad_lines_of(path: &Text, problems: &[&StoredProblem]) -> Item {
    let first = problems.first().map_or_else(String::new, |first| {
        let line = if first.line > 0 { format!("line {}: ", first.line) } else { String::new() };
        format!("{line}{}", first.detail)
    });
    let more = problems.len().saturating_sub(1);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let item = Item::new(format!("{first}{more}")).at(Path::new(&**path));
    item.mended((None, "trueup sources --problems"))
}

/// Stores whose tables this version does not know.
pub(super) fn schema_unknown(sight: &Sight<'_>) -> Verdict {
    let items: Vec<Item> = of_kind(sight, ProblemKind::UnknownSchema)
        .map(|problem| {
            let rebuild = format!("trueup rebuild --source {} --yes", problem.store.source);
            let first = Some("install a trueup that knows it".to_owned());
            Item { first, mend: Some(rebuild), ..item(problem) }
        })
        .collect();
    failure(items, "every store has a known schema", |count| {
        format!("not of a known schema, and not counted: {}", counted(count, "store"))
    })
}

/// Cold archives that a store names and that are gone.
pub(super) fn cold_archive_missing(sight: &Sight<'_>) -> Verdict {
    let items: Vec<Item> = of_kind(sight, ProblemKind::Missing)
        .filter(|problem| is_of_openclaw(problem))
        .map(|problem| archive(sight, problem))
        .collect();
    failure(items, "no cold archive is missing", |count| {
        format!("gone, with the only copy of a session: {}", counted(count, "cold archive"))
    })
}

/// Archives whose bytes are not those that were written.
pub(super) fn cold_archive_corrupt(sight: &Sight<'_>) -> Verdict {
    let items: Vec<Item> = of_kind(sight, ProblemKind::Corrupt)
        .filter(|problem| is_archive(problem))
        .map(|problem| archive(sight, problem))
        .collect();
    failure(items, "no archive is damaged", |count| {
        format!("damaged, and not counted: {}", counted(count, "archive"))
    })
}

/// Everything else that could not be read as a whole.
pub(super) fn paths_readable(sight: &Sight<'_>) -> Verdict {
    let is_other = |problem: &&StoredProblem| match kind(problem) {
        ProblemKind::Unreadable => true,
        ProblemKind::TooLarge => problem.line == 0,
        ProblemKind::Corrupt => !is_archive(problem),
        ProblemKind::Missing => !is_of_openclaw(problem),
        ProblemKind::NotJson
        | ProblemKind::BadRecord
        | ProblemKind::BadCount
        | ProblemKind::UnknownSchema => false,
    };
    let items: Vec<Item> = sight
        .problems
        .iter()
        .filter(is_other)
        .map(|problem| {
            item(problem).mended((Some("let the user of trueup read it whole"), "trueup sync"))
        })
        .collect();
    failure(items, "everything found can be read", |count| {
        format!("not readable, and not counted: {}", counted(count, "place"))
    })
}

fn failure(items: Vec<Item>, well: &str, said: impl Fn(u64) -> String) -> Verdict {
    match items.len() as u64 {
        0 => Verdict::ok(well),
        count => Verdict::new(Status::Fail, said(count)).with(items),
    }
}

fn item(problem: &StoredProblem) -> Item {
    let line = if problem.line > 0 { format!("line {}: ", problem.line) } else { String::new() };
    Item::new(format!("{line}{}", problem.detail)).at(Path::new(&*problem.store.path))
}

/// An archive, and the session that waits for it, where its problem names one.
fn archive(sight: &Sight<'_>, problem: &StoredProblem) -> Item {
    let item = item(problem).mended(RESTORE);
    match sight.open.iter().find(|open| problem.detail.contains(&*open.session)) {
        Some(open) => item.of(&open.session),
        None => item,
    }
}

fn of_kind<'a>(sight: &'a Sight<'_>, of: ProblemKind) -> impl Iterator<Item = &'a StoredProblem> {
    sight.problems.iter().filter(move |problem| kind(problem) == of)
}

pub(super) fn kind(problem: &StoredProblem) -> ProblemKind {
    problem.kind.unwrap_or(ProblemKind::BadRecord)
}

fn is_of_openclaw(problem: &StoredProblem) -> bool {
    *problem.store.source == *OPENCLAW
}

/// Whether it is about an archive of OpenClaw: a packed file, or a blob of its store.
pub(super) fn is_archive(problem: &StoredProblem) -> bool {
    let is_packed = problem.store.path.ends_with(".zst");
    is_of_openclaw(problem) && (is_packed || problem.detail.contains(".archive_blob "))
}
