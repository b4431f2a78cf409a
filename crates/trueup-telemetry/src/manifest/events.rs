//! From TOML to a manifest: events.

use std::collections::{BTreeMap, BTreeSet};

use super::build::{field_list, named_field};
use super::keys::Section;
use super::read::{At, Findings, Table, length_ms, name};
use super::{
    Backfill, EVENTS_MAX, ErrorLevel, Errors, Field, FieldId, FieldType, Grain, Lifecycle,
    Manifest, Precision, Rollup, Severity, Used, find, is_name,
};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The shortest window: a shorter one is a stream of single records under another name.
const WINDOW_MS_MIN: i64 = 5 * MINUTE_MS;
/// Most records that a session may hold before it is sent.
const RECORDS_MAX: u64 = 1_000_000;
/// Most events of a kind that a manifest may keep in a day.
const PER_DAY_MAX: u64 = 100;
/// Most keys of an event.
const KEYS_MAX: usize = 1_024;
/// Most errors that a rollup carries.
const TOP_MAX: u64 = 32;
/// Errors that a rollup carries where the manifest does not say.
const TOP: u64 = 8;
/// The field that says to what the start of a window is cut down.
pub(super) const WINDOW_START: &str = "window_start_ts";

/// What a list of a rollup does with its fields.
#[derive(Debug, Clone, Copy)]
enum Does {
    Sum,
    Hist,
    Enum,
    Top,
}

impl Does {
    const fn key(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Hist => "hist",
            Self::Enum => "enum",
            Self::Top => "top",
        }
    }

    const fn takes(self, holds: &FieldType) -> bool {
        use FieldType::{Bool, Enum, F64, I64, Semver, Token, U64, Usd};
        match self {
            // Sums are exact, whatever is merged with what: numbers with a fraction are not added up.
            Self::Sum => matches!(holds, U64 | I64 | Usd),
            Self::Hist => matches!(holds, U64 | F64 | Usd),
            Self::Enum => matches!(holds, Enum(_) | Bool),
            Self::Top => matches!(holds, Enum(_) | Token { .. } | Semver),
        }
    }

    const fn needs(self) -> &'static str {
        match self {
            Self::Sum => "u64, i64 or usd",
            Self::Hist => "u64, f64 or usd",
            Self::Enum => "enum or bool",
            Self::Top => "enum, token or semver",
        }
    }

    fn key_of(self, field: &str) -> String {
        match self {
            Self::Sum => format!("total_{field}"),
            Self::Hist => field.to_owned(),
            Self::Enum => format!("{field}s"),
            Self::Top => format!("top_{field}"),
        }
    }
}

pub(super) fn rollups(root: &Table<'_>, fields: &[Field], out: &mut Findings<'_>) -> Vec<Rollup> {
    let tables = root.tables("rollup", Section::Rollup, out);
    tables.iter().filter_map(|table| rollup(table, fields, out)).collect()
}

fn rollup(table: &Table<'_>, fields: &[Field], out: &mut Findings<'_>) -> Option<Rollup> {
    let event = table.needed("event", out, name);
    let about = table.about(out);
    let mut of = |does| used(table, does, fields, out);
    let (sums, hists, enums, tops) = (of(Does::Sum), of(Does::Hist), of(Does::Enum), of(Does::Top));
    let plain = field_list(table, "fields", fields, out);
    let grain = grain(table, out)?;
    let start = start(fields, table, out);
    let line = out.line(table.at.start);
    let words = enums.iter().filter_map(|used| fields.get(usize::from(used.field.0)));
    let words: usize = words.map(|field| field.holds.words()).sum();
    let keys = sums.len() + tops.len() + 4 * hists.len() + words + plain.len();
    if keys > KEYS_MAX {
        out.error(&table.at, format!("has {keys} keys; an event may have {KEYS_MAX}"));
    }
    Some(Rollup {
        event: event?,
        about,
        grain,
        start,
        sums,
        hists,
        enums,
        tops,
        fields: plain,
        line,
    })
}

/// What is added up; whatever could be without end needs its cap.
fn grain(table: &Table<'_>, out: &mut Findings<'_>) -> Option<Grain> {
    const ALWAYS: [&str; 3] = ["event", "about", "grain"];
    const LISTS: [&str; 5] = ["sum", "hist", "enum", "top", "key"];
    let Some((at, text)) = table.text("grain", out) else {
        if table.get("grain").is_none() {
            table.lacks("grain", out);
        }
        return None;
    };
    let allowed = |more: &[&'static str]| [&ALWAYS, &LISTS[..], more].concat();
    match text {
        "session" => {
            table.only(&allowed(&["max_age", "max_records"]), "with `grain = \"session\"`", out);
            key(table, "session", out);
            for cap in ["max_age", "max_records"] {
                if table.get(cap).is_none() {
                    table.lacks(cap, out);
                }
            }
            let age_ms_max = table.length_ms("max_age", MINUTE_MS..=DAY_MS, out);
            let records_max = table.whole("max_records", 1..=RECORDS_MAX, out);
            Some(Grain::Session { age_ms_max: age_ms_max?, records_max: records_max? })
        }
        "event" => {
            let allowed = [&ALWAYS[..], &["fields", "max_per_day"]].concat();
            table.only(&allowed, "with `grain = \"event\"`", out);
            if table.get("max_per_day").is_none() {
                let at = At { field: format!("{}.max_per_day", table.at.field), ..at };
                out.error(&at, "is missing: an event for each record needs a cap");
            }
            let per_day_max = table.whole("max_per_day", 1..=PER_DAY_MAX, out);
            Some(Grain::Event { per_day_max: per_day_max? })
        }
        window => {
            table.only(&allowed(&[]), "with a window of time", out);
            key(table, "none", out);
            let ms = length_ms(window).filter(|ms| (WINDOW_MS_MIN..=DAY_MS).contains(ms));
            if ms.is_none() {
                out.error(&at, "must be `session`, a length of time from 5m to 1d, or `event`");
            } else if ms.is_some_and(|ms| DAY_MS % ms != 0) {
                out.error(&at, "must divide a day, so that windows begin and end with it");
            }
            ms.map(Grain::Window)
        }
    }
}

/// The `key` of a rollup says what its grain says already.
fn key(table: &Table<'_>, needed: &str, out: &mut Findings<'_>) {
    if let Some((at, found)) = table.text("key", out)
        && found != needed
    {
        out.error(&at, format!("must be \"{needed}\" with this `grain`"));
    }
}

/// A field of this name says how fine the start of a window is told; a day where there is none.
fn start(fields: &[Field], table: &Table<'_>, out: &mut Findings<'_>) -> Precision {
    let field = find(fields, WINDOW_START).and_then(|id| fields.get(usize::from(id.0)));
    match field.map(|field| &field.holds) {
        None => Precision::Day,
        Some(FieldType::Time(precision)) => *precision,
        Some(_) => {
            out.error(&table.at, format!("begins at `{WINDOW_START}`, which must be a `ts`"));
            Precision::Day
        }
    }
}

fn used(table: &Table<'_>, does: Does, fields: &[Field], out: &mut Findings<'_>) -> Vec<Used> {
    let mut all: Vec<Used> = Vec::new();
    for (at, value) in table.list(does.key(), out) {
        let found = match value.as_table() {
            Some(element) => {
                let element = Table::open(Section::Used, at.clone(), element, out);
                renamed(&element, fields, out)
            }
            None => named_field(&at, value, fields, out).map(|field| (field, None)),
        };
        let Some((id, key)) = found else { continue };
        let Some(field) = fields.get(usize::from(id.0)) else { continue };
        if !does.takes(&field.holds) {
            let (list, needs) = (does.key(), does.needs());
            out.error(&at, format!("names `{}`, but `{list}` takes {needs}", field.name));
        } else if all.iter().any(|used| used.field == id) {
            out.error(&at, format!("names `{}` twice", field.name));
        } else {
            all.push(Used { field: id, key: key.unwrap_or_else(|| does.key_of(&field.name)) });
        }
    }
    all
}

fn renamed(
    element: &Table<'_>,
    fields: &[Field],
    out: &mut Findings<'_>,
) -> Option<(FieldId, Option<String>)> {
    let Some((at, value)) = element.get("field") else {
        element.lacks("field", out);
        return None;
    };
    let id = named_field(&at, value, fields, out);
    let key = element.needed("as", out, name);
    Some((id?, Some(key?)))
}

pub(super) fn lifecycles(
    root: &Table<'_>,
    fields: &[Field],
    out: &mut Findings<'_>,
) -> Vec<Lifecycle> {
    let tables = root.tables("lifecycle", Section::Lifecycle, out);
    tables.iter().filter_map(|table| lifecycle(table, fields, out)).collect()
}

fn lifecycle(table: &Table<'_>, fields: &[Field], out: &mut Findings<'_>) -> Option<Lifecycle> {
    let event = table.needed("event", out, name);
    if table.get("max_per_day").is_none() {
        table.lacks("max_per_day", out);
    }
    let per_day_max = table.whole("max_per_day", 1..=PER_DAY_MAX, out);
    let about = table.about(out);
    let is_person = table.truth("person", out).unwrap_or(false);
    let fields = field_list(table, "fields", fields, out);
    let line = out.line(table.at.start);
    Some(Lifecycle { event: event?, about, is_person, per_day_max: per_day_max?, fields, line })
}

pub(super) fn errors(
    root: &Table<'_>,
    rollups: &[Rollup],
    out: &mut Findings<'_>,
) -> Option<Errors> {
    let table = one(root, "errors", Section::Errors, out)?;
    let level = if table.get("level").is_none() { Some(Some(ErrorLevel::Template)) } else { None };
    let level = level.or_else(|| {
        table.word("level", out, |text| match text {
            "off" => Some(None),
            "template" => Some(Some(ErrorLevel::Template)),
            "redacted" => Some(Some(ErrorLevel::Redacted)),
            _ => None,
        })
    })??;
    let rollup = table.needed("rollup", out, name)?;
    let carries = rollups.iter().find(|it| it.event == rollup);
    if !carries.is_some_and(|it| matches!(it.grain, Grain::Session { .. } | Grain::Window(_))) {
        let at = table.get("rollup").map_or_else(|| table.at.clone(), |(at, _)| at);
        out.error(&at, "must be the event of a [[rollup]] that adds something up");
    }
    let top = table.whole("top", 1..=TOP_MAX, out).unwrap_or(TOP);
    Some(Errors { level, rollup, top })
}

pub(super) fn backfill(
    root: &Table<'_>,
    fields: &[Field],
    out: &mut Findings<'_>,
) -> Option<Backfill> {
    let table = one(root, "backfill", Section::Backfill, out)?;
    let event = table.needed("event", out, name);
    let namespace = table.needed("namespace", out, |text| {
        let is_usual = text.len() == uuid::fmt::Hyphenated::LENGTH;
        (is_usual && uuid::Uuid::try_parse(text).is_ok()).then(|| text.to_owned())
    });
    if table.get("version").is_none() {
        table.lacks("version", out);
    }
    let version = table.whole("version", 1..=65_535, out);
    let lag_ms = match table.get("lag") {
        Some(_) => table.length_ms("lag", 48 * HOUR_MS..=30 * DAY_MS, out),
        None => Some(60 * HOUR_MS),
    };
    let needs = table.word("needs", out, |text| match text {
        "explicit" => Some(true),
        "consent" => Some(false),
        _ => None,
    });
    let about = table.about(out);
    let fields = field_list(&table, "fields", fields, out);
    Some(Backfill {
        event: event?,
        about,
        version: version?,
        namespace: namespace?,
        lag_ms: lag_ms?,
        is_explicit: needs.unwrap_or(true),
        fields,
        line: out.line(table.at.start),
    })
}

/// A table of which there may be one.
pub(super) fn one<'t>(
    root: &Table<'t>,
    key: &str,
    section: Section,
    out: &mut Findings<'_>,
) -> Option<Table<'t>> {
    let (at, value) = root.get(key)?;
    let table = value.as_table();
    if table.is_none() {
        out.error(&at, "must be one table");
    }
    Some(Table::open(section, at, table?, out))
}

/// No event stands there twice, and no two things are sent under one key.
pub(super) fn check_keys(manifest: &Manifest, out: &mut Findings<'_>) {
    let events: Vec<_> = manifest.told_events().collect();
    let top = At { field: String::new(), start: 0 };
    if events.len() > EVENTS_MAX {
        out.error(&top, format!("{} events; there may be {EVENTS_MAX}", events.len()));
    }
    let mut names = BTreeSet::new();
    for event in &events {
        if !names.insert(event.name) {
            let words = "is an event that stands there twice".to_owned();
            out.push(Severity::Error, event.line, event.name, words);
        }
    }
    if out.has_errors() {
        return;
    }
    let mut keys: BTreeMap<Option<&str>, BTreeSet<String>> = BTreeMap::new();
    for told in manifest.told() {
        let is_base = keys.get(&None).is_some_and(|base| base.contains(&told.key));
        let of_event = keys.entry(told.event).or_default();
        if is_base || !of_event.insert(told.key.clone()) {
            let event = told.event.unwrap_or("base");
            let line = events.iter().find(|it| it.name == event).map_or(1, |it| it.line);
            let words = format!("has two things under the key `{}`", told.key);
            out.push(Severity::Error, line, event, words);
        }
    }
    debug_assert!(manifest.fields.iter().all(|field| is_name(&field.name)), "fields have names");
}
