//! The binary: everything that touches the clock, the environment, sockets and the terminal.

mod api;
mod cli;
mod clock;
mod config;
mod daemon;
mod demo;
mod hooks;
mod intake;
mod push;
mod query;
mod render;
mod sync;
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
