//! A program whose memory is to be measured: `embedder FOLDER` has telemetry, with its state in a new
//! folder, and `embedder` does the same work without it.

mod work;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trueup_telemetry::manifest::{Input, Manifest};
use trueup_telemetry::product::{Environment, Options, Telemetry};

use work::Turn;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = std::env::args_os().nth(1) else {
        work::work(|_| ());
        return Ok(work::print_memory()?);
    };
    let manifest = Manifest::parse(include_str!("telemetry.toml"), "telemetry.toml")?;
    let options = Options::new(Arc::new(manifest), Path::new(&folder), Environment::default());
    let telemetry = Telemetry::open(options);
    work::work(|turn| record(&telemetry, turn));
    telemetry.flush();
    telemetry.shut_down(Duration::from_millis(500));
    Ok(work::print_memory()?)
}

fn record(telemetry: &Telemetry, turn: &Turn) {
    let properties = [
        ("tokens_input", Input::U64(turn.tokens_input)),
        ("tokens_output", Input::U64(turn.tokens_output)),
        ("cost_usd", Input::F64(0.25)),
        ("duration_ms", Input::U64(turn.duration_ms)),
        ("outcome", Input::Text("ok")),
        ("model", Input::Text("claude-opus-4-5")),
    ];
    telemetry.record("turn_rollup", Some(&turn.session), &properties);
}
