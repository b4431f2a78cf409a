//! `trueup parity`.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum as _};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use trueup_core::prices::provider_key;
use trueup_core::reconcile::{Class, Options, Reconciliation, Verdict, reconcile};
use trueup_core::report::{CostMode, Pricer, Window};
use trueup_core::{Calendar, DAY_MS, UnixMs};
use trueup_ledger::{LedgerError, Reader, Reconciled};

use super::load::{self, Loaded};
use super::{Nothing, WrongUsage, remote};
use crate::clock;
use crate::config::Config;
use crate::parity::{Gathered, Narrow, Stated, baseline, gather};
use crate::pull::Connections;
use crate::query::{day, window};
use crate::render::parity::{Format, Shown, as_json, write};
use crate::render::terminal::Terminal;
use crate::render::wrap::sentence;

/// Days that are compared where nothing else is said.
const DAYS_DEFAULT: i64 = 35;
/// The exit code where a side could not be read.
const EXIT_UNREADABLE: u8 = 3;

/// What a run is called where a side could not be read: nothing is tidied away because of it.
const UNREADABLE: &str = "unreadable";

/// Show which part of what providers say the account explains, and where the rest is
#[derive(Debug, Args)]
pub(super) struct Parity {
    /// From this day on, in UTC [default: the first day of --csv, or the first known of the last 35]
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Option<Date>,
    /// To the end of this day, in UTC [default: the last day of --csv, or the last known before today]
    #[arg(long, value_name = "DAY", value_parser = day)]
    to: Option<Date>,
    /// Only this provider or connection; may be given again
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
    /// Only this project, by id or name; `*` stands for any text; may be given again
    #[arg(long, value_name = "NAME")]
    project: Vec<String>,
    /// Only this key, by id or name; the account, which knows none, is left out
    #[arg(long, value_name = "NAME")]
    key: Vec<String>,
    /// Only this model, whatever each side calls it; may be given again
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// Compare with this CSV file of a provider, rather than with what was imported; may be given again
    #[arg(long, value_name = "FILE")]
    csv: Vec<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// Fail where one of these classes is found, rather than on any difference over its tolerance
    #[arg(long, value_name = "CLASS", value_delimiter = ',', value_parser = class)]
    fail_on: Vec<Class>,
    /// A file of differences that were looked at and accepted
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Exit with 4 where a day may still change, or is not known
    #[arg(long)]
    require_settled: bool,
    /// Ask a hub, by its address, for the account of its fleet; with the token of `hub_token_file`
    #[arg(long, value_name = "URL", conflicts_with_all = ["csv", "baseline"])]
    hub: Option<String>,
}

fn class(text: &str) -> Result<Class, String> {
    Class::of_name(text).ok_or_else(|| {
        let known: Vec<&str> = Class::ALL.iter().map(|class| class.name()).collect();
        format!("there are {}", known.join(", "))
    })
}

/// A comparison, and what was compared.
struct Compared {
    run: Reconciliation,
    gathered: Gathered,
    options: Options,
    /// The statements that were compared.
    files: Vec<String>,
}

impl Compared {
    /// Whether a side could not be read, which is no difference.
    fn is_unread(&self, unread: &[String]) -> bool {
        !unread.is_empty() && self.run.verdict <= Verdict::Incomplete
    }

    fn exit_code(&self, unread: &[String]) -> u8 {
        if self.is_unread(unread) { EXIT_UNREADABLE } else { self.run.verdict.exit_code() }
    }

    /// With what keeps days from being known.
    fn shown(&self, unread: &[String]) -> Shown<'_> {
        let Self { run, gathered, options, files } = self;
        let notes = gathered.notes.iter().chain(unread).map(|note| sentence(note)).collect();
        let fail_on = options.fail_on.as_ref();
        Shown { run, input: &gathered.input, fail_on, notes, files: files.clone() }
    }
}

impl Parity {
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        if let Some(hub) = &self.hub {
            return remote::print(config, hub, "/v1/parity", self.asked());
        }
        // Before anything else: a file that cannot be read must not look like one without rows.
        let provider = self.provider.first().map(String::as_str);
        let stated = (!self.csv.is_empty()).then(|| Stated::of_files(&self.csv, provider));
        let stated = stated.transpose().map_err(|error| WrongUsage(format!("{error:#}")))?;
        let options = self.options(stated.as_ref().and_then(Stated::span))?;
        if let Some(stated) = &stated {
            stated.must_tell_of(options.from, options.until).map_err(WrongUsage)?;
        }
        let loaded = load::load(config, false);
        let compared = loaded.and_then(|loaded| self.compare(config, &loaded, stated, options));
        let mut compared = match compared {
            // What cannot be read is not missing, and not a difference either.
            Err(error) if !(error.is::<WrongUsage>() || error.is::<Nothing>()) => {
                let _is_told = writeln!(io::stderr(), "trueup: {error:#}").is_ok();
                return Ok(ExitCode::from(EXIT_UNREADABLE));
            }
            compared => compared?,
        };
        let unread = unread(&compared);
        let is_unread = compared.is_unread(&unread);
        // One that is wrong in itself is no comparison.
        let is_sound = compared.run.verdict != Verdict::TieOutBroken;
        if let (true, Err(reason)) = (is_sound, self.record(config, &compared, is_unread)) {
            compared.gathered.notes.insert(reason);
        }
        let (terminal, mut text) = (Terminal::of_stdout(&config.environment), Vec::new());
        write(&compared.shown(&unread), self.format, terminal, &mut text)?;
        super::print(&text)?;
        Ok(ExitCode::from(compared.exit_code(&unread)))
    }

    /// What a hub is asked.
    fn asked(&self) -> remote::Asked {
        let Self { from, to, provider, project, key, model, format, fail_on, .. } = self;
        let mut asked = Vec::new();
        asked.extend(from.map(|day| ("from", day.to_string())));
        asked.extend(to.map(|day| ("to", day.to_string())));
        let texts = [("provider", provider), ("project", project), ("key", key), ("model", model)];
        for (name, texts) in texts {
            asked.extend(texts.iter().map(|text| (name, text.clone())));
        }
        let format = format.to_possible_value();
        asked.extend(format.map(|format| ("format", format.get_name().to_owned())));
        asked.extend(fail_on.iter().map(|class| ("fail_on", class.name().to_owned())));
        asked.push(("require_settled", self.require_settled.to_string()));
        asked
    }

    /// What is printed of the comparison with what was imported and pulled; the exit code. It is not
    /// recorded.
    pub(super) fn print(
        &self,
        config: &Config,
        terminal: Terminal,
        out: &mut Vec<u8>,
    ) -> Result<u8> {
        let compared = self.compared(config)?;
        let unread = unread(&compared);
        write(&compared.shown(&unread), self.format, terminal, out)?;
        Ok(compared.exit_code(&unread))
    }

    /// The comparison with what was imported and pulled, as JSON. It is not recorded.
    pub(super) fn answer(&self, config: &Config) -> Result<Value> {
        let compared = self.compared(config)?;
        Ok(as_json(&compared.shown(&unread(&compared))))
    }

    fn compared(&self, config: &Config) -> Result<Compared> {
        let options = self.options(None)?;
        let loaded = load::load(config, false)?;
        self.compare(config, &loaded, None, options)
    }

    /// What was asked for; `of_files` are the days of files that are to be compared.
    fn options(&self, of_files: Option<(UnixMs, UnixMs)>) -> Result<Options> {
        let calendar = Calendar::new(TimeZone::UTC);
        if let (Some(from), Some(to)) = (self.from, self.to)
            && to < from
        {
            return Err(WrongUsage(format!("--to {to} lies before --from {from}")).into());
        }
        let asked = window(&calendar, self.from, self.to, "--").map_err(WrongUsage)?;
        let now = clock::now();
        let today = now.floor(DAY_MS);
        let last = of_files.map_or(today, |(_, until)| until);
        let until = self.to.map_or(last, |_| asked.until);
        let first = of_files.map_or(UnixMs(until.0 - DAYS_DEFAULT * DAY_MS), |(from, _)| from);
        let from = self.from.map_or(first, |_| asked.from);
        if from >= until {
            return Err(WrongUsage("there is no day to compare before --to".to_owned()).into());
        }
        let accepted = self.baseline.as_deref().map(baseline::read).transpose();
        let accepted = accepted.map_err(|error| WrongUsage(format!("{error:#}")))?;
        let fail_on: BTreeSet<Class> = self.fail_on.iter().copied().collect();
        let Self { provider, project, key, model, .. } = self;
        Ok(Options {
            fail_on: Some(fail_on).filter(|classes| !classes.is_empty()),
            requires_settled: self.require_settled,
            accepted: accepted.unwrap_or_default(),
            today: now.zoned(&TimeZone::UTC).date(),
            asked: format!("{provider:?} {project:?} {key:?} {model:?}"),
            ..Options::new(from, until)
        })
    }

    fn narrow(&self) -> Narrow {
        Narrow {
            providers: self.provider.clone(),
            projects: self.project.clone(),
            keys: self.key.clone(),
            models: self.model.clone(),
        }
    }

    fn compare(
        &self,
        config: &Config,
        loaded: &Loaded,
        stated: Option<Stated>,
        mut options: Options,
    ) -> Result<Compared> {
        let book = load::prices(config)?;
        let pricer = Pricer::new(&book, CostMode::Auto);
        let path = config.ledger();
        let reader =
            Reader::open(&path)?.with_context(|| format!("{} does not exist", path.display()))?;
        let window = Window { from: options.from, until: options.until };
        let stated = stated.map_or_else(|| Stated::of_ledger(&reader, window), Ok)?;
        let narrow = self.narrow();
        let mut gathered = gather(&loaded.usage, &reader, pricer, window, &narrow, &stated)?;
        // Who is no longer asked is not missing. A file that cannot be read says nothing of that.
        if let Ok(connections) = Connections::load(config) {
            gathered.troubles.retain(|trouble| connections.get(&trouble.connection).is_some());
        }
        let (Some(first), Some(last)) = (gathered.days.first(), gathered.days.last()) else {
            return Err(nothing_to_compare(&gathered));
        };
        // Days before the first pull are not a gap, unless they were asked for.
        if self.from.is_none() {
            options.from = options.from.max(*first);
        }
        if self.to.is_none() {
            options.until = options.until.min(UnixMs(last.0 + DAY_MS));
        }
        if let Some(owner) = &loaded.keeper {
            let note = format!("the account is as far as {owner} has written it");
            gathered.notes.insert(note);
        }
        let run = reconcile(&gathered.input, &options);
        Ok(Compared { run, gathered, options, files: stated.files })
    }

    /// Remembers the run, so that what it covers may be tidied away; the reason where that cannot be.
    fn record(&self, config: &Config, compared: &Compared, is_unread: bool) -> Result<(), String> {
        let Compared { run, options, .. } = compared;
        let classes = run.pairs.iter().flat_map(|pair| {
            pair.classes.iter().map(|(class, (cells, ..))| {
                json!({"provider": pair.provider, "left": pair.sides.0.name(),
                    "right": pair.sides.1.name(), "class": class.name(), "cells": cells})
            })
        });
        let row = Reconciled {
            run_id: run.run_id.clone(),
            at: clock::now(),
            from: options.from,
            until: options.until,
            provider: None,
            connection: None,
            is_partial: self.narrow().is_partial(),
            verdict: if is_unread { UNREADABLE } else { run.verdict.name() }.to_owned(),
            inputs: run.inputs,
            summary: json!({"classes": classes.collect::<Vec<_>>()}).to_string(),
        };
        let not = |why: String| format!("this run was not recorded: {why}");
        let mut ledger = load::open(&config.ledger()).map_err(|error| {
            if let LedgerError::Locked { owner, .. } = &error {
                return not(format!("{owner} holds the ledger"));
            }
            not(error.to_string())
        })?;
        for row in self.of_each(config, row) {
            ledger.record_reconciliation(&row).map_err(|error| not(error.to_string()))?;
        }
        Ok(())
    }

    /// The run as a row for each provider or connection that was asked for, or one for all.
    fn of_each(&self, config: &Config, row: Reconciled) -> Vec<Reconciled> {
        if self.provider.is_empty() {
            return vec![row];
        }
        let connections = Reader::open(&config.ledger()).ok().flatten();
        let connections = connections.and_then(|reader| reader.connections().ok());
        let connections = connections.unwrap_or_default();
        let of_name = |name: &String| {
            // A connection is called like its provider, unless it was given a name.
            let own = connections.iter().find(|one| one.name == *name && one.provider != *name);
            Reconciled {
                provider: own.is_none().then(|| provider_key(name)),
                connection: own.map(|one| one.name.clone()),
                ..row.clone()
            }
        };
        self.provider.iter().map(of_name).collect()
    }
}

/// What keeps days from being known; nothing where all that was asked for is.
fn unread(compared: &Compared) -> Vec<String> {
    let is_uncovered =
        compared.run.findings.iter().any(|finding| finding.class == Class::Uncovered)
            || compared.run.pairs.iter().any(|pair| pair.days_covered < pair.days);
    if !is_uncovered {
        return Vec::new();
    }
    compared.gathered.troubles.iter().map(ToString::to_string).collect()
}

/// No side but the account tells of anything: why, and what to do.
fn nothing_to_compare(gathered: &Gathered) -> anyhow::Error {
    match gathered.troubles.first() {
        Some(trouble) => anyhow::anyhow!("no provider tells of these days: {trouble}"),
        None => Nothing(
            "there is nothing to compare with: no provider was pulled for these days, and no \
             statement tells of them (`trueup provider add`, then `trueup pull`)"
                .to_owned(),
        )
        .into(),
    }
}
