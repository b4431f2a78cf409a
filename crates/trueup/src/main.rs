//! The binary: everything that touches the clock, the environment, sockets and the terminal.

mod api;
mod budget;
mod cli;
mod clock;
mod completeness;
mod config;
mod daemon;
mod demo;
mod doctor;
mod export;
mod facts;
mod fleet;
mod hooks;
mod hub;
mod intake;
mod net;
#[cfg(target_os = "linux")]
mod notice;
#[cfg(not(target_os = "linux"))]
#[path = "no_notice.rs"]
mod notice;
mod parity;
mod problems;
mod pull;
mod push;
mod query;
mod question;
mod render;
mod secret;
mod statement;
mod sync;
mod telemetry;
mod ticker;
mod usage;

use std::process::ExitCode;

/// glibc and musl keep what a burst has freed for as long as the process lives; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
