use proptest::prelude::*;

use super::*;
use crate::{Basis, UnixMs};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn all_to(centre: &str, matches: &[(&str, &str)]) -> StatedRule {
    let matches = matches
        .iter()
        .map(|(label, pattern)| ((*label).to_owned(), Patterns::One((*pattern).to_owned())));
    let to = Shares::All(centre.to_owned());
    StatedRule { name: None, matches: matches.collect(), to }
}

fn divided(parts: &[(&str, Percent)]) -> StatedRule {
    let parts = parts.iter().map(|(centre, share)| ((*centre).to_owned(), share.clone()));
    StatedRule { to: Shares::Parts(parts.collect()), ..all_to("", &[]) }
}

fn text(share: &str) -> Percent {
    Percent::Text(share.to_owned())
}

fn row() -> Charged {
    Charged {
        model: "gpt-5-2025-08-07".into(),
        project: "/home/ann/web".into(),
        project_name: "The Web".into(),
        key: "key_ci_1".into(),
        key_name: "CI".into(),
        tags: [("agent".into(), "codex".into()), ("kind".into(), "cron".into())].into(),
        amount: Some(decimal("10")),
        quantity: Some(decimal("7")),
        ..Charged::new(UnixMs(0), "openai", Basis::Estimate)
    }
}

/// Who pays for a row, by these rules.
fn payer(rules: &[StatedRule], row: &Charged) -> Option<String> {
    let parts = Rules::new(rules).unwrap().allocate(row);
    assert_eq!(parts.len(), 1);
    parts[0].centre.as_deref().map(str::to_owned)
}

#[test]
fn each_label_can_be_asked_for_and_all_must_match() {
    for (label, yes, no) in [
        ("provider", "openai", "anthropic"),
        ("project", "web", "eb"),
        ("project", "The *", "Web"),
        ("key", "key_ci_*", "key_ci"),
        ("key", "CI", "ci"),
        ("model", "gpt-5", "gpt-5-mini"),
        ("agent", "codex", "claude-code"),
        ("tag", "kind=cr*", "kind=main"),
    ] {
        assert_eq!(payer(&[all_to("a", &[(label, yes)])], &row()).as_deref(), Some("a"), "{label}");
        assert_eq!(payer(&[all_to("a", &[(label, no)])], &row()), None, "{label}");
        let both = all_to("a", &[(label, yes), ("provider", "anthropic")]);
        assert_eq!(payer(&[both], &row()), None, "{label}");
    }
}

#[test]
fn the_first_rule_decides_and_what_none_takes_is_unallocated() {
    let rules = [all_to("ci", &[("key", "key_ci*")]), all_to("rest", &[])];
    assert_eq!(payer(&rules, &row()).as_deref(), Some("ci"));
    let other = Charged { key: "key_web".into(), ..row() };
    assert_eq!(payer(&rules, &other).as_deref(), Some("rest"));
    let parts = Rules::default().allocate(&other);
    let unallocated =
        Part { rule: None, centre: None, amount: other.amount, quantity: other.quantity };
    assert_eq!(parts, [unallocated]);
}

#[test]
fn what_was_not_told_matches_nothing() {
    let row = Charged { key: "".into(), key_name: "".into(), tags: BTreeMap::new(), ..row() };
    for (label, pattern) in [("key", "*"), ("agent", "*"), ("tag", "kind=*"), ("tag", "agent=*")] {
        assert_eq!(payer(&[all_to("a", &[(label, pattern)])], &row), None, "{label}");
    }
}

#[test]
fn an_unknown_price_stays_unknown_in_every_part() {
    let rules = Rules::new(&[divided(&[("a", text("12.5")), ("b", text("87.5"))])]).unwrap();
    let row = Charged { amount: None, ..row() };
    for part in rules.allocate(&row) {
        assert_eq!(part.amount, None);
        assert!(part.quantity.is_some());
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let one = |rule: StatedRule| Rules::new(&[all_to("a", &[]), rule]).unwrap_err().to_string();
    for (rule, says) in [
        (
            all_to("a", &[("colour", "red")]),
            "rule 2: rows have no `colour`; there are provider, project, key, model, agent, tag",
        ),
        (all_to("a", &[("key", " ")]), "rule 2: key matches nothing, because no pattern is given"),
        (
            all_to("a", &[("tag", "cron")]),
            "rule 2: a tag is written as name=value, such as kind=cron",
        ),
        (all_to(" ", &[]), "rule 2: a cost centre has no name, or one that stands there twice"),
        (divided(&[]), "rule 2: `to` names 0 cost centres; there may be 1 to 1000"),
        (
            divided(&[("a", text("33.3")), ("b", Percent::Whole(66))]),
            "rule 2: its shares are 99.3 percent in all, and must be 100",
        ),
        (
            divided(&[("a", Percent::Inexact(33.3)), ("b", text("66.7"))]),
            "rule 2: the share of `a` must be a whole number, or a decimal as a text such as \
             \"33.3\", above 0 and of at most 20 digits",
        ),
    ] {
        assert_eq!(one(rule), says);
    }
    for share in ["-1", "0", "x", "1e-30"] {
        let rule = divided(&[("a", text(share)), ("b", Percent::Whole(100))]);
        assert!(one(rule).starts_with("rule 2: the share of `a` must be"), "{share}");
    }
    let many = vec![all_to("a", &[]); RULES_MAX + 1];
    assert_eq!(Rules::new(&many).unwrap_err(), RuleError::TooMany(RULES_MAX + 1));
    let parts: Vec<String> = (0..=SHARES_MAX).map(|at| at.to_string()).collect();
    let parts: Vec<_> = parts.iter().map(|name| (name.as_str(), text("0.1"))).collect();
    assert!(one(divided(&parts)).contains("names 1001 cost centres"));
}

#[test]
fn cents_are_given_to_those_that_lost_most() {
    let parts = ["3.333", "3.333", "3.334"].map(decimal);
    let written = |parts: &[Decimal], places| {
        apportion(parts, places).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(written(&parts, 2), ["3.33", "3.33", "3.34"]);
    assert_eq!(written(&parts, 0), ["3", "3", "4"]);
    assert_eq!(written(&["0.5", "0.5", "0.5"].map(decimal), 0), ["1", "1", "0"]);
    assert_eq!(written(&["-0.5", "-0.5", "-0.5"].map(decimal), 0), ["-1", "-1", "0"]);
    assert!(written(&[], 2).is_empty());
}

/// Shares of up to ten cost centres that are a hundred percent in all, to six places.
fn shares() -> impl Strategy<Value = Vec<u64>> {
    const MICRO: u64 = 100_000_000;
    proptest::collection::btree_set(1..MICRO, 0..9).prop_map(|cuts| {
        let mut from = 0;
        cuts.into_iter().chain([MICRO]).map(|cut| cut - std::mem::replace(&mut from, cut)).collect()
    })
}

proptest! {
    #[test]
    fn parts_are_the_whole_to_the_last_digit(
        shares in shares(), amount in "-?[0-9]{1,40}(\\.[0-9]{1,40})?", quantity in 0..u64::MAX,
    ) {
        let parts: Vec<(String, Percent)> = shares
            .iter()
            .zip(0..)
            .map(|(share, at)| {
                let share = Decimal::from(i128::from(*share)).shifted(-6);
                (format!("centre {at}"), Percent::Text(share.to_string()))
            })
            .collect();
        let to = Shares::Parts(parts.into_iter().collect());
        let rules = Rules::new(&[StatedRule { to, ..all_to("", &[]) }]).unwrap();
        let row = Charged {
            amount: Some(decimal(&amount)),
            quantity: Some(Decimal::from(i128::from(quantity))),
            ..row()
        };
        let parts = rules.allocate(&row);
        prop_assert_eq!(parts.len(), shares.len());
        let sum = |of: fn(&Part) -> &Option<Decimal>| {
            parts.iter().fold(Decimal::ZERO, |sum, part| sum.plus(of(part).as_ref().unwrap()))
        };
        prop_assert_eq!(Some(sum(|part| &part.amount)), row.amount);
        prop_assert_eq!(Some(sum(|part| &part.quantity)), row.quantity);
    }

    #[test]
    fn rounded_parts_are_the_rounded_whole(
        parts in proptest::collection::vec("-?[0-9]{1,12}(\\.[0-9]{1,12})?", 0..12), places in 0..5_u16,
    ) {
        let parts: Vec<Decimal> = parts.iter().map(|part| decimal(part)).collect();
        let sum = |parts: &[Decimal]| parts.iter().fold(Decimal::ZERO, |sum, one| sum.plus(one));
        let rounded = apportion(&parts, places);
        prop_assert_eq!(sum(&rounded), sum(&parts).rounded(places));
        let unit = Decimal::from(1).shifted(-i32::from(places));
        for (part, rounded) in parts.iter().zip(&rounded) {
            prop_assert!(part.minus(rounded).abs() <= unit, "{} became {}", part, rounded);
        }
    }
}
