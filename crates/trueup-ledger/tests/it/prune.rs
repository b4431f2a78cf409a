//! What providers said in detail goes once it is settled and compared, and not before.

use rusqlite::Connection;
use trueup_core::{BilledFact, BilledWidth, DAY_MS, Dims, HOUR_MS, Measure, Measures, UnixMs};
use trueup_ledger::{
    Ledger, OpenOptions, Prunable, Pruned, PullRange, PulledPage, Reader, Reconciled,
};

/// 2026-10-01.
const START: UnixMs = UnixMs(1_790_812_800_000);

fn day(number: i64) -> UnixMs {
    UnixMs(START.0 + number * DAY_MS)
}

struct World {
    folder: tempfile::TempDir,
    ledger: Ledger,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("l.db"), OpenOptions::default()).unwrap();
        Self { folder, ledger }
    }

    /// Pulls the first two days in buckets of a width, each with one row.
    fn pull(&mut self, width: BilledWidth, output: u64, now: UnixMs) {
        let range = PullRange {
            connection: "main".into(),
            provider: "openai".into(),
            address: "https://api.openai.com/v1".into(),
            family: "usage/completions".into(),
            cursor_key: "usage/completions:key_1".into(),
            width,
            from: day(0),
            until: day(2),
        };
        let count = 2 * DAY_MS / width.ms();
        let starts: Vec<UnixMs> = (0..count).map(|at| UnixMs(START.0 + at * width.ms())).collect();
        let fact = |start: &UnixMs| {
            let mut measures = Measures::default();
            measures.set(Measure::Out, output);
            let (dims, extra) = (Dims::new(), String::new());
            BilledFact { start: *start, dims, measures, charge: None, extra }
        };
        let page = PulledPage {
            query: format!("{count} of {output}"),
            bytes: 9,
            sha256: [u8::try_from(output % 250).unwrap(); 32],
            body: b"zstd".to_vec(),
            facts: starts.iter().map(fact).collect(),
            buckets: starts,
            names: Vec::new(),
            issues: Vec::new(),
            next: None,
        };
        let pulling = self.ledger.begin_pull(&range, "", now).unwrap();
        self.ledger.store_page(&range, &pulling, &page, now).unwrap();
        self.ledger.finish_pull(&range, &pulling, true, now).unwrap();
    }

    fn settle(&mut self) {
        for number in 5..8 {
            self.pull(BilledWidth::Day, 10, day(number));
        }
    }

    fn compare(&mut self, at: UnixMs, change: impl Fn(&mut Reconciled)) {
        let mut run = Reconciled {
            run_id: "1".into(),
            at,
            from: day(0),
            until: day(2),
            provider: None,
            connection: None,
            is_partial: false,
            verdict: "parity".into(),
            inputs: [0; 16],
            summary: "{}".into(),
        };
        change(&mut run);
        self.ledger.record_reconciliation(&run).unwrap();
    }

    fn prunable(&self, now: UnixMs) -> Prunable {
        let reader = Reader::open(&self.folder.path().join("l.db")).unwrap().unwrap();
        reader.prunable_billed(35, now).unwrap()
    }

    fn prune(&mut self, now: UnixMs) -> Pruned {
        let mut all = Pruned::default();
        loop {
            let pruned = self.ledger.prune_billed(35, now).unwrap();
            if pruned.is_nothing() {
                return all;
            }
            all.add(pruned);
        }
    }

    fn number(&self, sql: &str) -> i64 {
        let database = Connection::open(self.folder.path().join("l.db")).unwrap();
        database.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn finer(&self) -> i64 {
        self.number("SELECT count(*) FROM provider_rows WHERE width_minutes < 1440")
    }
}

/// When the two days are 35 days old.
const OLD: i64 = 2 + 35;

#[test]
fn what_is_settled_compared_and_old_goes_and_days_stay() {
    let mut world = World::new();
    world.pull(BilledWidth::Hour, 1, day(5));
    world.settle();
    world.compare(day(9), |_| {});
    assert_eq!(world.prunable(day(OLD - 1)).going.pages, 0, "the second day is 34 days old");
    assert_eq!(world.prunable(day(OLD - 1)).going.rows, 24, "the first one is 35");
    let going = world.prunable(day(OLD));
    assert_eq!(going.going, Pruned { pages: 2, bytes: 8, rows: 48, days: 2 });
    assert!(going.kept.is_nothing());
    assert_eq!(world.finer(), 48, "a dry run removes nothing");
    assert_eq!(world.prune(day(OLD)), going.going);
    assert!(world.prunable(day(OLD)).going.is_nothing());
    assert_eq!(world.finer(), 0);
    assert_eq!(world.number("SELECT count(*) FROM provider_buckets WHERE width_minutes < 1440"), 0);
    assert_eq!(world.number("SELECT sum(out) FROM billed"), 20, "days stay");
    assert_eq!(world.number("SELECT count(*) FROM provider_revisions"), 2);
    assert_eq!(
        world
            .number("SELECT count(*) FROM provider_pages WHERE length(sha256) = 32 AND body = x''"),
        2,
        "of a page its hash stays"
    );
    // What comes again as it was is not stored again.
    world.pull(BilledWidth::Day, 10, day(OLD));
    assert!(world.prunable(day(OLD)).going.is_nothing());
    assert_eq!(world.number("SELECT count(*) FROM provider_pages"), 2);
}

/// More days than one step takes, of which only the last one has rows.
#[test]
fn days_without_rows_are_not_the_end_of_it() {
    let mut world = World::new();
    world.pull(BilledWidth::Hour, 1, day(5));
    world.settle();
    world.compare(day(9), |run| (run.from, run.until) = (day(-90), day(2)));
    Connection::open(world.folder.path().join("l.db"))
        .unwrap()
        .execute_batch(
            "WITH RECURSIVE ago (days) AS (SELECT 1 UNION ALL SELECT days + 1 FROM ago WHERE days < 50)
             INSERT INTO provider_buckets SELECT connection, family, width_minutes,
                 start_ms - ago.days * 86400000, state, pulls, unchanged, listed_by, last_pull_at,
                 settled_at, asked_at FROM provider_buckets, ago
             WHERE start_ms IN (SELECT min(start_ms) FROM provider_buckets);",
        )
        .unwrap();
    let going = world.prunable(day(OLD)).going;
    assert_eq!((going.rows, going.days), (48, 52));
    assert_eq!(world.prune(day(OLD)), going);
    assert_eq!(world.finer(), 0);
}

#[test]
fn one_step_empties_so_many_pages_and_no_more() {
    let mut world = World::new();
    world.settle();
    world.compare(day(9), |_| {});
    Connection::open(world.folder.path().join("l.db"))
        .unwrap()
        .execute_batch(
            "WITH RECURSIVE more (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM more WHERE number < 300)
             INSERT INTO provider_pages (connection, cursor_key, query, first_seen_at, last_seen_at,
                 bytes, sha256, body, from_ms, until_ms)
             SELECT connection, cursor_key, number, first_seen_at, last_seen_at, bytes, sha256, body,
                 from_ms, until_ms FROM provider_pages, more;",
        )
        .unwrap();
    let pages: Vec<u64> =
        (0..3).map(|_| world.ledger.prune_billed(35, day(OLD)).unwrap().pages).collect();
    assert_eq!(pages, [200, 101, 0]);
}

/// Each thing that is not a comparison of the whole day after it settled.
#[test]
fn what_was_not_compared_since_it_settled_stays() {
    type Change = fn(&mut Reconciled);
    let changes: [(&str, Change); 7] = [
        ("before it settled", |run| run.at = day(6)),
        ("only a part", |run| run.is_partial = true),
        ("another provider", |run| run.provider = Some("anthropic".into())),
        ("another connection", |run| run.connection = Some("other".into())),
        ("nothing could be read", |run| run.verdict = "unreadable".into()),
        ("only the second day", |run| run.from = day(1)),
        ("not the whole of the first day", |run| run.until = UnixMs(START.0 + 23 * HOUR_MS)),
    ];
    for (what, change) in changes {
        let mut world = World::new();
        world.pull(BilledWidth::Hour, 1, day(5));
        world.settle();
        world.compare(day(9), change);
        let second_day = if what == "only the second day" { 24 } else { 0 };
        let told = world.prunable(day(OLD));
        assert_eq!((told.going.pages, told.going.rows), (0, second_day), "{what}");
        assert_eq!((told.kept.pages, told.kept.rows), (2, 48 - second_day), "{what}");
        assert_eq!(world.prune(day(OLD)).rows, second_day, "{what}");
        assert_eq!(world.finer(), 48 - i64::try_from(second_day).unwrap(), "{what}");
        world.compare(day(40), |run| run.provider = Some("openai".into()));
        assert_eq!(world.prune(day(41)).pages, 2, "{what}: compared in the end");
    }
}

#[test]
fn a_day_that_is_not_settled_or_never_came_by_day_stays() {
    let mut world = World::new();
    world.pull(BilledWidth::Hour, 1, day(5));
    world.compare(day(9), |_| {});
    assert!(world.prune(day(OLD)).is_nothing(), "its hours are all that is known of it");
    world.pull(BilledWidth::Day, 10, day(5));
    world.compare(day(9), |_| {});
    assert!(world.prune(day(OLD)).is_nothing(), "one pull settles nothing");
}

#[test]
fn a_restatement_wants_another_comparison() {
    let mut world = World::new();
    world.settle();
    world.compare(day(9), |_| {});
    world.pull(BilledWidth::Day, 11, day(20));
    assert_eq!(world.number("SELECT count(*) FROM provider_buckets WHERE state = 'restated'"), 2);
    assert!(world.prune(day(OLD)).is_nothing());
    world.compare(day(21), |_| {});
    assert_eq!(world.prune(day(OLD)).pages, 2);
}
