//! The binary: everything that touches the clock, the environment, sockets and the terminal.

mod api;
mod cli;
mod clock;
mod completeness;
mod config;
mod daemon;
mod demo;
mod doctor;
mod hooks;
mod intake;
mod notice;
mod problems;
mod push;
mod query;
mod render;
mod secret;
mod sync;
mod ticker;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
