//! Processes of the cluster that are killed in the middle of inserts: what was acknowledged is there, once,
//! on every replica, and reading goes on meanwhile.

use std::collections::VecDeque;
use std::process::Command;
use std::time::Duration;

use trueup_clickhouse::{KnownSeries, Usage, UsageQuestion, Width, usage};
use trueup_core::{Counters, Delivery, Fact, UnixMs, Version, Word};

use crate::store::{NOW, Store, engines, pause};
use crate::told::{By, Dice, Truth, call, id};

/// How often a process is killed.
const KILLS: usize = 10;
/// Processes of the cluster.
const NAMES: [&str; 5] = ["a1", "a2", "b1", "b2", "zookeeper"];
/// How often what failed is told again, twice a second, before the test gives up.
const TRIES: usize = 240;

/// The cluster that the script has started.
fn cluster(verb: &str, name: &str) {
    #[expect(clippy::disallowed_methods, reason = "how a test is told where the cluster is")]
    let folder = std::env::var("TRUEUP_CLICKHOUSE_CLUSTER").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/clickhouse-cluster");
    let status = Command::new(script).args([verb, &folder, name]).status().unwrap();
    assert!(status.success(), "{verb} {name}");
}

fn delivery(dice: &mut Dice, truth: &mut Truth, round: usize) -> Delivery {
    let created = UnixMs(NOW.0 + i64::try_from(round).unwrap());
    let words = (0..30).map(|place| {
        let id = id(dice.below(300), 10);
        let version = Version::new(created, place);
        if dice.is(10) {
            return Word::IsNot { id, version };
        }
        Word::Is(Fact::Call(Box::new(call(dice, id, version))))
    });
    let words = words.collect();
    let delivery =
        Delivery { device: dice.one(&["laptop", "box"]).into(), words, ..Delivery::default() };
    truth.hear("acme", &delivery);
    delivery
}

/// Tells the first that wait, until one is not taken.
fn tell(store: &Store, waiting: &mut VecDeque<Delivery>) {
    while let Some(delivery) = waiting.pop_front() {
        if store.keep(&[("acme", &delivery)]).is_err() {
            waiting.push_front(delivery);
            return;
        }
    }
}

/// What each replica says of itself, without asking another.
fn calls_by_replica(store: &Store) -> Vec<Vec<Counters>> {
    let question = UsageQuestion { is_by_time: false, ..UsageQuestion::of("acme", Width::Day) };
    let shards = store.address.shards.iter().enumerate();
    let of_shard = |(shard, replicas): (usize, &Vec<String>)| {
        let of_replica = |replica| {
            let mut sum = Counters::default();
            store
                .blocks_of(shard, replica, &usage(&question), &mut |block| {
                    let mut add = |usage: Usage| sum = sum.plus(&usage.counters);
                    KnownSeries::default().read(&question, block, &mut add).unwrap();
                })
                .unwrap();
            sum
        };
        (0..replicas.len()).map(of_replica).collect()
    };
    shards.map(of_shard).collect()
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn any_one_process_may_be_killed() {
    let replicated = engines().into_iter().find(|address| address.contains('|')).unwrap();
    let address = replicated.rsplit_once('/').unwrap().0;
    let store = Store::open(&format!("{address}/kills_{}", std::process::id()));
    let mut dice = Dice(23);
    let (mut truth, mut waiting) = (Truth::default(), VecDeque::new());
    let mut refused = 0;
    for round in 0..KILLS {
        let victim = NAMES[round % NAMES.len()];
        waiting.extend((0..4).map(|batch| delivery(&mut dice, &mut truth, round * 10 + batch)));
        // Some before the kill, and the one that is on its way then.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pause(Duration::from_millis(u64::try_from(round).unwrap() * 20));
                cluster("kill", victim);
            });
            tell(&store, &mut waiting);
        });
        waiting.extend((4..7).map(|batch| delivery(&mut dice, &mut truth, round * 10 + batch)));
        tell(&store, &mut waiting);
        refused += waiting.len();
        // Whoever is left answers.
        let question = UsageQuestion { is_by_time: false, ..UsageQuestion::of("acme", Width::Day) };
        store.usage(&question);
        eprintln!("{victim} was killed, and {} batches wait", waiting.len());
        cluster("run", victim);
        for _ in 0..TRIES {
            tell(&store, &mut waiting);
            if waiting.is_empty() {
                break;
            }
            pause(Duration::from_millis(500));
        }
        assert!(waiting.is_empty(), "what waits is not taken after {victim} is back");
    }
    eprintln!("{KILLS} kills, {refused} batches refused meanwhile and told again");
    assert!(refused > 0);
    store.roll();
    assert_eq!(store.roll(), 0);
    let expected = truth.sums(0, By::default());
    let mut sum = Counters::default();
    for (counters, ..) in expected.values() {
        sum = sum.plus(counters);
    }
    for _ in 0..TRIES {
        let told = calls_by_replica(&store);
        if told.iter().all(|replicas| replicas.iter().all(|one| *one == replicas[0])) {
            break;
        }
        pause(Duration::from_millis(500));
    }
    let told = calls_by_replica(&store);
    for replica in 0..2 {
        let of_all = told.iter().fold(Counters::default(), |all, shard| all.plus(&shard[replica]));
        assert_eq!(of_all, sum, "replica {replica} of each shard");
    }
    store.drop_database();
}
