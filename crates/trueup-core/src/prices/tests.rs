//! The published rules, on real entries, against costs worked out by hand.

use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::*;

const TODAY: Date = date(2026, 11, 20);

fn class(tier: ServiceTier, prompt: u64) -> PriceClass {
    PriceClass { tier, context: ContextBand::of_prompt(prompt), ..PriceClass::default() }
}

fn find(provider: &str, model: &str) -> Option<(&'static str, Basis, Spelling)> {
    static BOOK: PriceBook = PriceBook::embedded();
    BOOK.find(provider, model, TODAY).map(|found| (found.entry, found.basis, found.spelling))
}

/// In dollars, or the reason why there is no price.
fn cost(provider: &str, model: &str, class: PriceClass, tokens: Tokens) -> String {
    match PriceBook::embedded().find(provider, model, TODAY) {
        None => "unpriced".to_owned(),
        Some(listing) => match listing.cost(class, &tokens) {
            Ok(cost) => cost.to_nano().to_string(),
            Err(reason) => reason.to_string(),
        },
    }
}

/// A million tokens of each kind, so that the cost is the sum of the prices.
const EACH: Tokens = Tokens {
    input: 1_000_000,
    cache_read: 1_000_000,
    cache_write_5m: 1_000_000,
    cache_write_1h: 1_000_000,
    cache_write: 0,
    output: 1_000_000,
    reasoning: 0,
};

/// Without cache writes, which OpenAI and Google do not sell for these models.
const NO_WRITES: Tokens = Tokens { cache_write_5m: 0, cache_write_1h: 0, ..EACH };

#[test]
fn claude_models_cost_what_anthropic_publishes() {
    let standard = PriceClass::default();
    for (model, usd) in [
        ("claude-opus-4-8", "46.75"),   // 5 + 0.5 + 6.25 + 10 + 25
        ("claude-sonnet-4-6", "28.05"), // 3 + 0.3 + 3.75 + 6 + 15
        ("claude-haiku-4-5", "9.35"),   // 1 + 0.1 + 1.25 + 2 + 5
    ] {
        assert_eq!(cost("anthropic", model, standard, EACH), usd, "{model}");
    }
    let call =
        Tokens { input: 3, cache_read: 18_211, cache_write_1h: 977, output: 214, ..Tokens::ZERO };
    // 3 × 5 + 18211 × 0.5 + 977 × 10 + 214 × 25 = 24240.5 millionths
    assert_eq!(cost("anthropic", "claude-opus-4-8", standard, call), "0.0242405");
}

#[test]
fn cache_writes_of_unknown_lifetime_cost_what_five_minutes_cost() {
    let unknown = Tokens { cache_write: 1_000_000, ..Tokens::ZERO };
    assert_eq!(cost("anthropic", "claude-opus-4-8", PriceClass::default(), unknown), "6.25");
}

#[test]
fn us_only_and_fast_calls_cost_a_multiple() {
    let us = PriceClass { region: Region::Us, ..PriceClass::default() };
    let fast = PriceClass { speed: Speed::Fast, ..PriceClass::default() };
    let both = PriceClass { speed: Speed::Fast, ..us };
    assert_eq!(cost("anthropic", "claude-opus-4-8", us, EACH), "51.425"); // × 1.1
    assert_eq!(cost("anthropic", "claude-opus-4-8", fast, EACH), "93.5"); // × 2
    assert_eq!(cost("anthropic", "claude-opus-4-8", both, EACH), "102.85"); // × 2.2
    assert_eq!(
        cost("anthropic", "claude-haiku-4-5", fast, EACH),
        "no price multiplier (standard tier, fast)"
    );
}

#[test]
fn a_batch_of_claude_costs_half_in_every_kind() {
    // The table has no one-hour write for batches; Anthropic's rule fills it.
    assert_eq!(cost("anthropic", "claude-opus-4-8", class(ServiceTier::Batch, 0), EACH), "23.375");
}

#[test]
fn a_tier_costs_its_own_price() {
    for (tier, usd) in [
        (ServiceTier::Standard, "35.5"),  // 5 + 0.5 + 30
        (ServiceTier::Batch, "17.75"),    // 2.5 + 0.25 + 15
        (ServiceTier::Flex, "17.75"),     // 2.5 + 0.25 + 15
        (ServiceTier::Priority, "88.75"), // 12.5 + 1.25 + 75
    ] {
        assert_eq!(cost("openai", "gpt-5.5", class(tier, 0), NO_WRITES), usd, "{tier:?}");
    }
}

#[test]
fn a_long_prompt_moves_the_whole_call_to_the_higher_price() {
    let standard = |prompt| class(ServiceTier::Standard, prompt);
    for (provider, model, prompt, usd) in [
        ("openai", "gpt-5.5", 272_000, "35.5"),
        ("openai", "gpt-5.5", 272_001, "56"), // 10 + 1 + 45
        ("openai", "gpt-5.5", 900_000, "56"), // no higher threshold
        ("google", "gemini-2.5-pro", 200_000, "11.375"), // 1.25 + 0.125 + 10
        ("google", "gemini-2.5-pro", 200_001, "17.75"), // 2.5 + 0.25 + 15
    ] {
        assert_eq!(cost(provider, model, standard(prompt), NO_WRITES), usd, "{model} {prompt}");
    }
    assert_eq!(cost("openai", "gpt-5.5", class(ServiceTier::Flex, 300_000), NO_WRITES), "28");
}

#[test]
fn without_a_long_price_a_kind_keeps_its_base_price() {
    // input and output double beyond 32k, cache reads do not: 0.135 + 0.0081 + 0.54
    let long = class(ServiceTier::Standard, 50_000);
    assert_eq!(cost("kyma", "qwen3.7-flash", long, NO_WRITES), "0.6831");
}

#[test]
fn what_is_not_published_is_unpriced_not_zero() {
    let standard = PriceClass::default();
    for (provider, model, class, tokens, reason) in [
        // OpenAI publishes no priority price for long prompts, though it does for long prompts.
        (
            "openai",
            "gpt-5.5",
            class(ServiceTier::Priority, 300_000),
            NO_WRITES,
            "no price for input tokens (priority tier, more than 272000 prompt tokens)",
        ),
        (
            "anthropic",
            "claude-opus-4-8",
            class(ServiceTier::Priority, 0),
            EACH,
            "no price for input tokens (priority tier)",
        ),
        (
            "openai",
            "gpt-5.5",
            class(ServiceTier::Other, 0),
            NO_WRITES,
            "no price for input tokens (unknown tier)",
        ),
        ("openai", "gpt-4", standard, NO_WRITES, "no price for cache_read tokens (standard tier)"),
        ("openai", "gpt-7-imaginary", standard, EACH, "unpriced"),
        ("", "", standard, EACH, "unpriced"),
        ("anthropic", "<synthetic>", standard, EACH, "unpriced"),
    ] {
        assert_eq!(cost(provider, model, class, tokens), reason, "{model}");
    }
}

#[test]
fn a_kind_without_a_price_does_no_harm_where_no_such_token_was_used() {
    let plain = Tokens { input: 1_000_000, output: 1_000_000, ..Tokens::ZERO };
    assert_eq!(cost("openai", "gpt-4", PriceClass::default(), plain), "90"); // 30 + 60
}

#[test]
fn reasoning_is_output_unless_it_has_a_price_of_its_own() {
    let standard = PriceClass::default();
    let thought = Tokens { output: 1_000_000, reasoning: 250_000, ..Tokens::ZERO };
    assert_eq!(cost("openai", "gpt-5.5", standard, thought), "30");
    // 750000 × 1.2 + 250000 × 4
    assert_eq!(cost("dashscope", "qwen-plus-2025-04-28", standard, thought), "1.9");
    let impossible = Tokens { output: 0, reasoning: 250_000, ..Tokens::ZERO };
    assert_eq!(cost("dashscope", "qwen-plus-2025-04-28", standard, impossible), "0");
}

#[test]
fn retired_claude_models_follow_anthropics_rules_on_another_sellers_row() {
    let long = class(ServiceTier::Standard, 200_001);
    // 6 + 0.6 + 7.5 + 12 + 22.5, of which the one-hour write is twice the input by rule
    assert_eq!(cost("anthropic", "claude-sonnet-4-20250514", long, EACH), "48.6");
    let not_anthropics = "no price for cache_write_1h tokens (standard tier)";
    let bedrock = "anthropic.claude-sonnet-4-20250514-v1:0";
    assert_eq!(cost("amazon-bedrock", bedrock, PriceClass::default(), EACH), not_anthropics);
    assert_eq!(
        cost("anthropic", "kimi-k2.6", PriceClass::default(), EACH),
        "no price for cache_write_5m tokens (standard tier)"
    );
}

#[test]
fn a_local_model_is_free_in_every_class() {
    let book = PriceBook::embedded();
    let listing = book.find("ollama", "mistral", TODAY).unwrap();
    assert!(listing.is_free());
    assert_eq!(cost("ollama", "mistral", class(ServiceTier::Other, 0), EACH), "0");
    let hosted = "gpt-oss:120b-cloud";
    assert_eq!(cost("ollama", hosted, PriceClass::default(), EACH), "unpriced");
}

#[test]
fn a_name_is_found_by_the_first_rule_that_holds() {
    use Basis::{List, Provider};
    use Spelling::{Alias, AsWritten, Stripped};
    for (provider, model, found) in [
        ("anthropic", "claude-opus-4-8", ("claude-opus-4-8", Provider, AsWritten)),
        ("Anthropic", " claude-opus-4-8 ", ("claude-opus-4-8", Provider, AsWritten)),
        ("", "claude-opus-4-8", ("claude-opus-4-8", List, AsWritten)),
        ("", "anthropic/claude-opus-4-8", ("claude-opus-4-8", Provider, AsWritten)),
        ("anthropic", "claude-opus-4-8-20260528", ("claude-opus-4-8", Provider, Stripped)),
        ("anthropic", "claude-opus-4.8", ("claude-opus-4-8", Provider, Alias)),
        ("openrouter", "anthropic/claude-opus-4.8", ("claude-opus-4-8", List, Alias)),
        ("", "openrouter/anthropic/claude-opus-4-8", ("claude-opus-4-8", List, AsWritten)),
        ("my-proxy", "claude-opus-4-8", ("claude-opus-4-8", List, AsWritten)),
        ("github-copilot", "gpt-5.5", ("github_copilot/gpt-5.5", Provider, AsWritten)),
        ("azure", "gpt-5.5", ("azure/gpt-5.5", Provider, AsWritten)),
        ("", "azure_ai/gpt-5.5", ("azure_ai/gpt-5.5", Provider, AsWritten)),
        ("google", "gemini-2.5-pro", ("gemini/gemini-2.5-pro", Provider, AsWritten)),
        ("google-vertex", "gemini-2.5-pro", ("gemini-2.5-pro", Provider, AsWritten)),
        ("openrouter", "google/gemini-2.5-pro", ("gemini/gemini-2.5-pro", List, AsWritten)),
        ("antigravity", "gemini-3-pro-high", ("vertex_ai/gemini-3-pro-preview", List, Alias)),
        (
            "amazon-bedrock",
            "us.anthropic.claude-opus-4-8",
            ("us.anthropic.claude-opus-4-8", Provider, AsWritten),
        ),
        (
            "amazon-bedrock",
            "us.anthropic.claude-opus-4-8-v1:0",
            ("us.anthropic.claude-opus-4-8", Provider, Stripped),
        ),
        (
            "google-vertex",
            "claude-opus-4-8@20260528",
            ("vertex_ai/claude-opus-4-8", Provider, Stripped),
        ),
        ("moonshot", "k2p6", ("moonshot/kimi-k2.6", Provider, Alias)),
        ("groq", "openai/gpt-oss-120b", ("groq/openai/gpt-oss-120b", Provider, AsWritten)),
    ] {
        assert_eq!(find(provider, model), Some(found), "{provider} {model}");
    }
}

#[test]
fn no_part_of_a_name_is_enough() {
    for (provider, model) in [
        ("anthropic", "opus"),
        ("anthropic", "claude-opus-4-8-turbo"),
        ("openai", "my-gpt-5.5"),
        ("openai", "gpt-5.5-preview"),
        ("groq", "kimi-k2.6"), // Groq does not charge what Moonshot charges
        ("lmstudio", "deepseek-chat"), // nor does one's own machine
        ("", "groq/kimi-k2.6"),
    ] {
        assert_eq!(find(provider, model), None, "{provider} {model}");
    }
}

#[test]
fn every_entry_is_found_by_its_own_name() {
    for name in table::tests::names_of_all_models() {
        assert_eq!(find("", name).map(|(entry, _, _)| entry), Some(name));
    }
}

#[test]
fn the_longest_name_is_bounded() {
    assert!(table::tests::names_of_all_models().all(|name| name.len() <= 90));
    let padded = format!("{}gpt-5.5", "x/".repeat(names::MODEL_BYTES_MAX));
    assert_eq!(find("", &padded), None);
    assert!(find("", padded.split_at(padded.len() - 255).1).is_some());
}

fn stated(model: &str, input: &str) -> Override {
    Override {
        model: model.to_owned(),
        input_usd_per_mtok: Some(input.to_owned()),
        output_usd_per_mtok: Some("10".to_owned()),
        ..Override::default()
    }
}

#[test]
fn what_the_user_states_goes_first() {
    let everywhere = stated("gpt-5.5", "4");
    let at_azure = Override { provider: Some("Azure".to_owned()), ..stated("gpt-5.5", "3") };
    let later = Override { from_day: Some(date(2026, 12, 1)), ..stated("gpt-5.5", "2") };
    let book = PriceBook::with_overrides(&[everywhere, at_azure, later]).unwrap();
    assert_eq!(book.change_days().collect::<Vec<_>>(), [date(2026, 12, 1)]);
    let million = Tokens { input: 1_000_000, ..Tokens::ZERO };
    for (provider, model, day, usd) in [
        ("openai", "gpt-5.5", TODAY, "4"),
        ("openai", "gpt-5.5-2026-04-23", TODAY, "4"),
        ("", "openrouter/openai/gpt-5.5", TODAY, "4"),
        ("azure-openai", "gpt-5.5", TODAY, "3"),
        ("", "azure/gpt-5.5", TODAY, "3"),
        ("azure", "gpt-5.5", date(2026, 12, 1), "3"),
        ("openai", "gpt-5.5", date(2026, 12, 1), "2"),
        ("openai", "gpt-5.4", TODAY, "2.5"),
    ] {
        let listing = book.find(provider, model, day).unwrap();
        let cost = listing.cost(PriceClass::default(), &million).unwrap();
        assert_eq!(cost.to_nano().to_string(), usd, "{provider} {model} {day}");
    }
    let listing = book.find("openai", "gpt-5.5", TODAY).unwrap();
    assert_eq!((listing.entry, listing.basis), ("gpt-5.5", Basis::Stated));
    assert!(listing.cost(class(ServiceTier::Batch, 0), &million).is_err());
    assert!(listing.cost(class(ServiceTier::Standard, 300_000), &million).is_ok());
}

#[test]
fn a_stated_price_of_anthropics_has_anthropics_cache_prices() {
    let own = Override { provider: Some("anthropic".to_owned()), ..stated("claude-next", "4") };
    let book = PriceBook::with_overrides(&[own]).unwrap();
    let listing = book.find("anthropic", "claude-next", TODAY).unwrap();
    let cost = listing.cost(PriceClass::default(), &EACH).unwrap();
    assert_eq!(cost.to_nano().to_string(), "27.4"); // 4 + 0.4 + 5 + 8 + 10
}

fn any_tokens() -> impl Strategy<Value = Tokens> {
    let field = || 0..=crate::TOKENS_MAX / 4;
    (field(), field(), field(), field(), field(), field(), 0..=100_u64).prop_map(
        |(input, cache_read, cache_write_5m, cache_write_1h, cache_write, output, percent)| {
            Tokens {
                input,
                cache_read,
                cache_write_5m,
                cache_write_1h,
                cache_write,
                output,
                reasoning: output / 100 * percent,
            }
        },
    )
}

fn any_class() -> impl Strategy<Value = PriceClass> {
    any::<u16>().prop_filter_map("a code without class", PriceClass::from_code)
}

proptest! {
    #[test]
    fn the_cost_of_a_sum_is_the_sum_of_the_costs(
        a in any_tokens(),
        b in any_tokens(),
        context in 0..1_000_000_u64,
        tier in prop::sample::select(vec!["standard", "batch", "flex", "priority"]),
        model in prop::sample::select(vec![
            "claude-opus-4-8", "gpt-6-luna", "moonshot/kimi-k3", "dashscope/qwen-plus-2025-04-28",
            "databricks/databricks-gemini-2-5-flash",
        ]),
    ) {
        let class = class(ServiceTier::of_source(tier), context);
        let book = PriceBook::embedded();
        let listing = book.find("", model, TODAY).unwrap();
        if let (Ok(cost_a), Ok(cost_b)) = (listing.cost(class, &a), listing.cost(class, &b)) {
            prop_assert_eq!(listing.cost(class, &a.plus(&b)), Ok(cost_a.plus(cost_b)));
        }
    }

    #[test]
    fn a_cost_is_never_negative_and_no_input_panics(
        entry in prop::sample::select(table::tests::names_of_all_models().collect::<Vec<_>>()),
        class in any_class(),
        tokens in any_tokens(),
        reasoning in any::<u64>(),
    ) {
        let book = PriceBook::embedded();
        let listing = book.find("", entry, TODAY).unwrap();
        if let Ok(cost) = listing.cost(class, &Tokens { reasoning, ..tokens }) {
            prop_assert!(cost >= YoctoUsd::ZERO);
        }
    }

    #[test]
    fn no_name_panics(provider in "\\PC{0,20}", model in "\\PC{0,300}", slashed in "[a-z/@.:é-]{0,40}") {
        let _found = find(&provider, &model);
        let _found = find(&provider, &slashed);
    }
}
