//! Cases that were computed by hand, and laws.

use proptest::prelude::*;

use super::spent::RATE_DAYS;
use super::*;

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn days_from(first: &str, amounts: &[&str]) -> Days {
    let mut days = Days::default();
    let dates = Span { first: date(first), last: Date::MAX };
    for (date, amount) in dates.days().zip(amounts) {
        days.add(date, &decimal(amount));
    }
    days
}

fn monthly(limit: &str) -> Budget {
    Budget { limit: decimal(limit), per: Period::Month, thresholds: vec![50, 80, 100] }
}

#[test]
fn periods_begin_and_end_where_calendars_say() {
    for (per, day, first, last) in [
        (Period::Day, "2026-11-20", "2026-11-20", "2026-11-20"),
        (Period::Week, "2026-11-20", "2026-11-16", "2026-11-22"),
        (Period::Week, "2026-11-16", "2026-11-16", "2026-11-22"),
        (Period::Week, "2026-11-22", "2026-11-16", "2026-11-22"),
        (Period::Month, "2028-02-29", "2028-02-01", "2028-02-29"),
        (Period::Month, "2026-12-31", "2026-12-01", "2026-12-31"),
    ] {
        let span = per.span(date(day));
        assert_eq!(span, Span { first: date(first), last: date(last) }, "{per:?} {day}");
        assert_eq!(Period::of_name(per.name()), Some(per));
    }
    // At the ends of time nothing panics.
    for day in [Date::MIN, Date::MAX] {
        for per in Period::ALL {
            assert!(per.span(day).days().count() <= 31);
        }
        assert_eq!(Days::default().within(Span::before(day, 30)).count(), 0);
    }
}

#[test]
fn what_is_spent_is_exact_and_what_is_unknown_is_no_zero() {
    let mut days = days_from("2026-11-01", &["0.1", "0.2", "0.0000000000000000000000001"]);
    days.know(date("2026-11-05"), false);
    days.add_estimated(date("2026-11-06"), &decimal("2"));
    days.add_unpriced(date("2026-11-06"), 7);
    let found = status(&monthly("4"), &days, date("2026-11-07"));
    assert_eq!(found.spent, decimal("2.3000000000000000000000001"));
    assert_eq!(found.remaining, decimal("1.6999999999999999999999999"));
    assert_eq!(found.estimated, decimal("2"));
    assert_eq!((found.days_known, found.days_provisional, found.days_unknown), (5, 1, 1));
    assert_eq!(found.unpriced_calls, 7);
    assert_eq!(found.thresholds, [Reached { percent: 50, on: date("2026-11-06") }]);
    assert_eq!(found.rate.unwrap().days, 5, "the 4th is not known, and no day without spending");
}

#[test]
fn what_may_still_change_is_not_settled() {
    let mut days = days_from("2026-11-01", &["10", "20"]);
    days.know(date("2026-11-02"), false);
    let found = status(&monthly("40"), &days, date("2026-11-03"));
    assert_eq!((found.spent, found.settled), (decimal("30"), decimal("10")));
    days.add_unpriced(date("2026-11-02"), 3);
    let told = settled(&monthly("40"), &days, date("2026-11-30"));
    assert_eq!((told.amount, told.unpriced_calls), (decimal("10"), 3));
    assert_eq!(told.days, [(date("2026-11-01"), decimal("10"))]);
    assert_eq!(told.span, found.span);
    assert_eq!(settled(&monthly("40"), &days, date("2026-10-31")).days, []);
}

#[test]
fn a_budget_is_exhausted_on_the_day_that_the_rate_says() {
    let of = |limit: &str, days: &Days, today: &str| {
        let found = status(&monthly(limit), days, date(today));
        found.exhausted_on.map(|day| day.to_string())
    };
    // Seven days of $3: 21 by the 7th, 24 by the 8th, and 90 by the 30th.
    let days = days_from("2026-11-01", &["3"; 7]);
    for (limit, expected) in [
        ("20", Some("2026-11-07")),
        ("24", Some("2026-11-08")),
        ("24.01", Some("2026-11-09")),
        ("90", Some("2026-11-30")),
        ("90.01", None),
    ] {
        assert_eq!(of(limit, &days, "2026-11-08").as_deref(), expected, "{limit}");
    }
    // The present day comes to what it has come to, where that is more than the rate.
    let mut busy = days;
    busy.add(date("2026-11-08"), &decimal("50"));
    assert_eq!(of("71", &busy, "2026-11-08").as_deref(), Some("2026-11-08"));
    // A rate that is no decimal is exact: 10/3 a day reaches 30 on the 9th day and not before.
    let thirds = days_from("2026-11-01", &["3", "3", "4"]);
    assert_eq!(of("30", &thirds, "2026-11-04").as_deref(), Some("2026-11-09"));
    let found = status(&monthly("30"), &thirds, date("2026-11-04"));
    assert_eq!(found.rate.unwrap().per_day(6), decimal("3.333333"));
    // Nothing known: nothing said.
    assert_eq!(of("1", &Days::default(), "2026-11-08"), None);
}

#[test]
fn days_before_the_first_known_one_are_not_guessed() {
    // First used on the 15th, $10 a day: 70 by the 21st, 160 by the 30th.
    let days = days_from("2026-11-15", &["10"; 7]);
    let today = date("2026-11-22");
    let found = status(&monthly("200"), &days, today);
    assert_eq!((found.spent, found.days_unknown, found.exhausted_on), (decimal("70"), 14, None));
    let forecast = found.forecast.unwrap();
    assert_eq!((forecast.amount, forecast.days.len()), (decimal("160"), 9));
    let reached = status(&monthly("90"), &days, today);
    assert_eq!(reached.exhausted_on, Some(date("2026-11-23")));
    // A gap between known days is one that somebody forgot to tell of, and is guessed.
    let mut gap = days_from("2026-11-14", &["10"]);
    for (date, day) in days.within(Span { first: date("2026-11-16"), last: today }) {
        gap.add(date, &day.amount);
    }
    let found = status(&monthly("80"), &gap, today);
    assert_eq!(found.exhausted_on, Some(date("2026-11-21")));
    assert_eq!(found.forecast.unwrap().amount, decimal("170"));
}

#[test]
fn days_are_expected_to_be_as_their_weekday_was() {
    // Four weeks from Monday, 2 November: $10 on weekdays, $1 on Saturdays, nothing on Sundays, and
    // one Monday of $1,000, which moves nothing.
    let week = ["10", "12", "10", "14", "10", "1", "0"];
    let mut amounts = week.repeat(4);
    amounts[7] = "1000";
    let days = days_from("2026-11-02", &amounts);
    let budget = Budget { per: Period::Week, ..monthly("60") };
    let found = status(&budget, &days, date("2026-11-30")).forecast.unwrap();
    assert_eq!((found.amount, found.history_days), (decimal("57"), 28));
    let monday = &found.days[0];
    assert_eq!((monday.date, &monday.amount), (date("2026-11-30"), &decimal("10")));
    assert_eq!(
        (&monday.low, &monday.high, monday.observations),
        (&decimal("10"), &decimal("10"), 4)
    );
    // Six days are too few.
    let few = days_from("2026-11-24", &["1"; 6]);
    assert_eq!(status(&budget, &few, date("2026-11-30")).forecast, None);
}

#[test]
fn an_anomaly_can_be_computed_by_hand() {
    // Sorted: 8 8 9 9 10 10 10 11 11 12; median 10; distances 2 2 1 1 0 0 0 1 1 2, sorted
    // 0 0 0 1 1 1 1 2 2 2; MAD 1; 5.2 x 1 = 5.2.
    let baseline = ["10", "11", "9", "8", "12", "10", "9", "11", "10", "8"];
    let look = |last: &str| {
        let days = days_from("2026-11-01", &[&baseline[..], &[last]].concat());
        anomaly(&days, date("2026-11-11")).unwrap()
    };
    let found = look("15.2");
    assert_eq!((found.median.clone(), found.mad.clone()), (decimal("10"), decimal("1")));
    assert_eq!((found.margin.clone(), found.margin_of), (decimal("5.2"), Margin::Mad));
    assert_eq!(found.bound, decimal("15.2"));
    assert!(found.is_anomaly() && !look("15.19").is_anomaly() && !look("0").is_anomaly());
    // Days that are all alike: a dollar, or a tenth, decides.
    let same = |amount: &str, last: &str| {
        let days = days_from("2026-11-01", &[&[amount; 10][..], &[last]].concat());
        let found = anomaly(&days, date("2026-11-11")).unwrap();
        (found.margin_of, found.is_anomaly())
    };
    assert_eq!(same("0", "0.99"), (Margin::Least, false));
    assert_eq!(same("0", "1"), (Margin::Least, true));
    assert_eq!(same("100", "109"), (Margin::Tenth, false));
    assert_eq!(same("100", "110"), (Margin::Tenth, true));
}

#[test]
fn nothing_is_said_of_too_few_or_unsettled_days() {
    let nine = days_from("2026-11-01", &["1"; 10]);
    assert_eq!(anomaly(&nine, date("2026-11-10")), None);
    let mut ten = days_from("2026-11-01", &["1"; 11]);
    assert!(anomaly(&ten, date("2026-11-11")).is_some());
    ten.know(date("2026-11-11"), false);
    assert_eq!(anomaly(&ten, date("2026-11-11")), None);
    assert_eq!(anomaly(&ten, date("2026-11-12")), None, "not known");
    // Only thirty days before it are looked at.
    let long = days_from("2026-10-01", &["1"; 40]);
    assert_eq!(anomaly(&long, date("2026-11-09")).unwrap().observations.len(), 30);
}

/// The median as a schoolbook has it, by integers: twice the value, so that it is whole.
fn twice_median(mut values: Vec<i128>) -> i128 {
    values.sort_unstable();
    let count = values.len();
    if count % 2 == 1 { 2 * values[count / 2] } else { values[count / 2 - 1] + values[count / 2] }
}

fn cents(amount: i128) -> Decimal {
    Decimal::from(amount).shifted(-2)
}

fn days_of(cents_of_days: &[u32]) -> Days {
    let mut days = Days::default();
    let dates = Span { first: date("2026-09-01"), last: Date::MAX };
    for (date, amount) in dates.days().zip(cents_of_days) {
        days.add(date, &cents(i128::from(*amount)));
    }
    days
}

#[test]
fn parts_are_cut_and_never_rounded_up() {
    for (figure, whole, expected) in [
        ("99.999", "100", 999),
        ("100", "100", 1_000),
        ("0", "7", 0),
        ("-3", "7", 0),
        ("2", "3", 666),
        ("9999999999", "1", u32::MAX - 1),
    ] {
        assert_eq!(permille(&decimal(figure), &decimal(whole)), expected, "{figure}/{whole}");
    }
}

proptest! {
    #[test]
    fn no_order_changes_anything(
        parts in prop::collection::vec((0..40_i64, 0..10_000_u32, any::<bool>(), any::<bool>()), 0..60),
        seed in any::<u64>(),
    ) {
        let first = date("2026-10-20");
        let of = |parts: &[(i64, u32, bool, bool)]| {
            let mut days = Days::default();
            for (at, amount, is_claimed, is_settled) in parts {
                let (day, amount) = (after(first, *at), cents(i128::from(*amount)));
                days.know(day, *is_settled);
                if *is_claimed { days.add_estimated(day, &amount) } else { days.add(day, &amount) }
            }
            days
        };
        let mut other = parts.clone();
        other.sort_by_key(|(at, amount, ..)| {
            (at.cast_unsigned() ^ seed).wrapping_mul(u64::from(*amount) | 1).rotate_left(17)
        });
        prop_assert_eq!(of(&parts), of(&other));
        let today = after(first, 30);
        let budget = monthly("100");
        prop_assert_eq!(status(&budget, &of(&parts), today), status(&budget, &of(&other), today));
        prop_assert_eq!(anomaly(&of(&parts), today), anomaly(&of(&other), today));
    }

    #[test]
    fn a_status_is_the_sum_of_its_days(amounts in prop::collection::vec(0..100_000_u32, 1..60), at in 0..60_i64) {
        let days = days_of(&amounts);
        let today = after(date("2026-09-01"), at);
        let budget = monthly("250.5");
        let found = status(&budget, &days, today);
        let of_span = |span: Span| -> i128 {
            days.within(span).map(|(_, day)| {
                i128::from(day.amount.clone().shifted(2).to_count().unwrap())
            }).sum()
        };
        prop_assert_eq!(&found.spent, &cents(of_span(found.span)));
        prop_assert_eq!(&found.spent.plus(&found.remaining), &found.limit);
        let told = settled(&budget, &days, today);
        prop_assert_eq!((&told.amount, &told.limit), (&found.settled, &found.limit));
        let by_hand = [50, 80, 100].into_iter().filter(|p| of_span(found.span) * 100 >= 25_050 * p).max();
        prop_assert_eq!(found.reached().map(i128::from), by_hand);
        if let Some(rate) = &found.rate {
            prop_assert_eq!(&rate.sum, &cents(of_span(Span::before(today, RATE_DAYS))));
        }
        if let Some(forecast) = &found.forecast {
            prop_assert!(forecast.low <= forecast.amount && forecast.amount <= forecast.high);
            let expected = forecast.days.iter().fold(Decimal::ZERO, |sum, day| sum.plus(&day.amount));
            let past = Span { first: found.span.first, last: before(today, 1) };
            prop_assert_eq!(expected.plus(&cents(of_span(past))), forecast.amount.clone());
        }
    }

    #[test]
    fn what_is_not_known_before_the_first_day_is_as_if_the_period_began_with_it(
        amounts in prop::collection::vec(0..10_000_u32, 7..29), limit in 1..500_u32,
    ) {
        // From some day of November on; the same days, with all before them known to be empty.
        let first = after(date("2026-11-30"), -i64::try_from(amounts.len()).unwrap());
        let mut days = Days::default();
        for (at, amount) in (0..).zip(&amounts) {
            days.add(after(first, at), &cents(i128::from(*amount)));
        }
        let mut whole = days.clone();
        for date in (Span { first: date("2026-11-01"), last: before(first, 1) }).days() {
            whole.know(date, true);
        }
        let today = date("2026-11-30");
        let of = |days: &Days| status(&monthly(&limit.to_string()), days, today);
        let (found, known) = (of(&days), of(&whole));
        prop_assert_eq!(&found.spent, &known.spent);
        let past = |status: &Status| status.exhausted_on.filter(|day| *day < today);
        prop_assert_eq!(past(&found), past(&known), "what is past is known");
        let reached = found.thresholds.iter().find(|one| one.percent == 100).map(|one| one.on);
        prop_assert_eq!(past(&found), reached.filter(|day| *day < today));
        let expected = found.forecast.unwrap();
        prop_assert_eq!(expected.days.len(), 1);
        prop_assert_eq!(expected.amount, found.spent.plus(&expected.days[0].amount));
    }

    #[test]
    fn every_anomaly_can_be_computed_again_from_what_it_says(
        amounts in prop::collection::vec(prop_oneof![900..1_100_u32, 0..100_000_u32], 11..45),
    ) {
        let days = days_of(&amounts);
        let last = after(date("2026-09-01"), i64::try_from(amounts.len()).unwrap() - 1);
        let found = anomaly(&days, last).unwrap();
        let of = |amount: &Decimal| i128::from(amount.clone().shifted(2).to_count().unwrap());
        let observed: Vec<i128> = found.observations.iter().map(|(_, amount)| of(amount)).collect();
        prop_assert_eq!(observed.len(), amounts.len().min(31) - 1);
        let twice = twice_median(observed.clone());
        prop_assert_eq!(&found.median, &cents(twice).half());
        let distances = observed.iter().map(|amount| (2 * amount - twice).abs()).collect();
        // Four times the MAD is whole.
        let four_mads = twice_median(distances);
        prop_assert_eq!(found.mad.times(&4.into()), cents(four_mads));
        // In fortieths of a cent: 5.2 MAD, a tenth of the median, a dollar.
        let margin = (52 * four_mads).max(2 * twice).max(4_000);
        let is_far = 40 * of(&found.amount) - 20 * twice >= margin;
        prop_assert_eq!(found.is_anomaly(), is_far);
    }

    #[test]
    fn a_figure_that_hovers_tells_once(wobbles in prop::collection::vec(0..100_u32, 1..50), level in 1..200_u32) {
        // Never below nineteen twentieths of the level, and never at the next.
        let whole = Decimal::from(100_000);
        let mut before = 0;
        let mut told = 0;
        for wobble in std::iter::once(100).chain(wobbles) {
            let figure = Decimal::from(i128::from(level) * 1_000)
                .times(&(9_500 + 5 * wobble).into()).shifted(-4);
            let turned = turn(before, &figure, &whole, &[level, level * 2]);
            told += u32::from(matches!(turned, Turn::Raised(_)));
            before = turned.level(before);
            prop_assert_eq!(before, level);
        }
        prop_assert_eq!(told, 1);
    }

    #[test]
    fn levels_follow_the_figure(figures in prop::collection::vec(0..300_u32, 1..60)) {
        let thresholds = [50, 80, 100];
        let whole = Decimal::from(100);
        let mut before = 0;
        for figure in figures {
            let turned = turn(before, &Decimal::from(i128::from(figure)), &whole, &thresholds);
            let now = turned.level(before);
            let reached = thresholds.into_iter().filter(|percent| figure >= *percent).max().unwrap_or(0);
            prop_assert!(now >= reached, "what is reached is told");
            prop_assert!(now == 0 || figure * 20 >= now * 19, "what has fallen is let go");
            match turned {
                Turn::Raised(level) => prop_assert!(level > before && level == reached),
                Turn::Fell(level) => prop_assert!(level < before),
                Turn::Same => {}
            }
            prop_assert_eq!(turn(now, &Decimal::from(i128::from(figure)), &whole, &thresholds), Turn::Same,
                "looking again changes nothing");
            before = now;
        }
    }
}
