//! The known truth of a corpus, and the traps that it sets.
//!
//! ```json
//! {"schema":1,"seed":42,"sources":{"codex":{"exact":{"totals":{"calls":2,…},"day":{"2026-10-01":{…}},…},
//!  "estimated":{…},"traps":{"re_emitted_counts":{"occurrences":9,"tokens":4711,"naive":"…"}}}}}
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::instant;

/// Disjoint token counts and the number of calls. `total` = input + cache + output.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) calls: u64,
    pub(crate) input: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write_5m: u64,
    pub(crate) cache_write_1h: u64,
    pub(crate) cache_write: u64,
    pub(crate) output: u64,
    /// The part of `output` that was reasoning; never added.
    pub(crate) reasoning: u64,
    pub(crate) total: u64,
}

impl Usage {
    /// The tokens that the other fields add up to.
    pub(crate) fn sum(&self) -> u64 {
        let written = self.cache_write_5m + self.cache_write_1h + self.cache_write;
        self.input + self.cache_read + written + self.output
    }

    /// These tokens as one call.
    pub(crate) fn one_call(mut self) -> Self {
        self.calls = 1;
        self.total = self.sum();
        self
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.input += other.input;
        self.cache_read += other.cache_read;
        self.cache_write_5m += other.cache_write_5m;
        self.cache_write_1h += other.cache_write_1h;
        self.cache_write += other.cache_write;
        self.output += other.output;
        self.reasoning += other.reasoning;
        self.total += other.total;
    }

    /// The fields by the names that reports use.
    pub(crate) fn fields(&self) -> [(&'static str, u64); 9] {
        [
            ("calls", self.calls),
            ("input", self.input),
            ("cache_read", self.cache_read),
            ("cache_write_5m", self.cache_write_5m),
            ("cache_write_1h", self.cache_write_1h),
            ("cache_write", self.cache_write),
            ("output", self.output),
            ("reasoning", self.reasoning),
            ("total", self.total),
        ]
    }
}

/// One call as it must be counted: when, by which model, where, and how much.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) at_ms: i64,
    pub(crate) model: String,
    pub(crate) project: String,
    pub(crate) session: String,
    pub(crate) usage: Usage,
}

/// One side of an account (exact or estimated), cut four ways.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) totals: Usage,
    pub(crate) day: BTreeMap<String, Usage>,
    pub(crate) model: BTreeMap<String, Usage>,
    pub(crate) project: BTreeMap<String, Usage>,
    pub(crate) session: BTreeMap<String, Usage>,
}

impl Book {
    pub(crate) fn enter(&mut self, call: &Call) {
        let usage = call.usage.one_call();
        self.totals.add(&usage);
        self.day.entry(instant::day(call.at_ms)).or_default().add(&usage);
        self.model.entry(call.model.clone()).or_default().add(&usage);
        self.project.entry(call.project.clone()).or_default().add(&usage);
        self.session.entry(call.session.clone()).or_default().add(&usage);
    }

    /// The four ways, by the names that `--by` has.
    pub(crate) fn cuts(&self) -> [(&'static str, &BTreeMap<String, Usage>); 4] {
        [
            ("day", &self.day),
            ("model", &self.model),
            ("project", &self.project),
            ("session", &self.session),
        ]
    }
}

/// A class of records that a naive reader gets wrong.
#[derive(Debug)]
pub(crate) struct TrapKind {
    pub(crate) name: &'static str,
    /// What the reader does that falls into it.
    pub(crate) naive: &'static str,
}

/// How often a trap was set, and by how many tokens such a reader then errs (+ too many).
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trap {
    pub(crate) occurrences: u64,
    pub(crate) tokens: i64,
    pub(crate) naive: String,
}

/// One agent's share of the truth.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) exact: Book,
    /// What only a session index claims, where no transcript covers it.
    pub(crate) estimated: Book,
    pub(crate) traps: BTreeMap<String, Trap>,
}

impl Source {
    /// One more occurrence of a trap.
    pub(crate) fn trap(&mut self, kind: &TrapKind, tokens: i64) {
        let trap = self.traps.entry(kind.name.to_owned()).or_default();
        trap.naive.replace_range(.., kind.naive);
        trap.occurrences += 1;
        trap.tokens += tokens;
    }
}

/// Everything there is to know about a corpus.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Truth {
    pub(crate) schema: u32,
    pub(crate) seed: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) sources: BTreeMap<String, Source>,
}

impl Truth {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("parse {}", path.display()))
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        std::fs::write(path, json).with_context(|| format!("write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_lands_in_every_cut_once() {
        let usage = Usage {
            input: 1,
            cache_read: 2,
            cache_write_5m: 3,
            output: 5,
            reasoning: 4,
            ..Usage::default()
        };
        let (model, project, session) = ("m".to_owned(), "p".to_owned(), "s".to_owned());
        let mut book = Book::default();
        book.enter(&Call { at_ms: instant::FIRST_MS, model, project, session, usage });
        assert_eq!((book.totals.calls, book.totals.total), (1, 11));
        for (name, cut) in book.cuts() {
            assert_eq!(cut.values().next(), Some(&book.totals), "{name}");
        }
    }
}
