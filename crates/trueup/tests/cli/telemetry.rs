//! `trueup telemetry`: what may be told, who decided, and that looking at it leaves nothing behind.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use serde_json::Value;

use crate::home::{Home, Run, finish, finish_with};

/// Where trueup's own decision lies, below the ledger of a [`Home`].
const OWN: &str = "ledger/telemetry/trueup/telemetry.json";

/// A product of another, as claude-mem is.
const MANIFEST: &str = "\
product = \"claude-mem\"
env_prefix = \"CLAUDE_MEM\"
data_dir = \"~/.claude-mem\"
default = \"on\"
id = \"install\"

[fields]
tokens = { u64 = true }

[[rollup]]
event = \"turns\"
grain = \"1d\"
sum = [\"tokens\"]

[sink]
type = \"posthog\"
host = \"https://us.i.posthog.com\"
key = \"phc_abc\"
";

const ID: &str = "0b7f4f0e-6f3c-4c7e-9d0e-2f1f6f1f7a11";

/// Everything below a folder: names, bytes, and when it was changed.
fn all_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let modified = entry.metadata().unwrap().modified().unwrap();
        if path.is_dir() {
            all.push((path.clone(), Vec::new(), modified));
            all.extend(all_below(&path));
        } else {
            all.push((path.clone(), fs::read(&path).unwrap(), modified));
        }
    }
    all.sort();
    all
}

fn run_with(home: &Home, line: &str, variables: &[(&str, &str)]) -> Run {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    let mut command = home.command(&arguments);
    command.envs(variables.iter().copied());
    finish(command)
}

fn status(home: &Home, more: &str, variables: &[(&str, &str)]) -> Value {
    let run = run_with(home, &format!("telemetry status --json {more}"), variables);
    assert_eq!(run.code, Some(0), "{run:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn check_06_looking_leaves_nothing_behind() {
    for file in [None, Some("{\"enabled\": true}"), Some("{\"enabled\": fal"), Some("{}")] {
        let home = Home::new();
        home.write("claude.toml", MANIFEST);
        if let Some(text) = file {
            home.write(OWN, text);
            home.write(".claude-mem/telemetry.json", text);
        }
        let before = all_below(home.path());
        for of in ["", " --manifest claude.toml"] {
            for line in ["status", "status --json", "schema", "schema --md", "schema --json"] {
                home.print(&format!("telemetry {line}{of}"));
            }
        }
        home.print("telemetry lint");
        home.print("telemetry lint claude.toml");
        assert_eq!(all_below(home.path()), before);
    }
    // Nor does a reset make what is not there.
    let home = Home::new();
    home.print("telemetry reset-id");
    assert_eq!(all_below(home.path()), []);
}

#[test]
fn who_decides_is_as_the_order_says() {
    let home = Home::new();
    let expect = |variables: &[(&str, &str)], mode: &str, by: &str| {
        let status = status(&home, "", variables);
        assert_eq!((&status["mode"], &status["decided_by"]), (&mode.into(), &by.into()));
    };
    expect(&[], "local", "default");
    expect(&[("CI", "true")], "local", "ci");
    expect(&[("TRUEUP_TELEMETRY", "nope"), ("CI", "true")], "off", "variable");
    home.write(OWN, "{\"mode\":\"on\"}");
    expect(&[("CI", "true")], "on", "file");
    expect(&[("TRUEUP_TELEMETRY", "Local")], "local", "variable");
    expect(&[("TRUEUP_TELEMETRY", "on"), ("DO_NOT_TRACK", "1")], "off", "do_not_track");
    home.write(OWN, "{\"enabled\": false}");
    expect(&[], "off", "file");
    expect(&[("TRUEUP_TELEMETRY", "1")], "on", "variable");
}

#[test]
fn a_wish_not_to_be_tracked_counts_in_any_letters() {
    let home = Home::new();
    let mut command = home.command(&["telemetry", "status"]);
    command.env("DO_NOT_TRACK", std::ffi::OsStr::from_bytes(b"\xff"));
    let run = finish(command);
    assert!(run.stdout.starts_with("trueup: off,"), "{run:?}");
}

#[test]
fn check_02_files_that_mean_no_or_nothing_are_off_and_stay_as_they_are() {
    let texts =
        ["{\"enabled\": false}", "{\"enabled\":\"false\"}", "{\"enabled\":0}", "{\"ena", ""];
    for text in texts {
        let home = Home::new();
        home.write("claude.toml", MANIFEST);
        home.write(".claude-mem/telemetry.json", text);
        let status = status(&home, "--manifest claude.toml", &[]);
        assert_eq!((&status["mode"], &status["decided_by"]), (&"off".into(), &"file".into()));
        assert_eq!(fs::read(home.at(".claude-mem/telemetry.json")).unwrap(), text.as_bytes());
    }
}

#[test]
fn nothing_is_written_over_a_file_that_cannot_be_read() {
    let home = Home::new();
    home.write(OWN, "{\"enabled\": fal");
    let before = all_below(home.path());
    assert_snapshot!(
        ["on", "local", "off", "reset-id", "status"]
            .map(|verb| home.transcript(&format!("telemetry {verb}")))
            .join("\n")
    );
    assert_eq!(all_below(home.path()), before);
}

#[test]
fn check_07_claude_mems_file_is_read_and_what_is_in_it_kept() {
    let home = Home::new();
    home.write("claude.toml", MANIFEST);
    let text = format!(
        "{{\"enabled\": true, \"installId\": \"{ID}\", \"decidedAt\": \"2026-06-19T08:00:00Z\", \"x\": 1.0}}"
    );
    home.write(".claude-mem/telemetry.json", &text);
    let of = "--manifest claude.toml";
    let before = status(&home, of, &[]);
    assert_eq!((&before["mode"], &before["id"]["id"]), (&"on".into(), &ID.into()));
    assert_eq!(before["as_of"], "2026-06-19T08:00:00.000Z");
    home.print(&format!("telemetry off {of}"));
    let after = status(&home, of, &[]);
    assert_eq!((&after["mode"], &after["id"]["id"]), (&"off".into(), &ID.into()));
    let written =
        String::from_utf8(fs::read(home.at(".claude-mem/telemetry.json")).unwrap()).unwrap();
    assert!(written.contains("\"x\": 1.0") && written.contains("\"enabled\": false"), "{written}");
    // A variable of the product moves its folder.
    home.write("elsewhere/telemetry.json", "{\"mode\":\"local\"}");
    let elsewhere = home.at("elsewhere").display().to_string();
    let moved = status(&home, of, &[("CLAUDE_MEM_DATA_DIR", &elsewhere)]);
    assert_eq!(moved["mode"], "local");
    // A reset changes the id, and nothing else.
    home.print(&format!("telemetry reset-id {of}"));
    let reset = status(&home, of, &[]);
    assert!(reset["id"]["id"].as_str().is_some_and(|id| id != ID && id.len() == ID.len()));
    assert_eq!(reset["mode"], "off");
}

#[test]
fn a_default_of_on_waits_for_its_notice() {
    let home = Home::new();
    home.write("claude.toml", MANIFEST);
    let waits = status(&home, "--manifest claude.toml", &[]);
    assert_eq!((&waits["mode"], &waits["awaits_notice"]), (&"local".into(), &true.into()));
    home.write(".claude-mem/telemetry.json", "{\"noticeShownAt\": \"2026-11-01T00:00:00Z\"}");
    let shown = status(&home, "--manifest claude.toml", &[]);
    assert_eq!((&shown["mode"], &shown["awaits_notice"]), (&"on".into(), &false.into()));
    assert_eq!(shown["as_of"], "2026-11-01T00:00:00.000Z");
}

/// Times differ from run to run.
fn undated(text: &str) -> String {
    let line = |line: &str| match line.split_once("as of         ") {
        Some((before, _)) => format!("{before}as of         (a time); what is older is never sent"),
        None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn decisions_as_people_see_them() {
    let home = Home::new();
    home.write("claude.toml", MANIFEST);
    let lines = [
        "telemetry status",
        "telemetry status --manifest claude.toml",
        "telemetry on",
        "telemetry status",
        "telemetry off --manifest claude.toml",
        "telemetry local --manifest claude.toml",
        "telemetry status --manifest claude.toml",
        "telemetry reset-id",
        "telemetry off",
        "telemetry status --manifest nowhere.toml",
    ];
    let all: Vec<String> = lines.iter().map(|line| home.transcript(line)).collect();
    let overruled = run_with(&home, "telemetry on", &[("DO_NOT_TRACK", "1")]);
    let all = [all.join("\n"), home.transcript_of("telemetry on", &overruled)].join("\n");
    assert_snapshot!(undated(&all));
}

#[test]
fn lint_says_what_where() {
    let home = Home::new();
    home.write("good.toml", MANIFEST);
    home.write(
        "bad.toml",
        "product = \"claude mem\"\nenv_prefix = \"X\"\n\n[fields]\nmessage = { string = true }\n\n\
         [[rollup]]\nevent = \"search_performed\"\ngrain = \"event\"\nfields = [\"message\"]\n",
    );
    home.write("torn.toml", "product = \"p\"\n[fields\n");
    let lines = ["telemetry lint", "telemetry lint good.toml", "telemetry lint bad.toml"];
    let more = ["telemetry lint torn.toml", "telemetry lint nowhere.toml"];
    let status = ["telemetry status --manifest bad.toml"];
    let all = lines.into_iter().chain(more).chain(status).map(|line| home.transcript(line));
    assert_snapshot!(all.collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_screen_as_people_see_it() {
    let home = Home::new();
    let screen = home.print("telemetry schema");
    assert!(screen.lines().all(|line| line.chars().count() <= 80));
    assert_snapshot!(screen);
}

/// `TRUEUP_ACCEPT=1` writes the document anew.
#[test]
fn check_11_the_document_is_what_the_program_prints() {
    let home = Home::new();
    let printed = home.print("telemetry schema --md");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/telemetry-schema.md");
    if std::env::var_os("TRUEUP_ACCEPT").is_some() {
        fs::write(&path, &printed).unwrap();
    }
    let document = String::from_utf8(fs::read(&path).unwrap()).unwrap();
    assert_eq!(document, printed, "docs/telemetry-schema.md is out of date");
    // The JSON has the same keys.
    let json: Value = serde_json::from_str(&home.print("telemetry schema --json")).unwrap();
    let keys = json["events"].as_array().unwrap().iter();
    let keys: Vec<&str> = keys
        .flat_map(|event| event["keys"].as_array().unwrap())
        .map(|key| key["key"].as_str().unwrap())
        .collect();
    let rows = printed.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<Vec<_>>(), keys);
}

/// Where trueup keeps what it records of itself.
const OWN_STATE: &str = "ledger/telemetry/trueup/telemetry";

#[test]
fn own_runs_are_added_up_beside_the_ledger_and_stay_there() {
    let home = Home::new();
    // Without a ledger there is nothing to lie beside.
    home.print("report --no-ledger");
    assert!(!home.at(OWN_STATE).exists());
    home.print("sync");
    home.print("check");
    run_with(&home, "import nothing.csv", &[]);
    home.print("telemetry flush");
    let seen = status(&home, "", &[]);
    assert_eq!(seen["adding_up"][0]["event"], "verbs_rollup");
    assert_eq!(seen["adding_up"][0]["records"], 3);
    assert_eq!(seen["queued"], 0);
    assert_eq!(seen["sent_today"]["requests"], 0);
    // Verbs that only look, and those who do not want to be counted, add nothing.
    run_with(&home, "config", &[]);
    run_with(&home, "check", &[("TRUEUP_TELEMETRY", "off")]);
    let after = status(&home, "", &[]);
    assert_eq!(after["adding_up"], serde_json::json!([]), "off deletes what there was");
}

#[test]
fn many_runs_leave_few_files() {
    let home = Home::new();
    home.print("sync");
    for _ in 0..40 {
        home.print("check");
    }
    let files = fs::read_dir(home.at(OWN_STATE)).unwrap().count();
    assert!(files < 40, "{files} files");
    home.print("telemetry flush");
    assert_eq!(status(&home, "", &[])["adding_up"][0]["records"], 41);
}

/// A product whose telemetry goes to a file, with errors and a past.
const FILED: &str = "\
product = \"filed\"
env_prefix = \"FILED\"
data_dir = \"~/.filed\"
default = \"local\"
id = \"install\"

[fields]
tokens = { u64 = true }
turns = { u64 = true }

[[rollup]]
event = \"turns_rollup\"
grain = \"session\"
max_age = \"1h\"
max_records = 1000
sum = [\"tokens\"]

[[rollup]]
event = \"errors_rollup\"
grain = \"1d\"
sum = [\"turns\"]

[errors]
level = \"template\"
rollup = \"errors_rollup\"
top = 8

[backfill]
event = \"historical_activity\"
version = 1
namespace = \"8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17\"
lag = \"60h\"
needs = \"explicit\"
fields = [\"turns\"]

[budget]
events_per_day = 4
hard_cap = 8

[sink]
type = \"file\"
path = \"~/out/filed.ndjson\"
";

fn fed(home: &Home, line: &str, input: &str) -> Run {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    finish_with(home.command(&arguments), input.as_bytes())
}

#[test]
fn check_31_the_bytes_that_are_shown_are_the_bytes_that_leave() {
    let home = Home::new();
    home.write("filed.toml", FILED);
    home.print("telemetry on --manifest filed.toml");
    // Where the folder should be is a file: nothing can leave yet.
    home.write("out", "");
    let lines =
        "{\"event\":\"turns_rollup\",\"key\":\"s1\",\"props\":{\"tokens\":7}}\n{\"end\":\"s1\"}\n";
    let run = fed(&home, "telemetry pipe --manifest filed.toml", lines);
    assert_eq!(run.code, Some(0), "{run:?}");
    // It is due again a moment after it failed.
    let shown = (0..1_000).find_map(|_| {
        let shown = home.print("telemetry show --raw --manifest filed.toml");
        (!shown.is_empty()).then_some(shown)
    });
    let shown = shown.unwrap();
    assert!(shown.contains("\"total_tokens\":7") && !shown.contains("s1"), "{shown}");
    let request: Value =
        serde_json::from_str(&home.print("telemetry show --json --manifest filed.toml")).unwrap();
    assert_eq!(request["request"]["body"], shown.as_str());
    fs::remove_file(home.at("out")).unwrap();
    fs::create_dir(home.at("out")).unwrap();
    let flushed = home.print("telemetry flush --manifest filed.toml");
    assert_eq!(flushed, "filed: 0 requests made, 0 events kept here, 0 requests still waiting.\n");
    let left = String::from_utf8(fs::read(home.at("out/filed.ndjson")).unwrap()).unwrap();
    assert_eq!(left.trim_end(), shown.trim_end());
    let log = home.print("telemetry log --raw --manifest filed.toml");
    assert_eq!(log.trim_end(), shown.trim_end());
    let nothing = home.print("telemetry show --manifest filed.toml");
    assert_eq!(nothing, "Telemetry of filed is on: nothing has ended that is to be sent.\n");
}

#[test]
fn check_25_the_same_error_is_one_line_with_its_count_and_no_name_in_it() {
    let home = Home::new();
    home.write("filed.toml", FILED);
    assert_eq!(
        home.print("telemetry errors --manifest filed.toml"),
        "There is no error that was not sent.\n"
    );
    let error = "{\"error\":{\"type\":\"IoError\",\"message\":\"cannot open /home/alice/acme/plan.md\",\"handled\":true}}\n";
    let run = fed(&home, "telemetry pipe --manifest filed.toml", &error.repeat(100));
    assert_eq!(run.code, Some(0), "{run:?}");
    let errors: Value =
        serde_json::from_str(&home.print("telemetry errors --json --manifest filed.toml")).unwrap();
    assert_eq!(errors["days"][0]["count"], 100);
    assert_eq!(errors["days"][0]["errors"][0]["count"], 100);
    let text = home.print("telemetry errors --manifest filed.toml");
    assert!(
        text.contains("100 errors") && !text.contains("alice") && !text.contains("acme"),
        "{text}"
    );
}

#[test]
fn check_36_the_past_is_told_once_and_only_when_asked_for() {
    let home = Home::new();
    home.write("filed.toml", FILED);
    home.write("past.ndjson", "{\"day\":\"2025-10-19\",\"turns\":3}\nno record\n{\"day\":1760868000,\"turns\":4}\n{\"day\":\"2025-10-20\",\"turns\":5,\"prompt\":\"x\"}\n");
    let verb = "telemetry backfill past.ndjson --manifest filed.toml";
    let home_before = || all_below(home.path());
    // Local: nothing may leave.
    let run = run_with(&home, &format!("{verb} --include-history"), &[]);
    assert!(run.stdout.starts_with("Telemetry of filed is local"), "{run:?}");
    home.print("telemetry on --manifest filed.toml");
    let before = home_before();
    let asked = run_with(&home, verb, &[]);
    assert!(asked.stdout.contains("--include-history"), "{asked:?}");
    let dry = run_with(&home, &format!("{verb} --dry-run"), &[]);
    assert_eq!(home_before(), before, "neither leaves a trace");
    assert!(
        dry.stdout.contains("\"turns\":7") && dry.stdout.contains("2025-10-19T12:00:00"),
        "{dry:?}"
    );
    assert!(!dry.stdout.contains("version"), "no version of today: {dry:?}");
    fs::create_dir(home.at("out")).unwrap();
    let run = run_with(&home, &format!("{verb} --include-history"), &[]);
    assert!(run.stdout.starts_with("2 days of the past told, through "), "{run:?}");
    assert!(run.stderr.contains("past.ndjson:2: not a JSON object"), "{run:?}");
    assert!(run.stderr.contains("`prompt` left out 1 times: unknown_key"), "{run:?}");
    let sent = fs::read(home.at("out/filed.ndjson")).unwrap();
    let again = run_with(&home, &format!("{verb} --include-history"), &[]);
    assert!(again.stdout.starts_with("The past was told already"), "{again:?}");
    assert_eq!(fs::read(home.at("out/filed.ndjson")).unwrap(), sent);
}

#[test]
fn check_37_no_day_of_a_simulated_fleet_passes_its_cap() {
    let home = Home::new();
    home.write("filed.toml", FILED);
    let line = "telemetry simulate --installs 5 --days 2 --json --manifest filed.toml";
    let figures: Value = serde_json::from_str(&home.print(line)).unwrap();
    assert_eq!((&figures["installs"], &figures["days"]), (&5.into(), &2.into()));
    assert_eq!(figures["records"], figures["records_told"], "sums are exact");
    let each = &figures["events_per_install_and_day"];
    assert!(each["most"].as_u64().unwrap() <= each["hard_cap"].as_u64().unwrap(), "{figures}");
    // On the machine itself nothing is left.
    assert!(!home.at(".filed").exists());
}
