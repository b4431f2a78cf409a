//! `GET /openapi.json`: the paths and their parameters, out of the list that answers them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use clap::ValueEnum as _;
use serde_json::{Map, Value, json};

use super::asked::{Kind, Parameter};
use super::{App, ENDPOINTS, Endpoint, export, live, reply, verbs};
use crate::export::Format;
use crate::hub::openapi as hub;
use crate::question::Question;

pub(super) const PATH: &str = "/openapi.json";

pub(super) async fn answer(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let mut description = description(app.known.questions);
    if app.is_hub {
        add_hub(&mut description);
    }
    reply::of(&description, &headers)
}

/// Adds what devices send to a hub.
fn add_hub(description: &mut Value) {
    if let Some(Value::Object(paths)) = description.pointer_mut("/paths") {
        for (path, _) in verbs::PATHS.iter().filter(|(_, name)| *name == verbs::OF_LEDGER) {
            let path = paths.get_mut(*path);
            if let Some(Value::Object(responses)) =
                path.and_then(|path| path.pointer_mut("/get/responses"))
            {
                let about = "It is not known of an account on ClickHouse";
                responses.insert("501".to_owned(), problem(about));
            }
        }
        paths.extend(hub::paths());
    }
    if let Some(Value::Object(components)) = description.pointer_mut("/components") {
        components.insert("schemas".to_owned(), hub::schemas());
    }
    // Nothing is answered without a token, wherever it listens.
    if let Some(description) = description.as_object_mut() {
        description.insert("security".to_owned(), json!([{"token": []}]));
    }
}

fn description(questions: &'static [Question]) -> Value {
    let own = ENDPOINTS.iter().map(|one| (one.path.to_owned(), of_endpoint(one)));
    let of_verbs = verbs::PATHS.iter().filter_map(|(path, name)| {
        let question = questions.iter().find(|question| question.name == *name)?;
        Some(((*path).to_owned(), of_question(question)))
    });
    let export = [(export::PATH.to_owned(), of_export())];
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "trueup",
            "summary": "The account of what AI agents use",
            "description": "docs/usage-api.md says what each answer means.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": own.chain(of_verbs).chain(export).chain([of_live()]).collect::<Map<_, _>>(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                "wrong": problem("A parameter is not known, or wrong; `error` names it"),
                "forbidden": problem("Not from here, or not without the token"),
                "missing": problem("There is nothing of that name"),
                "busy": problem("The ledger is busy; try again after `Retry-After` seconds"),
            },
        },
        "security": [{}, {"token": []}],
    })
}

fn problem(about: &str) -> Value {
    let schema = json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}},
    });
    json!({"description": about, "content": {"application/json": {"schema": schema}}})
}

fn of_endpoint(endpoint: &Endpoint) -> Value {
    let parameters = endpoint.parameters.iter().copied().flatten().map(of_parameter);
    operation(endpoint.path, endpoint.about, &parameters.collect())
}

/// It answers with a file, without a tag.
fn of_export() -> Value {
    let parameters = export::PARAMETERS.iter().copied().flatten().map(of_parameter);
    let mut described = operation(export::PATH, export::ABOUT, &parameters.collect());
    let kinds = Format::value_variants().iter().map(|format| format.ending_and_type().1);
    let content: Map<_, _> = kinds.map(|kind| (kind.to_owned(), json!({}))).collect();
    if let Some(Value::Object(responses)) = described.pointer_mut("/get/responses") {
        responses.insert("200".to_owned(), json!({"description": "The file", "content": content}));
        responses.remove("304");
    }
    described
}

fn of_parameter(parameter: &Parameter) -> Value {
    let is_segment = matches!(parameter.kind, Kind::Segment);
    json!({
        "name": parameter.name,
        "in": if is_segment { "path" } else { "query" },
        "required": is_segment,
        "description": parameter.about,
        "schema": parameter.kind.schema(),
    })
}

/// The one path whose answer does not end.
fn of_live() -> (String, Value) {
    let told = json!({
        "description": "Events named `usage`, for as long as the client listens",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    });
    (live::PATH.to_owned(), operation_telling(live::PATH, live::ABOUT, &json!([]), &told))
}

fn of_question(question: &Question) -> Value {
    let parameters = question.properties().into_iter().map(|(name, mut schema)| {
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        json!({"name": name, "in": "query", "description": about, "schema": schema})
    });
    operation(question.name, question.about, &parameters.collect())
}

fn operation(id: &str, about: &str, parameters: &Value) -> Value {
    let schema = json!({"type": "object", "required": ["schema"],
        "properties": {"schema": {"type": "integer"}}});
    let told = json!({
        "description": "The answer",
        "headers": {"ETag": {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": schema}},
    });
    operation_telling(id, about, parameters, &told)
}

fn operation_telling(id: &str, about: &str, parameters: &Value, told: &Value) -> Value {
    let id: String = id
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' })
        .collect();
    let of = |name: &str| json!({"$ref": format!("#/components/responses/{name}")});
    json!({"get": {
        "operationId": id.trim_matches('_'),
        "summary": about,
        "parameters": parameters,
        "responses": {
            "200": told,
            "304": {"description": "As the tag in `If-None-Match` says"},
            "400": of("wrong"),
            "401": of("forbidden"),
            "403": of("forbidden"),
            "404": of("missing"),
            "414": {"description": "The address is longer than is read"},
            "431": {"description": "The address and the headers are longer than is read"},
            "503": of("busy"),
        },
    }})
}
