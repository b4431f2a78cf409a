//! The names that each dialect gives to the parts of a call: one table a dialect.
//!
//! In each row the first name that a record has counts. A dialect that is added is a table here, a line
//! in [`dialect`](crate::dialect), and a fixture.

use crate::tokens::Convention;

/// Names of attributes, the best first.
pub(crate) type Row = &'static [&'static str];

/// What a dialect calls things.
#[derive(Debug)]
pub(crate) struct Names {
    /// How its counts overlap.
    pub(crate) convention: Convention,
    /// The provider where no attribute names one.
    pub(crate) provider_default: &'static str,
    pub(crate) provider: Row,
    /// The model that answered, then the one that was asked.
    pub(crate) model: Row,
    /// JSON in which the model is, where nothing else names it.
    pub(crate) parameters: Row,
    pub(crate) input: Row,
    pub(crate) cache_read: Row,
    pub(crate) cache_write: Row,
    /// What of it was written for five minutes, and for an hour.
    pub(crate) cache_write_5m: Row,
    pub(crate) cache_write_1h: Row,
    pub(crate) output: Row,
    pub(crate) reasoning: Row,
    /// Prompt tokens of tools, where they stand beside the input.
    pub(crate) tool: Row,
    pub(crate) total: Row,
    /// Millionths of a dollar.
    pub(crate) cost_micros: Row,
    /// Dollars.
    pub(crate) cost: Row,
    pub(crate) latency_ms: Row,
    pub(crate) first_token_ms: Row,
    pub(crate) first_token_s: Row,
    pub(crate) session: Row,
    pub(crate) response_id: Row,
    pub(crate) request_id: Row,
    pub(crate) agent: Row,
    pub(crate) error_type: Row,
    pub(crate) error_message: Row,
    pub(crate) input_text: Row,
    pub(crate) output_text: Row,
    /// What else is kept of a call, as metadata under its own name.
    pub(crate) kept: Row,
}

const NOTHING: Names = Names {
    convention: Convention::CacheInside,
    provider_default: "",
    provider: &[],
    model: &["model"],
    parameters: &[],
    input: &[],
    cache_read: &[],
    cache_write: &[],
    cache_write_5m: &[],
    cache_write_1h: &[],
    output: &[],
    reasoning: &[],
    tool: &[],
    total: &[],
    cost_micros: &[],
    cost: &[],
    latency_ms: &["duration_ms"],
    first_token_ms: &[],
    first_token_s: &[],
    session: &[],
    response_id: &[],
    request_id: &[],
    agent: &[],
    error_type: &["error.type"],
    error_message: &["error.message", "error"],
    input_text: &[],
    output_text: &[],
    kept: &[],
};

/// Anthropic's counts: the cache is not in the input. `llm_request` spans have the same names.
pub(crate) const CLAUDE_CODE: Names = Names {
    convention: Convention::CacheOutside,
    provider_default: "anthropic",
    input: &["input_tokens"],
    cache_read: &["cache_read_tokens"],
    cache_write: &["cache_creation_tokens"],
    cache_write_5m: &["cache_creation_5m_tokens"],
    cache_write_1h: &["cache_creation_1h_tokens"],
    output: &["output_tokens"],
    cost_micros: &["cost_usd_micros"],
    cost: &["cost_usd"],
    first_token_ms: &["ttft_ms"],
    session: &["session.id"],
    request_id: &["request_id"],
    agent: &["agent.name"],
    error_type: &["error.type", "status_code"],
    kept: &[
        "anthropic.provider",
        "client_request_id",
        "prompt.id",
        "query_source",
        "effort",
        "speed",
        "status_code",
        "attempt",
    ],
    ..NOTHING
};

/// `tool_token_count` is the total under another name.
pub(crate) const CODEX: Names = Names {
    provider_default: "openai",
    provider: &["provider_name"],
    model: &["model", "slug"],
    input: &["input_token_count"],
    cache_read: &["cached_token_count"],
    cache_write: &["cache_write_token_count"],
    output: &["output_token_count"],
    reasoning: &["reasoning_token_count"],
    first_token_ms: &["ttft_ms"],
    session: &["conversation.id"],
    error_type: &["error.type", "http.response.status_code"],
    kept: &["originator", "auth_mode", "app.version", "http.response.status_code", "attempt"],
    ..NOTHING
};

/// Google's counts: thoughts are not in the output.
pub(crate) const GEMINI_CLI: Names = Names {
    convention: Convention::Gemini,
    provider_default: "google",
    model: &["model", "model_name"],
    input: &["input_token_count"],
    cache_read: &["cached_content_token_count"],
    output: &["output_token_count"],
    reasoning: &["thoughts_token_count"],
    tool: &["tool_token_count"],
    total: &["total_token_count"],
    latency_ms: &["duration_ms", "duration"],
    session: &["session.id"],
    error_type: &["error.type", "error_type", "status_code"],
    output_text: &["response_text"],
    kept: &["prompt_id", "auth_type", "role", "finish_reasons", "status_code"],
    ..NOTHING
};

/// The sum of one run of the agent, which may be several requests.
pub(crate) const OPENCLAW: Names = Names {
    convention: Convention::CacheOutside,
    provider: &["openclaw.provider", "gen_ai.provider.name", "gen_ai.system"],
    model: &["openclaw.model", "gen_ai.response.model", "gen_ai.request.model"],
    input: &["openclaw.tokens.input"],
    cache_read: &["openclaw.tokens.cache_read"],
    cache_write: &["openclaw.tokens.cache_write"],
    output: &["openclaw.tokens.output"],
    total: &["openclaw.tokens.total"],
    cost: &["openclaw.cost.usd"],
    session: &["openclaw.sessionId", "openclaw.session_id", "gen_ai.conversation.id"],
    agent: &["openclaw.agent"],
    kept: &["openclaw.channel"],
    ..NOTHING
};

/// The conventions of OpenTelemetry in all their generations, and what SDKs made before there were any.
pub(crate) const SDK: Names = Names {
    provider: &[
        "gen_ai.provider.name",
        "gen_ai.system",
        "llm.provider",
        "llm.system",
        "ai.model.provider",
    ],
    model: &[
        "gen_ai.response.model",
        "llm.response.model_name",
        "ai.response.model",
        "gen_ai.request.model",
        "llm.model_name",
        "embedding.model_name",
        "ai.model.id",
        "model",
    ],
    parameters: &["llm.invocation_parameters", "embedding.invocation_parameters"],
    input: &[
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
    ],
    cache_read: &[
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cache_read_tokens",
        "gen_ai.usage.input_cached_tokens",
        "llm.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.cachedInputTokens",
    ],
    cache_write: &[
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_tokens",
        "llm.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ],
    output: &[
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ],
    reasoning: &[
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "llm.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "ai.usage.reasoningTokens",
    ],
    total: &[
        "gen_ai.usage.total_tokens",
        "llm.usage.total_tokens",
        "llm.token_count.total",
        "ai.usage.totalTokens",
    ],
    cost_micros: &["cost_usd_micros"],
    cost: &["cost_usd", "gen_ai.usage.cost", "llm.cost.total"],
    latency_ms: &[],
    // Not `error`, which OpenTracing's bridges set to a truth value.
    error_message: &["error.message"],
    first_token_ms: &["ai.response.msToFirstChunk"],
    first_token_s: &["gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token"],
    session: &[
        "gen_ai.conversation.id",
        "session.id",
        "conversation.id",
        "langfuse.session.id",
        "traceloop.association.properties.session_id",
    ],
    response_id: &["gen_ai.response.id", "ai.response.id"],
    request_id: &["gen_ai.request.id", "request_id"],
    agent: &["gen_ai.agent.name", "agent.name"],
    input_text: &[
        "gen_ai.input.messages",
        "gen_ai.prompt",
        "input.value",
        "ai.prompt.messages",
        "ai.prompt",
    ],
    output_text: &[
        "gen_ai.output.messages",
        "gen_ai.completion",
        "output.value",
        "ai.response.text",
        "ai.response.object",
    ],
    kept: &["gen_ai.operation.name", "gen_ai.response.finish_reasons", "gen_ai.agent.id"],
    ..NOTHING
};
