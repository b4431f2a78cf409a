//! OpenClaw: transcripts in files until 2026.7, in a SQLite store for each of its agents since.
//!
//! Both hold the same events, and moving from one to the other copies them word for word. So do
//! forks, resets, deletions, compactions and cold storage: one answer may lie in six places. It counts
//! once, by its entry id and time, and belongs to the session that asked for it.
//!
//! The index of sessions says what the last run of each used: a claim, which counts only where no
//! transcript has that run.
//!
//! ```text
//! ~/.openclaw/agents/main/sessions/sessions.json
//! ~/.openclaw/agents/main/sessions/3e5aebe9-….jsonl
//! ~/.openclaw/agents/main/sessions/3e5aebe9-….jsonl.reset.2026-05-20T10-00-00.000Z
//! ~/.openclaw/agents/main/sessions/3e5aebe9-….jsonl.deleted.2026-11-20T22-15-56.751Z.c248….zst
//! ~/.openclaw/agents/main/session-sqlite-import-archive/main.3e5aebe9-….jsonl.imported-1785542400000
//! ~/.openclaw/agents/main/sessions/cold/46e8….jsonl.zst
//! ~/.openclaw/agents/main/agent/openclaw-agent.sqlite
//! ```

mod artifact;
mod database;
mod entry;
mod guide;
mod index;
mod spool;
mod transcript;
mod usage;

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::agent::{
    self, Agent, Content, Decoder, Directions, Environment, Guide, Root, SessionKinds, Store,
    StoreKind,
};
use crate::found::Found;
use crate::inspect::LineKind;
use crate::lines::Line;
use crate::scan::Positions;
use transcript::TranscriptDecoder;

/// OpenClaw.
#[derive(Debug)]
pub(crate) struct OpenClaw;

const SOURCE: &str = "openclaw";

/// The state folder's names, newest first: the product was renamed three times.
const STATE_FOLDERS: [(&str, &str); 4] = [
    (".openclaw", "~/.openclaw"),
    (".clawdbot", "~/.clawdbot"),
    (".moltbot", "~/.moltbot"),
    (".moldbot", "~/.moldbot"),
];

impl Agent for OpenClaw {
    fn id(&self) -> &'static str {
        SOURCE
    }

    fn title(&self) -> &'static str {
        "OpenClaw"
    }

    fn roots(&self, environment: &Environment) -> Vec<Root> {
        let mut named = environment.folders("OPENCLAW_DIR").unwrap_or_default();
        let home = home(environment).0;
        named.extend(folder(environment, "OPENCLAW_STATE_DIR", &home));
        if named.is_empty() { default_roots(environment) } else { named }
    }

    fn guides(&self, root: &Path, environment: &Environment) -> Vec<Guide> {
        guide::of_state_folder(root, environment)
    }

    fn follow(
        &self,
        guide: &Guide,
        content: &Content<'_>,
        environment: &Environment,
        directions: &mut Directions,
    ) -> rusqlite::Result<()> {
        match content {
            Content::Document(text) => guide::settings(guide, text, environment, directions),
            Content::Database(database) => guide::registry(guide, database, directions)?,
        }
        Ok(())
    }

    fn classify(&self, below_root: &Path) -> Option<StoreKind> {
        let name = below_root.file_name()?.to_str()?;
        let folder = below_root.parent()?.file_name()?.to_str()?;
        match folder {
            "sessions" if name == "sessions.json" => Some(StoreKind::Index),
            "sessions" => artifact::in_sessions(name),
            "session-sqlite-import-archive" => artifact::in_import_archive(name),
            "cold" => artifact::in_cold_storage(name),
            "spool" => spool::is_event(name).then_some(StoreKind::Document),
            "agent" => (name == "openclaw-agent.sqlite").then_some(StoreKind::Database),
            _ => None,
        }
    }

    /// Only where transcripts lie: workspaces beside them hold whole repositories.
    fn enters(&self, below_root: &Path) -> bool {
        let names: Vec<Cow<'_, str>> =
            below_root.iter().map(std::ffi::OsStr::to_string_lossy).collect();
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        match names.as_slice() {
            ["agents"] | ["agents", _] | ["agents", _, "sessions", "cold"] => true,
            ["agents", _, folder] => {
                matches!(*folder, "sessions" | "session-sqlite-import-archive" | "cold" | "agent")
            }
            _ => false,
        }
    }

    fn decoder(&self, store: &Store, state: &str) -> Box<dyn Decoder> {
        let name = store.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        Box::new(TranscriptDecoder::new(artifact::session(name), store.modified(), state))
    }

    /// A session that `sessions.compact` cut has its header in the copies that it left, and there in the
    /// first.
    fn head_elsewhere(&self, store: &Store, first: &Line<'_>) -> Option<PathBuf> {
        if transcript::is_header(first) {
            return None;
        }
        let folder = store.path.parent()?;
        let folder = if lies_in(store, "session-sqlite-import-archive") {
            folder.with_file_name("sessions")
        } else if lies_in(store, "sessions") {
            folder.to_owned()
        } else {
            return None;
        };
        let name = store.path.file_name()?.to_str()?;
        Some(folder.join(artifact::backups(artifact::session(name))))
    }

    /// A cold transcript is named by its hash.
    fn sha256<'a>(&self, store: &'a Store) -> Option<&'a str> {
        lies_in(store, "cold").then(|| store.stem())
    }

    fn index_beside(&self, store: &Store) -> Option<PathBuf> {
        lies_in(store, "sessions").then(|| store.path.with_file_name("sessions.json"))
    }

    fn session_kinds(&self, index: &mut dyn Read) -> SessionKinds {
        index::session_kinds(index)
    }

    fn session_named<'a>(&self, store: &'a Store) -> Option<&'a str> {
        let is_transcript = matches!(store.kind, StoreKind::Lines | StoreKind::ZstdLines);
        let name = store.path.file_name()?.to_str()?;
        (is_transcript && !lies_in(store, "cold")).then(|| artifact::session(name))
    }

    fn kind_of_line(&self, line: &Line<'_>) -> LineKind {
        transcript::kind_of_line(line)
    }

    fn index(&self, store: &Store, index: &mut dyn Read, found: &mut Found<'_>) {
        index::read(index, store.modified(), found);
    }

    /// What a hook left.
    fn document(&self, store: &Store, bytes: &[u8], found: &mut Found<'_>) {
        spool::read(bytes, store.modified(), found);
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

/// Whether a store lies in a folder of this name, or in one that stands for it.
fn lies_in(store: &Store, folder: &str) -> bool {
    store.below_root().parent().is_some_and(|parent| parent.ends_with(folder))
}

fn default_roots(environment: &Environment) -> Vec<Root> {
    let (home, home_origin) = home(environment);
    let of_home = |name: &str, origin| Root::new(home.join(name), home_origin.unwrap_or(origin));
    let mut roots: Vec<Root> =
        STATE_FOLDERS.into_iter().map(|(name, origin)| of_home(name, origin)).collect();
    if let Some(profile) = set(environment, "OPENCLAW_PROFILE")
        && profile != "default"
    {
        roots.push(Root::new(home.join(format!(".openclaw-{profile}")), "OPENCLAW_PROFILE"));
    }
    // `--dev` has a state folder of its own, and so has every profile.
    roots.push(of_home(".openclaw-dev", "~/.openclaw-dev"));
    roots.push(Root { is_pattern: true, ..of_home(".openclaw-*", "~/.openclaw-<profile>") });
    roots
}

/// The home folder as OpenClaw finds it, and the variable where that is its own.
fn home(environment: &Environment) -> (PathBuf, Option<&'static str>) {
    let of_user = ["HOME", "USERPROFILE"].into_iter().find_map(|name| set(environment, name));
    let of_user = of_user.map_or_else(|| environment.home.clone(), PathBuf::from);
    match folder(environment, "OPENCLAW_HOME", &of_user) {
        Some(home) => (home.path, Some(home.origin)),
        None => (of_user, None),
    }
}

fn folder(environment: &Environment, name: &'static str, home: &Path) -> Option<Root> {
    Some(Root::new(agent::expand(set(environment, name)?, home), name))
}

/// A variable that is set by OpenClaw's own rule: scripts leave JavaScript's words for nothing in it.
fn set<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.variable(name).filter(|value| !matches!(*value, "undefined" | "null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(variables: &[(&str, &str)]) -> Vec<String> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let environment =
            Environment { home: "/home/u".into(), variables, ..Environment::default() };
        let roots = OpenClaw.roots(&environment);
        roots.iter().map(|root| root.path.display().to_string()).collect()
    }

    #[test]
    fn variables_name_the_state_folder_as_openclaw_reads_them() {
        let defaults = roots(&[]);
        assert_eq!(defaults.first().map(String::as_str), Some("/home/u/.openclaw"));
        assert_eq!(defaults.len(), 6);
        assert_eq!(roots(&[("OPENCLAW_STATE_DIR", "~/claw")]), ["/home/u/claw"]);
        assert_eq!(roots(&[("OPENCLAW_DIR", "/a, ~/b")]), ["/a", "/home/u/b"]);
        assert_eq!(roots(&[("OPENCLAW_STATE_DIR", "undefined")]), defaults);
        for (variables, expected) in [
            (&[("OPENCLAW_HOME", "/srv"), ("HOME", "/h")][..], "/srv/.moltbot"),
            (&[("OPENCLAW_HOME", "~/claw"), ("HOME", "/h")], "/h/claw/.openclaw"),
            (&[("OPENCLAW_HOME", " "), ("HOME", "/h"), ("USERPROFILE", "/p")], "/h/.openclaw"),
            (
                &[("OPENCLAW_HOME", "null"), ("HOME", "undefined"), ("USERPROFILE", "/p")],
                "/p/.openclaw",
            ),
            (&[("HOME", "null"), ("USERPROFILE", "undefined")], "/home/u/.openclaw"),
            (&[("OPENCLAW_STATE_DIR", "~/s"), ("OPENCLAW_HOME", "/srv")], "/srv/s"),
            (&[("OPENCLAW_PROFILE", "default")], "/home/u/.openclaw-*"),
        ] {
            assert!(roots(variables).contains(&expected.to_owned()), "{variables:?}");
        }
        assert!(roots(&[("OPENCLAW_PROFILE", "work")]).contains(&"/home/u/.openclaw-work".into()));
    }

    #[test]
    fn only_folders_of_transcripts_are_entered() {
        for (path, is_entered) in [
            ("agents/main/sessions/cold", true),
            ("agents/main/agent", true),
            ("agents/main/session-sqlite-import-archive", true),
            ("agents/main/workspace", false),
            ("agents/main/agent/codex-home", false),
            ("workspace", false),
        ] {
            assert_eq!(OpenClaw.enters(Path::new(path)), is_entered, "{path}");
        }
    }
}
