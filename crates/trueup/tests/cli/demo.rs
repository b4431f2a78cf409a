//! `trueup demo`.

use crate::home::{Home, files, finish};

#[test]
fn it_shows_reports_and_leaves_nothing_behind() {
    let home = Home::everyday();
    let before = files(home.path());
    let temporary = tempfile::tempdir().unwrap();
    let mut command = home.command(&["demo"]);
    command.env("TMPDIR", temporary.path());
    let run = finish(command);
    assert_eq!(run.code, Some(0), "{run:?}");
    for shown in ["claude-code", "codex", "openclaw", "claude-opus-4-8", "Total", "shop", "removed"]
    {
        assert!(run.stdout.contains(shown), "{shown}: {}", run.stdout);
    }
    assert_eq!(run.stderr, "");
    assert!(!run.stdout.contains(home.path().to_str().unwrap()), "{}", run.stdout);
    assert_eq!(files(temporary.path()), [""; 0].map(std::path::PathBuf::from));
    assert_eq!(files(home.path()), before);
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{}", run.stdout);
}

#[test]
fn without_a_place_for_it_it_says_so() {
    let home = Home::new();
    let mut command = home.command(&["demo"]);
    command.env("TMPDIR", home.at("nowhere"));
    let run = finish(command);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.stderr.starts_with("trueup: no temporary folder can be made"), "{run:?}");
}
