//! OTLP in protobuf: the same records as in JSON, one at a time.
//!
//! What is built is counted while it is built: a body of many empty attributes, two bytes each, is
//! refused before it has become much memory. The three signals have the same levels above their
//! records, under the same numbers; only the records tell them apart.

use crate::body::{Refusal, Signal};
use crate::json::{Hex, Int, Str};
use crate::model::{
    Attribute, LogRecord, Metric, Point, Record, Resource, Scope, Span, SpanEvent, Status, Value,
};
use crate::wire::{Content, Field, Fields, Garbage};

/// How deep values may be nested.
const DEPTH_MAX: u32 = 32;

/// Each part of a body that is built takes one.
#[derive(Debug)]
pub(crate) struct Budget(pub(crate) usize);

impl Budget {
    const fn take(&mut self) -> Result<(), Refusal> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Refusal::TooManyParts),
        }
    }
}

/// Reads a body of one signal, record by record.
pub(crate) fn read(
    body: &[u8],
    signal: Signal,
    mut budget: Budget,
    each: &mut dyn FnMut(&Resource<'_>, &Scope<'_>, Record<'_>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    for of_resource in messages(body, 1) {
        let of_resource = of_resource?;
        let attributes = messages(of_resource, 1).next().transpose()?.unwrap_or_default();
        let resource = Resource { attributes: attributes_of(attributes, 1, &mut budget)? };
        for of_scope in messages(of_resource, 2) {
            let of_scope = of_scope?;
            let scope = messages(of_scope, 1).next().transpose()?.unwrap_or_default();
            let scope = Scope { name: text_of(scope, 1)? };
            for record in messages(of_scope, 2) {
                budget.take()?;
                each(&resource, &scope, self::record(record?, signal, &mut budget)?)?;
            }
        }
    }
    Ok(())
}

/// Of which signal the records of a body can be, told by the first that says so. `expected` is
/// believed where it can be so.
pub(crate) fn signal_of(body: &[u8], expected: Option<Signal>) -> Result<Option<Signal>, Garbage> {
    for of_resource in messages(body, 1) {
        for of_scope in messages(of_resource?, 2) {
            for record in messages(of_scope?, 2) {
                let record = record?;
                if record.is_empty() {
                    continue;
                }
                let fits = |signal: &Signal| can_be(record, *signal);
                let other = || Signal::ALL.into_iter().find(fits);
                return Ok(expected.filter(fits).or_else(other));
            }
        }
    }
    Ok(expected)
}

/// Whether the fields of a record are of the types that the signal gives them.
fn can_be(record: &[u8], signal: Signal) -> bool {
    let mut has_first = false;
    let mut fields = Fields::of(record);
    let is_fitting = fields.all(|field| {
        let Ok(Field { number, content }) = field else { return false };
        has_first |= number == 1;
        match (signal, number, content) {
            (Signal::Traces, 1, Content::Bytes(id)) => id.len() == 16,
            (Signal::Traces, 2, Content::Bytes(id)) => id.len() == 8,
            (Signal::Traces, 7 | 8, content) => matches!(content, Content::Fixed64(_)),
            (Signal::Traces, 6, content) => matches!(content, Content::Varint(_)),
            (Signal::Logs, 1 | 11, content) => matches!(content, Content::Fixed64(_)),
            (Signal::Logs, 2, content) => matches!(content, Content::Varint(_)),
            (Signal::Metrics, 1, Content::Bytes(name)) => is_name(name),
            (Signal::Metrics, 1..=3 | 5 | 7 | 9..=11, content) => {
                matches!(content, Content::Bytes(_))
            }
            (Signal::Traces, 1 | 2, _) => false,
            _ => true,
        }
    });
    is_fitting && (has_first || signal == Signal::Logs)
}

/// Whether a metric can be called so. Ids of traces are of 16 bytes, which seldom are a text.
fn is_name(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok_and(|name| !name.contains(char::is_control))
}

/// The messages of one field.
fn messages(message: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8], Garbage>> {
    Fields::of(message).filter_map(move |field| match field {
        Ok(field) if field.number == number => Some(field.bytes()),
        Ok(_) => None,
        Err(garbage) => Some(Err(garbage)),
    })
}

fn text(bytes: &[u8]) -> Str<'_> {
    Str(String::from_utf8_lossy(bytes))
}

fn text_of(message: &[u8], number: u64) -> Result<Str<'_>, Garbage> {
    messages(message, number).last().transpose().map(|bytes| text(bytes.unwrap_or_default()))
}

fn hex(bytes: &[u8]) -> Hex {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(bytes.len() * 2);
    // What is longer is no id.
    for byte in bytes.iter().take(32) {
        let _is_written = write!(hex, "{byte:02x}").is_ok();
    }
    Hex(hex)
}

/// Times are unsigned, and stop at the end of what can be a time.
fn time(nanos: u64) -> Int {
    Int(i64::try_from(nanos).unwrap_or(i64::MAX))
}

fn record<'a>(bytes: &'a [u8], signal: Signal, budget: &mut Budget) -> Result<Record<'a>, Refusal> {
    Ok(match signal {
        Signal::Traces => Record::Span(span(bytes, budget)?),
        Signal::Logs => Record::Log(log(bytes, budget)?),
        Signal::Metrics => Record::Metric(metric(bytes, budget)?),
    })
}

fn span<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<Span<'a>, Refusal> {
    let mut span = Span::default();
    for field in Fields::of(bytes) {
        let field = field?;
        match field.number {
            1 => span.trace_id = hex(field.bytes()?),
            2 => span.span_id = hex(field.bytes()?),
            5 => span.name = text(field.bytes()?),
            7 => span.start_time_unix_nano = time(field.fixed64()?),
            8 => span.end_time_unix_nano = time(field.fixed64()?),
            9 => span.attributes.push(attribute(field.bytes()?, DEPTH_MAX, budget)?),
            11 => span.events.push(span_event(field.bytes()?, budget)?),
            15 => span.status = status(field.bytes()?)?,
            _ => {}
        }
    }
    Ok(span)
}

fn span_event<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<SpanEvent<'a>, Refusal> {
    budget.take()?;
    Ok(SpanEvent { name: text_of(bytes, 2)?, attributes: attributes_of(bytes, 3, budget)? })
}

fn status(bytes: &[u8]) -> Result<Status<'_>, Garbage> {
    const ERROR: u64 = 2;
    let mut status = Status::default();
    for field in Fields::of(bytes) {
        let field = field?;
        match field.number {
            2 => status.message = text(field.bytes()?),
            3 => status.is_error = field.varint()? == ERROR,
            _ => {}
        }
    }
    Ok(status)
}

fn log<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<LogRecord<'a>, Refusal> {
    let mut log = LogRecord::default();
    for field in Fields::of(bytes) {
        let field = field?;
        match field.number {
            1 => log.time_unix_nano = time(field.fixed64()?),
            5 => log.body = value(field.bytes()?, DEPTH_MAX, budget)?,
            6 => log.attributes.push(attribute(field.bytes()?, DEPTH_MAX, budget)?),
            9 => log.trace_id = hex(field.bytes()?),
            10 => log.span_id = hex(field.bytes()?),
            11 => log.observed_time_unix_nano = time(field.fixed64()?),
            12 => log.event_name = text(field.bytes()?),
            _ => {}
        }
    }
    Ok(log)
}

fn metric<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<Metric<'a>, Refusal> {
    let mut metric = Metric { name: text_of(bytes, 1)?, ..Metric::default() };
    if !Metric::is_of_usage(&metric.name) {
        return Ok(metric);
    }
    for field in Fields::of(bytes) {
        let field = field?;
        let kind = match field.number {
            7 => Kind::Number,
            9 => Kind::Histogram,
            10 => Kind::ExponentialHistogram,
            _ => continue,
        };
        for field in Fields::of(field.bytes()?) {
            let field = field?;
            match field.number {
                1 => metric.points.push(point(field.bytes()?, kind, budget)?),
                2 => metric.is_cumulative = is_cumulative(field.varint()?),
                _ => {}
            }
        }
    }
    Ok(metric)
}

const fn is_cumulative(temporality: u64) -> Option<bool> {
    match temporality {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    }
}

/// What a metric's points are. They have their attributes and values under different numbers.
#[derive(Clone, Copy)]
enum Kind {
    Number,
    Histogram,
    ExponentialHistogram,
}

fn point<'a>(bytes: &'a [u8], kind: Kind, budget: &mut Budget) -> Result<Point<'a>, Refusal> {
    budget.take()?;
    let mut point = Point::default();
    for field in Fields::of(bytes) {
        let field = field?;
        match (kind, field.number) {
            (_, 2) => point.start_time_unix_nano = time(field.fixed64()?),
            (_, 3) => point.time_unix_nano = time(field.fixed64()?),
            (Kind::Number, 4) | (Kind::Histogram | Kind::ExponentialHistogram, 5) => {
                point.value = Value::Double(f64::from_bits(field.fixed64()?));
            }
            (Kind::Number, 6) => point.value = Value::Int(field.fixed64()?.cast_signed()),
            (Kind::Number, 7) | (Kind::Histogram, 9) | (Kind::ExponentialHistogram, 1) => {
                point.attributes.push(attribute(field.bytes()?, DEPTH_MAX, budget)?);
            }
            _ => {}
        }
    }
    Ok(point)
}

fn attributes_of<'a>(
    bytes: &'a [u8],
    number: u64,
    budget: &mut Budget,
) -> Result<Vec<Attribute<'a>>, Refusal> {
    messages(bytes, number).map(|bytes| attribute(bytes?, DEPTH_MAX, budget)).collect()
}

fn attribute<'a>(
    bytes: &'a [u8],
    depth: u32,
    budget: &mut Budget,
) -> Result<Attribute<'a>, Refusal> {
    budget.take()?;
    let mut attribute = Attribute::default();
    for field in Fields::of(bytes) {
        let field = field?;
        match field.number {
            1 => attribute.key = text(field.bytes()?),
            2 => attribute.value = value(field.bytes()?, depth, budget)?,
            _ => {}
        }
    }
    Ok(attribute)
}

fn value<'a>(bytes: &'a [u8], depth: u32, budget: &mut Budget) -> Result<Value<'a>, Refusal> {
    let depth = depth.checked_sub(1).ok_or(Refusal::TooDeep)?;
    let mut value = Value::Empty;
    for field in Fields::of(bytes) {
        let field = field?;
        value = match field.number {
            1 => Value::Text(text(field.bytes()?).0),
            2 => Value::Bool(field.varint()? != 0),
            3 => Value::Int(field.varint()?.cast_signed()),
            4 => Value::Double(f64::from_bits(field.fixed64()?)),
            5 => Value::List(list(field.bytes()?, depth, budget)?),
            6 => Value::Map(map(field.bytes()?, depth, budget)?),
            _ => Value::Empty,
        };
    }
    Ok(value)
}

fn list<'a>(bytes: &'a [u8], depth: u32, budget: &mut Budget) -> Result<Vec<Value<'a>>, Refusal> {
    let each = |bytes: Result<&'a [u8], Garbage>| {
        budget.take()?;
        value(bytes?, depth, budget)
    };
    messages(bytes, 1).map(each).collect()
}

fn map<'a>(
    bytes: &'a [u8],
    depth: u32,
    budget: &mut Budget,
) -> Result<Vec<Attribute<'a>>, Refusal> {
    messages(bytes, 1).map(|bytes| attribute(bytes?, depth, budget)).collect()
}
