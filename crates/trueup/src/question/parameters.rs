//! The options of a verb as parameters: their schema, and how arguments become options.
//!
//! The command line says what each option is called, takes and means; nothing of that is said twice.

use std::any::TypeId;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flag,
    Texts,
    Text,
    Count,
}

impl Kind {
    fn of(option: &Arg) -> Self {
        let is_count = option.get_value_parser().type_id() == TypeId::of::<usize>();
        if matches!(option.get_action(), ArgAction::SetTrue) {
            Self::Flag
        } else if matches!(option.get_action(), ArgAction::Append) {
            Self::Texts
        } else if is_count {
            Self::Count
        } else {
            Self::Text
        }
    }
}

/// The name of a parameter: that of its option, with underscores.
fn name(option: &Arg) -> Option<String> {
    option.get_long().map(|long| long.replace('-', "_"))
}

/// The options of a verb that are parameters.
fn options<'a>(verb: &'a Command, names: &'a [&str]) -> impl Iterator<Item = (String, &'a Arg)> {
    verb.get_arguments().filter_map(|option| {
        let name = name(option)?;
        names.contains(&name.as_str()).then_some((name, option))
    })
}

/// The properties of a JSON schema (2020-12) that the options are.
pub(super) fn properties(verb: &Command, names: &[&str]) -> Map<String, Value> {
    options(verb, names).map(|(name, option)| (name, property(option))).collect()
}

fn property(option: &Arg) -> Value {
    let help = option.get_help().map(ToString::to_string).unwrap_or_default();
    let default: Vec<String> =
        option.get_default_values().iter().map(|value| value.to_string_lossy().into()).collect();
    let kind = Kind::of(option);
    let is_default_told = kind != Kind::Flag && !default.is_empty();
    let default = is_default_told.then(|| format!(" [default: {}]", default.join(",")));
    let about = help + &default.unwrap_or_default();
    let words: Vec<String> =
        option.get_possible_values().iter().map(|word| word.get_name().to_owned()).collect();
    match (kind, words.is_empty()) {
        (Kind::Flag, _) => json!({"type": "boolean", "description": about}),
        (Kind::Texts, true) => {
            json!({"type": "array", "items": {"type": "string"}, "description": about})
        }
        (Kind::Texts, false) => {
            json!({"type": "array", "items": {"type": "string", "enum": words}, "description": about})
        }
        (Kind::Text, true) => json!({"type": "string", "description": about}),
        (Kind::Text, false) => json!({"type": "string", "enum": words, "description": about}),
        (Kind::Count, _) => json!({"type": "integer", "minimum": 0, "description": about}),
    }
}

/// Arguments as options of the command line. A refusal names the one that is wrong; `further` are
/// parameters that somebody else takes.
pub(super) fn line(
    verb: &Command,
    names: &[&str],
    further: &[&str],
    arguments: &Map<String, Value>,
) -> Result<Vec<String>, String> {
    let mut line = Vec::new();
    for (given, value) in arguments {
        let Some((_, option)) = options(verb, names).find(|(name, _)| name == given) else {
            let known: Vec<&str> = names.iter().chain(further).copied().collect();
            return Err(refusal(given, &known));
        };
        let long = option.get_long().unwrap_or_default();
        let wrong = |what: &str| format!("`{given}` must be {what}, and is {value}");
        let mut push = |text: &str| line.push(format!("--{long}={text}"));
        match (Kind::of(option), value) {
            (_, Value::Null) | (Kind::Flag, Value::Bool(false)) => {}
            (Kind::Flag, Value::Bool(true)) => line.push(format!("--{long}")),
            (Kind::Flag, _) => return Err(wrong("true or false")),
            (Kind::Count, Value::Number(count)) => push(&count.to_string()),
            (Kind::Count, _) => return Err(wrong("a number")),
            (Kind::Text | Kind::Texts, Value::String(text)) => push(text),
            (Kind::Texts, Value::Array(texts)) => {
                for text in texts {
                    push(text.as_str().ok_or_else(|| wrong("a list of texts"))?);
                }
            }
            (Kind::Texts, _) => return Err(wrong("a list of texts")),
            (Kind::Text, _) => return Err(wrong("a text")),
        }
    }
    Ok(line)
}

/// What is said of a parameter that is not known.
pub(crate) fn refusal(given: &str, known: &[&str]) -> String {
    match known {
        [] => format!("`{given}` is not a parameter; there is none"),
        known => format!("`{given}` is not a parameter; there are {}", known.join(", ")),
    }
}

/// Reads options as the command line does.
pub(super) fn matches(verb: Command, line: &[String]) -> Result<ArgMatches, String> {
    verb.no_binary_name(true).try_get_matches_from(line).map_err(|error| said(&error))
}

/// The parameters of a URL as arguments: each text as what its option takes, where it can be read so.
pub(super) fn arguments(
    verb: &Command,
    names: &[&str],
    query: &[(String, String)],
) -> Result<Map<String, Value>, String> {
    let mut arguments = Map::new();
    for (given, text) in query {
        let option = options(verb, names).find(|(name, _)| name == given);
        let kind = option.map_or(Kind::Text, |(_, option)| Kind::of(option));
        let value = match kind {
            Kind::Texts => {
                let texts = arguments.entry(given.clone()).or_insert_with(|| json!([]));
                if let Value::Array(texts) = texts {
                    texts.push(json!(text));
                }
                continue;
            }
            Kind::Flag => text.parse().map_or_else(|_| json!(text), |flag: bool| json!(flag)),
            Kind::Count => text.parse().map_or_else(|_| json!(text), |count: u64| json!(count)),
            Kind::Text => json!(text),
        };
        if arguments.insert(given.clone(), value).is_some() {
            return Err(format!("`{given}` may be given only once"));
        }
    }
    Ok(arguments)
}

/// What the command line says of an error, without what is only of use there.
fn said(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.starts_with("For more information"));
    let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").trim_start_matches("error: ").to_owned()
}
