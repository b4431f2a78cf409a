//! From TOML to a manifest: what stands above all tables, and the fields.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::keys::Section;
use super::read::{At, Findings, Table, kind, shown};
use super::{
    Charset, FIELDS_MAX, Field, FieldId, FieldType, Finding, MANIFEST_BYTES_MAX, Manifest,
    NAME_CHARS_MAX, Precision, WORDS_MAX, events, find, is_name, sinks,
};
use crate::consent::{Mode, Notice};
use crate::identity::IdKind;

/// A manifest, where nothing is wrong with it, and all that is.
pub(super) fn read(text: &str) -> (Option<Manifest>, Vec<Finding>) {
    let mut out = Findings::new(text);
    let top = At { field: String::new(), start: 0 };
    if text.len() > MANIFEST_BYTES_MAX {
        out.error(&top, format!("is longer than {MANIFEST_BYTES_MAX} bytes"));
        return (None, out.list);
    }
    // A byte order mark is no part of TOML, and editors leave it; it has no line of its own.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    out = Findings::new(text);
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => {
            let start = error.span().map_or(0, |span| span.start);
            let words = error.message().lines().next().unwrap_or_default().to_owned();
            out.error(&At { start, ..top }, format!("this is not TOML: {words}"));
            return (None, out.list);
        }
    };
    let root = Table::open(Section::Top, top, root.get_ref(), &mut out);
    let mut manifest = manifest(&root, &mut out);
    // The walk is bounded only where what it walks over is.
    if !out.has_errors() {
        events::check_keys(&manifest, &mut out);
        manifest.accepted = manifest.accepted_by_event();
    }
    let is_good = !out.has_errors();
    (is_good.then_some(manifest), out.list)
}

fn manifest(root: &Table<'_>, out: &mut Findings<'_>) -> Manifest {
    let fields = fields(root, out);
    let product = root.needed("product", out, |text| {
        let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        (is_sized(text) && text.bytes().all(is_plain) && !text.starts_with('-'))
            .then(|| text.to_owned())
    });
    let env_prefix = root.needed("env_prefix", out, variable);
    let data_dir = root.word("data_dir", out, path);
    let default = root.word("default", out, Mode::of_word).unwrap_or(Mode::Off);
    let notice = root.word("notice", out, |text| match text {
        "required" => Some(Notice::Required),
        "none" => Some(Notice::None),
        _ => None,
    });
    let id = root.word("id", out, |text| IdKind::ALL.into_iter().find(|it| it.word() == text));
    let base = field_list(root, "base", &fields, out);
    let rollups = events::rollups(root, &fields, out);
    Manifest {
        about: root.about(out),
        default,
        notice: notice.unwrap_or_default(),
        id: id.unwrap_or(IdKind::None),
        base,
        lifecycles: events::lifecycles(root, &fields, out),
        errors: events::errors(root, &rollups, out),
        budget: sinks::budget(root, out),
        sinks: sinks::sinks(root, out),
        backfill: events::backfill(root, &fields, out),
        rollups,
        fields,
        accepted: BTreeMap::new(),
        data_dir,
        product: product.unwrap_or_default(),
        env_prefix: env_prefix.unwrap_or_default(),
    }
}

fn is_sized(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
}

/// The name of a variable, or what such names begin with.
pub(super) fn variable(text: &str) -> Option<String> {
    let is_plain = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_';
    let is_variable = is_sized(text)
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(is_plain);
    is_variable.then(|| text.to_owned())
}

/// A path that does not depend on where the product is started.
pub(super) fn path(text: &str) -> Option<String> {
    let is_fixed = text.starts_with('/') || text.starts_with("~/");
    let is_plain = !text.chars().any(char::is_control) && text.len() <= 1024;
    (is_fixed && is_plain && !text.split('/').any(|part| part == "..")).then(|| text.to_owned())
}

// --- fields --------------------------------------------------------------------------------------

/// Every field, by name.
fn fields(root: &Table<'_>, out: &mut Findings<'_>) -> Vec<Field> {
    let Some((at, value)) = root.get("fields") else { return Vec::new() };
    let Some(table) = value.as_table() else {
        out.error(&at, format!("must be a table, and is {}", kind(value)));
        return Vec::new();
    };
    if table.len() > FIELDS_MAX {
        out.error(&at, format!("has {} fields; there may be {FIELDS_MAX}", table.len()));
        return Vec::new();
    }
    let mut fields = Vec::new();
    for (name, value) in table {
        let name_at = At { field: format!("fields.{}", name.get_ref()), start: name.span().start };
        fields.extend(field(name.get_ref(), name_at, value.get_ref(), out));
    }
    fields.sort_by(|a: &Field, b| a.name.cmp(&b.name));
    fields
}

fn field<'t>(name: &str, at: At, value: &'t DeValue<'t>, out: &mut Findings<'_>) -> Option<Field> {
    if !is_name(name) {
        out.error(&at, "is not a name of `a-z0-9_` that begins with a letter");
        return None;
    }
    let Some(table) = value.as_table() else {
        out.error(&at, format!("must be a table such as {{ u64 = true }}, and is {}", kind(value)));
        return None;
    };
    let line = out.line(at.start);
    let table = Table::open(Section::Field, at, table, out);
    let about = table.about(out);
    // A field whose type is wrong is there all the same, so that what uses it is not wrong as well.
    let holds = holds(&table, out).unwrap_or(FieldType::Bool);
    Some(Field { name: name.to_owned(), holds, about, line })
}

/// The keys of which a field must have one.
const TYPES: [&str; 10] =
    ["bool", "u64", "i64", "f64", "usd", "semver", "day", "ts", "enum", "token_max"];

fn holds(table: &Table<'_>, out: &mut Findings<'_>) -> Option<FieldType> {
    let types: Vec<&str> = TYPES.into_iter().filter(|key| table.get(key).is_some()).collect();
    let [key] = types.as_slice() else {
        // What was meant for a type has its finding already.
        if types.is_empty() && table.has_unknown() {
            return None;
        }
        let found = if types.is_empty() { "none".to_owned() } else { types.join(" and ") };
        out.error(
            &table.at,
            format!("must have one type of {}, and has {found}", TYPES.join(", ")),
        );
        return None;
    };
    if *key != "token_max"
        && let Some((at, _)) = table.get("charset")
    {
        out.error(&at, "means nothing without `token_max`");
    }
    match *key {
        "ts" => table.word("ts", out, precision).map(FieldType::Time),
        "enum" => words(table, out).map(FieldType::Enum),
        "token_max" => {
            let chars_max = table.whole("token_max", 1..=NAME_CHARS_MAX as u64, out)?;
            let charset = match table.get("charset") {
                Some(_) => table.word("charset", out, charset)?,
                None => Charset::Name,
            };
            Some(FieldType::Token { chars_max: usize::try_from(chars_max).ok()?, charset })
        }
        plain => {
            if table.truth(plain, out)? {
                return Some(plain_type(plain));
            }
            out.error(&table.at, format!("says that it is not a `{plain}`, and nothing else"));
            None
        }
    }
}

fn plain_type(key: &str) -> FieldType {
    match key {
        "u64" => FieldType::U64,
        "i64" => FieldType::I64,
        "f64" => FieldType::F64,
        "usd" => FieldType::Usd,
        "semver" => FieldType::Semver,
        "day" => FieldType::Day,
        _ => FieldType::Bool,
    }
}

fn precision(text: &str) -> Option<Precision> {
    Some(match text {
        "day" => Precision::Day,
        "hour" => Precision::Hour,
        "minute" => Precision::Minute,
        "ms" => Precision::Millisecond,
        _ => return None,
    })
}

fn charset(text: &str) -> Option<Charset> {
    Some(match text {
        "word" => Charset::Word,
        "name" => Charset::Name,
        "model" => Charset::Model,
        _ => return None,
    })
}

fn words(table: &Table<'_>, out: &mut Findings<'_>) -> Option<Vec<Arc<str>>> {
    let mut words: Vec<Arc<str>> = Vec::new();
    let mut seen = BTreeSet::new();
    let list = table.list("enum", out);
    let count = list.len();
    for (at, value) in list {
        let word = value.as_str().filter(|word| is_word(word));
        let Some(word) = word else {
            let found = value.as_str().map_or_else(|| kind(value).to_owned(), shown);
            out.error(&at, format!("has `{found}`, which is not a word of `A-Za-z0-9_.-`"));
            return None;
        };
        if !seen.insert(word) {
            out.error(&at, format!("has `{word}` twice"));
        }
        words.push(word.into());
    }
    if !(1..=WORDS_MAX).contains(&count) {
        let at = table.get("enum").map_or_else(|| table.at.clone(), |(at, _)| at);
        out.error(&at, format!("must have 1 to {WORDS_MAX} words, and has {count}"));
        return None;
    }
    Some(words)
}

fn is_word(text: &str) -> bool {
    is_sized(text) && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
}

/// The fields that a list names.
pub(super) fn field_list(
    table: &Table<'_>,
    key: &str,
    fields: &[Field],
    out: &mut Findings<'_>,
) -> Vec<FieldId> {
    let mut ids = Vec::new();
    for (at, value) in table.list(key, out) {
        let Some(id) = named_field(&at, value, fields, out) else { continue };
        if ids.contains(&id) {
            out.error(&at, format!("names `{}` twice", value.as_str().unwrap_or_default()));
        } else {
            ids.push(id);
        }
    }
    ids
}

/// The field that a text names.
pub(super) fn named_field(
    at: &At,
    value: &DeValue<'_>,
    fields: &[Field],
    out: &mut Findings<'_>,
) -> Option<FieldId> {
    let Some(name) = value.as_str() else {
        out.error(at, format!("must name a field, and has {}", kind(value)));
        return None;
    };
    let id = find(fields, name);
    if id.is_none() {
        out.error(at, format!("names `{}`, which is not one of [fields]", shown(name)));
    }
    id
}
