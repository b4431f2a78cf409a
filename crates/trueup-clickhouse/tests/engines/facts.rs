//! Facts come back as they were told.

use std::collections::BTreeMap;

use trueup_clickhouse::{
    BatchTaken, BatchesTaken, DeviceState, Kind, KnownBatch, Record, RecordsQuestion, device_of,
    devices, keep_batches, keep_devices, keep_tokens, known_batch_of, known_batches, record_of,
    records, taken, taken_of, token_of, tokens,
};
use trueup_core::{
    BatchHead, CallBody, CustomEvent, Delivery, ErrorEvent, Fact, FactId, HostMetric, HubToken,
    Key, Pressure, Sender, SenderStatus, UnixMs, Version, Word,
};

use crate::store::{NOW, Store, on_each};
use crate::told::{Dice, HOSTILE, TENANTS, call, id};

fn all(store: &Store, question: &RecordsQuestion<'_>) -> Vec<Record> {
    let mut all = Vec::new();
    for shard in 0..store.shards() {
        store.rows(shard, &records(question), &mut |row| {
            all.push(record_of(question.kind, row).unwrap());
        });
    }
    all.sort_by_key(|record| record.id);
    if question.is_latest_first {
        all.reverse();
    }
    all.truncate(question.limit);
    all
}

fn hostile(dice: &mut Dice) -> Option<String> {
    dice.is(70).then(|| dice.one(&HOSTILE).to_owned())
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn every_field_of_every_kind_survives() {
    on_each("fields", |store| {
        let mut dice = Dice(3);
        let mut words = Vec::new();
        let mut expected: BTreeMap<(&str, FactId), Fact> = BTreeMap::new();
        for number in 0..200 {
            let id = id(number, 30);
            let mut made = call(&mut dice, id, Version::new(NOW, usize::try_from(number).unwrap()));
            let body = CallBody {
                input_text: hostile(&mut dice),
                output_text: hostile(&mut dice),
                is_text_cut: dice.is(20),
                metadata: hostile(&mut dice),
            };
            made.body = (body != CallBody::default()).then(|| Box::new(body));
            let key = Key::of_id(id);
            let text = |dice: &mut Dice| dice.one(&HOSTILE).into();
            let error = ErrorEvent {
                key,
                time: id.time(),
                trace_id: dice.is(50).then(|| text(&mut dice)),
                source: text(&mut dice),
                session: text(&mut dice),
                error_type: text(&mut dice),
                message: dice.one(&HOSTILE).to_owned(),
                stack_trace: hostile(&mut dice),
                severity: text(&mut dice),
                metadata: hostile(&mut dice),
            };
            let event = CustomEvent {
                key,
                time: id.time(),
                trace_id: dice.is(50).then(|| text(&mut dice)),
                source: text(&mut dice),
                session: text(&mut dice),
                name: text(&mut dice),
                metadata: hostile(&mut dice),
            };
            let facts = [
                ("call", Fact::Call(Box::new(made))),
                ("error", Fact::Error(Box::new(error))),
                ("event", Fact::Event(Box::new(event))),
                ("host", Fact::Host(Box::new(host(&mut dice, id)))),
            ];
            for (kind, fact) in facts {
                words.push(Word::Is(fact.clone()));
                expected.insert((kind, id), fact);
            }
        }
        let delivery = Delivery { device: "it's\\me".into(), words, ..Delivery::default() };
        store.keep(&[("acme", &delivery), ("acme", &delivery)]).unwrap();
        store.keep(&[("acme", &delivery), ("third", &delivery)]).unwrap();
        for (name, kind) in [
            ("call", Kind::CallsWithTexts),
            ("error", Kind::Errors),
            ("event", Kind::Events),
            ("host", Kind::Hosts),
        ] {
            let told = all(store, &RecordsQuestion::of("acme", kind, 1_000));
            assert_eq!(told.len(), 200, "{name}");
            for record in told {
                let mut fact = expected[&(name, record.id)].clone();
                if let (Fact::Call(expected), Fact::Call(told)) = (&mut fact, &record.fact) {
                    // Of a rank, the word's version is kept.
                    assert_eq!(Version::of_rank(expected.rank), Version::of_rank(told.rank));
                    expected.rank = told.rank;
                }
                assert_eq!((&*record.device, &record.fact), ("it's\\me", &fact));
            }
        }
    });
}

fn host(dice: &mut Dice, id: FactId) -> HostMetric {
    let mut number = || dice.is(60).then(|| dice.next());
    let numbers: [Option<u64>; 14] = std::array::from_fn(|_| number());
    let mut small = || dice.is(60).then(|| u32::try_from(dice.below(1 << 32)).unwrap());
    let mut pressure = || Pressure { some_millipercent: small(), full_millipercent: small() };
    HostMetric {
        key: Key::of_id(id),
        time: id.time(),
        scope: "cgroup2".into(),
        cpu_pressure: pressure(),
        mem_pressure: pressure(),
        io_pressure: pressure(),
        cpu_millipercent: small(),
        cpu_capacity_millicores: numbers[0],
        mem_rss_bytes: numbers[1],
        mem_working_set_bytes: numbers[2],
        mem_limit_bytes: numbers[3],
        disk_used_bytes: numbers[4],
        disk_available_bytes: numbers[5],
        disk_total_bytes: numbers[6],
        disk_read_bytes_per_second: numbers[7],
        disk_write_bytes_per_second: numbers[8],
        net_rx_bytes_per_second: numbers[9],
        net_tx_bytes_per_second: numbers[10],
        processes: numbers[11],
        threads: numbers[12],
        zombies: numbers[13],
        oom_kills: Some(u64::MAX),
        metadata: None,
    }
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn pages_follow_each_other() {
    on_each("pages", |store| {
        let mut dice = Dice(4);
        let word = |dice: &mut Dice, number: u64, place| {
            Word::Is(Fact::Call(Box::new(call(dice, id(number, 20), Version::new(NOW, place)))))
        };
        let words: Vec<_> =
            (0..100).zip(0..).map(|(number, place)| word(&mut dice, number, place)).collect();
        let delivery = Delivery { device: "laptop".into(), words, ..Delivery::default() };
        store.keep(&[("acme", &delivery)]).unwrap();
        let mut ids: Vec<FactId> = (0..100).map(|number| id(number, 20)).collect();
        ids.sort();
        for is_latest_first in [false, true] {
            let mut question =
                RecordsQuestion { is_latest_first, ..RecordsQuestion::of("acme", Kind::Calls, 7) };
            let mut told = Vec::new();
            loop {
                let page = all(store, &question);
                let Some(last) = page.last() else { break };
                question.after = Some(last.id);
                told.extend(page.iter().map(|record| record.id));
            }
            assert_eq!(told, ids);
            ids.reverse();
        }
        let some = RecordsQuestion {
            from: UnixMs(NOW.0 - 5 * trueup_core::DAY_MS),
            until: UnixMs(NOW.0 - 2 * trueup_core::DAY_MS),
            ..RecordsQuestion::of("acme", Kind::Calls, 1_000)
        };
        let told: Vec<_> = all(store, &some).iter().map(|record| record.id).collect();
        ids.sort();
        let expected = ids.iter().filter(|id| (some.from..some.until).contains(&id.time()));
        assert_eq!(told, expected.copied().collect::<Vec<_>>());
        let one =
            RecordsQuestion { ids: &ids[3..4], ..RecordsQuestion::of("acme", Kind::Calls, 9) };
        assert_eq!(all(store, &one).len(), 1);
        let nobody = RecordsQuestion::of("nobody", Kind::Calls, 9);
        assert_eq!(all(store, &nobody), []);
    });
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn of_a_device_the_last_word_is_known() {
    on_each("devices", |store| {
        let state = |device: &str, ms: i64, host: &str| {
            let status = (ms > 3).then_some(SenderStatus {
                waiting: 7,
                oldest_waiting_at: Some(NOW),
                dropped: 1,
                refused: 0,
                last_read_at: None,
            });
            let sender =
                Sender { ledger: "l".into(), host: host.into(), status, ..Sender::default() };
            let created_at = UnixMs(NOW.0 + ms);
            let batch = Some(BatchHead { created_at, last_seq: ms, ..BatchHead::default() });
            let delivery = Delivery { device: device.into(), sender, batch, ..Delivery::default() };
            DeviceState::of("acme", &delivery, NOW)
        };
        let said = [state("b'ox", 5, HOSTILE[2]), state("a", 1, "h"), state("b'ox", 3, "old")];
        for state in &said {
            store.write(0, &keep_devices(std::slice::from_ref(state))).unwrap();
        }
        let mut known = Vec::new();
        store.rows(0, &devices("acme"), &mut |row| known.push(device_of(row).unwrap()));
        assert_eq!(known, [said[1].clone(), said[0].clone()]);
    });
}

#[test]
#[ignore = "needs engines: scripts/prove-clickhouse"]
fn batches_and_tokens_are_known_again() {
    on_each("known", |store| {
        let head = |id: &str, sha256: &str| BatchHead {
            id: id.into(),
            created_at: NOW,
            first_seq: 1,
            last_seq: 0,
            sha256: sha256.into(),
        };
        let one = BatchTaken {
            tenant: TENANTS[1].into(),
            device: "box".into(),
            ledger: "l".into(),
            epoch: "e".into(),
            head: head("it's", "7d1f"),
            newest: None,
            words: 3,
            seen: NOW,
        };
        for statement in keep_batches(&[one.clone(), one]) {
            store.write(0, &statement).unwrap();
        }
        let (same, other) = (head("it's", "0000"), head("another", "7d1f"));
        let asked = known_batches(&[(TENANTS[1], &same), (TENANTS[1], &other), ("acme", &same)]);
        let mut known = Vec::new();
        store.rows(0, &asked, &mut |row| known.push(known_batch_of(row).unwrap()));
        let (tenant, id, sha256) = (TENANTS[1].into(), "it's".into(), "7d1f".into());
        assert_eq!(known, [KnownBatch { tenant, id, sha256, words: 3 }]);

        // Batches in any order, one within another, one that overlaps, and a heartbeat behind a gap.
        let spans = [(20, 24), (1, 9), (4, 6), (8, 12), (16, 16), (40, 39)];
        let batches: Vec<BatchTaken> = spans
            .iter()
            .map(|(first_seq, last_seq)| BatchTaken {
                tenant: "acme".into(),
                device: "box".into(),
                ledger: "l".into(),
                epoch: "e".into(),
                head: BatchHead {
                    first_seq: *first_seq,
                    last_seq: *last_seq,
                    ..head(&first_seq.to_string(), "7d1f")
                },
                newest: Some(UnixMs(NOW.0 - first_seq)),
                words: 2,
                seen: UnixMs(NOW.0 + first_seq),
            })
            .collect();
        for statement in keep_batches(&batches) {
            store.write(0, &statement).unwrap();
        }
        let mut told = Vec::new();
        store.rows(0, &taken("acme"), &mut |row| told.push(taken_of(row).unwrap()));
        let all = BatchesTaken {
            batches: 6,
            words: 12,
            first_seen: UnixMs(NOW.0 + 1),
            last_seq: Some(39),
            newest: Some(UnixMs(NOW.0 - 1)),
            missing: (16 - 13) + (20 - 17) + (40 - 25),
        };
        assert_eq!(told, [(["box", "l", "e"].map(Into::into), all)]);

        let made = HubToken {
            id: "9d3e51c2".into(),
            hash: [0xab; 32],
            tenant: "acme".into(),
            device: Some("box".into()),
            created_at: NOW,
            revoked_at: None,
        };
        let revoked = HubToken { revoked_at: Some(UnixMs(NOW.0 + 1)), ..made.clone() };
        let reads = HubToken { id: "0".into(), device: None, ..made.clone() };
        for token in [&revoked, &made, &reads] {
            store.write(0, &keep_tokens(std::slice::from_ref(token))).unwrap();
        }
        let mut told = Vec::new();
        store.rows(0, &tokens(), &mut |row| told.push(token_of(row).unwrap()));
        assert_eq!(told, [reads, revoked]);
    });
}
