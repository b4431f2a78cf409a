//! Requests over midnight.

use std::collections::BTreeMap;

use super::cell::{Leaf, Part, exact, sum, sum_of};
use super::{Class, Quantity, Severity, Side};
use crate::prices::model_key;
use crate::{DAY_MS, HOUR_MS};

/// Requests that ran over midnight stand on one day for one side and on the next for the other: both
/// days differ by the same, and the account has at least as much within an hour of that midnight.
pub(super) fn shift_over_midnight(leaves: &mut [Leaf<'_>], quantities: &[Quantity]) {
    let mut by_model: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
    for (at, leaf) in leaves.iter().enumerate() {
        let is_own = leaf.left.iter().all(|part| part.row.side == Side::Account);
        if is_own && may_have_moved(leaf.class) {
            let model = leaf.cell.labels.model.as_ref().map(|model| model_key(model).to_owned());
            by_model.entry(model).or_default().push(at);
        }
    }
    for places in by_model.into_values() {
        for (at, one) in places.iter().enumerate() {
            for next in places.get(at + 1..).unwrap_or_default() {
                let moved = leaves.get(*one).zip(leaves.get(*next)).is_some_and(|(one, next)| {
                    may_have_moved(one.class)
                        && may_have_moved(next.class)
                        && is_shift(one, next, quantities)
                });
                for at in [one, next].into_iter().filter(|_| moved) {
                    if let Some(leaf) = leaves.get_mut(*at) {
                        (leaf.class, leaf.severity) = (Class::BoundaryShift, Severity::Info);
                    }
                }
            }
        }
    }
}

/// Whether a difference may be one of days.
const fn may_have_moved(class: Class) -> bool {
    matches!(
        class,
        Class::MismatchTokens
            | Class::MismatchRequests
            | Class::MismatchCost
            | Class::MissingLocal
            | Class::MissingProvider
    )
}

fn is_shift(first: &Leaf<'_>, second: &Leaf<'_>, quantities: &[Quantity]) -> bool {
    let is_next = second.cell.day.0 - first.cell.day.0 == DAY_MS;
    let difference = |leaf: &Leaf<'_>, quantity: Quantity| {
        exact(&leaf.left).or_zero(quantity).minus(&sum(&leaf.right).or_zero(quantity))
    };
    let near = |leaf: &Leaf<'_>, is_start: bool| {
        let is_near = |part: &&Part<'_>| {
            let past = part.row.start.0.rem_euclid(DAY_MS);
            let is_near = if is_start { past < HOUR_MS } else { past >= DAY_MS - HOUR_MS };
            is_near && !part.row.is_estimated
        };
        sum_of(leaf.left.iter().filter(is_near))
    };
    let mut is_any = false;
    let is_moved = quantities.iter().all(|quantity| {
        let (one, two) = (difference(first, *quantity), difference(second, *quantity));
        is_any |= !one.is_zero();
        let later = near(second, true).or_zero(*quantity);
        let sooner = near(first, false).or_zero(*quantity);
        // Whichever day has more in the account has it near that midnight.
        let is_near = if two.is_negative() { one <= sooner } else { two <= later };
        one.plus(&two).is_zero() && is_near
    });
    is_next && is_any && is_moved
}
