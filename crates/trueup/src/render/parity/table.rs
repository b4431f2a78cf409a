//! For a person who wants to know where the rest is, in 80 columns.

use std::io::Write as _;

use anyhow::Result;
use trueup_core::Decimal;
use trueup_core::reconcile::{PairResult, Quantity, Severity, TieLine};

use super::group::{Group, groups};
use super::{
    Shown, against, amount, captured, days, last_day, price, quantity, remarks, side, tie_out,
    verdict,
};
use crate::render::number::counted;
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;
use crate::render::wrap::wrapped;

/// Lines of differences that are shown; JSON and CSV have them all.
const GROUPS_MAX: usize = 40;

pub(super) fn write(shown: &Shown<'_>, terminal: Terminal, out: &mut Vec<u8>) -> Result<()> {
    let run = shown.run;
    let title = format!("Parity, {} to {}, days in UTC", run.from.utc_date(), last_day(run));
    writeln!(out, "{}", terminal.bold(&title))?;
    writeln!(out, "{}\n", verdict(shown))?;
    differences(shown, terminal, out)?;
    for pair in &run.pairs {
        comparison(pair, terminal, out)?;
    }
    writeln!(out, "{}", tie_out(run))?;
    for remark in remarks(shown) {
        paragraph(&remark, terminal, out)?;
    }
    writeln!(out, "Run {}", run.run_id)?;
    Ok(())
}

fn paragraph(text: &str, terminal: Terminal, out: &mut Vec<u8>) -> Result<()> {
    let lines = wrapped(text, terminal.columns, 2);
    for (at, line) in lines.iter().enumerate() {
        let line = if at == 0 { line.trim_start() } else { line };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn differences(shown: &Shown<'_>, terminal: Terminal, out: &mut Vec<u8>) -> Result<()> {
    let groups = groups(shown.run);
    let mut heading = None;
    for group in groups.iter().take(GROUPS_MAX) {
        let of = (group.provider, group.sides, group.accepted.is_some());
        if heading != Some(of) {
            let accepted = if group.accepted.is_some() { ", accepted" } else { "" };
            let text = against(group.provider, group.sides) + accepted;
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

fn difference(group: &Group<'_>, terminal: Terminal, out: &mut Vec<u8>) -> Result<()> {
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
    let (left, right) = group.sides;
    let (own, other) = (group.own(), group.says(&group.right));
    format!("{}: {own}; {}: {other}", side(left), side(right))
}

fn comparison(pair: &PairResult, terminal: Terminal, out: &mut Vec<u8>) -> Result<()> {
    let title = format!("{}, {}", against(&pair.provider, pair.sides), days(pair));
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
    for sentence in [captured(pair), price(pair)].into_iter().flatten() {
        writeln!(out, "{sentence}")?;
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
