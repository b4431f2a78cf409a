//! What is written as FOCUS is read back with the same sums, whatever its names are.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use trueup_core::{
    Basis, Charged, ChargedSums, DAY_MS, Decimal, Dim, Measure, StatedFact, Text, UnixMs,
};
use trueup_providers::{FOCUS_COLUMNS, FocusWriter};

use crate::statements::read;

/// 2026-11-28: a month ends within the days that are generated.
const START: i64 = 1_795_824_000_000;

/// Names as people give them, and as attackers do.
fn name() -> impl Strategy<Value = Text> {
    let odd = ["", "=cmd|' /C calc'!A0", "'=1", "@x", "-1", "+1", "a\"b", "a,b;c", "l1\nl2", "\tx"];
    prop_oneof![
        select(odd.to_vec()).prop_map(Text::from),
        "[!-~é≤🦀]([ -~é≤🦀]{0,9}[!-~é≤🦀])?".prop_map(Text::from),
        select(vec!["gpt-5", "web", "key_1"]).prop_map(Text::from),
    ]
}

fn measure() -> impl Strategy<Value = Option<Measure>> {
    let tokens = [
        Measure::InUncached,
        Measure::InCacheRead,
        Measure::InCacheWrite5m,
        Measure::InCacheWrite1h,
        Measure::InCacheWrite,
        Measure::InUnsplit,
        Measure::Out,
    ];
    proptest::option::of(select(tokens.to_vec()))
}

fn row() -> impl Strategy<Value = Charged> {
    let who = (select(vec!["openai", "anthropic", "deepseek", "litellm", "Acme AI"]), name());
    let names = (name(), name(), name(), name(), name());
    let amount = "-?[0-9]{1,20}(\\.[0-9]{1,40})?";
    let quantity = proptest::option::of(0..1_u64 << 53);
    let currency = select(vec!["USD", "USD", "CNY"]);
    let flags = (any::<bool>(), select(Basis::ALL.to_vec()));
    (0..5_i64, who, names, measure(), amount, quantity, currency, flags).prop_map(
        |(day, (provider, account), names, measure, amount, quantity, currency, flags)| {
            let (model, tier, project, key, item) = names;
            let (is_correction, basis) = flags;
            let is_priced = basis != Basis::Unpriced;
            Charged {
                account,
                is_correction,
                tags: [("agent".into(), "codex".into()), ("kind".into(), Text::clone(&item))]
                    .into(),
                model,
                measure,
                tier,
                project,
                key,
                item,
                amount: is_priced.then(|| amount.parse().unwrap()),
                currency: currency.into(),
                unit: if quantity.is_some() { "tokens".into() } else { "".into() },
                quantity: quantity.map(|count| Decimal::from(i128::from(count))),
                ..Charged::new(UnixMs(START + day * DAY_MS), provider, basis)
            }
        },
    )
}

fn written(rows: &[Charged]) -> Vec<u8> {
    let mut focus = FocusWriter::new(Vec::new()).unwrap();
    for row in rows {
        focus.write(row).unwrap();
    }
    focus.finish().unwrap()
}

/// What sums are told apart by: day, provider, basis, currency, and the names.
type Key = (i64, String, String, String, [String; 4]);
/// Amount, and tokens by kind.
type Sum = (Option<Decimal>, BTreeMap<Measure, u64>);

fn add(
    sums: &mut BTreeMap<Key, Sum>,
    key: Key,
    amount: Option<&Decimal>,
    tokens: Option<(Measure, u64)>,
) {
    let sum = sums.entry(key).or_default();
    if let Some(amount) = amount {
        sum.0 = Some(sum.0.take().map_or_else(|| amount.clone(), |sum| sum.plus(amount)));
    }
    if let Some((measure, count)) = tokens {
        *sum.1.entry(measure).or_default() += count;
    }
}

fn of_rows(rows: &[Charged]) -> BTreeMap<Key, Sum> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let names = [&row.model, &row.tier, &row.project, &row.key].map(ToString::to_string);
        let currency = row.amount.as_ref().map_or_else(String::new, |_| row.currency.to_string());
        let basis = row.basis.name().to_owned();
        let key = (row.from.0, row.provider.to_string(), basis, currency, names);
        // Nothing is consumed by money that comes back.
        let count = row.quantity.as_ref().filter(|_| !row.is_credit()).and_then(Decimal::to_count);
        add(&mut sums, key, row.amount.as_ref(), row.measure.zip(count));
    }
    sums
}

fn of_facts(facts: &[StatedFact]) -> BTreeMap<Key, Sum> {
    let mut sums = BTreeMap::new();
    for fact in facts {
        let dim =
            |name: &str| fact.dims.get(name).and_then(Dim::text).unwrap_or_default().to_owned();
        let names = ["model", "service_tier", "sub_account_id", "api_key_id"].map(dim);
        let charge = fact.charge.as_ref();
        let currency = charge.map_or_else(String::new, |charge| charge.currency.to_string());
        let start = fact.start.unwrap().0;
        let key = (start, fact.provider.to_string(), dim("basis"), currency, names);
        let tokens: Vec<_> = fact.measures.told().collect();
        assert!(tokens.len() <= 1, "{fact:?}");
        let is_credit = charge.is_some_and(|charge| charge.amount.is_negative());
        let tokens = tokens.first().copied().filter(|_| !is_credit);
        add(&mut sums, key, charge.map(|charge| &charge.amount), tokens);
    }
    sums
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(rows in proptest::collection::vec(row(), 0..30)) {
        let mut sums = ChargedSums::default();
        for row in &rows {
            sums.add(row.clone());
        }
        let added: Vec<Charged> = sums.into_rows().collect();
        prop_assert_eq!(of_rows(&added), of_rows(&rows));
        let (facts, summary) = read(&written(&added)).unwrap();
        prop_assert_eq!(facts.len(), added.len());
        prop_assert_eq!((summary.odd, summary.blank, summary.unplaced), (0, 0, 0));
        prop_assert_eq!(of_facts(&facts), of_rows(&rows));
    }

    #[test]
    fn no_cell_is_a_formula(row in row()) {
        let file = written(&[row]);
        let mut csv = csv::Reader::from_reader(file.as_slice());
        for record in csv.records() {
            for (name, cell) in FOCUS_COLUMNS.iter().zip(&record.unwrap()) {
                let is_number = cell.parse::<Decimal>().is_ok();
                let has_sign = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
                let is_numeric = name.ends_with("Cost") || name.ends_with("Quantity");
                prop_assert!(!has_sign || is_numeric && is_number, "{}: {}", name, cell);
            }
        }
    }
}

#[test]
fn every_column_is_known_to_the_reader() {
    let row = Charged {
        amount: "1".parse().ok(),
        ..Charged::new(UnixMs(START), "openai", Basis::Billed)
    };
    let (_, summary) = read(&written(&[row])).unwrap();
    assert!(summary.issues.is_empty(), "{:?}", summary.issues);
}
