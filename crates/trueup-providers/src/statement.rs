//! Statements: the files that providers let their customers download, row by row.
//!
//! What kind a file is, its header says, never its name. Bytes come in, [facts](StatedFact) go out, one
//! at a time: a file of any length needs the memory of its longest row.
//!
//! ```
//! use trueup_providers::{StatementOptions, StatementReader};
//! let file = "\
//! start_time,end_time,start_time_iso,end_time_iso,num_model_requests,model,input_tokens,output_tokens
//! 1793491200,1793577600,2026-11-01T00:00:00,2026-11-02T00:00:00,3.0,gpt-5,100,20
//! 1793577600,1793664000,2026-11-02T00:00:00,2026-11-03T00:00:00,,,0,0
//! ";
//! let mut reader = StatementReader::new(file.as_bytes(), StatementOptions::default())?;
//! assert_eq!(reader.format().kind, "openai_usage");
//! let row = reader.next_row()?.expect("one row");
//! assert_eq!((row.line, row.measures.get(trueup_core::Measure::Requests)), (2, Some(3)));
//! assert!(reader.next_row()?.is_none());
//! assert_eq!(reader.summary().blank, 1);
//! # Ok::<(), trueup_providers::StatementError>(())
//! ```

mod anthropic;
mod decode;
mod deepseek;
mod focus;
mod header;
mod moment;
mod openai;
mod openrouter;
mod row;

use std::collections::BTreeMap;
use std::io::{self, Read};

use trueup_core::{Issue, IssueCode, StatedFact, Text, UnixMs};

use decode::{Bounded, RecordTooLong};
use header::Columns;
use row::{Outcome, Row};

pub use decode::RECORD_BYTES_MAX;
pub use focus::write::{FOCUS_COLUMNS, FocusWriter};

/// Different issues that are told of one statement.
const ISSUES_MAX: usize = 200;

/// A kind of export.
#[derive(Debug)]
pub struct Format {
    /// Its id, as in the ledger.
    pub kind: &'static str,
    /// Its name, for people.
    pub title: &'static str,
    /// The id of the provider; empty where its rows or the user say it.
    pub provider: &'static str,
    /// The family that the provider's interface tells the same by; empty where there is none.
    pub family: &'static str,
    /// Whether one export may be several files.
    pub has_parts: bool,
    /// Columns that a header of it has: of each group one. In lower case.
    signature: &'static [&'static [&'static str]],
    /// Whether it has no other columns.
    is_whole: bool,
    /// How its rows are read.
    read: fn(&mut Row<'_>),
}

/// Every kind of export, the most telling headers first.
pub static STATEMENTS: &[Format] = &[
    openai::USAGE,
    openai::COST,
    anthropic::TOKENS,
    anthropic::COST,
    deepseek::AMOUNT,
    deepseek::COST,
    openrouter::ACTIVITY,
    focus::OURS,
    focus::FOCUS,
    openai::EMPTY,
];

/// What is known beside the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementOptions {
    /// Whose usage it is, where the header does not tell.
    pub provider: Option<String>,
    /// Of which organization or account it is; otherwise what rows say.
    pub account: Option<String>,
}

/// Why a file cannot be read as a statement, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// There is nothing in it.
    #[error("the file is empty: not even a header is in it")]
    Empty,
    /// It is an archive, or compressed.
    #[error("this is {0}, not a CSV file; unpack it, and import what is in it")]
    Packed(&'static str),
    /// It is something for people or programs.
    #[error("this is {0}, not a CSV file")]
    NotCsv(&'static str),
    /// The first line is no header that is known.
    #[error(
        "no known export has this header: {columns}; docs/statements.md lists those that are known"
    )]
    UnknownHeader {
        /// The first columns of it.
        columns: String,
    },
    /// The first line is longer than any header.
    #[error("the first line is longer than {} KiB: this is no header", header::HEADER_BYTES_MAX >> 10)]
    HeaderTooLong,
    /// A row is longer than what is held.
    #[error("line {line}: a row longer than {} MiB; is a quote not closed?", RECORD_BYTES_MAX >> 20)]
    RecordTooLong {
        /// Where it begins.
        line: u64,
    },
    /// A quote takes in the rows behind it.
    #[error(
        "line {line}: a quote that is not closed takes in the lines behind it; nothing was read"
    )]
    QuoteOpen {
        /// Where the row begins.
        line: u64,
    },
    /// The file cannot be read.
    #[error("after line {line}: {source}")]
    Read {
        /// The last line that could be.
        line: u64,
        /// What the system says.
        source: io::Error,
    },
}

/// What became of the rows of a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementSummary {
    /// Rows that say something.
    pub rows: u64,
    /// Buckets of time in which nothing was used: all zero, and without ids.
    pub blank: u64,
    /// Where the first and the last of them begin.
    pub blank_span: Option<(UnixMs, UnixMs)>,
    /// Rows that could not be read in full; what could not is in their `extra`.
    pub odd: u64,
    /// Of these, those whose time cannot be read.
    pub unplaced: u64,
    /// Rows that say something, and not of what.
    pub without_ids: u64,
    /// Where the first bucket begins that was told, and where the last one does.
    pub span: Option<(UnixMs, UnixMs)>,
    /// What was not as it should be: the first line of it, and how often.
    pub issues: BTreeMap<Issue, (u64, u64)>,
}

/// A statement while it is read.
#[derive(Debug)]
pub struct StatementReader<R> {
    records: csv::Reader<Bounded<R>>,
    record: csv::StringRecord,
    columns: Columns,
    format: &'static Format,
    provider: Text,
    options: StatementOptions,
    /// What to add to the number of a record's line.
    lines_before: u64,
    summary: StatementSummary,
}

impl<R: Read> StatementReader<R> {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// What is no statement.
    pub fn new(input: R, options: StatementOptions) -> Result<Self, StatementError> {
        let found = header::find(input)?;
        let mut records = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(found.delimiter)
            .from_reader(found.rest);
        let mut record = csv::StringRecord::new();
        let is_there = records.read_record(&mut record).map_err(|error| broken(error, 0))?;
        if !is_there {
            return Err(StatementError::Empty);
        }
        let told = if found.format.provider.is_empty() { &options.provider } else { &None };
        let provider = told.as_deref().unwrap_or(found.format.provider).into();
        Ok(Self {
            columns: Columns::of(&record),
            records,
            record,
            format: found.format,
            provider,
            options,
            lines_before: found.lines_before,
            summary: StatementSummary::default(),
        })
    }

    /// What kind of export it is.
    #[must_use]
    pub const fn format(&self) -> &'static Format {
        self.format
    }

    /// The provider, where all rows are of one.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// What became of the rows so far.
    #[must_use]
    pub const fn summary(&self) -> &StatementSummary {
        &self.summary
    }

    /// The next row that says something.
    ///
    /// # Errors
    /// Where the file cannot be read on: what was read of it should not be kept.
    pub fn next_row(&mut self) -> Result<Option<StatedFact>, StatementError> {
        loop {
            let before = self.records.position().line() + self.lines_before;
            self.records.get_mut().record_begins();
            let is_there = self
                .records
                .read_record(&mut self.record)
                .map_err(|error| broken(error, before))?;
            if !is_there {
                self.note_encoding();
                return Ok(None);
            }
            let line = self.record.position().map_or(before, |at| at.line() + self.lines_before);
            if let Some(fact) = self.read(line)? {
                return Ok(Some(fact));
            }
        }
    }

    /// The present record as a row; `None` where nothing was used.
    fn read(&mut self, line: u64) -> Result<Option<StatedFact>, StatementError> {
        if self.record.iter().all(|field| field.trim().is_empty()) {
            self.summary.blank += 1;
            return Ok(None);
        }
        let fit = self.columns.fit(&self.record);
        if fit == header::Fit::Torn && self.record.iter().any(|field| field.contains('\n')) {
            return Err(StatementError::QuoteOpen { line });
        }
        let mut row = Row::new(&self.columns, &self.record, line);
        if fit == header::Fit::Torn {
            row.torn();
        } else {
            (self.format.read)(&mut row);
        }
        let account = self.options.account.as_deref();
        let (outcome, fact, issues) = row.finish(&self.provider, account);
        for issue in issues {
            self.issue(issue, line);
        }
        self.count(outcome, fact.start);
        Ok((!outcome.is_blank).then_some(fact))
    }

    fn count(&mut self, outcome: Outcome, start: Option<UnixMs>) {
        let summary = &mut self.summary;
        if let Some(start) = start {
            widen(&mut summary.span, start);
        }
        if outcome.is_blank {
            summary.blank += 1;
            if let Some(start) = start {
                widen(&mut summary.blank_span, start);
            }
            return;
        }
        summary.rows += 1;
        summary.odd += u64::from(outcome.is_odd);
        summary.unplaced += u64::from(start.is_none());
        summary.without_ids += u64::from(outcome.is_without_ids);
    }

    fn issue(&mut self, issue: Issue, line: u64) {
        let issues = &mut self.summary.issues;
        if let Some((_, count)) = issues.get_mut(&issue) {
            *count += 1;
        } else if issues.len() < ISSUES_MAX {
            issues.insert(issue, (line, 1));
        }
    }

    /// Whether bytes were guessed is known once they are read.
    fn note_encoding(&mut self) {
        if self.records.get_ref().is_guessed() {
            let detail = "bytes that are no UTF-8: taken for Windows-1252";
            self.issue(Issue::new(IssueCode::EncodingGuessed, detail), 1);
        }
    }
}

fn widen(span: &mut Option<(UnixMs, UnixMs)>, start: UnixMs) {
    *span = Some(span.map_or((start, start), |(first, last)| (first.min(start), last.max(start))));
}

fn broken(error: csv::Error, line: u64) -> StatementError {
    // Rows may be of any length, and bytes were made UTF-8: there is hardly anything else.
    let words = error.to_string();
    let csv::ErrorKind::Io(source) = error.into_kind() else {
        return StatementError::Read { line, source: io::Error::other(words) };
    };
    let is_too_long =
        source.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<RecordTooLong>);
    if is_too_long {
        return StatementError::RecordTooLong { line: line.max(1) };
    }
    StatementError::Read { line, source }
}
