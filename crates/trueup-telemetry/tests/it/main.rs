//! The laws of the crate, through its public faces.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what does not hold panics, in whichever function it shows; cases are small"
)]

mod accept;
#[cfg(feature = "net")]
mod adapter;
mod backfill;
mod budget_laws;
#[cfg(feature = "net")]
mod compliance;
mod consent;
mod crash_laws;
mod damage_laws;
#[cfg(feature = "net")]
mod delivery;
mod errors;
mod fixtures;
mod fleet;
#[cfg(feature = "net")]
mod http;
mod identity;
mod instrument;
mod kill_laws;
mod machine_laws;
mod manifest;
mod outbox;
mod panics;
mod plan;
#[cfg(feature = "net")]
mod post;
mod product;
#[cfg(feature = "net")]
mod receiver;
mod redact;
mod rollup_laws;
#[cfg(feature = "net")]
mod sinks;
mod told;
mod world;

/// A small file that a test wrote.
fn text(path: &std::path::Path) -> String {
    String::from_utf8(std::fs::read(path).unwrap()).unwrap()
}

/// A test of memory, in a process that does nothing else.
fn alone(test: &str) {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let command = command.args(["--exact", test, "--ignored", "--test-threads=1"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The memory that is this process's own. Pages of files come and go as the system has room.
fn own_bytes() -> u64 {
    let status = text(std::path::Path::new("/proc/self/status"));
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    own.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
}
