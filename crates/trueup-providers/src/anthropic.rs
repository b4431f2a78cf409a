//! Anthropic: usage of messages, the cost report, that of Claude Code, and the newer analytics where
//! they are offered.
//!
//! ```json
//! {"data":[{"starting_at":"2026-05-01T00:00:00Z","ending_at":"2026-05-02T00:00:00Z","results":[
//!  {"uncached_input_tokens":700000,"cache_read_input_tokens":300000,
//!   "cache_creation":{"ephemeral_5m_input_tokens":100000,"ephemeral_1h_input_tokens":0},
//!   "output_tokens":5000,"server_tool_use":{"web_search_requests":2},
//!   "model":"claude-opus-4-6","workspace_id":null,"service_tier":"standard"}]}],
//!  "has_more":false,"next_page":null}
//! ```
//!
//! Source: the typed models of the Python SDK 2.11 and the documents of the admin API. Amounts are
//! cents in a text. Counts are disjoint already. The usage report tells no number of requests; the
//! analytics do, and list rows instead of buckets.

mod claude_code;

use serde_json::value::RawValue;
use trueup_core::{BilledWidth, Issue, IssueCode, Measure, Request, UnixMs};

use crate::fields::{Fields, shape_unknown};
use crate::reading::{Reading, Row};
use crate::{Ask, Auth, Family, Page, Provider};

/// Anthropic.
#[derive(Debug)]
pub(crate) struct Anthropic;

/// The header that every request has.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");
const ANALYTICS: &str = "analytics-usage-cost-2026-08-24";

static FAMILIES: &[Family] = &[
    Family {
        name: "usage/messages",
        path: "/organizations/usage_report/messages",
        dims: &[
            "model",
            "workspace_id",
            "api_key_id",
            "service_tier",
            "context_window",
            "inference_geo",
            "account_id",
            "service_account_id",
        ],
        widths: &[BilledWidth::Day, BilledWidth::Hour, BilledWidth::Minute],
        days_max: 31,
        days_back_max: None,
        is_of_past_days: false,
        lists_empty: true,
        is_optional: false,
    },
    Family {
        name: "costs",
        path: "/organizations/cost_report",
        dims: &["description", "workspace_id"],
        widths: &[BilledWidth::Day],
        days_max: 31,
        days_back_max: None,
        is_of_past_days: true,
        lists_empty: true,
        is_optional: false,
    },
    Family {
        name: claude_code::NAME,
        path: "/organizations/usage_report/claude_code",
        dims: &[],
        widths: &[BilledWidth::Day],
        days_max: 1,
        days_back_max: None,
        is_of_past_days: false,
        lists_empty: false,
        is_optional: true,
    },
    analytics(
        "analytics/usage",
        "/organizations/analytics/usage",
        &["model", "workspace_id", "api_key_id", "service_tier", "context_window"],
    ),
    analytics(
        "analytics/cost",
        "/organizations/analytics/cost",
        &["model", "workspace_id", "api_key_id", "cost_type", "token_type"],
    ),
];

const fn analytics(
    name: &'static str,
    path: &'static str,
    dims: &'static [&'static str],
) -> Family {
    Family {
        name,
        path,
        dims,
        widths: &[BilledWidth::Day],
        days_max: 31,
        days_back_max: Some(365),
        is_of_past_days: true,
        lists_empty: false,
        is_optional: true,
    }
}

fn is_analytics(family: &Family) -> bool {
    family.name.starts_with("analytics/")
}

impl Provider for Anthropic {
    fn id(&self) -> &'static str {
        "anthropic"
    }

    fn title(&self) -> &'static str {
        "Anthropic"
    }

    fn address(&self) -> Option<&'static str> {
        Some("https://api.anthropic.com/v1")
    }

    fn auth(&self) -> Auth {
        Auth::Header("x-api-key")
    }

    fn needs(&self) -> &'static str {
        "an admin key (sk-ant-admin…) of the organization, or for the analytics one with read:analytics"
    }

    fn families(&self) -> &'static [Family] {
        FAMILIES
    }

    fn request(&self, ask: &Ask<'_>) -> Request {
        let pair = |name: &str, value: String| (name.to_owned(), value);
        if ask.family.name == claude_code::NAME {
            // It takes one day, and no end.
            let mut query = vec![
                pair("starting_at", ask.span.from.utc_date()),
                pair("limit", "1000".to_owned()),
            ];
            query.extend(ask.page.iter().map(|page| pair("page", page.text().to_owned())));
            return Request { path: ask.family.path.into(), query, headers: vec![VERSION] };
        }
        let is_analytics = is_analytics(ask.family);
        let width_name = if is_analytics { "time_bucket_width" } else { "bucket_width" };
        let mut query = vec![
            pair("starting_at", seconds(ask.span.from)),
            pair("ending_at", seconds(ask.span.until)),
            pair(width_name, ask.width_word().to_owned()),
            pair("limit", if is_analytics { 1_000 } else { ask.buckets_max() }.to_string()),
        ];
        query.extend(ask.group.iter().map(|dim| pair("group_by[]", (*dim).to_owned())));
        if is_analytics {
            query.push(pair("order_by", "time".to_owned()));
        }
        query.extend(ask.page.iter().map(|page| pair("page", page.text().to_owned())));
        let mut headers = vec![VERSION];
        if is_analytics {
            headers.push(("anthropic-beta", ANALYTICS));
        }
        Request { path: ask.family.path.into(), query, headers }
    }

    fn page(&self, ask: &Ask<'_>, body: &[u8]) -> Result<Page, Issue> {
        let mut page = Fields::of_body(body)?;
        let mut reading = Reading::new(ask);
        let data =
            page.list("data").ok_or_else(|| shape_unknown("the answer has no list `data`"))?;
        for one in data {
            if ask.family.name == claude_code::NAME {
                claude_code::read(&mut reading, one)?;
            } else if is_analytics(ask.family) {
                read_analytics(&mut reading, one)?;
            } else {
                read_bucket(&mut reading, ask.family, one)?;
            }
        }
        let (has_more, next) = page.next_page();
        for field in ["organization_id", "data_refreshed_at"] {
            page.take(field);
        }
        reading.unknown("page", page);
        reading.finish(has_more, next)
    }
}

/// RFC 3339 in whole seconds.
fn seconds(time: UnixMs) -> String {
    time.to_string().replace(".000Z", "Z")
}

/// Where a bucket or a row begins and ends.
fn times(fields: &mut Fields<'_>) -> Result<(UnixMs, Option<UnixMs>), Issue> {
    let mut time = |name: &str| fields.text(name).and_then(|text| UnixMs::parse_rfc3339(&text));
    let (start, end) = (time("starting_at"), time("ending_at"));
    Ok((start.ok_or_else(|| shape_unknown("a bucket has no starting_at"))?, end))
}

fn read_bucket(reading: &mut Reading<'_>, family: &Family, raw: &RawValue) -> Result<(), Issue> {
    let mut bucket = Fields::of(raw).ok_or_else(|| shape_unknown("a bucket is no object"))?;
    let (start, end) = times(&mut bucket)?;
    let rows = bucket.list("results");
    let rows = rows.ok_or_else(|| shape_unknown("a bucket has no list `results`"))?;
    if reading.bucket(start, end) {
        for row in rows {
            if let Some(row) = reading.row(start, row) {
                read_row(row, family);
            }
        }
    }
    reading.unknown("bucket", bucket);
    Ok(())
}

fn read_row(mut row: Row<'_, '_>, family: &Family) {
    row.take_dims();
    if family.name == "costs" {
        // What the description says again, in parts.
        for dim in
            ["model", "cost_type", "token_type", "service_tier", "context_window", "inference_geo"]
        {
            if let Some(text) = row.take_text(dim) {
                row.set_dim(dim, trueup_core::Dim::Text(text.as_str().into()));
            }
        }
        charge(&mut row);
        row.expect("cost_type", &["tokens", "web_search", "code_execution", "session_usage"]);
    } else {
        tokens(&mut row);
    }
    row.expect(
        "service_tier",
        &["standard", "batch", "priority", "priority_on_demand", "flex", "flex_discount"],
    );
    row.finish();
}

/// Amounts are cents.
fn charge(row: &mut Row<'_, '_>) {
    let currency = row.fields.take_some("currency");
    let currency = row.currency_in("currency", currency);
    if let Some(amount) = row.take_cents("amount") {
        row.charge(amount, currency);
    }
}

/// Counts as they are: disjoint.
fn tokens(row: &mut Row<'_, '_>) {
    row.take_measures(&[
        ("uncached_input_tokens", Measure::InUncached),
        ("cache_read_input_tokens", Measure::InCacheRead),
        ("output_tokens", Measure::Out),
    ]);
    let within = [
        ("cache_creation", "ephemeral_5m_input_tokens", Measure::InCacheWrite5m),
        ("cache_creation", "ephemeral_1h_input_tokens", Measure::InCacheWrite1h),
        ("server_tool_use", "web_search_requests", Measure::WebSearches),
    ];
    for object in ["cache_creation", "server_tool_use"] {
        let Some(mut fields) = row.take_object(object) else { continue };
        for (_, field, measure) in within.iter().filter(|(within, ..)| *within == object) {
            let count = fields.take_some(field).and_then(|raw| row.count_of(field, raw));
            row.set(*measure, count);
        }
        row.rest_of(object, fields);
    }
}

fn read_analytics(reading: &mut Reading<'_>, raw: &RawValue) -> Result<(), Issue> {
    let mut fields = Fields::of(raw).ok_or_else(|| shape_unknown("a row is no object"))?;
    let (start, end) = times(&mut fields)?;
    if !reading.bucket(start, end) {
        return Ok(());
    }
    let (group, cost) = (fields.take_some("group"), fields.take_some("cost"));
    let usage = fields.take_some("usage");
    let Some(values) = cost.or(usage) else {
        reading.issue(IssueCode::ShapeUnknown, "a row has neither usage nor cost");
        return Ok(());
    };
    if let Some(mut row) = reading.row(start, values) {
        let group = group.and_then(|raw| row.object_in("group", raw));
        for (name, raw) in group.unwrap_or_default().into_each() {
            row.dim_within(&name, raw);
        }
        row.rest_of("row", fields);
        if cost.is_some() {
            charge(&mut row);
            row.keep(&["list_amount"]);
        } else {
            tokens(&mut row);
            row.skip(&["total_tokens"]);
        }
        row.take_measures(&[("requests", Measure::Requests)]);
        row.finish();
    }
    Ok(())
}
