//! `GET /api/v1/…`: usage by buckets and groups, sessions in parts, and what verbs print.

use std::process::Output;

use serde_json::Value;

use super::daemon::{Answer, Daemon, Home, trace, until};

/// Calls of three days, of two agents, one before the clocks of Berlin went back and one after.
const POSTED: &str = r#"[
    {"timestamp":"2026-10-25T00:10:00Z","provider":"openai","model":"gpt-5.5","session_id":"s-1",
     "prompt_tokens":10,"completion_tokens":1,"project":"/p","agent":"hermes","cost_usd":0.5},
    {"timestamp":"2026-10-25T01:10:00Z","provider":"openai","model":"gpt-5.5","session_id":"s-1",
     "prompt_tokens":20,"completion_tokens":2,"project":"/p","agent":"hermes"},
    {"timestamp":"2026-10-26T12:00:00Z","provider":"anthropic","model":"claude-opus-4-8",
     "prompt_tokens":30,"completion_tokens":3,"project":"/q","agent":"iris","session_id":"s-2"},
    {"timestamp":"2026-10-27T12:00:00Z","provider":"house","model":"<b>🙂\u202e</b>","session_id":"s/3 ?",
     "prompt_tokens":5,"completion_tokens":5,"project":"/q","agent":"iris"}]"#;

fn home() -> (Home, Daemon) {
    let home = Home::with(&[("TZ", "UTC")]);
    let daemon = home.start();
    daemon.post_durably("/v1/traces", POSTED);
    (home, daemon)
}

fn get(daemon: &Daemon, path: &str) -> Value {
    let answer = daemon.get(&format!("/api/v1/{path}"));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

/// Runs a command that an answer told, with more words behind it.
fn run(home: &Home, told: &Value, more: &str) -> Output {
    let line = format!("{} {more}", told.as_str().unwrap());
    let words = line.strip_prefix("trueup ").unwrap().to_owned();
    let (verb, rest) = words.split_once(' ').unwrap();
    let mut command = std::process::Command::new("sh");
    // As a person would paste it: a shell takes the words apart.
    command.arg("-c").arg(format!("exec \"$TRUEUP\" {verb} {rest}"));
    let own = home.verb(verb);
    command.env_clear().env("TRUEUP", env!("CARGO_BIN_EXE_trueup"));
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.output().unwrap()
}

fn printed(home: &Home, told: &Value, more: &str) -> Value {
    let output = run(home, told, more);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{told}: {error}: {output:?}"))
}

#[test]
fn buckets_and_series_hold_what_the_program_prints() {
    let (home, daemon) = home();
    for query in [
        "bucket=1d&group=model&from=2026-10-24&to=2026-10-28",
        "bucket=1h&group=agent&subgroup=model&from=2026-10-25&to=2026-10-26&tz=Europe/Berlin",
        "bucket=30m&from=2026-10-25&to=2026-10-25&tz=Europe/Berlin",
        "bucket=1w&group=project&metric=cost&tz=Asia/Kathmandu",
        "bucket=1mo&group=provider&metric=calls&model=gpt-*&agent=hermes",
        "bucket=auto&group=tier&metric=output&cost=reported",
        "bucket=none&group=kind",
        "bucket=none",
        "bucket=1d&group=model&project=q&model=%3Cb%3E*&from=2026-10-24",
    ] {
        let answer = get(&daemon, &format!("usage/query?{query}"));
        let report = printed(&home, &answer["cli"], "--json");
        assert_eq!(answer["totals"], report["totals"], "{query}");
        assert_eq!(answer["tz"], report["tz"], "{query}");
        let bucket = answer["bucket"].as_str().unwrap();
        let names = ["30m", "1h", "1d", "1w", "1mo"];
        let fields = ["30m", "hour", "day", "week", "month"];
        let time = names.iter().position(|name| *name == bucket).map(|at| fields[at]);
        for row in report["rows"].as_array().unwrap() {
            let key = |name: &Value| name.as_str().and_then(|name| row.get(name)).cloned();
            let (group, subgroup) = (key(&answer["group"]), key(&answer["subgroup"]));
            let is_of = |one: &&Value| {
                one["group"] == group.clone().unwrap_or_default()
                    && one["subgroup"] == subgroup.clone().unwrap_or_default()
            };
            let series = answer["series"].as_array().unwrap();
            let series = series.iter().find(is_of).unwrap_or_else(|| panic!("{query} {row}"));
            let Some(time) = time else {
                if answer["group"].is_string() {
                    assert_eq!(series["totals"]["exact"], row["exact"], "{query}");
                }
                continue;
            };
            let buckets = answer["buckets"].as_array().unwrap();
            let place = buckets.iter().position(|bucket| bucket["key"] == row[time]);
            let value = &series["exact"][place.unwrap_or_else(|| panic!("{query} {row}"))];
            let field = match answer["metric"].as_str().unwrap() {
                "tokens" => "total",
                "cost" => "cost_usd",
                other => other,
            };
            assert_eq!(*value, row["exact"][field], "{query} {row}");
        }
    }
}

#[test]
fn zero_missing_and_open_are_told_apart() {
    let (_home, daemon) = home();
    let answer = get(&daemon, "usage/query?bucket=1d&from=2026-10-23&to=2026-10-27");
    let states: Vec<_> =
        answer["buckets"].as_array().unwrap().iter().map(|bucket| &bucket["state"]).collect();
    assert_eq!(states, ["missing", "missing", "closed", "closed", "closed"]);
    let values = answer["series"][0]["exact"].as_array().unwrap();
    assert_eq!(*values, [Value::Null, Value::Null, 33.into(), 33.into(), 10.into()]);
    let answer = get(&daemon, "usage/query?bucket=1d&from=2026-10-27");
    let buckets = answer["buckets"].as_array().unwrap();
    assert_eq!(buckets.last().unwrap()["state"], "open");
    assert_eq!(answer["series"][0]["exact"][1], 0);
    let answer = get(&daemon, "usage/query?bucket=1mo&from=2030-01-01&to=2030-03-01");
    assert_eq!(answer["buckets"][2]["state"], "missing");
    // Nothing is known of an account that is empty.
    let empty = Home::new();
    let daemon = empty.start();
    let answer = get(&daemon, "usage/query?group=model&from=2026-10-23&to=2026-10-27");
    assert_eq!(answer["first_usage"], Value::Null);
    assert_eq!(answer["series"], Value::Array(Vec::new()));
    assert_eq!(answer["totals"]["exact"]["calls"], 0);
    assert_eq!(get(&daemon, "sessions")["rows"], Value::Array(Vec::new()));
}

#[test]
fn small_groups_are_one_and_the_time_before_can_be_asked_for() {
    let (_home, daemon) = home();
    let answer = get(
        &daemon,
        "usage/query?bucket=1d&group=model&top=1&from=2026-10-26&to=2026-10-27&compare=previous",
    );
    let series = answer["series"].as_array().unwrap();
    assert_eq!((&series[0]["group"], series.len()), (&"claude-opus-4-8".into(), 2));
    assert_eq!((&series[1]["is_other"], &series[1]["groups"]), (&true.into(), &1.into()));
    assert_eq!(series[1]["exact"], serde_json::json!([0, 10]));
    let previous = &answer["previous"];
    assert_eq!((&previous["from"], &previous["to"]), (&"2026-10-24".into(), &"2026-10-25".into()));
    assert_eq!(previous["totals"]["exact"]["total"], 33);
}

#[test]
fn ten_years_are_months_and_too_many_buckets_are_refused_with_what_fits() {
    let (_home, daemon) = home();
    let answer = get(&daemon, "usage/query?from=2017-01-01&to=2026-12-31");
    assert_eq!(
        (&answer["bucket"], answer["buckets"].as_array().unwrap().len()),
        (&"1mo".into(), 120)
    );
    let refused = daemon.get("/api/v1/usage/query?bucket=30m&from=2026-01-01&to=2026-03-01");
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    assert_eq!(refused.status, 400);
    assert!(error.contains("more than 400") && error.contains("`1d` would fit"), "{error}");
    // The last hours of the calendar, in the zone that has the most of them.
    let last = "from=9999-12-31&to=9999-12-31&tz=Pacific/Kiritimati";
    let answer = get(&daemon, &format!("usage/query?{last}"));
    assert_eq!(answer["bucket"], "30m");
    assert_eq!(answer["buckets"][0]["key"], "9999-12-31 00:00");
}

#[test]
fn parts_of_sessions_are_all_of_them_once_while_others_come() {
    let (home, daemon) = home();
    for at in 0..7 {
        let body = format!(
            r#"{{"timestamp":"2026-11-01T00:0{at}:00Z","model":"m","provider":"p","session_id":"n-{at}","prompt_tokens":1}}"#
        );
        daemon.post_durably("/v1/traces", &body);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = get(&daemon, &format!("sessions?limit=3{cursor}"));
        let rows = answer["rows"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["session"].as_str().unwrap().to_owned()));
        let new = r#"{"timestamp":"2026-11-02T00:00:00Z","model":"m","provider":"p","session_id":"later","prompt_tokens":1}"#;
        daemon.post_durably("/v1/traces", new);
        let Some(next) = answer["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={}", next.replace(' ', "%20").replace('?', "%3F"));
    }
    let expected = ["n-6", "n-5", "n-4", "n-3", "n-2", "n-1", "n-0", "s/3 ?", "s-2", "s-1"];
    assert_eq!(seen, expected);
    let answer = get(&daemon, "sessions?limit=500&agent=iris");
    let report = printed(&home, &answer["cli"], "--json");
    let (rows, printed) = (answer["rows"].as_array().unwrap(), report["rows"].as_array().unwrap());
    assert_eq!(rows.len(), printed.len());
    for (row, printed) in rows.iter().zip(printed.iter().rev()) {
        assert_eq!((&row["session"], &row["exact"]), (&printed["session"], &printed["exact"]));
    }
}

/// A list of sessions reads only what it tells of; a report reads all that there is.
#[test]
fn sessions_at_the_edges_of_a_time_are_those_of_the_report() {
    let (home, daemon) = home();
    // Of sessions that begin before the second and end after it, with one model or two.
    for (session, agent, days) in [
        ("over", "iris", "1 2 3 4"),
        ("behind", "iris", "1 3"),
        ("around", "iris", "1 4"),
        ("within", "iris", "2"),
        ("twice", "iris", "1 2"),
        ("twice", "otto", "2 3"),
    ] {
        for (at, day) in days.split(' ').enumerate() {
            let body = format!(
                r#"{{"timestamp":"2026-11-0{day}T12:00:0{at}Z","agent":"{agent}","model":"m-{}","provider":"p",
                    "session_id":"{session}","prompt_tokens":{day}}}"#,
                at % 2
            );
            daemon.post_durably("/v1/traces", &body);
        }
    }
    for days in ["02..02", "02..03", "01..04", "03..03"] {
        let (from, to) = days.split_once("..").unwrap();
        for model in ["m-0", "m-1", "*"] {
            let asked = format!("from=2026-11-{from}&to=2026-11-{to}&tz=UTC&model={model}");
            let report = get(&daemon, &format!("usage/query?{asked}&bucket=none"));
            let line = format!(
                "trueup report --by session --since 2026-11-{from} --until 2026-11-{to} --tz UTC '--model={model}'"
            );
            let printed = printed(&home, &Value::from(line), "--json");
            let mut expected: Vec<Value> = printed["rows"].as_array().unwrap().clone();
            expected.reverse();
            let (mut seen, mut cursor, mut calls) = (Vec::new(), String::new(), 0);
            loop {
                let answer = get(&daemon, &format!("sessions?{asked}&limit=2{cursor}"));
                assert_eq!(answer["total"], expected.len(), "{asked}");
                for row in answer["rows"].as_array().unwrap() {
                    calls += row["exact"]["calls"].as_u64().unwrap();
                    seen.push(row.clone());
                }
                let Some(next) = answer["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(seen.len(), expected.len(), "{asked}");
            for (row, expected) in seen.iter().zip(&expected) {
                for field in ["session", "agents", "first", "last", "exact", "estimated"] {
                    assert_eq!(row[field], expected[field], "{asked}: {field}");
                }
            }
            assert_eq!(report["totals"]["exact"]["calls"], calls, "{asked}");
        }
    }
}

#[test]
fn verbs_are_answered_as_they_print() {
    let (home, daemon) = home();
    for (path, more) in [
        ("completeness?by=month", "--json"),
        ("completeness?by=day&since=2026-10-26&source=iris", "--json"),
        ("config", "--json"),
    ] {
        let mut answer = get(&daemon, path);
        let told = answer.as_object_mut().unwrap().remove("cli").unwrap();
        let mut printed = printed(&home, &told, more);
        printed.as_object_mut().unwrap().entry("schema").or_insert(1.into());
        assert_eq!(answer, printed, "{path}");
    }
    let doctor = get(&daemon, "doctor");
    assert!(doctor["checks"].as_array().unwrap().len() > 5, "{doctor}");
    for (path, says) in [("parity", "nothing to compare with"), ("budgets", "no budget is set")] {
        let answer = daemon.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, 404, "{}", answer.text);
        assert!(answer.json()["error"].as_str().unwrap().contains(says), "{}", answer.text);
    }
}

/// What a view shows has a command of its own beside it, and that prints the same.
#[test]
fn errors_samples_and_a_session_name_their_commands() {
    let (home, daemon) = home();
    let failed =
        r#"{"timestamp":"2026-10-26T12:00:00Z","error_type":"crash","message":"x","agent":"iris"}"#;
    daemon.post_durably("/v1/errors", failed);
    let errors = get(&daemon, "errors?from=2026-10-26&tz=Asia/Kathmandu");
    let printed_errors = printed(&home, &errors["cli"], "--format json");
    assert_eq!(errors["events"], printed_errors["rows"].as_array().unwrap().len());
    assert_eq!(errors["events"], 1);
    let told = errors["cli"].as_str().unwrap();
    assert!(
        told.contains(" --since 2026-10-26 ") && told.contains("--tz Asia/Kathmandu"),
        "{told}"
    );
    let host = get(&daemon, "metrics/host?from=2026-10-26&to=2026-10-27");
    assert_eq!(host["cli"], "trueup export host --since 2026-10-26 --until 2026-10-27 --tz UTC",);
    assert_eq!(run(&home, &host["cli"], "--format json").status.code(), Some(0));
    for path in ["s-1", "s-2", "s%2F3%20%3F"] {
        let session = get(&daemon, &format!("sessions/{path}"));
        assert_eq!(session["tz"], "UTC");
        let list = printed(&home, &session["cli"], "--json");
        let rows = list["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["session"] == session["session"]);
        let row = row.unwrap_or_else(|| panic!("{path}: {list:#}"));
        for name in ["exact", "estimated", "first", "last", "agents"] {
            assert_eq!(session[name], row[name], "{path}: {name}");
        }
    }
}

/// Whoever looks at the settings sees what a terminal shows.
#[test]
fn telemetry_is_shown_as_the_program_shows_it_and_nothing_is_made() {
    for mode in ["", "on", "off"] {
        let home = Home::with(&[("TZ", "UTC"), ("TRUEUP_TELEMETRY", mode)]);
        let daemon = home.start();
        let answer = get(&daemon, "telemetry");
        let shown = run(&home, &answer["cli"], "");
        assert_eq!(answer["shown"], String::from_utf8(shown.stdout).unwrap(), "{mode}");
        let status = printed(&home, &"trueup telemetry status".into(), "--json");
        for name in ["product", "mode", "decided_by", "sinks", "id", "file"] {
            assert_eq!(answer["status"][name], status[name], "{mode}: {name}");
        }
        let expected = if mode.is_empty() { "local" } else { mode };
        assert_eq!(answer["status"]["mode"], expected);
        assert_eq!(answer["status"]["id"]["state"], "not_yet", "a look makes no id");
        assert_eq!(daemon.get("/api/v1/telemetry?product=other").status, 400);
    }
}

/// A page that is written beside `serve` is as new as what `serve` has written.
#[test]
fn a_page_beside_the_daemon_says_when_its_data_are_of() {
    let (home, daemon) = home();
    let output = home.verb("report").arg("--html").output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    let (_, data) = page.split_once(r#"id="data">"#).unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let of_page = &data["over_time"][0];
    assert_eq!(of_page["as_of"], "2026-10-27T12:00:00.000Z", "when the last record was");
    let answer = get(&daemon, "usage/query?metric=tokens");
    for name in ["first_usage", "last_usage"] {
        assert_eq!(of_page[name], answer[name], "{name}");
    }
    assert_eq!(answer["first_usage"], "2026-10-25T00:10:00.000Z");
    assert!(answer["as_of"].as_str() >= of_page["as_of"].as_str(), "{answer}");
}

#[test]
fn wrong_parameters_are_named_and_never_a_failure_of_ours() {
    let (_home, daemon) = home();
    for (path, expected) in [
        ("usage/query?form=wide", "`form` is not a parameter; there are from, to"),
        ("usage/query?from=yesterday", "`from`: a day is written like"),
        ("usage/query?from=2026-11-02&to=2026-11-01", "`to`: 2026-11-01 lies before"),
        ("usage/query?from=2026-11-01&from=2026-11-02", "`from`: it is given too often"),
        ("usage/query?from=9999-12-31&to=9999-12-31", "`from`: 9999-12-31 lies behind the last"),
        ("metrics/host?from=9999-12-31&to=9999-12-31", "`from`: 9999-12-31 lies behind the last"),
        ("usage/query?tz=Mars/Olympus", "`tz`: `Mars/Olympus` is not a time zone"),
        ("usage/query?bucket=2h", "`bucket`: `2h` is not one of auto, 30m"),
        ("usage/query?group=colour", "`group`: `colour` is not one of agent"),
        ("usage/query?subgroup=model", "`subgroup`: it needs a `group`"),
        ("usage/query?top=0", "`top`: it must be a whole number from 1 to 50"),
        ("usage/query?top=99999999999999999999", "`top`: it must be"),
        ("usage/query?compare=next", "`compare`: `next` is not one of previous"),
        ("sessions?limit=501", "`limit`: it must be a whole number from 1 to 500"),
        ("sessions?cursor='%20OR%201=1", "`cursor`: it is not"),
        ("doctor?colour=red", "`colour` is not a parameter; there are source"),
        ("completeness?by=decade", "invalid value 'decade'"),
        ("completeness?since=2026-11-02&until=2026-11-01", "--until 2026-11-01 lies before"),
        ("parity?from=2026-11-02&to=2026-11-01", "--to 2026-11-01 lies before"),
        ("config?all=true", "`all` is not a parameter; there is none"),
    ] {
        let answer = daemon.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with(expected), "{path}: {error}");
    }
    let long = format!("/api/v1/usage/query?model={}", "x".repeat(2_000));
    assert_eq!(daemon.get(&long).status, 400);
    assert_eq!(daemon.get("/api/v1/nothing").status, 404);
    assert_eq!(daemon.post("/api/v1/sessions", "{}").status, 405);
}

#[test]
fn an_answer_that_is_known_costs_no_body() {
    let (_home, daemon) = home();
    until("the stores were looked at", || daemon.health()["last_sync"].is_string());
    let path = "/api/v1/usage/query?bucket=1d&group=model";
    let first = daemon.get(path);
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    assert_eq!(first.header("cache-control"), "private, no-cache");
    let same = |daemon: &Daemon| -> Answer { daemon.get_with(path, &[("if-none-match", &tag)]) };
    let again = same(&daemon);
    assert_eq!((again.status, &*again.text, again.header("etag")), (304, "", &*tag));
    daemon.post_durably("/v1/traces", &trace(r#""prompt_tokens":7"#));
    assert_eq!(same(&daemon).status, 200);
    // The client unpacks what it has asked to be packed.
    assert_eq!(first.json()["schema"], 1);
    let raw = daemon.raw(
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    );
    assert!(raw.to_lowercase().contains("content-encoding: gzip"), "{raw}");
}

#[test]
fn the_api_stands_behind_the_same_guard_and_describes_itself() {
    let home = Home::with(&[("TRUEUP_TOKEN", "s3cret-t0ken")]);
    let daemon = home.start();
    let right = ("authorization", "Bearer s3cret-t0ken");
    let description = daemon.get_with("/openapi.json", &[right]).json();
    let paths = description["paths"].as_object().unwrap();
    assert!(paths.len() >= 8, "{paths:?}");
    for path in paths.keys().map(String::as_str).chain(["/openapi.json"]) {
        assert_eq!(daemon.get(path).status, 401, "{path}");
        let foreign = daemon.get_with(path, &[right, ("host", "evil.example")]);
        assert_eq!(foreign.status, 403, "{path}");
    }
}
