//! `GET /api/usage`: what providers told of tokens, for those who used the system before this one.
//!
//! That system, cogni-track, kept a row for each window of time, key and model that `OpenAI` told; its
//! clients know these field names, and page by `limit` and `offset`.
//!
//! ```json
//! {"id":"5f0c…","model":"gpt-5.5","tokensIn":1200,"tokensOut":80,"costEstimate":"0.00184",
//!  "timestamp":"2026-11-20T00:00:00.000Z","provider":"openai"}
//! ```

use std::collections::BTreeSet;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use trueup_core::prices::{PriceBook, PriceClass, ServiceTier};
use trueup_core::{Dim, Key, Measure, Tokens, UnixMs, dims_json};
use trueup_ledger::{Reader, ToldDay, ToldRow};

use super::asked::{Asked, Kind, Parameter};
use super::{Endpoint, Failed, Sight};
use crate::parity::{Told, tells_usage};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/api/usage",
    about: "What providers told of tokens, in the field names of cogni-track; use the paths of /api/v1",
    parameters: &[PARAMETERS],
    answer,
};

/// Rows where nothing else is asked for, and most: as that system had it.
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 1_000;
/// Rows that may be passed over: all before the place that is asked for are read.
const OFFSET_MAX: u64 = 100_000;

const PARAMETERS: &[Parameter] = &[
    Parameter { name: "limit", about: "how many", kind: Kind::Count(1, LIMIT_MAX, LIMIT) },
    Parameter {
        name: "offset",
        about: "how many to pass over",
        kind: Kind::Count(0, OFFSET_MAX, 0),
    },
];

fn answer(asked: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    let offset = asked.count("offset", 0);
    let limit = asked.count("limit", usize::try_from(LIMIT).unwrap_or(usize::MAX));
    let reader = Reader::open(sight.kept.ledger())?.context("there is no ledger")?;
    let mut days = reader.told_days(UnixMs(i64::MIN), UnixMs(i64::MAX))?;
    let all = days.clone();
    let told = Told::of(&all);
    days.retain(|day| tells_usage(day, &told, &mut BTreeSet::new()));
    days.sort_by(|one, other| {
        let names = |day: &ToldDay| (day.connection.clone(), day.family.clone());
        (other.day, names(one)).cmp(&(one.day, names(other)))
    });
    let mut rows: Vec<Value> = Vec::new();
    let mut read = 0;
    for of_one_day in days.chunk_by(|one, other| one.day == other.day) {
        if read >= offset + limit {
            break;
        }
        let of_day = rows_of(&reader, of_one_day)?;
        let skipped = offset.saturating_sub(read);
        let wanted = of_day.iter().skip(skipped).take(limit - rows.len());
        rows.extend(wanted.map(|(day, row)| as_json(day, row, sight.book)));
        read += of_day.len();
    }
    Ok(json!({ "schema": 1, "events": rows }))
}

/// The rows of a day, the last first.
fn rows_of<'a>(
    reader: &Reader,
    days: &'a [ToldDay],
) -> Result<Vec<(&'a ToldDay, ToldRow)>, Failed> {
    let mut rows: Vec<(&ToldDay, ToldRow)> = Vec::new();
    for day in days {
        reader.told_rows(day, |row| rows.push((day, row)))?;
    }
    // By what tells them apart where they begin alike: a page must not depend on anything else.
    rows.sort_by_cached_key(|(day, row)| {
        let names = (day.connection.clone(), day.family.clone(), dims_json(&row.dims));
        (std::cmp::Reverse(row.start), names)
    });
    Ok(rows)
}

fn as_json(day: &ToldDay, row: &ToldRow, book: &PriceBook) -> Value {
    let count = |measure| row.measures.get(measure);
    let text = |names: &[&str]| -> Option<&str> {
        names.iter().find_map(|name| row.dims.get(*name)?.text())
    };
    let tokens = tokens(row);
    let end = UnixMs(row.start.0.saturating_add(day.width.ms()));
    json!({
        "id": id(day, row),
        "provider": day.provider,
        "model": text(&["model"]),
        "tokensIn": tokens.prompt(),
        "tokensOut": tokens.output,
        "costEstimate": cost(day, row, &tokens, book),
        "timestamp": row.start.to_string(),
        "windowStart": row.start.to_string(),
        "windowEnd": end.to_string(),
        "projectId": text(&["project_id", "workspace_id"]),
        "openaiUserId": text(&["user_id", "account_id"]),
        "openaiApiKeyId": text(&["api_key_id"]),
        "serviceTier": text(&["service_tier"]),
        "batch": match row.dims.get("batch") {
            Some(Dim::Bool(is_batch)) => Some(*is_batch),
            Some(Dim::Null | Dim::Text(_)) | None => None,
        },
        "numModelRequests": count(Measure::Requests),
        "inputCachedTokens": count(Measure::InCacheRead),
        "inputUncachedTokens": count(Measure::InUncached),
        "inputTextTokens": count(Measure::InText),
        "outputTextTokens": count(Measure::OutText),
        "inputCachedTextTokens": count(Measure::InTextCached),
        "inputAudioTokens": count(Measure::InAudio),
        "inputCachedAudioTokens": count(Measure::InAudioCached),
        "outputAudioTokens": count(Measure::OutAudio),
        "inputImageTokens": count(Measure::InImage),
        "inputCachedImageTokens": count(Measure::InImageCached),
        "outputImageTokens": count(Measure::OutImage),
    })
}

/// The same in every pull: what tells the row apart from every other.
fn id(day: &ToldDay, row: &ToldRow) -> String {
    let (start, dims) = (row.start.to_string(), dims_json(&row.dims));
    let key = Key::of("told", &[&*day.connection, &*day.family, &start, &dims]);
    format!("{:032x}", key.as_u128())
}

fn tokens(row: &ToldRow) -> Tokens {
    let sum = |measures: &[Measure]| {
        let told = measures.iter().filter_map(|measure| row.measures.get(*measure));
        told.fold(0, u64::saturating_add)
    };
    Tokens {
        input: sum(&[Measure::InUncached, Measure::InUnsplit]),
        cache_read: sum(&[Measure::InCacheRead]),
        cache_write_5m: sum(&[Measure::InCacheWrite5m]),
        cache_write_1h: sum(&[Measure::InCacheWrite1h]),
        cache_write: sum(&[
            Measure::InCacheWrite,
            Measure::InCacheWrite30m,
            Measure::InCacheWrite12h,
        ]),
        output: sum(&[Measure::Out]),
        reasoning: sum(&[Measure::OutReasoning]),
    }
}

/// What the row itself says that it cost, or what its tokens would at the prices of the table; a decimal
/// of dollars.
fn cost(day: &ToldDay, row: &ToldRow, tokens: &Tokens, book: &PriceBook) -> Option<String> {
    let charge = row.charge.as_ref().filter(|charge| &*charge.currency == "USD");
    if let Some(charge) = charge {
        return Some(charge.amount.to_string());
    }
    let text = |name: &str| row.dims.get(name).and_then(Dim::text);
    let tier = match row.dims.get("batch") {
        Some(Dim::Bool(true)) => ServiceTier::Batch,
        _ => ServiceTier::of_source(text("service_tier").unwrap_or_default()),
    };
    let date = row.start.zoned(&TimeZone::UTC).date();
    let listing = book.find(&day.provider, text("model")?, date)?;
    let class = PriceClass { tier, ..PriceClass::default() };
    listing.cost(class, tokens).ok().map(|cost| cost.to_nano().to_string())
}
