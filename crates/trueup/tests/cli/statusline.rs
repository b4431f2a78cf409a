//! `trueup statusline`, as Claude Code calls it.

use jiff::SignedDuration;

use crate::home::{Home, Run, finish_with};
use crate::sessions::{Answer, claude, codex, now, rollout, transcript};

/// In a zone in which today began some hours ago, and does not end soon.
fn statusline(home: &Home, input: &str) -> Run {
    let zone = if now().as_second() / 3_600 % 24 < 12 { "Etc/GMT-6" } else { "Etc/GMT+6" };
    let mut command = home.command(&["statusline"]);
    command.env("TZ", zone);
    finish_with(command, input.as_bytes())
}

/// What Claude Code sends for a session.
fn input(home: &Home, session: &str) -> String {
    let path = home.at(&transcript(session));
    format!(
        r#"{{"hook_event_name":"Status","session_id":"{session}","transcript_path":"{}","cwd":"/home/u/app","model":{{"id":"claude-opus-4-5","display_name":"Opus 4.5"}},"context_window":{{"total_input_tokens":50000,"context_window_size":200000}},"version":"2.1.3"}}"#,
        path.display()
    )
}

/// The one line of a call that must succeed.
fn line(home: &Home, input: &str) -> String {
    let run = statusline(home, input);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    assert_eq!(run.stdout.matches('\n').count(), 1, "{run:?}");
    run.stdout.trim_end().to_owned()
}

#[test]
fn it_says_model_session_today_and_block() {
    let home = Home::new();
    let start = now() - SignedDuration::from_mins(2);
    home.write(&transcript("other"), Answer::new("b", "other", start).line());
    // One million tokens of input are 5 dollars.
    let answer =
        Answer { input: 1_000_000, cached: 0, output: 0, ..Answer::new("a", "mine", start) };
    home.write(&transcript("mine"), answer.line());
    let first = line(&home, &input(&home, "mine"));
    assert!(first.starts_with("Opus 4.5 · session $5.00 · today $5.00 · block $5.00 ("), "{first}");
    assert!(first.ends_with(" left) · context 25 %"), "{first}");
    // Other sessions are left to `report`, and then they count.
    home.print("sync");
    let second = line(&home, &input(&home, "mine"));
    assert!(second.starts_with("Opus 4.5 · session $5.00 · today $5.01 · block $5.01"), "{second}");
    // What is new in the session counts at once.
    let more = Answer { id: "c", time: now(), ..answer };
    home.append(&transcript("mine"), &more.line());
    let third = line(&home, &input(&home, "mine"));
    assert!(third.contains("session $10.00 · today $10.01 · block $10.01"), "{third}");
    assert!(third.contains("/h"), "a rate of two calls: {third}");
}

#[test]
fn what_is_missing_is_left_out() {
    for input in [
        input(&Home::new(), "not-written-yet"),
        "{}".to_owned(),
        r#"{"model":null,"session_id":null,"transcript_path":null}"#.to_owned(),
        r#"{"session_id":"x","transcript_path":"/","model":{}}"#.to_owned(),
    ] {
        // Each is the first call of all: there is no ledger yet.
        let line = line(&Home::new(), &input);
        assert!(line.contains("today $0.00"), "{input}: {line}");
        assert!(!line.contains("trueup:"), "{input}: {line}");
    }
}

#[test]
fn a_transcript_that_is_no_file_does_not_hold_it_up() {
    let home = Home::new();
    home.write(&transcript("folder/x"), "");
    let fifo = home.at(&transcript("fifo"));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert!(line(&home, &input(&home, "fifo")).contains("session $0.00"));
    assert!(line(&home, &input(&home, "folder")).contains("session $0.00"));
}

#[test]
fn broken_input_is_an_error() {
    let home = Home::new();
    for input in ["", "{", "not JSON", "[1,2]", r#"{"model":"a text"}"#, "\u{0}"] {
        let run = statusline(&home, input);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{input:?}: {run:?}");
        let said = "trueup: standard input is not the JSON that Claude Code sends";
        assert!(run.stderr.starts_with(said), "{input:?}: {run:?}");
    }
    let run = finish_with(home.command(&["statusline"]), b"\xff\xfe{}");
    assert_eq!(run.code, Some(1), "{run:?}");
}

#[test]
fn quotas_show_while_they_hold() {
    let home = Home::new();
    let id = "0199a000-0000-4000-8000-000000000001";
    let start = now() - SignedDuration::from_mins(30);
    let (soon, past) = (
        (now() + SignedDuration::from_hours(3)).as_second(),
        (now() - SignedDuration::from_hours(3)).as_second(),
    );
    let limits = format!(
        r#"{{"limit_id":"codex","primary":{{"used_percent":12.5,"window_minutes":300,"resets_at":{soon}}},"secondary":{{"used_percent":40,"window_minutes":10080,"resets_at":{past}}},"plan_type":"pro"}}"#
    );
    home.write(&rollout(id), codex(id, start, 3, &limits));
    home.print("sync");
    let line = line(&home, "{}");
    assert!(line.contains("codex 5 h 12 %"), "{line}");
    assert!(!line.contains("40 %"), "{line}");
}

#[test]
fn beside_another_writer_it_says_what_is_known() {
    let home = Home::new();
    let start = now() - SignedDuration::from_mins(1);
    home.write(&transcript("mine"), claude("mine", start, 1, 1));
    home.print("sync");
    let lock = std::fs::File::open(home.at("ledger/trueup.db.lock")).unwrap();
    lock.lock().unwrap();
    let line = line(&home, &input(&home, "mine"));
    assert!(line.contains("session $0.01") && line.contains("today $0.01"), "{line}");
}

#[test]
fn a_ledger_that_fails_still_leaves_a_line() {
    let home = Home::new();
    home.write("ledger", "a file where the folder should be");
    let line = line(&home, &input(&home, "mine"));
    assert!(line.starts_with("Opus 4.5 · trueup: ") && line.ends_with("context 25 %"), "{line}");
}
