//! Any text as a file of rules for cost centres: what can be meant divides a row into parts that are the
//! whole.

#![no_main]

use trueup_core::allocate::{Rules, StatedRule, apportion};
use trueup_core::{Basis, Charged, Decimal, UnixMs};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    rule: Vec<StatedRule>,
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(file) = toml::from_str::<RuleFile>(text) else { return };
    let Ok(rules) = Rules::new(&file.rule) else { return };
    let amount: Option<Decimal> = "12.3456789012345678901".parse().ok();
    let row = Charged {
        model: "gpt-5".into(),
        project: "/home/ann/web".into(),
        key: "key_ci_1".into(),
        tags: [("agent".into(), "codex".into()), ("kind".into(), "cron".into())].into(),
        amount: amount.clone(),
        ..Charged::new(UnixMs(0), "openai", Basis::Billed)
    };
    let parts: Vec<Decimal> =
        rules.allocate(&row).into_iter().filter_map(|part| part.amount).collect();
    let sum = |parts: &[Decimal]| parts.iter().fold(Decimal::ZERO, |sum, part| sum.plus(part));
    assert_eq!(Some(sum(&parts)), amount);
    assert_eq!(sum(&apportion(&parts, 2)), sum(&parts).rounded(2));
});
