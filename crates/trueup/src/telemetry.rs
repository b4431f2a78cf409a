//! Product telemetry on this machine: whose it is, and where its files lie.
//!
//! What the telemetry crate does not know is brought to it here: settings, the environment, the clock.

pub(crate) mod entries;
pub(crate) mod products;
pub(crate) mod shown;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use serde_json::{Value as Json, json};
use trueup_telemetry::manifest::{Drops, Input, Manifest};
use trueup_telemetry::product::{Environment, Options, Telemetry};
use trueup_telemetry::redact::{Level, Limits, Redactor};

use crate::clock;
use crate::config::{Config, read_text};

/// trueup's own manifest, and what findings call it.
pub(crate) const OWN: &str = include_str!("../telemetry.toml");
/// What findings call it.
pub(crate) const OWN_NAME: &str = "telemetry.toml";

/// The text of a manifest, trueup's own where none is named, and what findings call it.
pub(crate) fn text_of(path: Option<&Path>) -> Result<(String, String)> {
    Ok(match path {
        Some(path) => (read_text(path)?, path.display().to_string()),
        None => (OWN.to_owned(), OWN_NAME.to_owned()),
    })
}

/// A manifest, trueup's own where none is named.
pub(crate) fn manifest(path: Option<&Path>) -> Result<Manifest> {
    let (text, name) = text_of(path)?;
    Manifest::parse(&text, &name).map_err(|error| anyhow!("{error}"))
}

/// How the telemetry of a product is opened here. Its files lie where its variable or its manifest says,
/// else beside the ledger.
pub(crate) fn options(manifest: Manifest, config: &Config) -> Options {
    let variables = &config.environment.variables;
    let environment = Environment::of(&manifest, &|name| variables.get(name).cloned());
    let folder = environment
        .folder(&manifest)
        .unwrap_or_else(|| config.ledger().with_file_name("telemetry").join(&manifest.product));
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let base = machine(&manifest);
    let clock = Arc::new(clock::now);
    Options { base, clock, ..Options::new(Arc::new(manifest), &folder, environment) }
}

/// A product's telemetry, to look at: nothing is made, changed, deleted or sent.
pub(crate) fn look(manifest: Manifest, config: &Config) -> Telemetry {
    let options = options(manifest, config);
    Telemetry::open(Options { is_driven: true, is_onlooker: true, ..options })
}

/// What every event of a product says of this machine, as far as its manifest asks for it.
fn machine(manifest: &Manifest) -> Vec<(String, Json)> {
    let known = [("os", std::env::consts::OS), ("arch", std::env::consts::ARCH)];
    let asks = |name: &str| manifest.base.iter().any(|id| manifest.name(*id) == name);
    let known = known.into_iter().filter(|(name, _)| asks(name));
    known.map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

/// What parts the paths of a list in one text, as in `PATH`.
pub(crate) const PATHS_SEPARATOR: char = ':';

/// The setting that names the products of `serve`.
pub(crate) const MANIFESTS: &str = "telemetry_manifests";

/// The manifests of the products that `serve` takes records of.
pub(crate) fn manifests(config: &Config) -> Result<Vec<Manifest>> {
    let (paths, origin) = config.value(MANIFESTS);
    let mut all: Vec<Manifest> = Vec::new();
    for path in paths.split(PATHS_SEPARATOR).filter(|path| !path.is_empty()) {
        let read = manifest(Some(&config.environment.expand(path)));
        let read = read.map_err(|error| anyhow!("{MANIFESTS} (from {origin}): {error:#}"))?;
        if all.iter().any(|other| other.product == read.product) {
            bail!(
                "{MANIFESTS} (from {origin}): two manifests are of the product `{}`",
                read.product
            );
        }
        all.push(read);
    }
    Ok(all)
}

/// What a caller says of itself, beside what is known of the machine: the fields that every event
/// carries, as far as the manifest has them, and what of it is dropped.
pub(crate) fn with_base(
    known: &[(String, Json)],
    manifest: &Manifest,
    given: Vec<(String, Json)>,
) -> (Vec<(String, Json)>, Drops) {
    let redactor = Redactor::new(Level::Redacted);
    let is_clean = |token: &str| redactor.redact(token, Limits::MESSAGE).as_deref() == Ok(token);
    let mut drops = Drops::default();
    let inputs = given.iter().map(|(name, value)| (name.as_str(), Input::from(value)));
    let kept = manifest.accept_base(inputs, &is_clean, &mut drops);
    let is_kept = |name: &str| kept.iter().any(|(id, _)| manifest.name(*id) == name);
    let is_given = |name: &str| given.iter().any(|(other, _)| other == name) && is_kept(name);
    let mut base: Vec<(String, Json)> =
        known.iter().filter(|(name, _)| !is_given(name)).cloned().collect();
    for (name, value) in given {
        if is_kept(&name) && base.iter().all(|(other, _)| *other != name) {
            base.push((name, value));
        }
    }
    (base, drops)
}
