//! What came of a comparison of the account with what providers say, in every form that it is shown in.

mod cogni;
mod csv;
mod focus;
mod group;
mod html;
mod json;
mod junit;
mod markdown;
mod table;

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::Result;
use clap::ValueEnum;
use trueup_core::reconcile::{Class, Input, PairResult, Quantity, Reconciliation, Side};
use trueup_core::{DAY_MS, Decimal, UnixMs};

pub(crate) use json::run as as_json;

use super::number;
use super::terminal::Terminal;

/// A form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// All of it; see docs/parity.md
    Json,
    /// Markdown
    Md,
    /// A page that needs nothing else
    Html,
    /// One line a difference
    Csv,
    /// A test report: one test a day
    Junit,
    /// FOCUS 1.2: what was billed, and what became of it
    Focus,
    /// What cogni-track's telemetry diff wrote, for those who parse it
    Cogni,
}

/// A run, and what is to be told beside it.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) run: &'a Reconciliation,
    pub(crate) input: &'a Input,
    pub(crate) fail_on: Option<&'a BTreeSet<Class>>,
    /// What was taken and left out, in sentences.
    pub(crate) notes: Vec<String>,
    /// Files that were compared.
    pub(crate) files: Vec<String>,
}

/// Writes a run in a form.
pub(crate) fn write(
    shown: &Shown<'_>,
    format: Format,
    terminal: Terminal,
    out: &mut Vec<u8>,
) -> Result<()> {
    match format {
        Format::Table => table::write(shown, terminal, out),
        Format::Json => Ok(writeln!(out, "{:#}", json::run(shown))?),
        Format::Md => markdown::write(shown, out),
        Format::Html => html::write(shown, out),
        Format::Csv => csv::write(shown, out),
        Format::Junit => junit::write(shown, out),
        Format::Focus => focus::write(shown, out),
        Format::Cogni => Ok(writeln!(out, "{:#}", cogni::diff(shown))?),
    }
}

/// The last day of a run.
fn last_day(run: &Reconciliation) -> String {
    UnixMs(run.until.0 - DAY_MS).utc_date()
}

/// A side, for people.
const fn side(side: Side) -> &'static str {
    match side {
        Side::Account => "account",
        Side::Usage => "provider's usage",
        Side::Cost => "provider's cost",
        Side::Statement => "statement",
        Side::StatementCost => "statement's cost",
    }
}

/// Two sides of a provider that are compared: `openai: account against provider's usage`.
fn against(provider: &str, (left, right): (Side, Side)) -> String {
    format!("{provider}: {} against {}", side(left), side(right))
}

/// Of which days the second side tells: `5 of 7 days, 2 may still change`.
fn days(pair: &PairResult) -> String {
    let provisional = match pair.days_provisional {
        0 => String::new(),
        days => format!(", {days} may still change"),
    };
    format!("{} of {} days{provisional}", pair.days_covered, pair.days)
}

/// What of the second side the first one has, too, in a sentence; nothing where that cannot be said.
fn captured(pair: &PairResult) -> Option<String> {
    let of = |(what, e4): (&&str, &i128)| {
        format!("{} of {}", percent(*e4), what.replace("cost_usd", "cost"))
    };
    let captured: Vec<String> = pair.capture.iter().map(of).collect();
    (!captured.is_empty()).then(|| format!("Captured: {}", captured.join(", ")))
}

/// How the price table compares with what was charged, in a sentence.
fn price(pair: &PairResult) -> Option<String> {
    let percent = percent(pair.price_ratio_e4?);
    Some(format!("By the price table it comes to {percent} of what was charged."))
}

/// What is to be known beside the comparisons, in sentences.
fn remarks(shown: &Shown<'_>) -> Vec<String> {
    let run = shown.run;
    let unconnected = run.unconnected.iter().map(|(provider, sums)| {
        let tokens = amount(Quantity::Out, &sums.tokens());
        let provider = if provider.is_empty() { "no named provider" } else { provider };
        format!(
            "Not compared: {tokens} tokens of {provider}. Nothing was pulled of it, and no statement \
             tells of it."
        )
    });
    let notices = run.notices.iter().map(|(class, notice)| {
        let places: Vec<&str> = notice.places.iter().map(String::as_str).collect();
        format!("{}: {} ({})", class.name(), class.meaning(), places.join(", "))
    });
    let expired = run.expired.iter().map(|expired| format!("No longer accepted: {expired}"));
    unconnected.chain(notices).chain(shown.notes.iter().cloned()).chain(expired).collect()
}

/// A quantity, for people.
const fn quantity(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::InUncached => "uncached prompt",
        Quantity::InCacheRead => "cached prompt",
        Quantity::InCacheWrite => "cache writes",
        Quantity::In => "prompt",
        Quantity::Out => "output",
        Quantity::Requests => "requests",
        Quantity::Cost => "cost",
    }
}

/// An amount for people: a count with commas, or dollars to the cent.
fn amount(of: Quantity, amount: &Decimal) -> String {
    if of == Quantity::Cost {
        return number::dollars_of(amount);
    }
    amount.to_count().map_or_else(|| amount.to_string(), number::grouped)
}

/// Ten-thousandths as a percentage: `97.12 %`.
fn percent(e4: i128) -> String {
    format!("{}.{:02} %", e4 / 100, (e4 % 100).abs())
}

/// Whether a run failed, in a sentence.
fn verdict(shown: &Shown<'_>) -> String {
    use trueup_core::reconcile::Verdict;
    let run = shown.run;
    let failing =
        run.findings.iter().filter(|finding| Reconciliation::fails(finding, shown.fail_on)).count();
    match run.verdict {
        Verdict::Parity => "Parity: nothing differs by more than is tolerated.".to_owned(),
        Verdict::Variance if failing == 0 => {
            "Variance: something that --fail-on names was found.".to_owned()
        }
        Verdict::Variance => {
            let verb = if failing == 1 { "does" } else { "do" };
            format!("Variance: {} {verb} not agree.", number::counted(failing as u64, "cell"))
        }
        Verdict::Incomplete => {
            "Incomplete: nothing that is known differs, but not every day is known.".to_owned()
        }
        Verdict::SchemaDrift => {
            "Nothing differs, but the provider told something in a form that is not known."
                .to_owned()
        }
        Verdict::TieOutBroken => {
            "The amounts do not tie out: this is an error in trueup. Please report it.".to_owned()
        }
    }
}

/// How the amounts tie out, in a sentence.
fn tie_out(run: &Reconciliation) -> String {
    let lines = run.pairs.iter().map(|pair| pair.ties.len()).sum::<usize>();
    if run.ties_out() {
        format!("Ties out: matched + variance + missing = total, exactly, in all {lines} lines.")
    } else {
        "DOES NOT TIE OUT: matched + variance + missing is not the total.".to_owned()
    }
}
