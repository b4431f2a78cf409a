//! A hub whose store is on ClickHouse: several receivers before it, one of which is killed.
//! `scripts/prove-clickhouse` says where the store is.

use rustix::process::Signal;
use serde_json::json;

use super::keeping::{BILLS, hold_against_bills};
use super::protocol::{THEN, batch, call, call_at, send};
use super::{Fleet, Sidecar, ask, bearer, post_calls, push, totals};
use crate::serve::daemon::{Daemon, until};
use crate::serve::live::Listener;

/// The stores, each in a database of its own.
pub(super) fn stores(name: &str) -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "how a test is told where engines are")]
    let addresses = std::env::var("TRUEUP_CLICKHOUSE").unwrap();
    let addresses = addresses.split_whitespace().map(|address| address.rsplit_once('/').unwrap().0);
    addresses.map(|address| format!("{address}/{name}_{}", std::process::id())).collect()
}

/// What each shard of a store says, by ClickHouse's own interface and none of our code.
fn on_each(store: &str, sql: &str) -> Vec<String> {
    let (hosts, database) = store.strip_prefix("clickhouse://").unwrap().rsplit_once('/').unwrap();
    let shards = hosts.split(',').map(|replicas| replicas.split('|').next().unwrap());
    let ask = |host: &str| {
        let url = format!("http://{host}/?database={database}");
        let mut answer = ureq::post(url).send(sql).unwrap();
        answer.body_mut().read_to_string().unwrap().trim().to_owned()
    };
    shards.map(ask).collect()
}

/// A number of a store: the sum over its shards.
fn number(store: &str, sql: &str) -> u64 {
    on_each(store, sql).iter().map(|number| number.parse::<u64>().unwrap()).sum()
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn receivers_before_a_cluster_count_everything_once() {
    for store in stores("receivers") {
        let fleet = Fleet::at(&store);
        let secrets = ["laptop", "box"].map(|device| fleet.device("acme", device));
        let mut hubs = [fleet.start(), fleet.start()];
        // Each sidecar knows one of the two, and the first one is killed while it is told.
        let sidecars = [0, 1].map(|at| Sidecar::new(&hubs[at], &secrets[at]));
        let [first, second] = [0, 1].map(|at| sidecars[at].home.start());
        post_calls(&first, 0..300);
        post_calls(&second, 1_000..1_200);
        push(&second);
        let port = hubs[0].address.port().to_string();
        std::thread::scope(|scope| {
            scope.spawn(|| first.post("/v1/push", ""));
            until("a batch is on its way", || {
                number(&store, "SELECT count() FROM llm_event") > 200
            });
            hubs[0].signal(Signal::KILL);
        });
        hubs[0] = fleet.start_at(&port);
        until("all of it is acknowledged", || {
            first.post("/v1/push", "").json()["status"] == json!("ok")
        });
        let calls = "SELECT toUInt64(sum(counts)) FROM llm_event FINAL";
        assert_eq!(number(&store, calls), 500);
        let summed = "SELECT toUInt64(sum(arraySum(calls))) FROM roll_day FINAL";
        until("all of it is in the sums", || number(&store, summed) == 500);
        let tokens = "SELECT toUInt64(sum(arraySum(output))) FROM roll_quarter FINAL";
        until("quarters, too", || {
            number(&store, tokens) == (0..300).sum::<u64>() + (1_000..1_200).sum::<u64>()
        });
        let nothing_left = "days whose calls are not all in sums yet: 0";
        until("the check says so", || fleet.says(&["check"]).0.contains(nothing_left));
        for hub in &mut hubs {
            assert!(hub.terminate().success());
        }
    }
}

/// Weeks that are over go, and their sums stay; of a device that is erased nothing does, whatever its age,
/// and all of it while a hub runs.
#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn old_weeks_go_and_who_is_erased_leaves_nothing() {
    for store in stores("kept") {
        // 18.16 changes no part that was the last one with a quorum; this is not so of newer versions.
        let fleet = Fleet { store: Some(format!("{store}?quorum=1")), ..Fleet::new() };
        let [laptop, bench] = ["laptop", "bench"].map(|device| fleet.device("acme", device));
        let other = fleet.device("globex", "laptop");
        let old = THEN - 20 * 86_400_000;
        let tell = |hub: &Daemon, secret: &str, name: &str, at: i64| {
            let calls = [call(name, 1, 5), call_at(old, &format!("{name}-old"), 2, 7)];
            let answer = send(hub, secret, &batch(name, at, 1, &calls).to_string());
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.json()["accepted"].clone()
        };
        let summed = |table: &str| {
            number(&store, &format!("SELECT toUInt64(sum(arraySum(output))) FROM {table} FINAL"))
        };
        let facts = "SELECT count() FROM llm_event FINAL";
        let mut hub = fleet.start();
        for (name, secret) in [("a", &laptop), ("b", &bench), ("c", &other)] {
            assert_eq!(tell(&hub, secret, name, THEN), 2);
        }
        assert!(hub.terminate().success());
        // What is not in sums yet is worked out before it goes.
        let mut command = fleet.hub(&[]);
        command.env("TRUEUP_HUB_RETENTION_DAYS", "7").env("TRUEUP_CLEANUP_INTERVAL", "200ms");
        let mut hub = Daemon::start(command);
        until("it is said where what is kept begins", || {
            number(&store, "SELECT count() FROM horizon WHERE set_ms > 1") >= 1
                && hub.log().iter().any(|line| line.contains("nothing_before_is_taken"))
        });
        until("all of it is in the sums", || {
            (summed("roll_day"), summed("roll_quarter")) == (36, 36)
        });
        assert_eq!((number(&store, facts), tell(&hub, &bench, "d", THEN + 1)), (6, json!(1)));
        // As if that had been said an hour ago.
        on_each(&store, "INSERT INTO horizon SELECT max(day), toUInt64(1) FROM horizon");
        until("old weeks are gone", || number(&store, facts) == 4);
        until("and the sums stay", || (summed("roll_day"), summed("roll_quarter")) == (41, 41));
        let (said, is_done) =
            fleet.says(&["erase", "--tenant", "acme", "--device", "laptop", "--yes"]);
        assert!(is_done, "{said}");
        until("its part of the sums is gone", || {
            (summed("roll_day"), summed("roll_quarter")) == (29, 29)
        });
        for sql in [
            "SELECT count() FROM llm_event WHERE tenant = 'acme' AND device = 'laptop'",
            "SELECT count() FROM roll_day WHERE tenant = 'acme' AND has(device, 'laptop')",
            "SELECT count() FROM roll_quarter WHERE tenant = 'acme' AND has(device, 'laptop')",
            "SELECT count() FROM device_state WHERE tenant = 'acme' AND device = 'laptop'",
        ] {
            assert_eq!(number(&store, sql), 0, "{sql}");
        }
        let body = batch("e", THEN + 2, 3, &[call("e", 3, 5)]).to_string();
        assert_eq!(send(&hub, &laptop, &body).status, 401);
        let (said, is_done) = fleet.says(&["erase", "--tenant", "acme", "--yes"]);
        assert!(is_done && said.contains("Revoked 1 token,"), "{said}");
        assert_eq!((summed("roll_day"), summed("roll_quarter")), (12, 12));
        for table in ["llm_event", "dirty", "rolled", "batch", "device_state", "roll_day"] {
            let sql = format!("SELECT count() FROM {table} WHERE tenant = 'acme'");
            assert_eq!(number(&store, &sql), 0, "{table}");
        }
        assert!(hub.terminate().success());
    }
}

/// Whoever listens hears of what any hub was told.
#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn listeners_hear_of_what_another_hub_was_told() {
    for store in stores("live") {
        let fleet = Fleet::at(&store);
        let (secret, reader) = (fleet.device("acme", "laptop"), fleet.reader("acme"));
        let hubs = [fleet.start(), fleet.start()];
        let sidecar = Sidecar::new(&hubs[0], &secret);
        let sidecar = sidecar.home.start();
        post_calls(&sidecar, 0..3);
        push(&sidecar);
        // Both answer, each with a ledger of its own beside the store.
        for hub in &hubs {
            assert_eq!(totals(&ask(hub, &reader, "/v1/report"))["calls"], 3);
        }
        let header = format!("authorization: {}\r\n", bearer(&reader));
        let mut listener = Listener::with(&hubs[1], &header);
        assert_eq!(listener.event()["calls"].as_array().unwrap().len(), 3);
        post_calls(&sidecar, 3..4);
        push(&sidecar);
        let event = listener.event();
        assert_eq!(event["calls"].as_array().unwrap().len(), 1, "{event}");
        assert_eq!(event["calls"][0]["total"], 103 + 3);
    }
}

/// What a store has no place for is no loss that nobody hears of: the device knows each record.
#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn what_the_store_does_not_keep_is_told_as_refused() {
    for store in stores("unkept") {
        let fleet = Fleet::at(&store);
        let secret = fleet.device("acme", "laptop");
        let (hosts, database) =
            store.strip_prefix("clickhouse://").unwrap().rsplit_once('/').unwrap();
        // The first shard, which the token has prepared, says for all where what is kept begins.
        let url =
            format!("http://{}/?database={database}", hosts.split([',', '|']).next().unwrap());
        ureq::post(url).send("INSERT INTO horizon VALUES ('2100-01-04', 1)").unwrap();
        let hub = fleet.start();
        let sidecar = Sidecar::new(&hub, &secret);
        let running = sidecar.home.start();
        post_calls(&running, 0..3);
        push(&running);
        let refused =
            "SELECT count(*) FROM push_quarantine WHERE reason LIKE 'not_kept: it is of %'";
        assert_eq!(sidecar.home.number(refused), 3);
        let pushed = "SELECT count(*) FROM llm_traces WHERE pushed_at IS NOT NULL";
        assert_eq!(sidecar.home.number(pushed), 0);
    }
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn a_fleet_on_clickhouse_is_held_against_its_bills() {
    for store in stores("bills") {
        hold_against_bills(Fleet { store: Some(store), ..Fleet::with(&BILLS) }, false);
    }
}

/// What is not reached takes nothing, and says so; then it goes on.
#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn a_store_that_is_away_is_told_as_such() {
    let fleet = Fleet::at("clickhouse://127.0.0.1:1/nowhere");
    let hub = fleet.start();
    assert_eq!(hub.get("/health").status, 503);
    let (told, is_fine) = fleet.says(&["check"]);
    assert!(!is_fine && told.contains("127.0.0.1:1 cannot be used: it does not answer"), "{told}");
    assert!(!fleet.says(&["token", "list"]).1);
    drop::<Daemon>(hub);
}
