//! Anthropic's console: tokens, and costs.
//!
//! ```csv
//! usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed
//! 2026-03-22 14:00,claude-sonnet-4-20250514,ci,Default,standard,≤ 200k,100000,0,0,0,5000,10,not_available,
//! usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,inference_geo,speed,api_key_id,api_key_status
//! 2026-08-15,Claude Haiku 4.5,Default,ci,message,≤ 200k,input_no_cache,0.19,0.19,token,global,,apikey_x,active
//! ```
//!
//! Source: exports of December 2024 to September 2026, which have ever more columns. Keys and workspaces
//! come by their names, models of costs by their display names: they stay as they are. Costs are in
//! dollars, where the interface has cents.

use trueup_core::{HOUR_MS, Measure, UnixMs};

use super::Format;
use super::row::Row;

/// Tokens.
pub(super) const TOKENS: Format = Format {
    kind: "anthropic_tokens",
    title: "Anthropic tokens",
    provider: "anthropic",
    family: "usage/messages",
    has_parts: false,
    signature: &[START, &["usage_output_tokens"], &["usage_input_tokens_no_cache"]],
    is_whole: false,
    read: tokens,
};

/// Costs.
pub(super) const COST: Format = Format {
    kind: "anthropic_cost",
    title: "Anthropic costs",
    provider: "anthropic",
    family: "costs",
    has_parts: false,
    signature: &[START, &["cost_usd"]],
    is_whole: false,
    read: cost,
};

const START: &[&str] = &["usage_date_utc"];

const DIMS: &[(&str, &str)] = &[
    ("workspace_name", "workspace"),
    ("api_key_name", "api_key"),
    ("api_key_id", "api_key_id"),
    ("workspace_id", "workspace_id"),
    ("usage_type", "usage_type"),
    ("context_window", "context_window"),
    ("inference_geo", "inference_geo"),
    ("speed", "speed"),
];

/// `YYYY-MM-DD HH:00` is an hour.
const fn width(start: UnixMs) -> u32 {
    if start.0 % HOUR_MS == 0 { 60 } else { 1 }
}

fn tokens(row: &mut Row<'_>) {
    row.place(START, &[], width);
    row.dims(DIMS);
    row.dims(&[("model", "model_version")]);
    row.note(&["api_key_status"]);
    row.measures(&[
        ("usage_input_tokens_no_cache", Measure::InUncached),
        ("usage_input_tokens_cache_write_5m", Measure::InCacheWrite5m),
        ("usage_input_tokens_cache_write_1h", Measure::InCacheWrite1h),
        ("usage_input_tokens_cache_read", Measure::InCacheRead),
        ("usage_output_tokens", Measure::Out),
        ("web_search_count", Measure::WebSearches),
    ]);
}

fn cost(row: &mut Row<'_>) {
    row.place(START, &[], width);
    row.dims(DIMS);
    row.dims(&[("model", "model"), ("token_type", "token_type"), ("cost_type", "cost_type")]);
    let amount = row.decimal("cost_usd");
    row.charge(amount, None, Some("USD"));
    row.note(&["list_price_usd", "api_key_status"]);
}
