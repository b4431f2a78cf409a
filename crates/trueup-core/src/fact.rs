//! Facts: one thing observed, with everything that an account needs to know of it.
//!
//! A reader or a listener makes a [`Fact`] and from then on nobody asks where it came from. Facts hold
//! no policy: prices, days and totals are worked out from them later.

use std::sync::Arc;

use crate::prices::ContextBand;
use crate::{
    FactId, Key, Metered, NanoUsd, PriceClass, Rank, Region, ServiceTier, Speed, Tokens, Twin,
    UnixMs, Variant,
};

/// A short text that many facts share: a model, a project, a session. Empty where the source does
/// not say.
pub type Text = Arc<str>;

/// One thing observed.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// One model call (measured).
    Call(Box<Call>),
    /// One error, of a model, an agent or the system.
    Error(Box<ErrorEvent>),
    /// One event that a client names itself.
    Event(Box<CustomEvent>),
    /// One sample of the machine's health.
    Host(Box<HostMetric>),
    /// What an agent says that a whole session or run used (claimed).
    SessionTotal(Box<SessionTotal>),
    /// How much of a subscription's allowance is used, as the provider told the agent.
    Quota(Box<Quota>),
    /// What a counter of telemetry says that was used (evidence).
    Metered(Box<Metered>),
}

/// Where a fact belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The source id: `claude-code`, `codex`, `http`…
    pub source: Text,
    /// The provider as the source names it.
    pub provider: Text,
    /// The model, exactly as the source writes it.
    pub model: Text,
    /// The project: the working directory, where the source says it.
    pub project: Text,
    /// The session.
    pub session: Text,
    /// What kind of session it is, where the source says: `main`, `cron`, `subagent`…
    pub kind: Text,
}

/// What besides tokens decides a call's price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Billing {
    /// The provider's service tier.
    pub tier: ServiceTier,
    /// Whether the model ran in its fast mode (Anthropic `speed`).
    pub speed: Speed,
    /// Where inference was confined to (Anthropic `inference_geo`).
    pub region: Region,
}

impl Billing {
    /// The price class of a call with a prompt of this many tokens, cached ones included.
    #[must_use]
    pub fn class(self, prompt_tokens: u64) -> PriceClass {
        let Self { tier, speed, region } = self;
        PriceClass { tier, speed, region, context: ContextBand::of_prompt(prompt_tokens) }
    }
}

/// One model call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What makes it count once.
    pub key: Key,
    /// Separates calls that share the key.
    pub variant: Variant,
    /// Which copy of it counts.
    pub rank: Rank,
    /// What another way of telling makes of the same call; `None` where there is no other.
    pub twin: Option<Twin>,
    /// When it was answered, by the source's own record.
    pub time: UnixMs,
    /// Where it belongs.
    pub origin: Origin,
    /// What it used, in disjoint counts.
    pub tokens: Tokens,
    /// What besides tokens decides its price.
    pub billing: Billing,
    /// What the agent or gateway says that it cost. `None` where it does not say; a recorded zero
    /// beside used tokens means "not known" and is `None` too.
    pub reported_cost: Option<NanoUsd>,
    /// From request to last token, in milliseconds.
    pub latency_ms: Option<u32>,
    /// From request to first token, in milliseconds.
    pub time_to_first_token_ms: Option<u32>,
    /// Whether it was answered.
    pub outcome: Outcome,
    /// The id that a client sent, or that it was told. Calls read from files have none of their own.
    pub trace_id: Option<Text>,
    /// Prompt, completion and free metadata: only where the owner's clients send them.
    pub body: Option<Box<CallBody>>,
}

impl Call {
    /// How the call is stored and sent.
    #[must_use]
    pub fn id(&self) -> FactId {
        let variant = u128::from(self.variant.0.unsigned_abs());
        let key =
            self.key.as_u128() ^ variant.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        FactId::new(self.time, Key(key.to_be_bytes()))
    }
}

/// Whether a call was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Answered.
    #[default]
    Ok,
    /// Failed or aborted, with the kind of error.
    Failed {
        /// A short name: `error`, `aborted`, `rate_limit`…
        error_type: Text,
    },
}

/// The long parts of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallBody {
    /// The prompt, cut to the configured length.
    pub input_text: Option<String>,
    /// The completion, cut to the configured length.
    pub output_text: Option<String>,
    /// Whether either was cut.
    pub is_text_cut: bool,
    /// JSON of the fields that the client sent and that have no place of their own.
    pub metadata: Option<String>,
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorEvent {
    /// What makes it count once.
    pub key: Key,
    /// When it happened.
    pub time: UnixMs,
    /// The id that a client sent, or was told.
    pub trace_id: Option<Text>,
    /// The source id.
    pub source: Text,
    /// The session, where known.
    pub session: Text,
    /// `llm_error`, `crash`, `system_error`, or a name of the client's own.
    pub error_type: Text,
    /// What went wrong.
    pub message: String,
    /// Where, in the client's own form.
    pub stack_trace: Option<String>,
    /// `error` unless the client says otherwise.
    pub severity: Text,
    /// Any JSON.
    pub metadata: Option<String>,
}

/// One event that a client names itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomEvent {
    /// What makes it count once.
    pub key: Key,
    /// When it happened.
    pub time: UnixMs,
    /// The id that a client sent, or was told.
    pub trace_id: Option<Text>,
    /// The source id.
    pub source: Text,
    /// The session, where known.
    pub session: Text,
    /// The client's name for it.
    pub name: Text,
    /// Any JSON.
    pub metadata: Option<String>,
}

/// One sample of the machine's health. What could not be read is `None`, never zero.
#[derive(Debug, Clone, PartialEq)]
pub struct HostMetric {
    /// What makes it count once.
    pub key: Key,
    /// When it was taken.
    pub time: UnixMs,
    /// What was measured: `cgroup2`, `cgroup1` or `host`.
    pub scope: Text,
    /// CPU in thousandths of a percent of the capacity, since the sample before.
    pub cpu_millipercent: Option<u32>,
    /// The capacity in thousandths of a core: the quota, or the cores there are.
    pub cpu_capacity_millicores: Option<u64>,
    /// Resident memory in bytes.
    pub mem_rss_bytes: Option<u64>,
    /// Memory in use that cannot be reclaimed, in bytes.
    pub mem_working_set_bytes: Option<u64>,
    /// The memory limit in bytes.
    pub mem_limit_bytes: Option<u64>,
    /// How long work waited for a processor.
    pub cpu_pressure: Pressure,
    /// How long work waited for memory.
    pub mem_pressure: Pressure,
    /// How long work waited for disks.
    pub io_pressure: Pressure,
    /// Bytes used on the ledger's volume.
    pub disk_used_bytes: Option<u64>,
    /// Bytes that a user may still write there.
    pub disk_available_bytes: Option<u64>,
    /// Size of the ledger's volume in bytes.
    pub disk_total_bytes: Option<u64>,
    /// Bytes read from disks in a second, since the sample before.
    pub disk_read_bytes_per_second: Option<u64>,
    /// Bytes written to disks in a second, since the sample before.
    pub disk_write_bytes_per_second: Option<u64>,
    /// Bytes received from the network in a second, since the sample before.
    pub net_rx_bytes_per_second: Option<u64>,
    /// Bytes sent to the network in a second, since the sample before.
    pub net_tx_bytes_per_second: Option<u64>,
    /// Processes, zombies included.
    pub processes: Option<u64>,
    /// Their threads.
    pub threads: Option<u64>,
    /// Processes that have ended and that nobody has waited for.
    pub zombies: Option<u64>,
    /// Processes that were killed for want of memory, as far back as the kernel counts.
    pub oom_kills: Option<u64>,
    /// JSON of everything else.
    pub metadata: Option<String>,
}

/// Which share of the last ten seconds was lost to waiting, in thousandths of a percent (PSI).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Something waited.
    pub some_millipercent: Option<u32>,
    /// Everything waited.
    pub full_millipercent: Option<u32>,
}

/// What an agent claims that a whole session or run used. It stands in only where nothing measured
/// covers it; see [`covered`](crate::covered).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTotal {
    /// What makes it count once: session and run.
    pub key: Key,
    /// When the agent wrote it: at the end of the run, or later.
    pub time: UnixMs,
    /// When the run began, where the agent says.
    pub started: Option<UnixMs>,
    /// The session that this one began as a copy of; empty for none. Its calls may be what is claimed.
    pub parent: Text,
    /// Where it belongs.
    pub origin: Origin,
    /// The claimed usage.
    pub tokens: Tokens,
    /// The claimed cost.
    pub reported_cost: Option<NanoUsd>,
}

/// How much of an allowance is used, as the provider told the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The source id.
    pub source: Text,
    /// When the provider said so.
    pub time: UnixMs,
    /// Length of the allowance's window in minutes: 300 for five hours, 10,080 for a week.
    pub window_minutes: u32,
    /// Used share in thousandths of a percent.
    pub used_millipercent: u32,
    /// When the window ends.
    pub resets_at: Option<UnixMs>,
    /// The plan's name, where told.
    pub plan: Text,
}

impl Fact {
    /// When it happened.
    #[must_use]
    pub const fn time(&self) -> UnixMs {
        match self {
            Self::Call(call) => call.time,
            Self::SessionTotal(claim) => claim.time,
            Self::Quota(quota) => quota.time,
            Self::Metered(metered) => metered.time,
            Self::Error(error) => error.time,
            Self::Event(event) => event.time,
            Self::Host(host) => host.time,
        }
    }

    /// Bytes that the fact holds in memory, roughly: what bounded queues count.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let variable = match self {
            Self::Call(call) => call.body.as_ref().map_or(0, |body| {
                text(&body.input_text) + text(&body.output_text) + text(&body.metadata)
            }),
            Self::Error(error) => {
                error.message.len() + text(&error.stack_trace) + text(&error.metadata)
            }
            Self::Event(event) => event.name.len() + text(&event.metadata),
            Self::Host(host) => text(&host.metadata),
            Self::SessionTotal(_) | Self::Quota(_) | Self::Metered(_) => 0,
        };
        variable + FACT_BASE_BYTES
    }
}

/// What a fact weighs beside its long texts.
const FACT_BASE_BYTES: usize = 512;
