//! Usage: what calls add up to.
//!
//! [`Counters`] are sums over calls; a [`Series`] says of what. Sums keep apart whatever decides a
//! price, so that they can be priced later, by any price table, as exactly as each call alone. This
//! module does not know of time: a sum is of whatever span its owner says.

use crate::{Call, NanoUsd, Origin, Outcome, PriceClass, SessionTotal, Text, Tokens};

/// Who said so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Witness {
    /// Records of single calls.
    #[default]
    Measured,
    /// Totals that an agent reports about itself.
    Claimed,
}

/// What a sum is a sum of. All calls of one series have one price per token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Series {
    /// Who said so.
    pub witness: Witness,
    /// The source id.
    pub source: Text,
    /// The provider as the source names it.
    pub provider: Text,
    /// The model as the source names it.
    pub model: Text,
    /// The project.
    pub project: Text,
    /// The kind of session.
    pub kind: Text,
    /// Tier, speed, region and length of prompt.
    pub class: PriceClass,
    /// Whether each call came with a cost of its own.
    pub has_reported_cost: bool,
    /// The device, where sums are told apart by it; empty everywhere else.
    pub device: Text,
}

/// A sum over calls of one series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Counters {
    /// Calls, failed ones included.
    pub calls: u64,
    /// Failed calls.
    pub errors: u64,
    /// Tokens.
    pub tokens: Tokens,
    /// What agents or gateways said that the calls cost.
    pub reported_cost: NanoUsd,
}

impl Counters {
    /// What one call adds.
    #[must_use]
    pub fn of_call(call: &Call) -> Self {
        Self {
            calls: 1,
            errors: u64::from(call.outcome != Outcome::Ok),
            tokens: call.tokens,
            reported_cost: call.reported_cost.unwrap_or_default(),
        }
    }

    /// What a claimed run adds: its usage, and one call, for nobody measured how many it made.
    #[must_use]
    pub fn of_claim(claim: &SessionTotal) -> Self {
        let reported_cost = claim.reported_cost.unwrap_or_default();
        Self { calls: 1, errors: 0, tokens: claim.tokens, reported_cost }
    }

    /// The sum of two.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            errors: self.errors.saturating_add(other.errors),
            tokens: self.tokens.plus(&other.tokens),
            reported_cost: self.reported_cost.plus(other.reported_cost),
        }
    }

    /// The difference, for taking out what was added before.
    #[must_use]
    pub const fn minus(&self, other: &Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            errors: self.errors.saturating_sub(other.errors),
            tokens: self.tokens.minus(&other.tokens),
            reported_cost: NanoUsd(self.reported_cost.0.saturating_sub(other.reported_cost.0)),
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Series {
    /// The series of one call.
    #[must_use]
    pub fn of_call(call: &Call) -> Self {
        let class = call.billing.class(call.tokens.prompt());
        Self::new(Witness::Measured, &call.origin, class, call.reported_cost)
    }

    /// Whether a call is of this series, told without making one.
    #[must_use]
    pub fn is_of(&self, call: &Call) -> bool {
        let Origin { source, provider, model, project, kind, session: _ } = &call.origin;
        // What differs most often first.
        (&self.model, &self.project, &self.kind) == (model, project, kind)
            && self.class == call.billing.class(call.tokens.prompt())
            && self.has_reported_cost == call.reported_cost.is_some()
            && self.witness == Witness::Measured
            && (&self.source, &self.provider) == (source, provider)
    }

    /// The series of a claimed total. A total says nothing of the single prompts in it: it is priced
    /// at the base rate.
    #[must_use]
    pub fn of_claim(claim: &SessionTotal) -> Self {
        Self::new(Witness::Claimed, &claim.origin, PriceClass::default(), claim.reported_cost)
    }

    fn new(
        witness: Witness,
        origin: &Origin,
        class: PriceClass,
        reported_cost: Option<NanoUsd>,
    ) -> Self {
        Self {
            witness,
            source: origin.source.clone(),
            provider: origin.provider.clone(),
            model: origin.model.clone(),
            project: origin.project.clone(),
            kind: origin.kind.clone(),
            class,
            has_reported_cost: reported_cost.is_some(),
            device: Text::default(),
        }
    }
}
