//! Budgets and alerts for people, in 80 columns.

use std::io::Write;

use anyhow::Result;
use trueup_core::Decimal;
use trueup_core::budget::{Forecast, Period, Status};

use super::number::{counted, dollars_of};
use super::table::{Cell, Layout, Look};
use super::terminal::Terminal;
use super::wrap::wrapped;
use crate::budget::{Alert, Looked, label, percent};

/// Decimals of a rate that are shown; it is rounded to cents after.
const RATE_PLACES: u16 = 9;
/// What stands for what is not known.
const UNKNOWN: &str = "?";

/// How budgets stand: what is spent, and what is to be expected.
pub(crate) fn budgets(all: &[Looked], terminal: Terminal, out: &mut impl Write) -> Result<()> {
    let limited: Vec<(&Looked, &Status)> =
        all.iter().filter_map(|looked| Some((looked, looked.status.as_ref()?))).collect();
    if !limited.is_empty() {
        out.write_all(spent(&limited).draw(terminal).as_bytes())?;
        writeln!(out)?;
        out.write_all(ahead(&limited).draw(terminal).as_bytes())?;
        writeln!(out)?;
    }
    for looked in all {
        for note in notes(looked) {
            paragraph(&format!("{}: {note}.", looked.settings.name), terminal, out)?;
        }
    }
    Ok(())
}

fn spent(all: &[(&Looked, &Status)]) -> Layout {
    let mut layout = Layout::new(vec!["Budget", "Period", "Spent", "Limit", "Used", "Left"]);
    for (looked, status) in all {
        let is_known = status.days_known > 0;
        let told = |text: String| if is_known { text } else { UNKNOWN.to_owned() };
        layout.row(
            Look::Plain,
            vec![
                Cell::Name(looked.settings.name.clone()),
                Cell::Text(label(looked.settings.per, status.span.first)),
                Cell::Number(told(dollars_of(&status.spent))),
                Cell::Number(dollars_of(&status.limit)),
                Cell::Number(told(percent(&status.spent, &status.limit))),
                Cell::Number(told(dollars_of(&status.remaining))),
            ],
        );
    }
    layout
}

fn ahead(all: &[(&Looked, &Status)]) -> Layout {
    let mut layout = Layout::new(vec!["Budget", "A day", "Used up", "Forecast", "Low", "High"]);
    for (looked, status) in all {
        let rate = status.rate.as_ref().map(|rate| dollars_of(&rate.per_day(RATE_PLACES)));
        let used_up = match (status.exhausted_on, &status.rate) {
            (Some(day), _) => day.to_string(),
            (None, Some(_)) => "it lasts".to_owned(),
            (None, None) => UNKNOWN.to_owned(),
        };
        let of_forecast = |take: fn(&Forecast) -> &Decimal| {
            let amount = status.forecast.as_ref().map(|forecast| dollars_of(take(forecast)));
            Cell::Number(amount.unwrap_or_else(|| UNKNOWN.to_owned()))
        };
        layout.row(
            Look::Plain,
            vec![
                Cell::Name(looked.settings.name.clone()),
                Cell::Number(rate.unwrap_or_else(|| UNKNOWN.to_owned())),
                Cell::Text(used_up),
                of_forecast(|forecast| &forecast.amount),
                of_forecast(|forecast| &forecast.low),
                of_forecast(|forecast| &forecast.high),
            ],
        );
    }
    layout
}

/// What stands beside a budget's sums.
fn notes(looked: &Looked) -> Vec<String> {
    let whose = match looked.of {
        crate::budget::Of::Account => "by the account",
        crate::budget::Of::Billed => "by what providers say was charged",
    };
    let scope = looked.settings.scope();
    let mut notes = vec![format!("{scope}, {whose}, days in {}", looked.zone)];
    let Some(status) = &looked.status else {
        notes.push("no limit is set, it is only watched for anomalies".to_owned());
        notes.extend(looked.notes.iter().cloned());
        return notes;
    };
    if status.unpriced_calls > 0 {
        let calls = counted(status.unpriced_calls, "call");
        notes.push(format!("{calls} without a known price are not in what is spent"));
    }
    if !status.estimated.is_zero() {
        let claimed = dollars_of(&status.estimated);
        notes.push(format!("{claimed} of what is spent is only claimed by agents"));
    }
    if status.days_unknown > 0 {
        let days = counted(status.days_unknown.into(), "day");
        notes.push(format!("{days} of {} not known", period(looked.settings.per)));
    }
    if status.days_provisional > 0 {
        let days = counted(status.days_provisional.into(), "day");
        notes.push(format!("{days} may still change, and no alert counts them yet"));
    }
    if status.forecast.is_none() {
        notes.push("too few days are known for a forecast".to_owned());
    }
    notes.extend(looked.notes.iter().cloned());
    notes
}

const fn period(per: Period) -> &'static str {
    match per {
        Period::Day => "the day",
        Period::Week => "the week",
        Period::Month => "the month",
    }
}

/// What stands, the worst of each kind first.
pub(crate) fn alerts(all: &[Alert<'_>], terminal: Terminal, out: &mut impl Write) -> Result<()> {
    if all.is_empty() {
        writeln!(out, "Nothing stands.")?;
        return Ok(());
    }
    for alert in all {
        let what = match alert.cell.class() {
            "budget" => format!("budget {} %", alert.level),
            class => class.to_owned(),
        };
        let since = alert.since.map_or_else(
            || "not told yet".to_owned(),
            |at| {
                format!(
                    "since {}",
                    at.to_string().replace('T', " ").chars().take(16).collect::<String>() + " UTC"
                )
            },
        );
        writeln!(out, "{}  {since}", terminal.yellow(&what))?;
        for line in wrapped(&alert.message(), terminal.columns, 2) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

fn paragraph(text: &str, terminal: Terminal, out: &mut impl Write) -> Result<()> {
    for (at, line) in wrapped(text, terminal.columns, 2).iter().enumerate() {
        writeln!(out, "{}", if at == 0 { line.trim_start() } else { line })?;
    }
    Ok(())
}
