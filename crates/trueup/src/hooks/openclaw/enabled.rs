//! Whether OpenClaw runs the hook, as far as its configuration tells.
//!
//! The file is JSON5 and may include others. Where it is plain JSON it is understood; everything else
//! is unknown, and says why.
//!
//! ```json
//! { "hooks": { "internal": { "enabled": true, "entries": { "trueup": { "enabled": true } } } } }
//! ```

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;
use trueup_agents::Environment;

use super::NAME;
use crate::config::read_text;

/// What a configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Enabled {
    Yes,
    No,
    /// It does not say, and why.
    Unknown(String),
}

/// The configuration's names in a state folder, newest first: the product was renamed.
const NAMES: [&str; 4] = ["openclaw.json", "clawdbot.json", "moltbot.json", "moldbot.json"];

/// Whether the configuration of a state folder has the hook run.
pub(crate) fn look(state: &Path, environment: &Environment) -> Enabled {
    match configuration(state, environment) {
        // Without a configuration OpenClaw runs no hook of this kind.
        Ok(None) => Enabled::No,
        Ok(Some(text)) => said(&text),
        Err(error) => Enabled::Unknown(format!("{error:#}")),
    }
}

/// Whether no hook at all runs, as far as can be told.
pub(crate) fn are_all_off(state: &Path, environment: &Environment) -> bool {
    match configuration(state, environment) {
        Ok(None) => true,
        Ok(Some(text)) => serde_json::from_str(&text).is_ok_and(|config: Value| {
            is_on(&config, INTERNAL) != Some(true) && !has_include(&config)
        }),
        Err(_) => false,
    }
}

/// The configuration that OpenClaw reads for a state folder.
fn configuration(state: &Path, environment: &Environment) -> Result<Option<String>> {
    let named = environment.variable("OPENCLAW_CONFIG_PATH").map(|path| environment.expand(path));
    let paths =
        named.map_or_else(|| NAMES.map(|name| state.join(name)).to_vec(), |path| vec![path]);
    for path in paths {
        let is_there = path.try_exists();
        if is_there.with_context(|| format!("{} cannot be looked at", path.display()))? {
            return read_text(&path).map(Some);
        }
    }
    Ok(None)
}

/// Where the configuration says whether hooks run at all.
const INTERNAL: &str = "/hooks/internal/enabled";

fn is_on(config: &Value, path: &str) -> Option<bool> {
    config.pointer(path).and_then(Value::as_bool)
}

fn said(text: &str) -> Enabled {
    let Ok(config) = serde_json::from_str::<Value>(text) else {
        return unknown("the configuration is not plain JSON");
    };
    let entry = format!("/hooks/internal/entries/{NAME}/enabled");
    match (is_on(&config, INTERNAL), is_on(&config, &entry)) {
        (Some(false), _) | (_, Some(false)) => Enabled::No,
        (Some(true), Some(true)) => Enabled::Yes,
        _ if has_include(&config) => unknown("the configuration includes other files"),
        // Versions of OpenClaw differ in what the one means without the other.
        (Some(true), None) => unknown("hooks are on, and no entry names this one"),
        (None, Some(true)) => unknown("its entry is on, and nothing says that hooks are"),
        (None, None) => Enabled::No,
    }
}

fn unknown(why: &str) -> Enabled {
    Enabled::Unknown(why.to_owned())
}

/// Whether one of the objects above the hook's entry goes on in another file.
fn has_include(config: &Value) -> bool {
    let path = ["/$include", "/hooks/$include", "/hooks/internal/$include"];
    let path = path.into_iter().chain(["/hooks/internal/entries/$include"]);
    path.into_iter().any(|path| config.pointer(path).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_unknown() {
        let internal = |internal: &str| said(&format!(r#"{{"hooks":{{"internal":{internal}}}}}"#));
        let entry = r#""entries":{"trueup":{"enabled":true}}"#;
        assert_eq!(internal(&format!(r#"{{"enabled":true,{entry}}}"#)), Enabled::Yes);
        assert_eq!(internal(&format!(r#"{{"enabled":false,{entry}}}"#)), Enabled::No);
        let off = r#"{"enabled":true,"entries":{"trueup":{"enabled":false}}}"#;
        assert_eq!(internal(off), Enabled::No);
        assert_eq!(said("{}"), Enabled::No);
        assert_eq!(said(r#"{"hooks":7}"#), Enabled::No);
        for text in [
            r#"{"hooks":{"internal":{"enabled":true}}}"#,
            r#"{"hooks":{"internal":{"entries":{"trueup":{"enabled":true}}}}}"#,
            r#"{"hooks":{"$include":"hooks.json5"}}"#,
            "{ // JSON5\n hooks: {} }",
        ] {
            assert!(matches!(said(text), Enabled::Unknown(_)), "{text}");
        }
    }

    #[test]
    fn the_configuration_may_be_elsewhere_or_of_an_older_name() {
        let state = tempfile::tempdir().unwrap();
        let mut environment = Environment::default();
        assert_eq!(look(state.path(), &environment), Enabled::No);
        assert!(are_all_off(state.path(), &environment));
        let on = r#"{"hooks":{"internal":{"enabled":true,"entries":{"trueup":{"enabled":true}}}}}"#;
        std::fs::write(state.path().join("moltbot.json"), on).unwrap();
        assert_eq!(look(state.path(), &environment), Enabled::Yes);
        assert!(!are_all_off(state.path(), &environment));
        let named = state.path().join("mine.json");
        std::fs::write(&named, "{}").unwrap();
        let named = named.to_string_lossy().into_owned();
        environment.variables.insert("OPENCLAW_CONFIG_PATH".into(), named);
        assert_eq!(look(state.path(), &environment), Enabled::No);
    }
}
