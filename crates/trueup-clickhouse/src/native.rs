//! ClickHouse's `Native` format, as far as it is needed: blocks of columns.
//!
//! ```text
//! 02 01  06 "tenant" 06 "String"  04 "acme"   05 "calls" 06 "UInt64"  07 00 00 00 00 00 00 00
//! └ 2 columns, 1 row
//! ```
//!
//! Written because it is the one format of which a server takes a torn body as an error, where the others
//! keep the rows that came; read because both old and new servers write the same of it, without a
//! question of quoting. No revision of the protocol is named, so that newer encodings stay away.

mod read;

pub(crate) use read::Texts;
pub use read::{Block, NativeError, Row, read, read_blocks};

/// A column of a table: its name in the schema, and how a row has it.
struct Column<R> {
    name: &'static str,
    get: Get<R>,
}

/// How a row has a column, by its type.
pub(crate) enum Get<R> {
    Text(fn(&R) -> &str),
    MaybeText(fn(&R) -> Option<&str>),
    U8(fn(&R) -> u8),
    U16(fn(&R) -> u16),
    U64(fn(&R) -> u64),
    MaybeU32(fn(&R) -> Option<u32>),
    MaybeU64(fn(&R) -> Option<u64>),
    MaybeI64(fn(&R) -> Option<i64>),
    /// Days since 1970.
    Date(fn(&R) -> u16),
    Fixed16(fn(&R) -> [u8; 16]),
}

impl<R> Get<R> {
    /// The type, as ClickHouse writes it.
    const fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "String",
            Self::MaybeText(_) => "Nullable(String)",
            Self::U8(_) => "UInt8",
            Self::U16(_) => "UInt16",
            Self::U64(_) => "UInt64",
            Self::MaybeU32(_) => "Nullable(UInt32)",
            Self::MaybeU64(_) => "Nullable(UInt64)",
            Self::MaybeI64(_) => "Nullable(Int64)",
            Self::Date(_) => "Date",
            Self::Fixed16(_) => "FixedString(16)",
        }
    }

    fn write(&self, rows: &[R], out: &mut Vec<u8>) {
        match self {
            Self::Text(get) => put_texts(rows, get, out),
            Self::MaybeText(get) => {
                put_nulls(rows, |row| get(row).is_none(), out);
                put_texts(rows, |row| get(row).unwrap_or_default(), out);
            }
            Self::U8(get) => out.extend(rows.iter().map(get)),
            Self::U16(get) | Self::Date(get) => {
                out.extend(rows.iter().flat_map(|row| get(row).to_le_bytes()));
            }
            Self::U64(get) => out.extend(rows.iter().flat_map(|row| get(row).to_le_bytes())),
            Self::MaybeU32(get) => {
                put_nulls(rows, |row| get(row).is_none(), out);
                out.extend(rows.iter().flat_map(|row| get(row).unwrap_or_default().to_le_bytes()));
            }
            Self::MaybeU64(get) => {
                put_nulls(rows, |row| get(row).is_none(), out);
                out.extend(rows.iter().flat_map(|row| get(row).unwrap_or_default().to_le_bytes()));
            }
            Self::MaybeI64(get) => {
                put_nulls(rows, |row| get(row).is_none(), out);
                out.extend(rows.iter().flat_map(|row| get(row).unwrap_or_default().to_le_bytes()));
            }
            Self::Fixed16(get) => out.extend(rows.iter().flat_map(get)),
        }
    }
}

/// The columns of a table.
pub(crate) struct Columns<R>(Vec<Column<R>>);

impl<R> Columns<R> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// And one more.
    pub(crate) fn with(mut self, name: &'static str, get: Get<R>) -> Self {
        self.0.push(Column { name, get });
        self
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|column| column.name).collect()
    }

    /// Rows as one block.
    pub(crate) fn block(&self, rows: &[R]) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(self.0.len(), &mut out);
        put_varint(rows.len(), &mut out);
        for column in &self.0 {
            put_text(column.name, &mut out);
            put_text(column.get.name(), &mut out);
            column.get.write(rows, &mut out);
        }
        out
    }

    /// Names and types.
    #[cfg(test)]
    pub(crate) fn types(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.0.iter().map(|column| (column.name, column.get.name()))
    }
}

/// Seven bits in a byte, the lowest first; the eighth says that there are more.
fn put_varint(mut number: usize, out: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn put_texts<R>(rows: &[R], get: impl Fn(&R) -> &str, out: &mut Vec<u8>) {
    for row in rows {
        put_text(get(row), out);
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_varint(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// Which rows of a column are null; the values of those follow all the same.
fn put_nulls<R>(rows: &[R], is_null: impl Fn(&R) -> bool, out: &mut Vec<u8>) {
    out.extend(rows.iter().map(|row| u8::from(is_null(row))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    struct Sample {
        text: String,
        maybe_text: Option<String>,
        numbers: (u8, u16, u64),
        maybe: (Option<u32>, Option<u64>, Option<i64>),
        date: u16,
        id: [u8; 16],
    }

    fn columns() -> Columns<Sample> {
        Columns::new()
            .with("text", Get::Text(|it: &Sample| &it.text))
            .with("maybe_text", Get::MaybeText(|it| it.maybe_text.as_deref()))
            .with("u8", Get::U8(|it| it.numbers.0))
            .with("u16", Get::U16(|it| it.numbers.1))
            .with("u64", Get::U64(|it| it.numbers.2))
            .with("maybe_u32", Get::MaybeU32(|it| it.maybe.0))
            .with("maybe_u64", Get::MaybeU64(|it| it.maybe.1))
            .with("maybe_i64", Get::MaybeI64(|it| it.maybe.2))
            .with("date", Get::Date(|it| it.date))
            .with("id", Get::Fixed16(|it| it.id))
    }

    fn samples() -> impl Strategy<Value = Vec<Sample>> {
        let maybe = (any::<Option<u32>>(), any::<Option<u64>>(), any::<Option<i64>>());
        let text = "(\\PC|\\x00){0,40}";
        let one = (
            text,
            any::<Option<String>>(),
            any::<(u8, u16, u64)>(),
            maybe,
            any::<u16>(),
            any::<[u8; 16]>(),
        )
            .prop_map(|(text, maybe_text, numbers, maybe, date, id)| Sample {
                text,
                maybe_text,
                numbers,
                maybe,
                date,
                id,
            });
        prop::collection::vec(one, 0..10)
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(first in samples(), second in samples()) {
            let bytes = [columns().block(&first), columns().block(&second)].concat();
            let mut told = Vec::new();
            read(&mut &*bytes, &mut |row| {
                told.push(Sample {
                    text: row.text("text")?.to_owned(),
                    maybe_text: row.maybe_text("maybe_text")?.map(str::to_owned),
                    numbers: (
                        u8::try_from(row.unsigned("u8")?).unwrap(),
                        u16::try_from(row.unsigned("u16")?).unwrap(),
                        row.unsigned("u64")?,
                    ),
                    maybe: (
                        row.maybe_unsigned("maybe_u32")?.map(|it| u32::try_from(it).unwrap()),
                        row.maybe_unsigned("maybe_u64")?,
                        row.maybe_signed("maybe_i64")?,
                    ),
                    date: u16::try_from(row.unsigned("date")?).unwrap(),
                    id: row.fixed16("id")?,
                });
                Ok(())
            }).unwrap();
            let all: Vec<Sample> = first.into_iter().chain(second).collect();
            prop_assert_eq!(format!("{told:?}"), format!("{all:?}"));
        }

        /// Of a torn answer, no row is made up: those before the tear are the first that there are.
        #[test]
        fn a_torn_block_is_an_error(rows in samples(), cut in any::<prop::sample::Index>()) {
            let bytes = columns().block(&rows);
            let torn = &bytes[..cut.index(bytes.len())];
            let mut count = 0;
            let result = read(&mut &*torn, &mut |_| { count += 1; Ok(()) });
            prop_assert_eq!((result.is_err(), count), (!torn.is_empty(), 0));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _unused = read(&mut &*bytes, &mut |row| { row.text("x").map(drop) });
        }
    }
}
