//! What an agent is to trueup: where it keeps its sessions, which files hold them, and how their
//! bytes become facts.
//!
//! Nothing here opens a file. [`scan`](fn@crate::scan) does, and hands the bytes to a [`Decoder`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use trueup_core::{Problem, ProblemKind, Stamp, StoreId, Text, UnixMs};

use crate::discover::SPOOL;
use crate::{Found, Line, LineKind, Positions};

/// One coding agent.
pub trait Agent: Sync + fmt::Debug {
    /// The source id in options, output and the ledger: `claude-code`.
    fn id(&self) -> &'static str;

    /// The product's own name: `Claude Code`.
    fn title(&self) -> &'static str;

    /// Where the agent may keep its sessions, whether or not these folders exist.
    fn roots(&self, environment: &Environment) -> Vec<Root>;

    /// Files of the agent's own that may say where further stores lie, for a root that is there.
    fn guides(&self, _root: &Path, _environment: &Environment) -> Vec<Guide> {
        Vec::new()
    }

    /// Reads what a guide says.
    ///
    /// # Errors
    /// What SQLite says of a database: it is reported as a problem of the guide.
    fn follow(
        &self,
        _guide: &Guide,
        _content: &Content<'_>,
        _environment: &Environment,
        _directions: &mut Directions,
    ) -> rusqlite::Result<()> {
        Ok(())
    }

    /// How to read a file, by its path below the root. `None`: it holds no usage.
    fn classify(&self, below_root: &Path) -> Option<StoreKind>;

    /// Whether to look into a folder at all, by its path below the root.
    fn enters(&self, _below_root: &Path) -> bool {
        true
    }

    /// A decoder for a [`StoreKind::Lines`], going on from the state that an earlier one left, or
    /// from nothing.
    fn decoder(&self, store: &Store, state: &str) -> Box<dyn Decoder>;

    /// Where the head of a store stands whose first line is none: how the paths of other stores begin,
    /// the first of which that has a head hands it to the decoder. `None`: it is a head, or there is no
    /// such thing.
    fn head_elsewhere(&self, _store: &Store, _first: &Line<'_>) -> Option<PathBuf> {
        None
    }

    /// The SHA-256 that the bytes of a store must have, where it is known; others are damaged.
    fn sha256<'a>(&self, _store: &'a Store) -> Option<&'a str> {
        None
    }

    /// The index that says of what kind the sessions of a store are, where one lies beside it.
    fn index_beside(&self, _store: &Store) -> Option<PathBuf> {
        None
    }

    /// What such an index says.
    fn session_kinds(&self, _index: &mut dyn Read) -> SessionKinds {
        SessionKinds::default()
    }

    /// The session that the name of a transcript gives; `None` where names give none.
    fn session_named<'a>(&self, _store: &'a Store) -> Option<&'a str> {
        None
    }

    /// What one line of such a transcript is.
    fn kind_of_line(&self, _line: &Line<'_>) -> LineKind {
        LineKind::Other
    }

    /// Reads a [`StoreKind::Index`].
    fn index(&self, _store: &Store, _index: &mut dyn Read, _found: &mut Found<'_>) {}

    /// Reads a whole [`StoreKind::Document`].
    fn document(&self, _store: &Store, _bytes: &[u8], _found: &mut Found<'_>) {}

    /// Reads what is new in a [`StoreKind::Database`]; `marks` are the positions of its parts.
    ///
    /// # Errors
    /// What SQLite says: the scan reports it as a problem of the store and goes on.
    fn database(
        &self,
        _store: &Store,
        _database: &Connection,
        _marks: &dyn Positions,
        _found: &mut Found<'_>,
    ) -> rusqlite::Result<()> {
        Ok(())
    }
}

/// Turns the lines of one store into facts, one after the other.
pub trait Decoder: fmt::Debug {
    /// Tells of what kinds sessions are, before the first line.
    fn expect(&mut self, _kinds: &SessionKinds) {}

    /// Reads one line, which looks like a record.
    fn line(&mut self, line: &Line<'_>, found: &mut Found<'_>);

    /// What a later decoder needs to go on after the last line; empty for nothing.
    fn state(&self) -> String {
        String::new()
    }
}

/// The kinds of sessions, by their ids.
pub type SessionKinds = Arc<HashMap<String, Text>>;

/// How a store is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// One record a line, appended to.
    Lines,
    /// The same, in zstd frames; written once.
    ZstdLines,
    /// One JSON document, written whole.
    Document,
    /// One JSON document about all sessions, written whole, and read as a stream: it may be large.
    Index,
    /// A SQLite database.
    Database,
}

/// A file that says where further stores lie: a registry, a settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guide {
    /// The file.
    pub path: PathBuf,
    /// Whether it is a SQLite database; else it is a document.
    pub is_database: bool,
    /// What the agent knows it by.
    pub about: &'static str,
    /// The guide that names it, if one does: it must be there, and names no others.
    pub named_by: Option<PathBuf>,
}

/// What is in a guide.
#[derive(Debug)]
pub enum Content<'a> {
    /// All of a document.
    Document(&'a [u8]),
    /// A database, open for reading.
    Database(&'a Connection),
}

/// What a guide says.
#[derive(Debug, Clone, Default)]
pub struct Directions {
    /// Further places.
    pub places: Vec<Place>,
    /// Further guides.
    pub guides: Vec<Guide>,
    /// What could not be understood.
    pub problems: Vec<Problem>,
}

impl Directions {
    /// Something in the guide that could not be understood; `detail` never holds a secret.
    pub fn problem(&mut self, kind: ProblemKind, line: u64, detail: impl Into<String>) {
        self.problems.push(Problem { kind, line, detail: detail.into() });
    }
}

/// A place that a guide names.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file or folder.
    pub root: Root,
    /// The line or row that names it, from 1; 0 where that is not known.
    pub line: u64,
    /// Whether it is a problem of the guide that it is not there.
    pub is_required: bool,
}

/// One file that holds usage.
#[derive(Debug, Clone)]
pub struct Store {
    /// The agent's source id.
    pub source: &'static str,
    /// The folder in which it was found; the store itself where a guide names it.
    pub root: Arc<Path>,
    /// What the root stands for; see [`Root`].
    pub stands_for: PathBuf,
    /// Its absolute path.
    pub path: PathBuf,
    /// How it is read.
    pub kind: StoreKind,
    /// Its identity and size.
    pub stamp: Stamp,
}

impl Store {
    /// The path below the root, as if all of the agent's files lay in one.
    #[must_use]
    pub fn below_root(&self) -> Cow<'_, Path> {
        below(&self.path, &self.root, &self.stands_for)
    }

    /// Its name where positions and problems are kept.
    #[must_use]
    pub fn id(&self) -> StoreId {
        StoreId::of_file(self.source, &self.path.to_string_lossy())
    }

    /// Whether it is an event that a hook of ours left: our own file, not the agent's.
    #[must_use]
    pub fn is_event(&self) -> bool {
        self.stands_for == Path::new(SPOOL)
    }

    /// The file name up to its first dot.
    #[must_use]
    pub fn stem(&self) -> &str {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.split('.').next().unwrap_or(name)
    }

    /// When it was last changed: the time of records that have none.
    #[must_use]
    pub const fn modified(&self) -> UnixMs {
        UnixMs(self.stamp.modified_ns / 1_000_000)
    }
}

/// A path below a root that may stand for a part of another.
fn below<'a>(path: &'a Path, root: &Path, stands_for: &'a Path) -> Cow<'a, Path> {
    let below = path.strip_prefix(root).unwrap_or(path);
    if stands_for.as_os_str().is_empty() {
        Cow::Borrowed(below)
    } else if below.as_os_str().is_empty() {
        Cow::Borrowed(stands_for)
    } else {
        Cow::Owned(stands_for.join(below))
    }
}

/// A folder in which an agent may keep sessions, and why we think so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The folder; a single file where a guide names one.
    pub path: PathBuf,
    /// The environment variable, the default or the guide's entry that names it.
    pub origin: &'static str,
    /// Whether it stands for every folder that it matches, `*` being any part of one name.
    pub is_pattern: bool,
    /// Where it would lie in a root of the usual kind, if it is only a part of one: classified as
    /// such. A `*` in it is what the pattern's first one was found to be.
    pub stands_for: PathBuf,
}

impl Root {
    /// A folder that holds all that an agent keeps.
    #[must_use]
    pub const fn new(path: PathBuf, origin: &'static str) -> Self {
        Self { path, origin, is_pattern: false, stands_for: PathBuf::new() }
    }
}

/// The part of the environment that says where agents keep things.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The home folder.
    pub home: PathBuf,
    /// The variables.
    pub variables: BTreeMap<String, String>,
    /// Folders that trueup's own settings name, by source id. One stands in the place of all that the
    /// agent would otherwise be looked for in.
    pub pointed: BTreeMap<&'static str, Root>,
    /// The folders that hooks leave events in, by source id.
    pub spools: BTreeMap<&'static str, PathBuf>,
}

impl Environment {
    /// A variable that is set and not blank.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The folders that a variable names, separated by commas, with `~` for the home folder.
    #[must_use]
    pub fn folders(&self, name: &'static str) -> Option<Vec<Root>> {
        let value = self.variable(name)?;
        let folders = value.split(',').map(str::trim).filter(|folder| !folder.is_empty());
        Some(folders.map(|folder| Root::new(self.expand(folder), name)).collect())
    }

    /// A folder below the home folder.
    #[must_use]
    pub fn below_home(&self, folder: &str, origin: &'static str) -> Root {
        Root::new(self.home.join(folder), origin)
    }

    /// A folder of the XDG variable `name`, or of its default below the home folder.
    #[must_use]
    pub fn xdg(&self, name: &str, default: &str) -> PathBuf {
        self.variable(name).map_or_else(|| self.home.join(default), |folder| self.expand(folder))
    }

    /// A path with `~` for the home folder.
    #[must_use]
    pub fn expand(&self, path: &str) -> PathBuf {
        expand(path, &self.home)
    }
}

/// A path with `~` for `home`.
pub(crate) fn expand(path: &str, home: &Path) -> PathBuf {
    match path.strip_prefix('~') {
        Some("") => home.to_path_buf(),
        Some(rest) if rest.starts_with(['/', '\\']) => {
            home.join(rest.trim_start_matches(['/', '\\']))
        }
        _ => PathBuf::from(path),
    }
}
