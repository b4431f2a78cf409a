//! What clients and agents of one device tell, of which every call is known.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::chance::Chance;
use crate::process::Sum;

/// The models of calls.
const MODELS: [&str; 4] = ["gpt-5.5", "claude-haiku-4-5", "claude-opus-4-8", "house-llama"];
/// 2026-09-20T10:26:40Z: when all of it happens. Clocks are never so far off that it lies ahead: a listener
/// takes what does for what happens now.
const START_MS: u64 = 1_789_900_000_000;
/// Most lines of an agent's answer: each is a better copy of the one before.
const LINES_MAX: u64 = 3;
/// Most calls in one post.
const POSTED_MAX: u64 = 5;

/// A call, as its best copy has it.
#[derive(Debug, Clone, Copy)]
struct Call {
    model: &'static str,
    input: u64,
    output: u64,
}

/// What was told of one device, and what is still to be told.
#[derive(Debug)]
pub struct Feed {
    name: String,
    chance: Chance,
    folder: PathBuf,
    calls: BTreeMap<String, Call>,
    /// Sessions of the agent: the lines of each file.
    sessions: Vec<Vec<String>>,
    /// Whether an answer is written several times, each time better.
    has_copies: bool,
    /// Answers of which better copies will follow: the session, and the call.
    open: Vec<(usize, String)>,
    /// Bodies to be posted.
    to_post: VecDeque<String>,
    /// Bodies that were answered as durable.
    posted: Vec<String>,
    /// How many of them there were when the ledger was copied.
    posted_at_copy: usize,
    number: u64,
}

impl Feed {
    /// A device of this name, whose agent writes below this home. Where its disk is full, `has_copies` must
    /// not be: rows go, and what is gone is not amended.
    ///
    /// # Errors
    /// What the system says of the folder.
    pub fn new(name: &str, home: &Path, has_copies: bool, chance: Chance) -> io::Result<Self> {
        let folder = home.join(".claude/projects/-src-x");
        fs::create_dir_all(&folder)?;
        Ok(Self {
            name: name.to_owned(),
            chance,
            folder,
            calls: BTreeMap::new(),
            sessions: Vec::new(),
            has_copies,
            open: Vec::new(),
            to_post: VecDeque::new(),
            posted: Vec::new(),
            posted_at_copy: 0,
            number: 0,
        })
    }

    /// By model, what all of it comes to.
    #[must_use]
    pub fn sums(&self) -> BTreeMap<String, Sum> {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for Call { model, input, output } in self.calls.values() {
            let sum = sums.entry((*model).to_owned()).or_default();
            *sum = sum.plus(Sum { calls: 1, input: *input, output: *output });
        }
        sums
    }

    /// Something is told: posted, or written in a file.
    ///
    /// # Errors
    /// What the system says of the files.
    pub fn go_on(&mut self) -> io::Result<()> {
        match self.chance.below(12) {
            0..=4 => {
                self.post();
                Ok(())
            }
            5..=10 => self.write(),
            _ => self.fork_or_replace(),
        }
    }

    /// The next body to be posted.
    #[must_use]
    pub fn next_post(&self) -> Option<String> {
        self.to_post.front().cloned()
    }

    /// It was answered as durable.
    pub fn is_posted(&mut self) {
        self.posted.extend(self.to_post.pop_front());
    }

    /// The ledger is copied now.
    pub const fn copied(&mut self) {
        self.posted_at_copy = self.posted.len();
    }

    /// The copy was put back: clients tell again what they told since.
    pub fn restored(&mut self) {
        for body in self.posted.drain(self.posted_at_copy..).rev() {
            self.to_post.push_front(body);
        }
    }

    fn call(&mut self) -> (String, Call) {
        self.number += 1;
        let model = self.chance.of(&MODELS).copied().unwrap_or_default();
        let call =
            Call { model, input: self.chance.below(9_000), output: 1 + self.chance.below(900) };
        (format!("{}-{}", self.name, self.number), call)
    }

    fn post(&mut self) {
        let mut lines = Vec::new();
        for _ in 0..=self.chance.below(POSTED_MAX) {
            let (id, call) = self.call();
            let Call { model, input, output } = call;
            let at = START_MS + self.number;
            lines.push(format!(
                r#"{{"trace_id":"{id}","timestamp":{at},"provider":"p","model":"{model}","prompt_tokens":{input},"completion_tokens":{output}}}"#
            ));
            self.calls.insert(id, call);
        }
        self.to_post.push_back(lines.join("\n"));
    }

    /// A line of an answer: a new one, or a better copy of one that is not finished.
    fn write(&mut self) -> io::Result<()> {
        let is_better = !self.open.is_empty() && self.chance.percent(60);
        let (session, id) = if is_better {
            let at = self.chance.at(self.open.len());
            let (session, id) = self.open.swap_remove(at);
            let more = self.chance.below(500);
            self.calls.entry(id.clone()).and_modify(|call| call.output += more);
            (session, id)
        } else {
            let is_new = self.sessions.is_empty() || self.chance.percent(10);
            if is_new {
                self.sessions.push(Vec::new());
            }
            let session = self.chance.at(self.sessions.len());
            let (id, call) = self.call();
            self.calls.insert(id.clone(), call);
            (session, id)
        };
        if self.has_copies && self.chance.below(LINES_MAX) > 0 {
            self.open.push((session, id.clone()));
        }
        self.number += 1;
        let Some(line) = self.line(session, &id) else { return Ok(()) };
        if let Some(lines) = self.sessions.get_mut(session) {
            lines.push(line.clone());
        }
        self.append(session, &line)
    }

    /// A session goes on as another one, which begins with its lines; or its file is replaced by one with
    /// the same lines.
    fn fork_or_replace(&mut self) -> io::Result<()> {
        if self.sessions.is_empty() {
            return Ok(());
        }
        let of = self.chance.at(self.sessions.len());
        let lines = self.sessions.get(of).cloned().unwrap_or_default();
        if self.chance.percent(50) {
            let fork = self.sessions.len();
            let own = |line: &String| {
                line.replace(&session_name(&self.name, of), &session_name(&self.name, fork))
            };
            self.sessions.push(lines.iter().map(own).collect());
            return self.replace(fork);
        }
        self.replace(of)
    }

    fn line(&self, session: usize, id: &str) -> Option<String> {
        let Call { model, input, output } = self.calls.get(id)?;
        let (number, session) = (self.number, session_name(&self.name, session));
        let (minute, second, ms) = (number / 60_000 % 60, number / 1_000 % 60, number % 1_000);
        Some(
            format!(
                r#"{{"type":"assistant","timestamp":"2026-09-20T10:{minute:02}:{second:02}.{ms:03}Z","sessionId":"{session}","cwd":"/src/x","requestId":"r-{id}","uuid":"u-{number}","message":{{"id":"m-{id}","model":"{model}","role":"assistant","usage":{{"input_tokens":{input},"output_tokens":{output}}}}}}}"#
            ) + "\n",
        )
    }

    fn append(&self, session: usize, line: &str) -> io::Result<()> {
        let path = self.path(session);
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        // In two writes, so that a torn line is there for a moment.
        let (one, other) = line.split_at(line.len() / 2);
        file.write_all(one.as_bytes())?;
        file.write_all(other.as_bytes())
    }

    fn replace(&self, session: usize) -> io::Result<()> {
        let lines = self.sessions.get(session).map(|lines| lines.concat()).unwrap_or_default();
        let part = self.folder.join("part");
        fs::write(&part, lines)?;
        fs::rename(part, self.path(session))
    }

    fn path(&self, session: usize) -> PathBuf {
        self.folder.join(format!("{}.jsonl", session_name(&self.name, session)))
    }
}

fn session_name(device: &str, session: usize) -> String {
    format!("s-{device}-{session}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_again_after_an_older_ledger_is_what_was_posted_since() {
        let home = tempfile::tempdir().unwrap();
        let mut feed = Feed::new("d0", home.path(), true, Chance::new(7, 0)).unwrap();
        for _ in 0..3 {
            feed.post();
        }
        let bodies: Vec<_> = feed.to_post.iter().cloned().collect();
        feed.is_posted();
        feed.copied();
        feed.is_posted();
        feed.restored();
        assert!(feed.to_post.iter().eq(&bodies[1..]));
        assert_eq!(feed.next_post().as_ref(), bodies.get(1));
    }

    #[test]
    fn every_call_of_the_files_is_in_the_truth() {
        let home = tempfile::tempdir().unwrap();
        let mut feed = Feed::new("d0", home.path(), true, Chance::new(7, 0)).unwrap();
        for _ in 0..500 {
            feed.go_on().unwrap();
        }
        let calls: u64 = feed.sums().values().map(|sum| sum.calls).sum();
        assert_eq!(calls, feed.calls.len() as u64);
        let best = feed.calls.values().filter(|call| call.output > 900).count();
        assert!(best > 0 && feed.sessions.len() > 3, "{best} {}", feed.sessions.len());
    }
}
