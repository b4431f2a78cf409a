//! A program with telemetry in it: `cargo run -p trueup-telemetry --example embedding`.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use trueup_telemetry::instrument;
use trueup_telemetry::manifest::Manifest;
use trueup_telemetry::product::{Environment, Options, Telemetry};

mod events {
    // A product has `include!(concat!(env!("OUT_DIR"), "/telemetry.rs"));` here.
    include!("telemetry.rs");
}

fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = open()?;
    telemetry.report_panics();
    telemetry.lifecycle("installed", &[]);
    search(&telemetry, "session 1", "invoices of acme");
    telemetry.end("session 1");
    telemetry.shut_down(Duration::from_millis(500));
    Ok(())
}

/// The telemetry of this program. It is never in its way: what is wrong with it is in its status.
fn open() -> Result<Telemetry, Box<dyn Error>> {
    let manifest = Manifest::parse(include_str!("telemetry.toml"), "telemetry.toml")?;
    let environment = Environment::of_process(&manifest);
    let folder = environment.folder(&manifest).ok_or("the manifest names no folder")?;
    let mut options = Options::new(Arc::new(manifest), &folder, environment);
    options.base = vec![("version".to_owned(), Json::from(env!("CARGO_PKG_VERSION")))];
    Ok(Telemetry::open(options))
}

/// What is asked stands in the log of this machine only: the manifest has no key for it.
fn search(telemetry: &Telemetry, session: &str, words: &str) {
    let began = Instant::now();
    let found = words.split(' ').count();
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    instrument!(
        telemetry, events::EVENTS, INFO, "searched",
        event = "search_rollup", session = Some(session),
        { outcome = "ok", results = found, duration_ms = duration_ms },
        log { words = words }
    );
}
