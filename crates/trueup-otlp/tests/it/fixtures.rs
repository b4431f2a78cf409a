//! Exports of each dialect, written by Google's library for protobuf: what is in them, and that it is
//! the same in both encodings, in whatever order they come, and however often.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use trueup_core::{Account, Batch, Fact, Metered};
use trueup_otlp::{Encoding, Export, Signal, read};

use super::READING;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect();
    files.sort();
    files
}

fn export(path: &Path) -> Export {
    let json = read(&fs::read(path).unwrap(), Encoding::Json, None, &READING).unwrap();
    let body = fs::read(path.with_extension("pb")).unwrap();
    for expected in Signal::ALL.into_iter().map(Some).chain([None]) {
        let protobuf = read(&body, Encoding::Protobuf, expected, &READING).unwrap();
        assert_eq!(protobuf, json, "{}", path.display());
    }
    json
}

#[test]
fn each_dialect_is_understood() {
    let mut said = String::new();
    for path in fixtures() {
        let export = export(&path);
        assert!(!format!("{export:?}").contains("SECRET"), "{}", path.display());
        writeln!(said, "{}", path.file_stem().unwrap().display()).unwrap();
        for metered in &export.metered {
            let Metered { source, session, began, is_cumulative, parts, value, .. } = metered;
            let kind = if *is_cumulative { "cumulative" } else { "delta" };
            writeln!(said, "  {source} ({session}): {kind}, {parts:?}, {value}, since {began:?}")
                .unwrap();
        }
        for call in &export.calls {
            let origin = &call.call.origin;
            writeln!(
                said,
                "  {} {}/{} of {} ({}, {}): {:?}, {:?}, {:?} ms, {:?} ms, {:?}",
                call.dialect.name(),
                origin.provider,
                origin.model,
                origin.source,
                origin.project,
                origin.session,
                call.call.tokens,
                call.call.reported_cost,
                call.call.time_to_first_token_ms,
                call.call.latency_ms,
                call.call.outcome,
            )
            .unwrap();
            let body = call.call.body.as_ref().unwrap();
            writeln!(said, "    {}", body.metadata.as_ref().unwrap()).unwrap();
        }
        for error in &export.errors {
            writeln!(said, "  error {}: {:?}", error.message, error.metadata).unwrap();
        }
        let Export { evidence, duplicates, others, problems, .. } = export;
        writeln!(said, "  {evidence:?} {duplicates} {others:?} {problems:?}").unwrap();
    }
    insta::assert_snapshot!(said);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Events and spans of the same calls, in any order, some of them again.
    #[test]
    fn the_order_of_signals_does_not_matter(order in Just(fixtures()).prop_shuffle(), again in 0..10_usize) {
        let total = |paths: &[PathBuf]| {
            let mut account = Account::default();
            for path in paths {
                let calls = export(path).calls.into_iter();
                let facts = calls.map(|call| Fact::Call(Box::new(call.call))).collect();
                account.append(Batch { facts, ..Batch::default() });
            }
            let mut calls: Vec<_> = account.counted().map(|counted| format!("{counted:?}")).collect();
            calls.sort();
            calls
        };
        let mut twice = order.clone();
        twice.extend(order.iter().take(again).cloned());
        prop_assert_eq!(total(&twice), total(&fixtures()));
    }
}
