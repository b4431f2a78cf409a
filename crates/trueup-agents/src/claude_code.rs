//! Claude Code: `projects/<cwd>/<session>.jsonl` and the sub-agents' files below.
//!
//! Formats of Claude Code 1.0 to 2.1. It writes one line per content block of an answer, each with
//! the same message id and a usage that grows until the last; a resumed session's file begins with a
//! copy of the old lines; a side question replays the conversation under other request ids.
//!
//! ```json
//! {"parentUuid":null,"isSidechain":false,"cwd":"/home/u/app","sessionId":"8f3c","message":
//!  {"model":"claude-opus-4-8","id":"msg_01","role":"assistant","content":[],"usage":
//!   {"input_tokens":4,"cache_creation_input_tokens":900,"cache_read_input_tokens":20000,
//!    "cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":900},
//!    "output_tokens":318,"service_tier":"standard"}},
//!  "requestId":"req_01","type":"assistant","uuid":"d0","timestamp":"2026-11-20T22:08:30.117Z"}
//! ```

use std::path::Path;
use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;
use trueup_core::{
    Billing, Call, Key, NanoUsd, Origin, Outcome, Owner, ProblemKind, Rank, Region, ServiceTier,
    Speed, Text, Tokens, Twin, UnixMs, Variant,
};

use crate::agent::{Agent, Decoder, Environment, Root, Store, StoreKind};
use crate::found::Found;
use crate::json::objects;
use crate::lines::Line;
use crate::lossy::{Count, Flag, Ignored, List, Object, Str, Time, Usd};

/// Claude Code.
#[derive(Debug)]
pub(crate) struct ClaudeCode;

const SOURCE: &str = "claude-code";

impl Agent for ClaudeCode {
    fn id(&self) -> &'static str {
        SOURCE
    }

    fn title(&self) -> &'static str {
        "Claude Code"
    }

    fn roots(&self, environment: &Environment) -> Vec<Root> {
        // The variable names config folders, or their `projects` folders.
        let projects = |root: Root| {
            if root.path.ends_with("projects") {
                root
            } else {
                Root { path: root.path.join("projects"), ..root }
            }
        };
        environment.folders("CLAUDE_CONFIG_DIR").map_or_else(
            || {
                let xdg = environment.xdg("XDG_CONFIG_HOME", ".config").join("claude/projects");
                vec![
                    environment.below_home(".claude/projects", "~/.claude"),
                    Root::new(xdg, "XDG_CONFIG_HOME"),
                ]
            },
            |folders| folders.into_iter().map(projects).collect(),
        )
    }

    fn classify(&self, below_root: &Path) -> Option<StoreKind> {
        (below_root.extension()? == "jsonl").then_some(StoreKind::Lines)
    }

    fn decoder(&self, store: &Store, _state: &str) -> Box<dyn Decoder> {
        Box::new(ClaudeCodeDecoder::new(store))
    }
}

/// Each line says all that is needed: there is no state but what was last shared.
#[derive(Debug)]
struct ClaudeCodeDecoder {
    modified: UnixMs,
    fallback_session: String,
    last: Origin,
    owner: Owner,
    /// What the ids of the last answer hash to: its lines follow each other.
    key: Option<(String, Key)>,
    variant: Option<(String, Variant)>,
    twin: Option<(String, Key)>,
    billing: LastBilling,
}

/// What the tier, the speed and the region of the last answer come to: most answers have the same.
#[derive(Debug, Default)]
struct LastBilling {
    said: [Option<Vec<u8>>; 3],
    billing: Billing,
}

impl LastBilling {
    fn of(&mut self, usage: &Usage<'_>) -> Billing {
        let said = [&usage.service_tier, &usage.speed, &usage.inference_geo];
        if !self.said.iter().zip(said).all(|(before, now)| before.as_deref() == now.bytes()) {
            let [tier, speed, region] = said.map(|said| said.filled().unwrap_or_default());
            self.billing = Billing {
                tier: ServiceTier::of_source(tier),
                speed: Speed::of_source(speed),
                region: Region::of_source(region),
            };
            self.said = said.map(|said| said.bytes().map(<[u8]>::to_vec));
        }
        self.billing
    }
}

objects! {
    struct Record<'a> {
        _parent: Ignored = "parentUuid",
        is_sidechain: Flag = "isSidechain",
        _user_type: Ignored = "userType",
        cwd: Str<'a> = "cwd",
        session_id: Str<'a> = "sessionId",
        _version: Ignored = "version",
        _branch: Ignored = "gitBranch",
        message: Object<Message<'a>> = "message",
        request_id: Str<'a> = "requestId",
        r#type: Str<'a> = "type",
        /// Of `progress` lines: a sub-agent's record, repeated in its parent's file. Boxed, as few lines
        /// have it.
        data: Object<Box<Progress<'a>>> = "data",
        uuid: Str<'a> = "uuid",
        timestamp: Time = "timestamp",
        cost_usd: Usd = "costUSD",
    }

    struct Progress<'a> {
        message: Object<ProgressMessage<'a>> = "message",
    }

    struct ProgressMessage<'a> {
        r#type: Str<'a> = "type",
        timestamp: Time = "timestamp",
        request_id: Str<'a> = "requestId",
        uuid: Str<'a> = "uuid",
        message: Object<Message<'a>> = "message",
    }

    struct Message<'a> {
        model: Str<'a> = "model",
        id: Str<'a> = "id",
        _type: Ignored = "type",
        _role: Ignored = "role",
        _content: Ignored = "content",
        _stop_reason: Ignored = "stop_reason",
        _stop_sequence: Ignored = "stop_sequence",
        usage: Object<Usage<'a>> = "usage",
    }

    /// The counts as Anthropic's API names them; `input_tokens` holds no cached ones. The steps of an
    /// answer have the same form: those of type `message` are inside the usage above them, an advisor's
    /// are not.
    struct Usage<'a> {
        input_tokens: Count = "input_tokens",
        cache_creation_input_tokens: Count = "cache_creation_input_tokens",
        cache_read_input_tokens: Count = "cache_read_input_tokens",
        cache_creation: Object<CacheCreation> = "cache_creation",
        output_tokens: Count = "output_tokens",
        output_tokens_details: Object<OutputDetails> = "output_tokens_details",
        service_tier: Str<'a> = "service_tier",
        inference_geo: Str<'a> = "inference_geo",
        iterations: List<Self> = "iterations",
        speed: Str<'a> = "speed",
        r#type: Str<'a> = "type",
        model: Str<'a> = "model",
    }

    struct CacheCreation {
        ephemeral_5m_input_tokens: Count = "ephemeral_5m_input_tokens",
        ephemeral_1h_input_tokens: Count = "ephemeral_1h_input_tokens",
    }

    /// Since 2.1.330; before, nothing said how much of an answer was thinking.
    struct OutputDetails {
        thinking_tokens: Count = "thinking_tokens",
    }
}

impl Usage<'_> {
    fn tokens(&self) -> Tokens {
        // A total without its split by lifetime is of the default lifetime, five minutes.
        let (write_5m, write_1h) = self.cache_creation.0.as_ref().map_or_else(
            || (self.cache_creation_input_tokens.or_zero(), 0),
            |split| {
                (
                    split.ephemeral_5m_input_tokens.or_zero(),
                    split.ephemeral_1h_input_tokens.or_zero(),
                )
            },
        );
        let output = self.output_tokens.or_zero();
        let details = self.output_tokens_details.0.as_ref();
        Tokens {
            input: self.input_tokens.or_zero(),
            cache_read: self.cache_read_input_tokens.or_zero(),
            cache_write_5m: write_5m,
            cache_write_1h: write_1h,
            output,
            reasoning: details.map_or(0, |details| details.thinking_tokens.or_zero()).min(output),
            ..Tokens::ZERO
        }
    }

    fn is_cut(&self) -> bool {
        let split = self.cache_creation.0.as_ref();
        self.input_tokens.is_cut()
            || self.output_tokens.is_cut()
            || self.cache_creation_input_tokens.is_cut()
            || self.cache_read_input_tokens.is_cut()
            || split.is_some_and(|split| {
                split.ephemeral_5m_input_tokens.is_cut() || split.ephemeral_1h_input_tokens.is_cut()
            })
    }
}

/// How close a copy is to the call that was made; see [`trueup_core::settle`].
mod standing {
    /// A side question's replay, a sub-agent's record, or a copy of one in a progress line.
    pub(super) const SIDECHAIN: u8 = 0;
    /// The session's own record, without a request id: proxies and cloud platforms write none.
    pub(super) const MAIN: u8 = 1;
    /// The session's own record of a known request.
    pub(super) const MAIN_REQUEST: u8 = 2;
}

/// What one answer is known by.
struct Answer<'a> {
    message: &'a Message<'a>,
    usage: &'a Usage<'a>,
    time: UnixMs,
    request_id: &'a Str<'a>,
    uuid: &'a Str<'a>,
    is_sidechain: bool,
    cost: Option<NanoUsd>,
}

impl ClaudeCodeDecoder {
    fn new(store: &Store) -> Self {
        // `<session>/subagents/…/agent-x.jsonl` belongs to the session of its folder.
        let below_root = store.below_root();
        let above_subagents = below_root
            .ancestors()
            .find(|above| above.ends_with("subagents"))
            .and_then(Path::parent)
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        let session = above_subagents.unwrap_or_else(|| store.stem());
        Self {
            modified: store.modified(),
            fallback_session: session.to_owned(),
            last: Origin {
                source: SOURCE.into(),
                provider: "anthropic".into(),
                session: session.into(),
                ..Origin::default()
            },
            owner: Owner::new(UnixMs(0), session),
            key: None,
            variant: None,
            twin: None,
            billing: LastBilling::default(),
        }
    }

    fn record(&mut self, record: &Record<'_>, line: u64, found: &mut Found<'_>) {
        let progress = record.data.0.as_ref().and_then(|data| data.message.0.as_ref());
        let answer = match progress {
            Some(inner) if record.r#type.is("progress") && inner.r#type.is("assistant") => {
                inner.message.0.as_ref().and_then(|message| {
                    Some(Answer {
                        message,
                        usage: message.usage.0.as_ref()?,
                        time: inner.timestamp.0.or(record.timestamp.0).unwrap_or(self.modified),
                        request_id: &inner.request_id,
                        uuid: &inner.uuid,
                        is_sidechain: true,
                        cost: None,
                    })
                })
            }
            _ if record.r#type.is("assistant") => record.message.0.as_ref().and_then(|message| {
                Some(Answer {
                    message,
                    usage: message.usage.0.as_ref()?,
                    time: record.timestamp.0.unwrap_or(self.modified),
                    request_id: &record.request_id,
                    uuid: &record.uuid,
                    is_sidechain: record.is_sidechain.0,
                    cost: record.cost_usd.0,
                })
            }),
            _ => None,
        };
        let Some(answer) = answer else { return };
        if answer.message.model.is("<synthetic>") {
            return;
        }
        let has_cut = answer.usage.is_cut() || answer.usage.iterations.0.iter().any(Usage::is_cut);
        if has_cut {
            found.problem(ProblemKind::BadCount, line, "message.usage has an impossible count");
        }
        self.share(record);
        self.calls(&answer, line, found);
    }

    /// Takes over session and project, sharing the texts of the line before where they are the same.
    fn share(&mut self, record: &Record<'_>) {
        if !is_same(&record.session_id, &self.last.session) {
            let session = record.session_id.filled().unwrap_or(&self.fallback_session);
            if *self.last.session != *session {
                self.last.session = session.into();
                self.owner = Owner::new(UnixMs(0), session);
            }
        }
        if !is_same(&record.cwd, &self.last.project) {
            self.last.project = record.cwd.filled().unwrap_or_default().into();
        }
    }

    fn calls(&mut self, answer: &Answer<'_>, line: u64, found: &mut Found<'_>) {
        let usage = answer.usage;
        let session = Arc::clone(&self.last.session);
        let key = hashed(&mut self.key, &answer.message.id, |id| Key::of(SOURCE, &[id]))
            .unwrap_or_else(|| Key::of(SOURCE, &parts(answer, &session, &line.to_string())));
        let request = hashed(&mut self.variant, answer.request_id, Variant::of);
        let (standing, variant) = match request {
            _ if answer.is_sidechain => (standing::SIDECHAIN, Variant(0)),
            None => (standing::MAIN, Variant(0)),
            Some(request) => (standing::MAIN_REQUEST, request),
        };
        let tokens = usage.tokens();
        // Platforms that write no request id tell none in their telemetry, either, which does not say
        // what of an answer was thinking.
        let twin = found.twin(|| {
            let request = |request: &str| Twin::of_request(SOURCE, request);
            hashed(&mut self.twin, answer.request_id, request).unwrap_or_else(|| {
                Twin::of_usage(SOURCE, &session, &Tokens { reasoning: 0, ..tokens })
            })
        });
        let billing = self.billing.of(usage);
        let is_detailed = usage.speed.text().is_some();
        let mut push = |key: Key, model: &Str<'_>, tokens: Tokens, cost: Option<NanoUsd>, twin| {
            let has_known_cost =
                cost.is_some_and(|cost| cost != NanoUsd::ZERO || tokens.total() == 0);
            found.call(Call {
                key,
                variant,
                rank: Rank::new(standing, &tokens, is_detailed, self.owner),
                twin,
                time: answer.time,
                origin: Origin { model: self.model(model), ..self.last.clone() },
                tokens,
                billing,
                reported_cost: cost.filter(|_| has_known_cost),
                latency_ms: None,
                time_to_first_token_ms: None,
                outcome: Outcome::Ok,
                trace_id: None,
                body: None,
            });
        };
        push(key, &answer.message.model, tokens, answer.cost, twin);
        let advisors = usage.iterations.0.iter().filter(|step| step.r#type.is("advisor_message"));
        for (at, step) in advisors.enumerate() {
            let (line, at) = (line.to_string(), at.to_string());
            let mut parts = parts(answer, &session, &line);
            parts.extend(["advisor", &at]);
            push(Key::of(SOURCE, &parts), &step.model, step.tokens(), None, None);
        }
    }

    fn model(&mut self, model: &Str<'_>) -> Text {
        if !is_same(model, &self.last.model) {
            self.last.model = model.filled().unwrap_or_default().into();
        }
        Arc::clone(&self.last.model)
    }
}

/// What an answer is known by. Without a message id copies cannot be told; without any id a line is only
/// itself.
fn parts<'p>(answer: &'p Answer<'_>, session: &'p str, line: &'p str) -> Vec<&'p str> {
    match (answer.message.id.filled(), answer.uuid.filled()) {
        (Some(id), _) => vec![id],
        (None, Some(uuid)) => vec!["uuid", uuid],
        (None, None) => vec!["line", session, line],
    }
}

/// Whether a text is the one that was there before.
fn is_same(text: &Str<'_>, before: &str) -> bool {
    !before.is_empty() && text.is(before)
}

/// The hash of a text, which is only worked out where it is not the last text again.
fn hashed<T: Copy>(
    last: &mut Option<(String, T)>,
    text: &Str<'_>,
    hash: impl FnOnce(&str) -> T,
) -> Option<T> {
    match last {
        Some((of, hash)) if text.is(of) => Some(*hash),
        _ => text.filled().map(|text| last.insert((text.to_owned(), hash(text))).1),
    }
}

impl Decoder for ClaudeCodeDecoder {
    fn line(&mut self, line: &Line<'_>, found: &mut Found<'_>) {
        if !may_matter(line) {
            return;
        }
        match line.parse::<Record<'_>>() {
            Ok(record) => self.record(&record, line.number(), found),
            Err(error) => found.problem(ProblemKind::NotJson, line.number(), error.to_string()),
        }
    }
}

/// Whether a line may hold an answer. Prompts and results of tools, most of a transcript, say their type
/// before their content. Answers say theirs behind it, but begin with their model.
fn may_matter(line: &Line<'_>) -> bool {
    static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage\""));
    let opening = line.opening();
    let has_usage = || USAGE.find(line.bytes()).is_some();
    match opening.own_type() {
        None => opening.object_begins_with(b"model").is_some() || has_usage(),
        Some(b"assistant") => has_usage(),
        Some(b"progress") => {
            opening.object_begins_with(b"type") != Some(b"bash_progress") && has_usage()
        }
        Some(_) => false,
    }
}
