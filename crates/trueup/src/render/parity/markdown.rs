//! Markdown, as in a comment on a change or in a ticket.

use std::io::Write;

use anyhow::Result;

use super::group::{Group, groups};
use super::{Shown, amount, day, last_day, percent, quantity, side, tie_out, verdict};

pub(super) fn write(shown: &Shown<'_>, out: &mut impl Write) -> Result<()> {
    let run = shown.run;
    writeln!(out, "# Parity, {} to {}\n", day(run.from), last_day(run))?;
    writeln!(out, "**{}** Days are in UTC.\n", verdict(shown))?;
    let groups = groups(run);
    if !groups.is_empty() {
        writeln!(out, "| class | provider | days | where | first side | second side |")?;
        writeln!(out, "|---|---|---|---|---|---|")?;
        for group in &groups {
            difference(group, out)?;
        }
        writeln!(out)?;
    }
    for pair in &run.pairs {
        let (left, right) = pair.sides;
        let title = format!("{}: {} against {}", pair.provider, side(left), side(right));
        writeln!(out, "## {}\n", safe(&title))?;
        let captured: Vec<String> = pair
            .capture
            .iter()
            .map(|(what, e4)| {
                format!("; captured: {} of {}", percent(*e4), what.replace("cost_usd", "cost"))
            })
            .collect();
        writeln!(out, "{} of {} days{}", pair.days_covered, pair.days, captured.concat())?;
        writeln!(out, "\n| | side | matched | variance | missing | total |")?;
        writeln!(out, "|---|---|--:|--:|--:|--:|")?;
        for line in &pair.ties {
            let of = line.quantity;
            let name = if line.is_estimated { "~ claimed" } else { line.side.name() };
            let [matched, variance, missing, total] =
                [&line.matched, &line.variance, &line.missing, &line.total]
                    .map(|number| amount(of, number));
            writeln!(
                out,
                "| {} | {name} | {matched} | {variance} | {missing} | {total} |",
                quantity(of)
            )?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{}\n", tie_out(run))?;
    for (class, notice) in &run.notices {
        let places: Vec<String> = notice.places.iter().map(|place| safe(place)).collect();
        writeln!(out, "- `{}`: {} ({})", class.name(), class.meaning(), places.join(", "))?;
    }
    for note in &shown.notes {
        writeln!(out, "- {}", safe(note))?;
    }
    writeln!(out, "\nRun `{}`", run.run_id)?;
    Ok(())
}

fn difference(group: &Group<'_>, out: &mut impl Write) -> Result<()> {
    let (left, right) = group.sides;
    let accepted = group.accepted.map(|reason| format!(" (accepted: {reason})"));
    writeln!(
        out,
        "| `{}`{} | {} | {} | {} | {}: {} | {}: {} |",
        group.class.name(),
        safe(&accepted.unwrap_or_default()),
        safe(group.provider),
        group.when(),
        safe(&group.place()),
        side(left),
        group.says(&group.left),
        side(right),
        group.says(&group.right),
    )?;
    Ok(())
}

/// A name that ends no cell and begins no markup.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' => safe.extend(['\\', c]),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
