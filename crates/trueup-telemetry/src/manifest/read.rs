//! Reading tables of TOML, so that whatever is wrong has its line and its field.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::Section;
use super::{Finding, Severity, is_name};

/// Most findings of one manifest: whoever has more begins with these.
pub const FINDINGS_MAX: usize = 100;
/// Most characters of a line that explains something.
pub const ABOUT_CHARS_MAX: usize = 200;

/// What was found while reading one text.
#[derive(Debug)]
pub(super) struct Findings<'t> {
    text: &'t str,
    pub(super) list: Vec<Finding>,
}

/// Where something stands: its path of keys, and the offset of its first byte.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) field: String,
    pub(super) start: usize,
}

impl<'t> Findings<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, list: Vec::new() }
    }

    /// The line of an offset, from 1.
    pub(super) fn line(&self, start: usize) -> usize {
        let before = self.text.as_bytes().get(..start).unwrap_or(self.text.as_bytes());
        before.split(|byte| *byte == b'\n').count()
    }

    pub(super) fn error(&mut self, at: &At, words: impl Into<String>) {
        let line = self.line(at.start);
        self.push(Severity::Error, line, &at.field, words.into());
    }

    pub(super) fn push(&mut self, severity: Severity, line: usize, field: &str, words: String) {
        if self.list.len() < FINDINGS_MAX {
            self.list.push(Finding { severity, line, field: field.to_owned(), words });
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.list.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// A table, with its place.
#[derive(Debug, Clone)]
pub(super) struct Table<'t> {
    pub(super) at: At,
    members: &'t DeTable<'t>,
    section: Section,
}

impl<'t> Table<'t> {
    /// A table whose keys are all known; the others are findings.
    pub(super) fn open(
        section: Section,
        at: At,
        table: &'t DeTable<'t>,
        out: &mut Findings<'_>,
    ) -> Self {
        let this = Self { at, members: table, section };
        for name in table.keys() {
            if !section.keys().any(|key| key.name == name.get_ref().as_ref()) {
                let at = At { field: this.path(name.get_ref()), start: name.span().start };
                out.error(&at, unknown(section, name.get_ref()));
            }
        }
        this
    }

    fn path(&self, key: &str) -> String {
        if self.at.field.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at.field) }
    }

    pub(super) fn get(&self, key: &str) -> Option<(At, &'t DeValue<'t>)> {
        debug_assert!(self.section.keys().any(|known| known.name == key), "{key} is in the list");
        let value = self.members.get(key)?;
        Some((At { field: self.path(key), start: value.span().start }, value.get_ref()))
    }

    /// Every member, for tables whose keys are names that the author chose.
    pub(super) fn members(&self) -> impl Iterator<Item = (At, &'t str, &'t DeValue<'t>)> {
        self.members.iter().map(|(name, value)| {
            let field = self.path(name.get_ref());
            let at = At { field, start: name.span().start };
            (at, name.get_ref().as_ref(), value.get_ref())
        })
    }

    /// Whether it has keys that are not known.
    pub(super) fn has_unknown(&self) -> bool {
        self.members().any(|(_, name, _)| !self.section.keys().any(|key| key.name == name))
    }

    /// A finding that something is not there.
    pub(super) fn lacks(&self, key: &str, out: &mut Findings<'_>) {
        let takes = self.section.keys().find(|known| known.name == key).map_or("", |key| key.takes);
        let at = At { field: self.path(key), start: self.at.start };
        out.error(&at, format!("is missing: {takes}"));
    }

    pub(super) fn text(&self, key: &str, out: &mut Findings<'_>) -> Option<(At, &'t str)> {
        let (at, value) = self.get(key)?;
        let Some(text) = value.as_str() else {
            out.error(&at, format!("must be a text, and is {}", kind(value)));
            return None;
        };
        Some((at, text))
    }

    /// A text that means something.
    pub(super) fn word<T>(
        &self,
        key: &str,
        out: &mut Findings<'_>,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let (at, text) = self.text(key, out)?;
        let meant = read(text);
        if meant.is_none() {
            let takes =
                self.section.keys().find(|known| known.name == key).map_or("", |key| key.takes);
            out.error(&at, format!("`{}` is not {takes}", shown(text)));
        }
        meant
    }

    /// The same, where it must be there.
    pub(super) fn needed<T>(
        &self,
        key: &str,
        out: &mut Findings<'_>,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        if self.get(key).is_none() {
            self.lacks(key, out);
            return None;
        }
        self.word(key, out, read)
    }

    /// A line that explains something.
    pub(super) fn about(&self, out: &mut Findings<'_>) -> String {
        let Some((at, text)) = self.text("about", out) else { return String::new() };
        if text.chars().any(char::is_control) || text.chars().count() > ABOUT_CHARS_MAX {
            out.error(&at, format!("must be one line of at most {ABOUT_CHARS_MAX} characters"));
            return String::new();
        }
        text.trim().to_owned()
    }

    pub(super) fn whole(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        out: &mut Findings<'_>,
    ) -> Option<u64> {
        let (at, value) = self.get(key)?;
        let number = value.as_integer();
        let number = number.and_then(|it| u64::from_str_radix(it.as_str(), it.radix()).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (from, to) = range.into_inner();
            out.error(&at, format!("must be a whole number from {from} to {to}"));
        }
        number
    }

    pub(super) fn truth(&self, key: &str, out: &mut Findings<'_>) -> Option<bool> {
        let (at, value) = self.get(key)?;
        let truth = value.as_bool();
        if truth.is_none() {
            out.error(&at, format!("must be true or false, and is {}", kind(value)));
        }
        truth
    }

    /// A length of time.
    pub(super) fn length_ms(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
        out: &mut Findings<'_>,
    ) -> Option<i64> {
        self.word(key, out, |text| length_ms(text).filter(|ms| range.contains(ms)))
    }

    /// The elements of a list.
    pub(super) fn list(&self, key: &str, out: &mut Findings<'_>) -> Vec<(At, &'t DeValue<'t>)> {
        let Some((at, value)) = self.get(key) else { return Vec::new() };
        let Some(array) = value.as_array() else {
            out.error(&at, format!("must be a list, and is {}", kind(value)));
            return Vec::new();
        };
        let element = |value: &'t Spanned<DeValue<'t>>| {
            (At { field: at.field.clone(), start: value.span().start }, value.get_ref())
        };
        array.iter().map(element).collect()
    }

    /// A table, or each of a list of tables, whose places are counted from 1.
    pub(super) fn tables(&self, key: &str, section: Section, out: &mut Findings<'_>) -> Vec<Self> {
        let Some((at, value)) = self.get(key) else { return Vec::new() };
        if let Some(table) = value.as_table() {
            return vec![Self::open(section, at, table, out)];
        }
        let mut tables = Vec::new();
        for (place, (element, value)) in self.list(key, out).into_iter().enumerate() {
            let at = At { field: format!("{}[{}]", at.field, place + 1), ..element };
            match value.as_table() {
                Some(table) => tables.push(Self::open(section, at, table, out)),
                None => out.error(&at, format!("must be a table, and is {}", kind(value))),
            }
        }
        tables
    }

    /// Refuses keys that mean nothing here.
    pub(super) fn only(&self, allowed: &[&str], why: &str, out: &mut Findings<'_>) {
        for (at, name, _) in self.members() {
            if self.section.keys().any(|key| key.name == name) && !allowed.contains(&name) {
                out.error(&at, format!("means nothing {why}"));
            }
        }
    }
}

/// What a key that is not known could have been.
fn unknown(section: Section, name: &str) -> String {
    const FREE: [&str; 6] = ["string", "text", "str", "free", "json", "any"];
    if section == Section::Field && FREE.contains(&name) {
        return "is free text, which no field can hold: use `enum`, or `token_max` with a `charset`"
            .to_owned();
    }
    let known: Vec<&str> = section.keys().map(|key| key.name).collect();
    format!("is not known here; there are {}", known.join(", "))
}

/// What a value is, in the words of TOML.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A text as a finding may show it.
pub(super) fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(64).map(plain).collect()
}

/// A length of time such as `90s`, `5m`, `60h` or `1d`.
pub(super) fn length_ms(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match text.get(digits.len()..)? {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| digits.parse::<i64>().ok()?.checked_mul(unit_ms)).flatten()
}

/// A name, as a function that reads one.
pub(super) fn name(text: &str) -> Option<String> {
    is_name(text).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_has_a_number_and_a_unit() {
        for (text, ms) in
            [("90s", 90_000), ("5m", 300_000), ("60h", 216_000_000), ("1d", 86_400_000), ("0s", 0)]
        {
            assert_eq!(length_ms(text), Some(ms), "{text}");
        }
        for text in
            ["", "5", "m", "5 m", "-5m", "+5m", "5.5m", "5ms", "5w", "99999999999999999d", "５m"]
        {
            assert_eq!(length_ms(text), None, "{text}");
        }
    }

    #[test]
    fn lines_are_counted_from_one() {
        let findings = Findings::new("a\nb\r\nc");
        for (start, line) in [(0, 1), (1, 1), (2, 2), (5, 3), (99, 3)] {
            assert_eq!(findings.line(start), line, "{start}");
        }
    }
}
