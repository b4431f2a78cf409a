//! Whether OpenClaw runs the hook, as far as its configuration tells.
//!
//! The file is JSON5 and may include others. Where it is plain JSON it is understood; everything else
//! is unknown, and says why.
//!
//! ```json
//! { "hooks": { "internal": { "enabled": true, "entries": { "trueup": { "enabled": true } } } } }
//! ```

use std::path::Path;

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

/// Reads the configuration of a state folder.
pub(crate) fn look(state: &Path, environment: &Environment) -> Enabled {
    let named = environment.variable("OPENCLAW_CONFIG_PATH").map(|path| environment.expand(path));
    let paths =
        named.map_or_else(|| NAMES.map(|name| state.join(name)).to_vec(), |path| vec![path]);
    for path in paths {
        match path.try_exists() {
            Ok(false) => {}
            Ok(true) => {
                return read_text(&path).map_or_else(
                    |error| Enabled::Unknown(format!("{error:#}")),
                    |text| said(&text),
                );
            }
            Err(error) => {
                return Enabled::Unknown(format!("{} cannot be read: {error}", path.display()));
            }
        }
    }
    // Without a configuration OpenClaw runs no hook of this kind.
    Enabled::No
}

fn said(text: &str) -> Enabled {
    let Ok(config) = serde_json::from_str::<Value>(text) else {
        return unknown("the configuration is not plain JSON");
    };
    let is_on = |path: &str| config.pointer(path).and_then(Value::as_bool);
    let entry = format!("/hooks/internal/entries/{NAME}/enabled");
    match (is_on("/hooks/internal/enabled"), is_on(&entry)) {
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
}
