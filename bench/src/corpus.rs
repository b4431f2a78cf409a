//! A corpus: a home folder as coding agents leave it, and `truth.json` beside it.
//!
//! Each agent has its own stream of random numbers and its own files, so they are generated in
//! parallel and yet the same seed and size give the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::desk::{Desk, Growing, Tree};
use crate::filler::Filler;
use crate::rng::Rng;
use crate::truth::{Source, Truth};
use crate::{claude, codex, openclaw};

/// The names of all agents, with their share of the bytes in percent.
pub(crate) const SHARES: &[(&str, u64)] =
    &[(claude::NAME, 60), (codex::NAME, 30), (openclaw::NAME, 10)];

/// Where `append` finds what it may continue.
const GROWING: &str = "growing.json";

/// What is asked of a corpus.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) bytes: u64,
    pub(crate) agents: Vec<String>,
    pub(crate) openclaw_sqlite: bool,
    pub(crate) openclaw: openclaw::Shape,
}

/// The files that may grow, and how often they did.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    growing: Vec<Growing>,
}

/// Writes a whole corpus into `dir`, which must not hold one.
pub(crate) fn write(plan: &Plan, dir: &Path) -> Result<Truth> {
    let home = dir.join("home");
    if home.exists() {
        bail!("{} exists already: remove it, or name another folder", home.display());
    }
    fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
    let (filler, whole) = (Filler::new(plan.seed), shares(plan)?);
    let desks = std::thread::scope(|scope| {
        let spawn = |&(name, share): &(&'static str, u64)| {
            let (filler, home, budget) = (&filler, &home, plan.bytes * share / 100);
            (name, scope.spawn(move || agent(plan, name, budget, filler, home)))
        };
        let running: Vec<_> = whole.iter().map(spawn).collect();
        running
            .into_iter()
            .map(|(name, thread)| Ok((name, joined(thread)?)))
            .collect::<Result<Vec<_>>>()
    })?;
    let mut truth = Truth { schema: 1, seed: plan.seed, ..Truth::default() };
    let mut state = State::default();
    for (name, desk) in desks {
        truth.lines += desk.tree.lines;
        state.growing.extend(desk.tree.growing);
        truth.sources.insert(name.to_owned(), desk.books);
    }
    save(truth, &state, dir)
}

/// Adds about `per_mille` of the corpus to files that it has, and to its truth.
pub(crate) fn append(seed: u64, per_mille: u64, dir: &Path) -> Result<Truth> {
    let mut truth = Truth::load(&dir.join("truth.json"))?;
    let state = fs::read(dir.join(GROWING)).with_context(|| format!("read {GROWING}"))?;
    let mut state: State = serde_json::from_slice(&state)?;
    let mut agents: BTreeMap<String, Vec<&mut Growing>> = BTreeMap::new();
    for file in &mut state.growing {
        agents.entry(file.agent.clone()).or_default().push(file);
    }
    let filler = Filler::new(seed);
    for (stream, (name, mut files)) in (100..).zip(agents) {
        let share = SHARES.iter().find(|(agent, _)| *agent == name).map_or(0, |(_, share)| *share);
        let budget = truth.bytes * per_mille * share / 100_000;
        let books = truth.sources.remove(&name).unwrap_or_default();
        let tree = Tree { home: dir.join("home"), ..Tree::default() };
        let mut desk = Desk { rng: Rng::new(seed, stream), filler: &filler, tree, books };
        grow(&mut desk, &name, &mut files, budget)?;
        truth.lines += desk.tree.lines;
        truth.sources.insert(name, desk.books);
    }
    save(truth, &state, dir)
}

/// Some files grow by some ten kilobytes each, the torn ones first.
fn grow(desk: &mut Desk<'_>, name: &str, files: &mut [&mut Growing], budget: u64) -> Result<()> {
    let bytes_each = (budget / 4).clamp(4_000, 48_000);
    files.sort_by_key(|file| file.torn.is_none());
    let (torn, n) = (files.iter().filter(|file| file.torn.is_some()).count(), files.len() as u64);
    let mut at = 0;
    while desk.tree.bytes < budget && n > 0 {
        let pick = if at < torn { at } else { desk.rng.below(n) as usize };
        at += 1;
        let Some(file) = files.get_mut(pick) else { break };
        match name {
            claude::NAME => claude::append(desk, file, bytes_each)?,
            codex::NAME => codex::append(desk, file, bytes_each)?,
            _ => openclaw::append(desk, file, bytes_each)?,
        }
    }
    Ok(())
}

fn agent<'a>(
    plan: &Plan,
    name: &str,
    budget: u64,
    filler: &'a Filler,
    home: &Path,
) -> Result<Desk<'a>> {
    let stream = SHARES.iter().take_while(|(agent, _)| *agent != name).count() as u64;
    let tree = Tree { home: home.to_owned(), ..Tree::default() };
    let books = Source::default();
    let mut desk = Desk { rng: Rng::new(plan.seed, stream), filler, tree, books };
    match name {
        claude::NAME => claude::generate(&mut desk, budget)?,
        codex::NAME => codex::generate(&mut desk, budget)?,
        _ => openclaw::generate(&mut desk, budget, plan.openclaw_sqlite, plan.openclaw)?,
    }
    Ok(desk)
}

/// The agents that were asked for, their shares scaled to 100 %.
fn shares(plan: &Plan) -> Result<Vec<(&'static str, u64)>> {
    if let Some(unknown) = plan.agents.iter().find(|a| SHARES.iter().all(|(name, _)| name != a)) {
        bail!("unknown agent {unknown}: choose from claude-code, codex, openclaw");
    }
    let asked: Vec<_> =
        SHARES.iter().filter(|(name, _)| plan.agents.iter().any(|a| a == name)).collect();
    let sum: u64 = asked.iter().map(|(_, share)| share).sum();
    Ok(asked.into_iter().map(|&(name, share)| (name, share * 100 / sum)).collect())
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn save(mut truth: Truth, state: &State, dir: &Path) -> Result<Truth> {
    (truth.files, truth.bytes) = (0, 0);
    for entry in walkdir::WalkDir::new(dir.join("home")) {
        let entry = entry?;
        if entry.file_type().is_file() {
            truth.files += 1;
            truth.bytes += entry.metadata()?.len();
        }
    }
    fs::write(dir.join(GROWING), serde_json::to_vec(state)?)?;
    truth.save(&dir.join("truth.json"))?;
    Ok(truth)
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher as _};

    use super::*;
    use crate::truth::Usage;

    fn plan(seed: u64) -> Plan {
        let agents = SHARES.iter().map(|(name, _)| (*name).to_owned()).collect();
        let openclaw = openclaw::Shape::default();
        Plan { seed, bytes: 1_000_000, agents, openclaw_sqlite: true, openclaw }
    }

    fn fingerprint(dir: &Path) -> u64 {
        let mut hasher = DefaultHasher::new();
        for entry in walkdir::WalkDir::new(dir).sort_by_file_name() {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                let name = entry.path().strip_prefix(dir).unwrap();
                hasher.write(name.to_str().unwrap().as_bytes());
                hasher.write(&fs::read(entry.path()).unwrap());
            }
        }
        hasher.finish()
    }

    #[test]
    fn one_seed_gives_the_same_bytes_also_after_an_append() {
        let corpus = |seed| {
            let dir = tempfile::tempdir().unwrap();
            write(&plan(seed), dir.path()).unwrap();
            let fresh = fingerprint(dir.path());
            append(7, 20, dir.path()).unwrap();
            (fresh, fingerprint(dir.path()))
        };
        let (first, other) = (corpus(42), corpus(43));
        assert_eq!(first, corpus(42));
        assert_ne!(first.0, first.1);
        assert_ne!(first.0, other.0);
    }

    #[test]
    fn every_trap_is_set_in_one_megabyte() {
        let dir = tempfile::tempdir().unwrap();
        let truth = write(&plan(42), dir.path()).unwrap();
        let store = openclaw::TRAPS.iter().chain(openclaw::STORE_TRAPS);
        let all = claude::TRAPS.iter().map(|trap| (claude::NAME, trap));
        let all = all.chain(codex::TRAPS.iter().map(|trap| (codex::NAME, trap)));
        for (agent, trap) in all.chain(store.map(|trap| (openclaw::NAME, trap))) {
            let set = truth.sources[agent].traps.get(trap.name);
            assert!(set.is_some_and(|t| t.occurrences > 0), "{agent}: {}", trap.name);
        }
    }

    #[test]
    fn each_cut_adds_up_to_the_totals_before_and_after_an_append() {
        let dir = tempfile::tempdir().unwrap();
        let fresh = write(&plan(42), dir.path()).unwrap();
        let grown = append(7, 20, dir.path()).unwrap();
        assert!(grown.bytes > fresh.bytes && grown.files == fresh.files);
        for source in fresh.sources.values().chain(grown.sources.values()) {
            for book in [&source.exact, &source.estimated] {
                assert_eq!(book.totals.total, book.totals.sum());
                for (name, cut) in book.cuts() {
                    let mut sum = Usage::default();
                    for usage in cut.values() {
                        sum.add(usage);
                    }
                    assert_eq!(sum, book.totals, "{name}");
                }
            }
        }
        let days = fresh.sources.values().flat_map(|source| source.exact.day.keys());
        assert!(days.into_iter().all(|day| ("2026-09-02"..="2026-10-31").contains(&day.as_str())));
    }

    #[test]
    fn every_whole_line_of_a_transcript_is_json() {
        let dir = tempfile::tempdir().unwrap();
        write(&plan(42), dir.path()).unwrap();
        for entry in walkdir::WalkDir::new(dir.path().join("home/.codex")).into_iter().flatten() {
            if entry.file_type().is_file() {
                let text = fs::read(entry.path()).unwrap();
                for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                    serde_json::from_slice::<serde_json::Value>(line).expect("a JSON line");
                }
            }
        }
    }

    #[test]
    fn an_unknown_agent_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan { agents: vec!["emacs".to_owned()], ..plan(1) };
        assert!(write(&plan, dir.path()).unwrap_err().to_string().contains("unknown agent emacs"));
    }
}
