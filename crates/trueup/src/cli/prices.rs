//! `trueup prices`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use serde_json::json;
use trueup_core::Tokens;
use trueup_core::prices::{Basis, Listing, PriceBook, PriceClass, ServiceTier, Spelling};

use super::load;
use super::report::EXIT_UNKNOWN;
use crate::config::Config;

/// Look into the price table
#[derive(Debug, Args)]
pub(super) struct Prices {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what a model costs, and why
    Show(Show),
}

#[derive(Debug, Args)]
struct Show {
    /// The model, as the agent writes it
    model: String,
    /// The provider that served it, as the agent writes it
    #[arg(long, default_value = "")]
    provider: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Tokens that a price is shown for.
const MILLION: u64 = 1_000_000;

/// The kinds of tokens, each a million of them.
fn kinds() -> [(&'static str, Tokens); 5] {
    let zero = Tokens::ZERO;
    [
        ("input", Tokens { input: MILLION, ..zero }),
        ("cache_read", Tokens { cache_read: MILLION, ..zero }),
        ("cache_write_5m", Tokens { cache_write_5m: MILLION, ..zero }),
        ("cache_write_1h", Tokens { cache_write_1h: MILLION, ..zero }),
        ("output", Tokens { output: MILLION, ..zero }),
    ]
}

impl Prices {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let Verb::Show(show) = self.verb;
        let book = load::prices(config)?;
        let today = crate::clock::now().zoned(&TimeZone::UTC).date();
        let listing = book.find(&show.provider, &show.model, today);
        let mut out = io::stdout().lock();
        if show.json {
            writeln!(out, "{:#}", json_of(&show, listing.as_ref()))?;
        } else {
            print(&show, listing.as_ref(), &mut out)?;
        }
        Ok(if listing.is_some() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_UNKNOWN) })
    }
}

fn print(show: &Show, listing: Option<&Listing<'_>>, out: &mut impl Write) -> Result<()> {
    let source = PriceBook::source();
    let Some(listing) = listing else {
        writeln!(
            out,
            "{}: no known price. Its calls are counted as unpriced, never as free.\n\
             Set one in a file that `prices` in trueup.toml names (docs/prices.md).",
            show.model
        )?;
        return Ok(());
    };
    writeln!(out, "{}: priced as {} ({})", show.model, listing.entry, why(listing))?;
    if listing.is_free() {
        writeln!(out, "Free.")?;
        return Ok(());
    }
    writeln!(
        out,
        "\n{:<24}{:>10}{:>10}{:>10}{:>10}",
        "USD per million tokens", "standard", "batch", "flex", "priority"
    )?;
    for (kind, tokens) in kinds() {
        let [standard, batch, flex, priority] =
            TIERS.map(|tier| price(listing, tier, &tokens).unwrap_or_else(|| "—".to_owned()));
        writeln!(out, "{kind:<24}{standard:>10}{batch:>10}{flex:>10}{priority:>10}")?;
    }
    if let Some(limit) = listing.prompt_tokens_max {
        writeln!(
            out,
            "\nLongest prompt: {limit} tokens. Long prompts may cost more: docs/prices.md."
        )?;
    }
    writeln!(out, "\nTable: LiteLLM {}, {}.", source.litellm_version, source.date)?;
    Ok(())
}

const TIERS: [ServiceTier; 4] =
    [ServiceTier::Standard, ServiceTier::Batch, ServiceTier::Flex, ServiceTier::Priority];

fn price(listing: &Listing<'_>, tier: ServiceTier, tokens: &Tokens) -> Option<String> {
    let class = PriceClass { tier, ..PriceClass::default() };
    listing.cost(class, tokens).ok().map(|cost| cost.to_nano().to_string())
}

fn why(listing: &Listing<'_>) -> &'static str {
    match (listing.basis, listing.spelling) {
        (Basis::Stated, _) => "your own price",
        (_, Spelling::Alias) => "by an alias",
        (_, Spelling::Stripped) => "without its date, region or version",
        (Basis::Provider, Spelling::AsWritten) => "the provider's price",
        (Basis::List, Spelling::AsWritten) => "the list price",
    }
}

fn json_of(show: &Show, listing: Option<&Listing<'_>>) -> serde_json::Value {
    let source = PriceBook::source();
    let prices = listing.map(|listing| {
        let tiers = TIERS.map(|tier| {
            let of_kind = kinds()
                .map(|(kind, tokens)| (kind.to_owned(), json!(price(listing, tier, &tokens))));
            (format!("{tier:?}").to_lowercase(), json!(serde_json::Map::from_iter(of_kind)))
        });
        json!({
            "entry": listing.entry,
            "why": why(listing),
            "is_free": listing.is_free(),
            "usd_per_million_tokens": serde_json::Map::from_iter(tiers),
        })
    });
    json!({
        "schema": 1,
        "model": show.model,
        "provider": show.provider,
        "price": prices,
        "table": {"source": "litellm", "version": source.litellm_version, "date": source.date},
    })
}
