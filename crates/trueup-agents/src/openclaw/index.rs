//! The index of sessions: `sessions.json`, a map of session keys to entries.
//!
//! It may have tens of megabytes, for each entry repeats prompts and skills. It is read entry by entry,
//! so that no more than one is held.
//!
//! ```json
//! {"agent:main:main":{"sessionId":"3e5aebe9-…","inputTokens":690,…},"agent:main:cron:job1":{…}}
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::Read;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use trueup_core::{ProblemKind, UnixMs};

use super::entry::{Entry, session_kind};
use crate::agent::SessionKinds;
use crate::found::Found;
use crate::json;

/// The kinds of sessions, by their ids.
pub(super) fn session_kinds(index: impl Read) -> SessionKinds {
    let mut kinds = HashMap::new();
    // What is wrong with the index is said where its claims are read.
    let _is_whole = each(index, |key, entry| {
        if let Some(session) = entry.session() {
            kinds.insert(session.to_owned(), session_kind(key).into());
        }
    });
    kinds.into()
}

/// Reads the claims of an index.
pub(super) fn read(index: impl Read, modified: UnixMs, found: &mut Found<'_>) {
    let result = each(index, |key, entry| {
        if let Some(claim) = entry.claim(key, modified) {
            found.claim(claim);
        }
    });
    match result {
        Ok(0) => {}
        Ok(odd) => {
            let detail = format!("{odd} entries are not objects");
            found.problem(ProblemKind::BadRecord, 0, detail);
        }
        Err(error) => {
            let line = u64::try_from(error.line()).unwrap_or(0);
            let fault = match error.classify() {
                Category::Eof => "ends too early",
                Category::Data => "is not a map of session keys to entries",
                Category::Syntax | Category::Io => "is not valid JSON",
            };
            let detail = format!("{fault}, at column {}", error.column());
            found.problem(ProblemKind::NotJson, line, detail);
        }
    }
}

/// Hands each entry with its key to `take`; returns how many are no entries.
fn each(index: impl Read, take: impl FnMut(&str, &Entry<'_>)) -> serde_json::Result<u64> {
    let mut json = serde_json::Deserializer::from_reader(std::io::BufReader::new(index));
    let odd = json.deserialize_map(Entries(take))?;
    json.end()?;
    Ok(odd)
}

struct Entries<F>(F);

impl<'de, F: FnMut(&str, &Entry<'_>)> Visitor<'de> for Entries<F> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of session keys to entries")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<u64, A::Error> {
        let mut odd = 0;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let raw = map.next_value::<Box<RawValue>>()?;
            match json::from_slice::<Entry<'_>>(raw.get().as_bytes()) {
                Ok(entry) => (self.0)(&key, &entry),
                Err(_) => odd += 1,
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(odd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::Batch;

    fn read_all(index: &str) -> Batch {
        let mut all = Batch::default();
        let mut emit = |batch: Batch| all = batch;
        let mut found = Found::new("openclaw", "/sessions.json", &mut emit);
        read(index.as_bytes(), UnixMs(0), &mut found);
        found.flush();
        all
    }

    #[test]
    fn each_entry_is_read_for_itself() {
        let index = r#"{"agent:main:main":{"sessionId":"a","inputTokens":1,"skillsSnapshot":{"x":[1]}},
            "odd":7,"agent:main:cron:j":{"sessionId":"b","outputTokens":2},"agent:main:acp:1":{}}"#;
        let batch = read_all(index);
        assert_eq!((batch.facts.len(), batch.problems.len()), (2, 1));
        let kinds = session_kinds(index.as_bytes());
        let kind = |session: &str| kinds.get(session).map(|kind| &**kind);
        assert_eq!((kind("a"), kind("b"), kinds.len()), (Some("main"), Some("cron"), 2));
    }

    #[test]
    fn a_torn_index_gives_what_stands_before_the_tear() {
        let batch = read_all("{\"k\":{\"sessionId\":\"a\",\"inputTokens\":1},\n\"l\":{\"sess");
        assert_eq!(batch.facts.len(), 1);
        let (_, problem) = &batch.problems[0];
        assert_eq!((problem.kind, problem.line), (ProblemKind::NotJson, 2));
        assert_eq!(read_all("[]").problems.len(), 1);
    }
}
