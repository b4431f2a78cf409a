//! A table in the forms that others read: CSV, JSON, NDJSON and Parquet.
//!
//! ```text
//! id,at,agent,message                                        Csv
//! {"id":"019a…","at":"2026-11-20T09:00:00.000Z","agent":…}   Ndjson
//! ```
//!
//! A row is written when it comes, and passed on when enough has come together: what is held does not
//! grow with the rows. It is not known here what a table is about.

mod parquet;
mod thrift;

use std::borrow::Cow;
use std::io::Write;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::json;
use trueup_core::{NanoUsd, Text, UnixMs};

use crate::render::csv::harmless;
use parquet::Parquet;

/// Which form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One line a row, for spreadsheets
    #[default]
    Csv,
    /// One object with all rows
    Json,
    /// One JSON object a line
    Ndjson,
    /// Columns with types, for notebooks and databases
    Parquet,
}

impl Format {
    /// What the names of files end with, and the media type.
    pub(crate) const fn ending_and_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("csv", "text/csv; charset=utf-8"),
            Self::Json => ("json", "application/json"),
            Self::Ndjson => ("ndjson", "application/x-ndjson"),
            Self::Parquet => ("parquet", "application/vnd.apache.parquet"),
        }
    }
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// Any number of texts, never null.
    Texts,
    /// An instant.
    Instant,
    /// A whole number.
    Integer,
    /// US dollars, to the nano-dollar.
    Money,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: Kind,
    /// Whether a value may be missing.
    pub(crate) is_nullable: bool,
}

impl Column {
    /// A column in which each row has a value.
    pub(crate) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name: Cow::Borrowed(name), kind, is_nullable: false }
    }

    /// A column in which values may be missing.
    pub(crate) const fn nullable(name: &'static str, kind: Kind) -> Self {
        Self { name: Cow::Borrowed(name), kind, is_nullable: true }
    }
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Text(&'a str),
    Texts(&'a [Text]),
    Instant(UnixMs),
    Integer(i64),
    Money(NanoUsd),
}

impl Value<'_> {
    /// Whether it may stand in a column.
    fn fits(&self, column: &Column) -> bool {
        match self {
            Self::Null => column.is_nullable,
            Self::Text(_) => column.kind == Kind::Text,
            Self::Texts(_) => column.kind == Kind::Texts,
            Self::Instant(_) => column.kind == Kind::Instant,
            Self::Integer(_) => column.kind == Kind::Integer,
            Self::Money(_) => column.kind == Kind::Money,
        }
    }

    /// How it stands in CSV.
    fn cell(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Text(text) => harmless(text),
            Self::Texts(texts) => json!(texts).to_string(),
            Self::Instant(time) => time.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Money(money) => money.to_string(),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Texts(texts) => serializer.collect_seq(texts.iter().map(|text| &**text)),
            Self::Instant(time) => serializer.collect_str(time),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Money(money) => serializer.collect_str(money),
        }
    }
}

/// The version of the JSON. It changes only when a reader of an older one would misread.
const SCHEMA: u32 = 1;

/// Bytes of text that come together before they are passed on.
const PART_BYTES_MAX: usize = 64 << 10;

/// A table that is being written.
pub(crate) struct Table<'a> {
    columns: Vec<Column>,
    form: Form,
    rows: u64,
    out: &'a mut dyn Write,
}

enum Form {
    Csv(Box<csv::Writer<Vec<u8>>>),
    /// One object of all rows, or one of each.
    Json {
        ready: Vec<u8>,
        is_one: bool,
    },
    Parquet(Box<Parquet>),
}

impl<'a> Table<'a> {
    /// A table without rows, of `view`.
    pub(crate) fn new(
        format: Format,
        view: &str,
        columns: Vec<Column>,
        out: &'a mut dyn Write,
    ) -> Result<Self> {
        let form = match format {
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(Vec::new());
                csv.write_record(columns.iter().map(|column| &*column.name))?;
                Form::Csv(Box::new(csv))
            }
            Format::Json => {
                let head = format!("{{\"schema\":{SCHEMA},\"view\":{},\"rows\":[", json!(view));
                Form::Json { ready: head.into(), is_one: true }
            }
            Format::Ndjson => Form::Json { ready: Vec::new(), is_one: false },
            Format::Parquet => Form::Parquet(Box::new(Parquet::new(&columns))),
        };
        Ok(Self { columns, form, rows: 0, out })
    }

    /// Takes a row.
    pub(crate) fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        ensure!(values.len() == self.columns.len(), "a row has another number of columns");
        let mut pairs = self.columns.iter().zip(values);
        if let Some((column, value)) = pairs.find(|(column, value)| !value.fits(column)) {
            bail!("{value:?} cannot be a value of {}", column.name);
        }
        match &mut self.form {
            Form::Csv(csv) => csv.write_record(values.iter().map(Value::cell))?,
            Form::Json { ready, is_one } => {
                match (*is_one, self.rows) {
                    (true, 0) => ready.push(b'\n'),
                    (true, _) => ready.extend(b",\n"),
                    (false, _) => {}
                }
                serde_json::to_writer(&mut *ready, &Named(&self.columns, values))?;
                if !*is_one {
                    ready.push(b'\n');
                }
            }
            Form::Parquet(parquet) => parquet.row(values)?,
        }
        self.rows += 1;
        Ok(())
    }

    /// Whether enough has come together to be passed on.
    pub(crate) fn is_full(&self) -> bool {
        match &self.form {
            Form::Csv(csv) => csv.get_ref().len() >= PART_BYTES_MAX,
            Form::Json { ready, .. } => ready.len() >= PART_BYTES_MAX,
            Form::Parquet(parquet) => parquet.has_ready(),
        }
    }

    /// Passes on what has come together, which may wait for whoever takes it.
    pub(crate) fn pass_on(&mut self) -> Result<()> {
        let ready = match &mut self.form {
            Form::Csv(csv) => {
                let whole = std::mem::replace(&mut **csv, csv::Writer::from_writer(Vec::new()));
                whole.into_inner()?
            }
            Form::Json { ready, .. } => std::mem::take(ready),
            Form::Parquet(parquet) => parquet.take_ready(),
        };
        Ok(self.out.write_all(&ready)?)
    }

    /// Takes a row, and passes on what has come together where it is enough.
    pub(crate) fn row_on(&mut self, values: &[Value<'_>]) -> Result<()> {
        self.row(values)?;
        if self.is_full() { self.pass_on() } else { Ok(()) }
    }

    /// Writes the end; how many rows there were.
    pub(crate) fn finish(mut self) -> Result<u64> {
        match &mut self.form {
            Form::Json { ready, is_one: true } => ready.extend(b"\n]}\n"),
            Form::Csv(_) | Form::Json { .. } => {}
            Form::Parquet(parquet) => parquet.finish()?,
        }
        self.pass_on()?;
        Ok(self.rows)
    }
}

/// A row as an object.
struct Named<'a>(&'a [Column], &'a [Value<'a>]);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.1.len()))?;
        for (column, value) in self.0.iter().zip(self.1) {
            object.serialize_entry(&*column.name, value)?;
        }
        object.end()
    }
}

#[cfg(test)]
mod tests;
