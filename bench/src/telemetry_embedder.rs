//! What telemetry takes of the memory and the size of a program that has it: the example `embedder` of
//! the crate, beside itself without telemetry, and beside a program that has none in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// What the system says of a process, in kB.
type Memory = BTreeMap<String, u64>;

/// Runs the programs in turns, and prints medians and differences.
pub(crate) fn print(folder: &Path, examples: &Path, rounds: usize) -> Result<()> {
    ensure!(!folder.exists(), "{} exists already: name a new folder", folder.display());
    ensure!(rounds > 0, "at least one round");
    let (with, bare) = (examples.join("embedder"), examples.join("embedder-bare"));
    let mut runs: [Vec<Memory>; 3] = Default::default();
    for round in 0..rounds {
        let state = folder.join(round.to_string());
        let all = [run(&bare, None)?, run(&with, None)?, run(&with, Some(&state))?];
        runs.iter_mut().zip(all).for_each(|(runs, memory)| runs.push(memory));
        ensure!(state.join("telemetry").exists(), "telemetry recorded nothing");
    }
    for name in ["VmHWM", "VmRSS", "RssAnon"] {
        let [bare, off, on] = runs.each_ref().map(|runs| median(runs, name));
        println!(
            "{name}: {bare} kB without the crate, {off} kB without telemetry, {on} kB with it; \
             {} kB and {} kB more",
            on.saturating_sub(bare),
            on.saturating_sub(off)
        );
    }
    let bytes = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.len());
    let (with, bare) = (bytes(&with)?, bytes(&bare)?);
    println!("program: {bare} bytes without the crate, {with} with it; {} more", with - bare);
    Ok(())
}

fn run(program: &Path, state: Option<&Path>) -> Result<Memory> {
    let output = Command::new(program).args(state).output();
    let output = output.with_context(|| format!("run {}", program.display()))?;
    ensure!(output.status.success(), "{} failed: {}", program.display(), output.status);
    let told = String::from_utf8(output.stdout)?;
    let line = |line: &str| -> Option<(String, u64)> {
        let (name, rest) = line.split_once(':')?;
        Some((name.to_owned(), rest.trim().strip_suffix(" kB")?.parse().ok()?))
    };
    Ok(told.lines().filter_map(line).collect())
}

fn median(runs: &[Memory], name: &str) -> u64 {
    let mut all: Vec<u64> = runs.iter().filter_map(|memory| memory.get(name).copied()).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}
