//! OpenAI's dashboard: usage of completions, and costs.
//!
//! ```csv
//! start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens,…
//! 1793491200,1793577600,2026-11-01T00:00:00,2026-11-02T00:00:00,proj_a,3.0,,key_a,gpt-4.1-2025-04-14,False,default,1000,200,400,600,…
//! 1793577600,1793664000,2026-11-02T00:00:00+00:00,2026-11-03T00:00:00+00:00,,0,,,,,,0,0,0,0,…
//! ```
//!
//! Source: the usage export of 2025 with 24 columns, cost exports of October 2025 and September 2026, and
//! descriptions of both. A bucket is a minute where one day was exported. Requests come as `3.0`. Both
//! forms of time stand in one file, with and without a zone: the seconds count. A bucket without usage
//! is a row of zeros, or of a time alone, and an export in which nothing was used has no other columns.

use trueup_core::{IssueCode, Measure};

use super::Format;
use super::row::{Row, a_day};
use crate::openai::{IDENTITY_BROKEN, PARTS, Told};

/// Usage of completions.
pub(super) const USAGE: Format = Format {
    kind: "openai_usage",
    title: "OpenAI usage",
    provider: "openai",
    family: "usage/completions",
    has_parts: false,
    signature: &[START, &["input_tokens"], &["output_tokens"]],
    is_whole: false,
    read: usage,
};

/// Costs.
pub(super) const COST: Format = Format {
    kind: "openai_cost",
    title: "OpenAI costs",
    provider: "openai",
    family: "costs",
    has_parts: false,
    signature: &[START, &["amount_value"]],
    is_whole: false,
    read: cost,
};

/// An export of either in which nothing was used.
pub(super) const EMPTY: Format = Format {
    kind: "openai_empty",
    title: "OpenAI, nothing used",
    provider: "openai",
    family: "",
    has_parts: false,
    signature: &[&["start_time"], &["end_time"], &["start_time_iso"], &["end_time_iso"]],
    is_whole: true,
    read: place,
};

const START: &[&str] = &["start_time", "start_time_iso"];
const END: &[&str] = &["end_time", "end_time_iso"];

fn place(row: &mut Row<'_>) {
    row.place(START, END, a_day);
}

fn ids(row: &mut Row<'_>) {
    row.dims(&[
        ("project_id", "project_id"),
        ("user_id", "user_id"),
        ("api_key_id", "api_key_id"),
        ("api_source", "api_source"),
    ]);
    row.account("organization_id");
    row.note(&[
        "organization_name",
        "project_name",
        "user_email",
        "user_name",
        "api_key_name",
        "api_key_redacted",
    ]);
}

fn usage(row: &mut Row<'_>) {
    place(row);
    ids(row);
    row.dims(&[("model", "model"), ("service_tier", "service_tier")]);
    row.bool_dim("batch");
    let told = Told {
        input: row.count("input_tokens"),
        cached: row.count("input_cached_tokens"),
        written: row.count("input_cache_write_tokens"),
        written_30m: row.count("input_cache_write_30m_tokens"),
        written_12h: row.count("input_cache_write_12h_tokens"),
        uncached: row.count("input_uncached_tokens"),
        output: row.count("output_tokens"),
    };
    let (counts, holds) = told.disjoint();
    if !holds {
        row.issue(IssueCode::IdentityBroken, IDENTITY_BROKEN);
    }
    for (measure, count) in counts {
        let is_split = told.cached.is_some() || told.written.is_some() || told.uncached.is_some();
        let is_unsplit = measure == Measure::InUncached && !is_split;
        // Older exports do not say what came from a cache: that is not nothing.
        row.set(if is_unsplit { Measure::InUnsplit } else { measure }, count);
    }
    row.measures(PARTS);
    row.measures(&[("num_model_requests", Measure::Requests)]);
}

fn cost(row: &mut Row<'_>) {
    place(row);
    ids(row);
    row.dims(&[("line_item", "line_item")]);
    let amount = row.decimal("amount_value");
    let currency = row.take("amount_currency");
    row.charge(amount, currency, Some("USD"));
    let quantity = row.decimal("quantity");
    let unit = row.take("quantity_unit");
    row.quantity(quantity, unit);
}
