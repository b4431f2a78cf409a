//! OpenAI's usage and costs, and Anthropic's, which are told in the same way: buckets on pages.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::world::{Counts, DAY_S, Entry, KEYS, PROJECTS, World, decimal};

/// What is asked for, once it was found to be well-formed.
pub(crate) struct Asked<'a> {
    pub(crate) from_s: i64,
    pub(crate) until_s: i64,
    pub(crate) group: Vec<&'a str>,
    pub(crate) limit: usize,
    /// How many buckets were told on earlier pages.
    pub(crate) offset: usize,
}

/// Answers one request for a page.
pub(crate) fn answer(world: &World, request: &Request, family: &str) -> Answer {
    let dims = dims(family);
    match asked(world, request, dims) {
        Ok(asked) => page(world, &asked, |day, group| rows(world, family, day, group)),
        Err(refused) => refused,
    }
}

/// Lists of projects and of the keys of one, two on a page.
pub(crate) fn names(request: &Request, path: &str) -> Answer {
    let project = path.strip_prefix("/organization/projects/");
    let all: Vec<Value> = match project.map(|rest| rest.strip_suffix("/api_keys")) {
        None => PROJECTS
            .iter()
            .map(|id| {
                json!({"id": id, "object": "organization.project", "created_at": 1,
                    "name": format!("Name of {id}"), "status": "active"})
            })
            .collect(),
        Some(Some(project)) if PROJECTS.contains(&project) => {
            let at = PROJECTS.iter().position(|one| *one == project).unwrap_or(0);
            let keys = KEYS.iter().skip(2 * at).take(2);
            keys.map(|id| {
                json!({"id": id, "object": "organization.project.api_key", "created_at": 1,
                    "redacted_value": format!("sk-...{id}"), "last_used_at": null,
                    "name": if *id == "key_6" { Value::Null } else { json!(format!("Name of {id}")) },
                    "owner": {"type": "user"}})
            })
            .collect()
        }
        Some(_) => return Answer::error(404, "Project not found"),
    };
    let after = request.value("after").unwrap_or_default();
    let begin = all.iter().position(|one| one["id"] == after).map_or(0, |at| at + 1);
    let page: Vec<&Value> = all.iter().skip(begin).take(2).collect();
    let has_more = begin + page.len() < all.len();
    let id = |one: Option<&&Value>| one.map_or(Value::Null, |one| one["id"].clone());
    let body = json!({"object": "list", "data": page, "has_more": has_more,
        "first_id": id(page.first()), "last_id": id(page.last())});
    Answer::new(200, body.to_string())
}

/// What a family can be told apart by.
fn dims(family: &str) -> &'static [&'static str] {
    match family {
        "completions" | "decisions" => {
            &["project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "api_source"]
        }
        "costs" => &["project_id", "line_item", "api_key_id", "user_id", "api_source"],
        "vector_stores" | "code_interpreter_sessions" => &["project_id"],
        "images" => &["project_id", "user_id", "api_key_id", "model", "size", "source"],
        "file_search_calls" => &["project_id", "user_id", "api_key_id", "vector_store_id"],
        "web_search_calls" => &["project_id", "user_id", "api_key_id", "model", "context_level"],
        _ => &["project_id", "user_id", "api_key_id", "model"],
    }
}

/// Checks a request as strictly as the description says.
fn asked<'a>(world: &World, request: &'a Request, dims: &[&str]) -> Result<Asked<'a>, Answer> {
    let known =
        ["start_time", "end_time", "bucket_width", "limit", "group_by", "group_by[]", "page"];
    if let Some((name, _)) = request.query.iter().find(|(name, _)| !known.contains(&name.as_str()))
    {
        return Err(Answer::error(400, &format!("Unknown parameter: {name}")));
    }
    let number = |name: &str| request.value(name).and_then(|text| text.parse::<i64>().ok());
    let from_s =
        number("start_time").ok_or_else(|| Answer::error(400, "start_time is required"))?;
    let until_s = number("end_time").unwrap_or(world.plan.today_s + DAY_S);
    if request.value("bucket_width").unwrap_or("1d") != "1d" || until_s <= from_s {
        return Err(Answer::error(400, "only whole days are simulated"));
    }
    let group = request.values("group_by");
    for dim in &group {
        if !dims.contains(dim) || world.plan.refused_dims.contains(dim) {
            return Err(Answer::error(400, &format!("Unsupported group_by value: {dim}")));
        }
    }
    let limit = number("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(7);
    let offset = offset(request)?;
    Ok(Asked { from_s, until_s, group, limit: limit.min(world.plan.page_buckets), offset })
}

/// Where a cursor leads. It is opaque, and holds what was asked: sent with other parameters it is not
/// taken.
pub(crate) fn offset(request: &Request) -> Result<usize, Answer> {
    let Some(cursor) = request.value("page") else { return Ok(0) };
    let refused = || Answer::error(400, "Invalid page cursor");
    let text = cursor.strip_prefix("page_").ok_or_else(refused)?;
    let (offset, check) = text.split_once('_').ok_or_else(refused)?;
    if check == question(request) { offset.parse().map_err(|_| refused()) } else { Err(refused()) }
}

pub(crate) fn cursor(request: &Request, offset: usize) -> String {
    format!("page_{offset}_{}", question(request))
}

/// Everything that was asked but the page, as a hash.
fn question(request: &Request) -> String {
    let mut asked: Vec<String> = request
        .query
        .iter()
        .filter(|(name, _)| name != "page")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    asked.sort();
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", asked.concat().bytes().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// The days on a page, and whether there are more.
pub(crate) fn days(asked: &Asked<'_>) -> (Vec<i64>, bool) {
    let first = asked.from_s - asked.from_s.rem_euclid(DAY_S);
    let all = (0_i64..).map(|at| first + at * DAY_S).take_while(|day| *day < asked.until_s);
    let mut left: Vec<i64> = all.skip(asked.offset).take(asked.limit + 1).collect();
    let has_more = left.len() > asked.limit;
    left.truncate(asked.limit);
    (left, has_more)
}

fn page(world: &World, asked: &Asked<'_>, rows: impl Fn(i64, &[&str]) -> Vec<Value>) -> Answer {
    let (days, has_more) = days(asked);
    let next = asked.offset + days.len();
    let buckets = days.into_iter().map(|day| {
        let results = rows(day, &asked.group);
        let mut bucket = json!({
            "object": "bucket", "start_time": day, "end_time": day + DAY_S, "results": results,
        });
        if world.plan.is_live {
            bucket["start_time_iso"] = iso(day, results.is_empty()).into();
            bucket["end_time_iso"] = iso(day + DAY_S, results.is_empty()).into();
        }
        bucket
    });
    let body = json!({
        "object": "page",
        "data": buckets.collect::<Vec<_>>(),
        "has_more": has_more,
        "next_page": if has_more { json!(next) } else { Value::Null },
    });
    Answer::new(200, body.to_string())
}

/// A time as it was seen live: with its zone only where there is no usage.
fn iso(seconds: i64, has_zone: bool) -> String {
    let zone = if has_zone { "+00:00" } else { "" };
    format!("{}T00:00:00{zone}", date(seconds))
}

/// A day as `2026-11-20`, by Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
pub(crate) fn date(seconds: i64) -> String {
    let shifted = seconds.div_euclid(DAY_S) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn rows(world: &World, family: &str, day: i64, group: &[&str]) -> Vec<Value> {
    match family {
        "completions" => completions(world, day, group),
        "costs" => costs(world, day, group),
        // Other families are told, and hold nothing.
        _ => Vec::new(),
    }
}

/// The value of a dimension, null where it was not asked for.
pub(crate) fn value_of(entry: &Entry, dim: &str, group: &[&str]) -> Value {
    if !group.contains(&dim) {
        return Value::Null;
    }
    match dim {
        "project_id" => entry.project.into(),
        "user_id" => entry.user.into(),
        "api_key_id" => entry.key.into(),
        "model" => entry.model.into(),
        "batch" => entry.is_batch.into(),
        "service_tier" => entry.tier.into(),
        "api_source" => "responses".into(),
        _ => Value::Null,
    }
}

/// Rows of a day, told apart as was asked.
pub(crate) fn grouped(
    world: &World,
    day: i64,
    dims: &[&str],
    group: &[&str],
) -> BTreeMap<String, (Value, Counts)> {
    let mut rows: BTreeMap<String, (Value, Counts)> = BTreeMap::new();
    for (entry, counts) in world.told().filter(|(entry, _)| entry.day_s == day) {
        let fields = dims.iter().map(|dim| ((*dim).to_owned(), value_of(entry, dim, group)));
        let fields = Value::Object(fields.collect());
        let row = rows.entry(fields.to_string()).or_insert((fields, Counts::default()));
        row.1.add(counts);
    }
    rows
}

fn completions(world: &World, day: i64, group: &[&str]) -> Vec<Value> {
    let described = ["project_id", "user_id", "api_key_id", "model", "batch", "service_tier"];
    let dims = if group.contains(&"api_source") { dims("completions") } else { &described };
    let rows = grouped(world, day, dims, group).into_values().map(|(mut row, counts)| {
        let Counts { uncached, cached, written, output, requests } = counts;
        let counts = json!({
            "object": "organization.usage.completions.result",
            "input_tokens": uncached + cached + written,
            "input_cached_tokens": cached,
            "input_cache_write_tokens": written,
            "input_uncached_tokens": uncached,
            "output_tokens": output,
            "num_model_requests": requests,
        });
        merge(&mut row, counts);
        row
    });
    rows.collect()
}

fn costs(world: &World, day: i64, group: &[&str]) -> Vec<Value> {
    let mut rows: BTreeMap<String, (Value, i128)> = BTreeMap::new();
    for (entry, counts) in world.told().filter(|(entry, _)| entry.day_s == day) {
        let line = format!("{}, all tokens", entry.model);
        let line = if group.contains(&"line_item") { line.into() } else { Value::Null };
        let row = json!({
            "line_item": line,
            "project_id": value_of(entry, "project_id", group),
            "api_key_id": value_of(entry, "api_key_id", group),
        });
        rows.entry(row.to_string()).or_insert((row, 0)).1 += counts.cost_e19();
    }
    let is_live = world.plan.is_live;
    let rows = rows.into_values().map(|(mut row, cost)| {
        // Described as a number; live it is a text.
        let value = decimal(cost);
        let value = if is_live { Value::String(value) } else { exact_number(&value) };
        merge(
            &mut row,
            json!({
                "object": "organization.costs.result",
                "amount": {"value": value, "currency": "usd"},
                "quantity": null,
            }),
        );
        if is_live {
            let names = json!({"organization_id": "org-1", "organization_name": "Acme",
                "project_name": "A project"});
            merge(&mut row, names);
        }
        row
    });
    rows.collect()
}

/// A number of any length stands in the page as a text with a mark, which [`unmarked`] takes away:
/// a JSON number of this library would be a float.
pub(crate) fn exact_number(digits: &str) -> Value {
    Value::String(format!("\u{1}{digits}\u{1}"))
}

/// The page with numbers where marked texts were.
pub(crate) fn unmarked(body: &str) -> String {
    body.replace("\"\\u0001", "").replace("\\u0001\"", "")
}

fn merge(row: &mut Value, more: Value) {
    if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
        row.extend(more);
    }
}
