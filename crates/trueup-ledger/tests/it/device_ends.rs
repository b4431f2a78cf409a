//! What goes of a fleet's account: rows that are too old, of which every sum stays, and devices that are
//! to be forgotten, of which nothing stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::Connection;
use trueup_core::{Counters, Delivery, Fact, FactId, HostMetric, Key, UnixMs, Word};
use trueup_ledger::{Ledger, OpenOptions, Retention};

use crate::device_laws::{BEGIN_MS, NOW, Said, any_said, assert_sums, batch, delivery, id};
use crate::host::sample;

/// One call, as it is known.
#[derive(Debug, Clone, Copy)]
struct Known {
    word: Said,
    /// Whether its row has gone, so that it can no longer be amended.
    is_gone: bool,
}

/// What must count of each call.
#[derive(Debug, Default)]
struct Model(BTreeMap<u8, Known>);

impl Model {
    fn hear(&mut self, word: Said) {
        let known = self.0.entry(word.call).or_insert(Known { word, is_gone: false });
        if word.rank() > known.word.rank() && !known.is_gone {
            known.word = word;
        }
    }

    /// Rows before a time go; a call that does not count has none.
    fn clean(&mut self, before: UnixMs) {
        for (call, known) in &mut self.0 {
            known.is_gone |= known.word.output.is_some() && id(*call).time() < before;
        }
    }

    /// What a device told goes. Whose a call was that is gone already, its key does not say: it stays
    /// known, and is nobody's any more.
    fn forget(&mut self, device: u8) {
        self.0.retain(|_, known| {
            let is_its = known.word.device == device && known.word.output.is_some();
            if is_its && known.is_gone {
                known.word.output = None;
                return true;
            }
            !is_its
        });
    }

    fn by_device(&self) -> BTreeMap<u8, Counters> {
        let mut by_device: BTreeMap<u8, Counters> = BTreeMap::new();
        for Known { word, .. } in self.0.values().filter(|known| known.word.output.is_some()) {
            let counters = Counters { calls: 1, tokens: word.tokens(), ..Counters::default() };
            let sum = by_device.entry(word.device).or_default();
            *sum = sum.plus(&counters);
        }
        by_device
    }

    fn assert_told(&self, path: &Path) {
        assert_sums(path, &self.by_device(), |_, _, _| ());
    }
}

/// What happens to the account.
#[derive(Debug, Clone)]
enum Step {
    Told(Vec<Said>),
    /// Rows before the call of this number go.
    Cleaned(u8),
    Forgotten(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(any_said(), 1..8).prop_map(Step::Told),
        2 => (0..10_u8).prop_map(Step::Cleaned),
        1 => (0..3_u8).prop_map(Step::Forgotten),
    ]
}

fn open(path: &Path) -> Ledger {
    // What is older than nothing goes: the time at which it is cleaned says what.
    let retention = Retention { age_max: Some(Duration::ZERO), ..Retention::default() };
    Ledger::open(path, OpenOptions { retention: Some(retention), ..OpenOptions::default() })
        .unwrap()
}

fn tell(ledger: &mut Ledger, words: &[Said]) {
    let told: Vec<Delivery> =
        words.iter().map(|word| delivery(word.device, vec![word.word()])).collect();
    ledger.deliver(&told, NOW).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn sums_outlive_their_rows_and_no_device_outlives_its_end(
        steps in prop::collection::vec((any_step(), any::<bool>()), 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.db");
        let mut ledger = open(&path);
        let mut model = Model::default();
        for (step, is_reopened) in steps {
            match step {
                Step::Told(words) => {
                    tell(&mut ledger, &words);
                    for word in &words {
                        model.hear(*word);
                    }
                    // Whatever comes twice adds nothing, also where its row is gone.
                    tell(&mut ledger, &words);
                }
                Step::Cleaned(call) => {
                    let before = id(call).time();
                    while ledger.clean(before).unwrap() {}
                    model.clean(before);
                }
                Step::Forgotten(device) => {
                    ledger.forget_device(&format!("d{device}")).unwrap();
                    model.forget(device);
                }
            }
            if is_reopened {
                drop(ledger);
                ledger = open(&path);
            }
            model.assert_told(&path);
        }
    }
}

#[test]
fn nothing_is_left_of_a_device_that_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.db");
    let mut ledger = open(&path);
    let words: Vec<Said> =
        (0..4).map(|call| Said { device: call % 2, at: 1, call, output: Some(7) }).collect();
    tell(&mut ledger, &words);
    let sampled = FactId::new(UnixMs(BEGIN_MS), Key::of("sample", &[b"1"]));
    let sample = HostMetric { key: Key::of_id(sampled), ..sample(sampled.time()) };
    let sample = Word::Is(Fact::Host(Box::new(sample)));
    ledger.deliver(&[delivery(0, vec![sample]), batch(1, 1, 4), batch(2, 9, 9)], NOW).unwrap();
    assert_eq!(ledger.forget_device("nobody").unwrap(), None);
    assert_eq!(ledger.forget_device("d0").unwrap(), Some(3));
    assert_eq!(ledger.forget_device("d0").unwrap(), None);
    let database = Connection::open(&path).unwrap();
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    for table in ["devices", "usage_device", "sessions"] {
        let of_others = if table == "devices" { "id" } else { "device" };
        let left = number(&format!("SELECT count(DISTINCT {of_others}) FROM {table}"));
        assert_eq!(left, 1, "{table}");
    }
    for table in ["device_ledgers", "llm_calls", "fact_keys", "system_metrics", "device_gaps"] {
        let kept = match table {
            "device_ledgers" => 1,
            "llm_calls" | "fact_keys" => 2,
            _ => 0,
        };
        assert_eq!(number(&format!("SELECT count(*) FROM {table}")), kept, "{table}");
    }
}
