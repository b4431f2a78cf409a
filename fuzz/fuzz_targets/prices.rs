//! Any text as a file of stated prices, and as the name of a model.

#![no_main]

use jiff::civil::date;
use trueup_core::PriceClass;
use trueup_core::Tokens;
use trueup_core::prices::{Override, PriceBook};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFile {
    #[serde(default)]
    price: Vec<Override>,
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let tokens = Tokens { input: 7, cache_read: 11, output: 13, reasoning: 5, ..Tokens::ZERO };
    let price = |book: &PriceBook, provider: &str, model: &str| {
        let listing = book.find(provider, model, date(2026, 11, 20));
        if let Some(cost) = listing.and_then(|it| it.cost(PriceClass::default(), &tokens).ok()) {
            assert!(cost.to_nano().0 >= 0, "no price is negative");
        }
    };
    let (provider, model) = text.split_once('\n').unwrap_or(("", text));
    price(&PriceBook::embedded(), provider, model);
    let Ok(file) = toml::from_str::<PriceFile>(text) else { return };
    let Ok(book) = PriceBook::with_overrides(&file.price) else { return };
    for stated in &file.price {
        price(&book, stated.provider.as_deref().unwrap_or_default(), &stated.model);
    }
});
