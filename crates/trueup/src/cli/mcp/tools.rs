//! The tools: which verb each is, which of its options it takes, and how much it tells at once.

use anyhow::{Result, anyhow, bail};
use clap::{Args, Command};
use serde_json::{Map, Value, json};

use super::cost::Cost;
use super::parameters;
use crate::cli::budget::ShowBudget;
use crate::cli::doctor::Doctor;
use crate::cli::parity::Parity;
use crate::cli::report::ShowReport;
use crate::cli::sessions::Sessions;
use crate::config::Config;

/// Rows of an answer where nothing else is asked for, and at most.
const ROWS: usize = 50;
const ROWS_MAX: usize = 500;
/// Bytes of the rows of an answer: they go into what a model can remember.
const ROWS_BYTES_MAX: usize = 128 << 10;

/// A tool.
pub(super) struct Tool {
    pub(super) name: &'static str,
    title: &'static str,
    about: &'static str,
    /// The verb whose options are its parameters.
    verb: fn() -> Command,
    parameters: &'static [&'static str],
    /// The list in its answer that is told in parts.
    list: &'static str,
    answer: fn(&clap::ArgMatches, &Config) -> Result<Value>,
}

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "query_usage",
        title: "Usage of AI agents",
        about: "Calls, tokens and cost of AI agents on this machine, by time, agent, model, project, \
            session or kind of session, with totals: what `trueup report --json` prints. The cost is \
            what the agents' calls come to at list prices; `query_cost` knows what was billed.",
        verb: verb::<ShowReport>,
        parameters: &[
            "by",
            "since",
            "until",
            "tz",
            "source",
            "project",
            "model",
            "breakdown",
            "cost",
        ],
        list: "rows",
        answer: |given, config| read::<ShowReport>(given)?.answer(config),
    },
    Tool {
        name: "query_cost",
        title: "Cost of AI agents, billed and estimated",
        about: "What usage cost by UTC day or month, provider, model, project or key: as the provider \
            billed it where that is known (pulled or imported), else as the account estimates it. \
            `basis` says which: billed, estimate, or unpriced. The figures of `trueup export focus`.",
        verb: verb::<Cost>,
        parameters: &["by", "from", "to", "provider", "cost"],
        list: "rows",
        answer: |given, config| read::<Cost>(given)?.answer(config),
    },
    Tool {
        name: "list_sessions",
        title: "Sessions of AI agents",
        about: "The latest sessions, the last of them last, each with its agent, project, times, calls, \
            tokens, cost and models: what `trueup sessions --json` prints.",
        verb: verb::<Sessions>,
        parameters: &["since", "until", "tz", "source", "project", "model", "last"],
        list: "rows",
        answer: |given, config| read::<Sessions>(given)?.answer(config),
    },
    Tool {
        name: "query_completeness",
        title: "How much of the account was measured",
        about: "By day, week or month and agent: calls that were measured, runs that are only \
            estimated, and records that could not be read: what `trueup report --completeness --json` \
            prints.",
        verb: verb::<ShowReport>,
        parameters: &["by", "since", "until", "tz", "source"],
        list: "rows",
        answer: |given, config| read::<ShowReport>(given)?.completeness_answer(config),
    },
    Tool {
        name: "find_gaps",
        title: "What the account lacks, and what mends it",
        about: "Checks that look for what the account lacks, each with its findings and the command \
            that mends it: what `trueup doctor --json` prints.",
        verb: verb::<Doctor>,
        parameters: &["source"],
        list: "checks",
        answer: |given, config| read::<Doctor>(given)?.answer(config),
    },
    Tool {
        name: "check_parity",
        title: "The account against the bill",
        about: "Compares the account with what providers say, day by day: what is matched, what \
            differs and why, and whether the days are settled: what `trueup parity --format json` \
            prints. Needs what was pulled or imported of a provider.",
        verb: verb::<Parity>,
        parameters: &["from", "to", "provider", "project", "key", "model"],
        list: "findings",
        answer: |given, config| read::<Parity>(given)?.answer(config),
    },
    Tool {
        name: "list_budgets",
        title: "Budgets",
        about: "What of each budget is spent and left, how long it lasts, and what is to be expected: \
            what `trueup budget --json` prints.",
        verb: verb::<ShowBudget>,
        parameters: &[],
        list: "budgets",
        answer: |given, config| read::<ShowBudget>(given)?.answer(config),
    },
];

fn verb<T: Args>() -> Command {
    T::augment_args(Command::new("tool"))
}

fn read<T: Args>(given: &clap::ArgMatches) -> Result<T> {
    T::from_arg_matches(given).map_err(|error| anyhow!("{error}"))
}

impl Tool {
    /// What `tools/list` says of it.
    pub(super) fn description(&self) -> Value {
        let mut properties = parameters::properties(&(self.verb)(), self.parameters);
        let limit = format!("How many of `{}` to tell at most [default: {ROWS}]", self.list);
        let offset = format!(
            "How many of `{}` to pass over first: `next_offset` of the last answer",
            self.list
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
            "name": self.name,
            "title": self.title,
            "description": self.about,
            "inputSchema": {
                "type": "object",
                "properties": properties,
                "additionalProperties": false,
            },
            "annotations": {
                "title": self.title,
                "readOnlyHint": true,
                "destructiveHint": false,
                "idempotentHint": true,
                "openWorldHint": false,
            },
        })
    }

    /// What it tells, or a refusal that says what is wrong with the arguments.
    pub(super) fn answer(&self, arguments: &Value, config: &Config) -> Result<Value> {
        let Value::Object(arguments) = arguments else {
            bail!("the arguments must be an object, and are {arguments}");
        };
        let mut arguments = arguments.clone();
        let part = Part::taken_from(&mut arguments)?;
        let given = parameters::matches((self.verb)(), self.parameters, &arguments)?;
        let mut answer = (self.answer)(&given, config)?;
        part.cut(self.list, &mut answer);
        Ok(answer)
    }
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

    #[test]
    fn every_parameter_of_a_tool_is_an_option_of_its_verb() {
        for tool in TOOLS {
            let properties = parameters::properties(&(tool.verb)(), tool.parameters);
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            let mut expected = tool.parameters.to_vec();
            expected.sort_unstable();
            assert_eq!(names, expected, "{}", tool.name);
            assert!(
                properties.values().all(|property| property["description"] != ""),
                "{}",
                tool.name
            );
        }
    }
}
