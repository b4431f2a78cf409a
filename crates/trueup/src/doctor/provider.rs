//! Whether what providers say arrives, and is understood.
//!
//! ```text
//! 2 connections, last pull 12 min ago
//! ```
//!
//! Nothing is asked from here: that a provider can be reached is known only of the past.

use trueup_core::{DAY_MS, IssueCode};
use trueup_ledger::{ConnectionState, LedgerError, OddStatement, Reader, StoredIssue};

use super::{Item, Mend, Sight, Status, Verdict, ago};
use crate::pull::Connections;
use crate::render::number::counted;

/// Issues that are looked at.
const ISSUES_SEEN: u32 = 1_000;
/// How old the last pull may be: each day is asked for more than once a day.
const STALE_MS: i64 = 2 * DAY_MS;

/// What the ledger tells of providers.
#[derive(Debug)]
pub(super) struct Billed {
    connections: Vec<ConnectionState>,
    issues: Vec<StoredIssue>,
    statements: u64,
    odd: Vec<OddStatement>,
}

impl Billed {
    pub(super) fn read(reader: &Reader) -> Result<Self, LedgerError> {
        let (statements, odd) = reader.odd_statements()?;
        Ok(Self {
            connections: reader.connections()?,
            issues: reader.provider_issues(ISSUES_SEEN)?,
            statements,
            odd,
        })
    }
}

/// Whether providers are asked for the bills of a hub's account, or were.
pub(super) fn has_bills(sight: &Sight<'_>) -> bool {
    let is_asked = sight.config.has_bills && sight.config.is_kept_here;
    is_asked || !sight.billed.connections.is_empty()
}

/// Whether what providers say arrives, and is understood.
pub(super) fn provider_usage(sight: &Sight<'_>) -> Verdict {
    let connections = match Connections::load(sight.config) {
        Ok(connections) => connections,
        Err(error) => {
            let mend = (None, "trueup provider list");
            return Verdict::new(Status::Warn, "the connections cannot be read")
                .with(vec![Item::new(format!("{error:#}")).mended(mend)]);
        }
    };
    if connections.is_empty() {
        return Verdict::ok("off: no provider is connected").meta("connections", 0);
    }
    let names: Vec<&str> = connections.iter().map(|one| one.name.as_str()).collect();
    let mut items: Vec<Item> = names.iter().filter_map(|name| stale(sight, name)).collect();
    let is_present = |issue: &&StoredIssue| names.contains(&issue.connection.as_str());
    let issues: Vec<&StoredIssue> = sight.billed.issues.iter().filter(is_present).collect();
    let told = issues.iter().filter(|issue| !is_harmless(&issue.code));
    items.extend(told.map(|issue| {
        let StoredIssue { connection, cursor_key, code, detail, .. } = issue;
        Item::new(format!("{connection} {cursor_key}: {code}: {detail}")).mended(mend(code))
    }));
    let last = sight.billed.connections.iter().filter_map(|one| one.last_pull_at).max();
    let last = last.map_or_else(
        || "never pulled".to_owned(),
        |at| format!("last pull {}", ago(at, sight.now)),
    );
    let status = if items.is_empty() { Status::Ok } else { Status::Warn };
    Verdict::new(status, format!("{}, {last}", counted(names.len() as u64, "connection")))
        .with(items)
        .meta("connections", names.len())
        .meta("issues", issues.len())
}

/// Whether all of the files that were imported could be read.
pub(super) fn statements(sight: &Sight<'_>) -> Verdict {
    let Billed { statements, odd, .. } = &sight.billed;
    if *statements == 0 {
        return Verdict::ok("off: no statement was imported").meta("statements", 0);
    }
    let item = |OddStatement { id, name, odd, codes }: &OddStatement| {
        let rows = counted(*odd, "row");
        let reason = format!("statement {id}, {name}: {rows} not read in full ({codes})");
        Item::new(reason)
            .mended((Some("download it anew, and import that"), "trueup import --list"))
    };
    let status = if odd.is_empty() { Status::Ok } else { Status::Warn };
    Verdict::new(status, counted(*statements, "statement"))
        .with(odd.iter().map(item).collect())
        .meta("statements", *statements)
}

/// What is told, and nobody needs to act on: a family that is not there, a dimension less.
fn is_harmless(code: &str) -> bool {
    [IssueCode::NotOffered, IssueCode::GroupingDegraded].iter().any(|one| one.name() == code)
}

fn stale(sight: &Sight<'_>, name: &str) -> Option<Item> {
    let known = sight.billed.connections.iter().find(|one| one.name == name);
    let reason = match known.and_then(|one| one.last_pull_at) {
        None => "was never pulled".to_owned(),
        Some(at) if sight.now.0 - at.0 > STALE_MS => {
            format!("was last pulled {}", ago(at, sight.now))
        }
        Some(_) => return None,
    };
    let mend = (Some("let `trueup serve` run, which pulls on a schedule"), "trueup pull");
    Some(Item::new(format!("{name} {reason}")).mended(mend))
}

fn mend(code: &str) -> Mend {
    match IssueCode::of_name(code) {
        Some(IssueCode::KeyRefused | IssueCode::ScopeMissing) => {
            (Some("give it another key with `trueup provider add`"), "trueup provider test")
        }
        Some(IssueCode::ClockSkew) => (Some("set this machine's clock"), "trueup pull"),
        _ => (None, "trueup pull"),
    }
}
