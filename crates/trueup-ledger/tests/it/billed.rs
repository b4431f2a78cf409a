//! What providers say is kept page by page, with every revision, whatever happens between.

use proptest::prelude::*;
use rusqlite::Connection;
use trueup_core::{
    BilledFact, BilledWidth, Charge, DAY_MS, Dim, Dims, HOUR_MS, Issue, IssueCode, Measure,
    Measures, UnixMs,
};
use trueup_ledger::{
    BackfillStep, Ledger, OpenOptions, PullRange, PulledPage, Pulling, Reader, RowCounts,
    SETTLE_AGE_MS,
};

/// 2026-11-01.
const START: UnixMs = UnixMs(1_793_491_200_000);
/// Ten days later: the days of a range are long over.
const LATER: UnixMs = UnixMs(START.0 + 10 * DAY_MS);

struct World {
    folder: tempfile::TempDir,
    ledger: Option<Ledger>,
}

impl World {
    fn new() -> Self {
        let mut world = Self { folder: tempfile::tempdir().unwrap(), ledger: None };
        world.reopen();
        world
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("trueup.db")
    }

    fn reopen(&mut self) {
        self.ledger = None;
        self.ledger = Some(Ledger::open(&self.path(), OpenOptions::default()).unwrap());
    }

    fn ledger(&mut self) -> &mut Ledger {
        self.ledger.as_mut().unwrap()
    }

    fn text(&self, sql: &str) -> String {
        let database = Connection::open(self.path()).unwrap();
        let mut statement = database.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<_>>().join("|")
    }

    /// Pulls a range whose every page is given, to its end.
    fn pull(&mut self, range: &PullRange, pages: &[PulledPage], now: UnixMs) -> RowCounts {
        let pulling = self.ledger().begin_pull(range, "model", now).unwrap();
        let mut counts = RowCounts::default();
        for page in pages {
            let stored = self.ledger().store_page(range, &pulling, page, now).unwrap();
            counts.stored += stored.stored;
            counts.updated += stored.updated;
            counts.skipped += stored.skipped;
        }
        self.ledger().finish_pull(range, &pulling, true, now).unwrap();
        counts
    }
}

fn range_of(key: &str, days: i64) -> PullRange {
    PullRange {
        connection: "main".into(),
        provider: "openai".into(),
        address: "https://api.openai.com/v1".into(),
        family: "usage/completions".into(),
        cursor_key: format!("usage/completions:key_{key}"),
        width: BilledWidth::Day,
        from: START,
        until: UnixMs(START.0 + days * DAY_MS),
    }
}

fn day(number: i64) -> UnixMs {
    UnixMs(START.0 + number * DAY_MS)
}

fn fact(start: UnixMs, model: &str, output: u64) -> BilledFact {
    let mut measures = Measures::default();
    measures.set(Measure::Out, output);
    BilledFact {
        start,
        dims: Dims::from([("model".into(), Dim::Text(model.into()))]),
        measures,
        charge: Some(Charge {
            amount: "0.0000000000000000000000000000000000000001".parse().unwrap(),
            currency: "USD".into(),
            quantity: None,
            quantity_unit: None,
        }),
        extra: String::new(),
    }
}

fn page(buckets: &[UnixMs], facts: Vec<BilledFact>, next: Option<&str>) -> PulledPage {
    let body = format!("{facts:?}").into_bytes();
    let mut sha256 = [0; 32];
    for (at, byte) in body.iter().enumerate() {
        sha256[at % 32] ^= byte.rotate_left(u32::try_from(at % 8).unwrap());
    }
    PulledPage {
        query: "limit=31".into(),
        bytes: body.len() as u64,
        sha256,
        body,
        facts,
        buckets: buckets.to_vec(),
        names: Vec::new(),
        issues: Vec::new(),
        next: next.map(str::to_owned),
    }
}

#[test]
fn a_range_goes_on_at_its_cursor_whatever_ends_the_process() {
    let mut world = World::new();
    let range = range_of("a", 2);
    let begun = world.ledger().begin_pull(&range, "model,batch", LATER).unwrap();
    assert_eq!((begun.pages, begun.page_cursor.as_deref()), (0, None));
    let first = page(&[day(0)], vec![fact(day(0), "m", 1)], Some("page_B"));
    world.ledger().store_page(&range, &begun, &first, LATER).unwrap();
    world.reopen();
    let left = world.ledger().begin_pull(&range, "model", UnixMs(LATER.0 + HOUR_MS)).unwrap();
    let expected = Pulling {
        started_at: LATER,
        grouping: "model,batch".into(),
        page_cursor: Some("page_B".into()),
        pages: 1,
    };
    assert_eq!(left, expected);
    let second = page(&[day(1)], vec![fact(day(1), "m", 2)], None);
    world.ledger().store_page(&range, &left, &second, LATER).unwrap();
    let finished = world.ledger().finish_pull(&range, &left, true, LATER).unwrap();
    assert!(finished.missing.is_empty() && finished.withdrawn == 0);
    assert_eq!(world.text("SELECT out || '' FROM billed ORDER BY start_ms"), "1|2");
}

#[test]
fn two_keys_never_move_each_others_cursor() {
    let mut world = World::new();
    let (one, two) = (range_of("one", 2), range_of("two", 2));
    let begun = world.ledger().begin_pull(&one, "model", LATER).unwrap();
    world.ledger().store_page(&one, &begun, &page(&[], Vec::new(), Some("page_1")), LATER).unwrap();
    let other = world.ledger().begin_pull(&two, "model", LATER).unwrap();
    assert_eq!(other.page_cursor, None);
    let left = world.ledger().begin_pull(&one, "model", LATER).unwrap();
    assert_eq!(left.page_cursor.as_deref(), Some("page_1"));
    let keys = world.text("SELECT cursor_key FROM provider_cursors ORDER BY cursor_key");
    assert_eq!(keys, "usage/completions:key_one|usage/completions:key_two");
}

#[test]
fn an_old_cursor_and_a_failed_range_are_begun_anew() {
    let mut world = World::new();
    let range = range_of("a", 2);
    let begun = world.ledger().begin_pull(&range, "model", LATER).unwrap();
    let first = page(&[day(0)], Vec::new(), Some("page_B"));
    world.ledger().store_page(&range, &begun, &first, LATER).unwrap();
    let next_week = UnixMs(LATER.0 + 7 * DAY_MS);
    assert_eq!(world.ledger().begin_pull(&range, "model", next_week).unwrap().page_cursor, None);
    let begun = world.ledger().begin_pull(&range, "model", next_week).unwrap();
    world.ledger().store_page(&range, &begun, &first, next_week).unwrap();
    let issue = Issue::new(IssueCode::CursorRepeats, "page_B came again");
    world.ledger().fail_pull(&range, &issue, false, next_week).unwrap();
    assert_eq!(world.ledger().begin_pull(&range, "model", next_week).unwrap().page_cursor, None);
}

#[test]
fn a_day_is_provisional_then_settled_then_restated_and_every_value_stays() {
    let mut world = World::new();
    let range = range_of("a", 1);
    let state = |world: &World| world.text("SELECT state FROM provider_buckets");
    let pages = |output| [page(&[day(0)], vec![fact(day(0), "m", output)], None)];
    let over = day(1);
    world.pull(&range, &pages(5), over);
    world.pull(&range, &pages(7), UnixMs(over.0 + HOUR_MS));
    assert_eq!(state(&world), "provisional");
    let settled = UnixMs(over.0 + SETTLE_AGE_MS);
    world.pull(&range, &pages(7), UnixMs(settled.0 - 1));
    assert_eq!(state(&world), "provisional", "one unchanged pull, and too soon");
    world.pull(&range, &pages(7), settled);
    assert_eq!(state(&world), "settled");
    world.pull(&range, &pages(7), UnixMs(settled.0 + 1));
    assert_eq!(state(&world), "settled");
    let restated_at = |world: &World| {
        let reader = Reader::open(&world.path()).unwrap().unwrap();
        let days = reader.told_days(day(0), day(1)).unwrap();
        let mut told = Vec::new();
        reader.told_rows(&days[0], |row| told.push(row.restated_at)).unwrap();
        told
    };
    assert_eq!(restated_at(&world), [None]);
    let restated = UnixMs(settled.0 + DAY_MS);
    world.pull(&range, &pages(9), restated);
    assert_eq!(state(&world), "restated");
    assert_eq!(restated_at(&world), [Some(restated)]);
    world.pull(&range, &pages(9), UnixMs(restated.0 + DAY_MS));
    assert_eq!(restated_at(&world), [Some(restated)], "it was seen again, and did not change");
    let revisions = world.text("SELECT state || counts FROM provider_revisions ORDER BY revision");
    assert_eq!(revisions, r#"provisional{"out":5}|provisional{"out":7}|restated{"out":9}"#);
    let amount = world.text("SELECT amount FROM billed");
    assert_eq!(amount, "0.0000000000000000000000000000000000000001");
}

/// A page with a new value is written, and the next one is no page: the next whole pull sees no change.
#[test]
fn what_an_unfinished_pull_brought_is_a_change_of_the_next_whole_one() {
    let state =
        |world: &World| world.text("SELECT state || ' ' || unchanged FROM provider_buckets");
    let pages = |output| [page(&[day(0)], vec![fact(day(0), "m", output)], None)];
    let at = |hours: i64| UnixMs(LATER.0 + hours * HOUR_MS);
    let leave = |world: &mut World, output, now| {
        let range = range_of("a", 1);
        let begun = world.ledger().begin_pull(&range, "model", now).unwrap();
        let first = page(&[day(0)], vec![fact(day(0), "m", output)], Some("page_B"));
        world.ledger().store_page(&range, &begun, &first, now).unwrap();
        let issue = Issue::new(IssueCode::NotJson, "page_B");
        world.ledger().fail_pull(&range, &issue, false, now).unwrap();
    };
    let mut world = World::new();
    for hours in 0..3 {
        world.pull(&range_of("a", 1), &pages(5), at(hours));
    }
    assert_eq!(state(&world), "settled 2");
    leave(&mut world, 7, at(3));
    world.pull(&range_of("a", 1), &pages(7), at(4));
    assert_eq!(state(&world), "restated 0");
    world.pull(&range_of("a", 1), &pages(7), at(5));
    assert_eq!(state(&world), "restated 1");
    // Nor does a day settle of which a whole pull has seen the value once.
    let mut world = World::new();
    for hours in 0..2 {
        world.pull(&range_of("a", 1), &pages(5), at(hours));
    }
    leave(&mut world, 7, at(2));
    world.pull(&range_of("a", 1), &pages(7), at(3));
    assert_eq!(state(&world), "provisional 0");
}

#[test]
fn what_is_no_longer_told_is_withdrawn_and_comes_back() {
    let mut world = World::new();
    let range = range_of("a", 1);
    let both = [page(&[day(0)], vec![fact(day(0), "m", 1), fact(day(0), "n", 2)], None)];
    let one = [page(&[day(0)], vec![fact(day(0), "m", 1)], None)];
    world.pull(&range, &both, LATER);
    world.pull(&range, &one, UnixMs(LATER.0 + 1));
    assert_eq!(world.text("SELECT model FROM billed"), "m");
    world.pull(&range, &both, UnixMs(LATER.0 + 2));
    assert_eq!(world.text("SELECT model FROM billed ORDER BY model"), "m|n");
    let revisions = "SELECT counts FROM provider_revisions WHERE row = 2 ORDER BY revision";
    assert_eq!(world.text(revisions), r#"{"out":2}|{}|{"out":2}"#);
}

#[test]
fn a_bucket_that_did_not_come_is_missing_and_takes_nothing_away() {
    let mut world = World::new();
    let range = range_of("a", 2);
    let whole = [page(&[day(0), day(1)], vec![fact(day(1), "m", 3)], None)];
    let torn = [page(&[day(0)], Vec::new(), None)];
    world.pull(&range, &torn, LATER);
    assert_eq!(
        world.text("SELECT state FROM provider_buckets ORDER BY start_ms"),
        "provisional|missing"
    );
    assert_eq!(world.text("SELECT state FROM provider_cursors"), "incomplete");
    assert_eq!(world.text("SELECT code FROM provider_issues"), "bucket_missing");
    world.pull(&range, &whole, UnixMs(LATER.0 + 1));
    assert_eq!(world.text("SELECT code FROM provider_issues"), "", "a whole pull mends it");
    world.pull(&range, &torn, UnixMs(LATER.0 + 2));
    assert_eq!(world.text("SELECT out || '' FROM billed"), "3", "what was told stays");
}

fn part(key: &str, from: i64, until: i64) -> PullRange {
    PullRange { from: day(from), until: day(until), ..range_of(key, 1) }
}

/// Pulls some days as a whole; with this issue, where there is one.
fn pull_days(world: &mut World, range: &PullRange, issue: Option<&Issue>, now: UnixMs) {
    let count = (range.until.0 - range.from.0) / DAY_MS;
    let days: Vec<UnixMs> = (0..count).map(|at| UnixMs(range.from.0 + at * DAY_MS)).collect();
    let whole = PulledPage {
        issues: issue.cloned().into_iter().collect(),
        ..page(&days, Vec::new(), None)
    };
    world.pull(range, &[whole], now);
}

/// The issues that stand, with the numbers of their days.
fn standing(world: &World) -> String {
    world.text(&format!(
        "SELECT code || coalesce(' ' || ((from_ms - {START}) / {DAY_MS}) || '-' || ((until_ms - {START}) / {DAY_MS}), '')
         FROM provider_issues ORDER BY code, from_ms",
        START = START.0
    ))
}

#[test]
fn an_issue_stands_until_all_of_its_days_were_told_without_it() {
    let mut world = World::new();
    let drift = Issue::new(IssueCode::SchemaDrift, "result.tier_hint");
    let at = |hours: i64| UnixMs(LATER.0 + hours * HOUR_MS);
    pull_days(&mut world, &part("a", 0, 6), Some(&drift), at(0));
    pull_days(&mut world, &part("a", 6, 9), None, at(1));
    assert_eq!(standing(&world), "schema_drift 0-6", "of the next part of the same family");
    pull_days(&mut world, &part("a", 4, 9), None, at(2));
    assert_eq!(standing(&world), "schema_drift 0-4", "the last days were told without it");
    pull_days(&mut world, &part("a", 1, 2), None, at(3));
    assert_eq!(standing(&world), "schema_drift 0-4", "days on both sides are as they were");
    pull_days(&mut world, &part("a", 3, 8), Some(&drift), at(4));
    assert_eq!(standing(&world), "schema_drift 0-8", "seen again");
    pull_days(&mut world, &part("b", 0, 8), None, at(5));
    assert_eq!(standing(&world), "", "another key tells the same");
}

#[test]
fn buckets_that_do_not_come_one_after_another_are_one_issue() {
    let mut world = World::new();
    world.pull(&part("a", 0, 9), &[page(&[day(0), day(4)], Vec::new(), None)], LATER);
    assert_eq!(standing(&world), "bucket_missing 1-4|bucket_missing 5-9");
    let details = world.text("SELECT substr(detail, 1, 25) FROM provider_issues ORDER BY from_ms");
    assert_eq!(details, "3 buckets from 2026-11-02|4 buckets from 2026-11-06");
    pull_days(&mut world, &part("a", 1, 5), None, UnixMs(LATER.0 + 1));
    assert_eq!(standing(&world), "bucket_missing 5-9");
}

/// The first key is not known: what it was refused is no issue of the second one.
#[test]
fn a_refusal_is_over_once_anything_of_the_family_is_told() {
    let mut world = World::new();
    let refused = Issue::new(IssueCode::KeyRefused, "HTTP 401");
    world.ledger().begin_pull(&part("a", 0, 9), "model", LATER).unwrap();
    world.ledger().fail_pull(&part("a", 0, 9), &refused, false, LATER).unwrap();
    let other =
        PullRange { family: "costs".into(), cursor_key: "costs:key_b".into(), ..part("b", 8, 9) };
    pull_days(&mut world, &other, None, UnixMs(LATER.0 + 1));
    assert_eq!(standing(&world), "key_refused", "of another family");
    pull_days(&mut world, &part("b", 8, 9), None, UnixMs(LATER.0 + 1));
    assert_eq!(standing(&world), "");
}

#[test]
fn an_issue_of_days_that_nobody_asks_for_again_is_forgotten_in_the_end() {
    let mut world = World::new();
    let drift = Issue::new(IssueCode::SchemaDrift, "result.tier_hint");
    pull_days(&mut world, &part("a", 0, 6), Some(&drift), LATER);
    world.ledger().begin_pull(&part("a", 8, 9), "", UnixMs(LATER.0 + 14 * DAY_MS)).unwrap();
    assert_eq!(standing(&world), "schema_drift 0-6");
    world.ledger().begin_pull(&part("a", 8, 9), "", UnixMs(LATER.0 + 14 * DAY_MS + 1)).unwrap();
    assert_eq!(standing(&world), "");
}

#[test]
fn pages_are_evidence_and_kept_once() {
    let mut world = World::new();
    let range = range_of("a", 1);
    let pages = |output| [page(&[day(0)], vec![fact(day(0), "m", output)], None)];
    for output in [1, 1, 1, 2] {
        world.pull(&range, &pages(output), LATER);
    }
    assert_eq!(world.text("SELECT count(*) || '' FROM provider_pages"), "2");
    let evidence =
        "SELECT count(*) || '' FROM provider_revisions r JOIN provider_pages p ON p.id = r.page";
    assert_eq!(world.text(evidence), "2");
}

#[test]
fn connections_and_issues_can_be_read_beside_the_writer() {
    let mut world = World::new();
    let range = range_of("a", 1);
    world.pull(&range, &[page(&[day(0)], vec![fact(day(0), "m", 1)], None)], LATER);
    let issue = Issue::new(IssueCode::ScopeMissing, "Missing scopes: api.usage.read");
    world.ledger().fail_pull(&range, &issue, false, LATER).unwrap();
    let reader = Reader::open(&world.path()).unwrap().unwrap();
    let connection = reader.connections().unwrap().remove(0);
    assert_eq!((connection.name.as_str(), connection.issues), ("main", 1));
    assert_eq!((connection.last_pull_at, connection.buckets), (Some(LATER), [0, 1, 0, 0]));
    assert_eq!(reader.provider_issues(9).unwrap()[0].code, "scope_missing");
    let buckets = reader.billed_buckets("main", "usage/completions", BilledWidth::Day, START);
    assert_eq!(buckets.unwrap()[0].last_pull_at, Some(LATER));
}

/// How long after its end each day that was watched still changed.
#[test]
fn lags_are_told_of_settled_days_that_were_watched() {
    let mut world = World::new();
    let range = range_of("a", 1);
    let hour = |hours: i64| UnixMs(day(1).0 + hours * HOUR_MS);
    let told = |output| [page(&[day(0)], vec![fact(day(0), "m", output)], None)];
    world.pull(&range, &told(1), hour(-5));
    world.pull(&range, &told(2), hour(3));
    let lags = |world: &World, now| {
        let reader = Reader::open(&world.path()).unwrap().unwrap();
        let lags = reader.settle_lags(now).unwrap();
        lags.iter().map(|lag| lag.lag_ms / HOUR_MS.unsigned_abs()).collect::<Vec<_>>()
    };
    assert!(lags(&world, hour(3)).is_empty(), "it may still change");
    for hours in [60, 61] {
        world.pull(&range, &told(2), hour(hours));
    }
    assert_eq!(lags(&world, hour(61)), [3]);
    world.pull(&range, &told(9), hour(100));
    assert_eq!(lags(&world, hour(100)), [100], "restated");
    assert!(lags(&world, UnixMs(day(91).0)).is_empty(), "of the last 90 days");
    // One that was first asked for ten days later says nothing.
    let mut late = World::new();
    for hours in [240, 241, 242] {
        late.pull(&range, &told(1), hour(hours));
    }
    assert!(lags(&late, hour(242)).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is pulled in whatever order: no day that was last told with an issue is without it, and
    /// none stands once all days were told without it.
    #[test]
    fn no_pull_takes_an_issue_from_days_that_it_does_not_tell(
        pulls in prop::collection::vec((0..8_i64, 1..5_i64, any::<bool>(), 0..2_u8), 1..12),
    ) {
        let mut world = World::new();
        let drift = Issue::new(IssueCode::SchemaDrift, "result.tier_hint");
        let mut odd = std::collections::BTreeSet::new();
        let at = |step: usize| UnixMs(LATER.0 + i64::try_from(step).unwrap());
        for (step, (from, count, is_odd, key)) in pulls.iter().enumerate() {
            let range = part(if *key == 0 { "a" } else { "b" }, *from, from + count);
            pull_days(&mut world, &range, Some(&drift).filter(|_| *is_odd), at(step));
            for day in *from..from + count {
                if *is_odd { odd.insert(day) } else { odd.remove(&day) };
            }
            for day in &odd {
                let stands = format!(
                    "SELECT (count(*) > 0) || '' FROM provider_issues WHERE from_ms <= {0} AND until_ms > {0}",
                    START.0 + day * DAY_MS
                );
                prop_assert_eq!(world.text(&stands), "1", "{} after {:?}", day, &pulls[..=step]);
            }
        }
        pull_days(&mut world, &part("a", 0, 12), None, at(pulls.len()));
        prop_assert_eq!(standing(&world), "");
    }

    /// However a range is divided into pages, in which order the rows come, and how often it is pulled:
    /// the rows are those that were told last.
    #[test]
    fn any_division_into_pages_ends_in_the_same_rows(
        outputs in prop::collection::vec((0..4_i64, 0..5_u8, 1..100_u64), 1..20),
        cuts in prop::collection::vec(any::<usize>(), 0..3),
    ) {
        let facts: std::collections::BTreeMap<_, _> = outputs
            .into_iter()
            .map(|(at, model, output)| ((at, model), fact(day(at), &format!("m{model}"), output)))
            .collect();
        let facts: Vec<BilledFact> = facts.into_values().collect();
        let days: Vec<UnixMs> = (0..4).map(day).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (facts.len() + 1)).collect();
        cuts.extend([0, facts.len()]);
        cuts.sort_unstable();
        let pages: Vec<PulledPage> = cuts
            .windows(2)
            .map(|cut| page(&days, facts[cut[0]..cut[1]].to_vec(), None))
            .collect();
        let mut world = World::new();
        let range = range_of("a", 4);
        let first = world.pull(&range, &pages, LATER);
        prop_assert_eq!(first.stored, facts.len() as u64);
        let again = world.pull(&range, &pages, UnixMs(LATER.0 + 1));
        prop_assert_eq!(again, RowCounts { skipped: facts.len() as u64, ..RowCounts::default() });
        let told: u64 = facts.iter().filter_map(|fact| fact.measures.get(Measure::Out)).sum();
        prop_assert_eq!(world.text("SELECT sum(out) || '' FROM billed"), told.to_string());
    }
}

/// Each bound, reached.
#[test]
fn what_is_remembered_is_bounded() {
    let mut world = World::new();
    let range = range_of("a", 1);
    let issues = (0..505).map(|at| Issue::new(IssueCode::SchemaDrift, format!("field {at}")));
    let odd = PulledPage { issues: issues.collect(), ..page(&[day(0)], Vec::new(), None) };
    world.pull(&range, &[odd], LATER);
    assert_eq!(world.text("SELECT count(*) || '' FROM provider_issues"), "500");
    let cursors = "SELECT group_concat((from_ms - 1793491200000) / 86400000) FROM
         (SELECT from_ms FROM provider_cursors ORDER BY from_ms)";
    let at = |ms: i64| UnixMs(LATER.0 + 90 * DAY_MS + ms);
    world.ledger().begin_pull(&part("a", 5, 6), "", at(0)).unwrap();
    assert_eq!(world.text(cursors), "0,5");
    world.ledger().begin_pull(&part("a", 6, 7), "", at(1)).unwrap();
    assert_eq!(world.text(cursors), "5,6", "it has not moved for 90 days");
    let steps = |connection: &str| {
        let (connection, family) = (connection.to_owned(), "costs".to_owned());
        [BackfillStep { connection, chunk: 1, family, from: day(0), until: day(1) }]
    };
    for (label, ms, known) in
        [("one", -90 * DAY_MS, "one"), ("two", 0, "one|two"), ("three", 1, "two|three")]
    {
        world.ledger().begin_backfill(label, &steps("main"), at(ms)).unwrap();
        let labels = "SELECT label FROM provider_backfills ORDER BY updated_at";
        assert_eq!(world.text(labels), known);
    }
}

#[test]
fn a_ledger_of_an_older_program_is_read_as_far_as_it_tells() {
    let mut world = World::new();
    let drift = Issue::new(IssueCode::SchemaDrift, "result.tier_hint");
    pull_days(&mut world, &range_of("a", 1), Some(&drift), LATER);
    world.ledger = None;
    let old = Connection::open(world.path()).unwrap();
    let buckets = || {
        let reader = Reader::open(&world.path()).unwrap().unwrap();
        reader.billed_buckets("main", "usage/completions", BilledWidth::Day, START).unwrap()
    };
    old.execute_batch("ALTER TABLE provider_buckets DROP COLUMN asked_at").unwrap();
    assert_eq!((buckets()[0].last_pull_at, buckets()[0].asked_at), (Some(LATER), None));
    let issue = || {
        let reader = Reader::open(&world.path()).unwrap().unwrap();
        reader.provider_issues(9).unwrap().remove(0)
    };
    assert_eq!(issue().days, Some((day(0), day(1))));
    old.execute_batch(
        "ALTER TABLE provider_issues DROP COLUMN from_ms;
         ALTER TABLE provider_issues DROP COLUMN until_ms;",
    )
    .unwrap();
    assert_eq!((issue().code.as_str(), issue().days), ("schema_drift", None));
    old.execute_batch("DROP VIEW provider_days; DROP VIEW billed; DROP TABLE provider_buckets")
        .unwrap();
    assert_eq!(buckets(), []);
}
