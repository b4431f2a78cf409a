//! Markdown, as in a comment on a change or in a ticket.

use std::io::Write as _;

use anyhow::Result;

use super::group::{Group, groups};
use super::{
    Shown, against, amount, captured, days, last_day, price, quantity, remarks, side, tie_out,
    verdict,
};

pub(super) fn write(shown: &Shown<'_>, out: &mut Vec<u8>) -> Result<()> {
    let run = shown.run;
    writeln!(out, "# Parity, {} to {}\n", run.from.utc_date(), last_day(run))?;
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
        writeln!(out, "## {}\n", safe(&against(&pair.provider, pair.sides)))?;
        let sentences =
            [Some(format!("{}.", days(pair))), captured(pair).map(|it| it + "."), price(pair)];
        writeln!(out, "{}", sentences.into_iter().flatten().collect::<Vec<_>>().join(" "))?;
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
    for remark in remarks(shown) {
        writeln!(out, "- {}", safe(&remark))?;
    }
    writeln!(out, "\nRun `{}`", run.run_id)?;
    Ok(())
}

fn difference(group: &Group<'_>, out: &mut Vec<u8>) -> Result<()> {
    let (left, right) = group.sides;
    let accepted = group.accepted.map(|reason| format!(" (accepted: {reason})"));
    writeln!(
        out,
        "| `{}`{} | {} | {} | {} | {}: {} | {}: {} |",
        group.class.name(),
        safe(&accepted.unwrap_or_default()),
        safe(group.provider),
        group.when(),
        safe(&group.place_and_whose()),
        side(left),
        group.own(),
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
