//! One record as JSON.
//!
//! ```json
//! {"type":"custom_event","seq":17,"id":"01a1…","data":{"trace_id":"…","name":"deploy","metadata":null}}
//! ```

use std::io::Write as _;

use trueup_ledger::{Outgoing, Value};

/// Texts that may be cut where a record is too large to be sent, the longest ones first in practice.
const TEXTS: [&str; 4] = ["input_text", "output_text", "message", "stack_trace"];

/// Writes a record behind what is in `out`. With `text_bytes_max`, its texts are cut to that many
/// bytes each, metadata that is longer is left out, and the record says so.
pub(super) fn write(
    out: &mut Vec<u8>,
    record: &Outgoing<'_>,
    text_bytes_max: Option<usize>,
) -> std::io::Result<()> {
    let Outgoing { seq, id, kind, fields } = record;
    write!(out, r#"{{"type":"{kind}","seq":{seq},"id":"{id}""#)?;
    if text_bytes_max.is_some() {
        out.write_all(br#","is_cut":true"#)?;
    }
    out.write_all(br#","data":{"#)?;
    for (at, (name, value)) in fields.iter().enumerate() {
        write!(out, r#"{}"{name}":"#, if at == 0 { "" } else { "," })?;
        match (text_bytes_max, value) {
            (Some(_), Value::Integer(_)) if *name == "is_text_cut" => out.write_all(b"true")?,
            (None, Value::Integer(flag)) if *name == "is_text_cut" => {
                write!(out, "{}", *flag != 0)?;
            }
            (Some(max), Value::Text(text)) if TEXTS.contains(name) => {
                serde_json::to_writer(&mut *out, cut(text, max))?;
            }
            (Some(max), Value::Text(text)) if text.len() > max && *name == "metadata" => {
                out.write_all(b"null")?;
            }
            (_, Value::Null) => out.write_all(b"null")?,
            (_, Value::Integer(number)) => write!(out, "{number}")?,
            (_, Value::Real(number)) => serde_json::to_writer(&mut *out, number)?,
            (_, Value::Text(text)) => serde_json::to_writer(&mut *out, text)?,
        }
    }
    out.write_all(b"}}")
}

/// The first bytes of a text, without splitting a character.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::FactId;

    fn json(fields: Vec<(&str, Value<'_>)>, max: Option<usize>) -> serde_json::Value {
        let mut out = Vec::new();
        let record = Outgoing { seq: 7, id: FactId([1; 16]), kind: "llm_trace", fields };
        write(&mut out, &record, max).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn every_kind_of_value_is_itself() {
        let record = json(
            vec![
                ("model", Value::Text("a\"\n\u{1}é")),
                ("cost_usd", Value::Real(0.0123)),
                ("output_tokens", Value::Integer(i64::MAX)),
                ("error_type", Value::Null),
                ("is_text_cut", Value::Integer(0)),
            ],
            None,
        );
        assert_eq!(
            record,
            serde_json::json!({"type": "llm_trace", "seq": 7,
                "id": "01010101-0101-0101-0101-010101010101",
                "data": {"model": "a\"\n\u{1}é", "cost_usd": 0.0123, "output_tokens": i64::MAX,
                    "error_type": null, "is_text_cut": false}})
        );
    }

    #[test]
    fn cut_texts_are_flagged_and_no_character_is_split() {
        let fields = vec![
            ("input_text", Value::Text("aé€")),
            ("model", Value::Text("a long name stays")),
            ("metadata", Value::Text(r#"{"long":true}"#)),
            ("is_text_cut", Value::Integer(0)),
        ];
        let record = json(fields, Some(4));
        assert_eq!(record["is_cut"], true);
        let data = &record["data"];
        assert_eq!((&data["input_text"], &data["is_text_cut"]), (&"aé".into(), &true.into()));
        assert_eq!(data["model"], "a long name stays");
        assert!(data["metadata"].is_null());
    }
}
