//! One record into a call, an error, or nothing but a count.

use std::borrow::Cow;
use std::sync::Arc;

use trueup_core::{
    Billing, Call, CallBody, DAY_MS, ErrorEvent, Key, Metered, NanoUsd, Origin, Outcome, Owner,
    Rank, Speed, Tokens, Twin, UnixMs, Variant,
};

use crate::attributes::{Attributes, Wrong};
use crate::body::Signal;
use crate::dialect::{Dialect, Role, Speech};
use crate::export::{Identity, MappedCall, Problem};
use crate::key;
use crate::metrics;
use crate::model::{Attribute, LogRecord, Record, Resource, Scope, Span, Value};
use crate::names::{Names, Row};
use crate::texts::Texts;
use crate::tokens::Stated;

/// What records are read with beside their own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// When they came.
    pub now: UnixMs,
    /// What of prompts and completions is kept.
    pub text: Text,
}

/// What of prompts and completions is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// Nothing.
    Off,
    /// At most this many bytes of each.
    Truncated(usize),
    /// All of it.
    Full,
}

/// What became of a record.
pub(crate) enum Mapped {
    Call(Box<MappedCall>),
    Error(Box<ErrorEvent>),
    Evidence(Dialect),
    Metered(Dialect, Vec<Metered>),
    Duplicate,
    Other,
}

/// 2000-01-01T00:00:00Z: nothing that we count is older.
const EARLIEST: UnixMs = UnixMs(946_684_800_000);
/// How far a sender's clock may be ahead of ours.
const AHEAD_MAX_MS: i64 = DAY_MS;
/// Longest message of an error that is kept: it may hold anything.
const MESSAGE_BYTES_MAX: usize = 2_048;
const NANOS_PER_MS: i64 = 1_000_000;
/// Hex digits of the id of a trace, and of a span.
const TRACE_DIGITS: usize = 32;
const SPAN_DIGITS: usize = 16;

/// What a record of either signal says.
struct Told<'r> {
    dialect: Dialect,
    names: &'static Names,
    attributes: Attributes<'r>,
    /// When it happened; zero where it does not say.
    time_nanos: i64,
    /// From its start to its end, where it has both.
    latency_ms: Option<u32>,
    span: Option<(Arc<str>, Arc<str>)>,
    is_error: bool,
    /// What says why, beside the attributes.
    error: (Cow<'r, str>, Cow<'r, str>),
    /// Attributes of events within it, which may hold texts.
    within: Vec<&'r [Attribute<'r>]>,
    reading: Reading,
}

/// Maps a record. What is wrong with one that is taken all the same is added to `problems`.
pub(crate) fn map(
    resource: &Resource<'_>,
    scope: &Scope<'_>,
    record: &Record<'_>,
    reading: &Reading,
    problems: &mut Vec<Problem>,
) -> Result<Mapped, Problem> {
    let of = |record| Attributes { record, resource: &resource.attributes };
    let (signal, name, attributes) = match record {
        Record::Span(span) => (Signal::Traces, &*span.name, of(&span.attributes)),
        Record::Log(log) => (Signal::Logs, event_name(log), of(&log.attributes)),
        Record::Metric(metric) => (Signal::Metrics, &*metric.name, of(&[])),
    };
    let speech = Speech { signal, name, scope: &scope.name, attributes };
    let Some((dialect, role)) = speech.role() else { return Ok(Mapped::Other) };
    let told = match record {
        Record::Span(span) => Told::of_span(dialect, attributes, span, *reading),
        Record::Log(log) => Told::of_log(dialect, attributes, log, *reading),
        Record::Metric(metric) if role == Role::Evidence => {
            let resource = &resource.attributes;
            let metered = metrics::of(dialect, metric, resource, reading.now, problems)?;
            return Ok(Mapped::Metered(dialect, metered));
        }
        Record::Metric(_) => return Ok(counted(dialect, role)),
    };
    match role {
        Role::Call(standing) => told.call_or_error(standing, problems),
        Role::CallWithRequestId(standing) if told.ids().request_id.is_some() => {
            told.call_or_error(standing, problems)
        }
        Role::CallWithRequestId(_) => Ok(Mapped::Evidence(dialect)),
        Role::Failure => Ok(told.failure(problems)),
        Role::Evidence | Role::Duplicate | Role::Other => Ok(counted(dialect, role)),
    }
}

/// A time that can be; where it cannot, that of the arrival.
pub(crate) fn plausible(nanos: i64, now: UnixMs, problems: &mut Vec<Problem>) -> UnixMs {
    let time = UnixMs(nanos / NANOS_PER_MS);
    if nanos == 0 {
        return now;
    }
    let is_plausible = time >= EARLIEST && time.0 <= now.0.saturating_add(AHEAD_MAX_MS);
    if !is_plausible {
        problems.push(Problem::WrongTime);
    }
    if is_plausible { time } else { now }
}

const fn counted(dialect: Dialect, role: Role) -> Mapped {
    match role {
        Role::Evidence | Role::Call(_) | Role::CallWithRequestId(_) | Role::Failure => {
            Mapped::Evidence(dialect)
        }
        Role::Duplicate => Mapped::Duplicate,
        Role::Other => Mapped::Other,
    }
}

/// The name of an event: an attribute, or a field of its own since 1.5 of the protocol, or the body. The
/// field is no better than the attribute: the appender of Rust's `tracing`, which Codex uses, puts the line
/// of code into it (`event otel/src/events/session_telemetry.rs:1153`).
fn event_name<'r>(log: &'r LogRecord<'_>) -> &'r str {
    let attribute = log.attributes.iter().find(|attribute| *attribute.key == *"event.name");
    let own = || Some(&*log.event_name).filter(|name| !name.is_empty());
    let stated = attribute.and_then(|found| as_text(&found.value)).or_else(own);
    stated.or_else(|| as_text(&log.body)).unwrap_or_default()
}

fn as_text<'r>(value: &'r Value<'_>) -> Option<&'r str> {
    if let Value::Text(text) = value { Some(&**text).filter(|text| !text.is_empty()) } else { None }
}

fn span_of(trace: &str, span: &str) -> Option<(Arc<str>, Arc<str>)> {
    let is_id = |id: &str, digits| id.len() == digits && id.bytes().any(|digit| digit != b'0');
    let is_span = is_id(trace, TRACE_DIGITS) && is_id(span, SPAN_DIGITS);
    is_span.then(|| (trace.into(), span.into()))
}

impl<'r> Told<'r> {
    fn of_span(
        dialect: Dialect,
        attributes: Attributes<'r>,
        span: &'r Span<'r>,
        reading: Reading,
    ) -> Self {
        let (start, end) = (span.start_time_unix_nano.0, span.end_time_unix_nano.0);
        let took = end.checked_sub(start).filter(|took| *took >= 0 && start > 0);
        let exception = span.events.iter().find(|event| *event.name == *"exception");
        let of_exception = |name| {
            let attributes = exception.map_or(&[][..], |event| &event.attributes);
            Attributes { record: attributes, resource: &[] }.name(&[name])
        };
        let message = if span.status.message.is_empty() {
            of_exception("exception.message")
        } else {
            Cow::Borrowed(&*span.status.message)
        };
        Self {
            dialect,
            names: dialect.names(),
            attributes,
            time_nanos: if end > 0 { end } else { start },
            latency_ms: took.and_then(|took| u32::try_from(took / NANOS_PER_MS).ok()),
            span: span_of(&span.trace_id.0, &span.span_id.0),
            is_error: span.status.is_error,
            error: (of_exception("exception.type"), message),
            within: span.events.iter().map(|event| &event.attributes[..]).collect(),
            reading,
        }
    }

    fn of_log(
        dialect: Dialect,
        attributes: Attributes<'r>,
        log: &'r LogRecord<'r>,
        reading: Reading,
    ) -> Self {
        let (own, observed) = (log.time_unix_nano.0, log.observed_time_unix_nano.0);
        // Many events of an agent stand in one span; an SDK's event of a call stands in that call's.
        let span = if dialect.is_agent() { None } else { span_of(&log.trace_id.0, &log.span_id.0) };
        Self {
            dialect,
            names: dialect.names(),
            attributes,
            time_nanos: if own > 0 { own } else { observed },
            latency_ms: None,
            span,
            is_error: false,
            error: Default::default(),
            within: Vec::new(),
            reading,
        }
    }

    fn ids(&self) -> Identity {
        let id = |names: Row| {
            let id = self.attributes.first(names).and_then(as_text)?;
            Some(Arc::from(id.get(..id.floor_char_boundary(ID_BYTES_MAX))?))
        };
        Identity {
            request_id: id(self.names.request_id),
            response_id: id(self.names.response_id).or_else(|| self.id_of_answer()),
            span: self.span.clone(),
        }
    }

    /// OpenInference tells the id of an answer only within the answer.
    fn id_of_answer(&self) -> Option<Arc<str>> {
        let is_its = self.dialect == Dialect::OpenInference;
        let json = self.attributes.get("output.value").and_then(as_text).filter(|_| is_its)?;
        let answer = serde_json::from_str::<WithId>(json).ok()?;
        let is_id = !answer.id.is_empty() && answer.id.len() <= ID_BYTES_MAX;
        is_id.then(|| answer.id.into())
    }

    /// A request that failed before anything was used is an error of an agent, and a call of an SDK,
    /// whose spans are of requests. What an agent tells of an answer without its usage is told again with
    /// it: Codex writes each `response.completed` twice.
    fn call_or_error(&self, standing: u8, problems: &mut Vec<Problem>) -> Result<Mapped, Problem> {
        let stated = self.stated().map_err(|Wrong| Problem::WrongCount)?;
        if self.dialect.is_agent() && !stated.is_something() {
            let failed = self.has_failed().then(|| self.failure(problems));
            return Ok(failed.unwrap_or(Mapped::Evidence(self.dialect)));
        }
        Ok(Mapped::Call(Box::new(self.call(&stated, standing, problems))))
    }

    fn call(&self, stated: &Stated, standing: u8, problems: &mut Vec<Problem>) -> MappedCall {
        let (tokens, is_other) = stated.tokens(self.names.convention);
        let (tokens, _is_cut) = tokens.clamped();
        if is_other {
            problems.push(Problem::OtherConvention);
        }
        let time = self.time(problems);
        let reported_cost = self.cost(problems).filter(|cost| {
            // A zero beside used tokens means that the price is not known.
            *cost != NanoUsd::ZERO || tokens.total() == 0
        });
        let (attributes, names) = (&self.attributes, self.names);
        let first_token_s = || attributes.milliseconds(names.first_token_s, 3);
        let ids = self.ids();
        // Of two instrumentations that watch one call, one may tell less of it.
        let is_detailed = reported_cost.is_some()
            || tokens.cache_read + tokens.cache_write + tokens.reasoning > 0;
        let key = key::of_call(self.dialect, &ids, || self.own_key());
        let mut call = Call {
            key,
            variant: Variant::default(),
            rank: Rank::new(standing, &tokens, is_detailed, Owner::new(UnixMs(0), "")),
            twin: self.twin(&ids, &tokens, key),
            time,
            origin: self.origin(),
            tokens,
            billing: self.billing(),
            reported_cost,
            latency_ms: attributes.milliseconds(names.latency_ms, 0).or(self.latency_ms),
            time_to_first_token_ms: attributes
                .milliseconds(names.first_token_ms, 0)
                .or_else(first_token_s),
            outcome: self.outcome(),
            trace_id: None,
            body: Some(Box::new(self.body(&ids))),
        };
        // As a client is told that sends none: a call without one is taken to be read from a file.
        call.trace_id = Some(call.id().to_string().into());
        MappedCall { dialect: self.dialect, ids, call }
    }

    /// By what a session file of the same agent knows the call; of an SDK's, by what a record of the same span
    /// does. One that does not say what was used takes the place of none.
    fn twin(&self, ids: &Identity, tokens: &Tokens, own: Key) -> Option<Twin> {
        let source = self.dialect.source();
        let session = self.attributes.name(self.names.session);
        let of_usage = |tokens: &Tokens| Twin::of_usage(source, &session, tokens);
        let key = match (self.dialect, &ids.request_id) {
            (Dialect::ClaudeCode, Some(request)) => Twin::of_request(source, request),
            // Its transcripts say what of an answer was thinking, its telemetry does not.
            (Dialect::ClaudeCode, None) => of_usage(&Tokens { reasoning: 0, ..*tokens }),
            (Dialect::Codex | Dialect::GeminiCli, _) => of_usage(tokens),
            (Dialect::OpenClaw, _) => Twin::of_none(own),
            (
                Dialect::OpenInference | Dialect::OpenLlmetry | Dialect::VercelAi | Dialect::GenAi,
                _,
            ) => {
                let (trace, span) = ids.span.as_ref()?;
                let key = key::of_span(trace, span);
                let is_identified = ids.response_id.is_some();
                let is_twin = !is_identified || tokens.total() > 0;
                let twin = if is_identified { Twin::Identifies } else { Twin::IdentifiedBy };
                return is_twin.then(|| twin(key));
            }
        };
        Some(Twin::CoveredBy(key))
    }

    fn stated(&self) -> Result<Stated, Wrong> {
        let count = |names| self.attributes.count(names);
        let names = self.names;
        Ok(Stated {
            input: count(names.input)?,
            cache_read: count(names.cache_read)?,
            cache_write: count(names.cache_write)?,
            cache_write_5m: count(names.cache_write_5m)?,
            cache_write_1h: count(names.cache_write_1h)?,
            output: count(names.output)?,
            reasoning: count(names.reasoning)?,
            tool: count(names.tool)?,
            total: count(names.total)?,
        })
    }

    fn time(&self, problems: &mut Vec<Problem>) -> UnixMs {
        plausible(self.time_nanos, self.reading.now, problems)
    }

    fn cost(&self, problems: &mut Vec<Problem>) -> Option<NanoUsd> {
        let micros = self.attributes.micro_usd(self.names.cost_micros);
        let cost = match micros {
            Ok(None) => self.attributes.usd(self.names.cost),
            of_micros => of_micros,
        };
        cost.unwrap_or_else(|Wrong| {
            problems.push(Problem::WrongCost);
            None
        })
    }

    fn origin(&self) -> Origin {
        let (attributes, names) = (&self.attributes, self.names);
        let provider = attributes.name(names.provider).to_ascii_lowercase();
        let provider = if provider.is_empty() { names.provider_default } else { &provider };
        // Vercel's SDK tells the interface, too: `openai.chat`.
        let interface = provider.split_once('.').filter(|_| self.dialect == Dialect::VercelAi);
        let provider = interface.map_or(provider, |(provider, _)| provider);
        Origin {
            source: self.dialect.source().into(),
            provider: provider.into(),
            model: self.model().into(),
            project: self.project().into(),
            session: attributes.name(names.session).into(),
            kind: "".into(),
        }
    }

    /// The model; of a failed call some say it only among its parameters.
    fn model(&self) -> Cow<'r, str> {
        let stated = self.attributes.name(self.names.model);
        let of_parameters = || {
            let json = self.attributes.first(self.names.parameters).and_then(as_text)?;
            serde_json::from_str::<WithModel>(json).ok().map(|parameters| parameters.model.into())
        };
        Some(stated).filter(|model| !model.is_empty()).or_else(of_parameters).unwrap_or_default()
    }

    /// What an SDK's calls are told apart by: the program, or else the agent within it. Agents do not
    /// tell their working directory.
    fn project(&self) -> Cow<'r, str> {
        if self.dialect.is_agent() {
            return Cow::default();
        }
        let service = self.attributes.of_process("service.name");
        // What SDKs say where nobody has named the program.
        let is_named = !service.is_empty() && !service.starts_with("unknown_service");
        if is_named { service } else { self.attributes.name(self.names.agent) }
    }

    fn billing(&self) -> Billing {
        let is_fast =
            self.dialect == Dialect::ClaudeCode && self.attributes.name(&["speed"]) == "fast";
        let speed = if is_fast { Speed::Fast } else { Speed::Standard };
        Billing { speed, ..Billing::default() }
    }

    fn has_failed(&self) -> bool {
        let says = |names: Row| self.attributes.first(names).and_then(as_text).is_some();
        self.is_error || says(&["error.type"]) || says(self.names.error_message)
    }

    fn error_type(&self) -> Cow<'r, str> {
        let stated = self.attributes.name(self.names.error_type);
        let (of_exception, _) = &self.error;
        let first = [stated, of_exception.clone()].into_iter().find(|name| !name.is_empty());
        first.unwrap_or(Cow::Borrowed("error"))
    }

    fn outcome(&self) -> Outcome {
        if self.has_failed() {
            Outcome::Failed { error_type: self.error_type().into() }
        } else {
            Outcome::Ok
        }
    }

    fn failure(&self, problems: &mut Vec<Problem>) -> Mapped {
        let (attributes, names) = (&self.attributes, self.names);
        let stated = attributes.first(names.error_message).and_then(as_text);
        let error_type = self.error_type();
        let message = stated.unwrap_or(&self.error.1);
        let message = if message.is_empty() { &error_type } else { message };
        let cut = message.floor_char_boundary(MESSAGE_BYTES_MAX);
        let mut said = self.metadata(&self.ids());
        for (name, value) in [("model", self.model()), ("error_type", error_type.clone())] {
            said.insert(name.to_owned(), value.into_owned().into());
        }
        Mapped::Error(Box::new(ErrorEvent {
            key: self.own_key(),
            time: self.time(problems),
            trace_id: None,
            source: self.dialect.source().into(),
            session: attributes.name(names.session).into(),
            error_type: "llm_error".into(),
            message: message.get(..cut).unwrap_or_default().to_owned(),
            stack_trace: None,
            severity: "error".into(),
            metadata: Some(serde_json::Value::Object(said).to_string()),
        }))
    }

    fn own_key(&self) -> Key {
        key::of_record(self.dialect, self.time_nanos, self.attributes.record)
    }

    /// What else is known of it, and by what it can be found elsewhere.
    fn metadata(&self, ids: &Identity) -> serde_json::Map<String, serde_json::Value> {
        let (trace, span) = ids.span.clone().unzip();
        let known = [
            ("request_id", ids.request_id.as_deref()),
            ("response_id", ids.response_id.as_deref()),
            ("otel_trace_id", trace.as_deref()),
            ("otel_span_id", span.as_deref()),
        ];
        let mut said = serde_json::Map::new();
        said.insert("dialect".to_owned(), self.dialect.name().into());
        for (name, id) in known {
            if let Some(id) = id {
                said.insert(name.to_owned(), id.into());
            }
        }
        let agent = self.attributes.name(self.names.agent);
        if !agent.is_empty() {
            said.insert("agent_name".to_owned(), agent.into_owned().into());
        }
        for name in self.names.kept {
            let value = self.attributes.name(&[name]);
            if !value.is_empty() {
                said.insert((*name).to_owned(), value.into_owned().into());
            }
        }
        said
    }

    fn body(&self, ids: &Identity) -> CallBody {
        let metadata = serde_json::Value::Object(self.metadata(ids)).to_string();
        let mut body = CallBody { metadata: Some(metadata), ..CallBody::default() };
        let bytes_max = match self.reading.text {
            Text::Off => return body,
            Text::Truncated(bytes_max) => bytes_max,
            Text::Full => usize::MAX,
        };
        let texts = Texts { here: self.attributes.record, within: &self.within };
        let mut bounded = |text: Option<String>| {
            text.map(|mut text| {
                body.is_text_cut |= text.len() > bytes_max;
                text.truncate(text.floor_char_boundary(bytes_max));
                text
            })
        };
        body.input_text =
            bounded(texts.find(self.names.input_text, &["gen_ai.prompt.", "llm.input_messages."]));
        body.output_text = bounded(
            texts.find(self.names.output_text, &["gen_ai.completion.", "llm.output_messages."]),
        );
        body
    }
}

/// The parameters of a call.
#[derive(serde::Deserialize)]
struct WithModel {
    model: String,
}

/// A provider's answer.
#[derive(serde::Deserialize)]
struct WithId {
    id: String,
}

/// Longest id that is kept, in bytes.
const ID_BYTES_MAX: usize = 256;
