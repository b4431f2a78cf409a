//! Each class by a small case, and for any rows at all: amounts tie out, and order does not matter.

use proptest::prelude::*;

use super::sums::Split;
use super::*;
use crate::{HOUR_MS, Tokens};

const WEEK: i64 = 7;

fn options() -> Options {
    Options::new(UnixMs(0), UnixMs(WEEK * DAY_MS))
}

fn row(side: Side, day: i64, model: &str, output: u64) -> Row {
    Row {
        labels: Labels { model: Some(model.into()), ..Labels::default() },
        sums: Sums::of_tokens(&Tokens { output, ..Tokens::ZERO }, Some(output / 1_000)),
        ..Row::new(side, "openai", UnixMs(day * DAY_MS))
    }
}

fn paid(side: Side, day: i64, model: &str, dollars: &str) -> Row {
    let mut row = row(side, day, model, 0);
    row.sums = Sums::default();
    row.sums.put(Quantity::Cost, &dollars.parse().unwrap());
    row
}

fn input(rows: Vec<Row>) -> Input {
    let mut input = Input { rows, ..Input::default() };
    let sides: BTreeSet<Side> = input.rows.iter().map(|row| row.side).collect();
    for side in sides.into_iter().filter(|side| *side != Side::Account) {
        for day in 0..WEEK {
            input.cover(side, "openai", UnixMs(day * DAY_MS), DayState::Settled);
        }
    }
    input
}

fn run(rows: Vec<Row>) -> Reconciliation {
    let run = reconcile(&input(rows), &options());
    assert!(run.ties_out(), "{run:#?}");
    run
}

/// What was found, as `class day model` in the order of days.
fn found(run: &Reconciliation) -> Vec<String> {
    let mut lines: Vec<String> = run
        .findings
        .iter()
        .map(|finding| {
            let Cell { day, labels } = &finding.cell;
            let labels = [&labels.model, &labels.tier, &labels.project, &labels.key];
            let labels = labels.into_iter().flatten().map(|label| format!(" {label}"));
            format!("{} {}{}", finding.class.name(), day.0 / DAY_MS, labels.collect::<String>())
        })
        .collect();
    lines.sort_by_key(|line| line.split(' ').nth(1).map(str::to_owned));
    lines
}

#[test]
fn sides_that_agree_are_at_parity() {
    let run = run(vec![
        row(Side::Account, 1, "gpt-5", 5_000),
        row(Side::Usage, 1, "gpt-5", 5_000),
        row(Side::Account, 2, "gpt-5-2025-08-07", 5_000),
        row(Side::Usage, 2, "gpt-5", 5_000),
    ]);
    assert_eq!((run.verdict, run.findings.len()), (Verdict::Parity, 0));
    assert_eq!(run.pairs[0].capture["tokens"], 10_000);
}

#[test]
fn the_cell_that_differs_is_named_and_no_other() {
    let run = run(vec![
        row(Side::Account, 1, "gpt-5", 100_000),
        row(Side::Usage, 1, "gpt-5", 100_000),
        row(Side::Account, 1, "o3", 50_000),
        row(Side::Usage, 1, "o3", 90_000),
        row(Side::Usage, 1, "gpt-4.1-2025-04-14", 70_000),
        row(Side::Usage, 3, "gpt-5", 9_000),
        row(Side::Account, 4, "gpt-5", 9_000),
        row(Side::Account, 5, "gpt-5", 18_000),
        row(Side::Usage, 5, "gpt-5", 9_000),
    ]);
    assert_eq!(
        found(&run),
        [
            "missing_local 1 gpt-4.1-2025-04-14",
            "mismatch_tokens 1 o3",
            // Begun before midnight, which the provider goes by, and answered after it.
            "boundary_shift 3 gpt-5",
            "boundary_shift 4 gpt-5",
            "duplicate_local 5 gpt-5",
        ]
        .map(str::to_owned)
    );
    assert_eq!(run.verdict, Verdict::Variance);
}

#[test]
fn a_day_that_moved_but_not_over_midnight_is_missing_on_both() {
    let mut late = row(Side::Account, 3, "gpt-5", 9_000);
    late.start = UnixMs(3 * DAY_MS + 12 * HOUR_MS);
    let moved = vec![late.clone(), row(Side::Usage, 4, "gpt-5", 9_000)];
    assert_eq!(found(&run(moved)), ["missing_provider 3 gpt-5", "missing_local 4 gpt-5"]);
    late.start = UnixMs(4 * DAY_MS - HOUR_MS);
    let over_midnight = vec![late, row(Side::Usage, 4, "gpt-5", 9_000)];
    assert_eq!(found(&run(over_midnight)), ["boundary_shift 3 gpt-5", "boundary_shift 4 gpt-5"]);
}

#[test]
fn a_wrong_price_fails_also_beside_one_that_is_not_known() {
    let mut unpriced = paid(Side::Account, 1, "new-model", "0");
    unpriced.unpriced_calls = 3;
    let rows = vec![
        unpriced,
        paid(Side::Cost, 1, "new-model", "8"),
        paid(Side::Account, 1, "gpt-5", "4"),
        paid(Side::Cost, 1, "gpt-5", "8"),
    ];
    let run = run(rows);
    assert_eq!(found(&run), ["mismatch_cost 1 gpt-5", "unpriced 1 new-model"]);
    assert_eq!(run.verdict, Verdict::Variance);
}

#[test]
fn tolerances_decide_about_a_day_and_what_is_wholly_missing_fails() {
    let used = |side, output| row(side, 1, "gpt-5", output);
    let verdict =
        |local| run(vec![used(Side::Account, local), used(Side::Usage, 1_000_000)]).verdict;
    assert_eq!(verdict(996_000), Verdict::Parity);
    assert_eq!(
        verdict(985_000),
        Verdict::Variance,
        "requests differ by more than one in a hundred"
    );
    let rows = |local| {
        let mut rows = vec![used(Side::Account, local), used(Side::Usage, 1_000_000)];
        for row in &mut rows {
            row.sums = row.sums.taken(&[Quantity::Out], Split::Full);
        }
        run(rows)
    };
    assert_eq!(rows(985_000).verdict, Verdict::Parity, "told, and no failure");
    assert_eq!(rows(985_000).findings[0].severity, Severity::Warn);
    assert_eq!(rows(979_000).verdict, Verdict::Variance);
    // A hundredth of the day, and all of a model.
    let extra = vec![
        used(Side::Account, 1_000_000),
        used(Side::Usage, 1_000_000),
        row(Side::Usage, 1, "o3", 15_000),
    ];
    assert_eq!(found(&run(extra)), ["missing_local 1 o3"]);
}

#[test]
fn what_is_not_known_is_not_missing() {
    let mut input = input(vec![row(Side::Account, 1, "gpt-5", 5_000)]);
    input.cover(Side::Usage, "openai", UnixMs(2 * DAY_MS), DayState::Settled);
    let run = reconcile(&input, &options());
    assert_eq!(found(&run), ["uncovered 1"]);
    assert_eq!(run.verdict, Verdict::Incomplete);
    assert!(run.ties_out());
    input.coverage.clear();
    let run = reconcile(&input, &options());
    assert!(run.pairs.is_empty() && run.findings.is_empty());
    assert_eq!(run.unconnected["openai"].tokens(), crate::Decimal::from(5_000));
}

#[test]
fn a_day_that_may_still_change_does_not_fail_unless_it_must_be_settled() {
    let mut input = input(vec![row(Side::Usage, 1, "gpt-5", 5_000)]);
    let state = |input: &mut Input, state| {
        input.coverage.clear();
        for day in 0..WEEK {
            input.cover(Side::Usage, "openai", UnixMs(day * DAY_MS), state);
        }
    };
    state(&mut input, DayState::Provisional);
    let run = reconcile(&input, &options());
    assert_eq!((found(&run), run.verdict), (vec!["provisional 1 gpt-5".into()], Verdict::Parity));
    assert_eq!(run.findings[0].kind, Class::MissingLocal);
    let strict = Options { requires_settled: true, ..options() };
    assert_eq!(reconcile(&input, &strict).verdict, Verdict::Incomplete);
    state(&mut input, DayState::Restated);
    let run = reconcile(&input, &options());
    assert_eq!((found(&run), run.verdict), (vec!["restated 1 gpt-5".into()], Verdict::Variance));
    state(&mut input, DayState::Ripe);
    assert_eq!(found(&reconcile(&input, &options())), ["missing_local 1 gpt-5"]);
}

#[test]
fn projects_are_told_apart_where_the_account_uses_the_providers_names() {
    let of = |side, project: &str, output| {
        let mut row = row(side, 1, "gpt-5", output);
        row.labels.project = Some(project.into());
        row
    };
    let usage = || vec![of(Side::Usage, "proj_a", 50_000), of(Side::Usage, "proj_b", 60_000)];
    let mut known = usage();
    known.extend([of(Side::Account, "proj_a", 50_000), of(Side::Account, "proj_b", 10_000)]);
    assert_eq!(found(&run(known)), ["mismatch_tokens 1 gpt-5 proj_b"]);
    let mut paths = usage();
    paths.extend([of(Side::Account, "/src/a", 50_000), of(Side::Account, "/src/b", 10_000)]);
    let run = run(paths);
    assert_eq!(found(&run), ["mismatch_tokens 1 gpt-5"]);
    assert!(run.notices[&Class::GrainUnsupported].places.contains("openai project"));
}

#[test]
fn of_what_nobody_tracked_the_keys_are_told() {
    let of = |key: &str, output| {
        let mut row = row(Side::Usage, 1, "gpt-5", output);
        row.labels.key = Some(key.into());
        row
    };
    let run = run(vec![of("key_1", 5_000), of("key_2", 70_000), of("key_3", 25_000)]);
    let keys: Vec<String> = most_of(&run.findings[0].told_by)
        .into_iter()
        .map(|(labels, weight)| format!("{} {weight}", labels.key.as_ref().unwrap()))
        .collect();
    assert_eq!(keys, ["key_2 70000", "key_3 25000"]);
}

#[test]
fn a_provider_and_its_statement_differ_by_nothing_at_all() {
    let mut told = vec![row(Side::Usage, 1, "gpt-5", 50_000), row(Side::Usage, 2, "o3", 7_000)];
    told.extend([row(Side::Statement, 1, "gpt-5", 50_001), row(Side::Statement, 3, "o3", 7_000)]);
    let mut compared = run(told);
    compared.findings.retain(|finding| finding.sides.0 == Side::Usage);
    assert_eq!(
        found(&compared),
        ["mismatch_tokens 1 gpt-5", "missing_statement 2 o3", "extra_statement 3 o3"]
    );
    let charged = |side, dollars| paid(side, 1, "gpt-5", dollars);
    let cost = |one, other| {
        let run = run(vec![charged(Side::Cost, one), charged(Side::StatementCost, other)]);
        run.findings.iter().filter(|finding| finding.sides.0 == Side::Cost).count()
    };
    assert_eq!(cost("12.3456789012345", "12.3456780"), 0);
    assert_eq!(cost("12.345679", "12.345677"), 1);
}

#[test]
fn prices_that_are_not_known_are_told_apart_from_prices_that_are_wrong() {
    let mut unpriced = paid(Side::Account, 1, "new-model", "0");
    unpriced.unpriced_calls = 3;
    let mut keyed = paid(Side::Cost, 1, "new-model", "8");
    keyed.labels.key = Some("key_1".into());
    let rows = vec![
        unpriced,
        keyed,
        paid(Side::Account, 2, "gpt-5", "4"),
        paid(Side::Cost, 2, "gpt-5", "8"),
        paid(Side::Account, 2, "o3", "2"),
        paid(Side::Cost, 2, "o3", "2"),
        paid(Side::Cost, 3, "o3", "0.05"),
    ];
    let run = run(rows);
    assert_eq!(found(&run), ["unpriced 1 new-model", "mismatch_cost 2 gpt-5"]);
    assert_eq!(run.pairs[0].price_ratio_e4, Some(6_000));
}

#[test]
fn a_subscription_is_set_aside_unless_the_provider_bills_it() {
    let mut plan = row(Side::Account, 1, "gpt-5", 40_000);
    plan.is_subscription = true;
    let metered = row(Side::Account, 1, "gpt-5", 9_000);
    let rows = vec![plan.clone(), metered.clone(), row(Side::Usage, 1, "gpt-5", 9_000)];
    let aside = run(rows);
    assert_eq!(
        (found(&aside), aside.verdict),
        (vec!["lane_subscription 1".into()], Verdict::Parity)
    );
    let billed = run(vec![plan, metered, row(Side::Usage, 1, "gpt-5", 49_000)]);
    assert_eq!(billed.findings.len(), 0);
}

#[test]
fn estimates_are_beside_what_was_measured_and_never_in_it() {
    let mut claimed = row(Side::Account, 1, "gpt-5", 40_000);
    claimed.is_estimated = true;
    claimed.sums = claimed.sums.taken(&[Quantity::Out], Split::Full);
    let run = run(vec![
        claimed,
        row(Side::Account, 1, "gpt-5", 10_000),
        row(Side::Usage, 1, "gpt-5", 50_000),
    ]);
    assert_eq!(found(&run), ["mismatch_tokens 1 gpt-5"]);
    assert_eq!(run.findings[0].estimated.tokens(), crate::Decimal::from(40_000));
    let line = |is_estimated| {
        let ties = &run.pairs[0].ties;
        let line = ties.iter().find(|line| {
            line.is_estimated == is_estimated
                && line.side == Side::Account
                && line.quantity == Quantity::Out
        });
        line.map(|line| line.matched.to_string())
    };
    assert_eq!((line(false), line(true)), (Some("10000".into()), Some("40000".into())));
}

#[test]
fn the_prompt_is_split_no_finer_than_both_sides_do() {
    let told = |side, quantities: &[(Quantity, i128)]| {
        let mut row = row(side, 1, "gpt-5", 0);
        row.sums = Sums::default();
        for (quantity, count) in quantities {
            row.sums.put(*quantity, &crate::Decimal::from(*count));
        }
        row
    };
    let full = || {
        let kinds = [
            (Quantity::InUncached, 5_000),
            (Quantity::InCacheRead, 90_000),
            (Quantity::InCacheWrite, 4_000),
        ];
        told(Side::Usage, &kinds)
    };
    let compared = |statement: &[(Quantity, i128)]| {
        let mut run = run(vec![full(), told(Side::Statement, statement)]);
        run.findings.retain(|finding| finding.sides.0 == Side::Usage);
        run.findings.len()
    };
    assert_eq!(compared(&[(Quantity::In, 99_000)]), 0);
    assert_eq!(compared(&[(Quantity::InUncached, 9_000), (Quantity::InCacheRead, 90_000)]), 0);
    assert_eq!(compared(&[(Quantity::InUncached, 90_000), (Quantity::InCacheRead, 9_000)]), 1);
}

#[test]
fn rows_without_ids_are_left_out_only_where_nothing_was_used() {
    let mut blank = Row::new(Side::Usage, "openai", UnixMs(DAY_MS));
    let mut nonzero = blank.clone();
    blank.sums = Sums::of_tokens(&Tokens::ZERO, Some(0));
    nonzero.sums = Sums::of_tokens(&Tokens { output: 5_000, ..Tokens::ZERO }, Some(1));
    let mut keyless = row(Side::Usage, 2, "gpt-5", 4_000);
    keyless.labels.key = Some("".into());
    let run = run(vec![blank, nonzero, keyless]);
    let count = |class| run.notices.get(&class).map(|notice| notice.count);
    assert_eq!(count(Class::BlankBucket), Some(1));
    assert_eq!(count(Class::BlankMetadataNonzero), Some(1));
    assert_eq!(count(Class::UnattributedKey), Some(1));
    assert_eq!(found(&run), ["missing_local 1", "missing_local 2 gpt-5"]);
}

#[test]
fn accepted_differences_do_not_fail_until_their_time_is_over() {
    let rows = vec![row(Side::Usage, 1, "gpt-5", 5_000)];
    let accepted: Accepted = serde_json::from_str(
        r#"{"class":"missing_local","model":"gpt-*","until":"2026-12-31","reason":"CI, by Ann"}"#,
    )
    .unwrap();
    let on = |today: &str| {
        let accepted = vec![accepted.clone()];
        let options = Options { accepted, today: today.parse().unwrap(), ..options() };
        reconcile(&input(rows.clone()), &options)
    };
    let run = on("2026-12-31");
    assert_eq!(run.verdict, Verdict::Parity);
    assert_eq!(run.findings[0].accepted.as_deref(), Some("CI, by Ann"));
    let expired = on("2027-01-01");
    assert_eq!((expired.verdict, expired.expired.len()), (Verdict::Variance, 1));
    // What comes out differently is another run, and what does not is the same.
    assert_ne!(run.run_id, expired.run_id);
    assert_eq!(
        (&run.run_id, &expired.run_id),
        (&on("2026-12-30").run_id, &on("2027-01-02").run_id)
    );
}

#[test]
fn the_id_of_a_run_is_the_same_in_every_version() {
    assert_eq!(
        run(vec![row(Side::Usage, 1, "gpt-5", 5_000)]).run_id,
        "3eabfad01d3588ff846a3515f40f068d"
    );
}

#[test]
fn what_fails_can_be_chosen() {
    let fail_on = |classes: &[Class], rows: Vec<Row>| {
        let fail_on = Some(classes.iter().copied().collect());
        reconcile(&input(rows), &Options { fail_on, ..options() }).verdict
    };
    let missing = || vec![row(Side::Usage, 1, "gpt-5", 5_000)];
    assert_eq!(fail_on(&[Class::MissingLocal], missing()), Verdict::Variance);
    assert_eq!(fail_on(&[Class::MismatchTokens], missing()), Verdict::Parity);
    let mut keyless = missing();
    keyless[0].labels.key = Some("".into());
    assert_eq!(fail_on(&[Class::UnattributedKey], keyless), Verdict::Variance);
}

#[test]
fn a_new_form_is_told_where_nothing_worse_is() {
    let run = |rows| {
        let mut input = input(rows);
        Notice::add(&mut input.notices, Class::SchemaDrift, "openai costs: an unknown field");
        reconcile(&input, &options())
    };
    let drift = run(Vec::new());
    assert_eq!((drift.verdict, Verdict::SchemaDrift.exit_code()), (Verdict::SchemaDrift, 5));
    assert_ne!(drift.run_id, reconcile(&input(Vec::new()), &options()).run_id);
    assert_eq!(run(vec![row(Side::Usage, 1, "gpt-5", 5_000)]).verdict, Verdict::Variance);
}

#[test]
fn the_named_cells_explain_nine_tenths() {
    let rows = vec![
        row(Side::Usage, 1, "gpt-5", 500_000),
        row(Side::Usage, 2, "gpt-5", 450_000),
        row(Side::Usage, 3, "gpt-5", 50_000),
    ];
    let run = run(rows);
    let named: Vec<i64> = run
        .findings
        .iter()
        .filter(|finding| finding.is_named)
        .map(|finding| finding.cell.day.0 / DAY_MS)
        .collect();
    assert_eq!(named, [1, 2]);
}

fn any_row() -> impl Strategy<Value = Row> {
    let side = prop::sample::select(Side::ALL.to_vec());
    let label = |names: &'static [&'static str]| {
        prop::option::of(prop::sample::select(names).prop_map(Text::from))
    };
    let labels = (
        label(&["gpt-5", "gpt-5-2025-08-07", "o3", ""]),
        label(&["standard", "batch"]),
        label(&["proj_a", "proj_b", "/src/a", ""]),
        label(&["key_1", "key_2", ""]),
    );
    let amounts = (0..5_u64, 0..5_u64, 0..4_u64, -3..9_i64, any::<[bool; 3]>());
    let provider = prop::sample::select(vec!["openai", "openai-codex", "anthropic"]);
    (side, provider, 0..5 * 24_i64, labels, amounts).prop_map(
        |(
            side,
            provider,
            hour,
            (model, tier, project, key),
            (input, output, requests, cents, flags),
        )| {
            let [is_estimated, is_subscription, is_whole] = flags;
            let is_account = side == Side::Account;
            let mut row = Row::new(side, provider, UnixMs(hour * HOUR_MS));
            row.labels = Labels { model, tier, context: None, project, key };
            row.is_estimated = is_estimated && is_account;
            row.is_subscription = is_subscription && is_account;
            row.unpriced_calls = if is_account { requests / 2 } else { 0 };
            if !side.is_cost() {
                let tokens = Tokens { input: input * 700, output: output * 900, ..Tokens::ZERO };
                row.sums = Sums::of_tokens(&tokens, Some(requests));
                if is_whole && !is_account {
                    row.sums = row.sums.taken(&Quantity::ALL, Split::Whole);
                }
            }
            if side.is_cost() || is_account {
                row.sums.put(Quantity::Cost, &crate::Decimal::from(i128::from(cents)).shifted(-2));
            }
            row
        },
    )
}

fn any_coverage() -> impl Strategy<Value = Vec<(Side, &'static str, i64, DayState)>> {
    let side = prop::sample::select(Side::ALL[1..].to_vec());
    let state = prop::sample::select(vec![
        DayState::Provisional,
        DayState::Ripe,
        DayState::Settled,
        DayState::Restated,
    ]);
    let provider = prop::sample::select(vec!["openai", "anthropic"]);
    prop::collection::vec((side, provider, 0..5_i64, state), 0..30)
}

proptest! {
    #[test]
    fn every_amount_ends_in_one_place_whatever_the_order(
        rows in prop::collection::vec(any_row(), 0..60),
        coverage in any_coverage(),
        seed in any::<u64>(),
    ) {
        let mut input = Input { rows, ..Input::default() };
        for (side, provider, day, state) in &coverage {
            input.cover(*side, provider, UnixMs(day * DAY_MS), *state);
        }
        let one = reconcile(&input, &options());
        prop_assert!(one.ties_out(), "{one:#?}");
        prop_assert!(one.verdict != Verdict::TieOutBroken);
        // Both sides of a comparison have the same in common.
        for pair in &one.pairs {
            for quantity in &pair.quantities {
                let matched = |side| {
                    let lines = pair.ties.iter().filter(|line| {
                        line.side == side && line.quantity == *quantity && !line.is_estimated
                    });
                    lines.fold(crate::Decimal::ZERO, |sum, line| sum.plus(&line.matched))
                };
                prop_assert_eq!(matched(pair.sides.0), matched(pair.sides.1));
            }
        }
        let mut shuffled = input.clone();
        shuffled.rows.sort_by_key(|row| {
            let text = format!("{seed}{}", row.text());
            Key::of("shuffle", &[text]).as_u128()
        });
        prop_assert_eq!(reconcile(&shuffled, &options()), one);
    }

    #[test]
    fn the_same_on_both_sides_is_parity(rows in prop::collection::vec((0..WEEK, 0..40_u64), 0..30)) {
        let models = ["gpt-5", "o3", "gpt-4.1-2025-04-14"];
        let all = rows.iter().flat_map(|(day, output)| {
            let model = models[usize::try_from(*day).unwrap() % models.len()];
            [Side::Account, Side::Usage, Side::Statement]
                .map(|side| row(side, *day, model, output * 100))
        });
        let found = run(all.collect());
        prop_assert_eq!(found.verdict, Verdict::Parity);
        prop_assert_eq!(found.findings.len(), 0);
    }
}
