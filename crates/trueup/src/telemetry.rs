//! Product telemetry on this machine: whose it is, and where its files lie.
//!
//! What the telemetry crate does not know is brought to it here: settings, the environment, the clock.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use serde_json::{Value as Json, json};
use trueup_telemetry::manifest::Manifest;
use trueup_telemetry::product::{Environment, Options};

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

/// What every event of a product says of this machine, as far as its manifest asks for it.
fn machine(manifest: &Manifest) -> Vec<(String, Json)> {
    let known = [("os", std::env::consts::OS), ("arch", std::env::consts::ARCH)];
    let asks = |name: &str| manifest.base.iter().any(|id| manifest.name(*id) == name);
    let known = known.into_iter().filter(|(name, _)| asks(name));
    known.map(|(name, value)| (name.to_owned(), json!(value))).collect()
}
