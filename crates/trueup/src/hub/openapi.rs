//! What devices may send, and what they are answered, as `OpenAPI` says it.
//!
//! `docs/hub-openapi.json` is this with the paths of questions about the account.

use serde_json::{Map, Value, json};

use super::request::RECORDS_MAX;

/// The paths that a hub has beside those of questions.
pub(crate) fn paths() -> Map<String, Value> {
    let paths = ["/v1/ingest", "/api/traces/ingest"].map(|path| (path.to_owned(), ingest(path)));
    paths.into_iter().chain([("/health".to_owned(), health())]).collect()
}

fn ingest(path: &str) -> Value {
    let id = path.trim_matches('/').replace('/', "_");
    let error = |about: &str| {
        json!({"description": about, "content": {"application/json": {
        "schema": {"$ref": "#/components/schemas/error"}}}})
    };
    json!({"post": {
        "operationId": id,
        "summary": "What a device tells",
        "description": "docs/push.md says what each record means. The body may be packed with gzip or zstd.",
        "security": [{"token": []}],
        "parameters": [
            {"name": "results", "in": "query", "required": false,
             "description": "`all`: what became of each record",
             "schema": {"type": "string", "enum": ["all"]}},
            {"name": "Idempotency-Key", "in": "header", "required": false,
             "description": "`batch.id` once more", "schema": {"type": "string"}},
        ],
        "requestBody": {"required": true, "content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/batch"}}}},
        "responses": {
            "200": {
                "description": "All of it is in the store for good, but for what is rejected",
                "headers": {
                    "Trueup-Ingest-Versions": {"schema": {"type": "string"}},
                    "Idempotent-Replayed": {"schema": {"type": "string"}},
                },
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/taken"}}},
            },
            "400": error("The body is not a batch"),
            "401": error("No token, or one that opens nothing"),
            "403": error("The token is not a device's"),
            "408": error("The body took too long, or was altered on its way: send the same again"),
            "409": error("Another batch has this id"),
            "413": error("Too large, or too many records: the limit is in `error`"),
            "415": error("Packed in a way that is not read"),
            "426": error("Of a format that this hub does not read; nothing was taken"),
            "503": error("The store cannot be written: send the same again after `Retry-After` seconds"),
        },
    }})
}

fn health() -> Value {
    json!({"get": {
        "operationId": "health",
        "summary": "Whether the hub lives",
        "security": [],
        "responses": {
            "200": {"description": "It lives", "content": {"application/json": {"schema": {"type": "object"}}}},
            "503": {"description": "Its store does not answer", "content": {"application/json": {"schema": {"type": "object"}}}},
        },
    }})
}

/// What they refer to.
pub(crate) fn schemas() -> Value {
    let text = json!({"type": "string"});
    let count = json!({"type": "integer", "minimum": 0});
    let ms = json!({"type": ["integer", "null"], "description": "Unix milliseconds"});
    json!({
        "error": {"type": "object", "required": ["error"], "properties": {"error": text}},
        "batch": {
            "type": "object",
            "required": ["events"],
            "properties": {
                "v": {"const": 1, "description": "The version of the format; then `batch` is there, too"},
                "batch": {
                    "type": "object",
                    "required": ["id", "created_at", "first_seq", "last_seq", "sha256"],
                    "properties": {
                        "id": {"type": "string", "maxLength": 256},
                        "created_at": {"type": "integer"},
                        "count": count,
                        "first_seq": count,
                        "last_seq": {"type": "integer", "minimum": -1},
                        "sha256": {"type": "string", "description": "Of the bytes of `events`, in hexadecimal digits"},
                    },
                },
                "source": {
                    "type": "object",
                    "properties": {
                        "id": text, "epoch": text, "host": text, "agent": text, "version": text,
                        "status": {"type": ["object", "null"], "properties": {
                            "waiting": count, "oldest_waiting_at": ms, "dropped": count,
                            "refused": count, "last_read_at": ms,
                        }},
                    },
                },
                "events": {"type": "array", "maxItems": RECORDS_MAX, "items": {"$ref": "#/components/schemas/event"}},
            },
        },
        "event": {
            "type": "object",
            "required": ["type", "data"],
            "properties": {
                "type": {"enum": ["llm_trace", "llm_trace_retracted", "error_event", "custom_event", "system_metric"]},
                "seq": {"type": "integer"},
                "id": {"type": "string", "format": "uuid"},
                "is_cut": {"type": "boolean"},
                "data": {
                    "type": "object",
                    "properties": {"trace_id": text, "created_at": {"type": "integer"}},
                },
            },
        },
        "taken": {
            "type": "object",
            "required": ["v", "accepted", "duplicates", "rejected", "ack", "next_push_seconds", "heartbeat_seconds"],
            "properties": {
                "v": {"const": 1},
                "accepted": count,
                "duplicates": {"type": ["integer", "null"], "minimum": 0},
                "rejected": {"type": "array", "items": {
                    "type": "object",
                    "required": ["seq", "id", "code", "message", "retryable"],
                    "properties": {
                        "seq": {"type": ["integer", "null"]}, "id": {"type": ["string", "null"]},
                        "code": text, "message": text, "retryable": {"type": "boolean"},
                    },
                }},
                "ack": {"type": "object", "properties": {"seq": {"type": ["integer", "null"]}}},
                "newest_at": {"type": ["integer", "null"], "description": "When the newest other batch of this `source.id` was made"},
                "next_push_seconds": {"type": "integer", "minimum": 1, "maximum": 3_600},
                "heartbeat_seconds": {"type": "integer", "minimum": 1, "maximum": 3_600},
                "results": {"type": "array", "items": {"type": "object"}},
            },
        },
    })
}
