//! `sessions.json`: what OpenClaw claims of each session, which is its last run only.

use std::collections::BTreeMap;

use anyhow::Result;

use super::lines::Transcript;
use crate::desk::Tree;
use crate::truth::Usage;

/// The index of each agent, and when it was last changed.
#[derive(Debug, Default)]
pub(super) struct Index(BTreeMap<&'static str, (i64, serde_json::Map<String, serde_json::Value>)>);

impl Index {
    /// `totalTokens` is the context of the last call, so it leaves out its output.
    pub(super) fn claim(&mut self, transcript: &Transcript, updated_ms: i64, last: &Usage) {
        let (_, provider, model) = transcript.engine;
        let entry = serde_json::json!({
            "sessionId": transcript.id,
            "updatedAt": updated_ms,
            "inputTokens": last.input,
            "outputTokens": last.output,
            "cacheRead": last.cache_read,
            "cacheWrite": last.cache_write,
            "totalTokens": last.input + last.cache_read + last.cache_write,
            "totalTokensFresh": true,
            "contextTokens": 200_000,
            "modelProvider": provider,
            "model": model,
        });
        let (changed, entries) = self.0.entry(transcript.agent).or_default();
        *changed = updated_ms.max(*changed);
        entries.insert(format!("agent:{}:explicit:{}", transcript.agent, transcript.id), entry);
    }

    pub(super) fn write(&self, tree: &mut Tree) -> Result<()> {
        for (agent, (changed, entries)) in &self.0 {
            let path = format!(".openclaw/agents/{agent}/sessions/sessions.json");
            tree.write(&path, &serde_json::to_vec_pretty(entries)?, *changed)?;
        }
        Ok(())
    }
}
