//! What trueup's hook leaves of a session when it is reset, compacted or ended: its entry, which
//! OpenClaw clears after that.
//!
//! ```json
//! {"schema":1,"source":"openclaw","event":"command:new","at":1795212509482,"agent_id":"main",
//!  "session_key":"agent:main:main","entries":[{"sessionId":"3e5aebe9-…","inputTokens":690,…}]}
//! ```

use trueup_core::{ProblemKind, UnixMs};

use super::entry::Entry;
use crate::found::Found;
use crate::json::{self, objects};
use crate::lossy::{List, Number, Str, Time};

/// The layout that we know.
const SCHEMA: u64 = 1;

objects! {
    struct Event<'a> {
        schema: Number = "schema",
        at: Time = "at",
        session_key: Str<'a> = "session_key",
        entries: List<Entry<'a>> = "entries",
    }
}

/// Whether a file of the spool is an event that is whole: `<ms>-<pid>-<16 hex digits>.json`.
pub(super) fn is_event(name: &str) -> bool {
    let ms = name.strip_suffix(".json").and_then(|name| name.split('-').next());
    ms.is_some_and(|ms| !ms.is_empty() && ms.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Reads the claims of an event.
pub(super) fn read(event: &[u8], modified: UnixMs, found: &mut Found<'_>) {
    match json::from_slice::<Event<'_>>(event) {
        Ok(event) if event.schema.0.or_zero() == SCHEMA => {
            let key = event.session_key.filled().unwrap_or_default();
            let at = event.at.0.unwrap_or(modified);
            let claims = event.entries.0.iter().filter_map(|entry| entry.claim(key, at));
            claims.for_each(|claim| found.claim(claim));
        }
        Ok(event) => {
            let detail =
                format!("schema {} of trueup's hook is not known", event.schema.0.or_zero());
            found.problem(ProblemKind::UnknownSchema, 0, detail);
        }
        Err(error) => found.problem(ProblemKind::NotJson, 0, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::{Batch, Fact};

    fn read_one(event: &str) -> Batch {
        let mut all = Batch::default();
        let mut emit = |batch: Batch| all = batch;
        let mut found = Found::new("openclaw", "/spool/1.json", &mut emit);
        read(event.as_bytes(), UnixMs(7), &mut found);
        found.flush();
        all
    }

    #[test]
    fn an_event_claims_what_its_entries_do() {
        let event = r#"{"schema":1,"source":"openclaw","event":"command:new","at":1771029660000,
            "agent_id":"main","session_key":"agent:main:cron:j","state_dir":"/h/.openclaw","entries":[
            {"sessionId":"a","inputTokens":690,"outputTokens":66,"totalTokens":1090,"cacheWrite":null},
            {"sessionId":"b"}]}"#;
        let facts = read_one(event).facts;
        let [Fact::SessionTotal(claim)] = facts.as_slice() else { panic!("{facts:?}") };
        assert_eq!((claim.time, claim.tokens.total()), (UnixMs(1_771_029_660_000), 1_156));
        assert_eq!((&*claim.origin.session, &*claim.origin.kind), ("a", "cron"));
    }

    #[test]
    fn what_is_no_event_is_named() {
        for (event, kind) in [
            ("", ProblemKind::NotJson),
            ("{\"schema\":1,\"entr", ProblemKind::NotJson),
            ("{\"schema\":2}", ProblemKind::UnknownSchema),
            ("{}", ProblemKind::UnknownSchema),
        ] {
            assert_eq!(read_one(event).problems[0].1.kind, kind, "{event}");
        }
        assert!(is_event("1795212509482-4711-9f3c2b1a0d4e5f67.json"));
        assert!(!is_event("1795212509482-4711-9f3c2b1a0d4e5f67.json.tmp"));
        assert!(!is_event("dropped"));
    }
}
