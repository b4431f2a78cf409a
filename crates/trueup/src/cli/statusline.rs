//! `trueup statusline`: one line for Claude Code's status line hook.
//!
//! Claude Code runs it after each answer and shows what it prints, so it is quick and never fails:
//! it reads the running session's transcript and the ledger's sums, and what it cannot find out it
//! leaves out.
//!
//! ```json
//! {"session_id":"8f3c","transcript_path":"/home/u/.claude/projects/-home-u-app/8f3c.jsonl",
//!  "model":{"id":"claude-opus-4-8","display_name":"Opus 4.8"},
//!  "context_window":{"total_input_tokens":90000,"context_window_size":200000}}
//! ```

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Deserialize;
use trueup_core::report::{BLOCK_MS, CostMode, Entry, Filter, Pricer, Sums, Window, blocks};
use trueup_core::{Calendar, UnixMs};
use trueup_ledger::{Ledger, OpenOptions, Reader};

use super::load;
use crate::config::Config;
use crate::query::{Kept, quarters};
use crate::render::number;
use crate::usage::Usage;

/// Print one line for Claude Code's status line; reads its JSON from standard input
#[derive(Debug, Args)]
pub(super) struct Statusline {}

/// Longest input: Claude Code sends some hundred bytes.
const INPUT_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Input {
    session_id: Option<String>,
    transcript_path: Option<PathBuf>,
    model: Option<Model>,
    context_window: Option<ContextWindow>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Model {
    id: Option<String>,
    display_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContextWindow {
    total_input_tokens: Option<u64>,
    context_window_size: Option<u64>,
}

impl Statusline {
    pub(super) fn run(config: &Config) -> Result<ExitCode> {
        let mut text = String::new();
        io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text)?;
        let input: Input = serde_json::from_str(&text)
            .context("standard input is not the JSON that Claude Code sends to its status line")?;
        let mut parts = Vec::new();
        parts.extend(
            input
                .model
                .as_ref()
                .and_then(|model| model.display_name.clone().or_else(|| model.id.clone())),
        );
        match of_ledger(config, &input) {
            Ok(more) => parts.extend(more),
            Err(error) => parts.push(format!("trueup: {error:#}")),
        }
        parts.extend(context(&input));
        writeln!(io::stdout(), "{}", parts.join(" · "))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// How full the context is.
fn context(input: &Input) -> Option<String> {
    let window = input.context_window.as_ref()?;
    let (used, size) =
        (window.total_input_tokens?, window.context_window_size.filter(|size| *size > 0)?);
    Some(format!("context {} %", used.saturating_mul(100) / size))
}

fn of_ledger(config: &Config, input: &Input) -> Result<Vec<String>> {
    let path = config.ledger();
    if let Some(transcript) = &input.transcript_path {
        read_session(&path, transcript)?;
    }
    let usage = match Reader::open(&path)? {
        Some(reader) => Usage::Ledger(Box::new(reader)),
        // Nothing was ever counted on this machine.
        None => Usage::Memory(Box::default()),
    };
    let book = load::prices(config)?;
    let calendar = Calendar::new(config.zone()?);
    let now = crate::clock::now();
    let mut parts = Vec::new();
    let mut pricer = Pricer::new(&book, CostMode::Auto);
    if let Some(session) = &input.session_id {
        let mut sums = Sums::default();
        usage.of_sessions_named(session, &mut |entry| {
            if *entry.series.source == *"claude-code" {
                let sum = pricer.price(entry.start, entry.series, entry.counters);
                sums.add(entry.series.witness, &sum);
            }
        })?;
        parts.push(format!("session {}", cost(&sums)));
    }
    let today = calendar.start_of_day(calendar.day(now));
    let from = UnixMs((now.0 - BLOCKS_MS).min(today.0));
    let kept = quarters(&usage, Window { from, ..Window::ALL })?;
    let entries: Vec<Entry<'_>> = kept.iter().map(Kept::entry).collect();
    let mut day = Sums::default();
    for entry in entries.iter().filter(|entry| entry.start >= today) {
        let sum = pricer.price(entry.start, entry.series, entry.counters);
        day.add(entry.series.witness, &sum);
    }
    parts.push(format!("today {}", cost(&day)));
    let filter = Filter { sources: vec!["claude-code".to_owned()], ..Filter::default() };
    let blocks = blocks(&entries, &filter, &mut pricer);
    if let Some(block) = blocks.last().filter(|block| block.is_active(now)) {
        let left = number::duration_ms(block.end.0 - now.0);
        parts.push(format!("block {} ({left} left)", cost(&block.sums)));
        let nano = i128::from(block.sums.exact.cost_nanousd().0);
        parts.extend(
            block.per_minute(nano).map(|rate| format!("{}/h", super::tables::dollars(rate * 60))),
        );
    }
    for quota in usage.quotas()?.iter().filter(|quota| quota.resets_at.is_none_or(|at| at > now)) {
        let hours = quota.window_minutes / 60;
        let window = if hours >= 48 { format!("{} d", hours / 24) } else { format!("{hours} h") };
        parts.push(format!("{} {window} {} %", quota.source, quota.used_millipercent / 1_000));
    }
    Ok(parts)
}

/// How far back a running block can depend on: where it began, and whether the one before it reached
/// into it.
const BLOCKS_MS: i64 = 4 * BLOCK_MS;

fn cost(sums: &Sums) -> String {
    let star = if sums.exact.unpriced_calls > 0 { "*" } else { "" };
    format!("{}{star}", number::dollars(sums.exact.cost_nanousd()))
}

/// Reads what is new in the running session; other stores wait for `report` or `serve`. Where another
/// process writes the ledger, it reads this session as well.
fn read_session(ledger: &Path, transcript: &Path) -> Result<()> {
    let Some(agent) = trueup_agents::agent("claude-code") else { return Ok(()) };
    match Ledger::open(ledger, OpenOptions::default()) {
        Ok(ledger) => crate::sync::sync_stores(
            agent,
            &trueup_agents::session_stores(agent, transcript),
            ledger,
        ),
        Err(trueup_ledger::LedgerError::Locked { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
