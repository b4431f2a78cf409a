//! Writes down for `instrument!` what the manifest lists.

use std::path::Path;
use std::{env, fs};

use trueup_telemetry::manifest::Manifest;

fn main() {
    println!("cargo::rerun-if-changed=telemetry.toml");
    let text = fs::read_to_string("telemetry.toml").expect("the manifest");
    let manifest = Manifest::parse(&text, "telemetry.toml").expect("a manifest without errors");
    let folder = env::var("OUT_DIR").expect("cargo says where");
    fs::write(Path::new(&folder).join("telemetry.rs"), manifest.rust_source()).expect("write it");
}
