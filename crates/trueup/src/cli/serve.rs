//! `trueup serve`.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::questions::QUESTIONS;
use super::{Global, load};
use crate::config::{SETTINGS, Setting};

/// Settings that are no flags of `serve`, and why.
const NO_FLAGS: [(&str, &str); 18] = [
    ("ledger", "an option of every verb"),
    ("openclaw_dir", "an option of every verb"),
    ("tz", "a setting of reports: the page counts in UTC"),
    ("token", "a command line can be read by everybody on the machine"),
    ("push_token", "a command line can be read by everybody on the machine"),
    ("cron_secret", "a command line can be read by everybody on the machine"),
    ("alert_webhook", "its path or query is often a secret"),
    ("alert_webhook_token", "a command line can be read by everybody on the machine"),
    ("hub_store", "a flag of hub"),
    ("hub_bind", "a flag of hub"),
    ("hub_port", "a flag of hub"),
    ("hub_push_interval", "a flag of hub"),
    ("hub_heartbeat", "a flag of hub"),
    ("hub_bills", "of hub"),
    ("hub_retention_days", "of hub"),
    ("hub_max_ledger_bytes", "of hub"),
    ("hub_token", "a command line can be read by everybody on the machine"),
    ("hub_token_file", "of who asks a hub"),
];

/// Flags, one for each setting that has one: a new setting is a new flag.
#[derive(Debug)]
pub(super) struct Serve {
    flags: Vec<(&'static str, Option<OsString>)>,
}

impl Serve {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let config = global.settings(&self.flags)?;
        crate::daemon::serve(&config, load::prices(&config)?, QUESTIONS)
    }
}

fn with_flags() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| NO_FLAGS.iter().all(|(key, _)| *key != setting.key))
}

fn flag(setting: &'static Setting) -> Arg {
    let default = match setting.default {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    Arg::new(setting.key)
        .long(setting.key.replace('_', "-"))
        .value_name("VALUE")
        .help(format!("{}{default}", setting.help))
        .value_parser(clap::value_parser!(OsString))
}

impl Args for Serve {
    fn augment_args(command: Command) -> Command {
        command.args(with_flags().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Serve {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let value = |setting: &Setting| matches.get_one::<OsString>(setting.key).cloned();
        Ok(Self { flags: with_flags().map(|setting| (setting.key, value(setting))).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_a_flag_or_says_why_not() {
        let flags = with_flags().count();
        assert_eq!(flags + NO_FLAGS.len(), SETTINGS.len());
        let secrets: Vec<&str> =
            with_flags().filter(|setting| setting.is_secret).map(|setting| setting.key).collect();
        assert!(secrets.is_empty(), "a command line can be read by everybody: {secrets:?}");
        let command = Serve::augment_args(Command::new("serve"));
        let given = ["serve", "--port", "0", "--max-text-bytes", "7"];
        let serve = Serve::from_arg_matches(&command.get_matches_from(given)).unwrap();
        assert!(serve.flags.contains(&("port", Some("0".into()))));
        assert!(serve.flags.contains(&("max_text_bytes", Some("7".into()))));
        assert!(serve.flags.contains(&("bind", None)));
    }
}
