//! A page while it is read: rows become facts, and what is not understood becomes issues.
//!
//! A row keeps what we do not know in `extra`, and the name of each such field is told once a page.
//! Two rows that nothing tells apart are one row: their counts are added, and that is told too.

mod sums;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use trueup_core::{
    BilledFact, BilledName, Charge, Decimal, Dim, Dims, Issue, IssueCode, Measure, Measures, Text,
    UnixMs,
};

use crate::fields::{Fields, text_of};
use crate::{Ask, Cursor, Page};

/// Different issues that are told of one page.
const ISSUES_MAX: usize = 100;
/// Characters of the name of a field or a column that are told.
const NAME_CHARS_MAX: usize = 60;
/// Bytes of what is not known that are kept of one row.
const EXTRA_BYTES_MAX: usize = 4 << 10;

/// A page in the making.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    ask: &'a Ask<'a>,
    /// By what tells rows apart. Several where that does not: they are added at the end.
    facts: BTreeMap<(UnixMs, Dims), Vec<BilledFact>>,
    /// Where those begin that were told: what has no list of them tells one with each row.
    buckets: BTreeSet<UnixMs>,
    names: BTreeSet<BilledName>,
    issues: BTreeSet<Issue>,
}

impl<'a> Reading<'a> {
    /// A page of which nothing was read yet.
    pub(crate) const fn new(ask: &'a Ask<'a>) -> Self {
        Self {
            ask,
            facts: BTreeMap::new(),
            buckets: BTreeSet::new(),
            names: BTreeSet::new(),
            issues: BTreeSet::new(),
        }
    }

    /// Something is not as it should be.
    pub(crate) fn issue(&mut self, code: IssueCode, detail: impl Into<String>) {
        if self.issues.len() < ISSUES_MAX {
            self.issues.insert(Issue::new(code, detail));
        }
    }

    /// These fields are not known, and are in no row.
    pub(crate) fn unknown(&mut self, place: &str, fields: Fields<'_>) {
        for (name, _) in fields.into_each() {
            self.issue(IssueCode::SchemaDrift, format!("{place}: unknown field {}", shown(&name)));
        }
    }

    /// A bucket begins here; `false` where it was not asked for.
    pub(crate) fn bucket(&mut self, start: UnixMs, end: Option<UnixMs>) -> bool {
        let width_ms = self.ask.width.ms();
        let is_as_wide = end.is_none_or(|end| end.0.saturating_sub(start.0) == width_ms);
        let is_asked_for = self.ask.span.contains(start) && start.floor(width_ms) == start;
        if is_as_wide && is_asked_for {
            self.buckets.insert(start);
            return true;
        }
        self.issue(IssueCode::BucketUnexpected, format!("a bucket at {start} was not asked for"));
        false
    }

    /// An id has a name.
    pub(crate) fn name(&mut self, kind: &str, id: Option<String>, name: Option<String>) {
        if let (Some(id), Some(name)) = (id, name)
            && !name.is_empty()
        {
            self.names.insert(BilledName {
                kind: kind.into(),
                id: id.as_str().into(),
                name: name.as_str().into(),
            });
        }
    }

    /// A row of the bucket at `start`; `None` where it is none.
    pub(crate) fn row<'r>(&'r mut self, start: UnixMs, raw: &'r RawValue) -> Option<Row<'r, 'a>> {
        let Some(fields) = Fields::of(raw) else {
            self.issue(IssueCode::ShapeUnknown, "a row is no object");
            return None;
        };
        Some(self.row_of(start, fields))
    }

    /// A row of the bucket at `start`, of which something may have been taken already.
    pub(crate) fn row_of<'r>(&'r mut self, start: UnixMs, fields: Fields<'r>) -> Row<'r, 'a> {
        Row {
            reading: self,
            fields,
            start,
            dims: Dims::new(),
            measures: Measures::default(),
            charge: None,
            extra: BTreeMap::new(),
        }
    }

    /// The page, and where the next one is: `has_more` without a cursor is an error, because an end
    /// that is none would lose everything behind it.
    pub(crate) fn finish(mut self, has_more: bool, cursor: Option<String>) -> Result<Page, Issue> {
        let next = match (has_more, cursor) {
            (false, _) => None,
            (true, Some(cursor)) => Some(Cursor::new(&cursor)?),
            (true, None) => {
                let detail = "there are more pages, and no cursor to ask for them";
                return Err(Issue::new(IssueCode::CursorMissing, detail));
            }
        };
        if next.is_some() && next == self.ask.page {
            let detail = "the cursor of the next page is that of this one";
            return Err(Issue::new(IssueCode::CursorRepeats, detail));
        }
        Ok(Page {
            facts: sums::of(&mut self),
            buckets: self.buckets.into_iter().collect(),
            names: self.names.into_iter().collect(),
            issues: self.issues.into_iter().collect(),
            next,
        })
    }

    /// Unknown fields of one row, unless they are too many.
    fn bounded(&mut self, extra: String) -> String {
        if extra.len() > EXTRA_BYTES_MAX {
            self.issue(IssueCode::SchemaDrift, "more unknown fields than are kept of a row");
            return String::new();
        }
        extra
    }
}

/// A row while it is read.
#[derive(Debug)]
pub(crate) struct Row<'r, 'a> {
    reading: &'r mut Reading<'a>,
    /// What was not taken yet.
    pub(crate) fields: Fields<'r>,
    start: UnixMs,
    dims: Dims,
    measures: Measures,
    charge: Option<Charge>,
    extra: BTreeMap<String, &'r RawValue>,
}

impl<'r> Row<'r, '_> {
    /// Something in it is not as it should be.
    pub(crate) fn issue(&mut self, code: IssueCode, detail: impl Into<String>) {
        self.reading.issue(code, detail);
    }

    /// Takes everything that rows were asked to be told apart by. What was not asked for comes as null
    /// or not at all; where it says something, it counts.
    pub(crate) fn take_dims(&mut self) {
        for name in self.reading.ask.family.dims {
            if let Some(raw) = self.fields.take(name) {
                self.dim_within(name, raw);
            }
        }
    }

    /// Takes a dimension that rows have without being asked for it.
    pub(crate) fn take_dim(&mut self, name: &str) {
        if let Some(raw) = self.fields.take(name)
            && let Some(dim) = self.dim_of(name, raw)
        {
            self.set_dim(name, dim);
        }
    }

    /// A dimension that a row lists by itself: null where it was not asked for.
    pub(crate) fn dim_within(&mut self, name: &str, raw: &'r RawValue) {
        let is_asked_for = self.reading.ask.group.contains(&name);
        if let Some(dim) = self.dim_of(name, raw)
            && (is_asked_for || dim != Dim::Null)
        {
            self.set_dim(name, dim);
        }
    }

    fn dim_of(&mut self, name: &str, raw: &'r RawValue) -> Option<Dim> {
        match raw.get() {
            "null" => Some(Dim::Null),
            "true" => Some(Dim::Bool(true)),
            "false" => Some(Dim::Bool(false)),
            _ => self.text_in(name, raw).map(|text| Dim::Text(text.as_str().into())),
        }
    }

    /// A text; what is none is told, and kept as it is.
    fn text_in(&mut self, name: &str, raw: &'r RawValue) -> Option<String> {
        let text = text_of(raw);
        if text.is_none() {
            self.odd(name, raw, "no text");
        }
        text
    }

    /// Keeps and tells what is of another shape than it has.
    pub(crate) fn odd(&mut self, name: &str, raw: &'r RawValue, what: &str) {
        self.issue(IssueCode::SchemaDrift, format!("{} is {what}", shown(name)));
        self.extra.insert(name.to_owned(), raw);
    }

    /// Takes a text; what is none is told, and kept as it is.
    pub(crate) fn take_text(&mut self, field: &str) -> Option<String> {
        let raw = self.fields.take_some(field)?;
        self.text_in(field, raw)
    }

    /// Takes a text out of an object within; what is none is told, and kept as it is.
    pub(crate) fn text_within(
        &mut self,
        within: &str,
        fields: &mut Fields<'r>,
        field: &str,
    ) -> Option<String> {
        let raw = fields.take_some(field)?;
        self.text_in(&format!("{within}.{field}"), raw)
    }

    /// Takes an object within; what is none is told, and kept as it is.
    pub(crate) fn take_object(&mut self, field: &str) -> Option<Fields<'r>> {
        let raw = self.fields.take_some(field)?;
        self.object_in(field, raw)
    }

    /// An object; what is none is told, and kept as it is.
    pub(crate) fn object_in(&mut self, name: &str, raw: &'r RawValue) -> Option<Fields<'r>> {
        let fields = Fields::of(raw);
        if fields.is_none() {
            self.odd(name, raw, "no object");
        }
        fields
    }

    /// A currency, which may not be told: one that cannot be read is no dollar.
    pub(crate) fn currency_in(&mut self, name: &str, raw: Option<&'r RawValue>) -> Option<String> {
        Some(self.text_in(name, raw?).unwrap_or_else(|| NO_CURRENCY.to_owned()))
    }

    /// A dimension is this.
    pub(crate) fn set_dim(&mut self, name: &str, dim: Dim) {
        self.dims.insert(name.into(), dim);
    }

    /// What the row is about, as far as it was taken.
    pub(crate) const fn dims(&self) -> &Dims {
        &self.dims
    }

    /// The text of a dimension that was taken.
    pub(crate) fn dim_text(&self, name: &str) -> Option<String> {
        self.dims.get(name)?.text().map(str::to_owned)
    }

    /// Says what the id in a dimension is called, where a field holds its name.
    pub(crate) fn take_name(&mut self, kind: &str, dim: &str, field: &str) {
        let (id, name) = (self.dim_text(dim), self.take_text(field));
        self.reading.name(kind, id, name);
    }

    /// Takes a count; `None` where it is not told, or is none.
    pub(crate) fn take_count(&mut self, field: &str) -> Option<u64> {
        let raw = self.fields.take_some(field)?;
        self.count_of(field, raw)
    }

    /// A count; what is none is kept as it is.
    pub(crate) fn count_of(&mut self, field: &str, raw: &'r RawValue) -> Option<u64> {
        let count = Decimal::of_json(raw.get()).ok().and_then(|number| number.to_count());
        if count.is_none() {
            self.issue(
                IssueCode::NumberInvalid,
                format!("{field} is no whole number of this size"),
            );
            self.extra.insert(field.to_owned(), raw);
        }
        count
    }

    /// Takes counts that are measures as they are.
    pub(crate) fn take_measures(&mut self, counts: &[(&str, Measure)]) {
        for (field, measure) in counts {
            let count = self.take_count(field);
            self.set(*measure, count);
        }
    }

    /// A measure, where it is told.
    pub(crate) fn set(&mut self, measure: Measure, count: Option<u64>) {
        if let Some(count) = count {
            self.measures.set(measure, count);
        }
    }

    /// Takes a decimal; what is none is kept as it is.
    pub(crate) fn take_decimal(&mut self, field: &str) -> Option<Decimal> {
        let raw = self.fields.take_some(field)?;
        self.decimal_of(field, raw)
    }

    /// A decimal; what is none is kept as it is.
    pub(crate) fn decimal_of(&mut self, field: &str, raw: &'r RawValue) -> Option<Decimal> {
        let number = Decimal::of_json(raw.get());
        if let Err(error) = &number {
            self.issue(IssueCode::NumberInvalid, format!("{field}: {error}"));
            self.extra.insert(field.to_owned(), raw);
        }
        number.ok()
    }

    /// Takes an amount in hundredths; what is none, or of more places than are kept, is kept as it is.
    pub(crate) fn take_cents(&mut self, field: &str) -> Option<Decimal> {
        let raw = self.fields.take_some(field)?;
        let amount = self.decimal_of(field, raw)?.shifted(-2);
        if !amount.is_in_bounds() {
            let detail = format!("{field}: more places than are kept of an amount");
            self.issue(IssueCode::NumberInvalid, detail);
            self.extra.insert(field.to_owned(), raw);
            return None;
        }
        Some(amount)
    }

    /// What was charged. Another currency than the dollar is told, because it adds up with nothing.
    pub(crate) fn charge(&mut self, amount: Decimal, currency: Option<String>) {
        let currency = currency.map_or_else(|| USD.to_owned(), |text| text.to_uppercase());
        if currency != USD {
            let currency = shown(&currency);
            self.issue(IssueCode::CurrencyUnknown, format!("amounts in {currency}"));
        }
        let currency = Text::from(currency.as_str());
        self.charge = Some(Charge { amount, currency, quantity: None, quantity_unit: None });
    }

    /// Of how much something was charged.
    pub(crate) fn quantity(&mut self, quantity: Option<Decimal>, unit: Option<String>) {
        if let Some(charge) = &mut self.charge {
            charge.quantity = quantity;
            charge.quantity_unit = unit.map(|unit| unit.as_str().into());
        }
    }

    /// A value should be one of these; another one is told, and kept as it is.
    pub(crate) fn expect(&mut self, dim: &str, known: &[&str]) {
        if let Some(value) = self.dim_text(dim)
            && !known.contains(&value.as_str())
        {
            let value = shown(&value);
            self.issue(IssueCode::SchemaDrift, format!("unknown {dim} {value}"));
        }
    }

    /// Keeps fields that say nothing that is compared.
    pub(crate) fn keep(&mut self, fields: &[&str]) {
        for field in fields {
            if let Some(raw) = self.fields.take(field) {
                self.extra.insert((*field).to_owned(), raw);
            }
        }
    }

    /// Keeps a field of an object within.
    pub(crate) fn keep_as(&mut self, name: &str, raw: &'r RawValue) {
        self.extra.insert(name.to_owned(), raw);
    }

    /// Passes fields over that say again what others say.
    pub(crate) fn skip(&mut self, fields: &[&str]) {
        for field in fields {
            self.fields.take(field);
        }
    }

    /// Keeps and tells what is left of an object within.
    pub(crate) fn rest_of(&mut self, within: &str, fields: Fields<'r>) {
        for (name, raw) in fields.into_each() {
            let name = format!("{within}.{name}");
            self.issue(IssueCode::SchemaDrift, format!("unknown field {}", shown(&name)));
            self.extra.insert(name, raw);
        }
    }

    /// The row is read; what is left of it is not known.
    pub(crate) fn finish(mut self) {
        for (name, raw) in std::mem::take(&mut self.fields).into_each() {
            self.issue(IssueCode::SchemaDrift, format!("unknown field {}", shown(&name)));
            self.extra.insert(name, raw);
        }
        let Self { reading, start, dims, measures, charge, extra, .. } = self;
        let extra = reading.bounded(extra_of(&extra));
        let key = (start, dims.clone());
        let fact = BilledFact { start, dims, measures, charge, extra };
        reading.facts.entry(key).or_default().push(fact);
    }
}

/// The currency of what is compared.
pub(crate) const USD: &str = "USD";
/// What stands for a currency that is not told or cannot be read, as in ISO 4217.
pub(crate) const NO_CURRENCY: &str = "XXX";

/// Values as they were written, as one object.
fn extra_of(extra: &BTreeMap<String, &RawValue>) -> String {
    if extra.is_empty() { String::new() } else { serde_json::to_string(extra).unwrap_or_default() }
}

/// Somebody else's word, short and harmless.
pub(crate) fn shown(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}
