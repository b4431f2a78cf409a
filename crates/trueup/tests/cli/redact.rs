//! `trueup telemetry redact`: a filter in a pipe.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;

use crate::home::{Home, Run, Running, finish_with, text_of};

fn redact(options: &[&str], input: &[u8]) -> Run {
    let home = Home::new();
    let mut arguments = vec!["telemetry", "redact"];
    arguments.extend(options);
    finish_with(home.command(&arguments), input)
}

const TEXT: &str = "\
GET https://user:pa55@h/v1?token=abc123 failed
~/work/acme-secret-merger/plan.md: permission denied
password=hunter2 for alice@example.com
-----BEGIN RSA PRIVATE KEY-----
MIIEpAIBAAKCAQEA7
-----END RSA PRIVATE KEY-----
qdrant at 10.0.0.12 said no";

#[test]
fn a_text_is_redacted_line_by_line() {
    let run = redact(&[], TEXT.as_bytes());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let expected = "\
GET https://<url> failed
<p>/plan.md: permission denied
password=<v>
<pem>
<w> at <ip> said no";
    assert_eq!(run.stdout, expected);
}

#[test]
fn the_second_level_keeps_words_that_it_does_not_know() {
    let run = redact(&["--level", "redacted"], b"qdrant: no key sk-live-0123456789ab\n");
    assert_eq!(run.stdout, "qdrant: no key <secret>\n");
}

#[test]
fn json_strings_come_out_one_for_one() {
    let input =
        "\"line one\\nsk-live-0123456789ab\"\n\"\"\n  \"na\\u00efve \\\"x\\\"\" \r\n\"no newline\"";
    let run = redact(&["--ndjson"], input.as_bytes());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let expected = "\"line one\\n<w>\"\n\"\"\n\"<w> \\\"x\\\"\"\n\"no newline\"\n";
    assert_eq!(run.stdout, expected);
}

#[test]
fn what_comes_out_stays_as_it_is() {
    for options in [&[][..], &["--level", "redacted"]] {
        let once = redact(options, TEXT.as_bytes()).stdout;
        assert_eq!(redact(options, once.as_bytes()).stdout, once);
    }
}

#[test]
fn a_bad_line_is_named_and_neither_it_nor_what_follows_is_passed_on() {
    let overlong = format!("\"{}\"", "a".repeat(1 << 20));
    for (bad, says) in [
        ("{\"a\":\"hunter2\"}", "standard input, line 2, column 0: not a JSON string"),
        ("\"hunter2", "standard input, line 2, column 8: not a JSON string"),
        ("hunter2", "standard input, line 2, column 1: not a JSON string"),
        ("\"a\" \"hunter2\"", "standard input, line 2, column 5: not a JSON string"),
        ("", "standard input, line 2, column 0: not a JSON string"),
        (&overlong, "standard input, line 2: longer than 1048576 bytes"),
    ] {
        let run = redact(&["--ndjson"], format!("\"before\"\n{bad}\n\"after\"\n").as_bytes());
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), "\"before\"\n"), "{bad:.20}");
        assert_eq!(run.stderr, format!("trueup: {says}\n"));
    }
    let run = redact(&["--ndjson"], b"\"na\xefve\"\n");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
}

#[test]
fn bytes_that_are_no_text_are_taken_out_of_one() {
    let run = redact(&[], b"error \xff\xfe9qz7\xff \0 end\r\nnext");
    assert_eq!(run.code, Some(0));
    assert_eq!(run.stdout, "error \u{fffd}\u{fffd}<w>\u{fffd} \u{fffd} end\r\nnext");
}

#[test]
fn lines_of_any_length_are_cut_and_cost_no_memory() {
    let home = Home::new();
    let mut child =
        Running(home.command(&["telemetry", "redact"]).stdin(Stdio::piped()).spawn().unwrap());
    let mut stdin = child.0.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let piece = "the error was here ".repeat(5_000);
        for _ in 0..700 {
            stdin.write_all(piece.as_bytes()).unwrap();
        }
        stdin.write_all(b"\nthe end\n").unwrap();
        // The program is still there, and has read all.
        stdin
    });
    let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.len() < 8_200 && line.ends_with("<cut>\n"), "{}", line.len());
    line.clear();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "the end\n", "what was read is written before more is waited for");
    let status = PathBuf::from(format!("/proc/{}/status", child.0.id()));
    if status.exists() {
        let status = text_of(status);
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 64 * 1024, "66 MB went through {peak} kB");
    }
    drop(writer.join().unwrap());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().code()), ("", Some(0)));
}
