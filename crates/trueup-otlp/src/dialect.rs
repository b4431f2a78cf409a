//! Dialects: who speaks, which of its records is a call, and which only witnesses one.
//!
//! An agent tells of the same call by an event, by a span and by metrics; added up, each call would
//! count three times. Of each dialect one kind of record is *the* record; the others are evidence, and
//! are counted as such. Where a lesser kind shares the greater one's id, it is a call of lower standing:
//! it counts alone where the greater never comes, and gives way in whatever order they come.

use crate::attributes::Attributes;
use crate::body::Signal;
use crate::model::Metric;
use crate::names::{self, Names};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// `OpenAI`'s Codex.
    Codex,
    /// Google's Gemini CLI.
    GeminiCli,
    /// OpenClaw's diagnostics plugin.
    OpenClaw,
    /// Arize's OpenInference.
    OpenInference,
    /// Traceloop's OpenLLMetry.
    OpenLlmetry,
    /// Vercel's AI SDK.
    VercelAi,
    /// OpenTelemetry's conventions for generative AI.
    GenAi,
}

impl Dialect {
    /// Every dialect, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::ClaudeCode,
        Self::Codex,
        Self::GeminiCli,
        Self::OpenClaw,
        Self::OpenInference,
        Self::OpenLlmetry,
        Self::VercelAi,
        Self::GenAi,
    ];

    /// Its name in counters and metadata.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::GeminiCli => "gemini-cli",
            Self::OpenClaw => "openclaw",
            Self::OpenInference => "openinference",
            Self::OpenLlmetry => "openllmetry",
            Self::VercelAi => "vercel-ai",
            Self::GenAi => "gen_ai",
        }
    }

    /// The source of its calls: an agent's is that of its session files.
    #[must_use]
    pub const fn source(self) -> &'static str {
        if self.is_agent() { self.name() } else { "otlp" }
    }

    /// Whether it is that of an agent, rather than of an SDK.
    #[must_use]
    pub const fn is_agent(self) -> bool {
        match self {
            Self::ClaudeCode | Self::Codex | Self::GeminiCli | Self::OpenClaw => true,
            Self::OpenInference | Self::OpenLlmetry | Self::VercelAi | Self::GenAi => false,
        }
    }

    pub(crate) const fn names(self) -> &'static Names {
        match self {
            Self::ClaudeCode => &names::CLAUDE_CODE,
            Self::Codex => &names::CODEX,
            Self::GeminiCli => &names::GEMINI_CLI,
            Self::OpenClaw => &names::OPENCLAW,
            Self::OpenInference | Self::OpenLlmetry | Self::VercelAi | Self::GenAi => &names::SDK,
        }
    }
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A call, of a standing: the higher displaces the lower.
    Call(u8),
    /// The same, but only where it has the id that the records of higher standing have.
    CallWithRequestId(u8),
    /// A request that failed, without usage.
    Failure,
    /// It tells of a call that another record is the record of.
    Evidence,
    /// It is written twice; this is the other copy.
    Duplicate,
    /// Anything else.
    Other,
}

/// Spans give way to events.
const SPAN: u8 = 1;
const EVENT: u8 = 2;

/// What makes an agent's records known.
struct Agent {
    dialect: Dialect,
    /// Of its process; exactly, for who builds something may call it `codex-helper`.
    services: &'static [&'static str],
    /// What the name of the instrumentation begins with.
    scope: &'static str,
    /// What names of events, spans and metrics begin with.
    prefix: &'static str,
    /// An attribute that only its spans have, whatever they are called.
    mark: &'static str,
    rules: &'static [Rule],
}

/// What one kind of an agent's records is.
struct Rule {
    signal: Signal,
    /// The name behind the prefix; without one where a record has none.
    name: &'static str,
    when: When,
    role: Role,
}

/// What its attributes must say.
enum When {
    Always,
    /// This one has this value.
    Is(&'static str, &'static str),
    /// This one is there.
    Has(&'static str),
}

const fn event(name: &'static str, role: Role) -> Rule {
    Rule { signal: Signal::Logs, name, when: When::Always, role }
}

const fn span(name: &'static str, role: Role) -> Rule {
    Rule { signal: Signal::Traces, name, when: When::Always, role }
}

const AGENTS: [Agent; 4] = [
    Agent {
        dialect: Dialect::ClaudeCode,
        services: &["claude-code"],
        scope: "com.anthropic.claude_code",
        prefix: "claude_code.",
        mark: "",
        rules: &[
            event("api_request", Role::Call(EVENT)),
            event("api_error", Role::Failure),
            event("api_refusal", Role::Failure),
            span("llm_request", Role::CallWithRequestId(SPAN)),
        ],
    },
    Agent {
        dialect: Dialect::Codex,
        services: &[
            "codex",
            "codex-app-server",
            "codex_app_server",
            "codex_cli_rs",
            "codex_exec",
            "codex_mcp_server",
            "codex_tui",
            "codex_vscode",
        ],
        scope: "codex_otel",
        prefix: "codex.",
        mark: "",
        rules: &[
            Rule { when: When::Has("error.message"), ..event("sse_event", Role::Failure) },
            Rule {
                when: When::Is("event.kind", "response.failed"),
                ..event("sse_event", Role::Failure)
            },
            Rule {
                when: When::Is("event.kind", "response.completed"),
                ..event("sse_event", Role::Call(EVENT))
            },
            // A refusal has no events of an answer.
            Rule { when: When::Has("error.message"), ..event("api_request", Role::Failure) },
        ],
    },
    Agent {
        dialect: Dialect::GeminiCli,
        services: &["gemini-cli"],
        scope: "gemini-cli",
        prefix: "gemini_cli.",
        mark: "",
        rules: &[
            event("api_response", Role::Call(EVENT)),
            event("api_error", Role::Failure),
            event(OPERATION_DETAILS, Role::Evidence),
        ],
    },
    Agent {
        dialect: Dialect::OpenClaw,
        services: &["openclaw", "openclaw-gateway"],
        scope: "openclaw",
        prefix: "openclaw.",
        mark: "openclaw.provider",
        // A run's sum; `model.call` tells of the requests of the same run.
        rules: &[span("model.usage", Role::Call(SPAN)), span("model.call", Role::Evidence)],
    },
];

/// In Codex 0.137 what is logged for traces reached the exporter of logs, too.
const CODEX_SECOND_SCOPE: &str = "codex_otel.trace_safe";

/// The event that the conventions have for a call.
const OPERATION_DETAILS: &str = "gen_ai.client.inference.operation.details";

/// Operations that are one call of a model. The others (`invoke_agent`, `execute_tool`…) hold sums of
/// calls within them, or none.
const CALLS: &[&str] = &[
    "chat",
    "generate_content",
    "text_completion",
    "embeddings",
    "completion",
    "embedding",
    "rerank",
];

/// A record, as much of it as tells who speaks.
pub(crate) struct Speech<'r> {
    pub(crate) signal: Signal,
    /// Of a span, an event or a metric.
    pub(crate) name: &'r str,
    pub(crate) scope: &'r str,
    pub(crate) attributes: Attributes<'r>,
}

impl Speech<'_> {
    /// Who speaks, and what the record is.
    pub(crate) fn role(&self) -> Option<(Dialect, Role)> {
        let agent = AGENTS.iter().find(|agent| agent.speaks(self));
        match agent {
            Some(agent) => Some((agent.dialect, agent.role(self))),
            None => self.of_sdk(),
        }
    }

    fn value(&self, name: &str) -> &str {
        match self.attributes.get(name) {
            Some(crate::model::Value::Text(text)) => text,
            _ => "",
        }
    }

    fn of_sdk(&self) -> Option<(Dialect, Role)> {
        match self.signal {
            Signal::Traces => self.of_sdk_span(),
            Signal::Logs => {
                let is_call = self.name == OPERATION_DETAILS && self.has_usage();
                is_call.then_some((Dialect::GenAi, Role::Call(EVENT)))
            }
            Signal::Metrics => {
                self.name.starts_with("gen_ai.client.").then_some((Dialect::GenAi, Role::Evidence))
            }
        }
    }

    fn of_sdk_span(&self) -> Option<(Dialect, Role)> {
        let role = |is_call: bool| {
            let other = if self.has_usage() { Role::Evidence } else { Role::Other };
            if is_call { Role::Call(SPAN) } else { other }
        };
        if let kind @ ("LLM" | "EMBEDDING" | "CHAIN" | "AGENT" | "TOOL" | "RETRIEVER" | "RERANKER"
        | "GUARDRAIL" | "EVALUATOR" | "PROMPT") = self.value("openinference.span.kind")
        {
            return Some((Dialect::OpenInference, role(matches!(kind, "LLM" | "EMBEDDING"))));
        }
        let operation = self.value("ai.operationId");
        if !operation.is_empty() {
            let is_call = [".doGenerate", ".doStream", ".doEmbed"];
            let is_call = is_call.iter().any(|end| operation.ends_with(end));
            return Some((Dialect::VercelAi, role(is_call)));
        }
        if !self.value("traceloop.span.kind").is_empty() {
            return Some((Dialect::OpenLlmetry, role(false)));
        }
        let kind = self.value("llm.request.type");
        if !kind.is_empty() {
            return Some((Dialect::OpenLlmetry, role(CALLS.contains(&kind))));
        }
        let operation = self.value("gen_ai.operation.name");
        if !operation.is_empty() {
            return Some((Dialect::GenAi, role(CALLS.contains(&operation))));
        }
        let is_call = self.has_usage() && self.attributes.has(names::SDK.model);
        (is_call && self.attributes.has(names::SDK.provider))
            .then_some((Dialect::GenAi, role(true)))
    }

    fn has_usage(&self) -> bool {
        let Names { input, output, total, .. } = names::SDK;
        [input, output, total].iter().any(|names| self.attributes.has(names))
    }
}

impl Agent {
    fn speaks(&self, speech: &Speech<'_>) -> bool {
        let service = || speech.attributes.of_process("service.name");
        speech.name.starts_with(self.prefix)
            || speech.scope.starts_with(self.scope)
            || (!self.mark.is_empty() && speech.attributes.has(&[self.mark]))
            || self.services.contains(&&*service())
    }

    fn role(&self, speech: &Speech<'_>) -> Role {
        if speech.scope.starts_with(CODEX_SECOND_SCOPE) && speech.signal == Signal::Logs {
            return Role::Duplicate;
        }
        if speech.signal == Signal::Metrics {
            let is_of_usage = Metric::is_of_usage(speech.name);
            return if is_of_usage { Role::Evidence } else { Role::Other };
        }
        let name = speech.name.strip_prefix(self.prefix).unwrap_or(speech.name);
        let rule = self.rules.iter().find(|rule| {
            let is_met = match rule.when {
                When::Always => true,
                When::Is(name, value) => speech.value(name) == value,
                When::Has(name) => !speech.value(name).is_empty(),
            };
            rule.signal == speech.signal && rule.name == name && is_met
        });
        let other = || if speech.has_usage() { Role::Evidence } else { Role::Other };
        rule.map_or_else(other, |rule| rule.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Str;
    use crate::model::{Attribute, Value};

    fn role(
        signal: Signal,
        (service, scope, name): (&str, &str, &str),
        pairs: &[(&str, &str)],
    ) -> Option<(Dialect, Role)> {
        fn attribute<'a>((key, value): (&'a str, &'a str)) -> Attribute<'a> {
            Attribute { key: Str(key.into()), value: Value::Text(value.into()) }
        }
        let resource = [attribute(("service.name", service))];
        let record: Vec<_> = pairs.iter().copied().map(attribute).collect();
        let attributes = Attributes { record: &record, resource: &resource };
        Speech { signal, name, scope, attributes }.role()
    }

    #[test]
    fn each_agents_records_are_known() {
        use Dialect::{ClaudeCode, Codex, GeminiCli, OpenClaw};
        use Signal::{Logs, Metrics, Traces};
        let completed = ("event.kind", "response.completed");
        for (signal, from, pairs, expected) in [
            (Logs, ("claude-code", "", "api_request"), &[][..], (ClaudeCode, Role::Call(EVENT))),
            (Logs, ("x", "", "claude_code.api_request"), &[], (ClaudeCode, Role::Call(EVENT))),
            (
                Logs,
                ("", "com.anthropic.claude_code.events", "api_error"),
                &[],
                (ClaudeCode, Role::Failure),
            ),
            (Logs, ("claude-code", "", "user_prompt"), &[], (ClaudeCode, Role::Other)),
            (
                Traces,
                ("", "", "claude_code.llm_request"),
                &[],
                (ClaudeCode, Role::CallWithRequestId(SPAN)),
            ),
            (Metrics, ("", "", "claude_code.token.usage"), &[], (ClaudeCode, Role::Evidence)),
            (Metrics, ("", "", "claude_code.session.count"), &[], (ClaudeCode, Role::Other)),
            (
                Logs,
                ("codex_cli_rs", "", "codex.sse_event"),
                &[completed],
                (Codex, Role::Call(EVENT)),
            ),
            (Logs, ("codex_cli_rs", "", "codex.sse_event"), &[], (Codex, Role::Other)),
            (
                Logs,
                ("", CODEX_SECOND_SCOPE, "codex.sse_event"),
                &[completed],
                (Codex, Role::Duplicate),
            ),
            (
                Logs,
                ("gemini-cli", "", "gemini_cli.api_response"),
                &[],
                (GeminiCli, Role::Call(EVENT)),
            ),
            (Logs, ("gemini-cli", "", OPERATION_DETAILS), &[], (GeminiCli, Role::Evidence)),
            (
                Traces,
                ("gemini-cli", "", "llm_call"),
                &[("gen_ai.usage.input_tokens", "3")],
                (GeminiCli, Role::Evidence),
            ),
            (Traces, ("openclaw", "", "openclaw.model.usage"), &[], (OpenClaw, Role::Call(SPAN))),
            (
                Traces,
                ("mine", "", "chat gpt-5.5"),
                &[("openclaw.provider", "openai")],
                (OpenClaw, Role::Other),
            ),
        ] {
            assert_eq!(role(signal, from, pairs), Some(expected), "{from:?}");
        }
    }

    #[test]
    fn only_single_calls_of_sdks_count() {
        use Dialect::{GenAi, OpenInference, OpenLlmetry, VercelAi};
        let used = ("gen_ai.usage.input_tokens", "3");
        for (pairs, expected) in [
            (&[("openinference.span.kind", "LLM")][..], Some((OpenInference, Role::Call(SPAN)))),
            (&[("openinference.span.kind", "AGENT"), used], Some((OpenInference, Role::Evidence))),
            (&[("llm.request.type", "chat")], Some((OpenLlmetry, Role::Call(SPAN)))),
            (&[("traceloop.span.kind", "workflow")], Some((OpenLlmetry, Role::Other))),
            (&[("ai.operationId", "ai.generateText"), used], Some((VercelAi, Role::Evidence))),
            (&[("ai.operationId", "ai.streamText.doStream")], Some((VercelAi, Role::Call(SPAN)))),
            (&[("gen_ai.operation.name", "chat")], Some((GenAi, Role::Call(SPAN)))),
            (&[("gen_ai.operation.name", "invoke_agent"), used], Some((GenAi, Role::Evidence))),
            (
                &[("gen_ai.system", "openai"), ("gen_ai.request.model", "m"), used],
                Some((GenAi, Role::Call(SPAN))),
            ),
            (&[("gen_ai.system", "openai")], None),
            (&[("http.method", "GET")], None),
        ] {
            assert_eq!(role(Signal::Traces, ("app", "", "x"), pairs), expected, "{pairs:?}");
        }
    }
}
