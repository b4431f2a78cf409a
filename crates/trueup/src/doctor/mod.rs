//! What is wrong with the account, and what mends it.
//!
//! A check is one function that looks at a [`Sight`] and returns a [`Verdict`]; [`CHECKS`] lists them
//! all. A check reads and never mends: it names each session or path, the reason, and the command.
//!
//! ```json
//! {"id":"totals_without_transcript_usage","source":"openclaw","status":"fail","detail":"…",
//!  "items":[{"session":"3e5aebe9-…","reason":"no transcript file","mend":"trueup sync"}],"meta":{}}
//! ```

mod alerts;
mod claims;
mod devices;
mod hook;
mod machine;
mod metered;
mod parity;
mod provider;
mod push;
mod sight;
mod stores;
mod told;
mod transcripts;

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use trueup_core::UnixMs;

use crate::render::number;

pub(crate) use machine::damage;
pub(crate) use sight::{LedgerState, Sight};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// All is well, or it is nobody's fault.
    Ok,
    /// Somebody should look.
    Warn,
    /// The account is short, or may be.
    Fail,
}

impl Status {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One session or path that a check names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Item {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// What is wrong with it.
    pub(crate) reason: String,
    /// What to do before the command, where that is not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<String>,
    /// The command that mends it, or says more; none where nothing is to be done.
    pub(crate) mend: Option<String>,
}

impl Item {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }

    fn at(mut self, path: &Path) -> Self {
        self.path = Some(path.display().to_string());
        self
    }

    fn of(mut self, session: &str) -> Self {
        self.session = Some(session.to_owned());
        self
    }

    fn mended(mut self, mend: Mend) -> Self {
        self.first = mend.0.map(ToOwned::to_owned);
        self.mend = Some(mend.1.to_owned());
        self
    }
}

/// What to do first, where anything, and the command.
type Mend = (Option<&'static str>, &'static str);

/// What lies elsewhere is put back, and read.
const RESTORE: Mend = (Some("put it back from a backup"), "trueup sync");

/// What one check found.
#[derive(Debug)]
struct Verdict {
    status: Status,
    detail: String,
    items: Vec<Item>,
    /// Further ones that are not named.
    unnamed: usize,
    meta: Map<String, Value>,
}

impl Verdict {
    fn new(status: Status, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), items: Vec::new(), unnamed: 0, meta: Map::new() }
    }

    fn ok(detail: impl Into<String>) -> Self {
        Self::new(Status::Ok, detail)
    }

    fn with(mut self, mut items: Vec<Item>) -> Self {
        self.unnamed = items.len().saturating_sub(ITEMS_MAX);
        items.truncate(ITEMS_MAX);
        self.items = items;
        self
    }

    /// Names these. What is not named is not looked into: that may mean to read a file for each.
    fn naming<T>(mut self, all: &[T], item: impl Fn(&T) -> Item) -> Self {
        self.items = all.iter().take(ITEMS_MAX).map(item).collect();
        self.unnamed = all.len() - self.items.len();
        self
    }

    fn meta(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.meta.insert(name.to_owned(), value.into());
        self
    }
}

/// What came of one check.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) id: &'static str,
    /// The agent that it is about; none where it is about all, or about this machine.
    pub(crate) source: Option<&'static str>,
    pub(crate) status: Status,
    pub(crate) detail: String,
    pub(crate) items: Vec<Item>,
    pub(crate) meta: Map<String, Value>,
}

/// One check.
struct Check {
    id: &'static str,
    source: Option<&'static str>,
    look: fn(&Sight<'_>) -> Verdict,
}

const fn general(id: &'static str, look: fn(&Sight<'_>) -> Verdict) -> Check {
    Check { id, source: None, look }
}

const fn openclaw(id: &'static str, look: fn(&Sight<'_>) -> Verdict) -> Check {
    Check { id, source: Some(OPENCLAW), look }
}

/// The source id of the agent that claims totals.
const OPENCLAW: &str = "openclaw";

/// Every check but that of each agent, in the order of output.
static CHECKS: &[Check] = &[
    general("ledger_integrity", machine::ledger_integrity),
    general("ledger_lock", machine::ledger_lock),
    general("disk_space", machine::disk_space),
    general("clock", machine::clock),
    general("push_state", push::push_state),
    general("alert_delivery", alerts::alert_delivery),
    general("provider_usage", provider::provider_usage),
    general("statements", provider::statements),
    general("told_twice", told::told_twice),
    general("metrics_tell_more", metered::metrics_tell_more),
    general("paths_readable", stores::paths_readable),
    general("schema_unknown", stores::schema_unknown),
    general("bad_lines", stores::bad_lines),
    general("partial_tail_stuck", transcripts::partial_tail_stuck),
    openclaw("totals_without_transcript_usage", claims::totals_without_transcript_usage),
    openclaw("estimate_used_sessions", claims::estimate_used_sessions),
    openclaw("jsonl_missing_sessions", claims::jsonl_missing_sessions),
    openclaw("orphan_transcripts", transcripts::orphan_transcripts),
    openclaw("cold_archive_missing", stores::cold_archive_missing),
    openclaw("cold_archive_corrupt", stores::cold_archive_corrupt),
    openclaw("hook_not_loaded", hook::hook_not_loaded),
    openclaw("openclaw_parity", parity::openclaw_parity),
];

/// Instead of most of them, of a hub's account.
static DEVICES: Check = general("devices", devices::devices);

/// The name in `meta` of how many sessions and paths are not named.
pub(crate) const NOT_LISTED: &str = "items_not_listed";

/// Sessions and paths that one check names; of further ones only the number is told.
const ITEMS_MAX: usize = 1_000;

/// Makes every check that is asked for. Checks about an agent that is not here are left out, unless it
/// is asked for by name.
pub(crate) fn examine(sight: &Sight<'_>) -> Vec<Outcome> {
    if !sight.fleet.devices.is_empty() {
        // Of others' machines: nothing of their agents is here.
        let of_ledger = CHECKS.iter().take_while(|check| check.id != "push_state");
        let of_bills = CHECKS.iter().filter(|check| check.id == "provider_usage");
        let of_bills = of_bills.filter(|_| provider::has_bills(sight));
        let checks = of_ledger.chain(of_bills).chain([&DEVICES]);
        return checks.map(|check| outcome(check.id, None, (check.look)(sight))).collect();
    }
    let mut outcomes: Vec<Outcome> = CHECKS
        .iter()
        .filter(|check| check.source.is_none_or(|source| sight.is_about(source)))
        .map(|check| outcome(check.id, check.source, (check.look)(sight)))
        .collect();
    for agent in trueup_agents::AGENTS.iter().filter(|agent| sight.is_about(agent.id())) {
        let verdict = machine::last_success(sight, *agent);
        outcomes.push(outcome("last_success", Some(agent.id()), verdict));
    }
    outcomes
}

fn outcome(id: &'static str, source: Option<&'static str>, found: Verdict) -> Outcome {
    let Verdict { status, detail, items, unnamed, mut meta } = found;
    if unnamed > 0 {
        meta.insert(NOT_LISTED.to_owned(), unnamed.into());
    }
    Outcome { id, source, status, detail, items, meta }
}

/// Ages below this are not worth a number.
const JUST_NOW_MS: i64 = 60_000;

/// How long ago a time was: `just now`, `2 h 05 min ago`, `3 days ago`.
fn ago(time: UnixMs, now: UnixMs) -> String {
    match now.0.saturating_sub(time.0) {
        ..JUST_NOW_MS => "just now".to_owned(),
        age_ms => format!("{} ago", number::duration_ms(age_ms)),
    }
}
