//! Taking a cell apart, where its sides differ, as finely as both can tell.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::{Leaf, Part, estimated, exact, is_nothing, leaf, sum};
use super::judge::Judged;
use super::outcome::Cell;
use super::pair::Pair;
use super::{Class, Grain, Quantity, Severity, Side, Sums};
use crate::prices::model_key;
use crate::{Decimal, Text};

/// The value of a grain, and the rows of both sides.
type Child<'a> = (Option<Text>, Vec<Part<'a>>, Vec<Part<'a>>);

/// What a cell falls into.
#[derive(Debug)]
enum Children<'a> {
    /// A side cannot tell.
    Unsupported,
    /// One part, which is the whole cell.
    One(Option<Text>),
    /// Several.
    Many(Vec<Child<'a>>),
}

impl<'a> Pair<'a> {
    /// Takes a cell apart, where its sides differ and can tell more.
    pub(super) fn descend(
        &self,
        mut cell: Cell,
        left: Vec<Part<'a>>,
        right: Vec<Part<'a>>,
        grains: &[Grain],
    ) -> Vec<Leaf<'a>> {
        let judged = self.judge(&left, &right);
        let is_alone = is_nothing(&left) || is_nothing(&right);
        if judged.severity <= Severity::Info || is_alone {
            name_what_is_common(&mut cell, &left, &right);
            return leaf(cell, left, right, judged, Vec::new());
        }
        let mut unsupported = Vec::new();
        for (at, grain) in grains.iter().enumerate() {
            // Of a model without a price all is said.
            if judged.class == Class::Unpriced && cell.labels.model.is_some() {
                break;
            }
            let finer = grains.get(at + 1..).unwrap_or_default();
            let children = self.children(*grain, &left, &right);
            match children {
                Children::Unsupported if is_told_apart(*grain, &right) => unsupported.push(*grain),
                Children::Unsupported => {}
                Children::One(label) => cell.labels.set(*grain, label),
                Children::Many(parts) => {
                    return self.apart(cell, *grain, parts, finer, judged, unsupported);
                }
            }
        }
        leaf(cell, left, right, judged, unsupported)
    }

    /// The parts of a cell, each taken apart in turn. Where every part differs in the same way, the cell
    /// as a whole says as much in one line.
    fn apart(
        &self,
        cell: Cell,
        grain: Grain,
        parts: Vec<Child<'a>>,
        finer: &[Grain],
        judged: Judged,
        unsupported: Vec<Grain>,
    ) -> Vec<Leaf<'a>> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let mut leaves = Vec::new();
        for (label, own_left, own_right) in parts {
            left.extend(own_left.iter().copied());
            right.extend(own_right.iter().copied());
            let mut child = cell.clone();
            child.labels.set(grain, label);
            leaves.extend(self.descend(child, own_left, own_right, finer));
        }
        if is_one_story(&leaves, &self.quantities) {
            return leaf(cell, left, right, judged, unsupported);
        }
        for leaf in &mut leaves {
            leaf.unsupported.extend(unsupported.iter().copied());
            leaf.unsupported.sort_unstable();
            leaf.unsupported.dedup();
        }
        leaves
    }

    fn children(&self, grain: Grain, left: &[Part<'a>], right: &[Part<'a>]) -> Children<'a> {
        if !self.is_supported(grain, left, right) {
            return Children::Unsupported;
        }
        let mut children: BTreeMap<Option<Text>, Child<'a>> = BTreeMap::new();
        for (is_left, part) in
            right.iter().map(|part| (false, part)).chain(left.iter().map(|part| (true, part)))
        {
            let label = part.row.labels.get(grain);
            let key = match (grain, label) {
                (Grain::Model, Some(model)) => Some(model_key(model).into()),
                (_, label) => label.cloned(),
            };
            // The second side's name stands for both.
            let child =
                children.entry(key).or_insert_with(|| (label.cloned(), Vec::new(), Vec::new()));
            if is_left { &mut child.1 } else { &mut child.2 }.push(*part);
        }
        let mut children: Vec<Child<'a>> = children.into_values().collect();
        match children.len() {
            0 | 1 => Children::One(children.pop().and_then(|(label, ..)| label)),
            _ => Children::Many(children),
        }
    }

    /// Whether both sides tell a cell apart by a grain, in the same words.
    fn is_supported(&self, grain: Grain, left: &[Part<'_>], right: &[Part<'_>]) -> bool {
        let labels = |parts: &[Part<'_>]| {
            let used = parts.iter().filter(|part| !part.is_nothing());
            used.map(|part| part.row.labels.get(grain).cloned()).collect::<BTreeSet<_>>()
        };
        let (left, right) = (labels(left), labels(right));
        let has_all = |labels: &BTreeSet<Option<Text>>| labels.iter().all(Option::is_some);
        match grain {
            // A charge may be for no model.
            Grain::Model if self.right.is_cost() => {
                has_all(&left) && right.iter().any(Option::is_some)
            }
            Grain::Model => {
                let is_named = |label: &Option<Text>| label.as_ref().is_some_and(|l| !l.is_empty());
                left.iter().chain(&right).all(is_named)
            }
            Grain::Snapshot => left.is_subset(&right) || right.is_subset(&left),
            // The account's standard tier may only be one that was not told.
            Grain::Tier => {
                let is_other =
                    |label: &Option<Text>| label.as_deref().is_some_and(|l| l != "standard");
                let is_told = self.left != Side::Account || left.iter().any(is_other);
                is_told && has_all(&left) && has_all(&right)
            }
            Grain::Context => has_all(&left) && has_all(&right),
            Grain::Project | Grain::Key => {
                let is_known = |label: &Option<Text>| {
                    label.as_ref().is_some_and(|label| {
                        self.left != Side::Account
                            || self.known.get(&grain).is_some_and(|known| known.contains(label))
                    })
                };
                left.iter().all(is_known) && has_all(&right)
            }
        }
    }

    fn judge(&self, left: &[Part<'_>], right: &[Part<'_>]) -> Judged {
        let (own, estimated, other) = (exact(left), estimated(left), sum(right));
        let judged = self.measure.judge(&own, &other, &self.quantities);
        if judged.severity <= Severity::Info {
            return judged;
        }
        let has_unpriced = left.iter().any(|part| part.row.unpriced_calls > 0);
        let is_less = own.or_zero(Quantity::Cost) < other.or_zero(Quantity::Cost);
        if self.right.is_cost() && self.left == Side::Account && has_unpriced && is_less {
            return Judged { severity: Severity::Warn, class: Class::Unpriced };
        }
        if own.is_zero() && estimated.is_zero() {
            let class = if self.left == Side::Account {
                Class::MissingLocal
            } else {
                Class::ExtraStatement
            };
            return Judged { severity: Severity::Fail, class };
        }
        if other.is_zero() {
            let is_statement = matches!(self.right, Side::Statement | Side::StatementCost);
            let class = if is_statement { Class::MissingStatement } else { Class::MissingProvider };
            return Judged { severity: Severity::Fail, class };
        }
        if self.left == Side::Account && is_multiple(&own, &other, &self.quantities) {
            return Judged { severity: Severity::Fail, class: Class::DuplicateLocal };
        }
        judged
    }
}

/// Whether one side has every amount so many times, and not only once.
fn is_multiple(one: &Sums, other: &Sums, quantities: &[Quantity]) -> bool {
    const TIMES_MAX: u32 = 4;
    let mut times_other = other.clone();
    for _ in 1..TIMES_MAX {
        times_other.add(other);
        if quantities.iter().all(|of| one.or_zero(*of) == times_other.or_zero(*of)) {
            return true;
        }
    }
    false
}

/// Whether a side tells its rows apart by a grain.
fn is_told_apart(grain: Grain, parts: &[Part<'_>]) -> bool {
    let labels = parts.iter().filter_map(|part| part.row.labels.get(grain));
    labels.collect::<BTreeSet<_>>().len() > 1
}

/// Where all rows of a cell share a model, and below that a project, a key…, its name says so.
fn name_what_is_common(cell: &mut Cell, left: &[Part<'_>], right: &[Part<'_>]) {
    for grain in [Grain::Model, Grain::Tier, Grain::Context, Grain::Project, Grain::Key] {
        let used = left.iter().chain(right).filter(|part| !part.is_nothing());
        let labels: BTreeSet<_> = used.map(|part| part.row.labels.get(grain)).collect();
        if cell.labels.get(grain).is_none()
            && let [Some(only)] = labels.into_iter().collect::<Vec<_>>().as_slice()
            && !only.is_empty()
        {
            cell.labels.set(grain, Some(Text::clone(only)));
        }
        if cell.labels.model.is_none() {
            break;
        }
    }
}

/// Whether all parts differ in the same way: both sides have them all, and one has more of each.
fn is_one_story(leaves: &[Leaf<'_>], quantities: &[Quantity]) -> bool {
    let sign = |leaf: &Leaf<'_>| {
        let (left, right) = (exact(&leaf.left), sum(&leaf.right));
        let of = |sums: &Sums| {
            quantities.iter().fold(Decimal::ZERO, |sum, of| sum.plus(&sums.or_zero(*of)))
        };
        of(&left).cmp(&of(&right))
    };
    let Some((first, others)) = leaves.split_first() else { return false };
    let is_shared = |leaf: &Leaf<'_>| !is_nothing(&leaf.left) && !is_nothing(&leaf.right);
    !others.is_empty()
        && leaves.iter().all(|leaf| {
            !leaf.class.is_agreement()
                && leaf.class == first.class
                && is_shared(leaf)
                && sign(leaf) == sign(first)
        })
}
