//! What a hub keeps, for how long, and what is left of whom it is to forget.

use provider_sim::{KEY, Plan, Sim};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::protocol::{THEN, batch, call, send};
use super::{Fleet, Sidecar, ask, push, totals};
use crate::parity::world::{UNPRICED, calls_of, date, price};
use crate::serve::daemon::{Daemon, until};

/// A number out of a tenant's ledger.
fn number(fleet: &Fleet, tenant: &str, sql: &str) -> i64 {
    let ledger = Connection::open(fleet.home.path(&format!("hub/tenants/{tenant}.db"))).unwrap();
    ledger.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    ledger.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn tell(hub: &Daemon, secret: &str, name: &str, at: i64, events: &[Value]) {
    let answer = send(hub, secret, &batch(name, THEN + at, 1, events).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text);
}

const CALLS: &str = "SELECT count(*) FROM llm_calls";

#[test]
fn rows_go_and_what_they_came_to_stays() {
    let fleet =
        Fleet::with(&[("TRUEUP_HUB_RETENTION_DAYS", "1"), ("TRUEUP_CLEANUP_INTERVAL", "100ms")]);
    let (laptop, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let bench = fleet.device("acme", "bench");
    let mut hub = fleet.start();
    tell(&hub, &laptop, "b-1", 0, &[call("a", 1, 5), call("b", 2, 6)]);
    tell(&hub, &bench, "b-2", 1, &[call("c", 1, 7)]);
    until("the rows are gone", || number(&fleet, "acme", CALLS) == 0);
    let paths = ["by=day", "by=session", "by=30m,model", "by=device", "by=day&device=bench"];
    let told = |hub: &Daemon| {
        paths.map(|by| totals(&ask(hub, &reader, &format!("/v1/report?{by}")))["output"].clone())
    };
    let before = told(&hub);
    assert_eq!(before, [18, 18, 18, 18, 7].map(|sum| json!(sum)));
    // Newer words of calls whose rows are gone, the same words again, and one that they no longer count.
    tell(&hub, &laptop, "b-3", 10, &[call("a", 3, 500), call("c", 4, 700)]);
    tell(&hub, &bench, "b-4", 20, &[call("b", 2, 600), call("c", 3, 7)]);
    let gone = json!({"type": "llm_trace_retracted", "seq": 5, "id": call("a", 1, 5)["id"]});
    tell(&hub, &laptop, "b-5", 30, &[gone]);
    assert_eq!(told(&hub), before);
    // What was never told counts, however old it is.
    tell(&hub, &bench, "b-6", 40, &[call("d", 5, 9)]);
    assert_eq!(told(&hub), [27, 27, 27, 27, 16].map(|sum| json!(sum)));
    until("that is gone, too", || number(&fleet, "acme", CALLS) == 0);
    assert_eq!(told(&hub), [27, 27, 27, 27, 16].map(|sum| json!(sum)));
    assert!(hub.terminate().success());
    let (said, is_well) = fleet.says(&["check"]);
    assert!(is_well, "{said}");
}

/// What a verb of the hub says on standard error, and its exit code.
fn refused(fleet: &Fleet, arguments: &[&str]) -> (String, Option<i32>) {
    let output = fleet.hub(arguments).output().unwrap();
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[test]
fn a_device_that_is_erased_is_in_no_figure_and_tells_nothing_more() {
    let fleet = Fleet::new();
    let (laptop, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let bench = fleet.device("acme", "bench");
    let mut hub = fleet.start();
    tell(&hub, &laptop, "b-1", 0, &[call("a", 1, 5), call("b", 2, 6)]);
    tell(&hub, &bench, "b-2", 1, &[call("c", 1, 7)]);
    let erase = ["erase", "--tenant", "acme", "--device", "laptop"];
    let meant = [&erase[..], &["--yes"]].concat();
    let (said, _) = fleet.says(&erase);
    assert!(said.contains("would revoke 1 token,") && said.contains("say --yes"), "{said}");
    assert_eq!(refused(&fleet, &erase).1, Some(2));
    let (said, code) =
        refused(&fleet, &["erase", "--tenant", "acme", "--device", "latpop", "--yes"]);
    assert!(
        said.contains("no token was ever made for latpop of acme") && code == Some(2),
        "{said}"
    );
    let (said, code) = refused(&fleet, &meant);
    assert!(said.contains("stop the hub") && code == Some(1), "{said}");
    tell(&hub, &laptop, "b-3", 2, &[call("d", 3, 8)]);
    assert!(hub.terminate().success());
    let (said, is_done) = fleet.says(&meant);
    assert!(is_done && said.contains("deleted all that laptop of acme told"), "{said}");
    let hub = fleet.start();
    let body = batch("b-4", THEN + 10, 4, &[call("a", 4, 5)]).to_string();
    assert_eq!(send(&hub, &laptop, &body).status, 401);
    for by in ["by=day", "by=session", "by=device"] {
        let sums = totals(&ask(&hub, &reader, &format!("/v1/report?{by}")));
        assert_eq!(sums["output"], 7, "{by}");
    }
    let devices = ask(&hub, &reader, "/api/v1/devices").json();
    assert_eq!(
        (&devices["rows"][0]["device"], devices["rows"].as_array().unwrap().len()),
        (&json!("bench"), 1)
    );
    assert_eq!(ask(&hub, &reader, "/v1/report?device=laptop").status, 404);
    let bytes = std::fs::read(fleet.home.path("hub/tenants/acme.db")).unwrap();
    assert!(!bytes.windows(6).any(|bytes| bytes == b"laptop"), "overwritten in the file, too");
    drop(hub);
    assert!(fleet.says(&["check"]).1);
}

#[test]
fn a_tenant_that_is_erased_has_no_file_any_more_and_may_come_again() {
    let fleet = Fleet::new();
    let (laptop, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
    let other = fleet.reader("globex");
    let mut hub = fleet.start();
    tell(&hub, &laptop, "b-1", 0, &[call("a", 1, 5)]);
    assert!(hub.terminate().success());
    let (said, is_done) = fleet.says(&["erase", "--tenant", "acme", "--yes"]);
    assert!(is_done && said.contains("Revoked 2 tokens"), "{said}");
    let files = || {
        let files = std::fs::read_dir(fleet.home.path("hub/tenants")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("acme")).collect::<Vec<_>>()
    };
    assert_eq!(files(), Vec::<String>::new());
    let hub = fleet.start();
    for secret in [&laptop, &reader] {
        assert_eq!(ask(&hub, secret, "/v1/report").status, 401);
    }
    assert_eq!((ask(&hub, &other, "/v1/report").status, files().len()), (200, 0));
    let again = fleet.reader("acme");
    until("there is an account again, and an empty one", || {
        let answer = ask(&hub, &again, "/v1/report");
        answer.status == 200 && totals(&answer)["calls"] == 0
    });
    assert!(!fleet.says(&["erase", "--tenant", "../acme", "--yes"]).1);
}

#[test]
fn a_fleet_is_held_against_its_bills() {
    hold_against_bills(Fleet::with(&BILLS), true);
}

/// Settings of a hub that asks for the bills of a tenant.
pub(super) const BILLS: [(&str, &str); 2] =
    [("TRUEUP_HUB_BILLS", "acme"), ("TRUEUP_PULL_INTERVAL", "200ms")];

/// A provider tells of a fleet's usage: the account of all devices together is held against it.
pub(super) fn hold_against_bills(mut fleet: Fleet, is_in_ledger: bool) {
    let plan = Plan { days: 6, requests_max: 2, ..Plan::default() };
    let sim = Sim::start(plan.clone()).unwrap();
    let prices: String = sim
        .told()
        .iter()
        .map(|row| row.model)
        .filter(|model| *model != UNPRICED)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .map(|model| price(model, "", "0.1250000000001", "1.0000000000003"))
        .collect();
    std::fs::write(fleet.home.path("prices.toml"), prices).unwrap();
    let path = fleet.home.path("prices.toml").display().to_string();
    fleet.home.set("TRUEUP_PRICES", &path);
    std::fs::write(fleet.home.path("key"), KEY).unwrap();
    let mut add = fleet.home.verb("provider");
    add.args(["add", "openai", "--requests-per-minute", "60000", "--address", &sim.url()]);
    add.arg("--key-file").arg(fleet.home.path("key"));
    assert!(add.output().unwrap().status.success());
    let secrets = ["laptop", "bench"].map(|device| fleet.device("acme", device));
    let (reader, other) = (fleet.reader("acme"), fleet.reader("globex"));
    let hub = fleet.start();
    // Each device has made half of the calls.
    let calls: Vec<String> =
        sim.told().iter().flat_map(calls_of).map(|call| call.json().to_string()).collect();
    for (secret, own) in secrets.iter().zip(calls.chunks(calls.len().div_ceil(2))) {
        let sidecar = Sidecar::new(&hub, secret);
        let running = sidecar.home.start();
        let kind = [("content-type", "application/x-ndjson")];
        for some in own.chunks(200) {
            assert_eq!(running.post_with("/v1/traces?wait=1", &some.join("\n"), &kind).status, 200);
        }
        until("all is told", || {
            push(&running);
            running.health()["unsynced_count"] == 0
        });
    }
    let days =
        format!("from={}&to={}", date(plan.today_s - 5 * 86_400), date(plan.today_s - 3 * 86_400));
    let ask_parity = |secret: &str| ask(&hub, secret, &format!("/api/v1/parity?{days}"));
    let mut told = Value::Null;
    until("the bills are there", || {
        let answer = ask_parity(&reader);
        told = answer.json();
        let is_told = answer.status == 200 && told["exit_code"] != 4;
        // Sums on ClickHouse come a moment after calls.
        is_told && told["comparisons"][0]["capture_rate"]["requests"] == "1"
    });
    let pair = |right: &str| {
        let pairs = told["comparisons"].as_array().unwrap();
        let found = pairs.iter().find(|pair| pair["left"] == "account" && pair["right"] == right);
        found.unwrap()["capture_rate"].clone()
    };
    assert_eq!(pair("usage")["tokens"], "1", "{told:#}");
    assert_eq!(pair("usage")["requests"], "1", "{told:#}");
    until("what was billed is told as such", || {
        let cost = ask(&hub, &reader, &format!("/api/v1/cost?{days}")).json();
        cost["rows"].as_array().unwrap().iter().any(|row| row["basis"] == "billed")
    });
    // What the command on the hub's machine prints, and how it ends.
    let parity = |more: &[&str], format: &str| {
        let (from, to) = (date(plan.today_s - 5 * 86_400), date(plan.today_s - 3 * 86_400));
        let mut command = fleet.home.verb("parity");
        command.env("TRUEUP_HUB_TOKEN", &reader).env("COLUMNS", "80").args(more);
        command.args(["--from", &from, "--to", &to, "--format", format]);
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    let (text, code) = parity(&["--hub", &hub.url("")], "json");
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (told["exit_code"].as_i64(), &told["ties_out"]),
        (code.map(i64::from), &json!(true))
    );
    let ledger = fleet.home.path("hub/tenants/acme.db");
    let (url, path) = (hub.url(""), ledger.to_str().unwrap());
    for format in ["csv", "junit", "json"].into_iter().filter(|_| is_in_ledger) {
        let (told, own) = (parity(&["--hub", &url], format), parity(&["--ledger", path], format));
        if format == "json" {
            let [told, own] =
                [&told.0, &own.0].map(|text| serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(
                (&told["comparisons"], &told["run_id"]),
                (&own["comparisons"], &own["run_id"])
            );
        } else {
            assert_eq!(told, own, "{format}");
        }
        assert_eq!(told.1, own.1);
    }
    // It is nobody else's.
    assert_eq!(ask_parity(&other).status, 404);
    let config = ask(&hub, &reader, "/api/v1/config").text;
    assert!(!config.contains(KEY) && !config.contains(&sim.url()), "{config}");
    if is_in_ledger {
        let doctor = ask(&hub, &reader, "/api/v1/doctor").text;
        assert!(doctor.contains("provider_usage") && !doctor.contains(KEY), "{doctor}");
        assert!(!ask(&hub, &other, "/api/v1/doctor").text.contains("openai"));
    }
}
