//! Parquet: columns with types, in groups of rows that are compressed by zstd.
//!
//! ```text
//! "PAR1" │ pages of group 0: one a column │ pages of group 1 … │ metadata, its length │ "PAR1"
//! ```
//!
//! The smallest part of the format that every reader knows: one page a column and group, plain values,
//! runs of levels, no dictionaries and no statistics. It is written and never read; readers of others
//! prove it (`scripts/prove-exports`).
//! <https://github.com/apache/parquet-format>

use anyhow::{Context as _, Result};

use super::thrift::{Struct, varint};
use super::{Column, Kind, Value};

/// Bytes of values that come together in a group, before they are compressed: what is held at most is
/// some three times as much.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Rows of a group, which may all be null.
const GROUP_ROWS_MAX: i64 = 128 << 10;
/// Level of zstd.
const ZSTD_LEVEL: i32 = 3;

const MAGIC: &[u8] = b"PAR1";
/// Of the format: the one that all readers know.
const VERSION: i32 = 1;
/// Bytes of an amount of money, and its digits before and behind the point.
const MONEY_BYTES: i32 = 16;
const MONEY_PRECISION: i32 = 38;
const MONEY_SCALE: i32 = 9;

// Numbers of the format's own enumerations.
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const ZSTD: i32 = 6;
const DATA_PAGE: i32 = 0;
const REQUIRED: i32 = 0;
const OPTIONAL: i32 = 1;
const REPEATED: i32 = 2;

/// A file that is being written.
pub(super) struct Parquet {
    chunks: Vec<Chunk>,
    /// Rows of the group that is being filled.
    rows: i64,
    /// Whole groups that were not taken yet, behind what was.
    ready: Vec<u8>,
    taken_bytes: usize,
    /// The metadata of whole groups: some two kilobytes each.
    groups: Vec<u8>,
    group_count: usize,
    rows_total: i64,
}

impl Parquet {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self {
            chunks: columns.iter().map(Chunk::new).collect(),
            rows: 0,
            ready: MAGIC.to_vec(),
            taken_bytes: 0,
            groups: Vec::new(),
            group_count: 0,
            rows_total: 0,
        }
    }

    /// Takes a row, whose values fit their columns.
    pub(super) fn row(&mut self, values: &[Value<'_>]) -> Result<()> {
        for (chunk, value) in self.chunks.iter_mut().zip(values) {
            chunk.put(value)?;
        }
        self.rows += 1;
        let bytes: usize = self.chunks.iter().map(|chunk| chunk.values.len()).sum();
        if bytes >= GROUP_BYTES_MAX || self.rows >= GROUP_ROWS_MAX {
            self.end_group()?;
        }
        Ok(())
    }

    /// Whether a group is whole.
    pub(super) fn has_ready(&self) -> bool {
        self.ready.len() > MAGIC.len()
    }

    /// The groups that are whole.
    pub(super) fn take_ready(&mut self) -> Vec<u8> {
        self.taken_bytes += self.ready.len();
        std::mem::take(&mut self.ready)
    }

    /// Ends the last group, and writes what is where.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.rows > 0 {
            self.end_group()?;
        }
        let mut schema =
            Struct::default().text(4, "schema").i32(5, length(self.chunks.len())?).end();
        let mut elements = 1;
        for chunk in &self.chunks {
            elements += chunk.put_schema(&mut schema);
        }
        let metadata = Struct::default()
            .i32(1, VERSION)
            .structs(2, elements, &schema)
            .i64(3, self.rows_total)
            .structs(4, self.group_count, &self.groups)
            .text(6, concat!("trueup version ", env!("CARGO_PKG_VERSION")))
            .end();
        self.ready.extend(&metadata);
        self.ready.extend(length(metadata.len())?.to_le_bytes());
        self.ready.extend(MAGIC);
        Ok(())
    }

    /// Writes the pages of a group, and notes where they are.
    fn end_group(&mut self) -> Result<()> {
        let (mut columns, mut plain_bytes) = (Vec::new(), 0);
        for chunk in &mut self.chunks {
            let offset = i64::try_from(self.taken_bytes + self.ready.len())?;
            let page = chunk.take_page();
            let packed = zstd::bulk::compress(&page.bytes, ZSTD_LEVEL)?;
            let about =
                Struct::default().i32(1, page.entries).i32(2, PLAIN).i32(3, RLE).i32(4, RLE);
            let header = Struct::default()
                .i32(1, DATA_PAGE)
                .i32(2, length(page.bytes.len())?)
                .i32(3, length(packed.len())?)
                .of(5, about)
                .end();
            let plain = i64::try_from(header.len() + page.bytes.len())?;
            let metadata = Struct::default()
                .i32(1, chunk.physical())
                .i32s(2, &[PLAIN, RLE])
                .texts(3, &chunk.path())
                .i32(4, ZSTD)
                .i64(5, page.entries.into())
                .i64(6, plain)
                .i64(7, i64::try_from(header.len() + packed.len())?)
                .i64(9, offset);
            columns.extend(Struct::default().i64(2, offset).of(3, metadata).end());
            plain_bytes += plain;
            self.ready.extend(header);
            self.ready.extend(packed);
        }
        let group = Struct::default()
            .structs(1, self.chunks.len(), &columns)
            .i64(2, plain_bytes)
            .i64(3, self.rows);
        self.groups.extend(group.end());
        self.group_count += 1;
        self.rows_total += self.rows;
        self.rows = 0;
        Ok(())
    }
}

fn length(count: usize) -> Result<i32> {
    i32::try_from(count).context("Parquet holds no more than 2 GiB in one piece")
}

/// The values of one column in the group that is being filled.
struct Chunk {
    column: Column,
    /// One a value: whether it is there, or the list it would be in has any.
    definitions: Runs,
    /// One a value: whether it is another one of the list of the value before.
    repetitions: Runs,
    values: Vec<u8>,
    entries: i32,
}

/// What a page holds, before it is compressed.
struct Page {
    bytes: Vec<u8>,
    entries: i32,
}

impl Chunk {
    fn new(column: &Column) -> Self {
        Self {
            column: column.clone(),
            definitions: Runs::default(),
            repetitions: Runs::default(),
            values: Vec::new(),
            entries: 0,
        }
    }

    fn put(&mut self, value: &Value<'_>) -> Result<()> {
        match value {
            Value::Null => self.entry(false, false)?,
            Value::Texts([]) => self.entry(false, false)?,
            Value::Texts(texts) => {
                for (at, text) in texts.iter().enumerate() {
                    self.entry(true, at > 0)?;
                    self.put_text(text)?;
                }
            }
            Value::Text(text) => {
                self.entry(true, false)?;
                self.put_text(text)?;
            }
            Value::Instant(time) => {
                self.entry(true, false)?;
                self.values.extend(time.0.to_le_bytes());
            }
            Value::Integer(number) => {
                self.entry(true, false)?;
                self.values.extend(number.to_le_bytes());
            }
            Value::Money(money) => {
                self.entry(true, false)?;
                self.values.extend(i128::from(money.0).to_be_bytes());
            }
        }
        Ok(())
    }

    fn entry(&mut self, is_there: bool, is_repeated: bool) -> Result<()> {
        self.entries = self.entries.checked_add(1).context("a group has too many values")?;
        self.definitions.push(is_there);
        self.repetitions.push(is_repeated);
        Ok(())
    }

    fn put_text(&mut self, text: &str) -> Result<()> {
        self.values.extend(length(text.len())?.to_le_bytes());
        self.values.extend(text.as_bytes());
        Ok(())
    }

    /// Levels that say nothing are not there.
    fn take_page(&mut self) -> Page {
        let is_list = self.column.kind == Kind::Texts;
        let mut bytes = Vec::with_capacity(self.values.len());
        let (repetitions, definitions) = (self.repetitions.take(), self.definitions.take());
        if is_list {
            bytes.extend(repetitions);
        }
        if is_list || self.column.is_nullable {
            bytes.extend(definitions);
        }
        bytes.append(&mut self.values);
        Page { bytes, entries: std::mem::take(&mut self.entries) }
    }

    /// The number of its physical type: `INT64`, `BYTE_ARRAY` or `FIXED_LEN_BYTE_ARRAY`.
    const fn physical(&self) -> i32 {
        match self.column.kind {
            Kind::Instant | Kind::Integer => 2,
            Kind::Text | Kind::Texts => 6,
            Kind::Money => 7,
        }
    }

    fn path(&self) -> Vec<&str> {
        match self.column.kind {
            Kind::Texts => vec![&self.column.name, "list", "element"],
            Kind::Text | Kind::Instant | Kind::Integer | Kind::Money => vec![&self.column.name],
        }
    }

    /// Puts its elements of the schema behind those before; how many there are. Types are told twice:
    /// as older readers know them, and as newer ones do.
    fn put_schema(&self, schema: &mut Vec<u8>) -> usize {
        let name = &self.column.name;
        let repetition = if self.column.is_nullable { OPTIONAL } else { REQUIRED };
        let leaf = Struct::default().i32(1, self.physical());
        let text = |leaf: Struct, repetition, name: &str| {
            let text = Struct::default().of(1, Struct::default());
            leaf.i32(3, repetition).text(4, name).i32(6, 0).of(10, text).end()
        };
        match self.column.kind {
            Kind::Text => schema.extend(text(leaf, repetition, name)),
            Kind::Texts => {
                let list = Struct::default().of(3, Struct::default());
                let outer = Struct::default().i32(3, REQUIRED).text(4, name).i32(5, 1).i32(6, 3);
                schema.extend(outer.of(10, list).end());
                let inner = Struct::default().i32(3, REPEATED).text(4, "list").i32(5, 1);
                schema.extend(inner.end());
                schema.extend(text(leaf, REQUIRED, "element"));
                return 3;
            }
            Kind::Instant => {
                let milliseconds = Struct::default().of(1, Struct::default());
                let instant = Struct::default().of(8, Struct::default().yes(1).of(2, milliseconds));
                schema
                    .extend(leaf.i32(3, repetition).text(4, name).i32(6, 9).of(10, instant).end());
            }
            Kind::Integer => schema.extend(leaf.i32(3, repetition).text(4, name).end()),
            Kind::Money => {
                let leaf = leaf.i32(2, MONEY_BYTES).i32(3, repetition).text(4, name);
                let decimal = Struct::default().i32(1, MONEY_SCALE).i32(2, MONEY_PRECISION);
                let leaf = leaf.i32(6, 5).i32(7, MONEY_SCALE).i32(8, MONEY_PRECISION);
                schema.extend(leaf.of(10, Struct::default().of(5, decimal)).end());
            }
        }
        1
    }
}

/// Levels of 0 and 1, as runs: twice a run's length, and its level.
#[derive(Debug, Default)]
struct Runs {
    bytes: Vec<u8>,
    level: bool,
    length: u64,
}

impl Runs {
    fn push(&mut self, level: bool) {
        if level != self.level {
            self.end_run();
            self.level = level;
        }
        self.length += 1;
    }

    fn end_run(&mut self) {
        if self.length > 0 {
            varint(&mut self.bytes, self.length << 1);
            self.bytes.push(self.level.into());
            self.length = 0;
        }
    }

    /// The runs behind their length in bytes.
    fn take(&mut self) -> Vec<u8> {
        self.end_run();
        let runs = std::mem::take(&mut self.bytes);
        // A group has so few values that its runs are short.
        let length = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        length.to_le_bytes().into_iter().chain(runs).collect()
    }
}
