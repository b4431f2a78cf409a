//! What a product brings: its manifest, where its files lie, and what only the edge knows.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;
use trueup_core::UnixMs;
use uuid::Uuid;

use super::outlets::Transports;
use crate::manifest::Manifest;

/// What says the time.
pub type Clock = Arc<dyn Fn() -> UnixMs + Send + Sync>;
/// What gives bytes that nobody can guess.
pub type Random = Arc<dyn Fn() -> [u8; 48] + Send + Sync>;

/// The name of the file that holds a decision.
const FILE: &str = "telemetry.json";
/// Where whoever manages a machine leaves such a file for a product.
const POLICIES: &str = "/etc";
/// The folder of the state, beside the file.
const STATE: &str = "telemetry";
/// How often what has ended is sealed and what is sealed is sent, unless an embedder says otherwise.
const FLUSH_EVERY: Duration = Duration::from_mins(1);

/// The variables that count, as they are set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `DO_NOT_TRACK`
    pub do_not_track: Option<String>,
    /// `<PREFIX>_TELEMETRY`
    pub telemetry: Option<String>,
    /// `<PREFIX>_TELEMETRY_ERRORS`
    pub errors: Option<String>,
    /// `<PREFIX>_TELEMETRY_DEBUG`: what would be sent is printed to standard error, and nothing is sent.
    pub debug: Option<String>,
    /// `<PREFIX>_TELEMETRY_HOST`: the server in the place of the manifest's, for PostHog.
    pub host: Option<String>,
    /// `<PREFIX>_TELEMETRY_KEY`: the project's public key in the place of the manifest's, for PostHog.
    pub key: Option<String>,
    /// `<PREFIX>_DATA_DIR`
    pub data_dir: Option<String>,
    /// `CI`
    pub ci: Option<String>,
    /// `HOME`
    pub home: Option<String>,
    /// Secrets of signatures, by the variable that a manifest names.
    pub secrets: Vec<(String, String)>,
}

impl Environment {
    /// The variables of a product, as `variable` knows them.
    #[must_use]
    pub fn of(manifest: &Manifest, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let own = |name: &str| variable(&format!("{}_{name}", manifest.env_prefix));
        let secrets = manifest.sinks.iter().filter_map(|sink| sink.secret_variable());
        Self {
            do_not_track: variable("DO_NOT_TRACK"),
            telemetry: own("TELEMETRY"),
            errors: own("TELEMETRY_ERRORS"),
            debug: own("TELEMETRY_DEBUG"),
            host: own("TELEMETRY_HOST"),
            key: own("TELEMETRY_KEY"),
            data_dir: own("DATA_DIR"),
            ci: variable("CI"),
            home: variable("HOME"),
            secrets: secrets.filter_map(|name| Some((name.to_owned(), variable(name)?))).collect(),
        }
    }

    /// The variables of a product, as this process has them. One that is not Unicode is something that
    /// nobody understands, which turns off wherever it could turn on.
    #[must_use]
    pub fn of_process(manifest: &Manifest) -> Self {
        Self::of(manifest, &|name| env::var_os(name).map(|it| it.to_string_lossy().into_owned()))
    }

    /// The folder of a product's `telemetry.json`, where its manifest names one.
    #[must_use]
    pub fn folder(&self, manifest: &Manifest) -> Option<PathBuf> {
        let stated = manifest.data_dir.as_deref()?;
        Some(self.expand(self.data_dir.as_deref().filter(|it| !it.is_empty()).unwrap_or(stated)))
    }

    /// A path, whose `~` is the home folder.
    #[must_use]
    pub fn expand(&self, path: &str) -> PathBuf {
        let home = self.home.as_deref().filter(|home| !home.is_empty());
        match (home, path.strip_prefix("~/"), path == "~") {
            (Some(home), _, true) => PathBuf::from(home),
            (Some(home), Some(rest), _) => Path::new(home).join(rest),
            _ => PathBuf::from(path),
        }
    }
}

/// How a product's telemetry is opened.
#[derive(Clone)]
pub struct Options {
    /// What it may tell.
    pub manifest: Arc<Manifest>,
    /// The file with the user's decision.
    pub file: PathBuf,
    /// The file with the decision of whoever manages the machine.
    pub policy: PathBuf,
    /// The folder of the state. It is made when something is first recorded.
    pub state: PathBuf,
    /// The variables that count.
    pub environment: Environment,
    /// Fields that every event carries. They are held against the manifest like any other.
    pub base: Vec<(String, Json)>,
    /// What says the time.
    pub clock: Clock,
    /// What gives bytes that nobody can guess.
    pub random: Random,
    /// What makes the transport of a sink, in the place of the network, files and standard output.
    pub transports: Option<Transports>,
    /// How often what has ended is sealed and what is sealed is sent.
    pub flush_every: Duration,
    /// Whether there is no thread: the caller calls [`flush`](super::Telemetry::flush) instead.
    pub is_driven: bool,
    /// Whether this process only looks: then nothing is deleted where telemetry is off.
    pub is_onlooker: bool,
}

impl Options {
    /// Options for a product whose `telemetry.json` lies in `folder`, with the clock and the chance of
    /// the system, and the state in the folder `telemetry` beside the file.
    #[must_use]
    pub fn new(manifest: Arc<Manifest>, folder: &Path, environment: Environment) -> Self {
        Self {
            file: folder.join(FILE),
            policy: Path::new(POLICIES).join(&manifest.product).join(FILE),
            state: folder.join(STATE),
            environment,
            base: Vec::new(),
            clock: Arc::new(system_now),
            random: Arc::new(system_random),
            transports: None,
            flush_every: FLUSH_EVERY,
            is_driven: false,
            is_onlooker: false,
            manifest,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Options");
        debug.field("product", &self.manifest.product).field("file", &self.file);
        debug.field("policy", &self.policy).field("state", &self.state);
        debug.finish_non_exhaustive()
    }
}

/// The time of the system; before 1970, its beginning.
#[expect(clippy::disallowed_methods, reason = "an embedder has no clock of ours to pass in")]
fn system_now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Three random UUIDs: 366 bits of chance.
fn system_random() -> [u8; 48] {
    let mut bytes = [0; 48];
    let random = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    for (to, from) in bytes.iter_mut().zip(random.iter().flat_map(Uuid::as_bytes)) {
        *to = *from;
    }
    bytes
}
