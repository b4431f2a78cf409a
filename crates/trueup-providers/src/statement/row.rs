//! A row of a statement while it is read: its columns are taken one by one, and what is left at the end
//! is what we do not know. It is kept as it is written, and told.

use std::collections::{BTreeMap, BTreeSet};

use trueup_core::{
    Charge, Decimal, Dim, Dims, Issue, IssueCode, Measure, Measures, StatedFact, Text, UnixMs,
};

use super::focus::write::{plain, provider_id};
use super::header::Columns;
use super::moment::{Moment, moment};
use crate::reading::{NO_CURRENCY, USD, shown};

/// Bytes of what is not known that are kept of one row.
const EXTRA_BYTES_MAX: usize = 16 << 10;
/// Minutes of a day.
pub(super) const DAY_MINUTES: u32 = 1_440;

/// A row while it is read.
#[derive(Debug)]
pub(super) struct Row<'r> {
    columns: &'r Columns,
    record: &'r csv::StringRecord,
    is_taken: Vec<bool>,
    fact: StatedFact,
    extra: BTreeMap<&'r str, &'r str>,
    issues: BTreeSet<Issue>,
    is_odd: bool,
    /// Whether trueup wrote it: then texts that would be formulas were made harmless.
    is_ours: bool,
}

/// What a row is, beside what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) is_blank: bool,
    pub(super) is_odd: bool,
    pub(super) is_without_ids: bool,
}

impl<'r> Row<'r> {
    pub(super) fn new(columns: &'r Columns, record: &'r csv::StringRecord, line: u64) -> Self {
        let fact = StatedFact {
            line,
            provider: "".into(),
            account: "".into(),
            start: None,
            width_minutes: DAY_MINUTES,
            dims: Dims::new(),
            measures: Measures::default(),
            charge: None,
            extra: String::new(),
        };
        Self {
            columns,
            record,
            is_taken: vec![false; columns.names.len()],
            fact,
            extra: BTreeMap::new(),
            issues: BTreeSet::new(),
            is_odd: false,
            is_ours: false,
        }
    }

    /// Trueup wrote it.
    pub(super) const fn is_of_ours(&mut self) {
        self.is_ours = true;
    }

    /// Something in it is not as it should be; everything was read all the same.
    pub(super) fn issue(&mut self, code: IssueCode, detail: impl Into<String>) {
        self.issues.insert(Issue::new(code, detail));
    }

    /// Something could not be read.
    fn odd(&mut self, code: IssueCode, detail: impl Into<String>) {
        self.issue(code, detail);
        self.is_odd = true;
    }

    /// The row has other fields than the header: they are kept, and none is believed.
    pub(super) fn torn(&mut self) {
        let (fields, columns) = (self.record.len(), self.columns.names.len());
        self.odd(IssueCode::LineInvalid, format!("{fields} fields under {columns} columns"));
        self.is_taken.fill(true);
        for (name, field) in self.columns.names.iter().zip(self.record) {
            self.extra.insert(name, field);
        }
        let beyond = self.record.iter().skip(columns).filter(|field| !field.is_empty());
        self.extra.extend(beyond.zip(BEYOND).map(|(field, name)| (*name, field)));
    }

    /// A field that says something; its column is known from now on.
    pub(super) fn take(&mut self, name: &str) -> Option<&'r str> {
        let at = self.columns.at(name)?;
        if let Some(is_taken) = self.is_taken.get_mut(at) {
            *is_taken = true;
        }
        let field = self.record.get(at).filter(|field| !field.trim().is_empty());
        field.map(|field| if self.is_ours { plain(field) } else { field })
    }

    /// Keeps columns that say nothing that is compared.
    pub(super) fn note(&mut self, names: &[&str]) {
        for name in names {
            self.keep(name);
        }
    }

    /// Passes columns over that say again what others say.
    pub(super) fn skip(&mut self, names: &[&str]) {
        for name in names {
            self.take(name);
        }
    }

    /// Passes over all columns whose name begins like this.
    pub(super) fn skip_all(&mut self, prefix: &str) {
        for (name, is_taken) in self.columns.names.iter().zip(&mut self.is_taken) {
            let begin = name.get(..prefix.len());
            *is_taken |= begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
        }
    }

    /// Keeps a field as it is.
    fn keep(&mut self, name: &str) {
        if let (Some(field), Some(at)) = (self.take(name), self.columns.at(name))
            && let Some(name) = self.columns.names.get(at)
        {
            self.extra.insert(name, field);
        }
    }

    /// Whose usage the row is of: a provider that is known by its id, another one by its name.
    pub(super) fn provider(&mut self, name: &str) {
        if let Some(provider) = self.take(name) {
            let provider = provider.trim();
            self.fact.provider = provider_id(provider).unwrap_or(provider).into();
        }
    }

    /// The account that the row is of.
    pub(super) fn account(&mut self, name: &str) {
        if let Some(account) = self.take(name) {
            self.fact.account = account.trim().into();
        }
    }

    /// Takes dimensions: the name, and the column that holds it. A value stays as it is spelled.
    pub(super) fn dims(&mut self, dims: &[(&str, &str)]) {
        for (name, column) in dims {
            if let Some(text) = self.take(column) {
                self.set_dim(name, Dim::Text(text.into()));
            }
        }
    }

    /// Takes a dimension that is a yes or a no.
    pub(super) fn bool_dim(&mut self, name: &str) {
        if let Some(text) = self.take(name) {
            let dim = match text.trim().to_ascii_lowercase().as_str() {
                "true" => Dim::Bool(true),
                "false" => Dim::Bool(false),
                _ => Dim::Text(text.into()),
            };
            self.set_dim(name, dim);
        }
    }

    /// A dimension is this.
    pub(super) fn set_dim(&mut self, name: &str, dim: Dim) {
        self.fact.dims.insert(name.into(), dim);
    }

    /// Takes the time: where it begins, in the first of these columns that has it, and where it ends.
    /// Without an end it is a day, or what `width` makes of the time.
    pub(super) fn place(&mut self, starts: &[&str], ends: &[&str], width: fn(UnixMs) -> u32) {
        let start = self.moment(starts);
        let end = self.moment(ends);
        let Some(start) = start else {
            // What is there and no time was told.
            if !self.is_odd {
                let columns = starts.join(" and ");
                self.odd(IssueCode::TimeInvalid, format!("no time in {columns}"));
            }
            for name in starts.iter().chain(ends) {
                self.keep(name);
            }
            return;
        };
        self.fact.start = Some(start.at);
        self.fact.width_minutes = match end {
            Some(end) => self.width_to(start.at, end.at),
            None if start.is_day => DAY_MINUTES,
            None => width(start.at),
        };
    }

    fn width_to(&mut self, start: UnixMs, end: UnixMs) -> u32 {
        let minutes = (end.0 - start.0) / 60_000;
        let width = u32::try_from(minutes).ok().filter(|minutes| *minutes > 0);
        if width.is_none() {
            self.odd(IssueCode::TimeInvalid, "a row ends before it begins, or within a minute");
        }
        width.unwrap_or(DAY_MINUTES)
    }

    /// The first of these columns that has a time; they must not differ.
    fn moment(&mut self, names: &[&str]) -> Option<Moment> {
        let mut found: Option<(&str, Moment)> = None;
        for name in names {
            let Some(text) = self.take(name) else { continue };
            match (moment(text), found) {
                (None, _) => {
                    self.odd(IssueCode::TimeInvalid, format!("{name} is no time"));
                    self.keep(name);
                }
                (Some(read), None) => found = Some((name, read)),
                (Some(read), Some((first, counts))) if read.at != counts.at => {
                    let detail = format!("{first} and {name} differ; {first} counts");
                    self.issue(IssueCode::TimeInvalid, detail);
                }
                (Some(_), Some(_)) => {}
            }
        }
        let (name, read) = found?;
        if !read.has_zone && !name.contains("utc") {
            let detail = format!("{name} has no zone: taken for UTC");
            self.issue(IssueCode::ZoneAssumed, detail);
        }
        Some(read)
    }

    /// Takes a count; what is none is kept as it is.
    pub(super) fn count(&mut self, name: &str) -> Option<u64> {
        let text = self.take(name)?;
        let count = text.parse::<Decimal>().ok().and_then(|number| number.to_count());
        if count.is_none() {
            let detail = format!("{name} is no whole number of this size");
            self.odd(IssueCode::NumberInvalid, detail);
            self.keep(name);
        }
        count
    }

    /// Takes a decimal; what is none is kept as it is.
    pub(super) fn decimal(&mut self, name: &str) -> Option<Decimal> {
        let number = self.take(name)?.parse::<Decimal>();
        if let Err(error) = &number {
            self.odd(IssueCode::NumberInvalid, format!("{name}: {error}"));
            self.keep(name);
        }
        number.ok()
    }

    /// Takes counts that are measures as they are.
    pub(super) fn measures(&mut self, counts: &[(&str, Measure)]) {
        for (name, measure) in counts {
            let count = self.count(name);
            self.set(*measure, count);
        }
    }

    /// A measure, where it is told.
    pub(super) fn set(&mut self, measure: Measure, count: Option<u64>) {
        if let Some(count) = count {
            self.fact.measures.set(measure, count);
        }
    }

    /// What was charged. `currency` is what the row says; without it `otherwise` counts.
    pub(super) fn charge(
        &mut self,
        amount: Option<Decimal>,
        currency: Option<&str>,
        otherwise: Option<&str>,
    ) {
        let Some(amount) = amount else { return };
        let told = currency.or(otherwise).map(|text| text.trim().to_ascii_uppercase());
        let currency = told.unwrap_or_else(|| NO_CURRENCY.to_owned());
        if currency == NO_CURRENCY {
            self.issue(IssueCode::CurrencyUnknown, "amounts without a currency");
        } else if currency != USD {
            self.issue(IssueCode::CurrencyUnknown, format!("amounts in {}", shown(&currency)));
        }
        self.fact.charge = Some(Charge {
            amount,
            currency: Text::from(currency),
            quantity: None,
            quantity_unit: None,
        });
    }

    /// Of how much something was charged.
    pub(super) fn quantity(&mut self, quantity: Option<Decimal>, unit: Option<&str>) {
        if let Some(charge) = &mut self.fact.charge {
            charge.quantity = quantity;
            charge.quantity_unit = unit.map(|unit| unit.trim().into());
        }
    }

    /// The row is read; what is left of it is not known.
    pub(super) fn finish(
        mut self,
        provider: &Text,
        account: Option<&str>,
    ) -> (Outcome, StatedFact, impl Iterator<Item = Issue> + use<>) {
        let mut is_more = false;
        for at in 0..self.is_taken.len() {
            if self.is_taken.get(at) == Some(&false)
                && let Some(name) = self.columns.names.get(at)
            {
                self.issue(IssueCode::SchemaDrift, format!("unknown column {}", shown(name)));
                let field = self.record.get(at).unwrap_or_default();
                if !field.trim().is_empty() {
                    is_more |= !field.parse::<Decimal>().is_ok_and(|number| number.is_zero());
                    self.extra.insert(name, field);
                }
            }
        }
        self.write_extra();
        let outcome = self.outcome(is_more);
        if !provider.is_empty() || self.fact.provider.is_empty() {
            self.fact.provider = provider.clone();
        }
        if let Some(account) = account {
            self.fact.account = account.into();
        }
        (outcome, self.fact, self.issues.into_iter())
    }

    fn write_extra(&mut self) {
        let extra = if self.extra.is_empty() {
            String::new()
        } else {
            serde_json::to_string(&self.extra).unwrap_or_default()
        };
        if extra.len() > EXTRA_BYTES_MAX {
            self.odd(IssueCode::SchemaDrift, "more unknown fields than are kept of a row");
        } else {
            self.fact.extra = extra;
        }
    }

    /// A bucket without usage is one that says nothing at all. A row that says something, and not of
    /// what, is none: it counts as any other.
    fn outcome(&self, is_more: bool) -> Outcome {
        let StatedFact { dims, measures, charge, .. } = &self.fact;
        let is_free = charge.as_ref().is_none_or(|charge| {
            charge.amount.is_zero() && charge.quantity.as_ref().is_none_or(Decimal::is_zero)
        });
        let is_zero = is_free && measures.told().all(|(_, count)| count == 0);
        let has_ids = dims.values().any(|dim| dim.text().is_some());
        let is_blank = is_zero && !has_ids && !is_more && !self.is_odd;
        let is_without_ids = !has_ids && !is_blank && !self.is_odd;
        Outcome { is_blank, is_odd: self.is_odd, is_without_ids }
    }
}

/// Names for fields beyond the last column; more are not kept.
const BEYOND: &[&str] = &["+1", "+2", "+3", "+4", "+5", "+6", "+7", "+8"];

/// Minutes of a bucket whose end is not told, and which is a day.
pub(super) const fn a_day(_: UnixMs) -> u32 {
    DAY_MINUTES
}
