//! DeepSeek's platform: a ZIP archive with `amount-….csv` and `cost-….csv`.
//!
//! ```csv
//! user_id,start_time_iso,end_time_iso,model,api_key_name,api_key,type,price,amount
//! 00000000-…,2026-07-13T00:00:00+08:00,2026-07-14T00:00:00+08:00,deepseek-v4-pro,key-a,sk-519dd****7ad9,input_cache_hit_tokens,0.000000025,105402624
//! user_id,start_time_iso,end_time_iso,model,wallet_type,cost,currency
//! 00000000-…,2026-07-13T00:00:00+08:00,2026-07-14T00:00:00+08:00,deepseek-v4-pro,Paid,7.58,CNY
//! ```
//!
//! Source: exports of April to September 2026; older ones have `utc_date` (`2026-04-27` or `20260427`) in
//! the place of both times. One row is one kind of token; rows of the same dimensions add up. A day
//! begins at midnight of the zone that was chosen, mostly +08:00: it belongs to the UTC day in which it
//! begins. Money may be in yuan.

use trueup_core::{Dim, IssueCode, Measure};

use super::Format;
use super::row::{Row, a_day};
use crate::reading::shown;

/// Tokens and requests.
pub(super) const AMOUNT: Format = Format {
    kind: "deepseek_amount",
    title: "DeepSeek amounts",
    provider: "deepseek",
    family: "",
    has_parts: false,
    signature: &[START, &["api_key_name"], &["type"], &["price"], &["amount"]],
    is_whole: false,
    read: amount,
};

/// Costs.
pub(super) const COST: Format = Format {
    kind: "deepseek_cost",
    title: "DeepSeek costs",
    provider: "deepseek",
    family: "",
    has_parts: false,
    signature: &[START, &["wallet_type"], &["cost"]],
    is_whole: false,
    read: cost,
};

const START: &[&str] = &["start_time_iso", "utc_date"];
const END: &[&str] = &["end_time_iso"];

/// Characters at the end of a key that are shown.
const KEY_END_CHARS: usize = 4;

fn amount(row: &mut Row<'_>) {
    row.place(START, END, a_day);
    row.account("user_id");
    row.dims(&[("model", "model"), ("api_key_name", "api_key_name")]);
    if let Some(key) = row.take("api_key") {
        row.set_dim("api_key", Dim::Text(masked(key).into()));
    }
    row.note(&["price"]);
    match row.take("type").map(str::trim) {
        Some("input_cache_hit_tokens") => count(row, Measure::InCacheRead),
        Some("input_cache_miss_tokens") => count(row, Measure::InUncached),
        Some("input_tokens") => count(row, Measure::InUnsplit),
        Some("output_tokens") => count(row, Measure::Out),
        Some("request_count") => count(row, Measure::Requests),
        other => {
            let detail = format!("unknown type {}", shown(other.unwrap_or("of no name")));
            row.issue(IssueCode::SchemaDrift, detail);
            row.note(&["type", "amount"]);
        }
    }
}

fn count(row: &mut Row<'_>, measure: Measure) {
    let count = row.count("amount");
    row.set(measure, count);
}

fn cost(row: &mut Row<'_>) {
    row.place(START, END, a_day);
    row.account("user_id");
    row.dims(&[("model", "model"), ("wallet_type", "wallet_type")]);
    let amount = row.decimal("cost");
    let currency = row.take("currency");
    row.charge(amount, currency, None);
}

/// A key comes with its middle hidden; one that does not is no thing to keep.
fn masked(key: &str) -> String {
    if key.contains('*') {
        return key.to_owned();
    }
    let end: String = key.chars().rev().take(KEY_END_CHARS).collect();
    format!("****{}", end.chars().rev().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_not_hidden_is_hidden() {
        assert_eq!(masked("sk-519dd****7ad9"), "sk-519dd****7ad9");
        assert_eq!(masked("sk-5190000000007ad9"), "****7ad9");
    }
}
