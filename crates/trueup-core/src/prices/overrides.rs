//! Prices that the user states: contracts, private models, models that the table does not know yet.
//!
//! Knows how a statement is written and checks it; reading the file that holds it is the binary's.
//!
//! ```toml
//! [[price]]
//! model = "claude-opus-4-8"
//! provider = "anthropic"        # optional: of every provider
//! from_day = "2026-07-01"       # optional: always
//! input_usd_per_mtok = "4.25"
//! output_usd_per_mtok = "21.25"
//! ```

use jiff::civil::Date;
use serde::Deserialize;

use super::class::{ContextBand, ServiceTier};
use super::names;
use super::rates::{Rate, Rates, TokenKind, YoctoUsd};

/// A price that the user states. It replaces the table's entry as a whole, and holds for prompts of
/// any length in the standard tier. Prices are decimal texts, in dollars per million tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The model's name as agents write it, or one of the forms that the matching rules reach.
    pub model: String,
    /// The only provider for which it holds.
    #[serde(default)]
    pub provider: Option<String>,
    /// The first UTC day on which it holds.
    #[serde(default)]
    pub from_day: Option<Date>,
    /// Prompt tokens outside any cache.
    #[serde(default)]
    pub input_usd_per_mtok: Option<String>,
    /// Completion tokens, reasoning included.
    #[serde(default)]
    pub output_usd_per_mtok: Option<String>,
    /// Prompt tokens read from a cache.
    #[serde(default)]
    pub cache_read_usd_per_mtok: Option<String>,
    /// Prompt tokens written to a cache for five minutes, or for an unknown time.
    #[serde(default)]
    pub cache_write_5m_usd_per_mtok: Option<String>,
    /// Prompt tokens written to a cache for one hour.
    #[serde(default)]
    pub cache_write_1h_usd_per_mtok: Option<String>,
    /// There is nothing to pay. Excludes prices.
    #[serde(default)]
    pub free: bool,
}

/// Why a stated price cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// No model is named.
    #[error("price {number} names no model")]
    NoModel {
        /// Its place among the stated prices, from 1.
        number: usize,
    },
    /// A price is not a number that can be used exactly.
    #[error(
        "price of `{model}`: {field} = \"{value}\" is not a plain decimal of at most 18 decimals \
         between 0 and 10000"
    )]
    NotAPrice {
        /// The model.
        model: String,
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// A price without which no call can be priced is missing.
    #[error("price of `{model}`: {field} is missing, and it is not `free`")]
    Missing {
        /// The model.
        model: String,
        /// The field.
        field: &'static str,
    },
    /// It is both free and not.
    #[error("price of `{model}`: it is `free` and has {field}")]
    FreeButPriced {
        /// The model.
        model: String,
        /// The field that states a price.
        field: &'static str,
    },
    /// Two prices hold for the same calls.
    #[error("price of `{model}` is stated twice for the same provider and day")]
    Twice {
        /// The model.
        model: String,
    },
}

/// A stated price that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) model: String,
    provider: Option<String>,
    from_day: Option<Date>,
    pub(super) rates: Rates,
}

impl Stated {
    pub(super) fn all_of(overrides: &[Override]) -> Result<Vec<Self>, OverrideError> {
        let mut checked: Vec<Self> = Vec::with_capacity(overrides.len());
        for (number, stated) in (1..).zip(overrides) {
            let stated = Self::of(number, stated)?;
            if checked.iter().any(|other| other.has_same_scope(&stated)) {
                return Err(OverrideError::Twice { model: stated.model });
            }
            checked.push(stated);
        }
        Ok(checked)
    }

    fn of(number: usize, stated: &Override) -> Result<Self, OverrideError> {
        let model = stated.model.trim().to_owned();
        if model.is_empty() {
            return Err(OverrideError::NoModel { number });
        }
        let provider = stated.provider.as_ref().map(|provider| provider.trim().to_lowercase());
        let rates = Rates {
            listed: listed(&model, stated)?,
            is_free: stated.free,
            has_anthropic_rules: provider.as_deref().is_some_and(names::is_anthropic),
            ..Rates::default()
        };
        Ok(Self { model, provider, from_day: stated.from_day, rates })
    }

    fn has_same_scope(&self, other: &Self) -> bool {
        (&self.model, &self.provider, self.from_day)
            == (&other.model, &other.provider, other.from_day)
    }

    /// The first day on which it holds, unless it always does.
    pub(super) fn first_day(&self) -> Option<Date> {
        self.from_day
    }

    /// Whether it is meant for this call, and if so how exactly: a named provider goes before none,
    /// then the latest day.
    pub(super) fn precedence(
        &self,
        provider: &str,
        model: &str,
        day: Date,
    ) -> Option<(bool, Option<Date>)> {
        let is_meant = self.model == model
            && self.provider.as_ref().is_none_or(|own| names::is_same(own, provider))
            && self.from_day.is_none_or(|from| from <= day);
        is_meant.then_some((self.provider.is_some(), self.from_day))
    }
}

fn listed(model: &str, stated: &Override) -> Result<Vec<Rate>, OverrideError> {
    let fields = [
        (TokenKind::Input, "input_usd_per_mtok", &stated.input_usd_per_mtok),
        (TokenKind::Output, "output_usd_per_mtok", &stated.output_usd_per_mtok),
        (TokenKind::CacheRead, "cache_read_usd_per_mtok", &stated.cache_read_usd_per_mtok),
        (
            TokenKind::CacheWrite5m,
            "cache_write_5m_usd_per_mtok",
            &stated.cache_write_5m_usd_per_mtok,
        ),
        (
            TokenKind::CacheWrite1h,
            "cache_write_1h_usd_per_mtok",
            &stated.cache_write_1h_usd_per_mtok,
        ),
    ];
    let mut rates = Vec::new();
    for (kind, field, value) in fields {
        match (value, stated.free) {
            (Some(value), false) => rates.push(rate(model, kind, field, value)?),
            (Some(_), true) => {
                return Err(OverrideError::FreeButPriced { model: model.to_owned(), field });
            }
            (None, false) if matches!(kind, TokenKind::Input | TokenKind::Output) => {
                return Err(OverrideError::Missing { model: model.to_owned(), field });
            }
            (None, _) => {}
        }
    }
    Ok(rates)
}

fn rate(
    model: &str,
    kind: TokenKind,
    field: &'static str,
    value: &str,
) -> Result<Rate, OverrideError> {
    let per_token = YoctoUsd::from_usd_per_mtok(value.trim()).ok_or_else(|| {
        OverrideError::NotAPrice { model: model.to_owned(), field, value: value.to_owned() }
    })?;
    Ok(Rate { kind, tier: ServiceTier::Standard, above: ContextBand::Base, per_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priced(model: &str) -> Override {
        Override {
            model: model.to_owned(),
            input_usd_per_mtok: Some("1.25".to_owned()),
            output_usd_per_mtok: Some("10".to_owned()),
            ..Override::default()
        }
    }

    #[test]
    fn a_wrong_statement_is_refused_by_name() {
        let with = |change: fn(&mut Override)| {
            let mut stated = priced("m");
            change(&mut stated);
            Stated::all_of(&[stated]).unwrap_err().to_string()
        };
        assert_eq!(with(|it| it.model = " ".to_owned()), "price 1 names no model");
        assert_eq!(
            with(|it| it.output_usd_per_mtok = None),
            "price of `m`: output_usd_per_mtok is missing, and it is not `free`"
        );
        assert_eq!(
            with(|it| it.free = true),
            "price of `m`: it is `free` and has input_usd_per_mtok"
        );
        assert_eq!(
            with(|it| it.cache_read_usd_per_mtok = Some("1,5".to_owned())),
            "price of `m`: cache_read_usd_per_mtok = \"1,5\" is not a plain decimal of at most 18 \
             decimals between 0 and 10000"
        );
        assert_eq!(
            Stated::all_of(&[priced("m"), priced("m")]).unwrap_err(),
            OverrideError::Twice { model: "m".to_owned() }
        );
    }

    #[test]
    fn it_is_read_by_field_name_and_a_misspelt_field_is_refused() {
        let read = serde_json::from_str::<Override>;
        let stated = read(r#"{"model":"m","from_day":"2026-07-01","free":true}"#).unwrap();
        assert_eq!(stated.from_day, Some(jiff::civil::date(2026, 7, 1)));
        assert!(read(r#"{"model":"m","input_per_mtok":"1"}"#).is_err());
        assert!(read(r#"{"free":true}"#).is_err());
    }
}
