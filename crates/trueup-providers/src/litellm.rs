//! LiteLLM: daily activity of a proxy, by model and key.
//!
//! ```json
//! {"results":[{"date":"2026-11-19","metrics":{…},"breakdown":{"models":{"gpt-5":{"metrics":{"spend":0.5,
//!  "prompt_tokens":100,"completion_tokens":20,"cache_read_input_tokens":40,
//!  "cache_creation_input_tokens":0,"api_requests":3},"api_key_breakdown":{"88dc…":{"metrics":{…},
//!  "metadata":{"key_alias":"ci"}}}}}}}],"metadata":{…}}
//! ```
//!
//! Source: the proxy 1.106, `GET /user/daily/activity/aggregated`, which has no pages: those of the
//! plain endpoint divide days anywhere. A proxy tells what it has computed, not what it was charged.
//! Its prompt tokens hold cached ones.

use serde_json::value::RawValue;
use trueup_core::{BilledWidth, Dim, Issue, IssueCode, Measure, Request, UnixMs};

use crate::fields::{Fields, shape_unknown};
use crate::reading::Reading;
use crate::{Ask, Auth, Family, Page, Provider};

/// LiteLLM.
#[derive(Debug)]
pub(crate) struct LiteLlm;

static FAMILIES: &[Family] = &[Family {
    name: "daily_activity",
    path: "/user/daily/activity/aggregated",
    dims: &["model", "api_key"],
    widths: &[BilledWidth::Day],
    days_max: 31,
    days_back_max: None,
    is_of_past_days: false,
    lists_empty: false,
    is_optional: false,
}];

impl Provider for LiteLlm {
    fn id(&self) -> &'static str {
        "litellm"
    }

    fn title(&self) -> &'static str {
        "LiteLLM"
    }

    fn address(&self) -> Option<&'static str> {
        None
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn needs(&self) -> &'static str {
        "the master key, or one of a user with the role proxy_admin or proxy_admin_viewer"
    }

    fn families(&self) -> &'static [Family] {
        FAMILIES
    }

    /// Both days are within what is asked for.
    fn request(&self, ask: &Ask<'_>) -> Request {
        let last = UnixMs(ask.span.until.0 - 1);
        let query = vec![
            ("start_date".to_owned(), ask.span.from.utc_date()),
            ("end_date".to_owned(), last.utc_date()),
        ];
        Request { path: ask.family.path.into(), query, headers: Vec::new() }
    }

    fn page(&self, ask: &Ask<'_>, body: &[u8]) -> Result<Page, Issue> {
        let mut page = Fields::of_body(body)?;
        let mut reading = Reading::new(ask);
        let days = page
            .list("results")
            .ok_or_else(|| shape_unknown("the answer has no list `results`"))?;
        for raw in days {
            let mut day = Fields::of(raw).ok_or_else(|| shape_unknown("a day is no object"))?;
            let date = day.text("date").unwrap_or_default();
            let start = UnixMs::parse_date(&date);
            let start = start.ok_or_else(|| shape_unknown("a day has no date"))?;
            if reading.bucket(start, None) {
                read_day(&mut reading, start, day)?;
            }
        }
        // Sums of what the rows say.
        page.take("metadata");
        reading.unknown("page", page);
        reading.finish(false, None)
    }
}

/// A day lists what it holds by model. One without that list is of a shape that is not known: taken for
/// a day without usage it would withdraw every row that is known of it.
fn read_day(reading: &mut Reading<'_>, start: UnixMs, mut day: Fields<'_>) -> Result<(), Issue> {
    day.take("metrics");
    let models = day.object("breakdown").and_then(|mut parts| parts.object("models"));
    let models = models.ok_or_else(|| shape_unknown("a day has no breakdown by model"))?;
    for (model, raw) in models.into_each() {
        let Some(mut fields) = Fields::of(raw) else {
            reading.issue(IssueCode::ShapeUnknown, "a model of a day is no object");
            continue;
        };
        let metrics = fields.take("metrics");
        let keys = fields.take_some("api_key_breakdown").map(Fields::of);
        if keys.as_ref().is_some_and(Option::is_none) {
            let detail =
                "the breakdown of a model by key is no object: the model counts as a whole";
            reading.issue(IssueCode::ShapeUnknown, detail);
        }
        let mut is_any = false;
        for (key, raw) in keys.flatten().unwrap_or_default().into_each() {
            is_any = true;
            let Some(mut fields) = Fields::of(raw) else {
                reading.issue(IssueCode::ShapeUnknown, "a key of a model is no object");
                continue;
            };
            let alias = fields.object("metadata").and_then(|mut data| data.text("key_alias"));
            reading.name("key", Some(key.clone()), alias);
            read_row(reading, start, &model, Some(key), fields.take("metrics"));
        }
        if !is_any {
            read_row(reading, start, &model, None, metrics);
        }
    }
    reading.unknown("day", day);
    Ok(())
}

fn read_row(
    reading: &mut Reading<'_>,
    start: UnixMs,
    model: &str,
    key: Option<String>,
    metrics: Option<&RawValue>,
) {
    let Some(metrics) = metrics else {
        reading.issue(IssueCode::ShapeUnknown, "a model or a key has no metrics");
        return;
    };
    let Some(mut row) = reading.row(start, metrics) else { return };
    row.set_dim("model", Dim::Text(model.into()));
    if let Some(key) = key {
        row.set_dim("api_key", Dim::Text(key.as_str().into()));
    }
    let prompt = row.take_count("prompt_tokens");
    let (read, written) =
        (row.take_count("cache_read_input_tokens"), row.take_count("cache_creation_input_tokens"));
    let cached = read.unwrap_or(0).saturating_add(written.unwrap_or(0));
    let left = prompt.map(|prompt| prompt.checked_sub(cached));
    if left == Some(None) {
        row.issue(IssueCode::IdentityBroken, "prompt_tokens is less than what came from caches");
    }
    // A provider that keeps cached tokens out of the prompt is passed through by the proxy.
    row.set(Measure::InUncached, left.and_then(|left| left.or(prompt)));
    row.set(Measure::InCacheRead, read);
    row.set(Measure::InCacheWrite, written);
    row.take_measures(&[("completion_tokens", Measure::Out), ("api_requests", Measure::Requests)]);
    if let Some(dollars) = row.take_decimal("spend") {
        row.charge(dollars, None);
    }
    row.keep(&["successful_requests", "failed_requests"]);
    row.skip(&["total_tokens"]);
    row.finish();
}
