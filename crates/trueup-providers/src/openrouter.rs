//! OpenRouter: activity by day, model and endpoint.
//!
//! ```json
//! {"data":[{"date":"2026-11-19","model":"openai/gpt-4.1","model_permaslug":"openai/gpt-4.1-2025-04-14",
//!  "endpoint_id":"550e8400-e29b-41d4-a716-446655440000","provider_name":"OpenAI","usage":0.015,
//!  "byok_usage_inference":0.012,"requests":5,"prompt_tokens":50,"completion_tokens":125,
//!  "reasoning_tokens":25}]}
//! ```
//!
//! Source: the documents of `GET /api/v1/activity`. It tells the last thirty whole days, all on one
//! page, in dollars. How many of the prompt tokens came from a cache is not told.

use trueup_core::{BilledWidth, Issue, Measure, Request, UnixMs};

use crate::fields::{Fields, shape_unknown};
use crate::reading::{Reading, Row};
use crate::{Ask, Auth, Family, Page, Provider};

/// OpenRouter.
#[derive(Debug)]
pub(crate) struct OpenRouter;

static FAMILIES: &[Family] = &[Family {
    name: "activity",
    path: "/activity",
    dims: &["model", "model_permaslug", "endpoint_id", "provider_name"],
    widths: &[BilledWidth::Day],
    days_max: 30,
    days_back_max: Some(30),
    is_of_past_days: true,
    lists_empty: false,
    is_optional: false,
}];

impl Provider for OpenRouter {
    fn id(&self) -> &'static str {
        "openrouter"
    }

    fn title(&self) -> &'static str {
        "OpenRouter"
    }

    fn address(&self) -> Option<&'static str> {
        Some("https://openrouter.ai/api/v1")
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn needs(&self) -> &'static str {
        "a management key, not one for inference"
    }

    fn families(&self) -> &'static [Family] {
        FAMILIES
    }

    /// Without a date it tells all that it has; one day alone can be asked for.
    fn request(&self, ask: &Ask<'_>) -> Request {
        let is_one_day = ask.span.buckets(BilledWidth::Day).count() == 1;
        let day = ask.span.from.utc_date();
        let query = if is_one_day { vec![("date".to_owned(), day)] } else { Vec::new() };
        Request { path: ask.family.path.into(), query, headers: Vec::new() }
    }

    fn page(&self, ask: &Ask<'_>, body: &[u8]) -> Result<Page, Issue> {
        let mut page = Fields::of_body(body)?;
        let mut reading = Reading::new(ask);
        let rows =
            page.list("data").ok_or_else(|| shape_unknown("the answer has no list `data`"))?;
        for raw in rows {
            let mut fields = Fields::of(raw).ok_or_else(|| shape_unknown("a row is no object"))?;
            let day = fields.text("date").and_then(|date| day(&date));
            let day = day.ok_or_else(|| shape_unknown("a row has no date"))?;
            // All days come where more than one was asked for.
            if ask.span.contains(day) && reading.bucket(day, None) {
                read_row(reading.row_of(day, fields));
            }
        }
        reading.unknown("page", page);
        reading.finish(false, None)
    }
}

/// Characters of `2026-11-19`.
const DATE_CHARS: usize = 10;

/// A day, also where a time of day stands behind it.
fn day(text: &str) -> Option<UnixMs> {
    UnixMs::parse_date(text.get(..DATE_CHARS)?)
}

fn read_row(mut row: Row<'_, '_>) {
    row.take_dims();
    row.take_measures(&[
        ("prompt_tokens", Measure::InUnsplit),
        ("completion_tokens", Measure::Out),
        ("reasoning_tokens", Measure::OutReasoning),
        ("requests", Measure::Requests),
    ]);
    if let Some(dollars) = row.take_decimal("usage") {
        row.charge(dollars, None);
    }
    row.keep(&["byok_usage_inference", "byok_requests"]);
    row.finish();
}
