//! The options of a verb as the parameters of a tool: their schema, and how arguments become options.
//!
//! The command line says what each option is called, takes and means; nothing of that is said twice.

use std::any::TypeId;

use anyhow::{Result, anyhow, bail};
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

/// Reads arguments as the command line would. A refusal names the one that is wrong.
pub(super) fn matches(
    verb: Command,
    names: &[&str],
    arguments: &Map<String, Value>,
) -> Result<ArgMatches> {
    let mut line = Vec::new();
    for (given, value) in arguments {
        let Some((_, option)) = options(&verb, names).find(|(name, _)| name == given) else {
            let known: Vec<&str> = names.iter().copied().chain(["limit", "offset"]).collect();
            bail!("`{given}` is not a parameter; there are {}", known.join(", "));
        };
        let long = option.get_long().unwrap_or_default();
        let wrong = |what: &str| anyhow!("`{given}` must be {what}, and is {value}");
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
    verb.no_binary_name(true).try_get_matches_from(line).map_err(|error| anyhow!(said(&error)))
}

/// What the command line says of an error, without what is only of use there.
fn said(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.starts_with("Usage:"));
    let lines = lines.filter(|line| !line.starts_with("For more information"));
    let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").trim_start_matches("error: ").to_owned()
}
