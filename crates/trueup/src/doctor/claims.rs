//! Sessions of which only the agent's own index knows that something was used.

use trueup_ledger::OpenSession;

use super::{Item, OPENCLAW, Sight, Status, Verdict};
use crate::render::number::{counted, grouped};

/// Looks at all stores after which a session without any call is a failure: one may come in the
/// middle of a run, whose index is written before its transcript.
const POLLS_MIN: u64 = 2;

/// Sessions that used something, by their index, while no call of them was ever read.
pub(super) fn totals_without_transcript_usage(sight: &Sight<'_>) -> Verdict {
    let open: Vec<&OpenSession> = open(sight).filter(|open| open.calls == 0).collect();
    let tokens: u64 = open.iter().fold(0, |sum, open| sum.saturating_add(open.tokens));
    let polls = open.iter().map(|open| open.polls).max().unwrap_or(0);
    let counts = sight.claims.get(OPENCLAW).copied().unwrap_or_default();
    let verdict = match (open.len() as u64, polls) {
        (0, _) => Verdict::ok("every session that used tokens has calls"),
        (sessions, polls) => {
            let detail = format!(
                "no call was ever read of {} with tokens in the index, which stands in with an \
                 estimate of {} tokens",
                counted(sessions, "session"),
                grouped(tokens),
            );
            let status = if polls < POLLS_MIN { Status::Warn } else { Status::Fail };
            Verdict::new(status, detail)
        }
    };
    verdict
        .naming(&open, |open| sight.transcripts().why_nothing_counts(sight, open))
        .meta("polls", polls)
        .meta("tokens_estimated", tokens)
        .meta("sessions_without_transcript", counts.sessions_without_transcript)
        .meta("sessions_estimated", counts.sessions_estimated)
        .meta("sessions_superseded", counts.sessions_superseded)
        .meta("runs_estimated", counts.runs_estimated)
}

/// Sessions of which calls were read, but none of some run.
pub(super) fn estimate_used_sessions(sight: &Sight<'_>) -> Verdict {
    let open: Vec<&OpenSession> = open(sight).filter(|open| open.calls > 0).collect();
    let verdict = match open.len() as u64 {
        0 => Verdict::ok("no session is partly an estimate"),
        sessions => {
            let runs: u64 = open.iter().map(|open| open.runs).sum();
            let detail = format!(
                "estimates stand in for {} in {}, of which other calls were read",
                counted(runs, "run"),
                counted(sessions, "session"),
            );
            Verdict::new(Status::Warn, detail)
        }
    };
    verdict.naming(&open, |open| partly_read(sight, open))
}

fn partly_read(sight: &Sight<'_>, open: &OpenSession) -> Item {
    let reason = format!(
        "{} of the session read, but none of {} with {} tokens, the last of {}",
        counted(open.calls, "call"),
        counted(open.runs, "run"),
        grouped(open.tokens),
        open.last,
    );
    let path = sight.transcripts().path_of(sight, &open.session);
    let item = Item { path, ..Item::new(reason) };
    item.of(&open.session)
        .mended((Some("put the whole transcript back from a backup"), "trueup sync"))
}

/// Sessions with an estimate whose transcript is nowhere.
pub(super) fn jsonl_missing_sessions(sight: &Sight<'_>) -> Verdict {
    let transcripts = sight.transcripts();
    let missing: Vec<&OpenSession> =
        open(sight).filter(|open| !transcripts.has(&open.session)).collect();
    let verdict = match missing.len() as u64 {
        0 => Verdict::ok("no transcript is missing"),
        sessions => {
            let detail = format!(
                "the index names {} of which no transcript is there",
                counted(sessions, "session")
            );
            Verdict::new(Status::Warn, detail)
        }
    };
    verdict.naming(&missing, |open| transcripts.why_nothing_counts(sight, open))
}

fn open<'a>(sight: &'a Sight<'_>) -> impl Iterator<Item = &'a OpenSession> {
    sight.open.iter().filter(|open| *open.source == *OPENCLAW)
}
