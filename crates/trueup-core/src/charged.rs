//! What usage cost, row by row, and who says so: what exports are made of.
//!
//! A row is either *billed*, as a provider charged it, or an *estimate*, the account's own calls at the
//! prices of the table, or *unpriced*, calls of which only the tokens are known. They are never added to
//! each other. Nothing here rounds, and what is not known is not zero.
//!
//! ```
//! use trueup_core::{Basis, Charged, ChargedSums, UnixMs};
//! let row = |project: &str, amount: &str| Charged {
//!     project: project.into(),
//!     amount: amount.parse().ok(),
//!     ..Charged::new(UnixMs(0), "openai", Basis::Billed)
//! };
//! let mut sums = ChargedSums::default();
//! for row in [row("web", "0.10"), row("web", "0.02"), row("api", "7")] {
//!     sums.add(row);
//! }
//! let amounts: Vec<_> = sums.into_rows().map(|row| row.amount.unwrap().to_string()).collect();
//! assert_eq!(amounts, ["7", "0.12"]);
//! ```

use std::collections::BTreeMap;

use crate::{DAY_MS, Decimal, Measure, Text, UnixMs};

/// Who says what something cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// The provider charged it.
    Billed,
    /// The account knows the usage, and the price table its price.
    Estimate,
    /// The account knows the usage, and nobody its price.
    Unpriced,
}

impl Basis {
    /// Every basis, in the order of output.
    pub const ALL: [Self; 3] = [Self::Billed, Self::Estimate, Self::Unpriced];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Billed => "billed",
            Self::Estimate => "estimate",
            Self::Unpriced => "unpriced",
        }
    }
}

/// One row of what something cost. A text that is empty was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charged {
    /// Where its time begins, in UTC.
    pub from: UnixMs,
    /// Where it ends.
    pub until: UnixMs,
    /// The id of the provider, or its name where trueup knows none such.
    pub provider: Text,
    /// The account that is charged: a connection, or what a statement calls it.
    pub account: Text,
    /// Who says so.
    pub basis: Basis,
    /// How far it stands: the state of a provider's bucket, or the witness of the account.
    pub state: Text,
    /// Whether the provider corrected it after its month was over.
    pub is_correction: bool,
    /// What kind of charge it is, as a bill says: `Usage`, `Tax`, `Credit`…
    pub category: Text,
    /// What kind of service it is for, as a bill says: `AI and Machine Learning`, `Compute`…
    pub service_category: Text,
    /// What that service is called, as a bill says: `Azure OpenAI`.
    pub service_name: Text,
    /// The model, exactly as it was told.
    pub model: Text,
    /// What kind of tokens; `None` where it is for all of them, or for none.
    pub measure: Option<Measure>,
    /// The tier.
    pub tier: Text,
    /// The project.
    pub project: Text,
    /// What it is called.
    pub project_name: Text,
    /// The key.
    pub key: Text,
    /// What it is called.
    pub key_name: Text,
    /// What the provider calls it, in its own words.
    pub item: Text,
    /// What else was told of it: user, agent, kind of session…
    pub tags: BTreeMap<Text, Text>,
    /// How much; `None` where no price is known.
    pub amount: Option<Decimal>,
    /// The currency, in upper case.
    pub currency: Text,
    /// Of how much; `None` where it was not told.
    pub quantity: Option<Decimal>,
    /// What that counts; empty where there is no quantity.
    pub unit: Text,
    /// How many rows of its source it is the sum of.
    pub rows: u64,
}

impl Charged {
    /// A row of a day that says nothing yet, in dollars.
    #[must_use]
    pub fn new(day: UnixMs, provider: &str, basis: Basis) -> Self {
        let none = Text::default;
        Self {
            from: day,
            until: UnixMs(day.0 + DAY_MS),
            provider: provider.into(),
            account: none(),
            basis,
            state: none(),
            is_correction: false,
            category: none(),
            service_category: none(),
            service_name: none(),
            model: none(),
            measure: None,
            tier: none(),
            project: none(),
            project_name: none(),
            key: none(),
            key_name: none(),
            item: none(),
            tags: BTreeMap::new(),
            amount: None,
            currency: "USD".into(),
            quantity: None,
            unit: none(),
            rows: 1,
        }
    }

    /// Whether money comes back.
    #[must_use]
    pub fn is_credit(&self) -> bool {
        self.amount.as_ref().is_some_and(Decimal::is_negative)
    }

    fn plus(&mut self, row: Self) {
        let sum = |one: Option<Decimal>, two: Option<Decimal>| match (one, two) {
            (Some(one), Some(two)) => Some(one.plus(&two)),
            (one, two) => one.or(two),
        };
        self.amount = sum(self.amount.take(), row.amount);
        self.quantity = sum(self.quantity.take(), row.quantity);
        self.rows = self.rows.saturating_add(row.rows);
        self.tags.retain(|name, value| row.tags.get(name) == Some(value));
    }
}

/// What one sum is of: all but names and tags. Money of two currencies is never added, nor a quantity to one that
/// was not told; what comes back is not taken from what was charged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SumKey {
    times: (UnixMs, UnixMs),
    who: [Text; 3],
    basis: Basis,
    is_credit: bool,
    is_correction: bool,
    what: [Text; 5],
    service: [Text; 3],
    measure: Option<Measure>,
    has: (bool, bool),
    units: [Text; 2],
}

/// Rows added up: one for each time, model, kind of token, tier, project and key. A sum has the tags
/// that all its rows share.
#[derive(Debug, Clone, Default)]
pub struct ChargedSums(BTreeMap<SumKey, Charged>);

impl ChargedSums {
    /// Adds a row.
    pub fn add(&mut self, row: Charged) {
        let Charged { provider, account, state, model, tier, project, key, item, .. } = &row;
        let who = [provider, account, state].map(Text::clone);
        let what = [model, tier, project, key, item].map(Text::clone);
        let service = [&row.category, &row.service_category, &row.service_name].map(Text::clone);
        let key = SumKey {
            times: (row.from, row.until),
            who,
            basis: row.basis,
            is_credit: row.is_credit(),
            is_correction: row.is_correction,
            what,
            service,
            measure: row.measure,
            has: (row.amount.is_some(), row.quantity.is_some()),
            units: [&row.currency, &row.unit].map(Text::clone),
        };
        match self.0.get_mut(&key) {
            Some(sum) => sum.plus(row),
            None => drop(self.0.insert(key, row)),
        }
    }

    /// The sums, in order of time.
    pub fn into_rows(self) -> impl Iterator<Item = Charged> {
        self.0.into_values()
    }
}
