//! The tools: questions, and how much of an answer is told at once.

use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::question::Question;

/// Rows of an answer where nothing else is asked for, and at most.
const ROWS: usize = 50;
const ROWS_MAX: usize = 500;
/// Bytes of the rows of an answer: they go into what a model can remember.
const ROWS_BYTES_MAX: usize = 128 << 10;

/// What `tools/list` says of a question.
pub(super) fn description(question: &Question) -> Value {
    let mut properties = question.properties();
    let limit = format!("How many of `{}` to tell at most [default: {ROWS}]", question.list);
    let offset = format!(
        "How many of `{}` to pass over first: `next_offset` of the last answer",
        question.list
    );
    properties.insert(
        "limit".to_owned(),
        json!({"type": "integer", "minimum": 1, "maximum": ROWS_MAX, "description": limit}),
    );
    properties.insert(
        "offset".to_owned(),
        json!({"type": "integer", "minimum": 0, "description": offset}),
    );
    json!({
        "name": question.name,
        "title": question.title,
        "description": question.about,
        "inputSchema": {
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        },
        "annotations": {
            "title": question.title,
            "readOnlyHint": true,
            "destructiveHint": false,
            "idempotentHint": true,
            "openWorldHint": false,
        },
    })
}

/// What it tells, or a refusal that says what is wrong with the arguments.
pub(super) fn answer(question: &Question, arguments: &Value, config: &Config) -> Result<Value> {
    let Value::Object(arguments) = arguments else {
        bail!("the arguments must be an object, and are {arguments}");
    };
    let mut arguments = arguments.clone();
    let part = Part::taken_from(&mut arguments)?;
    let asked = question.read(&arguments, &["limit", "offset"]).map_err(anyhow::Error::msg)?;
    let mut answer = question.answer(&asked, config)?;
    part.cut(question.list, &mut answer);
    Ok(answer)
}

/// Which part of a list is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    limit: usize,
    offset: usize,
}

impl Part {
    fn taken_from(arguments: &mut Map<String, Value>) -> Result<Self> {
        let mut take = |name: &str, default: usize, least: usize, most: usize| {
            let Some(given) = arguments.remove(name).filter(|given| !given.is_null()) else {
                return Ok(default);
            };
            let count = given.as_u64().and_then(|count| usize::try_from(count).ok());
            count.filter(|count| (least..=most).contains(count)).ok_or_else(|| {
                anyhow!("`{name}` must be a whole number from {least} to {most}, and is {given}")
            })
        };
        let limit = take("limit", ROWS, 1, ROWS_MAX)?;
        let offset = take("offset", 0, 0, usize::MAX)?;
        Ok(Self { limit, offset })
    }

    /// Leaves what is not told out of a list, and says how much there is and where it goes on. Totals
    /// are of all.
    fn cut(self, list: &str, answer: &mut Value) {
        let Some(rows) = answer.get_mut(list).and_then(Value::as_array_mut) else { return };
        let total = rows.len();
        rows.drain(..self.offset.min(total));
        let mut bytes = 0;
        let fitting = rows.iter().take(self.limit).take_while(|row| {
            bytes += row.to_string().len();
            bytes <= ROWS_BYTES_MAX
        });
        // A row that is larger than all the room is told alone: without it nobody could go on.
        let told = fitting.count().max(1).min(rows.len());
        rows.truncate(told);
        let next = self.offset.saturating_add(told);
        answer[format!("{list}_total")] = json!(total);
        answer["next_offset"] = if next < total { json!(next) } else { Value::Null };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(part: Part, rows: usize) -> Value {
        let mut answer = json!({"rows": (0..rows).collect::<Vec<_>>(), "totals": 1});
        part.cut("rows", &mut answer);
        answer
    }

    #[test]
    fn parts_of_a_list_are_the_list() {
        for (rows, limit) in [(0, 1), (1, 1), (5, 2), (6, 2), (7, 50)] {
            let (mut told, mut offset) = (Vec::new(), 0);
            loop {
                let answer = cut(Part { limit, offset }, rows);
                assert_eq!(answer["rows_total"], rows);
                assert_eq!(answer["totals"], 1);
                told.extend(answer["rows"].as_array().unwrap().clone());
                let Some(next) = answer["next_offset"].as_u64() else { break };
                offset = usize::try_from(next).unwrap();
            }
            assert_eq!(told, (0..rows).map(|row| json!(row)).collect::<Vec<_>>());
        }
        assert_eq!(cut(Part { limit: 1, offset: 9 }, 3)["rows"], json!([]));
        assert_eq!(cut(Part { limit: 1, offset: usize::MAX }, 3)["next_offset"], Value::Null);
    }

    #[test]
    fn rows_that_are_large_come_fewer_at_once_and_each_comes() {
        let row = "x".repeat(ROWS_BYTES_MAX / 2 - 10);
        let huge = "y".repeat(ROWS_BYTES_MAX * 2);
        let mut answer = json!({"rows": [row, row, row]});
        Part { limit: 50, offset: 0 }.cut("rows", &mut answer);
        assert_eq!(
            (answer["rows"].as_array().unwrap().len(), &answer["next_offset"]),
            (2, &json!(2))
        );
        let mut answer = json!({"rows": [huge, huge]});
        Part { limit: 50, offset: 0 }.cut("rows", &mut answer);
        assert_eq!(
            (answer["rows"].as_array().unwrap().len(), &answer["next_offset"]),
            (1, &json!(1))
        );
    }
}
