#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a build script is an edge")]
//! Writes down for `instrument!` what the manifest lists.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use trueup_telemetry::manifest::Manifest;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=telemetry.toml");
    let manifest = Manifest::parse(&fs::read_to_string("telemetry.toml")?, "telemetry.toml")?;
    let folder = env::var("OUT_DIR")?;
    fs::write(Path::new(&folder).join("telemetry.rs"), manifest.rust_source())?;
    Ok(())
}
