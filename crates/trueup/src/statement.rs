//! Statements on their way from a file into the ledger.
//!
//! ```text
//! file or standard input ─▶ gunzip ─▶ hash ─▶ rows ─▶ one transaction
//! ```
//!
//! The hash is that of the CSV, so that the same export counts once, compressed or not.

mod source;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use trueup_core::{BilledWidth, StatedFact, StatedSums, UnixMs};
use trueup_ledger::{
    Imported, Ledger, LedgerError, Reader, Statement, StatementEnd, StatementHead,
};
use trueup_providers::{Format, StatementOptions, StatementReader, StatementSummary};

use source::{Measured, Source, hash_of};

/// What came of a file.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The name of the file.
    pub(crate) name: String,
    pub(crate) format: &'static Format,
    /// Whose usage it is, in order.
    pub(crate) providers: Vec<String>,
    pub(crate) summary: StatementSummary,
    pub(crate) status: Status,
    /// Statements that count for less from now on, and by how many rows.
    pub(crate) supersedes: Vec<(Statement, u64)>,
}

/// Whether a statement is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// It is from now on, by this number.
    Imported(i64),
    /// It was already, by this number.
    Known(i64),
    /// It would be, were it not only tried.
    Tried,
}

/// Imports files, one after the other.
#[derive(Debug)]
pub(crate) struct Importer<'a> {
    ledger: Ledger,
    options: StatementOptions,
    /// All files of this run.
    files: &'a [PathBuf],
    /// The first new statement of this run, by its kind: those after it are parts of the same export.
    exports: BTreeMap<&'static str, i64>,
    /// Statements that were there before and are named in this run, once they were looked for.
    known: Option<Vec<i64>>,
    /// How many rows of each statement do not count, as it was seen last.
    superseded: BTreeMap<i64, u64>,
}

impl<'a> Importer<'a> {
    pub(crate) fn new(
        ledger: Ledger,
        options: StatementOptions,
        files: &'a [PathBuf],
    ) -> Result<Self> {
        let superseded = superseded(ledger.path())?;
        Ok(Self { ledger, options, files, exports: BTreeMap::new(), known: None, superseded })
    }

    /// Reads a file into the ledger, whole or not at all.
    pub(crate) fn import(&mut self, path: &Path, now: UnixMs) -> Result<Outcome> {
        let source = Source::open(path)?;
        let mut reading = Reading::begin(source, &self.options)?;
        let format = reading.rows.format();
        let head = StatementHead {
            name: reading.name.clone(),
            kind: format.kind.to_owned(),
            family: format.family.to_owned(),
            part_of: self.exports.get(format.kind).copied(),
            parts: if format.has_parts { self.known()? } else { Vec::new() },
        };
        let imported = self.ledger.import_statement::<anyhow::Error>(&head, now, |importing| {
            reading.each(|row| importing.row(row))?;
            Ok(reading.end())
        })?;
        let (status, Imported::New(id) | Imported::Known(id)) = (status(imported), imported);
        match imported {
            Imported::New(_) if format.has_parts => {
                self.exports.entry(format.kind).or_insert(id);
            }
            // What comes from standard input is known only now.
            Imported::Known(_) => self.known.iter_mut().for_each(|known| known.push(id)),
            Imported::New(_) => {}
        }
        let is_changed = imported == Imported::New(id) || head.part_of.is_some();
        let supersedes = if is_changed { self.newly_superseded()? } else { Vec::new() };
        Ok(reading.outcome(status, supersedes))
    }

    /// Statements of which more rows do not count than before, and how many more.
    fn newly_superseded(&mut self) -> Result<Vec<(Statement, u64)>> {
        let path = self.ledger.path();
        let before = std::mem::replace(&mut self.superseded, superseded(path)?);
        let more = statements(path)?.into_iter().filter_map(|statement| {
            let rows =
                self.superseded.get(&statement.id)?.checked_sub(*before.get(&statement.id)?)?;
            (rows > 0).then_some((statement, rows))
        });
        Ok(more.collect())
    }

    /// Which statements of this run were there before it. They are looked for before the first new part
    /// of an export is written, and become parts of it in the same transaction: between two files a run
    /// may end.
    fn known(&mut self) -> Result<Vec<i64>> {
        if self.known.is_none() {
            let mut known = Vec::new();
            if self.files.len() > 1
                && let Some(reader) = Reader::open(self.ledger.path())?
            {
                for sha256 in self.files.iter().filter_map(|file| hash_of(file)) {
                    known.extend(reader.statement_of(&sha256)?);
                }
            }
            self.known = Some(known);
        }
        Ok(self.known.clone().unwrap_or_default())
    }
}

const fn status(imported: Imported) -> Status {
    match imported {
        Imported::New(id) => Status::Imported(id),
        Imported::Known(id) => Status::Known(id),
    }
}

/// Reads a file, and writes nothing.
pub(crate) fn dry_run(path: &Path, options: &StatementOptions, ledger: &Path) -> Result<Outcome> {
    let mut reading = Reading::begin(Source::open(path)?, options)?;
    reading.each(|_| Ok(()))?;
    let sha256 = reading.end().sha256;
    let reader = Reader::open(ledger)?;
    let known = reader.map(|reader| reader.statement_of(&sha256)).transpose()?.flatten();
    let status = known.map_or(Status::Tried, Status::Known);
    Ok(reading.outcome(status, Vec::new()))
}

/// A file that is compared, and not imported.
#[derive(Debug)]
pub(crate) struct Read {
    /// The name of the file.
    pub(crate) name: String,
    pub(crate) format: &'static Format,
    /// Its rows, added up to days.
    pub(crate) rows: Vec<StatedFact>,
    pub(crate) summary: StatementSummary,
    /// The provider of rows without usage.
    pub(crate) provider: String,
    /// Of its bytes.
    pub(crate) sha256: [u8; 32],
}

/// Reads a file to its end, and writes nothing.
pub(crate) fn read(path: &Path, options: &StatementOptions) -> Result<Read> {
    let mut reading = Reading::begin(Source::open(path)?, options)?;
    let mut sums = StatedSums::new(BilledWidth::Day);
    reading.each(|row| {
        sums.add(row.clone());
        Ok(())
    })?;
    let sha256 = reading.end().sha256;
    Ok(Read {
        format: reading.rows.format(),
        rows: sums.into_rows().collect(),
        summary: reading.rows.summary().clone(),
        provider: reading.rows.provider().to_owned(),
        name: reading.name,
        sha256,
    })
}

/// The statements of a ledger; none where there is no ledger yet.
pub(crate) fn statements(ledger: &Path) -> Result<Vec<Statement>> {
    Ok(match Reader::open(ledger)? {
        Some(reader) => reader.statements()?,
        None => Vec::new(),
    })
}

/// How many rows of each statement do not count.
pub(crate) fn superseded(ledger: &Path) -> Result<BTreeMap<i64, u64>> {
    Ok(match Reader::open(ledger)? {
        Some(reader) => reader.superseded()?,
        None => BTreeMap::new(),
    })
}

/// A file while it is read.
struct Reading {
    name: String,
    rows: StatementReader<Measured<Box<dyn io::Read>>>,
    measured: source::Measure,
    account: String,
    providers: Vec<String>,
}

impl Reading {
    fn begin(source: Source, options: &StatementOptions) -> Result<Self> {
        let Source { name, input } = source;
        let (input, measured) = Measured::new(input);
        let rows = StatementReader::new(input, options.clone())?;
        let account = options.account.clone().unwrap_or_default();
        Ok(Self { name, rows, measured, account, providers: Vec::new() })
    }

    /// Every row to its end.
    fn each(&mut self, mut each: impl FnMut(&StatedFact) -> Result<(), LedgerError>) -> Result<()> {
        while let Some(row) = self.rows.next_row()? {
            if row.provider.is_empty() {
                bail!(
                    "line {}: it is not told whose usage this is; say it with --provider NAME",
                    row.line
                );
            }
            if let Err(at) = self.providers.binary_search_by(|one| one.as_str().cmp(&row.provider))
            {
                self.providers.insert(at, row.provider.to_string());
            }
            each(&row)?;
        }
        Ok(())
    }

    fn end(&self) -> StatementEnd {
        let StatementSummary { blank, blank_span, odd, without_ids, issues, .. } =
            self.rows.summary();
        let (sha256, bytes) = self.measured.taken();
        let issues =
            issues.iter().map(|(issue, (line, count))| (issue.clone(), *line, *count)).collect();
        StatementEnd {
            sha256,
            bytes,
            blank: *blank,
            blank_span: *blank_span,
            blank_of: (self.rows.provider().to_owned(), self.account.clone()),
            odd: *odd,
            without_ids: *without_ids,
            issues,
        }
    }

    fn outcome(mut self, status: Status, supersedes: Vec<(Statement, u64)>) -> Outcome {
        if self.providers.is_empty() {
            self.providers.push(self.rows.provider().to_owned());
        }
        Outcome {
            name: self.name,
            format: self.rows.format(),
            providers: self.providers,
            summary: self.rows.summary().clone(),
            status,
            supersedes,
        }
    }
}
