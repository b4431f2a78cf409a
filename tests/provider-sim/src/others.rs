//! Anthropic, OpenRouter and LiteLLM: the same world, told in their words.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::http::{Answer, Request};
use crate::openai::{Asked, date, days, grouped, offset, value_of};
use crate::world::{Counts, DAY_S, World, decimal};

/// Seconds of a time such as `2026-11-01T00:00:00Z`; days only.
fn seconds(text: &str, world: &World) -> Option<i64> {
    let last = world.plan.today_s + 400 * DAY_S;
    let day = text.get(..10)?;
    (0..2_000).map(|back| last - back * DAY_S).find(|seconds| date(*seconds) == day)
}

/// Anthropic's usage report and cost report.
pub(crate) fn anthropic(world: &World, request: &Request, is_cost: bool) -> Answer {
    if request.header("anthropic-version").is_empty() {
        return Answer::error(400, "anthropic-version: header is required");
    }
    let time = |name: &str| request.value(name).and_then(|text| seconds(text, world));
    let Some(from_s) = time("starting_at") else {
        return Answer::error(400, "starting_at: Field required");
    };
    let until_s = time("ending_at").unwrap_or(world.plan.today_s);
    if is_cost && until_s > world.plan.today_s {
        return Answer::error(400, "ending_at: costs are told of completed days only");
    }
    let offset = match offset(request) {
        Ok(offset) => offset,
        Err(refused) => return refused,
    };
    let group = request.values("group_by");
    let asked = Asked { from_s, until_s, group, limit: world.plan.page_buckets, offset };
    let (days, has_more) = days(&asked);
    let next = asked.offset + days.len();
    let buckets = days.into_iter().map(|day| {
        let rows = if is_cost { costs(world, day) } else { messages(world, day, &asked.group) };
        json!({
            "starting_at": format!("{}T00:00:00Z", date(day)),
            "ending_at": format!("{}T00:00:00Z", date(day + DAY_S)),
            "results": rows,
        })
    });
    let body = json!({
        "data": buckets.collect::<Vec<_>>(),
        "has_more": has_more,
        "next_page": if has_more { json!(next) } else { Value::Null },
    });
    Answer::new(200, body.to_string())
}

fn messages(world: &World, day: i64, group: &[&str]) -> Vec<Value> {
    let dims = ["model", "api_key_id"];
    let rows = grouped(world, day, &dims, group).into_values().map(|(row, counts)| {
        let Counts { uncached, cached, written, output, .. } = counts;
        let tier = if group.contains(&"service_tier") { json!("standard") } else { Value::Null };
        json!({
            "model": row["model"], "api_key_id": row["api_key_id"], "workspace_id": null,
            "service_tier": tier, "context_window": null, "inference_geo": null,
            "account_id": null, "service_account_id": null,
            "uncached_input_tokens": uncached,
            "cache_read_input_tokens": cached,
            "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
            "output_tokens": output,
            "server_tool_use": {"web_search_requests": 0},
        })
    });
    rows.collect()
}

fn costs(world: &World, day: i64) -> Vec<Value> {
    let rows = grouped(world, day, &["model"], &["model"]).into_values().map(|(row, counts)| {
        let description = format!("{} Usage", row["model"].as_str().unwrap_or_default());
        json!({
            // Cents.
            "amount": decimal(counts.cost_e19() * 100), "currency": "USD", "cost_type": "tokens",
            "token_type": null, "description": description, "workspace_id": null,
            "model": row["model"], "context_window": null, "service_tier": "standard",
            "inference_geo": null,
        })
    });
    rows.collect()
}

/// Dimensions that the analytics list in every row, null where they were not asked for.
const LISTED: &[&str] = &[
    "actor",
    "actor_type",
    "agent_id",
    "api_key_id",
    "context_window",
    "cost_type",
    "inference_geo",
    "model",
    "product",
    "service_tier",
    "session_id",
    "speed",
    "token_type",
    "workspace_id",
];

/// Anthropic's analytics: rows with usage, in the order of time, so many on a page.
pub(crate) fn analytics(world: &World, request: &Request, is_cost: bool) -> Answer {
    if !request.header("anthropic-beta").contains("analytics-usage-cost-2026-08-24") {
        return Answer::error(400, "anthropic-beta: header is required");
    }
    let time = |name: &str| request.value(name).and_then(|text| seconds(text, world));
    let (Some(from_s), Some(until_s)) = (time("starting_at"), time("ending_at")) else {
        return Answer::error(400, "starting_at: Field required");
    };
    let offset = match offset(request) {
        Ok(offset) => offset,
        Err(refused) => return refused,
    };
    let group = request.values("group_by");
    if group.len() > 5 || request.value("time_bucket_width") != Some("1d") {
        return Answer::error(400, "at most 5 values of group_by, in buckets of 1d");
    }
    let days = (0..(until_s - from_s) / DAY_S).map(|at| from_s + at * DAY_S);
    let rows = days.flat_map(|day| {
        grouped(world, day, &["model", "api_key_id"], &group)
            .into_values()
            .map(move |(row, counts)| (day, row, counts))
    });
    let limit = request.value("limit").and_then(|limit| limit.parse().ok()).unwrap_or(20);
    let limit = limit.min(world.plan.page_buckets * 3);
    let mut told: Vec<Value> = rows
        .skip(offset)
        .take(limit + 1)
        .map(|(day, row, counts)| analytics_row(day, &row, counts, is_cost))
        .collect();
    let has_more = told.len() > limit;
    told.truncate(limit);
    let next = if has_more { json!(offset + limit) } else { Value::Null };
    let body = json!({"data": told, "has_more": has_more, "next_page": next,
        "data_refreshed_at": format!("{}T00:00:00Z", date(world.plan.today_s))});
    Answer::new(200, body.to_string())
}

fn analytics_row(day: i64, row: &Value, counts: Counts, is_cost: bool) -> Value {
    let known = if is_cost { LISTED } else { &LISTED[..5] };
    let names = known.iter().chain(
        ["inference_geo", "model", "product", "service_tier", "speed", "workspace_id"].iter(),
    );
    let group: Map<String, Value> =
        names.map(|name| ((*name).to_owned(), row[*name].clone())).collect();
    let Counts { uncached, cached, written, output, requests } = counts;
    let cost = decimal(counts.cost_e19() * 100);
    let told = if is_cost {
        json!({"amount": cost, "list_amount": cost, "currency": "USD", "requests": null})
    } else {
        json!({
            "uncached_input_tokens": uncached, "cache_read_input_tokens": cached,
            "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
            "output_tokens": output, "total_tokens": uncached + cached + written + output,
            "requests": requests, "server_tool_use": {"web_search_requests": 0},
        })
    };
    json!({
        "starting_at": format!("{}T00:00:00Z", date(day)),
        "ending_at": format!("{}T00:00:00Z", date(day + DAY_S)),
        "group": group, if is_cost { "cost" } else { "usage" }: told,
    })
}

/// The report of Claude Code: one day, a record for each key, with its models.
pub(crate) fn claude_code(world: &World, request: &Request) -> Answer {
    let asked = request.value("starting_at").filter(|text| text.len() == "2026-11-01".len());
    let Some(day) = asked.and_then(|text| seconds(text, world)) else {
        return Answer::error(400, "starting_at: a date is required");
    };
    if request.value("ending_at").is_some() || !request.values("group_by").is_empty() {
        return Answer::error(400, "extra inputs are not permitted");
    }
    let offset = match offset(request) {
        Ok(offset) => offset,
        Err(refused) => return refused,
    };
    let dims = ["api_key_id", "model"];
    let mut records: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (row, counts) in grouped(world, day, &dims, &dims).into_values() {
        let Counts { uncached, cached, written, output, .. } = counts;
        let key = row["api_key_id"].as_str().unwrap_or_default().to_owned();
        records.entry(key).or_default().push(json!({
            "model": row["model"],
            "tokens": {"input": uncached, "output": output, "cache_read": cached,
                "cache_creation": written},
            "estimated_cost": {"currency": "USD", "amount": 7},
        }));
    }
    let has_more = records.len() > offset + world.plan.page_buckets;
    let told = records.into_iter().skip(offset).take(world.plan.page_buckets);
    let told = told.map(|(key, models)| {
        json!({
            "date": format!("{}T00:00:00Z", date(day)), "organization_id": "org_1",
            "customer_type": "api", "subscription_type": null, "terminal_type": "vscode",
            "actor": {"type": "api_actor", "api_key_name": key},
            "core_metrics": {"num_sessions": 2, "lines_of_code": {"added": 1, "removed": 0},
                "commits_by_claude_code": 0, "pull_requests_by_claude_code": 0},
            "tool_actions": {}, "model_breakdown": models,
        })
    });
    let next = if has_more { json!(offset + world.plan.page_buckets) } else { Value::Null };
    let body = json!({"data": told.collect::<Vec<_>>(), "has_more": has_more, "next_page": next});
    Answer::new(200, body.to_string())
}

/// OpenRouter's activity: thirty whole days on one page.
pub(crate) fn openrouter(world: &World, request: &Request) -> Answer {
    let asked = request.value("date").map(str::to_owned);
    let told = (1..=30).map(|age| world.plan.today_s - age * DAY_S);
    let told: Vec<i64> =
        told.filter(|day| asked.as_ref().is_none_or(|asked| *asked == date(*day))).collect();
    if told.is_empty() {
        return Answer::error(400, "Date must be within the last 30 completed UTC days");
    }
    let rows = told.into_iter().flat_map(|day| {
        grouped(world, day, &["model"], &["model"]).into_values().map(move |(row, counts)| {
            json!({
                "date": date(day), "model": row["model"], "model_permaslug": row["model"],
                "endpoint_id": "e1", "provider_name": "Sim", "byok_usage_inference": 0,
                "usage": crate::openai::exact_number(&decimal(counts.cost_e19())),
                "requests": counts.requests, "completion_tokens": counts.output,
                "prompt_tokens": counts.uncached + counts.cached + counts.written,
                "reasoning_tokens": 0,
            })
        })
    });
    Answer::new(200, json!({ "data": rows.collect::<Vec<_>>() }).to_string())
}

/// LiteLLM's aggregated daily activity.
pub(crate) fn litellm(world: &World, request: &Request) -> Answer {
    let (Some(first), Some(last)) = (request.value("start_date"), request.value("end_date")) else {
        return Answer::error(400, "Please provide start_date and end_date");
    };
    let told = (0..world.plan.days).map(|age| world.plan.today_s - age * DAY_S);
    let told = told.filter(|day| (first..=last).contains(&date(*day).as_str()));
    let results = told.map(|day| json!({"date": date(day), "metrics": {}, "breakdown": {"models": models(world, day)}}));
    Answer::new(200, json!({"results": results.collect::<Vec<_>>(), "metadata": {}}).to_string())
}

fn models(world: &World, day: i64) -> Value {
    let group = ["model", "api_key_id"];
    let mut models: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut sums: BTreeMap<(String, String), Counts> = BTreeMap::new();
    for (entry, counts) in world.told().filter(|(entry, _)| entry.day_s == day) {
        let text = |dim: &str| value_of(entry, dim, &group).as_str().unwrap_or_default().to_owned();
        sums.entry((text("model"), text("api_key_id"))).or_default().add(counts);
    }
    for ((model, key), counts) in sums {
        let metrics = json!({
            "spend": crate::openai::exact_number(&decimal(counts.cost_e19())),
            "prompt_tokens": counts.uncached + counts.cached + counts.written,
            "completion_tokens": counts.output, "cache_read_input_tokens": counts.cached,
            "cache_creation_input_tokens": counts.written, "api_requests": counts.requests,
            "successful_requests": counts.requests, "failed_requests": 0, "total_tokens": 0,
        });
        let row = json!({"metrics": metrics, "metadata": {"key_alias": null, "team_id": null}});
        models.entry(model).or_default().insert(key, row);
    }
    let models = models.into_iter().map(|(model, keys)| {
        (model, json!({"metrics": {}, "metadata": {}, "api_key_breakdown": keys}))
    });
    Value::Object(models.collect())
}
