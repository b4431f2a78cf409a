//! What a report says besides its numbers: where it looked, and what it does not know.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use anyhow::Result;
use trueup_core::report::Sums;
use trueup_core::{Problem, ProblemKind, StoreId, Text};

use super::load::Loaded;
use crate::render::number::counted;
use crate::render::terminal::Terminal;

/// Models without a price that are named in one note.
const MODELS_NAMED_MAX: usize = 3;

/// Says that there is nothing to show, where it looked, and what to do.
pub(super) fn nothing(out: &mut Vec<u8>, loaded: &Loaded, is_narrow: bool) -> Result<()> {
    let has_stores = !loaded.inventory.stores.is_empty();
    if is_narrow && (has_stores || loaded.keeper.is_some()) {
        writeln!(out, "No usage matches. `trueup report` without options shows all there is.")?;
        return Ok(());
    }
    if loaded.keeper.is_some() {
        writeln!(out, "The ledger holds no usage yet.")?;
        return Ok(());
    }
    writeln!(out, "No usage found.\n\nLooked for sessions in")?;
    for found in &loaded.inventory.roots {
        let state = if found.exists { "nothing in it" } else { "not there" };
        writeln!(out, "  {:<12} {} ({state})", found.source, found.root.path.display())?;
    }
    writeln!(
        out,
        "\nUse one of these agents and run `trueup report` again. Where an agent keeps its\n\
         sessions elsewhere, set its variable, such as CLAUDE_CONFIG_DIR or CODEX_HOME.\n\
         `trueup demo` shows the reports on built-in data."
    )?;
    Ok(())
}

/// Says on standard error what the report does not know.
pub(super) fn after(
    loaded: &Loaded,
    unpriced: &BTreeMap<Text, u64>,
    terminal: Terminal,
) -> Result<()> {
    let mut err = io::stderr().lock();
    let mut say = |text: String| writeln!(err, "{}", terminal.dim(&text));
    if let Some(keeper) = &loaded.keeper {
        say(format!(
            "The ledger is kept up to date by process {keeper}; this is what it has written."
        ))?;
    }
    if !unpriced.is_empty() {
        say(unpriced_note(unpriced))?;
    }
    let problems = loaded.problems()?;
    let count: usize = problems.values().map(Vec::len).sum();
    if count > 0 {
        say(format!(
            "{} in {} could not be read: `trueup sources --problems`.",
            counted(count as u64, "record"),
            counted(problems.len() as u64, "store"),
        ))?;
    }
    Ok(())
}

/// The calls without a known price in sums by model.
pub(crate) fn unpriced<'a>(
    models: impl IntoIterator<Item = (&'a Text, &'a Sums)>,
) -> BTreeMap<Text, u64> {
    let mut unpriced = BTreeMap::new();
    for (model, sums) in models {
        let calls = sums.exact.unpriced_calls + sums.estimated.unpriced_calls;
        if calls > 0 {
            *unpriced.entry(Text::clone(model)).or_default() += calls;
        }
    }
    unpriced
}

pub(crate) fn unpriced_note(unpriced: &BTreeMap<Text, u64>) -> String {
    let calls: u64 = unpriced.values().sum();
    let mut models: Vec<_> = unpriced.iter().collect();
    models.sort_by(|(a, one), (b, other)| (other, a).cmp(&(one, b)));
    let named: Vec<String> = models
        .iter()
        .take(MODELS_NAMED_MAX)
        .map(|(model, calls)| {
            format!("{} ({calls})", if model.is_empty() { "no model recorded" } else { model })
        })
        .collect();
    let more = models.len().saturating_sub(MODELS_NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let have = if calls == 1 {
        "call has no known cost and is"
    } else {
        "calls have no known cost and are"
    };
    format!(
        "* {calls} {have} in no sum of costs: {}{more}. See `trueup prices show MODEL`.",
        named.join(", ")
    )
}

/// Whether a whole store is unknown: not just a line of one.
pub(crate) fn has_unread(problems: &BTreeMap<StoreId, Vec<Problem>>) -> bool {
    problems.values().flatten().any(|problem| match problem.kind {
        ProblemKind::Unreadable
        | ProblemKind::UnknownSchema
        | ProblemKind::Corrupt
        | ProblemKind::Missing
        | ProblemKind::TooLarge => true,
        ProblemKind::NotJson | ProblemKind::BadRecord | ProblemKind::BadCount => false,
    })
}
