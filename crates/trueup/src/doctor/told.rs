//! What agents tell by OpenTelemetry, beside what their own files hold of the same sessions.
//!
//! ```text
//! claude-code tells 97 of 100 calls by OpenTelemetry, 3 of them in no file; codex …
//! ```
//!
//! Calls that only telemetry tells of are no fault: files do not hold every small question that an agent
//! asks. A session of which both tell and nothing matches is one: it counts twice.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use trueup_ledger::ToldSession;

use super::{Item, Sight, Status, Verdict};
use crate::render::number::{counted, grouped};

/// Sums over the sessions of one agent.
#[derive(Debug, Default)]
struct Sums {
    sessions: u64,
    told: u64,
    matched: u64,
    of_files: u64,
    /// Sessions of which both tell, and nothing matches.
    twice: u64,
}

impl Sums {
    fn add(&mut self, session: &ToldSession) {
        self.sessions += 1;
        self.told += session.told;
        self.matched += session.matched;
        self.of_files += session.of_files;
        self.twice += u64::from(is_told_twice(session));
    }

    const fn alone(&self) -> u64 {
        self.told.saturating_sub(self.matched)
    }

    /// Calls that either tells of.
    const fn all(&self) -> u64 {
        self.of_files.saturating_add(self.alone())
    }

    fn said(&self, agent: &str) -> String {
        let (told, all) = (grouped(self.told), counted(self.all(), "call"));
        let alone = match self.alone() {
            0 => String::new(),
            alone => format!(", {} of them in no file", grouped(alone)),
        };
        format!("{agent} tells {told} of {all} by OpenTelemetry{alone}")
    }

    fn as_json(&self) -> Value {
        json!({
            "sessions": self.sessions,
            "calls": self.all(),
            "told": self.told,
            "matched": self.matched,
            "captured_percent": self.told.saturating_mul(100).checked_div(self.all()),
            "sessions_told_twice": self.twice,
        })
    }
}

const fn is_told_twice(session: &ToldSession) -> bool {
    session.told > 0 && session.matched == 0 && session.of_files > 0
}

/// Sessions that count twice, because nothing that telemetry tells of them matches what files hold.
pub(super) fn told_twice(sight: &Sight<'_>) -> Verdict {
    let mut agents: BTreeMap<&str, Sums> = BTreeMap::new();
    for session in &sight.told {
        agents.entry(&session.source).or_default().add(session);
    }
    let twice: Vec<&ToldSession> =
        sight.told.iter().filter(|session| is_told_twice(session)).collect();
    let said: Vec<String> = agents.iter().map(|(agent, sums)| sums.said(agent)).collect();
    let detail = match (twice.len() as u64, agents.is_empty()) {
        (_, true) => "no agent tells of its sessions by OpenTelemetry".to_owned(),
        (0, false) => said.join("; "),
        (sessions, false) => {
            let sessions = counted(sessions, "session");
            format!(
                "{sessions} told by files and by OpenTelemetry without a match: {}",
                said.join("; ")
            )
        }
    };
    let by_agent: Map<String, Value> =
        agents.iter().map(|(agent, sums)| ((*agent).to_owned(), sums.as_json())).collect();
    let status = if twice.is_empty() { Status::Ok } else { Status::Warn };
    Verdict::new(status, detail).naming(&twice, |session| item(session)).meta("by_agent", by_agent)
}

fn item(session: &ToldSession) -> Item {
    let ToldSession { source, session, told, of_files, .. } = session;
    let reason = format!(
        "{} of {source} told by OpenTelemetry beside {} in its files: the same usage, most likely",
        counted(*told, "call"),
        counted(*of_files, "call"),
    );
    let first = "set otlp_count (TRUEUP_OTLP_COUNT) to files for this agent, restart `trueup serve`, or \
                 have one of the two tell alone";
    Item::new(reason).of(session).mended((Some(first), "trueup config"))
}
