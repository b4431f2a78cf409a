//! Whoever reads our output may go at any time, as `head` does.

use std::io::Read as _;
use std::process::Stdio;

use crate::home::{Home, Running};
use crate::sessions::{claude, time, transcript};

#[test]
fn a_closed_pipe_is_no_failure() {
    let home = Home::everyday();
    // More than a pipe holds.
    for session in 0..200 {
        let name = format!("s{session}");
        home.write(&transcript(&name), claude(&name, time("2025-10-20T00:00:00Z"), 2, 60));
    }
    home.print("sync");
    for line in [
        "report day",
        "report session",
        "report session --json --breakdown",
        "report session --csv",
        "report block",
        "sessions --last 0",
        "sources",
        "sources --problems",
        "prices show gpt-5",
        "demo",
        "sync",
        "--help",
        "report --help",
    ] {
        for bytes_read in [0, 1] {
            let arguments: Vec<&str> = line.split(' ').collect();
            let mut child = Running(home.command(&arguments).stdin(Stdio::null()).spawn().unwrap());
            let mut stdout = child.0.stdout.take().unwrap();
            stdout.read_exact(&mut vec![0; bytes_read]).unwrap();
            drop(stdout);
            let status = child.wait();
            let mut stderr = String::new();
            child.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            let is_quiet = !stderr.contains("panicked") && !stderr.contains("pipe");
            assert!(is_quiet, "{line}: {stderr}");
            // What is known to be wrong is so, whether or not anybody reads it.
            let is_well = matches!(status.code(), Some(0)) || line == "sources --problems";
            assert!(is_well, "{line}: {status}: {stderr}");
        }
    }
}
