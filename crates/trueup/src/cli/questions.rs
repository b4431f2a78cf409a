//! What programs may ask, over MCP and HTTP: verbs, with those of their options that make sense there.

use anyhow::{Result, anyhow};
use clap::{ArgMatches, Args, Command};

use super::budget::ShowBudget;
use super::config::{self, ShowConfig};
use super::cost::Cost;
use super::doctor::Doctor;
use super::parity::Parity;
use super::report::ShowReport;
use super::sessions::Sessions;
use crate::question::{Printed, Question};

pub(crate) const QUESTIONS: &[Question] = &[
    Question {
        name: "query_usage",
        line: "trueup report",
        title: "Usage of AI agents",
        about: "Calls, tokens and cost of AI agents on this machine, by time, agent, model, project, \
            session or kind of session, with totals: what `trueup report --json` prints. The cost is \
            what the agents' calls come to at list prices; `query_cost` knows what was billed.",
        command: command::<ShowReport>,
        parameters: &[
            "by",
            "since",
            "until",
            "tz",
            "source",
            "project",
            "model",
            "provider",
            "kind",
            "tier",
            "breakdown",
            "cost",
        ],
        is_tool: true,
        list: "rows",
        answer: |given, config| read::<ShowReport>(given)?.answer(config),
        printed: None,
    },
    Question {
        name: "query_cost",
        line: "trueup export focus",
        title: "Cost of AI agents, billed and estimated",
        about: "What usage cost by UTC day or month, provider, model, project or key: as the provider \
            billed it where that is known (pulled or imported), else as the account estimates it. \
            `basis` says which: billed, estimate, or unpriced. The figures of `trueup export focus`.",
        command: command::<Cost>,
        parameters: &["by", "from", "to", "provider", "cost"],
        is_tool: true,
        list: "rows",
        answer: |given, config| read::<Cost>(given)?.answer(config),
        printed: None,
    },
    Question {
        name: "list_sessions",
        line: "trueup sessions",
        title: "Sessions of AI agents",
        about: "The latest sessions, the last of them last, each with its agent, project, times, calls, \
            tokens, cost and models: what `trueup sessions --json` prints.",
        command: command::<Sessions>,
        parameters: &[
            "since", "until", "tz", "source", "project", "model", "provider", "kind", "tier",
            "last",
        ],
        is_tool: true,
        list: "rows",
        answer: |given, config| read::<Sessions>(given)?.answer(config),
        printed: Some(Printed {
            options: &["device", "json"],
            print: |given, config, terminal, out| {
                read::<Sessions>(given)?.print(config, terminal, out)
            },
        }),
    },
    Question {
        name: "query_completeness",
        line: "trueup report --completeness",
        title: "How much of the account was measured",
        about: "By day, week or month and agent: calls that were measured, runs that are only \
            estimated, and records that could not be read: what `trueup report --completeness --json` \
            prints.",
        command: command::<ShowReport>,
        parameters: &["by", "since", "until", "tz", "source"],
        is_tool: true,
        list: "rows",
        answer: |given, config| read::<ShowReport>(given)?.completeness_answer(config),
        printed: Some(Printed {
            options: &["device", "json"],
            print: |given, config, terminal, out| {
                read::<ShowReport>(given)?.print_completeness(config, terminal, out)
            },
        }),
    },
    Question {
        name: "find_gaps",
        line: "trueup doctor",
        title: "What the account lacks, and what mends it",
        about: "Checks that look for what the account lacks, each with its findings and the command \
            that mends it: what `trueup doctor --json` prints.",
        command: command::<Doctor>,
        parameters: &["source"],
        is_tool: true,
        list: "checks",
        answer: |given, config| read::<Doctor>(given)?.answer(config),
        printed: None,
    },
    Question {
        name: "check_parity",
        line: "trueup parity",
        title: "The account against the bill",
        about: "Compares the account with what providers say, day by day: what is matched, what \
            differs and why, and whether the days are settled: what `trueup parity --format json` \
            prints. Needs what was pulled or imported of a provider.",
        command: command::<Parity>,
        parameters: &["from", "to", "provider", "project", "key", "model"],
        is_tool: true,
        list: "findings",
        answer: |given, config| read::<Parity>(given)?.answer(config),
        printed: Some(Printed {
            options: &["format", "fail_on", "require_settled"],
            print: |given, config, terminal, out| {
                read::<Parity>(given)?.print(config, terminal, out)
            },
        }),
    },
    Question {
        name: "list_budgets",
        line: "trueup budget",
        title: "Budgets",
        about: "What of each budget is spent and left, how long it lasts, and what is to be expected: \
            what `trueup budget --json` prints.",
        command: command::<ShowBudget>,
        parameters: &[],
        is_tool: true,
        list: "budgets",
        answer: |given, config| read::<ShowBudget>(given)?.answer(config),
        printed: None,
    },
    Question {
        name: "show_config",
        line: "trueup config",
        title: "Settings",
        about: "Every setting, its value and where it comes from; secrets are not shown: what \
            `trueup config --json` prints.",
        command: command::<ShowConfig>,
        parameters: &[],
        is_tool: false,
        list: "settings",
        answer: |_, config| Ok(config::as_json(config)),
        printed: None,
    },
];

fn command<T: Args>() -> Command {
    T::augment_args(Command::new("question"))
}

fn read<T: Args>(given: &ArgMatches) -> Result<T> {
    T::from_arg_matches(given).map_err(|error| anyhow!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_a_question_is_an_option_of_its_verb() {
        for question in QUESTIONS {
            let properties = question.properties();
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            let mut expected = question.parameters.to_vec();
            expected.sort_unstable();
            assert_eq!(names, expected, "{}", question.name);
            assert!(
                properties.values().all(|property| property["description"] != ""),
                "{}",
                question.name
            );
        }
    }
}
