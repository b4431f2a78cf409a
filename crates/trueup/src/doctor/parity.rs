//! Our account of OpenClaw, beside the one that OpenClaw itself gives.
//!
//! `openclaw gateway usage-cost` sums up the answers of every session. A fork begins with a copy of its
//! parent's answers, and it counts these again: 30,599 tokens where 18,596 were used. What
//! `sessions.compact` cut out of a session it forgets. Both can be told from the same files, so what is
//! left after them is what nobody can explain.
//!
//! ```json
//! {"totals":{"totalTokens":30599,"input":21000},"cacheStatus":{"status":"fresh"}}
//! ```

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::ToSpan as _;
use serde_json::Value;
use trueup_agents::{AGENTS, FoundRoot, Root, Store, StoreKind, scan};
use trueup_core::report::Window;
use trueup_core::{Account, Batch, Calendar, Fact};

use super::{Item, OPENCLAW, Sight, Status, Verdict};
use crate::hooks::openclaw::program;
use crate::render::number::{counted, grouped};
use crate::usage::Usage;

/// How long OpenClaw may take for one answer.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// How often it is asked again, while it says that it is not done.
const ASKS_MAX: u32 = 10;

/// How long between.
const ASK_PAUSE: Duration = Duration::from_secs(3);

/// What both say of the same days.
pub(super) fn openclaw_parity(sight: &Sight<'_>) -> Verdict {
    let Some(days) = sight.parity_days else {
        return Verdict::ok("skipped: ask with --parity");
    };
    let Some(program) = program::find(&sight.config.environment) else {
        return Verdict::ok("skipped: no `openclaw` on the path");
    };
    let is_state_folder = |found: &&FoundRoot| {
        found.source == OPENCLAW && found.exists && found.root.stands_for.as_os_str().is_empty()
    };
    let Some(root) = sight.inventory.roots.iter().find(is_state_folder) else {
        return Verdict::ok("skipped: no state folder of OpenClaw is here");
    };
    account(sight, &program, &root.root, days).unwrap_or_else(|error| {
        let mend = (Some("start its gateway"), "trueup doctor --parity");
        let item = Item::new(format!("{error:#}")).mended(mend);
        Verdict::new(Status::Warn, "the two accounts could not be compared").with(vec![item])
    })
}

fn account(sight: &Sight<'_>, program: &Path, root: &Root, days: u16) -> Result<Verdict> {
    let theirs = ask(program, root, days)?;
    let window = window(sight, days)?;
    let ours = ours(sight, window)?;
    Ok(compare(theirs, ours, as_openclaw_counts(sight, root, window), days))
}

/// What OpenClaw says that the last days used.
fn ask(program: &Path, root: &Root, days: u16) -> Result<u64> {
    let days = days.to_string();
    let words = ["gateway", "usage-cost", "--days", &days, "--json"];
    for _ in 0..ASKS_MAX {
        let all = [&words[..], &["--all-agents"]].concat();
        // Before 2026.8 it knows of one agent only.
        let said = program::answer(program, &all, root, ANSWER_MAX)
            .or_else(|_| program::answer(program, &words, root, ANSWER_MAX))?;
        let said = json_in(&said).context("it printed no JSON")?;
        let status = said.pointer("/cacheStatus/status").and_then(Value::as_str);
        if status.is_none_or(|status| status == "fresh") {
            let total = said.pointer("/totals/totalTokens").and_then(Value::as_u64);
            return total.context("it printed no totals.totalTokens");
        }
        std::thread::park_timeout(ASK_PAUSE);
    }
    bail!("it is still summing up; ask again later")
}

/// The JSON of an output that may have words before it.
fn json_in(text: &str) -> Option<Value> {
    let starts = text.match_indices('{').map(|(at, _)| at);
    starts.take(64).find_map(|at| {
        let mut values = serde_json::Deserializer::from_str(text.get(at..)?).into_iter::<Value>();
        values.next()?.ok()
    })
}

/// The days that OpenClaw means: today and those before it, in this machine's time.
fn window(sight: &Sight<'_>, days: u16) -> Result<Window> {
    let calendar = Calendar::new(sight.config.zone()?);
    let today = calendar.day(sight.now);
    let since = today.checked_sub((i64::from(days) - 1).days())?;
    Ok(Window::of_days(&calendar, Some(since), Some(today)))
}

/// What we measured in these days.
fn ours(sight: &Sight<'_>, window: Window) -> Result<u64> {
    let usage = Usage::of_ledger(sight.reader.path())?;
    let mut total = 0_u64;
    usage.by_time(trueup_core::QUARTER_MS, window, &mut |entry| {
        let is_measured = entry.series.witness == trueup_core::Witness::Measured;
        if *entry.series.source == *OPENCLAW && is_measured {
            total = total.saturating_add(entry.counters.tokens.total());
        }
    })?;
    Ok(total)
}

/// What the stores that OpenClaw looks at come to where each copy counts, and where each call counts
/// once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Raw {
    copies_counted: u64,
    each_once: u64,
}

fn as_openclaw_counts(sight: &Sight<'_>, root: &Root, window: Window) -> Raw {
    let folder = root.path.canonicalize().unwrap_or_else(|_| root.path.clone());
    let here: Vec<Store> = sight
        .inventory
        .stores
        .iter()
        .filter(|store| store.source == OPENCLAW && store.path.starts_with(&folder))
        .cloned()
        .collect();
    // Where there are stores, OpenClaw does not look at the files that were moved into them.
    let has_database = here.iter().any(|store| store.kind == StoreKind::Database);
    let counted: Vec<Store> = here
        .into_iter()
        .filter(|store| (store.kind == StoreKind::Database) == has_database)
        .filter(|store| !store.path.to_string_lossy().contains(".jsonl.bak."))
        .collect();
    let sum = Mutex::new((0_u64, Account::default()));
    let take = |batch: Batch| {
        let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for fact in &batch.facts {
            if let Fact::Call(call) = fact
                && window.contains(call.time)
            {
                sum.0 = sum.0.saturating_add(call.tokens.total());
            }
        }
        sum.1.append(batch);
    };
    scan(AGENTS, &counted, &(), 1, &take, &|_, _| {});
    let (copies_counted, account) =
        sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let once = account.counted().filter(|call| {
        window.contains(call.time) && call.series.witness == trueup_core::Witness::Measured
    });
    let each_once = once.fold(0_u64, |sum, call| sum.saturating_add(call.counters.tokens.total()));
    Raw { copies_counted, each_once }
}

fn compare(theirs: u64, ours: u64, raw: Raw, days: u16) -> Verdict {
    let surplus = raw.copies_counted.saturating_sub(raw.each_once);
    let unseen = ours.saturating_sub(raw.each_once);
    // What it would say, had it counted the same stores as we see them.
    let unexplained = i128::from(theirs) - i128::from(raw.copies_counted);
    let days = counted(u64::from(days), "day");
    let (ours_said, theirs_said) = (grouped(ours), grouped(theirs));
    let detail = format!(
        "{days}: OpenClaw says {theirs_said} tokens, trueup {ours_said}; OpenClaw counts {} of \
         copies in forks again, and lacks {} of backups and archives",
        grouped(surplus),
        grouped(unseen),
    );
    let verdict = if theirs == ours {
        Verdict::ok(format!("{days}: both say {ours_said} tokens"))
    } else if unexplained == 0 {
        Verdict::ok(format!("all explained; {detail}"))
    } else {
        let first = "look into docs/runbooks/openclaw.md, \"Totals differ from OpenClaw's own\"";
        let item = Item::new(format!("{unexplained} tokens of its account have no call on disk"))
            .mended((Some(first), "trueup report day --source openclaw"));
        Verdict::new(Status::Warn, detail).with(vec![item])
    };
    verdict
        .meta("openclaw_tokens", theirs)
        .meta("trueup_tokens", ours)
        .meta("copies_tokens", surplus)
        .meta("not_seen_by_openclaw_tokens", unseen)
        .meta("unexplained_tokens", i64::try_from(unexplained).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_backups_explain_what_differs() {
        let raw = Raw { copies_counted: 30_599, each_once: 18_596 };
        let verdict = compare(30_599, 18_596, raw, 30);
        assert_eq!((verdict.status, &verdict.meta["copies_tokens"]), (Status::Ok, &12_003.into()));
        assert!(verdict.detail.contains("all explained"), "{}", verdict.detail);
        // Of a session that was cut, it does not know the beginning.
        let raw = Raw { copies_counted: 6_892, each_once: 6_892 };
        let verdict = compare(6_892, 8_099, raw, 30);
        assert_eq!(verdict.status, Status::Ok);
        assert_eq!(verdict.meta["not_seen_by_openclaw_tokens"], 1_207);
        assert_eq!(compare(7_000, 8_099, raw, 30).status, Status::Warn);
    }

    #[test]
    fn json_is_found_behind_words() {
        let said = "Config {warnings}:\n{\"totals\":{\"totalTokens\":5}}\n";
        let said = json_in(said).unwrap();
        assert_eq!(said.pointer("/totals/totalTokens"), Some(&Value::from(5)));
        assert_eq!(json_in("nothing here"), None);
    }
}
