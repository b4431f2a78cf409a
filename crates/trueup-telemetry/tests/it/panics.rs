//! Panics: they are told, and neither what a product shows nor what it returns changes.

use std::process::Command;
use std::time::{Duration, Instant};

use trueup_telemetry::errors::{HOOK_MS_MAX, panic_hook, tell};
use trueup_telemetry::manifest::ErrorLevel;

/// What a process that panics shows and returns, and how long it took.
fn panicking(mode: &str) -> (Option<i32>, String, String, Duration) {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join(mode), b"").unwrap();
    let begin = Instant::now();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "panics::child_that_panics", "--ignored", "--nocapture"])
        .env("RUST_BACKTRACE", "0")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let took = begin.elapsed();
    let stderr = String::from_utf8(output.stderr).unwrap();
    // Numbers of threads are not the product's.
    let stderr = stderr.replace(|c: char| c.is_ascii_digit(), "");
    let told = folder.path().join("told");
    let told = if told.exists() { crate::text(&told) } else { String::new() };
    (output.status.code(), stderr, told, took)
}

#[test]
fn check_28_a_panic_is_told_and_neither_message_nor_exit_code_changes() {
    let (code, said, told, plain) = panicking("plain");
    assert_eq!((code, told.as_str()), (Some(101), ""));
    assert!(said.contains("cannot open /home/alice/plan.md"), "{said}");
    for mode in ["hooked", "slow", "faulty"] {
        let (its_code, its_said, its_told, took) = panicking(mode);
        assert_eq!((its_code, &its_said), (code, &said), "{mode}");
        if mode == "hooked" {
            assert_eq!(
                its_told,
                "panic: cannot open <p>/plan.md at crates/trueup-telemetry/tests/it/panics.rs"
            );
        }
        // What the system adds to the start of a process is not the hook's.
        let bound = plain + Duration::from_millis(HOOK_MS_MAX) + Duration::from_secs(1);
        assert!(took < bound, "{mode}: {took:?} instead of {plain:?}");
    }
}

/// Not a test by itself: the process that the one above looks at.
#[test]
#[ignore = "panics; the test of panics starts it"]
fn child_that_panics() {
    let is = |mode: &str| std::path::Path::new(mode).exists();
    if !["plain", "hooked", "slow", "faulty"].into_iter().any(is) {
        return;
    }
    let mode = ["hooked", "slow", "faulty"].into_iter().find(|mode| is(mode));
    if let Some(mode) = mode {
        panic_hook(move |report| match mode {
            "slow" => std::thread::park(),
            "faulty" => panic!("a fault of the sink"),
            _ => {
                let told = tell(report, ErrorLevel::Template).unwrap();
                let line = format!("{}: {} at {}", told.kind, told.text, told.frames[0].file);
                std::fs::write("told", line).unwrap();
            }
        });
    }
    if mode == Some("slow") {
        storm();
    }
    let path = "/home/alice/plan.md";
    let panics = (0..3).map(|_| {
        let begin = Instant::now();
        let result = std::panic::catch_unwind(|| panic!("cannot open {path}"));
        (begin.elapsed(), result.unwrap_err())
    });
    // Of three the shortest: others may use the processor, too.
    let (took, payload) = panics.min_by_key(|(took, _)| *took).unwrap();
    assert!(took < Duration::from_millis(50), "a panic waits no longer: {took:?}");
    std::panic::resume_unwind(payload);
}

/// However many panics there are, few threads wait for a sink that does not come back.
fn storm() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    panic_hook(|_| std::thread::park());
    for _ in 0..50 {
        assert!(std::panic::catch_unwind(|| panic!("again")).is_err());
    }
    std::panic::set_hook(previous);
    let status = crate::text(std::path::Path::new("/proc/self/status"));
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
    assert!(threads.trim().parse::<u32>().unwrap() < 10, "{threads}");
}
