//! Reading blocks, one at a time, row by row or by columns.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Read};

use trueup_core::FactId;

/// Most columns of an answer: no statement of ours asks for as many.
const COLUMNS_MAX: usize = 128;
/// Most rows of a block: what ClickHouse makes by default is 65,505, and an answer of one aggregation may
/// come as one block of many more.
const ROWS_MAX: usize = 4 << 20;
/// Longest text, and what the texts of a column of one block may come to.
const TEXT_BYTES_MAX: usize = 256 << 20;
/// Longest name of a column or type.
const NAME_BYTES_MAX: usize = 256;
/// Bytes that are read at once.
const READ_AT_ONCE: usize = 64 << 10;
/// What is reserved before bytes have come.
const RESERVED_MAX: usize = 64 << 10;

/// Why an answer is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// It ended, or could not be read on.
    #[error("the answer could not be read to its end")]
    Torn(#[source] std::io::Error),
    /// A number that no block of ours has.
    #[error("the answer is no block of columns: {what} is {number}")]
    Number {
        /// Of what.
        what: &'static str,
        /// The number.
        number: u64,
    },
    /// A type that none of our questions has.
    #[error("column {column} is of type {kind}, which is not read")]
    Kind {
        /// The column.
        column: String,
        /// Its type.
        kind: String,
    },
    /// A column that is not there, or is of another type than it is read as.
    #[error("column {column} is not there as {wanted}")]
    Column {
        /// The column.
        column: &'static str,
        /// As what it is read.
        wanted: &'static str,
    },
    /// A value that means nothing.
    #[error("column {column} has a value that is not understood")]
    Value {
        /// The column.
        column: &'static str,
    },
}

#[derive(Debug)]
enum Values {
    Unsigned(Vec<u64>),
    Signed(Vec<i64>),
    /// All texts, and where each ends.
    Texts(Vec<u8>, Vec<usize>),
}

#[derive(Debug)]
struct ColumnRead {
    name: String,
    nulls: Vec<u8>,
    values: Values,
}

/// One row of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    columns: &'a [ColumnRead],
    at: usize,
    /// Behind the column that was read last: rows are read in one order, each like the one before.
    next: &'a Cell<usize>,
}

impl<'a> Row<'a> {
    fn column(&self, name: &'static str) -> Option<(&'a ColumnRead, bool)> {
        let next = self.next.get();
        let is_it = |at: &usize| self.columns.get(*at).is_some_and(|column| column.name == name);
        let at = (next..self.columns.len()).chain(0..next).find(is_it)?;
        self.next.set(at + 1);
        let column = self.columns.get(at)?;
        Some((column, column.nulls.get(self.at).is_some_and(|null| *null != 0)))
    }

    /// A whole number of any unsigned type; a date is its days since 1970. A null is an error.
    ///
    /// # Errors
    /// What the column is not.
    pub fn unsigned(&self, name: &'static str) -> Result<u64, NativeError> {
        self.maybe_unsigned(name)?.ok_or(NativeError::Value { column: name })
    }

    /// The same, or null.
    ///
    /// # Errors
    /// What the column is not.
    pub fn maybe_unsigned(&self, name: &'static str) -> Result<Option<u64>, NativeError> {
        match self.column(name) {
            Some((ColumnRead { values: Values::Unsigned(values), .. }, is_null)) => {
                Ok(values.get(self.at).copied().filter(|_| !is_null))
            }
            Some(_) | None => {
                Err(NativeError::Column { column: name, wanted: "an unsigned number" })
            }
        }
    }

    /// A whole number with a sign.
    ///
    /// # Errors
    /// What the column is not.
    pub fn signed(&self, name: &'static str) -> Result<i64, NativeError> {
        self.maybe_signed(name)?.ok_or(NativeError::Value { column: name })
    }

    /// The same, or null.
    ///
    /// # Errors
    /// What the column is not.
    pub fn maybe_signed(&self, name: &'static str) -> Result<Option<i64>, NativeError> {
        match self.column(name) {
            Some((ColumnRead { values: Values::Signed(values), .. }, is_null)) => {
                Ok(values.get(self.at).copied().filter(|_| !is_null))
            }
            Some(_) | None => Err(NativeError::Column { column: name, wanted: "a signed number" }),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// What the column is not, and what is no UTF-8.
    pub fn text(&self, name: &'static str) -> Result<&'a str, NativeError> {
        self.maybe_text(name)?.ok_or(NativeError::Value { column: name })
    }

    /// A text, or null.
    ///
    /// # Errors
    /// What the column is not, and what is no UTF-8.
    pub fn maybe_text(&self, name: &'static str) -> Result<Option<&'a str>, NativeError> {
        let bytes = self.bytes(name)?;
        let text = bytes.map(std::str::from_utf8).transpose();
        text.map_err(|_| NativeError::Value { column: name })
    }

    /// Sixteen bytes.
    ///
    /// # Errors
    /// What the column is not.
    pub fn fixed16(&self, name: &'static str) -> Result<[u8; 16], NativeError> {
        let bytes = self.bytes(name)?.and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or(NativeError::Value { column: name })
    }

    /// An id.
    ///
    /// # Errors
    /// What the column is not.
    pub fn id(&self, name: &'static str) -> Result<FactId, NativeError> {
        self.fixed16(name).map(FactId)
    }

    fn bytes(&self, name: &'static str) -> Result<Option<&'a [u8]>, NativeError> {
        match self.column(name) {
            Some((_, true)) => Ok(None),
            Some((ColumnRead { values: Values::Texts(bytes, ends), .. }, false)) => {
                Ok(Texts { bytes, ends }.get(self.at))
            }
            Some(_) | None => Err(NativeError::Column { column: name, wanted: "a text" }),
        }
    }
}

/// Rows of an answer that came together, for whoever reads many by their columns.
#[derive(Debug)]
pub struct Block {
    columns: Vec<ColumnRead>,
    rows: usize,
}

impl Block {
    /// How many rows there are.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// A column of whole numbers, as [`Row::unsigned`] has one: as many as there are rows.
    ///
    /// # Errors
    /// What the column is not.
    pub fn unsigned(&self, name: &'static str) -> Result<&[u64], NativeError> {
        match self.column(name) {
            Some(Values::Unsigned(values)) => Ok(values),
            _ => Err(NativeError::Column { column: name, wanted: "an unsigned number" }),
        }
    }

    /// A column of whole numbers with signs: as many as there are rows.
    ///
    /// # Errors
    /// What the column is not.
    pub fn signed(&self, name: &'static str) -> Result<&[i64], NativeError> {
        match self.column(name) {
            Some(Values::Signed(values)) => Ok(values),
            _ => Err(NativeError::Column { column: name, wanted: "a signed number" }),
        }
    }

    /// A column of texts.
    ///
    /// # Errors
    /// What the column is not.
    pub(crate) fn texts(&self, name: &'static str) -> Result<Texts<'_>, NativeError> {
        match self.column(name) {
            Some(Values::Texts(bytes, ends)) => Ok(Texts { bytes, ends }),
            _ => Err(NativeError::Column { column: name, wanted: "a text" }),
        }
    }

    /// A column of which no value is null.
    fn column(&self, name: &str) -> Option<&Values> {
        let column = self.columns.iter().find(|column| column.name == name)?;
        column.nulls.iter().all(|null| *null == 0).then_some(&column.values)
    }
}

/// A column of texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Texts<'a> {
    /// That of a row, which need not be UTF-8; `None` where there is no such row.
    pub(crate) fn get(self, at: usize) -> Option<&'a [u8]> {
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before));
        self.bytes.get(start.copied().unwrap_or(0)..*self.ends.get(at)?)
    }
}

/// Hands each row of an answer to `each`, and holds one block of it at a time.
///
/// # Errors
/// What is no answer in this format, what cannot be read, and what `each` says. No row of a block that
/// is torn is handed out.
pub fn read(
    from: &mut dyn Read,
    each: &mut dyn FnMut(Row<'_>) -> Result<(), NativeError>,
) -> Result<(), NativeError> {
    let next = Cell::new(0);
    read_blocks(from, &mut |block| {
        (0..block.rows).try_for_each(|at| each(Row { columns: &block.columns, at, next: &next }))
    })
}

/// The same by blocks.
///
/// # Errors
/// Likewise.
pub fn read_blocks(
    from: &mut dyn Read,
    each: &mut dyn FnMut(&Block) -> Result<(), NativeError>,
) -> Result<(), NativeError> {
    let mut reader = Reader { from: BufReader::with_capacity(READ_AT_ONCE, from) };
    while let Some(block) = reader.block()? {
        each(&block)?;
    }
    Ok(())
}

struct Reader<'a> {
    from: BufReader<&'a mut dyn Read>,
}

impl Reader<'_> {
    fn block(&mut self) -> Result<Option<Block>, NativeError> {
        let Some(first) = self.first_byte()? else { return Ok(None) };
        let columns = self.varint(Some(first), "the number of columns", COLUMNS_MAX)?;
        // Rows of no columns are none.
        let rows_max = if columns == 0 { 0 } else { ROWS_MAX };
        let rows = self.varint(None, "the number of rows", rows_max)?;
        let columns: Result<Vec<ColumnRead>, _> = (0..columns).map(|_| self.column(rows)).collect();
        Ok(Some(Block { columns: columns?, rows }))
    }

    fn column(&mut self, rows: usize) -> Result<ColumnRead, NativeError> {
        let (name, kind) = (self.name()?, self.name()?);
        let inner = kind.strip_prefix("Nullable(").and_then(|inner| inner.strip_suffix(')'));
        let nulls = if inner.is_some() { self.take(rows)? } else { Vec::new() };
        let values = match inner.unwrap_or(&kind) {
            "UInt8" => Values::Unsigned(self.unsigned::<1>(rows)?),
            "UInt16" | "Date" => Values::Unsigned(self.unsigned::<2>(rows)?),
            "UInt32" => Values::Unsigned(self.unsigned::<4>(rows)?),
            "UInt64" => Values::Unsigned(self.numbers(rows, u64::from_le_bytes)?),
            "Int64" => Values::Signed(self.numbers(rows, i64::from_le_bytes)?),
            "String" => self.texts(rows)?,
            "FixedString(16)" => Values::Texts(
                self.take(rows.saturating_mul(16))?,
                (1..=rows).map(|at| at * 16).collect(),
            ),
            // Of a literal null.
            "Nothing" => Values::Texts(self.take(rows)?, (1..=rows).collect()),
            _ => return Err(NativeError::Kind { column: name, kind }),
        };
        Ok(ColumnRead { name, nulls, values })
    }

    fn unsigned<const WIDTH: usize>(&mut self, rows: usize) -> Result<Vec<u64>, NativeError> {
        self.numbers(rows, |bytes: [u8; WIDTH]| {
            bytes.iter().rfold(0, |sum, byte| sum << 8 | u64::from(*byte))
        })
    }

    fn numbers<const WIDTH: usize, T>(
        &mut self,
        rows: usize,
        of: impl Fn([u8; WIDTH]) -> T,
    ) -> Result<Vec<T>, NativeError> {
        let bytes = self.take(rows.saturating_mul(WIDTH))?;
        Ok(bytes.as_chunks::<WIDTH>().0.iter().map(|bytes| of(*bytes)).collect())
    }

    fn texts(&mut self, rows: usize) -> Result<Values, NativeError> {
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(rows.min(RESERVED_MAX));
        while ends.len() < rows {
            let buffered = self.from.fill_buf().map_err(NativeError::Torn)?;
            let taken = short_texts(buffered, rows - ends.len(), &mut bytes, &mut ends);
            self.from.consume(taken);
            if ends.len() < rows {
                let left = TEXT_BYTES_MAX.saturating_sub(bytes.len());
                let length = self.varint(None, "the length of a text", left)?;
                self.append(length, &mut bytes)?;
                ends.push(bytes.len());
            }
        }
        Ok(Values::Texts(bytes, ends))
    }

    fn name(&mut self) -> Result<String, NativeError> {
        let length = self.varint(None, "the length of a name", NAME_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&self.take(length)?).into_owned())
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, NativeError> {
        let mut bytes = Vec::with_capacity(length.min(RESERVED_MAX));
        self.append(length, &mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, length: usize, to: &mut Vec<u8>) -> Result<(), NativeError> {
        let mut left = length;
        while left > 0 {
            let some = self.from.fill_buf().map_err(NativeError::Torn)?;
            let some = some.get(..left.min(some.len())).unwrap_or(some);
            if some.is_empty() {
                return Err(NativeError::Torn(std::io::ErrorKind::UnexpectedEof.into()));
            }
            to.extend_from_slice(some);
            let taken = some.len();
            left -= taken;
            self.from.consume(taken);
        }
        Ok(())
    }

    /// `None` where the answer is over.
    fn first_byte(&mut self) -> Result<Option<u8>, NativeError> {
        let byte = self.from.fill_buf().map_err(NativeError::Torn)?.first().copied();
        self.from.consume(usize::from(byte.is_some()));
        Ok(byte)
    }

    fn varint(
        &mut self,
        first: Option<u8>,
        what: &'static str,
        most: usize,
    ) -> Result<usize, NativeError> {
        let (mut number, mut next) = (0_u64, first);
        for shift in (0..u64::BITS).step_by(7) {
            let byte = match next.take() {
                Some(byte) => byte,
                None => self
                    .first_byte()?
                    .ok_or_else(|| NativeError::Torn(std::io::ErrorKind::UnexpectedEof.into()))?,
            };
            number |= u64::from(byte & 0x7f).wrapping_shl(shift);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let fitting = usize::try_from(number).ok().filter(|number| *number <= most);
        fitting.ok_or(NativeError::Number { what, number })
    }
}

/// Takes at most so many texts of fewer than 128 bytes that lie in a buffer as a whole, one behind the other, and
/// says how many bytes that were.
fn short_texts(buffered: &[u8], most: usize, bytes: &mut Vec<u8>, ends: &mut Vec<usize>) -> usize {
    let (mut rest, limit) = (buffered, ends.len() + most);
    while ends.len() < limit
        && let Some((length, behind)) = rest.split_first()
        && *length < 0x80
        && let Some((text, behind)) = behind.split_at_checked(usize::from(*length))
        && bytes.len() + text.len() <= TEXT_BYTES_MAX
    {
        bytes.extend_from_slice(text);
        ends.push(bytes.len());
        rest = behind;
    }
    buffered.len() - rest.len()
}
