//! OpenCode: one message after another, in JSON files until 1.13, in a SQLite store since.
//!
//! Three eras may lie side by side, because each move left the older store as it was: documents below
//! `storage/message`, the table `message`, the table `session_message`. A message keeps its id
//! throughout and counts once, by its newest store.
//!
//! ```text
//! ~/.local/share/opencode/storage/message/ses_6f1c…/msg_9d3a….json
//! ~/.local/share/opencode/opencode.db
//! ~/.local/share/opencode/opencode-nightly.db
//! ```

mod database;
mod message;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::Path;

use rusqlite::Connection;
use trueup_core::ProblemKind;

use crate::agent::{Agent, Decoder, Environment, Root, Store, StoreKind};
use crate::found::Found;
use crate::lines::Line;
use crate::scan::Positions;
use message::{Era, Message, Place};

/// OpenCode.
#[derive(Debug)]
pub(crate) struct OpenCode;

const SOURCE: &str = "opencode";

impl Agent for OpenCode {
    fn id(&self) -> &'static str {
        SOURCE
    }

    fn title(&self) -> &'static str {
        "OpenCode"
    }

    fn roots(&self, environment: &Environment) -> Vec<Root> {
        environment.folders("OPENCODE_DATA_DIR").unwrap_or_else(|| {
            let path = environment.xdg("XDG_DATA_HOME", ".local/share").join("opencode");
            vec![Root::new(path, "XDG_DATA_HOME")]
        })
    }

    fn classify(&self, below_root: &Path) -> Option<StoreKind> {
        let names = names(below_root);
        match names.iter().map(AsRef::as_ref).collect::<Vec<&str>>().as_slice() {
            ["storage", "message", _, _] => {
                (below_root.extension()? == "json").then_some(StoreKind::Document)
            }
            [name] => is_store(name).then_some(StoreKind::Database),
            _ => None,
        }
    }

    fn enters(&self, below_root: &Path) -> bool {
        let names = names(below_root);
        matches!(
            names.iter().map(AsRef::as_ref).collect::<Vec<&str>>().as_slice(),
            ["storage"] | ["storage", "message"] | ["storage", "message", _]
        )
    }

    fn decoder(&self, _store: &Store, _state: &str) -> Box<dyn Decoder> {
        Box::new(NoLines)
    }

    fn document(&self, store: &Store, bytes: &[u8], found: &mut Found<'_>) {
        match Line::new(0, bytes).parse::<Message<'_>>() {
            Ok(message) => {
                let folder = store.path.parent().and_then(Path::file_name);
                let place = Place {
                    era: Era::Documents,
                    id: store.stem(),
                    session: folder.and_then(OsStr::to_str).unwrap_or_default(),
                    directory: "",
                    time: store.modified(),
                };
                if message.is_answer() && !message.is_running() {
                    message.report(&place, found);
                }
            }
            Err(error) => found.problem(ProblemKind::NotJson, 0, error.to_string()),
        }
    }

    fn database(
        &self,
        store: &Store,
        database: &Connection,
        marks: &dyn Positions,
        found: &mut Found<'_>,
    ) -> rusqlite::Result<()> {
        database::read(store, database, marks, found)
    }
}

/// Every channel but the stable one has a store of its own.
fn is_store(name: &str) -> bool {
    name == "opencode.db"
        || name
            .strip_prefix("opencode-")
            .and_then(|name| name.strip_suffix(".db"))
            .is_some_and(|channel| !channel.is_empty())
}

fn names(path: &Path) -> Vec<Cow<'_, str>> {
    path.iter().map(OsStr::to_string_lossy).collect()
}

/// OpenCode has no stores of lines.
#[derive(Debug)]
struct NoLines;

impl Decoder for NoLines {
    fn line(&mut self, _line: &Line<'_>, _found: &mut Found<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_told_from_what_lies_beside_them() {
        for (path, kind) in [
            ("opencode.db", Some(StoreKind::Database)),
            ("opencode-nightly.db", Some(StoreKind::Database)),
            ("opencode.db-wal", None),
            ("opencode-.db", None),
            ("auth.json", None),
            ("storage/message/ses_1/msg_1.json", Some(StoreKind::Document)),
            ("storage/session/p/ses_1.json", None),
            ("storage/part/msg_1/prt_1.json", None),
        ] {
            assert_eq!(OpenCode.classify(Path::new(path)), kind, "{path}");
        }
        assert!(!OpenCode.enters(Path::new("snapshot")));
    }

    #[test]
    fn the_variable_replaces_the_default() {
        let mut environment = Environment { home: "/home/u".into(), ..Environment::default() };
        let paths = |environment: &Environment| {
            let roots = OpenCode.roots(environment);
            roots.iter().map(|root| root.path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(paths(&environment), ["/home/u/.local/share/opencode"]);
        environment.variables.insert("XDG_DATA_HOME".into(), "/data".into());
        assert_eq!(paths(&environment), ["/data/opencode"]);
        environment.variables.insert("OPENCODE_DATA_DIR".into(), "~/a,/b".into());
        assert_eq!(paths(&environment), ["/home/u/a", "/b"]);
    }
}
