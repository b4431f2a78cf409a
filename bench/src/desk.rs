//! What every agent's generator writes with: numbers, text, a file tree and the books.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::filler::Filler;
use crate::rng::Rng;
use crate::truth::{Call, Source, TrapKind, Usage};

/// One agent's generator at work.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) rng: Rng,
    pub(crate) filler: &'a Filler,
    pub(crate) tree: Tree,
    pub(crate) books: Source,
}

impl Desk<'_> {
    /// Enters one call and returns its tokens.
    pub(crate) fn call(&mut self, call: &Call) -> u64 {
        self.books.exact.enter(call);
        call.usage.sum()
    }

    pub(crate) fn trap(&mut self, kind: &TrapKind, tokens: i64) {
        self.books.trap(kind, tokens);
    }

    /// About `bytes` of text between the quotes of a JSON string.
    pub(crate) fn text(&mut self, out: &mut Vec<u8>, bytes: u64) {
        self.filler.text(out, &mut self.rng, bytes);
    }
}

/// The home folder below which files are written, and what was written so far.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) home: PathBuf,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    /// Files that `append` may continue.
    pub(crate) growing: Vec<Growing>,
}

impl Tree {
    /// Writes one whole file; its modification time is that of its last record.
    pub(crate) fn write(&mut self, path: &str, body: &[u8], modified_ms: i64) -> Result<()> {
        let target = self.home.join(path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        let mut file =
            File::create(&target).with_context(|| format!("create {}", target.display()))?;
        file.write_all(body).with_context(|| format!("write {}", target.display()))?;
        file.set_modified(system_time(modified_ms))?;
        self.count(body);
        Ok(())
    }

    /// Adds to the end of a file, as an agent that goes on does.
    pub(crate) fn extend(&mut self, path: &str, body: &[u8], modified_ms: i64) -> Result<()> {
        let target = self.home.join(path);
        let mut file = File::options()
            .append(true)
            .open(&target)
            .with_context(|| format!("open {}", target.display()))?;
        file.write_all(body).with_context(|| format!("append to {}", target.display()))?;
        file.set_modified(system_time(modified_ms))?;
        self.count(body);
        self.files -= 1;
        Ok(())
    }

    fn count(&mut self, body: &[u8]) {
        self.files += 1;
        self.bytes += body.len() as u64;
        self.lines += memchr::memchr_iter(b'\n', body).count() as u64;
    }
}

fn system_time(ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs())
}

/// A session file that can go on, with what its next line depends on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Growing {
    pub(crate) agent: String,
    /// Relative to the home folder.
    pub(crate) path: String,
    pub(crate) session: String,
    pub(crate) project: String,
    pub(crate) model: String,
    pub(crate) now_ms: i64,
    /// The running counters of a Codex thread (OpenAI's convention: cached inside input).
    pub(crate) counters: Option<Usage>,
    /// The rest of a torn last line, and the call that it completes.
    pub(crate) torn: Option<(String, Call)>,
}
