//! What holds of every statement.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use trueup_core::{
    BilledWidth, Decimal, IssueCode, Measure, StatedFact, StatedSums, UnixMs, dims_json,
};
use trueup_providers::{
    RECORD_BYTES_MAX, STATEMENTS, StatementError, StatementOptions, StatementReader,
    StatementSummary,
};

use crate::laws::is_accepting;

/// Reads a file to its end.
pub(crate) fn read(bytes: &[u8]) -> Result<(Vec<StatedFact>, StatementSummary), StatementError> {
    read_with(bytes, StatementOptions::default())
}

fn read_with(
    bytes: &[u8],
    options: StatementOptions,
) -> Result<(Vec<StatedFact>, StatementSummary), StatementError> {
    let mut reader = StatementReader::new(bytes, options)?;
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row()? {
        rows.push(row);
    }
    Ok((rows, reader.summary().clone()))
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/statements");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "csv")).collect();
    files.sort();
    files
}

fn fixture(name: &str) -> Vec<u8> {
    let path = fixtures().into_iter().find(|path| path.file_stem().unwrap() == name);
    std::fs::read(path.unwrap()).unwrap()
}

/// What was read, a line for each row.
fn text_of(bytes: &[u8]) -> String {
    let reader = StatementReader::new(bytes, StatementOptions::default()).unwrap();
    let mut text = format!("{}\n", reader.format().kind);
    let (rows, summary) = read(bytes).unwrap();
    for row in rows {
        let counts: Vec<String> = row
            .measures
            .told()
            .map(|(measure, count)| format!("{}={count}", measure.name()))
            .collect();
        let charge = row.charge.as_ref().map_or_else(String::new, |charge| {
            let quantity = charge.quantity.as_ref().map_or_else(String::new, |quantity| {
                format!(" of {quantity} {}", charge.quantity_unit.as_deref().unwrap_or("?"))
            });
            format!(" {} {}{quantity}", charge.amount, charge.currency)
        });
        let start = row.start.map_or_else(|| "no time".to_owned(), |start| start.to_string());
        let line = format!(
            "{} {}/{} {start} {} min {} {}{charge} {}",
            row.line,
            row.provider,
            row.account,
            row.width_minutes,
            dims_json(&row.dims),
            counts.join(" "),
            row.extra
        );
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    let StatementSummary { rows, blank, odd, unplaced, without_ids, .. } = summary;
    writeln!(
        text,
        "rows {rows}, blank {blank}, odd {odd}, unplaced {unplaced}, without ids {without_ids}"
    )
    .unwrap();
    for (issue, (line, count)) in summary.issues {
        writeln!(text, "issue {issue} (line {line}, {count}×)").unwrap();
    }
    text
}

#[test]
fn statements_are_read_as_expected() {
    for path in fixtures() {
        let read = text_of(&std::fs::read(&path).unwrap());
        let expected = path.with_extension("txt");
        if is_accepting() {
            std::fs::write(&expected, &read).unwrap();
        }
        let expected = std::fs::read(&expected).unwrap_or_default();
        assert_eq!(read, String::from_utf8(expected).unwrap(), "{}", path.display());
    }
}

#[test]
fn every_kind_has_a_fixture() {
    for format in STATEMENTS {
        let has_one = fixtures()
            .iter()
            .any(|path| path.file_stem().unwrap().to_string_lossy().starts_with(format.kind));
        assert!(has_one, "{}", format.kind);
    }
}

fn days(rows: &[StatedFact]) -> Vec<StatedFact> {
    let mut sums = StatedSums::new(BilledWidth::Day);
    for row in rows {
        sums.add(row.clone());
    }
    sums.into_rows().collect()
}

#[test]
fn minutes_of_a_day_become_a_day() {
    let (rows, summary) = read(&fixture("openai_usage_minutes")).unwrap();
    assert!(rows.iter().all(|row| row.width_minutes == 1));
    let days = days(&rows);
    let counts: Vec<_> = days[0].measures.told().filter(|(_, count)| *count > 0).collect();
    assert_eq!((days.len(), days[0].width_minutes, summary.blank), (1, 1_440, 2));
    // 100 + 102 + 103 of input, of which 50 each were cached.
    assert!(counts.contains(&(Measure::InUncached, 155)), "{counts:?}");
    assert!(counts.contains(&(Measure::InCacheRead, 150)), "{counts:?}");
    assert!(counts.contains(&(Measure::Requests, 3)), "{counts:?}");
}

#[test]
fn provider_and_account_are_said_where_the_file_does_not() {
    let options = |provider: &str| StatementOptions {
        provider: Some(provider.into()),
        account: Some("eu".into()),
    };
    let (rows, _) = read_with(&fixture("focus"), options("azure")).unwrap();
    assert!(rows.iter().all(|row| (&*row.provider, &*row.account) == ("azure", "eu")));
    let (rows, _) = read_with(&fixture("openai_usage"), options("azure")).unwrap();
    assert!(rows.iter().all(|row| (&*row.provider, &*row.account) == ("openai", "eu")));
}

#[test]
fn what_is_no_statement_is_refused_with_a_reason() {
    let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert!(message(b"").contains("empty"));
    assert!(message(b"\n\n  \n").contains("empty"));
    assert!(message(b"PK\x03\x04\x14").contains("ZIP"));
    assert!(message(b"\x1f\x8b\x08\x00").contains("gzip"));
    assert!(message(b"<!doctype html>").contains("HTML"));
    assert!(message(b"{\"object\":\"page\"}").contains("JSON"));
    assert!(message(b"a,b\n1,2\n").contains("a, b"));
    assert!(message(&b"x".repeat(100_000)).contains("64 KiB"));
    // The columns of a bucket alone say nothing of what else there is.
    assert!(
        message(b"start_time,end_time,start_time_iso,end_time_iso,images\n").contains("images")
    );
}

#[test]
fn a_quote_that_is_not_closed_is_no_row() {
    let header = "usage_date_utc,model,cost_usd\n2026-11-01,a,1\n";
    let open = format!("{header}2026-11-01,\"a,1\n2026-11-02,b,2\n");
    let error = read(open.as_bytes()).unwrap_err();
    assert!(matches!(error, StatementError::QuoteOpen { line: 3 }), "{error}");

    let long = "2026-11-02,b,2\n".repeat(usize::try_from(RECORD_BYTES_MAX).unwrap() / 10);
    let error = read(format!("{header}2026-11-01,\"a,1\n{long}").as_bytes()).unwrap_err();
    assert!(matches!(error, StatementError::RecordTooLong { line: 3 }), "{error}");

    // A name may have a line end in it.
    let (rows, _) = read(format!("{header}2026-11-01,\"a\nb\",1\n").as_bytes()).unwrap();
    assert_eq!(rows[1].dims["model"].text(), Some("a\nb"));
}

/// Contract §1.2, defect 4: models are never spelled otherwise.
#[test]
fn cogni_defect_4_in_files_models_keep_their_spelling() {
    let (rows, _) = read(&fixture("openai_usage")).unwrap();
    let models: Vec<_> = rows.iter().filter_map(|row| row.dims.get("model")?.text()).collect();
    assert_eq!(models, ["gpt-4.1-2025-04-14", "ft:gpt-4.1-2025-04-14:acme::abc"]);
}

/// Contract §1.2, defect 5: a bucket ends where its `end_time` says, also without `_iso`.
#[test]
fn cogni_defect_5_in_files_the_end_of_a_bucket_counts_without_iso() {
    let file = "start_time,end_time,model,input_tokens,output_tokens\n\
                1793491200,1793494800,gpt-5,1,2\n1793491200,1793491260,gpt-5,1,2\n";
    let (rows, _) = read(file.as_bytes()).unwrap();
    let widths: Vec<u32> = rows.iter().map(|row| row.width_minutes).collect();
    assert_eq!(widths, [60, 1]);
}

/// Contract §1.2, defect 6: a time without a zone is in UTC, wherever it is read; seconds go first.
#[test]
fn cogni_defect_6_in_files_a_time_without_a_zone_is_in_utc_and_seconds_go_first() {
    let file = "start_time,start_time_iso,end_time_iso,model,input_tokens,output_tokens\n\
                1793491200,2026-11-01T00:00:00,2026-11-02T00:00:00,a,1,2\n\
                ,2026-11-01T00:00:00,2026-11-02T00:00:00,b,1,2\n\
                ,2026-11-01T00:00:00+00:00,2026-11-02T00:00:00+00:00,c,1,2\n\
                1793491200,2026-11-01T05:00:00,2026-11-02T00:00:00,d,1,2\n";
    let (rows, summary) = read(file.as_bytes()).unwrap();
    let is_right = |row: &StatedFact| row.start == Some(UnixMs(1_793_491_200_000));
    assert!(rows.iter().all(is_right), "{rows:?}");
    let told: Vec<_> = summary.issues.iter().map(|(issue, at)| (issue.code, at.0)).collect();
    assert_eq!(
        told,
        [(IssueCode::TimeInvalid, 5), (IssueCode::ZoneAssumed, 2), (IssueCode::ZoneAssumed, 3)]
    );
}

/// Contract §1.2, defect 9: money is exact, and counts are 64 bits.
#[test]
fn cogni_defect_9_in_files_money_is_exact_and_counts_are_64_bits() {
    let (rows, _) = read(&fixture("openai_cost")).unwrap();
    let mut sum = Decimal::ZERO;
    for row in &rows {
        if let Some(charge) = row.charge.as_ref().filter(|charge| &*charge.currency == "USD") {
            sum = sum.plus(&charge.amount);
        }
    }
    assert_eq!(sum.to_string(), "0.1272927690123456789012345678901234567891");
    let (rows, _) = read(&fixture("openai_usage")).unwrap();
    assert_eq!(rows[1].measures.get(Measure::InUncached), Some(5_000_000_000));
}

/// Contract §1.1: input = cached + uncached; where it is not, the whole counts and that is told.
#[test]
fn the_identity_of_openais_input_is_checked() {
    let file = |uncached: u64| {
        format!(
            "start_time,end_time,model,input_tokens,output_tokens,input_cached_tokens,\
             input_uncached_tokens\n1793491200,1793577600,gpt-5,100,1,40,{uncached}\n"
        )
    };
    let (_, summary) = read(file(60).as_bytes()).unwrap();
    assert!(summary.issues.is_empty(), "{:?}", summary.issues);
    let (rows, summary) = read(file(59).as_bytes()).unwrap();
    assert_eq!(summary.issues.keys().next().unwrap().code, IssueCode::IdentityBroken);
    assert_eq!(rows[0].measures.get(Measure::InUncached), Some(60));
    assert_eq!(summary.odd, 0, "everything in it was read");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        drop(read(&bytes));
    }

    /// Any damage to a file is an error or a row that is told; the good rows of it stay as they are.
    #[test]
    fn no_damage_panics_and_nothing_is_lost_without_a_word(
        pick in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let fixtures = fixtures();
        let mut bytes = std::fs::read(pick.get(&fixtures)).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok((rows, summary)) = read(&bytes) {
            prop_assert_eq!(rows.len() as u64, summary.rows);
            let unplaced = rows.iter().filter(|row| row.start.is_none()).count();
            prop_assert_eq!(unplaced as u64, summary.unplaced);
            prop_assert!(summary.unplaced <= summary.odd && summary.odd <= summary.rows);
        }
    }
}
