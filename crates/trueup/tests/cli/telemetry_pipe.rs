//! `trueup telemetry pipe`: lines in, sealed sums and one answer out.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::home::{Home, Run, Running, files, finish_with, text_of};

const MANIFEST: &str = r#"
product = "observer"
env_prefix = "OBSERVER"
data_dir = "~/.observer"
default = "local"
base = ["version", "cores"]

[fields]
version = { semver = true }
cores = { u64 = true }
tokens = { u64 = true }

[[rollup]]
event = "turns"
grain = "session"
sum = ["tokens"]
max_age = "1h"
max_records = 1000

[budget]
events_per_day = 20
hard_cap = 40
"#;

const TURN: &str = r#"{"event":"turns","key":"s1","props":{"tokens":2}}"#;

fn home() -> Home {
    let home = Home::new();
    home.write("observer.toml", MANIFEST);
    home
}

fn pipe(home: &Home, more: &[&str], input: &str) -> Run {
    let arguments = [&["telemetry", "pipe", "--manifest", "observer.toml"], more].concat();
    finish_with(home.command(&arguments), input.as_bytes())
}

fn bodies(home: &Home) -> Vec<Value> {
    let files = files(&home.at(".observer/telemetry/outbox"));
    let bodies = files.into_iter().filter(|path| path.extension().is_some_and(|it| it == "body"));
    bodies.map(|path| serde_json::from_str(&text_of(path)).unwrap()).collect()
}

#[test]
fn lines_become_sums_and_one_answer() {
    let home = home();
    let input =
        format!("{TURN}\n\n{TURN}\nnope\n{{\"end\":\"s1\"}}\n{{\"flush\":true}}\n{{\"end\":5.5}}");
    let run = pipe(&home, &["--base", "version=1.2.3", "--base", "cores=8"], &input);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(run.stdout.lines().count(), 1);
    let what = "the key of a session is a text or a whole number";
    assert_eq!(
        serde_json::from_str::<Value>(&run.stdout).unwrap(),
        json!({
            "accepted": 4,
            "dropped": [],
            "refused": [
                {"line": 4, "column": 2, "what": "not JSON"},
                {"line": 7, "column": 11, "what": what},
            ],
            "refused_count": 2,
        })
    );
    let bodies = bodies(&home);
    assert_eq!(bodies.len(), 1);
    let told = &bodies[0]["properties"];
    assert_eq!((&told["total_tokens"], &told["rollup_reason"]), (&json!(4), &json!("session_end")));
    assert_eq!((&told["version"], &told["cores"]), (&json!("1.2.3"), &json!(8)));
}

#[test]
fn only_where_nothing_can_be_read_it_fails() {
    for (input, code) in
        [("", 0), ("\n \n", 0), ("nope\n", 1), (TURN, 0), ("nope\n{\"event\":\"x\"}", 0)]
    {
        let run = pipe(&home(), &[], input);
        assert_eq!(run.code, Some(code), "{input}: {run:?}");
    }
    let long = format!("{{\"event\":\"{}\"}}\n{TURN}\n", "x".repeat(64 << 10));
    let told: Value = serde_json::from_str(&pipe(&home(), &[], &long).stdout).unwrap();
    assert_eq!((&told["accepted"], &told["refused_count"]), (&json!(1), &json!(1)));
    assert_eq!(told["refused"][0]["what"], "longer than 65536 bytes");
}

#[test]
fn off_takes_nothing_and_leaves_nothing() {
    let home = home();
    let mut command = home.command(&["telemetry", "pipe", "--manifest", "observer.toml"]);
    command.env("DO_NOT_TRACK", "1");
    let run = finish_with(command, format!("{TURN}\n{TURN}\n{{\"end\":\"s1\"}}").as_bytes());
    assert_eq!(run.code, Some(0), "{run:?}");
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["accepted"], 0);
    assert_eq!(
        told["dropped"],
        json!([
            {"key": "end", "reason": "off", "count": 1},
            {"key": "turns", "reason": "off", "count": 2},
        ])
    );
    assert!(!home.at(".observer").exists());
}

#[test]
fn what_it_cannot_use_is_named() {
    let home = home();
    for (more, said) in [
        (["--base", "version"], "--base version: no `=`"),
        (["--base", "version=soon"], "--base version: not_a_token"),
        (["--base", "host=mine"], "--base host: unknown_key"),
    ] {
        let run = pipe(&home, &more, TURN);
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains(said), "{run:?}");
    }
    home.write("observer.toml", MANIFEST.replace("u64 = true", "text = true"));
    let run = pipe(&home, &[], TURN);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("observer.toml:10"), "{run:?}");
}

#[test]
fn a_signal_ends_it_in_order() {
    let home = home();
    let arguments = ["telemetry", "pipe", "--manifest", "observer.toml"];
    let mut command = home.command(&arguments);
    let mut child = Running(command.stdin(Stdio::piped()).spawn().unwrap());
    let mut input = child.0.stdin.take().unwrap();
    writeln!(input, "{TURN}\n{TURN}").unwrap();
    // Not before it has begun to read: a signal ends a program that does not listen yet.
    let until = Instant::now() + Duration::from_secs(20);
    while !home.at(".observer/telemetry").exists() {
        assert!(Instant::now() < until, "it never wrote");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let start = Instant::now();
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    assert_eq!(child.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let mut told = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()["accepted"], 2);
    let bodies = bodies(&home);
    assert_eq!(bodies[0]["properties"]["rollup_reason"], "worker_shutdown");
    assert_eq!(bodies[0]["properties"]["total_tokens"], 4);
    drop(input);
}
