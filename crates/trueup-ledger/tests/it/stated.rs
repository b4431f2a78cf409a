//! Statements: whole or not at all, once each, and of two that cover a day the later one.

use proptest::prelude::*;
use rusqlite::Connection;
use trueup_core::{
    BilledWidth, Charge, DAY_MS, Dim, Dims, HOUR_MS, Issue, IssueCode, Measure, Measures,
    StatedFact, UnixMs,
};
use trueup_ledger::{
    Imported, Ledger, LedgerError, OpenOptions, Reader, StatementEnd, StatementHead,
};

/// 2026-11-01.
const START: i64 = 1_793_491_200_000;

struct World {
    folder: tempfile::TempDir,
    ledger: Ledger,
    files: u8,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("trueup.db"), OpenOptions::default());
        Self { ledger: ledger.unwrap(), folder, files: 0 }
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.folder.path().join("trueup.db")).unwrap().unwrap()
    }

    fn import(&mut self, kind: &str, rows: &[StatedFact], end: StatementEnd) -> Imported {
        let head = head(kind);
        let fill = |importing: &mut trueup_ledger::Importing<'_>| {
            rows.iter().try_for_each(|row| importing.row(row))?;
            Ok::<_, LedgerError>(end)
        };
        self.ledger.import_statement(&head, UnixMs(START), fill).unwrap()
    }

    /// Imports a file that is like no other.
    fn next(&mut self, rows: &[StatedFact]) -> i64 {
        self.files += 1;
        let end = StatementEnd { sha256: [self.files; 32], ..StatementEnd::default() };
        new(self.import("openai_usage", rows, end))
    }

    /// The rows that count: statement, day and output.
    fn counting(&self) -> Vec<(i64, i64, u64)> {
        let mut told = Vec::new();
        let until = UnixMs(START + 100 * DAY_MS);
        self.reader()
            .stated_rows(UnixMs(START), until, |row| {
                let day = (row.fact.start.unwrap().0 - START).div_euclid(DAY_MS);
                told.push((row.statement, day, row.fact.measures.get(Measure::Out).unwrap()));
            })
            .unwrap();
        told.sort_unstable();
        told
    }

    fn damage(&self) -> Vec<String> {
        let check = self.reader().check().unwrap();
        check.damage.into_iter().chain(check.wrong_sums).collect()
    }
}

fn head(kind: &str) -> StatementHead {
    StatementHead {
        name: "usage.csv".into(),
        kind: kind.into(),
        family: "usage/completions".into(),
        part_of: None,
        parts: Vec::new(),
    }
}

fn new(imported: Imported) -> i64 {
    let Imported::New(statement) = imported else { unreachable!("it is known: {imported:?}") };
    statement
}

fn row_of(account: &str, day: i64, out: u64) -> StatedFact {
    let mut measures = Measures::default();
    measures.set(Measure::Out, out);
    StatedFact {
        line: 2,
        provider: "openai".into(),
        account: account.into(),
        start: Some(UnixMs(START + day * DAY_MS)),
        width_minutes: 1_440,
        dims: Dims::from([("model".into(), Dim::Text("gpt-5".into()))]),
        measures,
        charge: None,
        extra: String::new(),
    }
}

fn row(day: i64, out: u64) -> StatedFact {
    row_of("", day, out)
}

#[test]
fn a_row_comes_back_as_it_was_written() {
    let mut world = World::new();
    let mut told = StatedFact {
        line: 7,
        width_minutes: 1,
        dims: Dims::from([
            ("model".into(), Dim::Text("ft:gpt-4.1-2025-04-14:acme::Abc".into())),
            ("batch".into(), Dim::Bool(false)),
            ("project_id".into(), Dim::Null),
        ]),
        charge: Some(Charge {
            amount: "0.1234567890123456789012345678901234567891".parse().unwrap(),
            currency: "EUR".into(),
            quantity: Some("9007199254740993".parse().unwrap()),
            quantity_unit: Some("tokens".into()),
        }),
        extra: r#"{"new":"1.0"}"#.into(),
        ..row_of("org-1", 3, 5)
    };
    for (measure, count) in Measure::ALL.iter().zip(1..) {
        told.measures.set(*measure, count);
    }
    told.measures.set(Measure::InUncached, i64::MAX.unsigned_abs());
    let unplaced = StatedFact { start: None, ..row_of("org-1", 3, 5) };
    let issue = Issue::new(IssueCode::SchemaDrift, "unknown column new");
    let end = StatementEnd {
        sha256: [1; 32],
        bytes: 1_000,
        blank: 2,
        blank_span: Some((UnixMs(START), UnixMs(START + 9 * DAY_MS))),
        odd: 3,
        without_ids: 1,
        issues: vec![(issue, 7, 2)],
        ..StatementEnd::default()
    };
    let id = new(world.import("openai_usage", &[told.clone(), unplaced], end));

    let reader = world.reader();
    let mut rows = Vec::new();
    reader.stated_rows(UnixMs(0), UnixMs(i64::MAX), |row| rows.push(row)).unwrap();
    let rows: Vec<_> = rows.into_iter().map(|row| (row.statement, row.fact)).collect();
    assert_eq!(rows, [(id, told)], "what has no time is in no range");

    let statements = reader.statements().unwrap();
    let statement = &statements[0];
    let counts = (statement.rows, statement.blank, statement.odd, statement.unplaced);
    assert_eq!((counts, statement.without_ids), ((2, 2, 3, 1), 1));
    assert_eq!(reader.superseded().unwrap()[&id], 0);
    let covers = (UnixMs(START), UnixMs(START + 10 * DAY_MS));
    assert_eq!(statement.accounts[0].covers, Some(covers), "blank buckets, too");
    let issues = reader.statement_issues(id).unwrap();
    assert_eq!((issues[0].first_line, issues[0].count), (7, 2));
    assert_eq!(world.damage(), Vec::<String>::new());
}

#[test]
fn the_same_file_adds_nothing_and_one_that_fails_leaves_nothing() {
    let mut world = World::new();
    let first = world.next(&[row(0, 1), row(1, 2)]);
    let end = StatementEnd { sha256: [1; 32], ..StatementEnd::default() };
    assert_eq!(world.import("openai_usage", &[row(0, 1)], end), Imported::Known(first));

    let failed = world.ledger.import_statement(&head("openai_usage"), UnixMs(START), |importing| {
        importing.row(&row(5, 9))?;
        Err(LedgerError::NoRoom { path: "x".into() })
    });
    assert!(matches!(failed, Err(LedgerError::NoRoom { .. })));
    assert_eq!(world.counting(), [(first, 0, 1), (first, 1, 2)]);
    assert_eq!(world.damage(), Vec::<String>::new());
}

#[test]
fn a_later_export_counts_for_the_days_that_it_covers_until_it_is_taken_back() {
    let mut world = World::new();
    let old = world.next(&[row(0, 1), row(1, 2), row(2, 4), row(3, 8)]);
    // It begins within the day, covers the whole of it, and the day between its rows.
    let mut begins = row(1, 16);
    begins.start = Some(UnixMs(START + DAY_MS + HOUR_MS));
    let new = world.next(&[begins, row(3, 32), row(4, 64)]);
    assert_eq!(world.counting(), [(old, 0, 1), (new, 1, 16), (new, 3, 32), (new, 4, 64)]);
    assert_eq!(world.reader().superseded().unwrap(), [(old, 3), (new, 0)].into());

    assert!(world.ledger.remove_statement(new).unwrap());
    assert!(!world.ledger.remove_statement(new).unwrap());
    assert_eq!(world.counting(), [(old, 0, 1), (old, 1, 2), (old, 2, 4), (old, 3, 8)]);
    // It may come again, and is the later one again.
    let again = world.next(&[row(1, 16)]);
    assert!(again > new, "numbers are not used twice");
    assert_eq!(world.counting()[3], (again, 1, 16));
    assert_eq!(world.damage(), Vec::<String>::new());
}

#[test]
fn accounts_kinds_providers_and_parts_do_not_supersede_each_other() {
    let mut world = World::new();
    let a = world.next(&[row_of("a", 0, 1)]);
    let b = world.next(&[row_of("b", 0, 2)]);
    let other = StatedFact { provider: "other".into(), ..row(0, 4) };
    let other = world.next(&[other]);
    let end = |number| StatementEnd { sha256: [number; 32], ..StatementEnd::default() };
    let kind = new(world.import("openai_cost", &[row(0, 8)], end(100)));
    let part = StatementHead { part_of: Some(a), ..head("openai_usage") };
    let part = world.ledger.import_statement(&part, UnixMs(START), |importing| {
        importing.row(&row_of("a", 0, 16))?;
        Ok::<_, LedgerError>(end(101))
    });
    let part = new(part.unwrap());
    assert_eq!(
        world.counting(),
        [(a, 0, 1), (b, 0, 2), (other, 0, 4), (kind, 0, 8), (part, 0, 16)]
    );
    // One that does not say of which account it is may be of any.
    let any = world.next(&[row(0, 32)]);
    assert_eq!(world.counting(), [(other, 0, 4), (kind, 0, 8), (any, 0, 32)]);
    let named = world.next(&[row_of("b", 0, 64)]);
    assert_eq!(world.counting(), [(other, 0, 4), (kind, 0, 8), (named, 0, 64)]);
}

#[test]
fn known_parts_of_an_export_become_as_late_as_its_first_new_one() {
    let mut world = World::new();
    let end = |number| StatementEnd { sha256: [number; 32], ..StatementEnd::default() };
    let import = |world: &mut World, head: StatementHead, out, number| {
        let imported = world.ledger.import_statement(&head, UnixMs(START), |importing| {
            importing.row(&row(0, out))?;
            Ok::<_, LedgerError>(end(number))
        });
        imported.unwrap()
    };
    let first = new(import(&mut world, head("focus"), 1, 1));
    let second =
        new(import(&mut world, StatementHead { part_of: Some(first), ..head("focus") }, 2, 2));
    let other = new(import(&mut world, head("openai_cost"), 64, 64));
    assert_eq!(world.counting(), [(first, 0, 1), (second, 0, 2), (other, 0, 64)]);
    // The second one comes anew, and the first one and a file of another kind are named before it.
    let parts = vec![first, other];
    let third = new(import(&mut world, StatementHead { parts, ..head("focus") }, 4, 4));
    assert_eq!(world.counting(), [(first, 0, 1), (other, 0, 64), (third, 0, 4)]);
    let later = new(import(&mut world, head("openai_cost"), 128, 128));
    let counting = [(first, 0, 1), (third, 0, 4), (later, 0, 128)];
    assert_eq!(world.counting(), counting, "the file of another kind is as late as it was");
    // One that is known and comes behind it, as from standard input.
    let fourth = new(import(&mut world, head("focus"), 8, 8));
    let known = StatementHead { part_of: Some(fourth), ..head("focus") };
    assert_eq!(import(&mut world, known, 4, 4), Imported::Known(third));
    assert_eq!(world.counting(), [(third, 0, 4), (later, 0, 128), (fourth, 0, 8)]);
    // Alone it changes nothing.
    let fifth = new(import(&mut world, head("focus"), 16, 16));
    assert_eq!(import(&mut world, head("focus"), 4, 4), Imported::Known(third));
    assert_eq!(world.counting(), [(later, 0, 128), (fifth, 0, 16)]);
    assert_eq!(world.damage(), Vec::<String>::new());
}

#[test]
fn more_accounts_than_are_held_are_all_written() {
    let mut world = World::new();
    // Each of them comes twice, on two days, with all others between.
    let rows: Vec<_> = [0, 3]
        .into_iter()
        .flat_map(|day| (0..1_500).map(move |account| row_of(&account.to_string(), day, 1)))
        .collect();
    world.next(&rows);
    let statements = world.reader().statements().unwrap();
    let accounts = &statements[0].accounts;
    assert_eq!((statements[0].rows, accounts.len()), (3_000, 1_500));
    let covers = Some((UnixMs(START), UnixMs(START + 4 * DAY_MS)));
    assert!(accounts.iter().all(|account| account.rows == 2 && account.covers == covers));
    assert_eq!(world.damage(), Vec::<String>::new());
}

#[test]
fn minutes_are_rolled_up_when_they_are_read() {
    let mut world = World::new();
    let minute = |minute: i64, out| StatedFact {
        start: Some(UnixMs(START + minute * 60_000)),
        width_minutes: 1,
        ..row(0, out)
    };
    let id = world.next(&[minute(0, 1), minute(61, 2), minute(1_439, 4), minute(1_440, 8)]);
    let days = |width| {
        let rows = world.reader().stated(UnixMs(START), UnixMs(START + 9 * DAY_MS), width);
        let rows = rows.unwrap().into_iter();
        rows.map(|row| (row.statement, row.fact.measures.get(Measure::Out).unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(days(BilledWidth::Day), [(id, 7), (id, 8)]);
    assert_eq!(days(BilledWidth::Hour).len(), 4);
    assert_eq!(world.counting().len(), 4, "the rows stay as they came");
}

#[test]
fn the_check_sees_a_row_that_is_gone() {
    let mut world = World::new();
    world.next(&[row(0, 1), row(1, 2)]);
    let database = Connection::open(world.folder.path().join("trueup.db")).unwrap();
    database.execute("DELETE FROM statement_rows WHERE start_ms = ?1", [START]).unwrap();
    assert_eq!(world.damage().len(), 2, "{:?}", world.damage());
}

#[test]
fn the_check_sees_a_row_without_a_time_that_is_gone() {
    let mut world = World::new();
    world.next(&[StatedFact { start: None, ..row(0, 1) }]);
    assert_eq!(world.damage(), Vec::<String>::new());
    let database = Connection::open(world.folder.path().join("trueup.db")).unwrap();
    database.execute("DELETE FROM statement_rows", []).unwrap();
    assert_eq!(world.damage().len(), 2, "{:?}", world.damage());
}

#[test]
fn a_ledger_of_an_older_program_has_no_statements() {
    let mut world = World::new();
    world.next(&[row(0, 1)]);
    let database = Connection::open(world.folder.path().join("trueup.db")).unwrap();
    database.pragma_update(None, "user_version", 4).unwrap();
    let tables =
        ["stated", "statement_rows", "statement_accounts", "statement_issues", "statements"];
    for table in tables {
        let kind = if table == "stated" { "VIEW" } else { "TABLE" };
        database.execute_batch(&format!("DROP {kind} {table}")).unwrap();
    }
    assert!(world.reader().statements().unwrap().is_empty());
    assert!(world.reader().superseded().unwrap().is_empty());
    assert_eq!(world.reader().statement_of(&[1; 32]).unwrap(), None);
    assert!(world.reader().statement_issues(1).unwrap().is_empty());
    assert_eq!(world.reader().odd_statements().unwrap(), (0, Vec::new()));
    assert!(world.counting().is_empty());
    assert_eq!(world.damage(), Vec::<String>::new());
}

#[test]
fn a_range_is_read_by_its_index() {
    let world = World::new();
    let database = Connection::open(world.folder.path().join("trueup.db")).unwrap();
    let sql = "EXPLAIN QUERY PLAN SELECT * FROM stated WHERE start_ms >= 1 AND start_ms < 2";
    let mut plan = database.prepare(sql).unwrap();
    let lines = plan.query_map([], |row| row.get::<_, String>(3)).unwrap();
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(lines.iter().any(|line| line.contains("statement_rows_time")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("SCAN r")), "{lines:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any statements in any order, some taken back: of each day the latest that covers it counts.
    #[test]
    fn of_each_day_one_statement_counts(
        steps in prop::collection::vec((0..12_i64, 1..5_i64, any::<u8>(), any::<bool>()), 1..12),
    ) {
        let mut world = World::new();
        let mut model: Vec<(i64, i64, i64)> = Vec::new();
        for (from, days, pick, is_removal) in steps {
            if is_removal && !model.is_empty() {
                let (id, ..) = model.remove(usize::from(pick) % model.len());
                prop_assert!(world.ledger.remove_statement(id).unwrap());
            } else {
                let rows: Vec<_> = (from..from + days).map(|day| row(day, 1)).collect();
                model.push((world.next(&rows), from, from + days));
            }
        }
        let mut expected = Vec::new();
        for day in 0..20 {
            let latest = model.iter().rfind(|(_, from, until)| (*from..*until).contains(&day));
            expected.extend(latest.map(|(id, ..)| (*id, day, 1)));
        }
        expected.sort_unstable();
        prop_assert_eq!(world.counting(), expected);
        prop_assert_eq!(world.damage(), Vec::<String>::new());
    }
}
