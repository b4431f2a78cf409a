//! OpenRouter's activity.
//!
//! ```csv
//! Date,Slug,Usage,BYOK Usage,Requests,Prompt Tokens,Completion Tokens,Reasoning Tokens
//! "2026-05-12 00:00:00","anthropic/claude-opus-4.7","430.07","0","4115","70965665","3009973","0"
//! ```
//!
//! Source: an export of May 2026. Days are in UTC. It is not told how many prompt tokens came from a
//! cache. `BYOK Usage` is what another provider charges for one's own key: it is no part of the bill.

use trueup_core::Measure;

use super::Format;
use super::row::{Row, a_day};

/// Activity by day and model.
pub(super) const ACTIVITY: Format = Format {
    kind: "openrouter_activity",
    title: "OpenRouter activity",
    provider: "openrouter",
    family: "activity",
    has_parts: false,
    signature: &[&["date"], &["slug"], &["usage"], &["requests"]],
    is_whole: false,
    read: activity,
};

fn activity(row: &mut Row<'_>) {
    row.place(&["date"], &[], a_day);
    row.dims(&[("model", "slug"), ("provider_name", "provider"), ("api_key_name", "api key")]);
    row.measures(&[
        ("prompt tokens", Measure::InUnsplit),
        ("completion tokens", Measure::Out),
        ("reasoning tokens", Measure::OutReasoning),
        ("requests", Measure::Requests),
    ]);
    let amount = row.decimal("usage");
    row.charge(amount, None, Some("USD"));
    row.note(&["byok usage"]);
}
