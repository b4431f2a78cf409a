//! `GET /api/v1/sessions/{session}`: one session and its calls.

use std::collections::BTreeSet;

use serde_json::Value;

use super::daemon::{Daemon, Home, trace};

/// A call of a session at a second of a day.
fn call(session: &str, second: u32, more: &str) -> String {
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    let time = format!("2026-11-20T{hour:02}:{minute:02}:{:02}Z", second % 60);
    let session = serde_json::to_string(session).unwrap();
    trace(&format!(
        r#""timestamp":"{time}","session_id":{session},"prompt_tokens":1000,"cache_read_tokens":400,"completion_tokens":50,"agent":"hermes","project":"/p"{more}"#
    ))
}

/// All calls of a session, by parts, and what each part said.
fn walked(daemon: &Daemon, path: &str, mut between: impl FnMut()) -> (Vec<Value>, usize) {
    let (mut calls, mut parts, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let answer = daemon.get(&format!("{path}{cursor}"));
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = answer.json();
        calls.extend(answer["calls"].as_array().unwrap().iter().cloned());
        parts += 1;
        between();
        let Some(next) = answer["next_cursor"].as_str() else { return (calls, parts) };
        cursor = format!("&cursor={next}");
    }
}

#[test]
fn a_session_has_its_calls_in_order_and_their_sum() {
    let home = Home::with(&[("TZ", "UTC")]);
    let daemon = home.start();
    let posted = [
        call("s1", 7_200, r#","latency_ms":2100,"time_to_first_token_ms":300"#),
        call("s1", 100, r#","cost_usd":0.25"#),
        call("s1", 90_000 % 86_400, r#","error_type":"rate_limit""#),
        call("other", 150, ""),
        trace(r#""timestamp":"2026-11-20T00:00:01Z","session_id":"s1","model":"nobody's","prompt_tokens":5,"agent":"hermes""#)
            .replace(r#""model":"gpt-5.5","#, ""),
    ];
    daemon.post_durably("/v1/traces", &posted.join("\n"));
    let answer = daemon.get("/api/v1/sessions/s1").json();
    assert_eq!((&answer["schema"], &answer["session"]), (&1.into(), &"s1".into()));
    assert_eq!(answer["agents"], serde_json::json!(["hermes"]));
    assert_eq!((&answer["calls_removed"], &answer["next_cursor"]), (&0.into(), &Value::Null));
    let calls = answer["calls"].as_array().unwrap();
    let time =
        |call: &Value| call["at"].as_str().unwrap().split(['T', '.']).nth(1).unwrap().to_owned();
    let times: Vec<_> = calls.iter().map(time).collect();
    assert_eq!(times, ["00:00:01", "00:01:40", "01:00:00", "02:00:00"]);
    assert_eq!((&calls[0]["cost_usd"], &calls[1]["cost_usd"]), (&Value::Null, &"0.25".into()));
    assert_eq!(
        (&calls[2]["status"], &calls[2]["error_type"]),
        (&"error".into(), &"rate_limit".into())
    );
    assert_eq!(
        (&calls[3]["latency_ms"], &calls[3]["time_to_first_token_ms"]),
        (&2_100.into(), &300.into())
    );
    assert_eq!(
        (&calls[3]["input"], &calls[3]["cache_read"], &calls[3]["total"]),
        (&600.into(), &400.into(), &1_050.into())
    );
    assert_eq!((&calls[3]["tier"], &calls[3]["status"]), (&"standard".into(), &"ok".into()));

    let sum = |name: &str| calls.iter().map(|call| call[name].as_u64().unwrap()).sum::<u64>();
    let exact = &answer["exact"];
    for name in ["input", "cache_read", "output", "total"] {
        assert_eq!(exact[name], sum(name), "{name}");
    }
    assert_eq!(
        (&exact["calls"], &exact["errors"], &exact["unpriced_calls"]),
        (&4.into(), &1.into(), &1.into())
    );
    // Of one model and price, the sum of the costs is the cost of the sum; nano-dollars are added here.
    let nano = |text: &Value| {
        let (whole, part) =
            text.as_str().unwrap().split_once('.').unwrap_or((text.as_str().unwrap(), ""));
        whole.parse::<u64>().unwrap() * 1_000_000_000
            + format!("{part:0<9}").parse::<u64>().unwrap()
    };
    let costs: u64 = calls
        .iter()
        .filter(|call| !call["cost_usd"].is_null())
        .map(|call| nano(&call["cost_usd"]))
        .sum();
    assert_eq!(nano(&exact["cost_usd"]), costs);

    // The same figures as the program prints.
    let printed = home.verb("sessions").args(["--json", "--last", "0"]).output().unwrap();
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let rows = printed["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["session"] == "s1").unwrap();
    assert_eq!((&row["exact"], &row["estimated"]), (exact, &answer["estimated"]));
    assert_eq!((&row["first"], &row["last"]), (&answer["first"], &answer["last"]));
}

#[test]
fn parts_hold_each_call_once_while_others_come() {
    let home = Home::new();
    let daemon = home.start();
    let posted: Vec<String> =
        (0..300).map(|at| call(if at % 3 == 0 { "calm" } else { "busy" }, 61 * at, "")).collect();
    daemon.post_durably("/v1/traces", &posted.join("\n"));
    let mut second = 0;
    let (calls, parts) = walked(&daemon, "/api/v1/sessions/calm?limit=7", || {
        // Before and behind the place that was reached.
        second += 1;
        let more = [call("calm", second, ""), call("calm", 80_000 + second, "")];
        daemon.post_durably("/v1/traces", &more.join("\n"));
    });
    assert!(parts >= 15, "{parts}");
    let ids: BTreeSet<_> =
        calls.iter().map(|call| call["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), calls.len(), "no call came twice");
    let times: Vec<_> = calls.iter().map(|call| call["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted());
    let is_there = |at: u32| {
        times.iter().any(|time| {
            time.contains(&format!(
                "{:02}:{:02}:{:02}",
                61 * at / 3_600,
                61 * at / 60 % 60,
                61 * at % 60
            ))
        })
    };
    assert!((0..300).step_by(3).all(is_there), "none was passed over");
}

#[test]
fn sessions_may_have_any_name_and_two_agents_may_share_one() {
    let home = Home::new();
    let daemon = home.start();
    for (name, path) in [
        ("<b onclick=\"x\">&amp;", "%3Cb%20onclick=%22x%22%3E&amp;"),
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
        (
            "שלום 👩‍👩‍👧 سلام",
            "%D7%A9%D7%9C%D7%95%D7%9D%20%F0%9F%91%A9%E2%80%8D%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7%20%D8%B3%D9%84%D8%A7%D9%85",
        ),
    ] {
        daemon.post_durably("/v1/traces", &call(name, 1, ""));
        let answer = daemon.get(&format!("/api/v1/sessions/{path}"));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        assert_eq!(answer.json()["session"], name);
        assert_eq!(answer.json()["calls"].as_array().unwrap().len(), 1);
    }
    let long = "x".repeat(1_024);
    daemon.post_durably("/v1/traces", &call(&long, 1, ""));
    assert_eq!(daemon.get(&format!("/api/v1/sessions/{long}")).status, 200);
    daemon.post_durably("/v1/traces", &call("twin", 1, ""));
    daemon.post_durably("/v1/traces", &call("twin", 2, "").replace("hermes", "iris"));
    let both = daemon.get("/api/v1/sessions/twin").json();
    assert_eq!(both["agents"], serde_json::json!(["hermes", "iris"]));
    let agents: Vec<_> =
        both["calls"].as_array().unwrap().iter().map(|call| &call["agent"]).collect();
    assert_eq!(agents, ["hermes", "iris"]);
    assert_eq!(both["exact"]["calls"], 2);
    let one = daemon.get("/api/v1/sessions/twin?agent=iris").json();
    assert_eq!((one["calls"].as_array().unwrap().len(), &one["exact"]["calls"]), (1, &1.into()));
}

#[test]
fn what_is_not_there_is_404_and_what_is_wrong_is_named() {
    let home = Home::new();
    let daemon = home.start();
    assert_eq!(daemon.get("/api/v1/sessions/none").status, 404);
    daemon.post_durably("/v1/traces", &call("s1", 1, ""));
    for path in ["none", "s1?agent=nobody", "S1", "s1%20"] {
        let answer = daemon.get(&format!("/api/v1/sessions/{path}"));
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["error"].is_string());
    }
    let long = "x".repeat(1_025);
    for (path, name) in [
        ("s1?limit=0", "`limit`"),
        ("s1?limit=1001", "`limit`"),
        ("s1?limit=1&limit=2", "`limit`"),
        ("s1?cursor=x", "`cursor`"),
        ("s1?cursor=", "`cursor`"),
        ("s1?cursor=019e9c31-86f0-7000-8000-00000000000g", "`cursor`"),
        ("s1?session=s2", "`session`"),
        ("s1?from=2026-11-20", "`from`"),
        (&long, "`session`"),
    ] {
        let answer = daemon.get(&format!("/api/v1/sessions/{path}"));
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        assert!(
            answer.json()["error"].as_str().unwrap().starts_with(name),
            "{path}: {}",
            answer.text
        );
    }
    let answer = daemon.get("/api/v1/sessions/%ff");
    assert_eq!(answer.status, 400);
    assert!(answer.json()["error"].as_str().unwrap().contains("`session`"), "{}", answer.text);
}

#[test]
fn what_retention_took_is_counted() {
    let home = Home::new();
    let daemon = home.start();
    let posted = [call("s1", 1, ""), call("s1", 2, ""), call("s1", 4_000, "")];
    daemon.post_durably("/v1/traces", &posted.join("\n"));
    // As retention leaves it: the row is gone, and in the sums of what was removed.
    home.database()
        .execute_batch(
            "INSERT INTO usage_removed SELECT created_at / 900000 * 900000, series, session, 1, 0, input,
                cache_read, cache_write_5m, cache_write_1h, cache_write, output, reasoning, 0, created_at, created_at
             FROM llm_calls ORDER BY id LIMIT 1;
             DELETE FROM llm_calls WHERE id = (SELECT min(id) FROM llm_calls)",
        )
        .unwrap();
    let answer = daemon.get("/api/v1/sessions/s1").json();
    assert_eq!(
        (answer["calls"].as_array().unwrap().len(), &answer["calls_removed"]),
        (2, &1.into())
    );
    assert_eq!(answer["exact"]["calls"], 3);
}
