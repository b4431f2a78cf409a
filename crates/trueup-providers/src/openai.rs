//! OpenAI: usage of the organization by family, and its costs.
//!
//! ```json
//! {"object":"page","data":[{"object":"bucket","start_time":1777593600,"end_time":1777680000,
//!  "results":[{"object":"organization.usage.completions.result","input_tokens":1000,
//!  "input_cached_tokens":400,"output_tokens":500,"num_model_requests":5,"project_id":"proj_a",
//!  "model":"gpt-4.1-2025-04-14","batch":false,"service_tier":"default"}]}],
//!  "has_more":true,"next_page":"page_AAAAAGk"}
//! ```
//!
//! Source: the official API description of 2026-08-21, the typed models of the Python SDK 3.52, and
//! answers seen live, which differ from both: amounts come as texts (`"0E-6176"`), and names stand
//! beside ids. `input_tokens` holds cached ones; ours are disjoint.

mod names;

use trueup_core::{BilledWidth, IssueCode, Measure, Request, UnixMs};

use crate::fields::{Fields, shape_unknown};
use crate::reading::{Reading, Row};
use crate::{Ask, Auth, Cursor, Family, NamesOf, NamesPage, Page, Provider};

/// OpenAI.
#[derive(Debug)]
pub(crate) struct OpenAi;

const ALL_WIDTHS: &[BilledWidth] = &[BilledWidth::Day, BilledWidth::Hour, BilledWidth::Minute];

const fn usage(
    name: &'static str,
    path: &'static str,
    dims: &'static [&'static str],
    is_optional: bool,
) -> Family {
    Family {
        name,
        path,
        dims,
        widths: ALL_WIDTHS,
        days_max: 31,
        days_back_max: None,
        is_of_past_days: false,
        lists_empty: true,
        is_optional,
    }
}

const COMPLETION_DIMS: &[&str] =
    &["model", "project_id", "api_key_id", "service_tier", "batch", "user_id", "api_source"];
const MODEL_DIMS: &[&str] = &["model", "project_id", "api_key_id", "user_id"];

static FAMILIES: &[Family] = &[
    usage("usage/completions", "/organization/usage/completions", COMPLETION_DIMS, false),
    usage("usage/embeddings", "/organization/usage/embeddings", MODEL_DIMS, false),
    usage("usage/moderations", "/organization/usage/moderations", MODEL_DIMS, false),
    usage(
        "usage/images",
        "/organization/usage/images",
        &["model", "project_id", "api_key_id", "user_id", "size", "source"],
        false,
    ),
    usage("usage/audio_speeches", "/organization/usage/audio_speeches", MODEL_DIMS, false),
    usage(
        "usage/audio_transcriptions",
        "/organization/usage/audio_transcriptions",
        MODEL_DIMS,
        false,
    ),
    usage("usage/vector_stores", "/organization/usage/vector_stores", &["project_id"], false),
    usage(
        "usage/code_interpreter_sessions",
        "/organization/usage/code_interpreter_sessions",
        &["project_id"],
        false,
    ),
    usage(
        "usage/file_search_calls",
        "/organization/usage/file_search_calls",
        &["project_id", "api_key_id", "user_id", "vector_store_id"],
        true,
    ),
    usage(
        "usage/web_search_calls",
        "/organization/usage/web_search_calls",
        &["model", "project_id", "api_key_id", "user_id", "context_level"],
        true,
    ),
    usage("usage/decisions", "/organization/usage/decisions", COMPLETION_DIMS, true),
    Family {
        name: "costs",
        path: "/organization/costs",
        dims: &["line_item", "project_id", "api_key_id", "user_id", "api_source"],
        widths: &[BilledWidth::Day],
        days_max: 180,
        days_back_max: None,
        is_of_past_days: true,
        lists_empty: true,
        is_optional: false,
    },
];

/// Counts that are measures as they are. Token counts are converted by [`tokens`].
fn counts(family: &str) -> &'static [(&'static str, Measure)] {
    match family {
        "usage/images" => &[("images", Measure::Images), ("num_model_requests", Measure::Requests)],
        "usage/audio_speeches" => {
            &[("characters", Measure::Characters), ("num_model_requests", Measure::Requests)]
        }
        "usage/audio_transcriptions" => {
            &[("seconds", Measure::Seconds), ("num_model_requests", Measure::Requests)]
        }
        "usage/vector_stores" => &[("usage_bytes", Measure::Bytes)],
        "usage/code_interpreter_sessions" => &[("num_sessions", Measure::Sessions)],
        "usage/file_search_calls" => &[("num_requests", Measure::FileSearches)],
        "usage/web_search_calls" => {
            &[("num_requests", Measure::WebSearches), ("num_model_requests", Measure::Requests)]
        }
        _ => &[("num_model_requests", Measure::Requests)],
    }
}

/// Parts of the token counts, for information.
pub(crate) const PARTS: &[(&str, Measure)] = &[
    ("input_text_tokens", Measure::InText),
    ("input_audio_tokens", Measure::InAudio),
    ("input_image_tokens", Measure::InImage),
    ("input_cached_text_tokens", Measure::InTextCached),
    ("input_cached_audio_tokens", Measure::InAudioCached),
    ("input_cached_image_tokens", Measure::InImageCached),
    ("output_text_tokens", Measure::OutText),
    ("output_audio_tokens", Measure::OutAudio),
    ("output_image_tokens", Measure::OutImage),
];

impl Provider for OpenAi {
    fn id(&self) -> &'static str {
        "openai"
    }

    fn title(&self) -> &'static str {
        "OpenAI"
    }

    fn address(&self) -> Option<&'static str> {
        Some("https://api.openai.com/v1")
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn needs(&self) -> &'static str {
        "an admin key (sk-admin-…) of the organization with the scope api.usage.read"
    }

    fn families(&self) -> &'static [Family] {
        FAMILIES
    }

    fn request(&self, ask: &Ask<'_>) -> Request {
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let mut query = vec![
            pair("start_time", (ask.span.from.0 / 1_000).to_string()),
            pair("end_time", (ask.span.until.0 / 1_000).to_string()),
            pair("bucket_width", ask.width_word().to_owned()),
            pair("limit", ask.buckets_max().to_string()),
        ];
        query.extend(ask.group.iter().map(|dim| pair("group_by[]", (*dim).to_owned())));
        query.extend(ask.page.iter().map(|page| pair("page", page.text().to_owned())));
        Request { path: ask.family.path.into(), query, headers: Vec::new() }
    }

    fn page(&self, ask: &Ask<'_>, body: &[u8]) -> Result<Page, trueup_core::Issue> {
        let mut page = Fields::of_body(body)?;
        let mut reading = Reading::new(ask);
        let buckets =
            page.list("data").ok_or_else(|| shape_unknown("the answer has no list `data`"))?;
        for bucket in buckets {
            let bucket =
                Fields::of(bucket).ok_or_else(|| shape_unknown("a bucket is no object"))?;
            read_bucket(&mut reading, ask, bucket)?;
        }
        let (has_more, next) = page.next_page();
        page.take("object");
        reading.unknown("page", page);
        reading.finish(has_more, next)
    }

    fn names_request(&self, of: NamesOf<'_>, after: Option<&Cursor>) -> Option<Request> {
        names::request(of, after)
    }

    fn names_page(&self, of: NamesOf<'_>, body: &[u8]) -> Result<NamesPage, trueup_core::Issue> {
        names::page(of, body)
    }
}

fn read_bucket(
    reading: &mut Reading<'_>,
    ask: &Ask<'_>,
    mut bucket: Fields<'_>,
) -> Result<(), trueup_core::Issue> {
    let start = time(&mut bucket, "start_time", "start_time_iso");
    let end = time(&mut bucket, "end_time", "end_time_iso");
    let start = start.ok_or_else(|| shape_unknown("a bucket has no start_time"))?;
    // Older answers call the list `result`.
    let rows = bucket.list("results").or_else(|| bucket.list("result"));
    let rows = rows.ok_or_else(|| shape_unknown("a bucket has no list `results`"))?;
    bucket.take("object");
    if reading.bucket(start, end) {
        for row in rows {
            if let Some(row) = reading.row(start, row) {
                read_row(row, ask.family);
            }
        }
    }
    reading.unknown("bucket", bucket);
    Ok(())
}

/// Seconds since 1970, or where they are missing the same as a text, which without a zone is in UTC.
fn time(bucket: &mut Fields<'_>, seconds: &str, text: &str) -> Option<UnixMs> {
    let told = bucket.number(seconds).and_then(|seconds| seconds.checked_mul(1_000)).map(UnixMs);
    let text = bucket.text(text);
    told.or_else(|| {
        let text = text?;
        UnixMs::parse_rfc3339(&text).or_else(|| UnixMs::parse_rfc3339(&format!("{text}Z")))
    })
}

fn read_row(mut row: Row<'_, '_>, family: &Family) {
    row.take_dims();
    row.take_name("project", "project_id", "project_name");
    row.take_name("user", "user_id", "user_email");
    row.take_name("key", "api_key_id", "api_key_name");
    row.skip(&["object", "organization_id", "organization_name", "start_time_iso", "end_time_iso"]);
    if family.name == "costs" {
        cost(&mut row);
    } else {
        tokens(&mut row);
        row.take_measures(PARTS);
        row.take_measures(counts(family.name));
    }
    row.expect(
        "service_tier",
        &["default", "auto", "flex", "priority", "scale", "batch", "incentivized-tier"],
    );
    row.finish();
}

fn tokens(row: &mut Row<'_, '_>) {
    let told = Told {
        input: row.take_count("input_tokens"),
        cached: row.take_count("input_cached_tokens"),
        written: row.take_count("input_cache_write_tokens"),
        written_30m: row.take_count("input_cache_write_30m_tokens"),
        written_12h: row.take_count("input_cache_write_12h_tokens"),
        uncached: row.take_count("input_uncached_tokens"),
        output: row.take_count("output_tokens"),
    };
    let (counts, holds) = told.disjoint();
    if !holds {
        row.issue(IssueCode::IdentityBroken, IDENTITY_BROKEN);
    }
    for (measure, count) in counts {
        row.set(measure, count);
    }
}

/// What is wrong where the parts of the input are not its whole.
pub(crate) const IDENTITY_BROKEN: &str =
    "input_tokens is not the sum of uncached, cached and cache-write tokens";

/// Token counts as OpenAI tells them: the input holds all others but the output.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) input: Option<u64>,
    pub(crate) cached: Option<u64>,
    pub(crate) written: Option<u64>,
    pub(crate) written_30m: Option<u64>,
    pub(crate) written_12h: Option<u64>,
    pub(crate) uncached: Option<u64>,
    pub(crate) output: Option<u64>,
}

impl Told {
    /// Disjoint counts of ones that hold each other, and whether input = uncached + cached + written to
    /// a cache, as it must be.
    pub(crate) fn disjoint(&self) -> ([(Measure, Option<u64>); 6], bool) {
        let Self { input, cached, written, written_30m, written_12h, uncached, output } = *self;
        let timed = written_30m.unwrap_or(0).saturating_add(written_12h.unwrap_or(0));
        let written_all = written.unwrap_or(timed);
        let other = cached.unwrap_or(0).saturating_add(written_all);
        let left = input.map(|input| input.checked_sub(other));
        let adds_up = left
            .is_none_or(|left| left.is_some() && uncached.is_none_or(|told| left == Some(told)));
        // The whole is what is charged: where its parts do not add up, it is the uncached part that
        // gives.
        let counts = [
            (Measure::InUncached, left.map(Option::unwrap_or_default).or(uncached)),
            (Measure::InCacheRead, cached),
            (Measure::InCacheWrite30m, written_30m),
            (Measure::InCacheWrite12h, written_12h),
            (Measure::InCacheWrite, written.map(|written| written.saturating_sub(timed))),
            (Measure::Out, output),
        ];
        (counts, adds_up && written_all >= timed)
    }
}

fn cost(row: &mut Row<'_, '_>) {
    if let Some(mut amount) = row.take_object("amount") {
        let value = amount.take_some("value").and_then(|raw| row.decimal_of("amount.value", raw));
        let currency = row.currency_in("amount.currency", amount.take_some("currency"));
        row.rest_of("amount", amount);
        match value {
            Some(value) => row.charge(value, currency),
            None => row.issue(IssueCode::NumberInvalid, "amount.value is missing or no number"),
        }
    }
    let quantity = row.take_decimal("quantity");
    let unit = row.take_text("quantity_unit");
    row.quantity(quantity, unit);
}
