//! Stores that are broken, hostile or not what their name says. Reading ends, what could not be read
//! is named by path and line, and what stands beside it counts.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::home::{Home, skipped};
use crate::schema::report;
use crate::sessions::{Answer, claude, time, transcript};

/// A good answer. Each file of this module has one before and one after what is bad.
fn good(id: &str) -> String {
    Answer::new(id, "bad-input", time("2025-10-20T07:00:00Z")).line()
}

/// A home with one session: a good answer, something bad as line 2, and another good answer.
fn home_with(bad: &[u8]) -> Home {
    let home = Home::new();
    let mut text = good("before").into_bytes();
    text.extend_from_slice(bad);
    text.push(b'\n');
    text.extend_from_slice(good("after").as_bytes());
    home.write(&transcript("bad"), text);
    home
}

fn calls(home: &Home) -> u64 {
    report(home, "report --json").totals.exact.calls
}

/// The lines of `sources --problems`, without the folder; none where there are no problems.
fn problems(home: &Home) -> Vec<String> {
    let kept = home.run("sources --problems");
    let read = home.run("sources --problems --no-ledger");
    assert_eq!((&kept.stdout, kept.code), (&read.stdout, read.code), "memory says the same");
    if kept.code == Some(0) {
        assert_eq!(kept.stdout, "Everything that was found could be read.\n");
        return Vec::new();
    }
    assert_eq!((kept.code, kept.stderr.as_str()), (Some(3), ""), "{kept:?}");
    let folder = format!("{}/", home.path().display());
    let lines = kept.stdout.lines();
    lines.map(|line| line.strip_prefix(&folder).unwrap_or(line).to_owned()).collect()
}

/// A record that is read for its usage, with this as its usage.
fn with_usage(usage: &str) -> Vec<u8> {
    good("odd").trim_end().replace(r#"{"input_tokens":1000,"#, &format!("{{{usage},")).into_bytes()
}

#[test]
fn bad_lines_are_named_and_good_ones_count() {
    let line = ".claude/projects/-home-u-app/bad.jsonl:2: ";
    let half = good("half");
    let half = half.as_bytes();
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("text", b"this is no record".to_vec(), "is not a JSON object (not_json)"),
        ("torn", half[..half.len() / 2].to_vec(), "is not a JSON object (not_json)"),
        ("unclosed", b"{\"usage\":1}}".to_vec(), "is not valid JSON at column 12 (not_json)"),
        (
            "NULs and text",
            [vec![0; 1 << 20], vec![b'x']].concat(),
            "is not a JSON object (not_json)",
        ),
        (
            "negative",
            with_usage(r#""input_tokens":-5"#),
            "message.usage has an impossible count (bad_count)",
        ),
        (
            "overflowing",
            with_usage(r#""input_tokens":1e400"#),
            "message.usage has an impossible count (bad_count)",
        ),
        (
            "huge",
            with_usage(r#""input_tokens":99999999999999999999999999"#),
            "message.usage has an impossible count (bad_count)",
        ),
        ("an array", b"[\"usage\"]".to_vec(), "is not a JSON object (not_json)"),
    ];
    for (name, bad, said) in cases {
        let home = home_with(&bad);
        let found = problems(&home);
        assert_eq!(found, [format!("{line}{said}")], "{name}");
        let is_counted = said.ends_with("(bad_count)");
        assert_eq!(calls(&home), 2 + u64::from(is_counted), "{name}");
        let note = home.run("report").stderr;
        assert!(note.contains("could not be read: `trueup sources --problems`"), "{name}: {note}");
    }
}

#[test]
fn odd_lines_that_can_be_read_are_no_problem() {
    let bom = [b"\xef\xbb\xbf", good("odd").trim_end().as_bytes()].concat();
    let crlf = [good("odd").trim_end().as_bytes(), b"\r"].concat();
    let nul = [&[0; 4096][..], good("odd").trim_end().as_bytes(), &[0; 4096][..]].concat();
    let not_utf8 = good("odd").trim_end().replace("\"content\":[]", "\"content\":\"?\"");
    let not_utf8: Vec<u8> =
        not_utf8.bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
    let deep = with_usage(&format!(r#""x":{}1{}"#, "[".repeat(100_000), "]".repeat(100_000)));
    let strings = with_usage(r#""input_tokens":"1000""#);
    for (name, odd) in [
        ("BOM", bom),
        ("CRLF", crlf),
        ("NUL", nul),
        ("UTF-8", not_utf8),
        ("strings", strings),
        ("deep", deep),
    ] {
        let home = home_with(&odd);
        assert_eq!(problems(&home), [""; 0], "{name}");
        assert_eq!(calls(&home), 3, "{name}");
    }
    // A megabyte of NULs, as a crash of the machine leaves it: there is no record in it.
    let home = home_with(&vec![0; 1 << 20]);
    assert_eq!((calls(&home), problems(&home).len()), (2, 0), "NULs");
}

#[test]
fn impossible_counts_are_held_to_a_bound() {
    let home = home_with(&with_usage(r#""input_tokens":9223372036854775807"#));
    let totals = report(&home, "report --json").totals.exact;
    assert_eq!(totals.input, 2_000 + (1 << 53) - 1);
    let home = home_with(&with_usage(r#""input_tokens":-1"#));
    assert_eq!(report(&home, "report --json").totals.exact.input, 2_000);
}

#[test]
fn sums_of_impossible_counts_end_at_a_bound() {
    let home = Home::new();
    let mut text = String::new();
    for at in 0..3_000 {
        let id = format!("m{at}");
        text += &Answer {
            input: (1 << 53) - 1,
            cached: (1 << 53) - 1,
            ..Answer::new(&id, "s", time("2025-10-20T07:00:00Z"))
        }
        .line();
    }
    home.write(&transcript("s"), text);
    for by in ["day", "month", "session", "model"] {
        let kept = home.run(&format!("report {by} --json"));
        let read = home.run(&format!("report {by} --json --no-ledger"));
        assert_eq!(kept.code, Some(0), "{by}: {kept:?}");
        // Where the sum ends is another number in each; that it ends, and what it counts, is not.
        for run in [&kept, &read] {
            assert_eq!(run.code, Some(0), "{by}: {run:?}");
            assert!(run.stdout.contains("\"calls\": 3000"), "{by}: {run:?}");
        }
    }
    assert_eq!(home.run("report").code, Some(0));
}

#[test]
fn a_line_of_70_mib_costs_only_time() {
    let home = Home::new();
    let path = home.at(&transcript("long"));
    home.write(&transcript("long"), good("before"));
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    // A tool result: a user's line, which holds no usage.
    write!(file, r#"{{"type":"user","message":{{"role":"user","content":""#).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..70 {
        file.write_all(&chunk).unwrap();
    }
    write!(file, "\"}}}}\n{}", good("after")).unwrap();
    // An answer that is as long counts.
    let long = good("long");
    let (head, tail) = long.split_once("\"content\":[]").unwrap();
    write!(file, "{head}\"content\":\"").unwrap();
    for _ in 0..3 {
        file.write_all(&chunk).unwrap();
    }
    write!(file, "\"{tail}").unwrap();
    drop(file);
    assert_eq!(calls(&home), 3);
    assert_eq!(problems(&home), [""; 0]);
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let home = home_with(b"{}");
    let folder = home.at(".claude/projects/-home-u-app");
    mknodat(CWD, folder.join("fifo.jsonl"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    fs::create_dir_all(folder.join("folder.jsonl")).unwrap();
    home.write(".claude/projects/-home-u-app/folder.jsonl/inside.jsonl", good("inside"));
    symlink("/nowhere/at/all", folder.join("dangling.jsonl")).unwrap();
    symlink("loop.jsonl", folder.join("loop.jsonl")).unwrap();
    symlink(&folder, folder.join("around")).unwrap();
    symlink("/dev/zero", folder.join("zero.jsonl")).unwrap();
    assert_eq!(calls(&home), 3);
    let found = problems(&home);
    let named = |name: &str, said: &str| {
        let line = format!(".claude/projects/-home-u-app/{name}: ");
        let is_named = found.iter().any(|found| found.starts_with(&line) && found.contains(said));
        assert!(is_named, "{name}: {found:#?}");
    };
    named("dangling.jsonl", "is a link to nothing (unreadable)");
    named("loop.jsonl", "(unreadable)");
    named("around", "is a link back to ");
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(home.run("report --strict").code, Some(3));
}

#[test]
fn a_folder_that_cannot_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    if rustix::process::geteuid().is_root() {
        skipped("root may read everything");
        return;
    }
    let home = home_with(b"{}");
    home.write(".claude/projects/secret/s.jsonl", good("secret"));
    let secret = home.at(".claude/projects/secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    let (found, counted) = (problems(&home), calls(&home));
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(".claude/projects/secret: "), "{found:?}");
    assert_eq!(counted, 2);
    // Once it can be read it is, and is no problem any more.
    assert_eq!((calls(&home), problems(&home).len()), (3, 0));
}

#[test]
fn a_link_that_is_mended_is_no_problem_any_more() {
    let home = home_with(b"{}");
    let link = home.at(".claude/projects/-home-u-app/later.jsonl");
    symlink(home.at("later.jsonl"), &link).unwrap();
    assert_eq!(problems(&home).len(), 1);
    home.write("later.jsonl", good("later"));
    assert_eq!((calls(&home), problems(&home).len()), (3, 0));
    // One that is gone is no problem either.
    let other = home.at(".claude/projects/-home-u-app/gone.jsonl");
    symlink("/nowhere", &other).unwrap();
    assert_eq!(problems(&home).len(), 1);
    fs::remove_file(&other).unwrap();
    assert_eq!(problems(&home).len(), 0);
}

#[test]
fn a_file_that_is_rewritten_without_its_fault_has_no_problem_any_more() {
    let home = home_with(b"{\"half a line");
    assert_eq!((calls(&home), problems(&home).len()), (2, 1));
    home.write(&transcript("bad"), good("before") + &good("after"));
    assert_eq!((calls(&home), problems(&home).len()), (2, 0));
}

#[test]
fn broken_stores_of_every_kind_are_named() {
    let home = Home::of_fixtures(&["claude-code/everyday"]);
    let counted = calls(&home);
    home.write(".codex/sessions/2025/10/20/rollout-x.jsonl.zst", "not zstd");
    home.write(".gemini/tmp/p/chats/session-x.json", "{\"messages\":[{]");
    home.write(".local/share/opencode/opencode.db", "not a database, but long enough".repeat(99));
    home.write(".local/share/opencode/storage/message/s/msg_1.json", "{\"role\":\"assistant\",");
    home.write(".openclaw/agents/main/agent/openclaw-agent.sqlite", vec![0; 8192]);
    let found = problems(&home);
    for path in
        ["rollout-x.jsonl.zst: ", "session-x.json: ", "opencode.db: ", "msg_1.json: ", ".sqlite: "]
    {
        assert!(found.iter().any(|line| line.contains(path)), "{path}: {found:#?}");
    }
    assert_eq!(calls(&home), counted);
    assert_eq!(home.run("report").code, Some(0));
    assert_eq!(home.run("report --strict").code, Some(3));
}

#[test]
fn files_that_come_and_go_during_the_scan_do_no_harm() {
    let home = Home::new();
    let start = time("2025-10-20T07:00:00Z");
    home.write(&transcript("stays"), claude("stays", start, 5, 1));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for at in 0..20 {
                    let name = format!("comes-and-goes-{at}");
                    home.write(&transcript(&name), claude(&name, start, 50, 1));
                }
                for at in 0..20 {
                    fs::remove_file(home.at(&transcript(&format!("comes-and-goes-{at}")))).unwrap();
                }
            }
        });
        for _ in 0..15 {
            let run = home.run("report session --json --no-ledger");
            assert_eq!(run.code, Some(0), "{run:?}");
            let run = home.run("sync");
            assert_eq!(run.code, Some(0), "{run:?}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(problems(&home), [""; 0]);
    // Whatever was seen, a session that is whole counts whole.
    let name = "comes-and-goes-0";
    home.write(&transcript(name), claude(name, start, 50, 1));
    let report = home.print("report session --json --since 2025-10-20");
    assert!(report.contains("\"calls\": 50"), "{report}");
}
