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
use std::sync::Arc;

use memchr::memmem;
use serde::Deserialize;
use trueup_core::{
    Billing, Call, Key, NanoUsd, Origin, Outcome, ProblemKind, Rank, Region, ServiceTier, Speed,
    Text, Tokens, UnixMs, Variant,
};

use crate::agent::{Agent, Decoder, Environment, Root, Store, StoreKind};
use crate::found::Found;
use crate::lines::{Line, describe};
use crate::lossy::{Count, Flag, List, Object, Str, Time, Usd};

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
                    Root { path: xdg, origin: "XDG_CONFIG_HOME" },
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
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record {
    r#type: Str,
    timestamp: Time,
    session_id: Str,
    cwd: Str,
    request_id: Str,
    is_sidechain: Flag,
    uuid: Str,
    message: Object<Message>,
    #[serde(rename = "costUSD")]
    cost_usd: Usd,
    /// Of `progress` lines: a sub-agent's record, repeated in its parent's file.
    data: Object<Progress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Progress {
    message: Object<ProgressMessage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProgressMessage {
    r#type: Str,
    timestamp: Time,
    request_id: Str,
    uuid: Str,
    message: Object<Message>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    id: Str,
    model: Str,
    usage: Object<Usage>,
}

/// The counts as Anthropic's API names them; `input_tokens` holds no cached ones. The steps of an
/// answer have the same form: those of type `message` are inside the usage above them, an advisor's
/// are not.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    input_tokens: Count,
    output_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation: Object<CacheCreation>,
    service_tier: Str,
    speed: Str,
    inference_geo: Str,
    r#type: Str,
    model: Str,
    iterations: List<Self>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Count,
    ephemeral_1h_input_tokens: Count,
}

impl Usage {
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
        Tokens {
            input: self.input_tokens.or_zero(),
            cache_read: self.cache_read_input_tokens.or_zero(),
            cache_write_5m: write_5m,
            cache_write_1h: write_1h,
            output: self.output_tokens.or_zero(),
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
    message: &'a Message,
    usage: &'a Usage,
    time: UnixMs,
    request_id: Option<&'a str>,
    uuid: &'a Str,
    is_sidechain: bool,
    cost: Option<NanoUsd>,
}

impl ClaudeCodeDecoder {
    fn new(store: &Store) -> Self {
        // `<session>/subagents/…/agent-x.jsonl` belongs to the session of its folder.
        let above_subagents = store
            .below_root()
            .ancestors()
            .find(|above| above.ends_with("subagents"))
            .and_then(Path::parent)
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        Self {
            modified: store.modified(),
            fallback_session: above_subagents.unwrap_or_else(|| store.stem()).to_owned(),
            last: Origin {
                source: SOURCE.into(),
                provider: "anthropic".into(),
                ..Origin::default()
            },
        }
    }

    fn record(&mut self, record: &Record, line: u64, found: &mut Found<'_>) {
        let progress = record.data.0.as_ref().and_then(|data| data.message.0.as_ref());
        let answer = match progress {
            Some(inner) if record.r#type.is("progress") && inner.r#type.is("assistant") => {
                inner.message.0.as_ref().and_then(|message| {
                    Some(Answer {
                        message,
                        usage: message.usage.0.as_ref()?,
                        time: inner.timestamp.0.or(record.timestamp.0).unwrap_or(self.modified),
                        request_id: inner.request_id.filled(),
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
                    request_id: record.request_id.filled(),
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
    fn share(&mut self, record: &Record) {
        let session = record.session_id.filled().unwrap_or(&self.fallback_session);
        if *self.last.session != *session {
            self.last.session = session.into();
        }
        let project = record.cwd.filled().unwrap_or_default();
        if *self.last.project != *project {
            self.last.project = project.into();
        }
    }

    fn calls(&mut self, answer: &Answer<'_>, line: u64, found: &mut Found<'_>) {
        let usage = answer.usage;
        let id = answer.message.id.filled();
        let uuid = answer.uuid.filled();
        // Without a message id copies cannot be told; without any id a line is only itself.
        let session = Arc::clone(&self.last.session);
        let line = line.to_string();
        let parts: Vec<&str> = match (id, uuid) {
            (Some(id), _) => vec![id],
            (None, Some(uuid)) => vec!["uuid", uuid],
            (None, None) => vec!["line", &session, &line],
        };
        let (standing, variant) = match answer.request_id {
            _ if answer.is_sidechain => (standing::SIDECHAIN, Variant(0)),
            None => (standing::MAIN, Variant(0)),
            Some(request) => (standing::MAIN_REQUEST, Variant::of(request)),
        };
        let billing = Billing {
            tier: ServiceTier::of_source(usage.service_tier.filled().unwrap_or_default()),
            speed: Speed::of_source(usage.speed.filled().unwrap_or_default()),
            region: Region::of_source(usage.inference_geo.filled().unwrap_or_default()),
        };
        let is_detailed = usage.speed.0.is_some();
        let mut push = |parts: &[&str], model: &Str, tokens: Tokens, cost: Option<NanoUsd>| {
            let model = self.model(model);
            let rank = Rank::new(standing, &tokens, is_detailed, UnixMs(0), &self.last.session);
            let has_known_cost =
                cost.is_some_and(|cost| cost != NanoUsd::ZERO || tokens.total() == 0);
            found.call(Call {
                key: Key::of(SOURCE, parts),
                variant,
                rank,
                time: answer.time,
                origin: Origin { model, ..self.last.clone() },
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
        push(&parts, &answer.message.model, usage.tokens(), answer.cost);
        let advisors = usage.iterations.0.iter().filter(|step| step.r#type.is("advisor_message"));
        for (at, step) in advisors.enumerate() {
            let at = at.to_string();
            let parts: Vec<&str> = parts.iter().copied().chain(["advisor", &at]).collect();
            push(&parts, &step.model, step.tokens(), None);
        }
    }

    fn model(&mut self, model: &Str) -> Text {
        let model = model.filled().unwrap_or_default();
        if *self.last.model != *model {
            self.last.model = model.into();
        }
        Arc::clone(&self.last.model)
    }
}

impl Decoder for ClaudeCodeDecoder {
    fn line(&mut self, line: &mut Line<'_>, found: &mut Found<'_>) {
        let number = line.number();
        if !line.looks_like_record() {
            found.problem(ProblemKind::NotJson, number, "is not a JSON object");
            return;
        }
        // A line that is too long to hold is a prompt with images, or an answer: only the first says
        // its role before its content.
        let may_hold_usage = if line.is_whole() {
            memmem::find(line.head(), b"\"usage\"").is_some()
        } else {
            memmem::find(line.head(), b"\"role\":\"user\"").is_none()
        };
        if !may_hold_usage {
            return;
        }
        match line.parse::<Record>() {
            Ok(record) => self.record(&record, number, found),
            Err(error) => found.problem(ProblemKind::NotJson, number, describe(&error)),
        }
    }
}
