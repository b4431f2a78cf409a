//! Where OpenClaw says that it keeps sessions elsewhere: in its settings and in its registry.
//!
//! Nothing is left out because neither names it. A place that both name, or that lies where it would
//! be found anyway, is one place.
//!
//! ```text
//! ~/.openclaw/openclaw.json            { session: { store: "/srv/claw/{agentId}/sessions.json" } }
//! ~/.openclaw/state/openclaw.sqlite    agent_databases(agent_id, path, …)
//! ```

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::Deserialize;
use trueup_core::ProblemKind;

use super::{home, set};
use crate::agent::{self, Directions, Environment, Guide, Place, Root};
use crate::sqlite;

/// The settings file's names, newest first, like those of the state folder.
const SETTINGS_NAMES: [&str; 4] =
    ["openclaw.json", "clawdbot.json", "moltbot.json", "moldbot.json"];

/// A whole settings file.
const SETTINGS: &str = "settings";
/// The value of `session` in a file of its own.
const SESSION: &str = "session settings";
/// The table of agents' databases.
const REGISTRY: &str = "registry";

/// What a store in `session.store` is named after the agent by.
const AGENT: &str = "{agentId}";

/// Deepest nesting of settings that is read: the parser takes a step of the stack for each.
const NESTING_MAX: usize = 64;

/// Databases that a registry may name; further ones are a problem.
const DATABASES_MAX: usize = 10_000;

/// The guides of a state folder.
pub(super) fn of_state_folder(root: &Path, environment: &Environment) -> Vec<Guide> {
    let mut settings: Vec<PathBuf> = SETTINGS_NAMES.iter().map(|name| root.join(name)).collect();
    // Of whichever folder OpenClaw runs on, and not of one that trueup was pointed at.
    if !environment.pointed.contains_key(super::SOURCE) {
        let named = set(environment, "OPENCLAW_CONFIG_PATH");
        settings.extend(named.map(|path| agent::expand(path, &home(environment).0)));
    }
    let guide = |path, is_database, about| Guide { path, is_database, about, named_by: None };
    settings
        .into_iter()
        .map(|path| guide(path, false, SETTINGS))
        .chain([guide(root.join("state/openclaw.sqlite"), true, REGISTRY)])
        .collect()
}

/// The part of the settings that says where sessions lie.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    #[serde(rename = "$include")]
    include: Option<Include>,
    session: Session,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Session {
    #[serde(rename = "$include")]
    include: Option<Include>,
    store: Option<String>,
}

/// Files whose contents stand in the place of an `$include`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Include {
    One(String),
    Several(Vec<String>),
}

/// Reads `openclaw.json`, or what it includes.
pub(super) fn settings(guide: &Guide, text: &[u8], environment: &Environment, to: &mut Directions) {
    let settings = match parse(guide, text) {
        Ok(settings) => settings,
        Err((line, detail)) => {
            to.problem(
                ProblemKind::NotJson,
                line,
                format!("{detail}, and may name further stores"),
            );
            return;
        }
    };
    include(guide, settings.include, SETTINGS, environment, to);
    include(guide, settings.session.include, SESSION, environment, to);
    if let Some(store) = settings.session.store {
        match session_store(&store, environment) {
            Ok(places) => to.places.extend(places),
            Err(detail) => to.problem(ProblemKind::BadRecord, 0, detail),
        }
    }
}

fn parse(guide: &Guide, text: &[u8]) -> Result<Settings, (u64, String)> {
    let text = str::from_utf8(text).map_err(|_| (0, "is no UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if nesting(text) > NESTING_MAX {
        return Err((0, format!("is nested deeper than {NESTING_MAX} levels")));
    }
    let parsed = if guide.about == SESSION {
        json5::from_str(text).map(|session| Settings { session, ..Settings::default() })
    } else {
        json5::from_str(text)
    };
    // Not the parser's own words: they may repeat a value, and settings hold secrets.
    parsed.map_err(|error| {
        let line = error.position().map_or(0, |at| at.line as u64 + 1);
        (line, "is no JSON5 settings file".to_owned())
    })
}

/// How deep the brackets of a JSON5 text nest at most.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = text;
    while let Some(at) = rest.find(['{', '[', '}', ']', '"', '\'', '/']) {
        let (_, found) = rest.split_at(at);
        rest = match found.as_bytes() {
            [b'{' | b'[', ..] => {
                depth += 1;
                deepest = deepest.max(depth);
                after(found, 1)
            }
            [b'}' | b']', ..] => {
                depth = depth.saturating_sub(1);
                after(found, 1)
            }
            [b'/', b'/', ..] => {
                found.split_once(['\n', '\r', '\u{2028}', '\u{2029}']).map_or("", |(_, rest)| rest)
            }
            [b'/', b'*', ..] => after(found, 2).split_once("*/").map_or("", |(_, rest)| rest),
            [quote @ (b'"' | b'\''), ..] => after_text(after(found, 1), char::from(*quote)),
            _ => after(found, 1),
        };
    }
    deepest
}

/// What comes after a text whose beginning is cut off.
fn after_text(mut rest: &str, quote: char) -> &str {
    while let Some(at) = rest.find([quote, '\\']) {
        let (_, found) = rest.split_at(at);
        if found.starts_with(quote) {
            return after(found, 1);
        }
        // Whatever is escaped, it does not end the text.
        let escaped = found.chars().nth(1).map_or(0, char::len_utf8);
        rest = after(found, 1 + escaped);
    }
    ""
}

fn after(text: &str, bytes: usize) -> &str {
    text.get(bytes..).unwrap_or_default()
}

/// Adds the files that are included. Those of included files are not followed, and are named.
fn include(
    guide: &Guide,
    include: Option<Include>,
    about: &'static str,
    environment: &Environment,
    to: &mut Directions,
) {
    let names = match include {
        None => return,
        Some(Include::One(name)) => vec![name],
        Some(Include::Several(names)) => names,
    };
    if guide.named_by.is_some() {
        let detail = "its own `$include` is not followed, and may name further stores";
        to.problem(ProblemKind::BadRecord, 0, detail);
        return;
    }
    let folder = guide.path.parent().unwrap_or(Path::new("/"));
    let guides = names.into_iter().map(|name| Guide {
        path: folder.join(agent::expand(&name, &home(environment).0)).components().collect(),
        is_database: false,
        about,
        named_by: None,
    });
    to.guides.extend(guides);
}

/// A session index, and the folder of transcripts beside it.
fn session_store(store: &str, environment: &Environment) -> Result<Vec<Place>, String> {
    let index = agent::expand(&with_variables(store.trim(), environment)?, &home(environment).0);
    let (true, Some(folder)) = (index.is_absolute(), index.parent()) else {
        let why = "depends on where OpenClaw was started: write it in full";
        return Err(format!("`session.store` is a relative path, which {why}"));
    };
    let mut places = vec![place(folder, "sessions")];
    if !index.ends_with(INDEX) {
        // In the folder, nothing tells it from other files.
        places.push(place(&index, "sessions/sessions.json"));
    }
    Ok(places)
}

/// The index's usual name, by which it is found in its folder.
const INDEX: &str = "sessions.json";

/// What stands for a part of an agent's folder.
fn place(path: &Path, part: &str) -> Place {
    let text = path.to_string_lossy();
    let is_pattern = text.contains(AGENT);
    let agent = if is_pattern { "*" } else { "main" };
    let stands_for = PathBuf::from(format!("agents/{agent}/{part}"));
    let path = text.replace(AGENT, "*").into();
    let root = Root { path, origin: "session.store", is_pattern, stands_for };
    Place { root, line: 0, is_required: false }
}

/// A value with `${NAME}` replaced, as OpenClaw does.
fn with_variables(value: &str, environment: &Environment) -> Result<String, String> {
    let (mut text, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { break };
        let Some(value) = environment.variable(name) else {
            return Err(format!(
                "`session.store` needs the variable {name}, which is not set here"
            ));
        };
        text.push_str(before);
        text.push_str(value);
        rest = after;
    }
    Ok(text + rest)
}

/// Reads `state/openclaw.sqlite`.
pub(super) fn registry(
    guide: &Guide,
    database: &Connection,
    to: &mut Directions,
) -> rusqlite::Result<()> {
    let columns = sqlite::columns(database, "agent_databases")?;
    if columns.is_empty() {
        return Ok(());
    }
    if let Some(missing) = ["agent_id", "path"].iter().find(|name| !columns.contains(**name)) {
        let detail = format!("agent_databases has no column {missing}");
        to.problem(ProblemKind::UnknownSchema, 0, detail);
        return Ok(());
    }
    // `<state>/state/openclaw.sqlite`: paths in it begin at the state folder.
    let state = guide.path.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let mut statement =
        database.prepare("SELECT agent_id, path FROM agent_databases ORDER BY agent_id, path")?;
    let mut rows = statement.query([])?;
    let mut line = 0;
    while let Some(row) = rows.next()? {
        line += 1;
        let (agent, path) = (row.get_ref(0)?.as_str(), row.get_ref(1)?.as_str());
        let (Ok(agent), Ok(path)) = (agent, path.map(str::trim)) else {
            let detail = "agent_databases has a row whose agent_id or path is no text";
            to.problem(ProblemKind::BadRecord, line, detail);
            continue;
        };
        if to.places.len() >= DATABASES_MAX {
            let detail = format!("agent_databases has more than {DATABASES_MAX} rows");
            to.problem(ProblemKind::TooLarge, line, detail);
            break;
        }
        let root = Root {
            path: state.join(path),
            origin: "agent_databases",
            is_pattern: false,
            stands_for: format!("agents/{agent}/agent/openclaw-agent.sqlite").into(),
        };
        to.places.push(Place { root, line, is_required: true });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn environment() -> Environment {
        let variables = [("STORES".to_owned(), "/srv/stores".to_owned())].into();
        Environment { home: "/home/u".into(), variables, ..Environment::default() }
    }

    fn read(text: &[u8]) -> Directions {
        let path = "/home/u/.openclaw/openclaw.json".into();
        let guide = Guide { path, is_database: false, about: SETTINGS, named_by: None };
        let mut directions = Directions::default();
        settings(&guide, text, &environment(), &mut directions);
        directions
    }

    #[test]
    fn session_stores_are_named_in_every_way_that_openclaw_takes() {
        for (store, folder, stands_for) in [
            ("/a/sessions.json", "/a", "agents/main/sessions"),
            ("~/a/sessions.json", "/home/u/a", "agents/main/sessions"),
            ("/a/{agentId}/sessions.json", "/a/*", "agents/*/sessions"),
            ("/a/{agentId}.json", "/a", "agents/main/sessions"),
            ("${STORES}/x/sessions.json", "/srv/stores/x", "agents/main/sessions"),
        ] {
            let text = format!(
                "// ours\n{{ gateway: {{ port: 0x10, }}, session: {{ store: '{store}' }} }}"
            );
            let directions = read(text.as_bytes());
            let [place, ..] = directions.places.as_slice() else { panic!("{directions:?}") };
            assert_eq!(place.root.path, Path::new(folder), "{store}");
            assert_eq!(place.root.stands_for, Path::new(stands_for), "{store}");
            assert_eq!(place.root.is_pattern, folder.contains('*'), "{store}");
            assert_eq!(directions.problems, [], "{store}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_a_problem_without_content() {
        for (text, line, expected) in [
            ("{ session: { store: 'sessions.json' } }", 0, "is a relative path"),
            ("{ session: { store: '${SECRET_DIR}/s.json' } }", 0, "needs the variable SECRET_DIR"),
            ("{\n session: { store: 7 } }", 2, "is no JSON5 settings file"),
            ("{\n token: 's3cret' oops }", 2, "is no JSON5 settings file"),
        ] {
            let problems = read(text.as_bytes()).problems;
            assert_eq!(problems.len(), 1, "{text}");
            assert!(problems[0].detail.contains(expected), "{text}: {problems:?}");
            assert_eq!(problems[0].line, line, "{text}");
            assert!(!format!("{problems:?}").contains("s3cret"), "{problems:?}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(deep.as_bytes()).problems[0].detail.contains("nested deeper"));
    }

    #[test]
    fn brackets_in_texts_and_comments_do_not_nest() {
        for (text, expected) in [
            ("{ a: [ { b: 1 } ] }", 3),
            (r#"{ a: "[[[", b: '{\'{{', }"#, 1),
            ("{ // [[[\n a: /* [[ */ [] }", 2),
            ("'\\", 0),
            ("/* [", 0),
        ] {
            assert_eq!(nesting(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_settings_panic(text in "[\\[{}\\]:,'\"/*\\\\ \nsession$include{store}é0-9]{0,200}") {
            let _directions = read(text.as_bytes());
        }
    }
}
