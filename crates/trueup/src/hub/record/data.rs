//! What records may say, field by field; what is not listed is not kept.
//!
//! ```json
//! {"trace_id":"t-1","created_at":1795212509482,"source":"codex","model":"gpt-5.5","input_tokens":620}
//! ```

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub(super) r#type: Said<'a>,
    pub(super) seq: Option<i64>,
    #[serde(borrow)]
    pub(super) id: Option<Said<'a>>,
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
}

/// A text, where it stands in the body unless something in it is escaped.
#[derive(Debug)]
pub(super) struct Said<'a>(Cow<'a, str>);

impl std::ops::Deref for Said<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Said<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Said<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Said<'de>, E> {
                Ok(Said(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Said<'de>, E> {
                Ok(Said(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Texts)
    }
}

/// What says of a record which one it is.
#[derive(Deserialize)]
pub(super) struct Common<'a> {
    #[serde(borrow)]
    pub(super) trace_id: Option<Said<'a>>,
    pub(super) created_at: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct CallData<'a> {
    pub(super) trace_id: Option<Said<'a>>,
    pub(super) created_at: Option<i64>,
    pub(super) provider: Option<Said<'a>>,
    pub(super) model: Option<Said<'a>>,
    pub(super) source: Option<Said<'a>>,
    pub(super) project: Option<Said<'a>>,
    pub(super) session: Option<Said<'a>>,
    pub(super) session_kind: Option<Said<'a>>,
    pub(super) input_tokens: Option<u64>,
    pub(super) prompt_tokens: Option<u64>,
    pub(super) cache_read_tokens: Option<u64>,
    pub(super) cache_write_5m_tokens: Option<u64>,
    pub(super) cache_write_1h_tokens: Option<u64>,
    pub(super) cache_write_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
    pub(super) reasoning_tokens: Option<u64>,
    pub(super) reported_cost_nanousd: Option<i64>,
    pub(super) cost_usd: Option<&'a RawValue>,
    pub(super) latency_ms: Option<u32>,
    pub(super) time_to_first_token_ms: Option<u32>,
    pub(super) status: Option<Said<'a>>,
    pub(super) error_type: Option<Said<'a>>,
    pub(super) price_class: Option<u16>,
}

#[derive(Deserialize)]
pub(super) struct Failure {
    pub(super) error_type: String,
    pub(super) message: String,
    pub(super) stack_trace: Option<String>,
    pub(super) severity: Option<String>,
    pub(super) metadata: Option<String>,
    #[serde(default)]
    pub(super) source: String,
    #[serde(default)]
    pub(super) session: String,
}

#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) metadata: Option<String>,
    #[serde(default)]
    pub(super) source: String,
    #[serde(default)]
    pub(super) session: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Sample {
    pub(super) scope: Option<String>,
    pub(super) cpu_pct: Option<f64>,
    pub(super) cpu_millipercent: Option<u32>,
    pub(super) cpu_capacity_millicores: Option<u64>,
    pub(super) mem_rss_bytes: Option<u64>,
    pub(super) mem_working_set_bytes: Option<u64>,
    pub(super) mem_limit_bytes: Option<u64>,
    pub(super) cpu_some_millipercent: Option<u32>,
    pub(super) cpu_full_millipercent: Option<u32>,
    pub(super) mem_some_millipercent: Option<u32>,
    pub(super) mem_full_millipercent: Option<u32>,
    pub(super) io_some_millipercent: Option<u32>,
    pub(super) io_full_millipercent: Option<u32>,
    pub(super) disk_used_bytes: Option<u64>,
    pub(super) disk_available_bytes: Option<u64>,
    pub(super) disk_total_bytes: Option<u64>,
    pub(super) disk_read_bytes_per_second: Option<u64>,
    pub(super) disk_write_bytes_per_second: Option<u64>,
    pub(super) net_rx_bytes_per_second: Option<u64>,
    pub(super) net_tx_bytes_per_second: Option<u64>,
    pub(super) processes: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) zombies: Option<u64>,
    pub(super) oom_kills: Option<u64>,
    pub(super) metadata: Option<String>,
}
