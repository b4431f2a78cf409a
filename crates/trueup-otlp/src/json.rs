//! OTLP/JSON: ids are hex, 64-bit numbers are texts or numbers, enums are numbers or names, and keys
//! are written in camel case or as the protobuf has them.
//!
//! The levels above the records are read in one pass that keeps where each record is; records are
//! read one at a time. A text that somebody has cut in the middle of a character (JavaScript does)
//! costs that character, and not the export.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::{Attribute, Metric, Point, Resource, Scope, Value};

/// A text of the body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Str<'a>(pub(crate) Cow<'a, str>);

impl std::ops::Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A 64-bit number; zero where there is none. Times are unsigned on the wire, and stop at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Int(pub(crate) i64);

/// An id in lower-case hex; empty where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) String);

/// An export: the levels above its records.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(crate) struct Export<'a> {
    #[serde(default, rename = "resourceSpans", alias = "resource_spans")]
    pub(crate) spans: Option<Vec<OfResource<'a>>>,
    #[serde(default, rename = "resourceLogs", alias = "resource_logs")]
    pub(crate) logs: Option<Vec<OfResource<'a>>>,
    #[serde(default, rename = "resourceMetrics", alias = "resource_metrics")]
    pub(crate) metrics: Option<Vec<OfResource<'a>>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(crate) struct OfResource<'a> {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) resource: Resource<'a>,
    #[serde(
        default,
        rename = "scopeSpans",
        alias = "scope_spans",
        alias = "scopeLogs",
        alias = "scope_logs",
        alias = "scopeMetrics",
        alias = "scope_metrics",
        deserialize_with = "or_default"
    )]
    pub(crate) scopes: Vec<OfScope<'a>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub(crate) struct OfScope<'a> {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) scope: Scope<'a>,
    #[serde(
        default,
        rename = "spans",
        alias = "logRecords",
        alias = "log_records",
        alias = "metrics",
        deserialize_with = "or_default"
    )]
    pub(crate) records: Vec<&'a RawValue>,
}

/// How many objects and arrays a text has: what bounds what is made of it. Texts within it do not count.
pub(crate) fn structures(json: &str) -> usize {
    let (mut count, mut is_text, mut is_escaped) = (0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => count += 1,
            _ => {}
        }
    }
    count
}

/// A metric: of most only the name.
pub(crate) fn metric(json: &str) -> Result<Metric<'_>, serde_json::Error> {
    let MetricJson { name, sum, histogram, exponential_histogram } = serde_json::from_str(json)?;
    let counts = [sum, histogram, exponential_histogram].into_iter().flatten().next();
    let Some(counts) = counts.filter(|_| Metric::is_of_usage(&name)) else {
        return Ok(Metric { name, ..Metric::default() });
    };
    let Counts { is_cumulative, data_points } = serde_json::from_str(counts.get())?;
    let points = data_points.into_iter().map(PointJson::point).collect();
    Ok(Metric { name, is_cumulative, points })
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct MetricJson<'a> {
    #[serde(default, deserialize_with = "or_default")]
    name: Str<'a>,
    sum: Option<&'a RawValue>,
    histogram: Option<&'a RawValue>,
    #[serde(alias = "exponential_histogram")]
    exponential_histogram: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Counts<'a> {
    #[serde(
        default,
        rename = "aggregationTemporality",
        alias = "aggregation_temporality",
        deserialize_with = "is_cumulative"
    )]
    is_cumulative: Option<bool>,
    #[serde(default, alias = "data_points", deserialize_with = "or_default")]
    data_points: Vec<PointJson<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct PointJson<'a> {
    #[serde(default, deserialize_with = "or_default")]
    attributes: Vec<Attribute<'a>>,
    #[serde(default, alias = "start_time_unix_nano")]
    start_time_unix_nano: Int,
    #[serde(default, alias = "time_unix_nano")]
    time_unix_nano: Int,
    #[serde(alias = "as_int")]
    as_int: Option<Int>,
    /// Of a histogram: the sum.
    #[serde(alias = "as_double", alias = "sum")]
    as_double: Option<Double>,
}

impl<'a> PointJson<'a> {
    fn point(self) -> Point<'a> {
        let Self { attributes, start_time_unix_nano, time_unix_nano, as_int, as_double } = self;
        let value = match (as_int, as_double) {
            (Some(Int(number)), _) => Value::Int(number),
            (None, Some(number)) => double(number),
            (None, None) => Value::Empty,
        };
        Point { attributes, start_time_unix_nano, time_unix_nano, value }
    }
}

/// The temporality of a metric's points.
fn is_cumulative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    deserializer.deserialize_any(Scalar).map(|code| {
        match code {
            Value::Int(code) => [(1, false), (2, true)].into_iter().find(|known| known.0 == code),
            Value::Text(name) => {
                [("DELTA", false), ("CUMULATIVE", true), ("1", false), ("2", true)]
                    .into_iter()
                    .find(|known| name.ends_with(known.0))
                    .map(|known| (0, known.1))
            }
            Value::Empty | Value::Bool(_) | Value::Double(_) | Value::List(_) | Value::Map(_) => {
                None
            }
        }
        .map(|known| known.1)
    })
}

/// `null` is as good as nothing.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Whether a span's status is that of an error.
pub(crate) fn is_error_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    deserializer.deserialize_any(Scalar).map(|code| match code {
        Value::Int(code) => code == 2,
        Value::Text(name) => name == "2" || name.ends_with("ERROR"),
        Value::Empty | Value::Bool(_) | Value::Double(_) | Value::List(_) | Value::Map(_) => false,
    })
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(StrVisitor)
    }
}

struct StrVisitor;

impl<'de> Visitor<'de> for StrVisitor {
    type Value = Str<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Str<'de>, E> {
        Ok(Str(String::from_utf8_lossy(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Str<'de>, E> {
        Ok(Str(String::from_utf8_lossy(bytes).into_owned().into()))
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = match deserializer.deserialize_any(Scalar)? {
            Value::Int(number) => Some(number),
            Value::Text(text) => whole(&text),
            Value::Double(number) => whole(&number.to_string()),
            Value::Empty => Some(0),
            Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
        };
        number.map(Self).ok_or_else(|| D::Error::custom("a number was expected"))
    }
}

/// A whole number that a text holds; those past the end of the range stop there.
fn whole(text: &str) -> Option<i64> {
    let number = trueup_core::scaled_decimal(text.trim(), 0)?;
    let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(number.clamp(least, most)).ok()
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Option<Str<'_>> = Option::deserialize(deserializer)?;
        let text = text.map(|text| text.to_ascii_lowercase()).unwrap_or_default();
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        Ok(Self(if is_hex { text } else { String::new() }))
    }
}

/// A value that is no object and no array.
struct Scalar;

impl<'de> Visitor<'de> for Scalar {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a text")
    }

    fn visit_bool<E>(self, is_true: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(is_true))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Double(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(text.to_owned().into()))
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Empty)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, such as {\"stringValue\":\"…\"}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut value = Value::Empty;
        while let Some(Str(name)) = map.next_key()? {
            value = match &*name {
                "stringValue" | "string_value" => Value::Text(map.next_value::<Str<'_>>()?.0),
                "boolValue" | "bool_value" => Value::Bool(map.next_value()?),
                "intValue" | "int_value" => Value::Int(map.next_value::<Int>()?.0),
                "doubleValue" | "double_value" => double(map.next_value::<Double>()?),
                "arrayValue" | "array_value" => Value::List(map.next_value::<List<'_>>()?.values),
                "kvlistValue" | "kvlist_value" => Value::Map(map.next_value::<Map<'_>>()?.values),
                _ => {
                    let IgnoredAny = map.next_value()?;
                    value
                }
            };
        }
        Ok(value)
    }
}

/// A fraction; JSON has texts for what is no number. Read out of its digits: `serde_json` may be wrong in
/// the last of them, and this may be money.
struct Double(Option<f64>);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self(json.trim_matches('"').parse().ok()))
    }
}

fn double<'a>(Double(number): Double) -> Value<'a> {
    number.map_or(Value::Empty, Value::Double)
}

/// `{"values":[…]}`.
#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct List<'a> {
    #[serde(default, deserialize_with = "or_default")]
    values: Vec<Value<'a>>,
}

/// The same of named values.
#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Map<'a> {
    #[serde(default, deserialize_with = "or_default")]
    values: Vec<Attribute<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LogRecord, Span};

    #[test]
    fn numbers_ids_and_enums_are_read_in_every_form() {
        for json in [
            r#"{"traceId":"5B8EFFF798038103D269B633813FC60C","endTimeUnixNano":"7","status":{"code":2}}"#,
            r#"{"trace_id":"5b8efff798038103d269b633813fc60c","end_time_unix_nano":7,
                "status":{"code":"STATUS_CODE_ERROR"},"kind":"SPAN_KIND_CLIENT","unknown":[{}]}"#,
            r#"{"traceId":"5b8efff798038103d269b633813fc60c","endTimeUnixNano":7.0,"attributes":null,
                "status":{"code":"2","message":null}}"#,
        ] {
            let span: Span<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(span.trace_id.0, "5b8efff798038103d269b633813fc60c", "{json}");
            assert_eq!((span.end_time_unix_nano.0, span.status.is_error), (7, true), "{json}");
        }
    }

    #[test]
    fn values_are_read_in_every_form() {
        let json = r#"{"body":{"kvlistValue":{"values":[{"key":"k","value":{"arrayValue":{"values":[
            {"intValue":"-3"},{"intValue":4},{"doubleValue":1.5},{"doubleValue":2},{"boolValue":true},
            {"string_value":"cut \ud83d"},{"bytesValue":"AA=="},{}]}}}]}}}"#;
        let log: LogRecord<'_> = serde_json::from_str(json).unwrap();
        let Value::Map(map) = log.body else { panic!("{:?}", log.body) };
        let Value::List(list) = &map[0].value else { panic!("{map:?}") };
        assert_eq!(
            list[..5],
            [
                Value::Int(-3),
                Value::Int(4),
                Value::Double(1.5),
                Value::Double(2.0),
                Value::Bool(true)
            ]
        );
        assert!(matches!(&list[5], Value::Text(text) if text.starts_with("cut ")));
        assert_eq!(list[6..], [Value::Empty, Value::Empty]);
    }

    #[test]
    fn structures_are_counted_outside_of_texts() {
        assert_eq!(structures(r#"{"a":["{[\"{",{}]}"#), 3);
    }
}
