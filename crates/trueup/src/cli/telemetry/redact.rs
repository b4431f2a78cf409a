//! `trueup telemetry redact`.
//!
//! A filter: line by line, in the memory of one line. What cannot be redacted is not written, and ends
//! the run with the number of its line. Content never goes into a message.
//!
//! ```text
//! "cannot open /home/alice/plan.md: password=hunter2"
//! "cannot open <p>/plan.md: password=<v>"
//! ```

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::{Args, ValueEnum};
use trueup_telemetry::redact::{self, Limits, Lines, RAW_BYTES_MAX, Redactor};

/// Take secrets and personal data out of a text, from standard input to standard output
#[derive(Debug, Args)]
pub(super) struct Redact {
    /// What may stay
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Template)]
    level: Level,
    /// Read one JSON string a line, and write one for each
    #[arg(long)]
    ndjson: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    /// Listed words and short numbers
    Template,
    /// Whatever does not look like a secret, an address, a path or a person's number
    Redacted,
}

/// The longest line of NDJSON: a message of its own has some kilobytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// What is read at once.
const BUFFER_BYTES: usize = 64 * 1024;

impl Redact {
    pub(super) fn run(self) -> Result<ExitCode> {
        let redactor = Redactor::new(match self.level {
            Level::Template => redact::Level::Template,
            Level::Redacted => redact::Level::Redacted,
        });
        let mut input = BufReader::with_capacity(BUFFER_BYTES, io::stdin().lock());
        let mut out = BufWriter::new(io::stdout().lock());
        let done = if self.ndjson {
            strings(&redactor, &mut input, &mut out)
        } else {
            text(&redactor, &mut input, &mut out)
        };
        // What was before a bad line is written, whatever became of that.
        out.flush().context("write standard output")?;
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// Redacts lines of any bytes: those that are not UTF-8 become characters that are in no word.
fn text<I: io::Read>(
    redactor: &Redactor,
    input: &mut BufReader<I>,
    out: &mut impl Write,
) -> Result<()> {
    let mut lines = Lines::new(redactor);
    let mut line = Vec::new();
    for number in 1_u64.. {
        // One byte more than the redactor looks at tells it that there is more.
        let Some(end) = read_line(input, &mut line, RAW_BYTES_MAX + 1)? else { break };
        let redacted =
            lines.line(&String::from_utf8_lossy(&line)).with_context(|| place(number))?;
        if let Some(redacted) = redacted {
            write!(out, "{redacted}{}", if end.has_newline { "\n" } else { "" })?;
        }
        flush_if_waiting(input, out)?;
    }
    Ok(())
}

/// Redacts JSON strings, one a line.
fn strings<I: io::Read>(
    redactor: &Redactor,
    input: &mut BufReader<I>,
    out: &mut impl Write,
) -> Result<()> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        let Some(end) = read_line(input, &mut line, LINE_BYTES_MAX)? else { break };
        ensure!(!end.is_cut, "{}: longer than {LINE_BYTES_MAX} bytes", place(number));
        // The message of the JSON reader would quote the line.
        let string: String = serde_json::from_slice(&line).map_err(|error| {
            anyhow!("{}, column {}: not a JSON string", place(number), error.column())
        })?;
        let redacted = redactor.redact(&string, Limits::LINE).with_context(|| place(number))?;
        serde_json::to_writer(&mut *out, &redacted)?;
        writeln!(out)?;
        flush_if_waiting(input, out)?;
    }
    Ok(())
}

fn place(line: u64) -> String {
    format!("standard input, line {line}")
}

/// Whoever follows a file wants to see its last line.
fn flush_if_waiting<I: io::Read>(input: &BufReader<I>, out: &mut impl Write) -> io::Result<()> {
    if input.buffer().is_empty() { out.flush() } else { Ok(()) }
}

/// How a line ended.
pub(super) struct End {
    has_newline: bool,
    /// It was longer than it may be: what is beyond was passed over.
    pub(super) is_cut: bool,
}

/// Reads a line without its newline; none at the end of the input.
pub(super) fn read_line(
    input: &mut impl BufRead,
    line: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<Option<End>> {
    line.clear();
    let mut end = End { has_newline: false, is_cut: false };
    let mut is_anything = false;
    loop {
        let read = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.context("read standard input")?,
        };
        if read.is_empty() {
            return Ok(is_anything.then_some(end));
        }
        is_anything = true;
        let newline = read.iter().position(|byte| *byte == b'\n');
        let piece = read.get(..newline.unwrap_or(read.len())).unwrap_or_default();
        let room = bytes_max - line.len();
        end.is_cut |= piece.len() > room;
        line.extend_from_slice(piece.get(..room).unwrap_or(piece));
        let length = piece.len() + usize::from(newline.is_some());
        input.consume(length);
        if newline.is_some() {
            end.has_newline = true;
            return Ok(Some(end));
        }
    }
}
