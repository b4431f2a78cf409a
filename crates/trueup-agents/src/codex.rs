//! Codex: `sessions/YYYY/MM/DD/rollout-<time>-<id>.jsonl[.zst]` and `archived_sessions/` of its home.
//!
//! Formats of Codex 0.20 to 0.159, and what `codex exec --json` prints. A rollout counts twice over:
//! `token_count` carries the thread's running total and the last answer's usage, and is written again
//! whenever the rate limits change; newer versions write a `token_usage_record` for the same answer. A
//! fork's file begins with its parent's history, and some sub-agents' files do too. This module knows
//! what a line means; [`counter`] knows which lines are one call, [`lineage`] whose call it is, and
//! [`record`] the shapes and which lines to look at at all.
//!
//! ```json
//! {"timestamp":"2026-09-29T14:55:24.013Z","ordinal":19,"type":"event_msg","payload":{"type":"token_count",
//!  "info":{"total_token_usage":{"input_tokens":2150,"cached_input_tokens":300,"output_tokens":90,
//!    "cache_write_input_tokens":0,"reasoning_output_tokens":15,"total_tokens":2240},
//!   "last_token_usage":{"input_tokens":1200,"cached_input_tokens":200,"output_tokens":50,
//!    "cache_write_input_tokens":0,"reasoning_output_tokens":10,"total_tokens":1250},
//!   "model_context_window":258400},
//!  "rate_limits":{"limit_id":"codex","primary":{"used_percent":12.5,"window_minutes":300,
//!    "resets_at":1790697271},"secondary":null,"plan_type":"pro"}}}
//! ```

mod counter;
mod lineage;
mod quota;
mod record;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trueup_core::{
    Billing, Call, Key, Origin, Outcome, Owner, ProblemKind, Rank, ServiceTier, Text, Twin, UnixMs,
};

use self::counter::{Counter, Step};
use self::lineage::Lineage;
use self::quota::Quotas;
use self::record::{Kind, Payload, RateLimits, Record, Usage};
use crate::agent::{Agent, Decoder, Environment, Root, Store, StoreKind};
use crate::found::Found;
use crate::json;
use crate::lines::Line;
use crate::lossy::Object;
use crate::uuid::is_uuid;

/// Codex.
#[derive(Debug)]
pub(crate) struct Codex;

const SOURCE: &str = "codex";

/// The provider of a thread that names none.
const DEFAULT_PROVIDER: &str = "openai";

/// The model of a thread that names none: the first that Codex was made for.
const DEFAULT_MODEL: &str = "gpt-5";

/// The folders of a Codex home that hold threads.
const FOLDERS: [&str; 2] = ["sessions", "archived_sessions"];

/// Files of a Codex home that hold prompts and names, never usage.
const INDEXES: [&str; 2] = ["history.jsonl", "session_index.jsonl"];

impl Agent for Codex {
    fn id(&self) -> &'static str {
        SOURCE
    }

    fn title(&self) -> &'static str {
        "Codex"
    }

    fn roots(&self, environment: &Environment) -> Vec<Root> {
        let default = || vec![environment.below_home(".codex", "~/.codex")];
        environment.folders("CODEX_HOME").unwrap_or_else(default)
    }

    fn enters(&self, below_root: &Path) -> bool {
        FOLDERS.iter().any(|folder| below_root.starts_with(folder))
    }

    /// Beside the threads: files that lie in the home itself, for folders of `codex exec --json` output.
    fn classify(&self, below_root: &Path) -> Option<StoreKind> {
        let name = Path::new(below_root.file_name()?);
        match name.extension()?.to_str() {
            _ if INDEXES.iter().any(|index| name == Path::new(index)) => None,
            Some("jsonl") => Some(StoreKind::Lines),
            // Threads that were not touched for a week may be compressed (0.137).
            Some("zst") => {
                let inner = Path::new(name.file_stem()?);
                (inner.extension()? == "jsonl").then_some(StoreKind::ZstdLines)
            }
            _ => None,
        }
    }

    fn decoder(&self, store: &Store, state: &str) -> Box<dyn Decoder> {
        Box::new(CodexDecoder::new(store, state))
    }
}

/// What one line leaves for those behind it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    lineage: Lineage,
    counter: Counter,
    quotas: Quotas,
    provider: Option<Text>,
    project: Option<Text>,
    model: Option<Text>,
    tier: Option<String>,
}

#[derive(Debug)]
struct CodexDecoder {
    modified: UnixMs,
    fallback_session: Text,
    source: Text,
    state: State,
    /// The session that the last call was of.
    owner: (Text, Owner),
    /// The count that was read last, where reading it again would change nothing.
    last_count: Vec<u8>,
    /// The limits that were read last, in the same way.
    last_limits: Vec<u8>,
}

impl CodexDecoder {
    fn new(store: &Store, state: &str) -> Self {
        Self {
            modified: store.modified(),
            fallback_session: session_of_name(store.stem()).into(),
            source: SOURCE.into(),
            state: serde_json::from_str(state).unwrap_or_default(),
            owner: ("".into(), Owner::new(UnixMs(0), "")),
            last_count: Vec::new(),
            last_limits: Vec::new(),
        }
    }

    fn record(&mut self, record: &Record<'_>, line: u64, found: &mut Found<'_>) {
        let time = record.time();
        let payload = record.payload.0.as_ref();
        match (record.r#type.text(), payload) {
            (Some("session_meta"), Some(meta)) => self.meta(meta, time),
            (Some("turn_context"), Some(turn)) => self.turn(turn),
            (Some("token_usage_record"), Some(payload)) => {
                self.usage_record(payload, time, line, found);
            }
            (Some("event_msg"), Some(event)) => self.event(event, time, line, found),
            (Some("thread.started"), _) => self.thread(record),
            _ => self.stream(record, line, found),
        }
    }

    fn meta(&mut self, meta: &Payload<'_>, line_time: Option<UnixMs>) {
        let Some(id) = meta.id.filled() else { return };
        let started = meta.timestamp.0.or(line_time);
        let is_own = self.state.lineage.meta(
            id,
            meta.forked_from_id.filled(),
            meta.parent(),
            started,
            line_time,
        );
        if is_own {
            self.state.provider = meta.model_provider.filled().map(Into::into);
            self.state.project = meta.cwd.filled().map(Into::into).or(self.state.project.take());
        }
    }

    fn turn(&mut self, turn: &Payload<'_>) {
        if let Some(id) = turn.turn_id.filled() {
            self.state.lineage.turn(id);
        }
        self.model_is(turn.model_name());
        // A tier that a turn names is the turn's; one that it does not name goes on.
        if let Some(tier) = turn.service_tier.filled() {
            self.state.tier = Some(tier.to_owned());
        }
        if self.state.project.is_none() {
            self.state.project = turn.cwd.filled().map(Into::into);
        }
    }

    fn model_is(&mut self, model: Option<&str>) {
        if let Some(model) = model
            && self.state.model.as_deref() != Some(model)
        {
            self.state.model = Some(model.into());
        }
    }

    fn event(
        &mut self,
        event: &Payload<'_>,
        time: Option<UnixMs>,
        line: u64,
        found: &mut Found<'_>,
    ) {
        if event.r#type.is("thread_settings_applied") {
            if let Some(settings) = &event.thread_settings.0 {
                self.model_is(settings.model.filled());
                // Settings are written as a whole: a tier that is not there is the standard one.
                self.state.tier = settings.service_tier.filled().map(str::to_owned);
            }
        } else if event.r#type.is("token_count") {
            self.token_count(event, time, line, found);
        }
    }

    fn token_count(
        &mut self,
        event: &Payload<'_>,
        time: Option<UnixMs>,
        line: u64,
        found: &mut Found<'_>,
    ) {
        if let Some(info) = &event.info.0 {
            self.model_is(info.model.filled().or_else(|| info.model_name.filled()));
            let (total, last) =
                (info.total_token_usage.0.as_ref(), info.last_token_usage.0.as_ref());
            report_cut(total.into_iter().chain(last), line, found);
            let (total, last) = (total.map(Usage::counts), last.map(Usage::counts));
            let step = self.state.counter.count(total, last);
            self.call(step, time, found);
        }
        if let Some(limits) = event.rate_limits.0 {
            self.limits(limits, time, line, found);
        }
    }

    /// Reads limits, unless they are those of the line before. Such as tell their end as a distance from
    /// their own time are never the same.
    fn limits(&mut self, json: &[u8], time: Option<UnixMs>, line: u64, found: &mut Found<'_>) {
        if *json == *self.last_limits {
            return;
        }
        self.last_limits.clear();
        if self.state.lineage.is_copy(time) {
            return;
        }
        match json::from_slice::<Object<RateLimits<'_>>>(json) {
            Ok(Object(limits)) => {
                let time = self.time_or_earlier(time);
                let limits = limits.unwrap_or_default();
                self.state.quotas.read(&limits, &self.source, time, found);
                if !limits.tell_a_distance() {
                    self.last_limits.extend_from_slice(json);
                }
            }
            Err(error) => found.problem(ProblemKind::NotJson, line, error.to_string()),
        }
    }

    fn usage_record(
        &mut self,
        payload: &Payload<'_>,
        time: Option<UnixMs>,
        line: u64,
        found: &mut Found<'_>,
    ) {
        let Some(usage) = payload.usage.0.as_deref() else { return };
        report_cut([usage], line, found);
        let step = self.state.counter.record(usage.counts(), payload.response_id.filled());
        self.call(step, time, found);
    }

    /// Whether a count that is repeated word for word at a later time says nothing new: its totals do
    /// not, nor do limits that were read and do not tell their end as a distance.
    fn is_same_again(&self, record: &Record<'_>) -> bool {
        // An object of another name looks the same from the outside, and nothing was read of it.
        let Some(event) = &record.payload.0 else { return false };
        event.rate_limits.0.is_none_or(|limits| *limits == *self.last_limits)
    }

    /// `codex exec --json` names the thread that the lines behind it belong to.
    fn thread(&mut self, record: &Record<'_>) {
        if let Some(id) = record.thread_id.filled()
            && self.state.lineage.thread(id)
        {
            self.state.counter = Counter::default();
        }
    }

    /// A line of `codex exec --json`, or of a program that writes usage in the same way.
    fn stream(&mut self, record: &Record<'_>, line: u64, found: &mut Found<'_>) {
        self.model_is(record.model_name());
        let Some(usage) = record.stream_usage() else { return };
        report_cut([usage], line, found);
        // `turn.completed` holds the thread's running total, not the turn's own usage.
        let counts = Some(usage.counts());
        let step = if record.r#type.is("turn.completed") {
            self.state.counter.count(counts, None)
        } else {
            self.state.counter.count(None, counts)
        };
        self.call(step, record.time(), found);
    }

    /// The time of a record that may have none: the thread's start, else the file's last change.
    fn time_or_earlier(&self, time: Option<UnixMs>) -> UnixMs {
        time.or(self.state.lineage.started()).unwrap_or(self.modified)
    }

    fn call(&mut self, step: Option<Step>, time: Option<UnixMs>, found: &mut Found<'_>) {
        let Some(step) = step else { return };
        let lineage = &mut self.state.lineage;
        lineage.close();
        if lineage.is_copy(time) {
            return;
        }
        let tokens = step.used.tokens();
        let session = lineage.session().unwrap_or(&self.fallback_session);
        if *self.owner.0 != **session {
            self.owner = (Arc::clone(session), Owner::new(UnixMs(0), session));
        }
        found.call(Call {
            key: Key::of(
                SOURCE,
                &[
                    lineage.root().unwrap_or(&self.fallback_session).as_bytes(),
                    &step.restarts.to_le_bytes(),
                    &step.total.bytes(),
                    &step.used.bytes(),
                ],
            ),
            variant: lineage.variant(),
            rank: Rank::new(lineage.standing(), &tokens, false, self.owner.1),
            twin: found.twin(|| Twin::of_usage(SOURCE, session, &tokens)),
            time: self.time_or_earlier(time),
            origin: self.origin(),
            tokens,
            billing: Billing {
                tier: ServiceTier::of_source(self.state.tier.as_deref().unwrap_or_default()),
                ..Billing::default()
            },
            reported_cost: None,
            latency_ms: None,
            time_to_first_token_ms: None,
            outcome: Outcome::Ok,
            trace_id: None,
            body: None,
        });
    }

    fn origin(&self) -> Origin {
        let shared = |text: &Option<Text>, default: &str| {
            text.as_ref().map_or_else(|| default.into(), Arc::clone)
        };
        let session = self.state.lineage.session().unwrap_or(&self.fallback_session);
        Origin {
            source: Arc::clone(&self.source),
            provider: shared(&self.state.provider, DEFAULT_PROVIDER),
            model: shared(&self.state.model, DEFAULT_MODEL),
            project: shared(&self.state.project, ""),
            session: Arc::clone(session),
            kind: Text::default(),
        }
    }
}

fn report_cut<'u, U>(usages: U, line: u64, found: &mut Found<'_>)
where
    U: IntoIterator<Item = &'u Usage>,
{
    if usages.into_iter().any(Usage::is_cut) {
        found.problem(ProblemKind::BadCount, line, "token usage has an impossible count");
    }
}

/// The thread's id at the end of `rollout-2026-09-29T14-55-23-<uuid>`, else the whole name.
fn session_of_name(stem: &str) -> &str {
    let id = stem.len().checked_sub(UUID_CHARS).and_then(|at| stem.get(at..));
    id.filter(|id| is_uuid(id)).unwrap_or(stem)
}

const UUID_CHARS: usize = 36;

impl Decoder for CodexDecoder {
    fn line(&mut self, line: &Line<'_>, found: &mut Found<'_>) {
        if self.state.lineage.is_in_burst() {
            self.state.lineage.pass(record::time(line));
        }
        let count = match record::kind(line) {
            Kind::Conversation => return,
            Kind::Count(count) if *count == *self.last_count => return,
            Kind::Count(count) => count,
            Kind::Other => &[],
        };
        self.last_count.clear();
        let problems = found.problem_count();
        match line.parse::<Record<'_>>() {
            Ok(record) => {
                self.record(&record, line.number(), found);
                if problems == found.problem_count() && self.is_same_again(&record) {
                    self.last_count.extend_from_slice(count);
                }
            }
            Err(error) => found.problem(ProblemKind::NotJson, line.number(), error.to_string()),
        }
    }

    fn state(&self) -> String {
        // Texts and numbers only: this cannot fail.
        serde_json::to_string(&self.state).unwrap_or_default()
    }
}
