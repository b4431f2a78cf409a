//! `trueup hooks`: what it does to the state folders of OpenClaw, and what it leaves alone.
//!
//! What the hook itself does is another module's: it needs Node.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use insta::assert_snapshot;

use crate::home::{Home, Run, files, finish, skipped, text_of};

/// The program `openclaw` as far as the hook needs it: it notes how it was called, and writes what the
/// real one writes.
const OPENCLAW: &str = r#"#!/bin/sh
echo "$OPENCLAW_STATE_DIR: $*" >> "$HOME/called"
case "$*" in
    "hooks enable trueup") is_on=true ;;
    "hooks disable trueup") is_on=false ;;
    *) exit 2 ;;
esac
if [ -e "$OPENCLAW_STATE_DIR/broken" ]; then
    echo "Config invalid: $OPENCLAW_STATE_DIR/openclaw.json" >&2
    exit 1
fi
printf '{"hooks":{"internal":{"enabled":true,"entries":{"trueup":{"enabled":%s}}}}}' "$is_on" \
    > "$OPENCLAW_STATE_DIR/openclaw.json"
"#;

/// A home with an OpenClaw that was used, and its program on the path or not.
fn home(has_program: bool) -> Home {
    let home = Home::of_fixtures(&["openclaw/01_normal"]);
    if has_program {
        home.write("bin/openclaw", OPENCLAW);
        fs::set_permissions(home.at("bin/openclaw"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    home
}

/// Runs command lines one after the other, with the home's own programs on the path.
fn transcripts(home: &Home, lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| home.transcript_of(line, &run(home, line)))
        .collect::<Vec<_>>()
        .join("\n")
}

fn run(home: &Home, line: &str) -> Run {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let mut command = home.command(&arguments);
    command.env("PATH", home.at("bin"));
    let run = finish(command);
    let wide: Vec<&str> = run
        .stdout
        .lines()
        .filter(|line| line.chars().count() > 80 && !line.starts_with(' '))
        .collect();
    assert!(wide.is_empty(), "{line}: {wide:#?}");
    run
}

/// The files of a home, with their bytes.
fn contents(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    let files = files(home.path());
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

const HOOK: &str = ".openclaw/hooks/trueup";

#[test]
fn it_is_installed_once_and_taken_out_again() {
    let home = home(true);
    let before = contents(&home);
    assert_snapshot!(transcripts(
        &home,
        &[
            "hooks status",
            "hooks install openclaw",
            "hooks install openclaw",
            "hooks status",
            "hooks status --json",
            "hooks uninstall openclaw",
            "hooks uninstall openclaw",
        ]
    ));
    let state = home.at(".openclaw").display().to_string();
    let called = text_of(home.at("called"));
    let calls = [format!("{state}: hooks enable trueup"), format!("{state}: hooks disable trueup")];
    assert_eq!(called.lines().collect::<Vec<_>>(), calls);
    let mut after = contents(&home);
    after.retain(|(path, _)| !path.ends_with("called") && !path.ends_with("openclaw.json"));
    assert_eq!(after, before, "all else is as it was");
}

#[test]
fn two_files_are_written_and_no_other() {
    let home = home(false);
    let before = files(home.path());
    assert_eq!(run(&home, "hooks install openclaw").code, Some(0));
    let mut after = files(home.path());
    after.retain(|path| !before.contains(path));
    assert_eq!(after, [home.at(HOOK).join("HOOK.md"), home.at(HOOK).join("handler.js")]);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(home.at("spool/openclaw")), 0o700);
    assert_eq!(mode(home.at(HOOK).join("handler.js")) & 0o600, 0o600);
}

#[test]
fn a_dry_run_changes_nothing() {
    let home = home(true);
    let before = contents(&home);
    let dry = transcripts(
        &home,
        &["hooks install openclaw --dry-run", "hooks uninstall openclaw --dry-run"],
    );
    assert_eq!(contents(&home), before);
    run(&home, "hooks install openclaw");
    let installed = contents(&home);
    let again = transcripts(
        &home,
        &["hooks install openclaw --dry-run", "hooks uninstall openclaw --dry-run"],
    );
    assert_eq!(contents(&home), installed);
    assert_snapshot!(format!("{dry}\n{again}"));
}

#[test]
fn without_the_program_it_says_what_to_run() {
    let home = home(false);
    fs::create_dir(home.at(".openclaw-dev")).unwrap();
    fs::create_dir(home.at(".moltbot")).unwrap();
    symlink(".moltbot", home.at(".moldbot")).unwrap();
    assert_snapshot!(transcripts(
        &home,
        &["hooks install openclaw", "hooks status", "hooks uninstall openclaw"]
    ));
}

#[test]
fn nothing_of_others_is_touched() {
    let home = home(true);
    home.write(&format!("{HOOK}/HOOK.md"), "---\nname: trueup\n---\n");
    home.write(&format!("{HOOK}/handler.js"), "export default () => {};\n");
    let before = contents(&home);
    assert_snapshot!(transcripts(
        &home,
        &[
            "hooks install openclaw --dry-run",
            "hooks install openclaw",
            "hooks status",
            "hooks uninstall openclaw",
        ]
    ));
    assert_eq!(contents(&home), before);
    // A link is not ours either, wherever it leads.
    fs::rename(home.at(HOOK), home.at("elsewhere")).unwrap();
    symlink(home.at("elsewhere"), home.at(HOOK)).unwrap();
    assert_eq!(run(&home, "hooks install openclaw").code, Some(1));
    // What was put beside our files stays.
    fs::remove_file(home.at(HOOK)).unwrap();
    run(&home, "hooks install openclaw");
    home.write(&format!("{HOOK}/notes.txt"), "mine");
    let said = run(&home, "hooks uninstall openclaw");
    assert!(said.stdout.contains("other files stay there"), "{said:?}");
    assert_eq!(files(&home.at(HOOK)), [home.at(HOOK).join("notes.txt")]);
}

#[test]
fn an_older_hook_gives_way_and_a_newer_one_does_not() {
    let home = home(true);
    run(&home, "hooks install openclaw");
    let current = contents(&home);
    set_version(&home, 0);
    let older = transcripts(&home, &["hooks status", "hooks install openclaw"]);
    assert_eq!(contents(&home), current);
    set_version(&home, 7);
    let newer = transcripts(&home, &["hooks status", "hooks install openclaw"]);
    assert!(text_of(home.at(HOOK).join("HOOK.md")).contains("version 7"));
    assert_snapshot!(format!("{older}\n{newer}"));
    // Half an installation is none, and is finished by the next.
    set_version(&home, 1);
    fs::remove_file(home.at(HOOK).join("handler.js")).unwrap();
    assert!(run(&home, "hooks install openclaw").stdout.contains("written"));
    assert_eq!(contents(&home), current);
}

/// Makes the installed hook one of another version.
fn set_version(home: &Home, version: u32) {
    for name in ["HOOK.md", "handler.js"] {
        let path = home.at(HOOK).join(name);
        let text = text_of(&path);
        let (before, rest) = text.split_once("hook, version ").unwrap();
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        fs::write(path, format!("{before}hook, version {version}{rest}")).unwrap();
    }
}

#[test]
fn folders_that_cannot_be_changed_are_named_and_the_others_done() {
    let home = home(true);
    symlink("nowhere", home.at(".clawdbot")).unwrap();
    home.write(".moltbot", "a file");
    home.write(".openclaw-dev/hooks", "a file");
    fs::create_dir(home.at(".moldbot")).unwrap();
    symlink("nowhere", home.at(".moldbot/hooks")).unwrap();
    assert_snapshot!(transcripts(&home, &["hooks install openclaw", "hooks status"]));
    assert!(home.at(HOOK).join("handler.js").is_file());
}

#[test]
fn a_folder_that_is_read_only_is_named() {
    if rustix::process::geteuid().is_root() {
        skipped("root may write everywhere");
        return;
    }
    let home = home(true);
    let state = home.at(".openclaw");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o500)).unwrap();
    let said = run(&home, "hooks install openclaw");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stdout.contains("cannot be made"), "{said:?}");
    assert!(said.stdout.contains("Permission denied"), "{said:?}");
}

#[test]
fn what_openclaw_says_against_it_is_passed_on() {
    let home = home(true);
    home.write(".openclaw/broken", "");
    home.write(".openclaw/openclaw.json", "{ // by hand\n}");
    assert_snapshot!(transcripts(
        &home,
        &["hooks install openclaw", "hooks status", "hooks uninstall openclaw"]
    ));
    assert!(!home.at(HOOK).exists());
}

#[test]
fn a_spool_that_cannot_be_made_is_named_before_anything_is_written() {
    let home = home(true);
    home.write("spool", "a file");
    let said = run(&home, "hooks install openclaw");
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
    assert!(said.stderr.contains("/spool/openclaw cannot be made"), "{said:?}");
    assert!(!home.at(".openclaw/hooks").exists());
}

#[test]
fn a_package_of_modules_around_it_is_refused() {
    let home = home(true);
    home.write(".openclaw/package.json", r#"{"type":"module"}"#);
    let said = run(&home, "hooks install openclaw");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stdout.contains(".openclaw/package.json says"), "{said:?}");
    assert!(!home.at(".openclaw/hooks").exists());
}

#[test]
fn without_openclaw_it_says_where_it_looked() {
    let home = Home::new();
    assert_snapshot!(transcripts(
        &home,
        &[
            "hooks install openclaw",
            "hooks uninstall openclaw",
            "hooks status",
            "hooks install",
            "hooks install codex",
            "hooks",
        ]
    ));
    assert_eq!(files(home.path()), [""; 0].map(PathBuf::from));
}

#[test]
fn the_status_counts_what_waits() {
    let home = home(true);
    run(&home, "hooks install openclaw");
    for name in
        ["1795212509482-7-ab.json", "1795212569482-7-cd.json", "1795212579482-7-ef.json.tmp"]
    {
        home.write(&format!("spool/openclaw/{name}"), "{}");
    }
    home.write("spool/openclaw/dropped", "1795212509482 full command:new\n");
    assert_snapshot!(transcripts(&home, &["hooks status", "hooks status --json"]));
}

#[test]
fn a_hook_for_another_spool_is_outdated_and_both_are_shown() {
    let home = home(true);
    run(&home, "hooks install openclaw");
    let moved = |line: &str| {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let mut command = home.command(&arguments);
        command.env("PATH", home.at("bin")).env("TRUEUP_SPOOL_DIR", "moved");
        home.transcript_of(line, &finish(command))
    };
    home.write("moved", "a file");
    assert_snapshot!([moved("hooks status"), moved("hooks status --json")].join("\n"));
    fs::remove_file(home.at("moved")).unwrap();
    let said = moved("hooks install openclaw");
    assert!(said.contains("version 1 over version 1"), "{said}");
    assert!(text_of(home.at(HOOK).join("handler.js")).contains("/moved/openclaw"));
}
