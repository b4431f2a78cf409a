//! For a person who wants to know where the rest is, in 80 columns.

use std::io::Write;

use anyhow::Result;
use trueup_core::Decimal;
use trueup_core::reconcile::{PairResult, Quantity, Severity, TieLine};

use super::group::{Group, groups};
use super::{Shown, amount, day, last_day, percent, quantity, side, tie_out, verdict};
use crate::render::number::counted;
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;
use crate::render::wrap::wrapped;

/// Lines of differences that are shown; JSON and CSV have them all.
const GROUPS_MAX: usize = 40;

pub(super) fn write(shown: &Shown<'_>, terminal: Terminal, out: &mut impl Write) -> Result<()> {
    let run = shown.run;
    let title = format!("Parity, {} to {}, days in UTC", day(run.from), last_day(run));
    writeln!(out, "{}", terminal.bold(&title))?;
    writeln!(out, "{}\n", verdict(shown))?;
    differences(shown, terminal, out)?;
    for pair in &run.pairs {
        comparison(pair, terminal, out)?;
    }
    writeln!(out, "{}", tie_out(run))?;
    for (provider, sums) in &run.unconnected {
        let tokens = amount(Quantity::Out, &sums.tokens());
        let text = format!(
            "Not compared: {tokens} tokens of {}. Nothing was pulled of it, and no statement tells of it.",
            if provider.is_empty() { "no named provider" } else { provider }
        );
        paragraph(&text, terminal, out)?;
    }
    for (class, notice) in &run.notices {
        let places: Vec<&str> = notice.places.iter().map(String::as_str).collect();
        let text = format!("{}: {} ({})", class.name(), class.meaning(), places.join(", "));
        paragraph(&text, terminal, out)?;
    }
    for note in &shown.notes {
        paragraph(note, terminal, out)?;
    }
    for expired in &run.expired {
        paragraph(&format!("No longer accepted: {expired}"), terminal, out)?;
    }
    writeln!(out, "Run {}", run.run_id)?;
    Ok(())
}

fn paragraph(text: &str, terminal: Terminal, out: &mut impl Write) -> Result<()> {
    let lines = wrapped(text, terminal.columns, 2);
    for (at, line) in lines.iter().enumerate() {
        let line = if at == 0 { line.trim_start() } else { line };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn differences(shown: &Shown<'_>, terminal: Terminal, out: &mut impl Write) -> Result<()> {
    let groups = groups(shown.run);
    let mut heading = None;
    for group in groups.iter().take(GROUPS_MAX) {
        let of = (group.provider, group.sides, group.accepted.is_some());
        if heading != Some(of) {
            let (left, right) = group.sides;
            let accepted = if group.accepted.is_some() { ", accepted" } else { "" };
            let text =
                format!("{}: {} against {}{accepted}", group.provider, side(left), side(right));
            writeln!(out, "{}", terminal.bold(&text))?;
            heading = Some(of);
        }
        difference(group, terminal, out)?;
    }
    if groups.len() > GROUPS_MAX {
        let more = (groups.len() - GROUPS_MAX) as u64;
        writeln!(out, "  … and {}: see --format json", counted(more, "smaller difference"))?;
    }
    if !groups.is_empty() {
        writeln!(out)?;
    }
    Ok(())
}

fn difference(group: &Group<'_>, terminal: Terminal, out: &mut impl Write) -> Result<()> {
    let name = group.class.name();
    let name = match group.severity {
        Severity::Fail if group.accepted.is_none() => terminal.red(name),
        Severity::Warn => terminal.yellow(name),
        Severity::Fail | Severity::Info | Severity::None => name.to_owned(),
    };
    writeln!(out, "  {name}  {}", group.when())?;
    for line in wrapped(&group.place(), terminal.columns, 4) {
        writeln!(out, "{line}")?;
    }
    for line in wrapped(&amounts(group), terminal.columns, 4) {
        writeln!(out, "{line}")?;
    }
    for line in wrapped(&group.whose().unwrap_or_default(), terminal.columns, 4) {
        writeln!(out, "{line}")?;
    }
    let why = group
        .accepted
        .map_or_else(|| group.class.meaning().to_owned(), |reason| format!("accepted: {reason}"));
    for line in wrapped(&why, terminal.columns, 4) {
        writeln!(out, "{}", terminal.dim(&line))?;
    }
    Ok(())
}

/// What both sides say.
fn amounts(group: &Group<'_>) -> String {
    let claimed = if group.estimated.is_zero() {
        String::new()
    } else {
        format!(" (and ~{} claimed)", group.says(&group.estimated))
    };
    let (left, right) = group.sides;
    let (own, other) = (group.says(&group.left), group.says(&group.right));
    format!("{}: {own}{claimed}; {}: {other}", side(left), side(right))
}

fn comparison(pair: &PairResult, terminal: Terminal, out: &mut impl Write) -> Result<()> {
    let (left, right) = pair.sides;
    let provisional = match pair.days_provisional {
        0 => String::new(),
        days => format!(", {days} may still change"),
    };
    let title = format!(
        "{}: {} against {}, {} of {} days{provisional}",
        pair.provider,
        side(left),
        side(right),
        pair.days_covered,
        pair.days
    );
    writeln!(out, "{}", terminal.bold(&title))?;
    let mut layout = Layout::new(vec!["", "Side", "Matched", "Variance", "Missing", "Total"]);
    let mut is_any = false;
    for of in Quantity::ALL {
        let lines = pair.ties.iter().filter(|line| line.quantity == of);
        for (at, line) in lines.enumerate() {
            layout.row(Look::Plain, cells(line, at == 0));
            is_any = true;
        }
    }
    if is_any {
        out.write_all(layout.draw(terminal).as_bytes())?;
    } else {
        writeln!(out, "Neither tells of anything.")?;
    }
    let captured: Vec<String> = pair
        .capture
        .iter()
        .map(|(what, e4)| format!("{} of {}", percent(*e4), what.replace("cost_usd", "cost")))
        .collect();
    if !captured.is_empty() {
        writeln!(out, "Captured: {}", captured.join(", "))?;
    }
    if let Some(e4) = pair.price_ratio_e4 {
        writeln!(out, "By the price table it comes to {} of what was charged.", percent(e4))?;
    }
    writeln!(out)?;
    Ok(())
}

fn cells(line: &TieLine, is_first: bool) -> Vec<Cell> {
    let name = if is_first { quantity(line.quantity) } else { "" };
    let side = if line.is_estimated { "~ claimed" } else { line.side.name() };
    let number = |of: &Decimal| match of.to_count().filter(|_| line.quantity != Quantity::Cost) {
        Some(count) => Cell::Count(count),
        None => Cell::Number(amount(line.quantity, of)),
    };
    let TieLine { matched, variance, missing, total, .. } = line;
    let mut cells = vec![Cell::Text(name.to_owned()), Cell::Text(side.to_owned())];
    cells.extend([matched, variance, missing, total].map(number));
    cells
}
