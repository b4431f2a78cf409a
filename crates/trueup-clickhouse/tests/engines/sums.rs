//! Sums are those of the newest words, whatever came how often, in which order and in which batches.

use std::collections::{BTreeMap, BTreeSet};

use trueup_clickhouse::{
    Apart, Cut, Day, Name, Summary, UsageQuestion, Width, summary, summary_of, upkeep,
};
use trueup_core::report::kinds;
use trueup_core::{Counters, DAY_MS, Delivery, Fact, QUARTER_MS, UnixMs, Version, Word};

use crate::store::{NOW, Store, on_each, on_each_with};
use crate::told::{By, Dice, Group, TENANTS, Truth, WIDTHS, call, id};

/// What the store says, added up over its shards.
fn told(store: &Store, width_ms: i64, by: By) -> BTreeMap<Group, (Counters, UnixMs, UnixMs)> {
    let mut sums: BTreeMap<Group, (Counters, UnixMs, UnixMs)> = BTreeMap::new();
    for tenant in TENANTS {
        let width = if width_ms == DAY_MS { Width::Day } else { Width::Quarter };
        let question = UsageQuestion {
            is_by_device: by.device,
            is_by_session: by.session,
            is_by_time: width_ms > 0,
            from: UnixMs(0),
            ..UsageQuestion::of(tenant, width)
        };
        for usage in store.usage(&question) {
            let session = usage.session.to_string();
            let group = (tenant.to_owned(), usage.start.0, session, (*usage.series).clone());
            let (first, last) = usage.times;
            let sum = sums.entry(group).or_insert((Counters::default(), first, last));
            *sum = (sum.0.plus(&usage.counters), sum.1.min(first), sum.2.max(last));
        }
    }
    sums
}

fn assert_exact(store: &Store, truth: &Truth, what: &str) {
    for width_ms in WIDTHS {
        for by in [By::default(), By { device: true, session: width_ms == QUARTER_MS }] {
            assert_eq!(
                told(store, width_ms, by),
                truth.sums(width_ms, by),
                "{what} {width_ms} {by:?}"
            );
        }
    }
    let by = By { session: true, device: false };
    assert_eq!(told(store, 0, by), truth.sums(0, by), "{what}: sessions");
}

/// Batches as devices make them from what happens: of each id a word or several.
fn batches(dice: &mut Dice, ids: u64, days: u64, rounds: u64) -> Vec<(&'static str, Delivery)> {
    let mut batches = Vec::new();
    for round in 0..rounds {
        for (number, tenant) in TENANTS.into_iter().enumerate() {
            let device = dice.one(&["laptop", "ci'1", "box"]).into();
            let created = UnixMs(
                NOW.0 + i64::try_from(round).unwrap() * 1_000 + i64::try_from(number).unwrap(),
            );
            let words = (0..dice.below(40)).map(|place| {
                let id = id(dice.below(ids), days);
                let version = Version::new(created, usize::try_from(place).unwrap());
                if dice.is(15) {
                    Word::IsNot { id, version }
                } else {
                    Word::Is(Fact::Call(Box::new(call(dice, id, version))))
                }
            });
            let words = words.collect();
            batches.push((tenant, Delivery { device, words, ..Delivery::default() }));
        }
    }
    batches
}

/// The same words in other batches: some twice, in any order.
fn rebatched(
    dice: &mut Dice,
    batches: &[(&'static str, Delivery)],
) -> Vec<(&'static str, Delivery)> {
    let mut parts = Vec::new();
    for (tenant, delivery) in batches {
        let size = usize::try_from(1 + dice.below(17)).unwrap();
        for words in delivery.words.chunks(size) {
            let device = delivery.device.clone();
            let part = (*tenant, Delivery { device, words: words.to_vec(), ..Delivery::default() });
            for _ in 0..=u64::from(dice.is(30)) + u64::from(dice.is(10)) {
                parts.push(part.clone());
            }
        }
    }
    dice.shuffle(&mut parts);
    parts
}

fn seeds() -> Vec<u64> {
    #[expect(clippy::disallowed_methods, reason = "how a test is told which seeds to take")]
    let seeds = std::env::var("SEEDS").unwrap_or_else(|_| "1 2 3".to_owned());
    seeds.split_whitespace().map(|seed| seed.parse().unwrap()).collect()
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn any_order_and_any_batches_come_to_the_same_sums() {
    for seed in seeds() {
        // Of an even seed, what is acknowledged may be on one replica only.
        let option = if seed % 2 == 0 { "?quorum=1" } else { "" };
        on_each_with(&format!("orders{seed}"), option, |store| {
            let mut dice = Dice(seed);
            let made = batches(&mut dice, 120, 20, 12);
            let mut truth = Truth::default();
            for (tenant, delivery) in &made {
                truth.hear(tenant, delivery);
            }
            // Several receivers, each of which works sums out now and then.
            let address = format!("{}{option}", store.address);
            let receivers = [Store::open(&address), Store::open(&address), Store::open(&address)];
            for (at, receiver) in receivers.iter().enumerate() {
                receiver.begin_with(at);
            }
            for parts in rebatched(&mut dice, &made).chunks(5) {
                let receiver = &receivers[usize::try_from(dice.below(3)).unwrap()];
                let parts: Vec<_> = parts.iter().map(|(tenant, it)| (*tenant, it)).collect();
                let flush = receiver.keep(&parts).unwrap();
                assert_eq!(flush.unkept, []);
                if dice.is(25) {
                    receivers[usize::try_from(dice.below(3)).unwrap()].roll();
                }
            }
            store.roll_all();
            assert_eq!(store.roll_all(), 0, "seed {seed}: nothing is left to be worked out");
            assert_exact(store, &truth, &format!("seed {seed}"));
            // All of it once more, as of a device that was restored: nothing moves.
            let parts: Vec<_> = made.iter().map(|(tenant, it)| (*tenant, it)).collect();
            store.keep(&parts).unwrap();
            assert!(store.roll_all() > 0);
            assert_exact(store, &truth, &format!("seed {seed}, replayed"));
        });
    }
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn what_is_taken_back_leaves_nothing() {
    on_each("retracted", |store| {
        let mut dice = Dice(5);
        let ids: Vec<_> = (0..40).map(|number| id(number, 3)).collect();
        let word = |dice: &mut Dice, id, place| {
            Word::Is(Fact::Call(Box::new(call(dice, id, Version::new(NOW, place)))))
        };
        let words = ids.iter().zip(0..).map(|(id, place)| word(&mut dice, *id, place)).collect();
        let told_first = Delivery { device: "laptop".into(), words, ..Delivery::default() };
        store.keep(&[("acme", &told_first)]).unwrap();
        store.roll_all();
        let mut truth = Truth::default();
        truth.hear("acme", &told_first);
        assert_exact(store, &truth, "told");
        let later = UnixMs(NOW.0 + 1);
        let not =
            |(id, place): (&_, _)| Word::IsNot { id: *id, version: Version::new(later, place) };
        let back = Delivery {
            device: "box".into(),
            words: ids.iter().zip(0..).map(not).collect(),
            ..Delivery::default()
        };
        store.keep(&[("acme", &back)]).unwrap();
        store.roll_all();
        assert_exact(store, &Truth::default(), "taken back");
        // An old word that comes late changes nothing, and a new one does.
        store.keep(&[("acme", &told_first)]).unwrap();
        store.roll_all();
        assert_exact(store, &Truth::default(), "an old word");
        let version = Version::new(UnixMs(NOW.0 + 2), 0);
        let again = Word::Is(Fact::Call(Box::new(call(&mut dice, ids[0], version))));
        let again = Delivery { device: "box".into(), words: vec![again], ..Delivery::default() };
        store.keep(&[("acme", &again)]).unwrap();
        store.roll_all();
        truth = Truth::default();
        truth.hear("acme", &again);
        assert_exact(store, &truth, "told again");
    });
}

/// Two that work out the same day: whoever began with less does not win, however late it is.
#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn sums_that_were_begun_earlier_do_not_win() {
    on_each("races", |store| {
        let mut dice = Dice(9);
        let mut truth = Truth::default();
        let mut tell = |number: u64| {
            let version = Version::new(NOW, usize::try_from(number).unwrap());
            let word = Word::Is(Fact::Call(Box::new(call(&mut dice, id(number, 1), version))));
            let delivery =
                Delivery { device: "laptop".into(), words: vec![word], ..Delivery::default() };
            store.keep(&[("acme", &delivery)]).unwrap();
            truth.hear("acme", &delivery);
        };
        (0..30).for_each(&mut tell);
        let early: Vec<_> = (0..store.shards()).map(|shard| store.dirty(shard)).collect();
        (30..60).for_each(&mut tell);
        store.roll_all();
        assert_exact(store, &truth, "worked out");
        // The early one reads what is there by now, and says that it holds less: nothing changes.
        for (shard, days) in early.iter().enumerate() {
            store.write_all(shard, &store.recompute(shard, days)).unwrap();
        }
        assert_eq!(store.roll_all(), 0);
        assert_exact(store, &truth, "after the late one");
    });
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn stretches_of_time_and_devices_are_what_is_asked() {
    on_each("asked", |store| {
        let mut dice = Dice(11);
        let mut truth = Truth::default();
        let made = batches(&mut dice, 200, 6, 10);
        let parts: Vec<_> = made.iter().map(|(tenant, it)| (*tenant, it)).collect();
        store.keep(&parts).unwrap();
        truth.hear_all(&parts);
        let all: Vec<Day> = (0..8).map(|day| Day::near(NOW).back(day)).rev().collect();
        for round in 0..30 {
            if round == 10 {
                store.roll_all();
            }
            let width = if dice.is(70) { Width::Day } else { Width::Quarter };
            let mut time =
                || UnixMs(NOW.0 - i64::try_from(dice.below(8 * DAY_MS.cast_unsigned())).unwrap());
            let (a, b) = (time(), time());
            let (from, until) = (a.min(b), a.max(b));
            let devices: &[&str] = if dice.is(50) { &["laptop", "ci'1"] } else { &[] };
            // Until sums are worked out all is read from calls, and then whatever is named is.
            let unsummed: Vec<Day> =
                all.iter().copied().filter(|_| round < 10 || dice.is(30)).collect();
            let cuts = if dice.is(50) {
                let cut = |dice: &mut Dice| {
                    let quarters = [vec![22], vec![73], vec![20, 73], vec![]];
                    let at = usize::try_from(dice.below(4)).unwrap();
                    quarters[at].clone()
                };
                let days: Vec<_> = all.iter().map(|day| (*day, cut(&mut dice))).collect();
                Cut::joined(days.into_iter().filter(|(_, quarters)| !quarters.is_empty()))
            } else {
                Vec::new()
            };
            // Told apart by what prices depend on, too, and by spans of some days.
            let names: &[Name] = if dice.is(50) { &[] } else { &[Name::Source, Name::Project] };
            let apart = if dice.is(60) { Apart::Prices(names) } else { Apart::Series };
            let later = all.iter().map(|day| day.start()).filter(|day| from < *day && dice.is(40));
            let spans: Vec<UnixMs> = std::iter::once(from).chain(later).collect();
            let spans = if apart != Apart::Series && round % 2 == 0 { &spans[..] } else { &[] };
            let question = UsageQuestion {
                from,
                until,
                devices,
                unsummed: &unsummed,
                cuts: &cuts,
                apart,
                spans,
                adding: Summary::adding(0),
                ..UsageQuestion::of("acme", width)
            };
            // Where the stretch begins that a call is in, and what is looked at of it.
            let stretch = |time: UnixMs| {
                let quarter = time.floor(QUARTER_MS);
                if width == Width::Quarter {
                    return (quarter, quarter);
                }
                let midnight = time.floor(DAY_MS);
                let day = Day::near(time);
                match cuts.iter().find(|cut| (cut.first..=cut.last).contains(&day)) {
                    None => (midnight, midnight),
                    Some(cut) => {
                        let edges = cut.quarters.iter();
                        let edges =
                            edges.map(|edge| UnixMs(midnight.0 + i64::from(*edge) * QUARTER_MS));
                        let start = edges.filter(|edge| *edge <= quarter).max();
                        (start.unwrap_or(midnight), quarter)
                    }
                }
            };
            let mut told: BTreeMap<UnixMs, u64> = BTreeMap::new();
            let mut alike: BTreeMap<_, usize> = BTreeMap::new();
            for usage in store.usage(&question) {
                *told.entry(usage.start).or_default() += usage.counters.calls;
                // Of what is priced alike, a shard has one sum: it used the same kinds of tokens throughout.
                let used = kinds(&usage.counters.tokens);
                *alike.entry((usage.start, usage.series, used)).or_default() += 1;
            }
            assert!(alike.values().all(|count| *count <= store.shards()), "{question:?}");
            let mut expected: BTreeMap<UnixMs, u64> = BTreeMap::new();
            for (tenant, _, device, call) in truth.calls() {
                let (start, looked_at) = stretch(call.time);
                let is_asked = tenant == "acme"
                    && (from..until).contains(&looked_at)
                    && (devices.is_empty() || devices.contains(&device));
                if is_asked {
                    let span = spans.iter().filter(|span| **span <= start).max();
                    *expected.entry(span.copied().unwrap_or(start)).or_default() += 1;
                }
            }
            assert_eq!(told, expected, "{question:?}");
        }
        assert_summed_up(store, &truth, &all);
        assert_sessions(store, &truth);
    });
}

/// What there is in all, and of a device, out of calls or sums.
fn assert_summed_up(store: &Store, truth: &Truth, all: &[Day]) {
    for (device, unsummed) in
        [(None, all), (None, &[]), (Some("laptop"), all), (Some("laptop"), &[])]
    {
        let of_tenant = truth.calls().filter(|(tenant, _, of, _)| {
            *tenant == "acme" && device.is_none_or(|device| device == *of)
        });
        let calls: Vec<_> = of_tenant.map(|(.., call)| call).collect();
        let (mut span, mut sources) = ((UnixMs(i64::MAX), UnixMs(0)), BTreeSet::new());
        for shard in 0..store.shards() {
            store.rows(shard, &summary("acme", device, unsummed), &mut |row| {
                let told = summary_of(row).unwrap();
                span = (span.0.min(told.times.0), span.1.max(told.times.1));
                sources.insert(told.source);
            });
        }
        let times = || calls.iter().map(|call| call.time);
        assert_eq!(Some(span), times().min().zip(times().max()), "{device:?} {unsummed:?}");
        assert_eq!(sources, calls.iter().map(|call| call.origin.source.clone()).collect());
    }
}

/// What a session used, whatever agents have one of this name.
fn assert_sessions(store: &Store, truth: &Truth) {
    let sessions: BTreeSet<String> = truth
        .calls()
        .filter(|(tenant, ..)| *tenant == "acme")
        .map(|(_, _, _, call)| call.origin.session.to_string())
        .collect();
    for session in &sessions {
        let question = UsageQuestion {
            session: Some(session),
            is_by_time: false,
            ..UsageQuestion::of("acme", Width::Quarter)
        };
        let calls: u64 = store.usage(&question).iter().map(|usage| usage.counters.calls).sum();
        let is_of = |(tenant, _, _, call): &(&str, _, &str, &trueup_core::Call)| {
            *tenant == "acme" && *call.origin.session == **session
        };
        assert_eq!(calls, truth.calls().filter(is_of).count() as u64);
    }
}

/// Facts of weeks that are over go, and what they came to stays, also where the horizon has no facts any
/// more and somebody tells of them again.
#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn sums_outlive_what_they_are_of() {
    on_each("retained", |store| {
        let mut dice = Dice(13);
        let made = batches(&mut dice, 100, 40, 8);
        let parts: Vec<_> = made.iter().map(|(tenant, it)| (*tenant, it)).collect();
        let mut truth = Truth::default();
        truth.hear_all(&parts);
        store.keep(&parts).unwrap();
        store.roll_all();
        let horizon = upkeep::horizon_of(NOW, 2);
        store.keep_horizon(horizon, NOW);
        let read = |at: UnixMs| {
            let mut read = None;
            store.rows(0, &upkeep::horizon(at), &mut |row| {
                read = upkeep::horizon_of_row(row).ok();
            });
            read.unwrap()
        };
        assert_eq!((read(NOW).taken_from, read(NOW).kept_from), (horizon, Day::FIRST));
        let hour = UnixMs(NOW.0 + 3_600_000);
        assert_eq!((read(hour).taken_from, read(hour).kept_from), (horizon, horizon));
        let count = "SELECT count() AS number FROM llm_event FINAL";
        let before = store.number(count);
        for shard in 0..store.shards() {
            let mut weeks = Vec::new();
            store.rows(shard, &upkeep::weeks(), &mut |row| {
                weeks.push(upkeep::week_of(row).unwrap());
            });
            assert!(upkeep::drop_weeks(&weeks, read(NOW)).is_empty());
            let drops = upkeep::drop_weeks(&weeks, read(hour));
            assert!(!drops.is_empty());
            for statement in drops {
                store.write(shard, &statement).unwrap();
            }
        }
        let after = store.number(count);
        assert!((1..before).contains(&after), "{before} {after}");
        assert_exact(store, &truth, "dropped");
        // A receiver that does not know of the horizon yet takes them again; no sum moves.
        store.horizon.set(Day::FIRST);
        store.keep(&parts).unwrap();
        store.roll_all();
        assert_eq!(store.roll_all(), 0);
        assert_exact(store, &truth, "told again behind the horizon");
        store.horizon.set(horizon);
        let flush = store.keep(&parts).unwrap();
        assert!(!flush.unkept.is_empty());
    });
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn a_device_is_forgotten_whatever_its_age() {
    // 18.16 changes no part that was the last one with a quorum; this is not so of newer versions.
    on_each_with("forgotten", "?quorum=1", |store| {
        let mut dice = Dice(17);
        let made = batches(&mut dice, 400, 40, 8);
        let parts: Vec<_> = made.iter().map(|(tenant, it)| (*tenant, it)).collect();
        let mut truth = Truth::default();
        truth.hear_all(&parts);
        store.keep(&parts).unwrap();
        // What a device told and another one took over is that one's, once rows have met.
        for shard in 0..store.shards() {
            for replica in 0..store.address.shards[shard].len() {
                let sql = "OPTIMIZE TABLE llm_event FINAL".to_owned();
                let purpose = trueup_clickhouse::Purpose::Define;
                let optimize = trueup_clickhouse::Statement { sql, rows: None, purpose };
                let _unused = store.tell(shard, replica, &optimize);
            }
        }
        store.roll_all();
        store.keep_horizon(upkeep::horizon_of(NOW, 2), NOW);
        let mut days = BTreeSet::new();
        for shard in 0..store.shards() {
            store.rows(shard, &upkeep::days_of_device("acme", "ci'1"), &mut |row| {
                days.insert((shard, "acme".to_owned(), upkeep::day_of_row(row).unwrap()));
            });
            for statement in upkeep::erase("acme", "ci'1") {
                store.write(shard, &statement).unwrap();
            }
        }
        store.wait_for_changes();
        store.mark(&days);
        for shard in 0..store.shards() {
            for statement in upkeep::forget_sums("acme", "ci'1") {
                store.write(shard, &statement).unwrap();
            }
        }
        store.roll_all();
        truth.forget("acme", "ci'1");
        assert_exact(store, &truth, "forgotten");
        let left =
            "SELECT count() AS number FROM llm_event WHERE tenant = 'acme' AND device = 'ci\\'1'";
        assert_eq!(store.number(left), 0);
    });
}
