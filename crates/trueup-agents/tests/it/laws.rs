//! Laws of reading, each over every fixture.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileExt as _;

use proptest::prelude::*;
use trueup_agents::{Store, StoreKind};

use crate::home::{Account, cases, copy, fixture, fixture_root, fixtures, inventory, read};

#[test]
fn golden_facts() {
    let mut failures = Vec::new();
    for (agent, name, home) in fixtures() {
        let account = read(agent, &inventory(agent, &home).stores, Account::default());
        let mut text = account.text();
        for problem in &account.problems {
            writeln!(text, "problem {problem}").unwrap();
        }
        let path = fixture_root().join(&name).join("expected.txt");
        let expected = fs::read(&path).unwrap_or_default();
        let expected = String::from_utf8_lossy(&expected);
        if text != expected && std::env::var_os("TRUEUP_ACCEPT").is_some() {
            fs::write(&path, &text).unwrap();
        } else if text != expected {
            failures.push(format!("{name}:\n--- expected\n{expected}+++ read\n{text}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_fixture_counts_something() {
    for (agent, name, home) in fixtures() {
        let stores = inventory(agent, &home).stores;
        assert!(!stores.is_empty(), "{name}: no store found");
    }
}

#[test]
fn reading_twice_adds_nothing() {
    for (agent, name, home) in fixtures() {
        let stores = inventory(agent, &home).stores;
        let once = read(agent, &stores, Account::default());
        // With positions: nothing new. Without: everything again, and nothing counts twice.
        assert_eq!(read(agent, &stores, once.clone()).text(), once.text(), "{name}");
        let mut again = once.clone();
        again.positions.clear();
        assert_eq!(read(agent, &stores, again).text(), once.text(), "{name}");
    }
}

#[test]
fn the_order_of_files_does_not_matter() {
    for (agent, name, home) in fixtures() {
        let mut stores = inventory(agent, &home).stores;
        let forward = read(agent, &stores, Account::default()).text();
        for turn in 0..stores.len() {
            stores.rotate_left(1);
            let mut account = Account::default();
            for store in stores.iter().rev() {
                account = read(agent, std::slice::from_ref(store), account);
            }
            assert_eq!(account.text(), forward, "{name}, turn {turn}");
        }
    }
}

#[test]
fn stopping_and_resuming_at_every_byte_equals_one_read() {
    for (agent, name, home) in fixtures() {
        let stores = inventory(agent, &home).stores;
        let whole = read(agent, &stores, Account::default());
        for store in stores.iter().filter(|store| store.kind == StoreKind::Lines) {
            let folder = tempfile::tempdir().unwrap();
            copy(&home, folder.path());
            let path = folder
                .path()
                .canonicalize()
                .unwrap()
                .join(store.path.strip_prefix(home.canonicalize().unwrap()).unwrap());
            let bytes = fs::read(&path).unwrap();
            let mut copies = inventory(agent, folder.path()).stores;
            let at = copies.iter().position(|copy| copy.path == path).unwrap();
            let store = copies.remove(at);
            let others = read(agent, &copies, Account::default());
            // Every byte of short files; of longer ones a step that falls on all residues.
            let step = (bytes.len() / 700).max(1);
            let file = fs::File::options().write(true).open(&path).unwrap();
            for cut in (0..=bytes.len()).step_by(step) {
                // Cut and continued in place: some file systems write a file to the disk whenever it
                // is written anew.
                file.set_len(cut as u64).unwrap();
                let part = read(agent, &[stamped(&store)], others.clone());
                file.write_all_at(&bytes[cut..], cut as u64).unwrap();
                let resumed = read(agent, &[stamped(&store)], part);
                assert_eq!(resumed.text(), whole.text(), "{name}: {path:?} cut at {cut}");
            }
        }
    }
}

/// A store with its present size, and a time of change that tells it from before.
fn stamped(store: &Store) -> Store {
    let mut store = store.clone();
    let metadata = fs::metadata(&store.path).unwrap();
    store.stamp.size_bytes = metadata.len();
    store.stamp.modified_ns += 1;
    store
}

#[test]
fn carriage_returns_byte_order_marks_and_nul_tails_change_nothing() {
    for (agent, name, home) in fixtures() {
        let stores = inventory(agent, &home).stores;
        let plain = read(agent, &stores, Account::default());
        let folder = tempfile::tempdir().unwrap();
        copy(&home, folder.path());
        let changed = inventory(agent, folder.path()).stores;
        for store in changed.iter().filter(|store| store.kind == StoreKind::Lines) {
            let bytes = fs::read(&store.path).unwrap();
            let mut text = b"\xef\xbb\xbf".to_vec();
            for byte in bytes {
                if byte == b'\n' {
                    text.push(b'\r');
                }
                text.push(byte);
            }
            text.extend_from_slice(&[0; 4096]);
            fs::write(&store.path, text).unwrap();
        }
        let read_again = read(agent, &inventory(agent, folder.path()).stores, Account::default());
        assert_eq!(read_again.text(), plain.text(), "{name}");
    }
}

#[test]
fn token_fields_stay_disjoint_and_bounded() {
    for (agent, name, home) in fixtures() {
        for call in read(agent, &inventory(agent, &home).stores, Account::default()).calls() {
            assert!(call.tokens.reasoning <= call.tokens.output, "{name}: {call:?}");
            assert!(!call.tokens.clamped().1, "{name}: {call:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens to the bytes of a store, reading it ends, and counts no more calls than the
    /// undamaged store and its damage can hold.
    #[test]
    fn damaged_stores_never_panic(seed in any::<u64>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let cases = cases();
        let (agent, name) = &cases[usize::try_from(seed).unwrap_or(0) % cases.len()];
        let home = fixture(name);
        let stores = inventory(*agent, &home).stores;
        for store in &stores {
            let mut bytes = fs::read(&store.path).unwrap();
            if bytes.is_empty() {
                continue;
            }
            for (at, byte) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            fs::write(&store.path, bytes).unwrap();
        }
        read(*agent, &inventory(*agent, &home).stores, Account::default());
    }
}
