//! A hub whose store is on ClickHouse: several receivers before it, one of which is killed.
//! `scripts/prove-clickhouse` says where the store is.

use rustix::process::Signal;
use serde_json::json;

use super::{Fleet, Sidecar, post_calls, push};
use crate::serve::daemon::{Daemon, until};

/// The stores, each in a database of its own.
fn stores(name: &str) -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "how a test is told where engines are")]
    let addresses = std::env::var("TRUEUP_CLICKHOUSE").unwrap();
    let addresses = addresses.split_whitespace().map(|address| address.rsplit_once('/').unwrap().0);
    addresses.map(|address| format!("{address}/{name}_{}", std::process::id())).collect()
}

/// A number of a store, by ClickHouse's own interface and none of our code: the sum over its shards.
fn number(store: &str, sql: &str) -> u64 {
    let (hosts, database) = store.strip_prefix("clickhouse://").unwrap().rsplit_once('/').unwrap();
    let shards = hosts.split(',').map(|replicas| replicas.split('|').next().unwrap());
    let ask = |host: &str| {
        let url = format!("http://{host}/?database={database}");
        let mut answer = ureq::post(url).send(sql).unwrap();
        answer.body_mut().read_to_string().unwrap().trim().parse::<u64>().unwrap()
    };
    shards.map(ask).sum()
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
