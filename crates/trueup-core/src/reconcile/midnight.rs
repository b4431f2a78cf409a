//! Requests over midnight.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::cell::{Leaf, Part, exact, sum, sum_of};
use super::{Class, Quantity, Severity, Side, Sums};
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
                let Some((first, second)) = leaves.get(*one).zip(leaves.get(*next)) else {
                    continue;
                };
                // They stand in the order of their days.
                match (second.cell.day.0 - first.cell.day.0).cmp(&DAY_MS) {
                    Ordering::Less => continue,
                    Ordering::Equal => {}
                    Ordering::Greater => break,
                }
                let moved = may_have_moved(first.class)
                    && may_have_moved(second.class)
                    && is_shift(first, second, quantities);
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

/// Whether two days that follow each other differ by what lies near the midnight between them.
fn is_shift(first: &Leaf<'_>, second: &Leaf<'_>, quantities: &[Quantity]) -> bool {
    let sides = |leaf: &Leaf<'_>| (exact(&leaf.left), sum(&leaf.right));
    let near = |leaf: &Leaf<'_>, is_start: bool| {
        let is_near = |part: &&Part<'_>| {
            let past = part.row.start.0.rem_euclid(DAY_MS);
            let is_near = if is_start { past < HOUR_MS } else { past >= DAY_MS - HOUR_MS };
            is_near && !part.row.is_estimated
        };
        sum_of(leaf.left.iter().filter(is_near))
    };
    let (sides_first, sides_second) = (sides(first), sides(second));
    let (sooner, later) = (near(first, false), near(second, true));
    let mut is_any = false;
    let is_moved = quantities.iter().all(|of| {
        let difference = |(own, other): &(Sums, Sums)| own.or_zero(*of).minus(&other.or_zero(*of));
        let (one, two) = (difference(&sides_first), difference(&sides_second));
        is_any |= !one.is_zero();
        // Whichever day has more in the account has it near that midnight.
        let is_near =
            if two.is_negative() { one <= sooner.or_zero(*of) } else { two <= later.or_zero(*of) };
        one.plus(&two).is_zero() && is_near
    });
    is_any && is_moved
}
