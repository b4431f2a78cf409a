//! How much two sums of one cell differ, and whether that is tolerated.

use super::{Class, Quantity, Severity, Sums};
use crate::Decimal;

/// How much may differ: in ten-thousandths of what the other side says, and below which amount at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tolerance {
    /// Up to this it is within tolerance.
    pub warn_e4: u32,
    /// Up to this it is told, and does not fail.
    pub fail_e4: u32,
    /// A difference of no more than this is within tolerance, whatever it is a part of.
    pub floor: Decimal,
}

/// The tolerances of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tolerances {
    /// Tokens of the account against a provider's.
    pub tokens: Tolerance,
    /// Requests of the account against a provider's.
    pub requests: Tolerance,
    /// Dollars: the account's calls by the price table against what was charged.
    pub cost: Tolerance,
    /// Dollars of a provider against those of its own statement.
    pub statement_cost: Tolerance,
}

impl Default for Tolerances {
    fn default() -> Self {
        let of = |warn_e4, fail_e4, floor: Decimal| Tolerance { warn_e4, fail_e4, floor };
        Self {
            tokens: of(50, 200, Decimal::from(1_000)),
            requests: of(100, 100, Decimal::ZERO),
            cost: of(100, 500, Decimal::from(5).shifted(-2)),
            statement_cost: of(0, 0, Decimal::from(1).shifted(-6)),
        }
    }
}

impl Tolerance {
    /// Nothing may differ.
    pub(super) const EXACT: Self = Self { warn_e4: 0, fail_e4: 0, floor: Decimal::ZERO };

    fn judge(&self, left: &Decimal, right: &Decimal) -> Severity {
        let difference = left.minus(right).abs();
        if difference.is_zero() {
            return Severity::None;
        }
        if difference <= self.floor {
            return Severity::Info;
        }
        let is_above = |part_e4: u32| {
            difference.clone().shifted(4) > right.clone().abs().times(&part_e4.into())
        };
        match (is_above(self.fail_e4), is_above(self.warn_e4)) {
            (true, _) => Severity::Fail,
            (false, true) => Severity::Warn,
            (false, false) => Severity::Info,
        }
    }
}

/// The tolerances of one pair of sides.
#[derive(Debug, Clone)]
pub(super) struct Measure {
    pub(super) tokens: Tolerance,
    pub(super) requests: Tolerance,
    pub(super) cost: Tolerance,
}

/// What two sums come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) severity: Severity,
    pub(super) class: Class,
}

impl Measure {
    /// Compares every quantity that both sides tell, and all tokens together.
    pub(super) fn judge(&self, left: &Sums, right: &Sums, quantities: &[Quantity]) -> Judged {
        let of = |quantity: Quantity, tolerance: &Tolerance| {
            tolerance.judge(&left.or_zero(quantity), &right.or_zero(quantity))
        };
        let kinds = quantities.iter().filter(|quantity| quantity.is_tokens());
        let tokens = kinds
            .map(|quantity| of(*quantity, &self.tokens))
            .chain([self.tokens.judge(&left.tokens(), &right.tokens())])
            .max()
            .unwrap_or(Severity::None);
        let one = |quantity: Quantity, tolerance: &Tolerance| {
            if quantities.contains(&quantity) { of(quantity, tolerance) } else { Severity::None }
        };
        let requests = one(Quantity::Requests, &self.requests);
        let cost = one(Quantity::Cost, &self.cost);
        let all = [
            (tokens, Class::MismatchTokens),
            (cost, Class::MismatchCost),
            (requests, Class::MismatchRequests),
        ];
        // The first of the worst: tokens explain requests, not the other way round.
        let severity = tokens.max(cost).max(requests);
        let class = match severity {
            Severity::None => Class::Match,
            Severity::Info => Class::WithinTolerance,
            Severity::Warn | Severity::Fail => all
                .iter()
                .find(|(one, _)| *one >= Severity::Warn)
                .map_or(Class::MismatchTokens, |(_, class)| *class),
        };
        Judged { severity, class }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_where_they_are_said_to_be() {
        let tokens = Tolerances::default().tokens;
        let judge =
            |left: i128, right: i128| tokens.judge(&Decimal::from(left), &Decimal::from(right));
        assert_eq!(judge(1_000_000, 1_000_000), Severity::None);
        assert_eq!(judge(0, 1_000), Severity::Info, "the floor itself");
        assert_eq!(judge(0, 1_001), Severity::Fail);
        assert_eq!(judge(995_000, 1_000_000), Severity::Info, "0.5 %");
        assert_eq!(judge(994_999, 1_000_000), Severity::Warn);
        assert_eq!(judge(980_000, 1_000_000), Severity::Warn, "2 %");
        assert_eq!(judge(979_999, 1_000_000), Severity::Fail);
        let cost = Tolerances::default().cost;
        let judge =
            |left: &str, right: &str| cost.judge(&left.parse().unwrap(), &right.parse().unwrap());
        assert_eq!(judge("0.05", "0.1"), Severity::Info, "five cents");
        assert_eq!(judge("9.90", "10"), Severity::Info);
        assert_eq!(judge("9.5", "10"), Severity::Warn);
        assert_eq!(judge("9.499999", "10"), Severity::Fail);
        let exact = Tolerances::default().statement_cost;
        assert_eq!(
            exact.judge(&"1.000001".parse().unwrap(), &"1".parse().unwrap()),
            Severity::Info
        );
        assert_eq!(
            exact.judge(&"1.0000011".parse().unwrap(), &"1".parse().unwrap()),
            Severity::Fail
        );
    }
}
