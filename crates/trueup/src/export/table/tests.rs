//! What is written is read back: CSV and JSON by libraries, Parquet by the little that is below.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

/// A value with a life of its own.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    name: String,
    note: Option<String>,
    names: Vec<Text>,
    at: UnixMs,
    count: Option<i64>,
    cost: Option<NanoUsd>,
}

const COLUMNS: [Column; 6] = [
    Column::new("name", Kind::Text),
    Column::nullable("note", Kind::Text),
    Column::new("names", Kind::Texts),
    Column::new("at", Kind::Instant),
    Column::nullable("count", Kind::Integer),
    Column::nullable("cost_usd", Kind::Money),
];

impl Row {
    fn values(&self) -> [Value<'_>; 6] {
        [
            Value::Text(&self.name),
            self.note.as_deref().map_or(Value::Null, Value::Text),
            Value::Texts(&self.names),
            Value::Instant(self.at),
            self.count.map_or(Value::Null, Value::Integer),
            self.cost.map_or(Value::Null, Value::Money),
        ]
    }

    fn json(&self) -> Json {
        json!({"name": self.name, "note": self.note, "names": self.names, "at": self.at.to_string(),
            "count": self.count, "cost_usd": self.cost.map(|cost| cost.to_string())})
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[=+@,\"\t\r\n' -]{0,6}", "[a-zé\u{202e}😀<]{0,300}"]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let names = prop::collection::vec(text().prop_map(Text::from), 0..4);
    let row = (
        text(),
        prop::option::of(text()),
        names,
        any::<i64>().prop_map(UnixMs),
        prop::option::of(any::<i64>()),
        prop::option::of(any::<i64>().prop_map(NanoUsd)),
    );
    let row = row.prop_map(|(name, note, names, at, count, cost)| Row {
        name,
        note,
        names,
        at,
        count,
        cost,
    });
    prop::collection::vec(row, 0..20)
}

/// Writes rows, and passes on what there is behind some of them.
fn written(format: Format, rows: &[Row], pass_on: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut table = Table::new(format, "a \"view\"", COLUMNS.into(), &mut bytes).unwrap();
    for (at, row) in rows.iter().enumerate() {
        table.row(&row.values()).unwrap();
        if at % pass_on == 0 {
            table.pass_on().unwrap();
        }
    }
    assert_eq!(table.finish().unwrap(), rows.len() as u64);
    bytes
}

proptest! {
    #[test]
    fn csv_is_read_back(rows in rows(), pass_on in 1..9_usize) {
        let bytes = written(Format::Csv, &rows, pass_on);
        let mut csv = csv::Reader::from_reader(&*bytes);
        let names = csv.headers().unwrap().clone();
        prop_assert!(names.iter().eq(COLUMNS.iter().map(|column| &*column.name)));
        let read: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), rows.len());
        for (cells, row) in read.iter().zip(&rows) {
            let is_formula = |cell: &str| cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
            prop_assert!(!cells.iter().take(3).any(is_formula));
            let mark = if is_formula(&row.name) { "'" } else { "" };
            prop_assert_eq!(&cells[0], [mark, &row.name].concat());
            let names: Vec<Text> = serde_json::from_str(&cells[2]).unwrap();
            prop_assert_eq!(&names, &row.names);
            prop_assert_eq!(&cells[3], row.at.to_string());
            let cost = row.cost.map(|cost| cost.to_string());
            prop_assert_eq!(&cells[5], cost.unwrap_or_default());
        }
    }

    #[test]
    fn json_is_read_back(rows in rows(), pass_on in 1..9_usize) {
        let expected: Vec<Json> = rows.iter().map(Row::json).collect();
        let lines = String::from_utf8(written(Format::Ndjson, &rows, pass_on)).unwrap();
        let read: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        prop_assert_eq!(&read, &expected);
        let whole: Json = serde_json::from_slice(&written(Format::Json, &rows, pass_on)).unwrap();
        prop_assert_eq!(whole, json!({"schema": 1, "view": "a \"view\"", "rows": expected}));
    }

    #[test]
    fn parquet_is_read_back(rows in rows(), pass_on in 1..9_usize) {
        let expected: Vec<Json> = rows.iter().map(raw).collect();
        prop_assert_eq!(read_parquet(&written(Format::Parquet, &rows, pass_on)), expected);
    }
}

/// A row as it stands in Parquet: instants and money are whole numbers.
fn raw(row: &Row) -> Json {
    json!([row.name, row.note, row.names, row.at.0, row.count, row.cost.map(|cost| cost.0)])
}

#[test]
fn groups_are_bounded_and_hold_all() {
    let row = |at: i64| Row {
        name: "n".repeat(400),
        note: (at % 3 == 0).then(|| at.to_string()),
        names: vec![Text::from("a"); usize::try_from(at % 3).unwrap()],
        at: UnixMs(at),
        count: (at % 2 == 0).then_some(at),
        cost: None,
    };
    let rows: Vec<Row> = (0..15_000).map(row).collect();
    let bytes = written(Format::Parquet, &rows, 1);
    let groups = footer(&bytes)[&4].list().len();
    assert!((2..6).contains(&groups), "{groups}");
    assert_eq!(read_parquet(&bytes), rows.iter().map(raw).collect::<Vec<_>>());
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut bytes = Vec::new();
    let columns = vec![Column::new("at", Kind::Instant)];
    let mut table = Table::new(Format::Csv, "v", columns, &mut bytes).unwrap();
    for values in [&[Value::Null][..], &[Value::Integer(1)], &[]] {
        assert!(table.row(values).is_err(), "{values:?}");
    }
    table.row(&[Value::Instant(UnixMs(0))]).unwrap();
    assert_eq!(table.finish().unwrap(), 1);
    assert_eq!(String::from_utf8(bytes).unwrap(), "at\n1970-01-01T00:00:00.000Z\n");
}

/// A value of Thrift's compact protocol.
#[derive(Debug)]
enum Node {
    Number(i64),
    Text,
    List(Vec<Self>),
    Struct(Fields),
}

type Fields = BTreeMap<u8, Node>;

impl Node {
    fn number(&self) -> i64 {
        let Self::Number(number) = self else { panic!("{self:?}") };
        *number
    }

    fn list(&self) -> &[Self] {
        let Self::List(list) = self else { panic!("{self:?}") };
        list
    }

    fn fields(&self) -> &Fields {
        let Self::Struct(fields) = self else { panic!("{self:?}") };
        fields
    }
}

/// Bytes from which things are taken.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn varint(&mut self) -> u64 {
        let byte = u64::from(self.take(1)[0]);
        if byte < 0x80 { byte } else { byte - 0x80 + (self.varint() << 7) }
    }

    fn length(&mut self) -> usize {
        u32::from_le_bytes(self.take(4).try_into().unwrap()) as usize
    }

    fn number(&mut self) -> i64 {
        i64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> Json {
        let length = self.length();
        json!(std::str::from_utf8(self.take(length)).unwrap())
    }

    fn node(&mut self, kind: u8) -> Node {
        match kind {
            1 => Node::Number(1),
            5 | 6 => {
                let number = self.varint();
                Node::Number((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
            }
            8 => {
                let length = self.varint().try_into().unwrap();
                self.take(length);
                Node::Text
            }
            9 => {
                let head = self.take(1)[0];
                let count = if head >> 4 == 15 { self.varint() } else { u64::from(head >> 4) };
                Node::List((0..count).map(|_| self.node(head & 15)).collect())
            }
            12 => Node::Struct(self.fields()),
            kind => panic!("kind {kind}"),
        }
    }

    fn fields(&mut self) -> Fields {
        let (mut fields, mut field) = (Fields::new(), 0);
        loop {
            let head = self.take(1)[0];
            if head == 0 {
                return fields;
            }
            field += head >> 4;
            fields.insert(field, self.node(head & 15));
        }
    }

    /// As many levels of 0 and 1.
    fn levels(&mut self, count: usize) -> Vec<bool> {
        let length = self.length();
        let mut runs = Bytes(self.take(length));
        let mut levels = Vec::new();
        while !runs.0.is_empty() {
            let run = usize::try_from(runs.varint()).unwrap();
            levels.extend(std::iter::repeat_n(runs.take(1)[0] == 1, run / 2));
        }
        assert_eq!(levels.len(), count);
        levels
    }
}

fn footer(bytes: &[u8]) -> Fields {
    let (rest, end) = bytes.split_at(bytes.len() - 8);
    assert!(bytes.starts_with(b"PAR1") && end.ends_with(b"PAR1"));
    let length = Bytes(end).length();
    let mut metadata = Bytes(&rest[rest.len() - length..]);
    let fields = metadata.fields();
    assert!(metadata.0.is_empty());
    fields
}

/// The rows of a file with [`COLUMNS`].
fn read_parquet(bytes: &[u8]) -> Vec<Json> {
    let footer = footer(bytes);
    let mut rows = Vec::new();
    for group in footer[&4].list() {
        let columns: Vec<Vec<Json>> = group.fields()[&1]
            .list()
            .iter()
            .zip(&COLUMNS)
            .map(|(chunk, column)| read_chunk(bytes, column, chunk.fields()[&3].fields()))
            .collect();
        let count = usize::try_from(group.fields()[&3].number()).unwrap();
        assert!(columns.iter().all(|column| column.len() == count));
        rows.extend((0..count).map(|at| columns.iter().map(|column| column[at].clone()).collect()));
    }
    assert_eq!(footer[&3].number(), i64::try_from(rows.len()).unwrap());
    rows
}

fn read_chunk(bytes: &[u8], column: &Column, metadata: &Fields) -> Vec<Json> {
    let size = |fields: &Fields, at: u8| usize::try_from(fields[&at].number()).unwrap();
    let mut page = Bytes(&bytes[size(metadata, 9)..][..size(metadata, 7)]);
    let header = page.fields();
    assert_eq!(page.0.len(), size(&header, 3));
    let plain = zstd::bulk::decompress(page.0, size(&header, 2)).unwrap();
    let entries = size(header[&5].fields(), 1);
    assert_eq!((entries, plain.len()), (size(metadata, 5), size(&header, 2)));
    let mut plain = Bytes(&plain);
    let is_list = column.kind == Kind::Texts;
    let repeated = if is_list { plain.levels(entries) } else { vec![false; entries] };
    let has_levels = is_list || column.is_nullable;
    let there = if has_levels { plain.levels(entries) } else { vec![true; entries] };
    let mut values: Vec<Json> = Vec::new();
    for (is_repeated, is_there) in repeated.into_iter().zip(there) {
        let value = is_there.then(|| match column.kind {
            Kind::Text | Kind::Texts => plain.text(),
            Kind::Instant | Kind::Integer => json!(plain.number()),
            Kind::Money => {
                let money = i128::from_be_bytes(plain.take(16).try_into().unwrap());
                json!(i64::try_from(money).unwrap())
            }
        });
        match values.last_mut() {
            Some(Json::Array(list)) if is_repeated => list.extend(value),
            _ if is_list => values.push(value.into_iter().collect()),
            _ => values.push(json!(value)),
        }
    }
    assert!(plain.0.is_empty());
    values
}
