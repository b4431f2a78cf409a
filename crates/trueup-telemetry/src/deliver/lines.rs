//! Lines that are appended to a file, or printed.
//!
//! A file is synced before its lines count as delivered. One that would grow beyond [`FILE_BYTES_MAX`] is
//! put aside first: `told.ndjson` becomes `told.ndjson.1`, that becomes `.2`, and the oldest goes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Transport;
use crate::sink::{Answer, Request, Unreachable};
use crate::state::{is_at, private};

/// Bytes of a file before another is begun.
pub const FILE_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Files that are kept, the one that is written among them.
pub const FILES_KEPT: u32 = 5;

/// Appends the bodies of requests to one file, wherever they say that they go.
#[derive(Debug, Clone)]
pub struct LinesFile {
    path: PathBuf,
    bytes_max: u64,
}

impl LinesFile {
    /// For this file, which need not be there; its folder must.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self::with_bytes_max(path, FILE_BYTES_MAX)
    }

    /// With another bound.
    #[must_use]
    pub const fn with_bytes_max(path: PathBuf, bytes_max: u64) -> Self {
        Self { path, bytes_max }
    }

    fn append(&self, lines: &[u8]) -> Result<(), Unreachable> {
        let mut file = self.open()?;
        let mut length = file.metadata().map_err(self.problem("look at"))?.len();
        let more = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        if length > 0 && length.saturating_add(more) > self.bytes_max {
            self.rotate()?;
            file = self.open()?;
            length = 0;
        }
        let is_whole = length == 0 || last_byte(&mut file).map_err(self.problem("read"))? == b'\n';
        // The rest of a line that a crash tore stays alone.
        let tear: &[u8] = if is_whole { b"" } else { b"\n" };
        let written = file.write_all(&[tear, lines].concat()).and_then(|()| file.sync_data());
        written.map_err(|error| {
            // Whatever was written of it would be there twice after the next attempt.
            file.set_len(length).ok();
            self.problem("write")(error)
        })
    }

    /// The file, locked, so that no two processes write or rotate at once.
    fn open(&self) -> Result<File, Unreachable> {
        let mut options: OpenOptions = private();
        let options = options.read(true).append(true).create(true);
        let file = options.open(&self.path).map_err(self.problem("open"))?;
        file.try_lock().map_err(|error| self.problem("lock")(error.into()))?;
        if is_at(&file, &self.path) {
            return Ok(file);
        }
        let moved = io::Error::new(io::ErrorKind::WouldBlock, "another process moved it just now");
        Err(self.problem("lock")(moved))
    }

    fn rotate(&self) -> Result<(), Unreachable> {
        for number in (1..FILES_KEPT).rev() {
            let (from, to) = (aside(&self.path, number - 1), aside(&self.path, number));
            match fs::rename(&from, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.problem("move")(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn problem(&self, action: &'static str) -> impl FnOnce(io::Error) -> Unreachable {
        let path = self.path.clone();
        move |source| Unreachable::File { action, path, source }
    }
}

impl Transport for LinesFile {
    fn send(&mut self, request: &Request, _time_max: Duration) -> Result<Answer, Unreachable> {
        self.append(&request.body).map(|()| taken())
    }
}

/// Prints the bodies of requests.
#[derive(Debug, Clone)]
pub struct Printer<W>(pub W);

impl<W: Write> Transport for Printer<W> {
    fn send(&mut self, request: &Request, _time_max: Duration) -> Result<Answer, Unreachable> {
        let printed = self.0.write_all(&request.body).and_then(|()| self.0.flush());
        let path = || PathBuf::from("-");
        printed.map(|()| taken()).map_err(|source| Unreachable::File {
            action: "print to",
            path: path(),
            source,
        })
    }
}

/// Files do not answer: what was written was taken.
fn taken() -> Answer {
    Answer { status: 200, ..Answer::default() }
}

/// The file as it is called once it was put aside so many times.
fn aside(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_path_buf();
    }
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    let [last] = last;
    Ok(last)
}
