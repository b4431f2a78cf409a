//! What programs may ask, whatever they ask by: a question is a verb that answers in JSON, with those
//! of its options that make sense for programs as its parameters.
//!
//! MCP and the HTTP interface tell what the verb prints with `--json`, to the byte; the command that
//! would print it can be told beside it.

mod parameters;

use anyhow::Result;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value};

use crate::config::Config;
use crate::render::terminal::Terminal;
pub(crate) use parameters::refusal;

/// A question.
pub(crate) struct Question {
    /// Its name as a tool.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    /// Whether agents may ask it, too.
    pub(crate) is_tool: bool,
    /// The command that prints the answer, but for its options.
    pub(crate) line: &'static str,
    /// The verb whose options are the parameters.
    pub(crate) command: fn() -> Command,
    /// Those that are, by their names with underscores.
    pub(crate) parameters: &'static [&'static str],
    /// The list in its answer that may be long.
    pub(crate) list: &'static str,
    pub(crate) answer: fn(&ArgMatches, &Config) -> Result<Value>,
    /// What the verb itself prints, where another machine may ask for that.
    pub(crate) printed: Option<Printed>,
}

/// What a verb prints, for the same command on another machine.
pub(crate) struct Printed {
    /// Options that it takes beside the parameters.
    pub(crate) options: &'static [&'static str],
    /// Writes it; the exit code that the verb has.
    pub(crate) print: fn(&ArgMatches, &Config, Terminal, &mut Vec<u8>) -> Result<u8>,
}

/// The header that says with which exit code a verb ends that prints what is answered.
pub(crate) const EXIT_CODE: &str = "trueup-exit-code";

/// A question with its parameters, which are sound.
pub(crate) struct Asked {
    given: ArgMatches,
    line: Vec<String>,
}

impl Question {
    /// The properties of a JSON schema (2020-12) that the parameters are.
    pub(crate) fn properties(&self) -> Map<String, Value> {
        parameters::properties(&(self.command)(), self.parameters)
    }

    /// Reads arguments. A refusal names the one that is wrong; `further` are those that the asker
    /// takes itself.
    pub(crate) fn read(
        &self,
        arguments: &Map<String, Value>,
        further: &[&str],
    ) -> Result<Asked, String> {
        let command = (self.command)();
        let line = parameters::line(&command, self.parameters, further, arguments)?;
        Ok(Asked { given: parameters::matches(command, &line)?, line })
    }

    /// Reads the parameters of a URL.
    pub(crate) fn read_query(&self, query: &[(String, String)]) -> Result<Asked, String> {
        let arguments = parameters::arguments(&(self.command)(), self.parameters, query)?;
        self.read(&arguments, &[])
    }

    /// Reads the parameters of a URL for what the verb prints.
    pub(crate) fn read_printed(
        &self,
        printed: &Printed,
        query: &[(String, String)],
    ) -> Result<ArgMatches, String> {
        let (command, names) = ((self.command)(), [self.parameters, printed.options].concat());
        let arguments = parameters::arguments(&command, &names, query)?;
        let line = parameters::line(&command, &names, &[], &arguments)?;
        parameters::matches(command, &line)
    }

    /// The answer, read with these settings.
    pub(crate) fn answer(&self, asked: &Asked, config: &Config) -> Result<Value> {
        (self.answer)(&asked.given, config)
    }

    /// The command that prints it.
    pub(crate) fn command_line(&self, asked: &Asked) -> String {
        let words = asked.line.iter().map(|word| quoted(word));
        [self.line.to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=.,:/@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_each_word_as_it_is() {
        for (word, shown) in [
            ("--by=day,model", "--by=day,model"),
            ("--model=claude-*", "'--model=claude-*'"),
            ("--project=/a b", "'--project=/a b'"),
            ("--project=it's", r"'--project=it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
