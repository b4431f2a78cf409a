//! Two sides of one provider, day by day, and what comes of each.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::{Leaf, Part, estimated, exact, is_nothing, sum, told_by};
use super::judge::Measure;
use super::midnight::shift_over_midnight;
use super::outcome::{Cell, Finding, Notice, PairResult};
use super::sums::Split;
use super::tie::{Place, Ties, shared};
use super::{
    Class, Coverage, DayState, Grain, Input, Labels, Options, Quantity, Row, Severity, Side, Sums,
    Tolerance,
};
use crate::{Decimal, Text, UnixMs};

/// Two sides of one provider.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    provider: &'a str,
    pub(super) left: Side,
    pub(super) right: Side,
    /// What both tell.
    pub(super) quantities: Vec<Quantity>,
    /// How finely both split the prompt.
    split: Split,
    pub(super) measure: Measure,
    /// The days that each side tells of; `None` for the account, which tells of all.
    covered: [Option<&'a Coverage>; 2],
    /// What the second side calls its projects and keys.
    pub(super) known: BTreeMap<Grain, BTreeSet<Text>>,
    options: &'a Options,
}

impl<'a> Pair<'a> {
    pub(super) fn new(
        provider: &'a str,
        (left, right): (Side, Side),
        rows: &[&Row],
        input: &'a Input,
        options: &'a Options,
    ) -> Self {
        let covered = [left, right].map(|side| input.coverage.get(&(side, provider.to_owned())));
        let told = |side| {
            let rows = rows.iter().filter(|row| row.side == side && !row.is_estimated);
            rows.flat_map(|row| row.sums.told().map(|(quantity, _)| quantity))
                .filter(|quantity| (*quantity == Quantity::Cost) == right.is_cost())
                .collect::<BTreeSet<Quantity>>()
        };
        let (of_left, of_right) = (told(left), told(right));
        let split = split(&of_left, &of_right);
        let folded = |of: BTreeSet<Quantity>| {
            of.into_iter().map(|one| split.of(one)).collect::<BTreeSet<_>>()
        };
        let (of_left, of_right) = (folded(of_left), folded(of_right));
        let quantities = match (of_left.is_empty(), of_right.is_empty()) {
            (true, _) => of_right.into_iter().collect(),
            (_, true) => of_left.into_iter().collect(),
            (false, false) => shared_quantities(&of_left, &of_right),
        };
        let known = [Grain::Project, Grain::Key].map(|grain| {
            let rows = rows.iter().filter(|row| row.side == right);
            (grain, rows.filter_map(|row| row.labels.get(grain).cloned()).collect())
        });
        let measure = measure(left, right, options);
        let known = known.into_iter().collect();
        Self { provider, left, right, quantities, split, measure, covered, known, options }
    }

    /// Compares every day.
    pub(super) fn compare(
        &self,
        rows: &[&Row],
        notices: &mut BTreeMap<Class, Notice>,
    ) -> (PairResult, Vec<Finding>) {
        let mut days: BTreeMap<UnixMs, [Vec<Part<'_>>; 2]> = BTreeMap::new();
        let mut totals: BTreeMap<(Side, bool), Sums> = BTreeMap::new();
        for side in [self.left, self.right] {
            let total = totals.entry((side, false)).or_default();
            for quantity in &self.quantities {
                total.put(*quantity, &Decimal::ZERO);
            }
        }
        let of_side = |row: &Row| [self.left, self.right].iter().position(|side| *side == row.side);
        let taken: Vec<(usize, &Row, Sums)> = rows
            .iter()
            .filter_map(|row| {
                Some((of_side(row)?, *row, row.sums.taken(&self.quantities, self.split)))
            })
            .collect();
        for (at, row, sums) in &taken {
            totals.entry((row.side, row.is_estimated)).or_default().add(sums);
            if let Some(parts) = days.entry(row.day()).or_default().get_mut(*at) {
                parts.push(Part { row, sums });
            }
        }
        for covered in self.covered.iter().flatten() {
            for day in covered.keys().filter(|day| self.options.contains(**day)) {
                days.entry(*day).or_default();
            }
        }
        let mut leaves = Vec::new();
        for (day, [left, right]) in days {
            leaves.extend(self.of_day(day, left, right));
        }
        shift_over_midnight(&mut leaves, &self.quantities);
        self.result(leaves, &totals, notices)
    }

    fn of_day(&self, day: UnixMs, left: Vec<Part<'a>>, right: Vec<Part<'a>>) -> Vec<Leaf<'a>> {
        let cell = Cell { day, labels: Labels::default() };
        let is_covered = self.covered.iter().flatten().all(|days| days.contains_key(&day));
        if !is_covered {
            let is_empty = left.is_empty() && right.is_empty();
            let leaf = Leaf {
                cell,
                left,
                right,
                class: Class::Uncovered,
                severity: Severity::Info,
                unsupported: Vec::new(),
            };
            return if is_empty { Vec::new() } else { vec![leaf] };
        }
        let (left, aside) = self.without_subscription(left, &right);
        let mut leaves = Vec::new();
        if !aside.is_empty() {
            leaves.push(Leaf {
                cell: cell.clone(),
                left: aside,
                right: Vec::new(),
                class: Class::LaneSubscription,
                severity: Severity::Info,
                unsupported: Vec::new(),
            });
        }
        let worst = self.measure.judge(&exact(&left), &sum(&right), &self.quantities).severity;
        for mut leaf in self.descend(cell, left, right, &Grain::ALL) {
            // What both have matters no more than the day as a whole does.
            if !is_nothing(&leaf.left) && !is_nothing(&leaf.right) {
                leaf.severity = leaf.severity.min(worst);
            }
            self.by_state(&mut leaf);
            leaves.push(leaf);
        }
        leaves
    }

    /// What a subscription pays for is set aside where the rest is nearer to what the provider says.
    fn without_subscription(
        &self,
        left: Vec<Part<'a>>,
        right: &[Part<'a>],
    ) -> (Vec<Part<'a>>, Vec<Part<'a>>) {
        let (aside, metered): (Vec<_>, Vec<_>) =
            left.iter().copied().partition(|part| part.row.is_subscription);
        let far = |parts: &[Part<'_>]| {
            let (one, other) = (exact(parts), sum(right));
            let quantities = self.quantities.iter();
            let each = quantities
                .map(|quantity| one.or_zero(*quantity).minus(&other.or_zero(*quantity)).abs());
            each.fold(Decimal::ZERO, |sum, one| sum.plus(&one))
        };
        if aside.is_empty() || far(&metered) > far(&left) {
            (left, Vec::new())
        } else {
            (metered, aside)
        }
    }

    /// What the state of the day makes of a difference.
    fn by_state(&self, leaf: &mut Leaf<'_>) {
        let is_open = self.state(leaf.cell.day) == Some(DayState::Provisional);
        if is_open && !leaf.class.is_agreement() {
            leaf.severity = Severity::Info;
        }
    }

    /// What of the state of a day matters, on either side.
    fn state(&self, day: UnixMs) -> Option<DayState> {
        let states: Vec<DayState> =
            self.covered.iter().flatten().filter_map(|days| days.get(&day).copied()).collect();
        [DayState::Provisional, DayState::Restated].into_iter().find(|state| states.contains(state))
    }

    fn result(
        &self,
        leaves: Vec<Leaf<'_>>,
        totals: &BTreeMap<(Side, bool), Sums>,
        notices: &mut BTreeMap<Class, Notice>,
    ) -> (PairResult, Vec<Finding>) {
        let mut ties = Ties::default();
        let mut classes: BTreeMap<Class, (u64, Sums, Sums)> = BTreeMap::new();
        let mut findings = Vec::new();
        let mut both = (Decimal::ZERO, Decimal::ZERO);
        for leaf in leaves {
            let (left, claimed, right) =
                (exact(&leaf.left), estimated(&leaf.left), sum(&leaf.right));
            let alone = |own: &Sums, other: &Sums| {
                let is_alone =
                    leaf.class == Class::Uncovered || (other.is_zero() && !own.is_zero());
                if is_alone { Place::Alone } else { Place::Shared }
            };
            ties.add(self.left, false, &left, &right, alone(&left, &right));
            ties.add(self.right, false, &right, &left, alone(&right, &left));
            let rest = rest(&right, &left);
            ties.add(self.left, true, &claimed, &rest, alone(&claimed, &right));
            let class = self.class(&leaf);
            let counted = classes.entry(class).or_default();
            counted.0 += 1;
            counted.1.add(&left);
            counted.2.add(&right);
            let is_of_price =
                matches!(leaf.class, Class::Match | Class::WithinTolerance | Class::MismatchCost);
            if !left.is_zero() && !right.is_zero() && is_of_price {
                both.0 = both.0.plus(&left.or_zero(Quantity::Cost));
                both.1 = both.1.plus(&right.or_zero(Quantity::Cost));
            }
            for grain in &leaf.unsupported {
                let place = format!("{} {}", self.provider, grain.name());
                Notice::add(notices, Class::GrainUnsupported, &place);
            }
            if !class.is_agreement() {
                let told_by = told_by(&leaf);
                findings.push(Finding {
                    told_by,
                    provider: self.provider.to_owned(),
                    sides: (self.left, self.right),
                    cell: leaf.cell,
                    class,
                    kind: leaf.class,
                    severity: leaf.severity,
                    left,
                    estimated: claimed,
                    right,
                    unsupported: leaf.unsupported,
                    is_named: false,
                    accepted: None,
                });
            }
        }
        let ties = ties.lines(totals);
        let days = self.options.days();
        let in_window = |day: &&UnixMs| self.options.contains(**day);
        let covered = self.covered.get(1).copied().flatten();
        let covered: Vec<&UnixMs> =
            covered.into_iter().flat_map(BTreeMap::keys).filter(in_window).collect();
        let provisional =
            covered.iter().filter(|day| self.state(***day) == Some(DayState::Provisional));
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let capture = self.capture(&ties);
        let result = PairResult {
            provider: self.provider.to_owned(),
            sides: (self.left, self.right),
            quantities: self.quantities.clone(),
            days_covered: count(covered.len()),
            days: u32::try_from(days).unwrap_or(u32::MAX),
            days_provisional: count(provisional.count()),
            ties,
            classes,
            capture,
            price_ratio_e4: ratio_e4(&both.0, &both.1).filter(|_| self.right.is_cost()),
        };
        (result, findings)
    }

    /// The class of a leaf, by the state of its day.
    fn class(&self, leaf: &Leaf<'_>) -> Class {
        // What is known, or explained, does not depend on it.
        let is_explained = matches!(
            leaf.class,
            Class::Uncovered | Class::LaneSubscription | Class::BoundaryShift | Class::Unpriced
        );
        if leaf.class.is_agreement() || is_explained {
            return leaf.class;
        }
        match self.state(leaf.cell.day) {
            Some(DayState::Provisional) => Class::Provisional,
            Some(DayState::Restated) => Class::Restated,
            Some(DayState::Ripe | DayState::Settled) | None => leaf.class,
        }
    }

    /// How much of what the second side says the first one has, too.
    fn capture(&self, ties: &[super::TieLine]) -> BTreeMap<&'static str, i128> {
        let of = |is_meant: &dyn Fn(Quantity) -> bool| {
            let lines =
                ties.iter().filter(|line| line.side == self.right && is_meant(line.quantity));
            let (mut matched, mut total) = (Decimal::ZERO, Decimal::ZERO);
            for line in lines {
                matched = matched.plus(&line.matched);
                total = total.plus(&line.total);
            }
            ratio_e4(&matched, &total)
        };
        let all: [(&'static str, Option<i128>); 3] = [
            ("tokens", of(&Quantity::is_tokens)),
            ("requests", of(&|quantity| quantity == Quantity::Requests)),
            ("cost_usd", of(&|quantity| quantity == Quantity::Cost)),
        ];
        all.into_iter().filter_map(|(name, ratio)| Some((name, ratio?))).collect()
    }
}

fn measure(left: Side, right: Side, options: &Options) -> Measure {
    let known = &options.tolerances;
    if left == Side::Account {
        return Measure {
            tokens: known.tokens.clone(),
            requests: known.requests.clone(),
            cost: known.cost.clone(),
        };
    }
    let cost = if right.is_cost() { known.statement_cost.clone() } else { Tolerance::EXACT };
    Measure { tokens: Tolerance::EXACT, requests: Tolerance::EXACT, cost }
}

/// How finely both sides split the prompt; one that tells of nothing splits it as the other does.
fn split(one: &BTreeSet<Quantity>, other: &BTreeSet<Quantity>) -> Split {
    let is_told = |quantity: Quantity| (one.contains(&quantity), other.contains(&quantity));
    match (is_told(Quantity::In), is_told(Quantity::InCacheWrite), is_told(Quantity::InUncached)) {
        ((true, _) | (_, true), _, _) => Split::Whole,
        (_, (true, false) | (false, true), (true, true)) => Split::NoWrites,
        _ => Split::Full,
    }
}

/// What both sides tell. A kind of tokens that one side never has is none that it does not tell.
fn shared_quantities(one: &BTreeSet<Quantity>, other: &BTreeSet<Quantity>) -> Vec<Quantity> {
    let has_tokens = |of: &BTreeSet<Quantity>| of.iter().any(|quantity| quantity.is_tokens());
    let both_have_tokens = has_tokens(one) && has_tokens(other);
    let is_compared = |quantity: &&Quantity| {
        (one.contains(quantity) && other.contains(quantity))
            || (quantity.is_tokens() && both_have_tokens)
    };
    one.union(other).filter(is_compared).copied().collect()
}

/// What one side has beyond the other.
fn rest(one: &Sums, other: &Sums) -> Sums {
    let mut rest = Sums::default();
    for (quantity, amount) in one.told() {
        let own = shared(amount, &other.or_zero(quantity));
        rest.put(quantity, &amount.minus(&own));
    }
    rest
}

/// One number in ten-thousandths of another, rounded down; `None` of nothing.
fn ratio_e4(one: &Decimal, other: &Decimal) -> Option<i128> {
    let units = |number: &Decimal| crate::scaled_decimal(&number.to_string(), 9);
    let (one, other) = (units(one)?, units(other)?);
    one.checked_mul(10_000)?.checked_div(other)
}
