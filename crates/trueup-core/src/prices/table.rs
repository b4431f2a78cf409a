//! The embedded price table: `data/prices.tsv`, written by `scripts/update-prices`.
//!
//! Knows the text format and how to find one line of it by binary search. Nothing is parsed before
//! it is asked for, so that a process that prices one model starts at once.
//!
//! ```text
//! gpt-5.5⇥openai⇥1050000⇥input=5 output=30 cache_read=0.5 input>272k=10 … input/priority=12.5 …
//! ```

use std::cmp::Ordering;

use super::class::{ContextBand, ServiceTier};
use super::rates::{Rate, Rates, TokenKind, YoctoUsd};

const PRICES: &str = include_str!("../../data/prices.tsv");
const ALIASES: &str = include_str!("../../data/aliases.tsv");

/// One model of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Who sells at these prices, as LiteLLM writes it.
    pub(super) seller: &'static str,
    pub(super) prompt_tokens_max: Option<u64>,
    pub(super) rates: Rates,
}

/// Where the embedded prices come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSource {
    /// Version of the LiteLLM release whose price list was taken.
    pub litellm_version: &'static str,
    /// Day on which that release was published, as `YYYY-MM-DD`.
    pub date: &'static str,
    /// SHA-256 of the price list in it.
    pub sha256: &'static str,
}

impl TableSource {
    pub(super) fn embedded() -> Self {
        Self {
            litellm_version: header(PRICES, "# litellm: "),
            date: header(PRICES, "# date: "),
            sha256: header(PRICES, "# sha256: "),
        }
    }
}

/// The row of the model that is called exactly this.
pub(super) fn row(name: &str) -> Option<Row> {
    let (name, columns) = line(PRICES, name)?;
    parse(name, columns)
}

/// What the table calls the model that others call this.
pub(super) fn alias(name: &str) -> Option<&'static str> {
    line(ALIASES, name).map(|(_, target)| target)
}

fn header(table: &'static str, field: &str) -> &'static str {
    table.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default()
}

/// Binary search over lines: name and columns of the line with this name.
fn line(table: &'static str, name: &str) -> Option<(&'static str, &'static str)> {
    let mut rest = without_header(table);
    while !rest.is_empty() {
        let (before, line, after) = split_at_middle_line(rest);
        let (found, columns) = line.split_once('\t')?;
        match name.cmp(found) {
            Ordering::Less => rest = before,
            Ordering::Equal => return Some((found, columns)),
            Ordering::Greater => rest = after,
        }
    }
    None
}

fn without_header(mut table: &str) -> &str {
    while table.starts_with('#') {
        table = table.split_once('\n').map_or("", |(_, rest)| rest);
    }
    table
}

/// The lines before, the line that holds the middle byte, and the lines after it.
fn split_at_middle_line(lines: &str) -> (&str, &str, &str) {
    let (head, _) = lines.as_bytes().split_at(lines.len() / 2);
    let start = head.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let (before, rest) = lines.split_at(start); // after a newline, hence between characters
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    (before, line, after)
}

/// `None` for columns that this version does not understand: the model then has no price.
fn parse(name: &'static str, columns: &'static str) -> Option<Row> {
    let (seller, columns) = columns.split_once('\t')?;
    let (prompt_tokens_max, prices) = columns.split_once('\t')?;
    let mut rates = Rates { has_anthropic_rules: seller == "anthropic", ..Rates::default() };
    for price in prices.split(' ') {
        match price.split_once('=') {
            None if price == "free" => rates.is_free = true,
            None => return None,
            Some(("times_us", by)) => rates.us_milli = Some(thousandths(by)?),
            Some(("times_fast", by)) => rates.fast_milli = Some(thousandths(by)?),
            Some((what, usd)) => rates.listed.push(rate(what, usd)?),
        }
    }
    Some(Row { name, seller, prompt_tokens_max: prompt_tokens_max.parse().ok(), rates })
}

fn thousandths(by: &str) -> Option<i128> {
    crate::scaled_decimal(by, 3)
}

/// `input>272k/priority` at `12.5` dollars per million tokens.
fn rate(what: &str, usd: &str) -> Option<Rate> {
    let (what, tier) = match what.split_once('/') {
        None => (what, ServiceTier::Standard),
        Some((what, "batch")) => (what, ServiceTier::Batch),
        Some((what, "flex")) => (what, ServiceTier::Flex),
        Some((what, "priority")) => (what, ServiceTier::Priority),
        Some(_) => return None,
    };
    let (kind, above) = match what.split_once('>') {
        None => (what, ContextBand::Base),
        Some((kind, threshold)) => (kind, band(threshold)?),
    };
    let (kind, _) = TokenKind::NAMES.into_iter().find(|(_, name)| *name == kind)?;
    Some(Rate { kind, tier, above, per_token: YoctoUsd::from_usd_per_mtok(usd)? })
}

/// The band that starts after exactly so many thousand tokens.
fn band(threshold: &str) -> Option<ContextBand> {
    let tokens = threshold.strip_suffix('k')?.parse::<u64>().ok()?.checked_mul(1_000)?;
    let band = ContextBand::of_prompt(tokens.checked_add(1)?);
    (band.exceeds() == Some(tokens)).then_some(band)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::prices) fn names_of_all_models() -> impl Iterator<Item = &'static str> {
        names(PRICES)
    }

    pub(in crate::prices) fn all_aliases() -> impl Iterator<Item = (&'static str, &'static str)> {
        without_header(ALIASES).lines().map(|line| line.split_once('\t').unwrap())
    }

    fn names(table: &'static str) -> impl Iterator<Item = &'static str> {
        without_header(table).lines().map(|line| line.split_once('\t').unwrap().0)
    }

    #[test]
    fn both_tables_are_sorted_without_repeats() {
        for table in [PRICES, ALIASES] {
            assert!(names(table).is_sorted_by(|a, b| a < b));
            assert!(table.ends_with('\n') && !table.contains('\r'));
        }
    }

    #[test]
    fn every_line_is_found_and_understood() {
        let mut count = 0;
        for name in names_of_all_models() {
            let row = row(name).unwrap_or_else(|| panic!("{name} does not parse"));
            assert_eq!(row.name, name);
            assert!(!row.seller.is_empty(), "{name}");
            assert_ne!(row.rates.is_free, !row.rates.listed.is_empty(), "{name}");
            count += 1;
        }
        assert!(count > 3_000, "{count}");
    }

    #[test]
    fn multiplying_loses_nothing_of_any_listed_price() {
        for name in names_of_all_models() {
            let rates = row(name).unwrap().rates;
            for milli in [rates.us_milli, rates.fast_milli].into_iter().flatten() {
                assert!(rates.listed.iter().all(|rate| rate.per_token.0 * milli % 1_000 == 0));
            }
        }
    }

    #[test]
    fn what_stands_between_the_lines_is_not_found() {
        for name in ["", "\n", "#", "# date: ", "gpt-5.5\t", "gpt-5.", "gpt-5.55", "zzz", "￿"] {
            assert_eq!(row(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_line_of_a_later_format_is_no_price() {
        for prices in ["input=1e3", "input>300k=1", "input/ultra=1", "smell=1", "gratis", ""] {
            let columns = String::leak(format!("someone\t\t{prices}"));
            assert_eq!(parse("model", columns), None, "{prices}");
        }
    }

    #[test]
    fn the_table_says_where_it_comes_from() {
        let source = TableSource::embedded();
        assert!(source.litellm_version.starts_with(|c: char| c.is_ascii_digit()));
        assert!(source.date.parse::<jiff::civil::Date>().is_ok());
        assert_eq!(source.sha256.len(), 64);
    }
}
