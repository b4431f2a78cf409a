//! What a transcript holds, whether or not it counts: for those who ask why nothing of it does.
//!
//! Nothing is read into facts here, and no content leaves: only how many lines are of which kind.

use std::io::{self, Read as _};

use trueup_core::Text;

use crate::lines::{Line, LineReader};
use crate::scan::lines_of;
use crate::{Agent, Decoder, Found, Store, StoreKind};

/// What one line of a transcript is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// What the session says of itself.
    Header,
    /// An answer of a model that says what it used.
    Answer,
    /// An answer that does not say what it used.
    AnswerWithoutUsage,
    /// A message that repeats an answer, or stands for one; no model was called for it.
    Mirror,
    /// Anything else.
    Other,
    /// It cannot be understood.
    Bad,
}

/// How many lines of a transcript are of which kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Lines that end.
    pub lines: u64,
    /// Headers.
    pub headers: u64,
    /// Answers that say what they used.
    pub answers: u64,
    /// Answers that do not.
    pub answers_without_usage: u64,
    /// Mirrors.
    pub mirrors: u64,
    /// Lines that cannot be understood.
    pub bad: u64,
}

/// Bytes of a transcript that are looked at: enough to tell what it is made of.
const INSPECTED_BYTES_MAX: u64 = 64 << 20;

/// Looks into a transcript; `None` where the agent's transcripts cannot be looked into.
///
/// # Errors
/// Where it cannot be read to its end.
pub fn inspect(agent: &'static dyn Agent, store: &Store) -> io::Result<Option<Contents>> {
    let is_lines = matches!(store.kind, StoreKind::Lines | StoreKind::ZstdLines);
    if !is_lines || agent.session_named(store).is_none() {
        return Ok(None);
    }
    let mut survey = Survey { agent, contents: Contents::default() };
    let mut buffer = Vec::new();
    let source = lines_of(store)?.take(INSPECTED_BYTES_MAX);
    let is_written_once = store.kind == StoreKind::ZstdLines;
    let mut reader = LineReader::new(source, &mut buffer, (0, 0), is_written_once);
    let mut emit = drop;
    let mut found = Found::new(store.source, "", &mut emit);
    while reader.next(&mut survey, &mut found)? {}
    let bad = survey.contents.bad + found.problem_count();
    Ok(Some(Contents { lines: reader.line, bad, ..survey.contents }))
}

#[derive(Debug)]
struct Survey {
    agent: &'static dyn Agent,
    contents: Contents,
}

impl Decoder for Survey {
    fn line(&mut self, line: &Line<'_>, _found: &mut Found<'_>) {
        let contents = &mut self.contents;
        *match self.agent.kind_of_line(line) {
            LineKind::Header => &mut contents.headers,
            LineKind::Answer => &mut contents.answers,
            LineKind::AnswerWithoutUsage => &mut contents.answers_without_usage,
            LineKind::Mirror => &mut contents.mirrors,
            LineKind::Bad => &mut contents.bad,
            LineKind::Other => return,
        } += 1;
    }
}

/// The sessions that an index names, by their ids, each with its kind.
///
/// # Errors
/// Where it cannot be opened.
pub fn sessions_in_index(
    agent: &dyn Agent,
    index: &Store,
) -> io::Result<std::collections::BTreeMap<String, Text>> {
    let mut file = std::fs::File::open(&index.path)?;
    let kinds = agent.session_kinds(&mut file);
    Ok(kinds.iter().map(|(session, kind)| (session.clone(), Text::clone(kind))).collect())
}
