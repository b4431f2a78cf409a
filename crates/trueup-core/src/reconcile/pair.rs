//! Two sides of one provider, day by day, taken apart where they differ.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::{Judged, Measure};
use super::outcome::{Cell, Finding, Notice, PairResult};
use super::sums::Split;
use super::tie::{Place, Ties, shared};
use super::{
    Class, Coverage, DayState, Grain, Input, Labels, Options, Quantity, Row, Severity, Side, Sums,
    Tolerance,
};
use crate::prices::model_key;
use crate::{DAY_MS, Decimal, HOUR_MS, Text, UnixMs};

/// Two sides of one provider.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    provider: &'a str,
    left: Side,
    right: Side,
    /// What both tell.
    quantities: Vec<Quantity>,
    /// How finely both split the prompt.
    split: Split,
    measure: Measure,
    /// The days that each side tells of; `None` for the account, which tells of all.
    covered: [Option<&'a Coverage>; 2],
    /// What the second side calls its projects and keys.
    known: BTreeMap<Grain, BTreeSet<Text>>,
    options: &'a Options,
}

/// A row, and what of it is compared.
#[derive(Debug, Clone)]
struct Part<'a> {
    row: &'a Row,
    sums: Sums,
}

impl Part<'_> {
    /// Calls without a price come to no money, and are there.
    fn is_nothing(&self) -> bool {
        self.sums.is_zero() && self.row.unpriced_calls == 0
    }
}

/// A cell that is taken apart no further.
#[derive(Debug)]
struct Leaf<'a> {
    cell: Cell,
    left: Vec<Part<'a>>,
    right: Vec<Part<'a>>,
    class: Class,
    severity: Severity,
    unsupported: Vec<Grain>,
}

/// The grains at which two sides may be compared.
const GRAINS: &[Grain] = &Grain::ALL;

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
        for row in rows {
            let Some(at) = [self.left, self.right].iter().position(|side| *side == row.side) else {
                continue;
            };
            let sums = row.sums.taken(&self.quantities, self.split);
            totals.entry((row.side, row.is_estimated)).or_default().add(&sums);
            if let Some(parts) = days.entry(row.day()).or_default().get_mut(at) {
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
        for mut leaf in self.descend(cell, left, right, GRAINS) {
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
            left.iter().cloned().partition(|part| part.row.is_subscription);
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

    /// Takes a cell apart, where its sides differ and can tell more.
    fn descend(
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
            left.extend(own_left.iter().cloned());
            right.extend(own_right.iter().cloned());
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
            if is_left { &mut child.1 } else { &mut child.2 }.push(part.clone());
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

    /// What the state of the day makes of a difference.
    fn by_state(&self, leaf: &mut Leaf<'_>) {
        if leaf.class.is_agreement() {
            return;
        }
        let days = self.covered.iter().flatten();
        let states: Vec<DayState> =
            days.filter_map(|days| days.get(&leaf.cell.day).copied()).collect();
        if states.contains(&DayState::Provisional) {
            leaf.severity = Severity::Info;
        }
    }

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

fn leaf<'a>(
    cell: Cell,
    left: Vec<Part<'a>>,
    right: Vec<Part<'a>>,
    judged: Judged,
    unsupported: Vec<Grain>,
) -> Vec<Leaf<'a>> {
    let Judged { severity, class } = judged;
    vec![Leaf { cell, left, right, class, severity, unsupported }]
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

fn sum(parts: &[Part<'_>]) -> Sums {
    sum_of(parts.iter())
}

fn exact(parts: &[Part<'_>]) -> Sums {
    sum_of(parts.iter().filter(|part| !part.row.is_estimated))
}

fn estimated(parts: &[Part<'_>]) -> Sums {
    sum_of(parts.iter().filter(|part| part.row.is_estimated))
}

fn sum_of<'p>(parts: impl Iterator<Item = &'p Part<'p>>) -> Sums {
    let mut sums = Sums::default();
    for part in parts {
        sums.add(&part.sums);
    }
    sums
}

fn is_nothing(parts: &[Part<'_>]) -> bool {
    parts.iter().all(Part::is_nothing)
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

/// Of what only one side has: how much is of which project and key.
fn told_by(leaf: &Leaf<'_>) -> Vec<(Labels, Decimal)> {
    let parts = match (is_nothing(&leaf.left), is_nothing(&leaf.right)) {
        (true, false) => &leaf.right,
        (false, true) => &leaf.left,
        (true, true) | (false, false) => return Vec::new(),
    };
    let mut sums: BTreeMap<Labels, Decimal> = BTreeMap::new();
    for part in parts {
        let Labels { project, key, .. } = part.row.labels.clone();
        let weight = part.sums.tokens().plus(&part.sums.or_zero(Quantity::Cost));
        let sum = sums.entry(Labels { project, key, ..Labels::default() }).or_insert(Decimal::ZERO);
        *sum = sum.plus(&weight);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|one, other| (&other.1, &one.0).cmp(&(&one.1, &other.0)));
    sums
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

/// Whether all parts differ in the same way: both sides have them all, and one has more of each; or
/// every one has the same class and stands on one side only.
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

/// One number in ten-thousandths of another, rounded down; `None` of nothing.
fn ratio_e4(one: &Decimal, other: &Decimal) -> Option<i128> {
    let units = |number: &Decimal| crate::scaled_decimal(&number.to_string(), 9);
    let (one, other) = (units(one)?, units(other)?);
    one.checked_mul(10_000)?.checked_div(other)
}

/// Requests that ran over midnight stand on one day for one side and on the next for the other: both
/// days differ by the same, and the account has at least as much within an hour of that midnight.
fn shift_over_midnight(leaves: &mut [Leaf<'_>], quantities: &[Quantity]) {
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
