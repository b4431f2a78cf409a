//! The Model Context Protocol, as far as a server of tools needs it: JSON-RPC 2.0, one message a line.
//!
//! From the specifications of 2024-11-05 to 2026-07-28. The first four begin with a handshake, and what
//! changed between them is in capabilities that this server has not; batches, which two of them have,
//! are answered in each. Since 2026-07-28 there is no handshake: each request carries its version. As
//! nothing is remembered from one request to the next, both are answered side by side.

use serde_json::{Map, Value, json};

/// What a tool gives, or why it cannot.
pub(super) type Answered = Result<Value, String>;

/// Tools that can be called.
pub(super) trait Tools {
    /// Their descriptions, as `tools/list` gives them.
    fn list(&self) -> Value;

    /// Calls one; `None` where there is none of that name.
    fn call(&self, name: &str, arguments: &Value) -> Option<Answered>;
}

/// Versions that are spoken, the newest first.
const VERSIONS: [&str; 5] =
    [ENVELOPE_VERSION, HANDSHAKE_VERSION, "2025-06-18", "2025-03-26", "2024-11-05"];
/// The one whose requests carry their version.
const ENVELOPE_VERSION: &str = "2026-07-28";
/// The newest of those that begin with a handshake.
const HANDSHAKE_VERSION: &str = "2025-11-25";

/// Names of the protocol's own in `_meta`.
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";

/// How long the list of tools may be kept: as long as the program it is of.
const LIST_TTL_MS: u32 = 3_600_000;

/// What agents are told before they ask anything.
const INSTRUCTIONS: &str = "\
The account of what AI agents on this machine used: model calls, tokens and dollars, as trueup's own \
reports have it. Nothing here changes anything. `exact` was measured call by call; `estimated` is what \
agents claim where nothing was measured; `billed` is what a provider charged: never add one to another. \
Money is a decimal text in US dollars where no currency is named. Calls whose price is not known are \
counted as unpriced, not as free.";

/// The text is no JSON.
const PARSE_ERROR: i32 = -32700;
/// It is JSON, and no request.
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
/// From the version of 2026-07-28.
const UNSUPPORTED_VERSION: i32 = -32022;

/// Why a request cannot be answered.
struct Refusal {
    code: i32,
    message: String,
    data: Option<Value>,
}

impl Refusal {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    fn to(&self, id: &Value) -> Value {
        let mut error = Map::new();
        error.insert("code".to_owned(), json!(self.code));
        error.insert("message".to_owned(), json!(self.message));
        error.extend(self.data.clone().map(|data| ("data".to_owned(), data)));
        json!({"jsonrpc": "2.0", "id": id, "error": error})
    }
}

/// The answer to a message, where it wants one.
pub(super) fn answer(line: &[u8], tools: &impl Tools) -> Option<Value> {
    if line.trim_ascii().is_empty() {
        return None;
    }
    match serde_json::from_slice(line) {
        Ok(Value::Array(batch)) if batch.is_empty() => Some(no_request()),
        Ok(Value::Array(batch)) => {
            let answers: Vec<Value> =
                batch.iter().filter_map(|one| answer_one(one, tools)).collect();
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        Ok(message) => answer_one(&message, tools),
        Err(error) => {
            Some(Refusal::new(PARSE_ERROR, format!("this is no JSON: {error}")).to(&Value::Null))
        }
    }
}

/// The answer to a message that was not read to its end.
pub(super) fn too_long(bytes_max: u64) -> Value {
    let message = format!("a message has at most {bytes_max} bytes");
    Refusal::new(PARSE_ERROR, message).to(&Value::Null)
}

fn no_request() -> Value {
    let message = "this is no request of JSON-RPC 2.0: it must have `jsonrpc`, `id` and `method`";
    Refusal::new(INVALID_REQUEST, message).to(&Value::Null)
}

fn answer_one(message: &Value, tools: &impl Tools) -> Option<Value> {
    let method = message.get("method").and_then(Value::as_str);
    let is_rpc = message.get("jsonrpc").and_then(Value::as_str) == Some("2.0");
    let is_answer = message.get("result").is_some() || message.get("error").is_some();
    let id = match (message.get("id"), method) {
        // What is told and not asked wants no answer; nor does an answer, though we ask nothing.
        (None, Some(_)) if is_rpc => return None,
        (Some(_), None) if is_rpc && is_answer => return None,
        (Some(id @ (Value::String(_) | Value::Number(_))), Some(_)) if is_rpc => id,
        (_, _) => return Some(no_request()),
    };
    let params = message.get("params").unwrap_or(&Value::Null);
    Some(match result(method.unwrap_or_default(), params, tools) {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(refusal) => refusal.to(id),
    })
}

fn result(method: &str, params: &Value, tools: &impl Tools) -> Result<Value, Refusal> {
    let has_envelope = method != "initialize" && has_envelope(params)?;
    let mut result = match method {
        "initialize" => initialize(params),
        "server/discover" if has_envelope => discover(),
        "ping" => Map::new(),
        "tools/list" => object(json!({"tools": tools.list()})),
        "tools/call" => call(params, tools)?,
        _ => {
            let message = format!("there is no method `{method}` here");
            return Err(Refusal::new(METHOD_NOT_FOUND, message));
        }
    };
    if has_envelope {
        result.insert("resultType".to_owned(), json!("complete"));
        result.insert("_meta".to_owned(), json!({META_SERVER: server()}));
        if method != "tools/call" {
            result.insert("ttlMs".to_owned(), json!(LIST_TTL_MS));
            result.insert("cacheScope".to_owned(), json!("private"));
        }
    }
    Ok(Value::Object(result))
}

/// Whether a request carries its version; a refusal where that is none that is spoken so.
fn has_envelope(params: &Value) -> Result<bool, Refusal> {
    let Some(asked) = params.get("_meta").and_then(|meta| meta.get(META_VERSION)) else {
        return Ok(false);
    };
    let capabilities = params.get("_meta").and_then(|meta| meta.get(META_CAPABILITIES));
    if !asked.is_string() || capabilities.is_none() {
        let message =
            format!("`_meta` must have `{META_VERSION}`, a text, and `{META_CAPABILITIES}`");
        return Err(Refusal::new(INVALID_PARAMS, message));
    }
    if asked != ENVELOPE_VERSION {
        let message = format!("the version {asked} is not spoken here");
        let data = json!({"supported": VERSIONS, "requested": asked});
        return Err(Refusal { data: Some(data), ..Refusal::new(UNSUPPORTED_VERSION, message) });
    }
    Ok(true)
}

/// What a handshake gives: the version that is asked for, or the newest that begins so.
fn initialize(params: &Value) -> Map<String, Value> {
    let asked = params.get("protocolVersion").and_then(Value::as_str);
    let mut known = VERSIONS.into_iter().filter(|version| *version != ENVELOPE_VERSION);
    let version = known.find(|version| Some(*version) == asked);
    object(json!({
        "protocolVersion": version.unwrap_or(HANDSHAKE_VERSION),
        "capabilities": {"tools": {}},
        "serverInfo": server(),
        "instructions": INSTRUCTIONS,
    }))
}

/// What stands in its place since 2026-07-28.
fn discover() -> Map<String, Value> {
    object(json!({
        "supportedVersions": VERSIONS,
        "capabilities": {"tools": {}},
        "instructions": INSTRUCTIONS,
    }))
}

fn server() -> Value {
    json!({"name": "trueup", "title": "trueup", "version": env!("CARGO_PKG_VERSION")})
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(object) = value { object } else { Map::new() }
}

/// Calls a tool. What it refuses is a result, too: the model that asked can read it and ask again.
fn call(params: &Value, tools: &impl Tools) -> Result<Map<String, Value>, Refusal> {
    let Some(name) = params.get("name").and_then(Value::as_str) else {
        return Err(Refusal::new(INVALID_PARAMS, "`name` must be the name of a tool"));
    };
    let none = Value::Object(Map::new());
    let arguments = params.get("arguments").filter(|given| !given.is_null()).unwrap_or(&none);
    let Some(answered) = tools.call(name, arguments) else {
        let message = format!("there is no tool `{name}`: `tools/list` names them");
        return Err(Refusal::new(INVALID_PARAMS, message));
    };
    let content = |text: &str| json!([{"type": "text", "text": text}]);
    Ok(object(match answered {
        Ok(answer) => json!({
            "content": content(&answer.to_string()),
            "structuredContent": answer,
            "isError": false,
        }),
        Err(why) => json!({"content": content(&why), "isError": true}),
    }))
}
