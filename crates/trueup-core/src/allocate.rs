//! Whose cost centre pays for what: allocation of [rows of cost](crate::Charged) by rules.
//!
//! The first rule that takes a row decides, and divides it by its shares, which are a hundred percent in
//! all. What no rule takes is *unallocated*: it is a part like others, and never dropped. Nothing is
//! rounded, so that the parts are the whole to the last digit; whoever must round [apportions].
//!
//! ```toml
//! [[rule]]
//! name = "CI runs"
//! match = { provider = "openai", key = ["key_ci*", "key_test"] }
//! to = { platform = "66.7", search = "33.3" }
//!
//! [[rule]]
//! match = { agent = "codex", tag = "kind=cron" }
//! to = "platform"
//! ```
//!
//! [apportions]: apportion

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::report::matches;
use crate::{Charged, Decimal, Text, prices};

/// Most rules of one file: each row is held against each.
pub const RULES_MAX: usize = 10_000;
/// Most cost centres that one rule divides among.
pub const SHARES_MAX: usize = 1_000;
/// Most digits of a share.
const SHARE_DIGITS_MAX: usize = 20;
/// All of it.
const HUNDRED: i128 = 100;
/// What a match may ask for.
const LABELS: [&str; 6] = ["provider", "project", "key", "model", "agent", "tag"];

/// A rule, as its file states it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedRule {
    /// What it is called in the output.
    #[serde(default)]
    pub name: Option<String>,
    /// What it takes: by label one pattern, or several of which one must match; `*` stands for any text.
    /// All labels must match.
    #[serde(rename = "match", default)]
    pub matches: BTreeMap<String, Patterns>,
    /// The cost centre, or several with their shares.
    pub to: Shares,
}

/// One pattern, or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Patterns {
    /// One.
    One(String),
    /// Several, of which one must match.
    Several(Vec<String>),
}

/// Who pays.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Shares {
    /// One cost centre, all of it.
    All(String),
    /// Several, each its share in percent.
    Parts(BTreeMap<String, Percent>),
}

/// A share in percent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Percent {
    /// A whole number.
    Whole(i64),
    /// A decimal, as a text.
    Text(String),
    /// A number that is not exact: it is refused.
    Inexact(f64),
}

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// More rules than are held against each row.
    #[error("{0} rules; there may be {RULES_MAX}")]
    TooMany(usize),
    /// A match asks for something that rows do not have.
    #[error("rule {rule}: rows have no `{label}`; there are {}", LABELS.join(", "))]
    UnknownLabel {
        /// Its place, from 1.
        rule: usize,
        /// What it asks for.
        label: String,
    },
    /// A pattern that nothing can match.
    #[error("rule {rule}: {label} matches nothing, because no pattern is given")]
    NoPattern {
        /// Its place, from 1.
        rule: usize,
        /// The label.
        label: String,
    },
    /// A tag without a value.
    #[error("rule {rule}: a tag is written as name=value, such as kind=cron")]
    NotATag {
        /// Its place, from 1.
        rule: usize,
    },
    /// No cost centre, or more than are divided among.
    #[error("rule {rule}: `to` names {count} cost centres; there may be 1 to {SHARES_MAX}")]
    Centres {
        /// Its place, from 1.
        rule: usize,
        /// How many.
        count: usize,
    },
    /// A cost centre without a name of its own.
    #[error("rule {rule}: a cost centre has no name, or one that stands there twice")]
    NoName {
        /// Its place, from 1.
        rule: usize,
    },
    /// A share that is no percentage.
    #[error(
        "rule {rule}: the share of `{centre}` must be a whole number, or a decimal as a text such as \
         \"33.3\", above 0 and of at most {SHARE_DIGITS_MAX} digits"
    )]
    NotAShare {
        /// Its place, from 1.
        rule: usize,
        /// Whose.
        centre: String,
    },
    /// Shares that are not the whole.
    #[error("rule {rule}: its shares are {sum} percent in all, and must be 100")]
    NotWhole {
        /// Its place, from 1.
        rule: usize,
        /// What they come to.
        sum: Decimal,
    },
}

/// Rules that can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    name: Text,
    matches: Vec<(&'static str, Vec<String>)>,
    /// Cost centres and their shares of one.
    shares: Vec<(Text, Decimal)>,
}

/// A part of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The name of the rule; `None` where none takes the row.
    pub rule: Option<Text>,
    /// Who pays; `None` where nobody does: it is unallocated.
    pub centre: Option<Text>,
    /// Its part of the amount; `None` where no price is known.
    pub amount: Option<Decimal>,
    /// Its part of the quantity; `None` where it was not told.
    pub quantity: Option<Decimal>,
}

impl Rules {
    /// Checks rules.
    ///
    /// # Errors
    /// The first one that cannot be meant.
    pub fn new(stated: &[StatedRule]) -> Result<Self, RuleError> {
        if stated.len() > RULES_MAX {
            return Err(RuleError::TooMany(stated.len()));
        }
        let rules = (1..).zip(stated).map(|(number, stated)| Rule::new(number, stated));
        rules.collect::<Result<_, _>>().map(Self)
    }

    /// The parts of a row: they add up to it exactly.
    #[must_use]
    pub fn allocate(&self, row: &Charged) -> Vec<Part> {
        let Some(rule) = self.0.iter().find(|rule| rule.takes(row)) else {
            let (amount, quantity) = (row.amount.clone(), row.quantity.clone());
            return vec![Part { rule: None, centre: None, amount, quantity }];
        };
        let part = |(centre, share): &(Text, Decimal)| {
            let of = |whole: &Option<Decimal>| whole.as_ref().map(|whole| whole.times(share));
            Part {
                rule: Some(Text::clone(&rule.name)),
                centre: Some(Text::clone(centre)),
                amount: of(&row.amount),
                quantity: of(&row.quantity),
            }
        };
        rule.shares.iter().map(part).collect()
    }
}

impl Rule {
    fn new(number: usize, stated: &StatedRule) -> Result<Self, RuleError> {
        let matches = stated.matches.iter().map(|(label, patterns)| {
            let known =
                LABELS.iter().copied().find(|known| known == label).ok_or_else(|| {
                    RuleError::UnknownLabel { rule: number, label: label.clone() }
                })?;
            Ok((known, patterns.checked(number, known)?))
        });
        let name = stated.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        Ok(Self {
            name: name.map_or_else(|| format!("rule {number}").into(), Text::from),
            matches: matches.collect::<Result<_, _>>()?,
            shares: stated.to.checked(number)?,
        })
    }

    fn takes(&self, row: &Charged) -> bool {
        self.matches.iter().all(|(label, patterns)| {
            patterns.iter().any(|pattern| match *label {
                "provider" => is_provider(pattern, &row.provider),
                "project" => {
                    is_named(pattern, &row.project) || is_named(pattern, &row.project_name)
                }
                "key" => is_named(pattern, &row.key) || is_named(pattern, &row.key_name),
                "model" => is_model(pattern, &row.model),
                "agent" => row.tags.get("agent").is_some_and(|agent| is_named(pattern, agent)),
                _ => pattern.split_once('=').is_some_and(|(name, value)| {
                    row.tags.get(name).is_some_and(|tag| is_named(value, tag))
                }),
            })
        })
    }
}

/// What was not told matches nothing, not even `*`.
fn is_named(pattern: &str, name: &str) -> bool {
    !name.is_empty() && matches(pattern, name)
}

fn is_provider(pattern: &str, provider: &str) -> bool {
    is_named(pattern, provider)
        || (!pattern.contains('*')
            && prices::provider_key(pattern) == prices::provider_key(provider))
}

fn is_model(pattern: &str, model: &str) -> bool {
    is_named(pattern, model)
        || (!pattern.contains('*')
            && !model.is_empty()
            && prices::model_key(pattern) == prices::model_key(model))
}

impl Patterns {
    fn checked(&self, rule: usize, label: &str) -> Result<Vec<String>, RuleError> {
        let patterns = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        };
        if patterns.is_empty() || patterns.iter().any(|pattern| pattern.trim().is_empty()) {
            return Err(RuleError::NoPattern { rule, label: label.to_owned() });
        }
        if label == "tag" && !patterns.iter().all(|pattern| pattern.contains('=')) {
            return Err(RuleError::NotATag { rule });
        }
        Ok(patterns.to_vec())
    }
}

impl Shares {
    /// Cost centres and their shares of one.
    fn checked(&self, rule: usize) -> Result<Vec<(Text, Decimal)>, RuleError> {
        let parts: Vec<(&str, Decimal)> = match self {
            Self::All(centre) => vec![(centre, Decimal::from(HUNDRED))],
            Self::Parts(parts) => {
                let part = |(centre, percent): (&'_ String, &Percent)| {
                    percent
                        .checked()
                        .ok_or_else(|| RuleError::NotAShare { rule, centre: centre.clone() })
                };
                let shares = parts.iter().map(part).collect::<Result<Vec<_>, _>>()?;
                parts.keys().map(String::as_str).zip(shares).collect()
            }
        };
        if parts.is_empty() || parts.len() > SHARES_MAX {
            return Err(RuleError::Centres { rule, count: parts.len() });
        }
        let names: BTreeSet<&str> = parts.iter().map(|(centre, _)| centre.trim()).collect();
        if names.contains("") || names.len() < parts.len() {
            return Err(RuleError::NoName { rule });
        }
        let sum = parts.iter().fold(Decimal::ZERO, |sum, (_, share)| sum.plus(share));
        if sum != Decimal::from(HUNDRED) {
            return Err(RuleError::NotWhole { rule, sum });
        }
        let of_one = |(centre, share): (&str, Decimal)| (centre.trim().into(), share.shifted(-2));
        Ok(parts.into_iter().map(of_one).collect())
    }
}

impl Percent {
    fn checked(&self) -> Option<Decimal> {
        let percent = match self {
            Self::Whole(whole) => Decimal::from(i128::from(*whole)),
            Self::Text(text) => text.parse().ok()?,
            Self::Inexact(_) => return None,
        };
        let is_short = percent.to_string().len() <= SHARE_DIGITS_MAX + 1;
        (is_short && !percent.is_zero() && !percent.is_negative()).then_some(percent)
    }
}

/// Rounds parts to so many places so that they still add up: to their sum, rounded. Each is cut off,
/// and what is left over goes, a unit each, to those that lost most, the first of equal ones first.
#[must_use]
pub fn apportion(parts: &[Decimal], places: u16) -> Vec<Decimal> {
    let sum = |parts: &[Decimal]| parts.iter().fold(Decimal::ZERO, |sum, part| sum.plus(part));
    let mut rounded: Vec<Decimal> = parts.iter().map(|part| part.clone().cut(places)).collect();
    let left = sum(parts).rounded(places).minus(&sum(&rounded));
    let unit = Decimal::from(if left.is_negative() { -1 } else { 1 }).shifted(-i32::from(places));
    let units = left.abs().shifted(places.into()).to_count().unwrap_or(0);
    let mut losses: Vec<(Decimal, usize)> = parts
        .iter()
        .zip(&rounded)
        .zip(0..)
        .map(|((part, cut), at)| {
            let lost = part.minus(cut);
            (if unit.is_negative() { Decimal::ZERO.minus(&lost) } else { lost }, at)
        })
        .collect();
    losses.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
    let given = usize::try_from(units).unwrap_or(usize::MAX);
    for (_, at) in losses.iter().cycle().take(given) {
        if let Some(part) = rounded.get_mut(*at) {
            *part = part.plus(&unit);
        }
    }
    rounded
}

#[cfg(test)]
mod tests;
