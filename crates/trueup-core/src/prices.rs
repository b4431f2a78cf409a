//! What calls cost by the published price lists.
//!
//! Knows the embedded table of prices, the prices that the user states instead, which of them a
//! provider and a model mean, and what tokens cost at them. Refuses to guess: a model is found by
//! its whole name or not at all, and tokens for which no price is published make a call *unpriced*,
//! which is never zero. `docs/prices.md` gives the rules in full.
//!
//! ```
//! use jiff::civil::date;
//! use trueup_core::Tokens;
//! use trueup_core::prices::{PriceBook, PriceClass};
//!
//! let book = PriceBook::embedded();
//! let listing = book.find("anthropic", "claude-haiku-4-5", date(2026, 11, 20)).unwrap();
//! let tokens = Tokens { input: 620, cache_read: 400, output: 52, ..Tokens::ZERO };
//! let cost = listing.cost(PriceClass::default(), &tokens).unwrap();
//! assert_eq!(cost.to_nano().to_string(), "0.00092");
//! ```
//!
//! A report adds the tokens of all calls of one model, day and [`PriceClass`], prices the sum, adds
//! the [`YoctoUsd`], and rounds once.

mod class;
mod names;
mod overrides;
mod rates;
mod table;

use jiff::civil::Date;

pub use class::{ContextBand, PriceClass, Region, ServiceTier, Speed};
pub use names::Spelling;
pub use overrides::{Override, OverrideError};
pub use rates::{NoRate, TokenKind, YoctoUsd};
pub use table::TableSource;

use crate::Tokens;
use overrides::Stated;
use rates::Rates;
use table::Row;

/// All known prices: the embedded table, and what the user states instead.
#[derive(Debug, Clone, Default)]
pub struct PriceBook {
    stated: Vec<Stated>,
}

/// The prices that hold for a provider's model, and why these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<'book> {
    /// The name of the entry, as in the table or in the user's statement.
    pub entry: &'book str,
    /// Whose price it is.
    pub basis: Basis,
    /// How the entry's name came from the model's.
    pub spelling: Spelling,
    /// The longest prompt that the model takes, where the table says so.
    pub prompt_tokens_max: Option<u64>,
    rates: Rates,
}

/// Whose price a [`Listing`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// The user stated it.
    Stated,
    /// The provider that served the call publishes it.
    Provider,
    /// The maker of the model, or the seller in the model's name, publishes it; the table has no
    /// price of the provider that served the call.
    List,
}

impl PriceBook {
    /// The prices of the embedded table.
    #[must_use]
    pub const fn embedded() -> Self {
        Self { stated: Vec::new() }
    }

    /// The prices of the embedded table, except where the user states others.
    pub fn with_overrides(overrides: &[Override]) -> Result<Self, OverrideError> {
        Ok(Self { stated: Stated::all_of(overrides)? })
    }

    /// Where the embedded table comes from.
    #[must_use]
    pub fn source() -> TableSource {
        TableSource::embedded()
    }

    /// The days on which a stated price begins. Calls before and after such a day must not be priced
    /// as one sum.
    pub fn change_days(&self) -> impl Iterator<Item = Date> {
        self.stated.iter().filter_map(Stated::first_day)
    }

    /// The prices for calls of this model, served by this provider (empty where unknown), on this
    /// UTC day. `None`: the model is unpriced.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str, day: Date) -> Option<Listing<'_>> {
        let model = model.trim();
        if model.is_empty() || model.len() > names::MODEL_BYTES_MAX {
            return None;
        }
        let provider = provider.trim().to_lowercase();
        self.stated(&provider, model, day).or_else(|| published(&provider, model))
    }

    /// What the user states for the model's name in any spelling, with or without the seller that
    /// stands in it.
    fn stated(&self, provider: &str, model: &str, day: Date) -> Option<Listing<'_>> {
        if self.stated.is_empty() {
            return None;
        }
        for (name, spelling) in names::spellings(model) {
            let best = self
                .stated
                .iter()
                .filter_map(|stated| Some((stated.precedence(provider, name, day)?, stated)))
                .max_by_key(|(precedence, _)| *precedence);
            if let Some((_, stated)) = best {
                return Some(Listing {
                    entry: &stated.model,
                    basis: Basis::Stated,
                    spelling,
                    prompt_tokens_max: None,
                    rates: stated.rates.clone(),
                });
            }
        }
        let (seller, name) = model.split_once('/')?;
        let seller = seller.to_lowercase();
        self.stated(if provider.is_empty() { &seller } else { provider }, name, day)
    }
}

/// What all names of a model share: snapshots, aliases, and the same with a seller before it.
#[must_use]
pub fn model_key(model: &str) -> &str {
    names::model_key(model.trim())
}

/// The one name of a provider that agents call by several.
#[must_use]
pub fn provider_key(provider: &str) -> String {
    names::provider_key(provider)
}

/// What the embedded table says.
fn published(provider: &str, model: &str) -> Option<Listing<'static>> {
    let in_name = model.split_once('/').map(|(seller, name)| (seller.to_lowercase(), name));
    if let Some((seller, name)) = &in_name
        && (provider.is_empty() || names::is_same(provider, seller))
    {
        return table::row(model)
            .map(|row| Listing::of(row, Basis::Provider, Spelling::AsWritten))
            .or_else(|| published(seller, name));
    }
    let spellings = names::spellings(model);
    let first = |price: &dyn Fn(&str) -> Option<Row>, basis| {
        spellings.iter().find_map(|(name, how)| Some(Listing::of(price(name)?, basis, *how)))
    };
    let mut listing = first(&|name| names::own_price(provider, name), Basis::Provider);
    if listing.is_none() && !names::sets_own_prices(provider) {
        listing = match &in_name {
            None => first(&names::list_price, Basis::List),
            Some((seller, name)) => table::row(model)
                .map(|row| Listing::of(row, Basis::List, Spelling::AsWritten))
                .or_else(|| published(seller, name))
                .map(|listing| Listing { basis: Basis::List, ..listing }),
        };
    }
    let mut listing = listing?;
    // Claude models that Anthropic has retired are priced by another seller's row.
    listing.rates.has_anthropic_rules |=
        names::is_anthropic(provider) && model.starts_with("claude-");
    Some(listing)
}

impl Listing<'_> {
    fn of(row: Row, basis: Basis, spelling: Spelling) -> Self {
        let Row { name: entry, seller: _, prompt_tokens_max, rates } = row;
        Self { entry, basis, spelling, prompt_tokens_max, rates }
    }

    /// Whether the model costs nothing, which is known; not to be confused with an unpriced one.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.rates.is_free
    }

    /// What these tokens cost, of one call or of any number of calls of this one class. Linear: the
    /// cost of a sum is the sum of the costs, exactly, as long as no call claims more reasoning than
    /// output.
    pub fn cost(&self, class: PriceClass, tokens: &Tokens) -> Result<YoctoUsd, NoRate> {
        self.rates.cost(class, tokens)
    }
}

#[cfg(test)]
mod tests;
