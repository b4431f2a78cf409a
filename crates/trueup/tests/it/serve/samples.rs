//! `GET /api/v1/metrics/host`: samples over time.

use serde_json::{Value, json};

use super::daemon::{Home, trace};

/// Writes samples of a CPU's use, in thousandths of a percent, each at a time.
fn write(home: &Home, samples: &[(&str, Option<u32>)]) {
    let database = home.database();
    for (time, cpu) in samples {
        let sql =
            "INSERT INTO system_metrics (id, created_at, scope, cpu_millipercent, mem_rss_bytes)
             SELECT unhex(printf('%012x', ms) || hex(randomblob(10))), ms, 'cgroup2', ?2, 1000
             FROM (SELECT 1000 * unixepoch(?1) AS ms)";
        database.execute(sql, rusqlite::params![time, cpu]).unwrap();
    }
}

#[test]
fn samples_are_folded_beside_the_calls() {
    let home = Home::with(&[("TZ", "UTC")]);
    let daemon = home.start();
    write(
        &home,
        &[
            ("2026-11-20T10:00:00Z", Some(1_000)),
            ("2026-11-20T10:59:59Z", Some(2_500)),
            ("2026-11-20T11:00:00Z", None),
            ("2026-11-20T13:00:00Z", Some(7)),
        ],
    );
    let posted = [
        trace(r#""timestamp":"2026-11-20T10:20:00Z""#),
        trace(r#""timestamp":"2026-11-20T10:40:00Z""#),
        trace(r#""timestamp":"2026-11-20T12:00:00Z""#),
    ];
    daemon.post_durably("/v1/traces", &posted.join("\n"));
    let answer = daemon.get("/api/v1/metrics/host?from=2026-11-20&to=2026-11-20&bucket=1h").json();
    assert_eq!(
        (&answer["schema"], &answer["bucket"], &answer["is_cut"]),
        (&1.into(), &"1h".into(), &false.into())
    );
    assert_eq!(answer["buckets"].as_array().unwrap().len(), 24);
    assert_eq!(answer["sources"], json!(["cgroup2"]));
    let at = |values: &Value| values.as_array().unwrap()[10..14].to_vec();
    assert_eq!(at(&answer["calls"]), [2, 0, 1, 0]);
    let cpu = &answer["metrics"]["cpu_percent"];
    assert_eq!(cpu["unit"], "percent");
    assert_eq!(at(&cpu["mean"]), [json!(1.75), Value::Null, Value::Null, json!(0.007)]);
    assert_eq!(at(&cpu["max"]), [json!(2.5), Value::Null, Value::Null, json!(0.007)]);
    let rss = &answer["metrics"]["mem_rss_bytes"];
    assert_eq!(
        (at(&rss["mean"]), &rss["unit"]),
        (vec![json!(1_000), json!(1_000), Value::Null, json!(1_000)], &"bytes".into())
    );
    assert_eq!(answer["metrics"].as_object().unwrap().len(), 22, "every value that is sampled");
    let none = daemon.get("/api/v1/metrics/host?from=2026-11-20&to=2026-11-20&bucket=none").json();
    assert_eq!(
        (&none["calls"], &none["metrics"]["cpu_percent"]["max"]),
        (&json!([3]), &json!([2.5]))
    );
}

/// The day on which clocks go back has 25 hours, and each sample is in one of them.
#[test]
fn days_are_those_of_the_zone() {
    let home = Home::with(&[("TZ", "UTC")]);
    let daemon = home.start();
    write(
        &home,
        &[
            ("2026-10-24T21:59:59Z", Some(1)),
            ("2026-10-24T22:00:00Z", Some(2)),
            ("2026-10-25T00:30:00Z", Some(3)),
            ("2026-10-25T01:30:00Z", Some(4)),
            ("2026-10-25T22:59:59Z", Some(5)),
            ("2026-10-25T23:00:00Z", Some(6)),
        ],
    );
    let day = |bucket: &str| {
        let query = format!("from=2026-10-25&to=2026-10-25&tz=Europe/Berlin&bucket={bucket}");
        daemon.get(&format!("/api/v1/metrics/host?{query}")).json()
    };
    let whole = &day("1d")["metrics"]["cpu_percent"];
    assert_eq!((&whole["max"], &whole["mean"]), (&json!([0.005]), &json!([0.004])));
    let hours = day("1h");
    let told: Vec<f64> = hours["metrics"]["cpu_percent"]["max"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    let most = told.iter().copied().fold(0.0, f64::max);
    assert!((most - 0.005).abs() < 1e-9, "{told:?}");
    assert_eq!(
        hours["calls"].as_array().unwrap().len(),
        hours["buckets"].as_array().unwrap().len()
    );
}

#[test]
fn no_samples_is_an_answer_and_wrong_parameters_are_named() {
    let home = Home::new();
    let daemon = home.start();
    let answer = daemon.get("/api/v1/metrics/host");
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["sources"], json!([]));
    for (query, name) in [
        ("bucket=1s", "`bucket`"),
        ("bucket=30m&from=2020-01-01", "`bucket`"),
        ("from=x", "`from`"),
        ("limit=1", "`limit`"),
        ("tz=", "`tz`"),
    ] {
        let answer = daemon.get(&format!("/api/v1/metrics/host?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        assert!(
            answer.json()["error"].as_str().unwrap().starts_with(name),
            "{query}: {}",
            answer.text
        );
    }
    for query in ["from=2016-11-22", "from=0001-01-01&bucket=none", "from=9999-01-01&to=9999-02-01"]
    {
        assert_eq!(daemon.get(&format!("/api/v1/metrics/host?{query}")).status, 200, "{query}");
    }
}
