//! `trueup report`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use jiff::civil::Date;
use serde_json::Value;
use trueup_core::Calendar;
use trueup_core::prices::PriceBook;
use trueup_core::report::{Dimension, Filter, Pricer, Sums};

use super::load::{self, Loaded};
use super::{WrongUsage, completeness, notes, page, remote};
use crate::config::Config;
use crate::query::over_time::Question;
use crate::query::{self, By, Cost, build, day};
use crate::render::form::{Form, Written};
use crate::render::html;
use crate::render::terminal::Terminal;
use crate::usage::Usage;

/// Which JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum JsonShape {
    /// trueup's own, documented in docs/report-json.md
    Trueup,
    /// That of ccusage 20
    Ccusage,
}

/// Options that choose what is looked at; shared by several verbs.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Selection {
    /// The first day, such as 2026-11-01
    #[arg(long, value_name = "DAY", value_parser = day)]
    since: Option<Date>,
    /// The last day, included
    #[arg(long, value_name = "DAY", value_parser = day)]
    until: Option<Date>,
    /// The time zone of days, an IANA name [default: the machine's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Only this agent, by its id in `trueup sources`; may be repeated
    #[arg(long, value_name = "AGENT")]
    pub(super) source: Vec<String>,
    /// Only this project: a path, its end, or a pattern with *; may be repeated
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Vec<String>,
    /// Only this model: a name, or a pattern with *; may be repeated
    #[arg(long, value_name = "MODEL")]
    pub(super) model: Vec<String>,
    /// Only this provider: a name, or a pattern with *; may be repeated
    #[arg(long, value_name = "PROVIDER")]
    pub(super) provider: Vec<String>,
    /// Only this kind of session, such as main or cron; may be repeated
    #[arg(long, value_name = "KIND")]
    pub(super) kind: Vec<String>,
    /// Only this tier of service, such as standard or batch; may be repeated
    #[arg(long, value_name = "TIER")]
    pub(super) tier: Vec<String>,
    /// Only this device, in the account of a hub
    #[arg(long, value_name = "DEVICE")]
    pub(super) device: Option<String>,
    /// Keep everything in memory: read all stores, write nothing
    #[arg(long)]
    pub(super) no_ledger: bool,
}

/// Show what agents used
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct ShowReport {
    /// What the rows are about; several with commas, such as day,agent
    #[arg(value_name = "BY", value_delimiter = ',', conflicts_with = "by_option")]
    by: Vec<By>,
    /// What the rows are about, as an option
    #[arg(
        long = "by",
        value_name = "BY",
        value_delimiter = ',',
        id = "by_option",
        hide_possible_values = true
    )]
    by_option: Vec<By>,
    #[command(flatten)]
    selection: Selection,
    /// Print JSON; `--json=ccusage` in the shape of ccusage
    #[arg(long, value_name = "SHAPE", num_args = 0..=1, require_equals = true, default_missing_value = "trueup")]
    json: Option<JsonShape>,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print a page for browsers, with a chart and tables by model, project, agent and time; it needs
    /// no network
    #[arg(long, conflicts_with_all = ["by", "by_option", "json", "csv", "breakdown", "compact", "completeness"])]
    html: bool,
    /// Show each row by model as well
    #[arg(long)]
    breakdown: bool,
    /// Which cost to show
    #[arg(long, value_enum, default_value_t)]
    cost: Cost,
    /// Accepted for those who come from other tools: prices are always the built-in ones
    #[arg(long)]
    offline: bool,
    /// Show only tokens and cost
    #[arg(long)]
    compact: bool,
    /// Show by day, week or month what was measured, what only stands in for it, and what could not be
    /// read
    #[arg(long, conflicts_with_all = ["csv", "breakdown", "compact", "strict"])]
    completeness: bool,
    /// Exit with 3 where a store could not be read or a price is not known
    #[arg(long)]
    strict: bool,
    /// Ask a hub, by its address, for the account of its fleet; with the token of `hub_token_file`
    #[arg(long, value_name = "URL", conflicts_with_all = ["html", "strict", "no_ledger"])]
    hub: Option<String>,
}

/// What was chosen, and where it is.
pub(super) struct Chosen {
    pub(super) calendar: Calendar,
    pub(super) filter: Filter,
    pub(super) book: PriceBook,
    pub(super) loaded: Loaded,
}

impl Selection {
    /// Reads what is new, and looks whether there is what was asked for.
    pub(super) fn choose(&self, config: &Config) -> Result<Chosen> {
        let calendar = self.calendar(config)?;
        let filter = self.filter(&calendar)?;
        let book = load::prices(config)?;
        let loaded = load::load(config, self.no_ledger)?;
        if let Some(device) = &self.device {
            loaded.usage.only(device)?;
        }
        self.check_sources(&loaded.usage)?;
        Ok(Chosen { calendar, filter, book, loaded })
    }

    /// The calendar of the zone that is asked for.
    pub(super) fn calendar(&self, config: &Config) -> Result<Calendar> {
        calendar(self.tz.as_deref(), config)
    }

    /// What passes.
    pub(super) fn filter(&self, calendar: &Calendar) -> Result<Filter> {
        Ok(Filter {
            window: query::window(calendar, self.since, self.until, "--").map_err(WrongUsage)?,
            sources: self.source.clone(),
            projects: self.project.clone(),
            models: self.model.clone(),
            providers: self.provider.clone(),
            kinds: self.kind.clone(),
            tiers: self.tier.clone(),
            device: self.device.clone(),
        })
    }

    /// Refuses agents that neither trueup reads nor the account knows: a typing error must not look
    /// like no usage.
    pub(super) fn check_sources(&self, usage: &Usage) -> Result<()> {
        match query::unknown_source(&self.source, usage)? {
            Some(refusal) => bail!(WrongUsage(refusal)),
            None => Ok(()),
        }
    }

    /// The same as what a hub is asked. Days are those of whoever asks.
    pub(super) fn asked(&self, config: &Config) -> Result<remote::Asked> {
        let mut asked = vec![("tz", self.calendar(config)?.zone_name())];
        let Self { since, until, source, project, model, provider, kind, tier, device, .. } = self;
        asked.extend(since.map(|day| ("since", day.to_string())));
        asked.extend(until.map(|day| ("until", day.to_string())));
        let texts = [
            ("source", source),
            ("project", project),
            ("model", model),
            ("provider", provider),
            ("kind", kind),
            ("tier", tier),
        ];
        for (name, texts) in texts {
            asked.extend(texts.iter().map(|text| (name, text.clone())));
        }
        asked.extend(device.iter().map(|device| ("device", device.clone())));
        Ok(asked)
    }

    /// Whether only a part is asked for.
    pub(super) fn is_narrow(&self) -> bool {
        self.since.is_some()
            || self.until.is_some()
            || self.device.is_some()
            || [&self.source, &self.project, &self.model, &self.provider, &self.kind, &self.tier]
                .iter()
                .any(|asked| !asked.is_empty())
    }
}

/// The calendar of a zone; where none is named, of that of the settings.
pub(super) fn calendar(tz: Option<&str>, config: &Config) -> Result<Calendar> {
    let zone = match tz {
        Some(name) => {
            crate::config::zone_named(name).map_err(|error| WrongUsage(error.to_string()))?
        }
        None => config.zone()?,
    };
    Ok(Calendar::new(zone))
}

impl ShowReport {
    pub(super) fn run(self, config: &Config) -> Result<ExitCode> {
        let dimensions = self.dimensions()?;
        if let Some(hub) = &self.hub {
            return self.of_hub(hub, config);
        }
        if self.completeness {
            let is_json = self.is_own_json()?;
            return completeness::run(&self.selection, dimensions.as_deref(), is_json, config);
        }
        let Chosen { calendar, filter, book, loaded } = self.selection.choose(config)?;
        let pricer = Pricer::new(&book, self.cost.mode());
        let terminal = Terminal::of_stdout(&config.environment);
        if self.html {
            return self.page(&loaded, calendar, filter, &book, terminal);
        }
        let Some(dimensions) = dimensions else {
            return self.blocks(&loaded, &calendar, &filter, pricer, terminal);
        };
        let report = build(&loaded.usage, dimensions, calendar, &filter, pricer)?;
        let (written, mut text) = (self.written(terminal), Vec::new());
        if written.form == Form::Table && report.rows.is_empty() {
            notes::nothing(&mut text, &loaded, self.selection.is_narrow())?;
        } else {
            written.report(&report, &mut text)?;
        }
        super::print(&text)?;
        notes::after(&loaded, &report.unpriced_models, terminal)?;
        self.exit_code(&loaded, &report.totals)
    }

    const fn form(&self) -> Form {
        match self.json {
            Some(JsonShape::Trueup) => Form::Json,
            Some(JsonShape::Ccusage) => Form::Ccusage,
            None if self.csv => Form::Csv,
            None => Form::Table,
        }
    }

    const fn written(&self, terminal: Terminal) -> Written {
        let (has_breakdown, is_compact) = (self.breakdown, self.compact);
        Written { form: self.form(), has_breakdown, is_compact, terminal }
    }

    /// The same by a hub.
    fn of_hub(&self, hub: &str, config: &Config) -> Result<ExitCode> {
        let name = |value: Option<PossibleValue>| value.map(|value| value.get_name().to_owned());
        let by = if self.by.is_empty() { &self.by_option } else { &self.by };
        let words: Vec<String> = by.iter().filter_map(|by| name(by.to_possible_value())).collect();
        let mut asked = self.selection.asked(config)?;
        if !words.is_empty() {
            asked.push(("by", words.join(",")));
        }
        if self.completeness {
            completeness::check(&self.selection)?;
            asked.extend(self.is_own_json()?.then(|| ("json", "trueup".to_owned())));
            return remote::print(config, hub, "/v1/completeness", asked);
        }
        asked.extend(name(self.form().to_possible_value()).map(|form| ("form", form)));
        asked.extend(name(self.cost.to_possible_value()).map(|cost| ("cost", cost)));
        asked.push(("breakdown", self.breakdown.to_string()));
        asked.push(("compact", self.compact.to_string()));
        remote::print(config, hub, "/v1/report", asked)
    }

    /// What `--completeness` prints, by the options that are given; the exit code.
    pub(super) fn print_completeness(
        &self,
        config: &Config,
        terminal: Terminal,
        out: &mut Vec<u8>,
    ) -> Result<u8> {
        let (by, is_json) = (self.dimensions()?, self.is_own_json()?);
        completeness::print(&self.selection, by.as_deref(), is_json, config, terminal, out)?;
        Ok(0)
    }

    /// The report, as trueup's own JSON.
    pub(super) fn answer(&self, config: &Config) -> Result<Value> {
        let dimensions = self.dimensions()?;
        let Chosen { calendar, filter, book, loaded } = self.selection.choose(config)?;
        let (pricer, now) = (Pricer::new(&book, self.cost.mode()), crate::clock::now());
        let usage = &loaded.usage;
        query::answer(usage, dimensions, calendar, &filter, pricer, self.breakdown, now)
    }

    /// How much of the account was measured, as JSON.
    pub(super) fn completeness_answer(&self, config: &Config) -> Result<Value> {
        completeness::answer(&self.selection, self.dimensions()?.as_deref(), config)
    }

    /// Whether JSON is asked for; only trueup's own has a completeness.
    fn is_own_json(&self) -> Result<bool> {
        match self.json {
            Some(JsonShape::Ccusage) => {
                bail!(WrongUsage("ccusage has no report of completeness".to_owned()))
            }
            Some(JsonShape::Trueup) => Ok(true),
            None => Ok(false),
        }
    }

    /// The dimensions asked for; `None` for blocks.
    fn dimensions(&self) -> Result<Option<Vec<Dimension>>> {
        let by = if self.by.is_empty() { &self.by_option } else { &self.by };
        let dimensions = query::dimensions(by).map_err(WrongUsage)?;
        if dimensions.is_none() {
            self.form().must_have_blocks()?;
        }
        Ok(dimensions)
    }

    /// The account as a page.
    fn page(
        &self,
        loaded: &Loaded,
        calendar: Calendar,
        filter: Filter,
        book: &PriceBook,
        terminal: Terminal,
    ) -> Result<ExitCode> {
        let (now, span) = (crate::clock::now(), loaded.usage.span()?);
        let asked = (self.selection.since, self.selection.until);
        let question = Question {
            usage: &loaded.usage,
            book,
            cost: self.cost,
            days: page::days(&calendar, asked, span, now)?,
            calendar,
            filter,
            span,
            now,
            // Who keeps the ledger alone knows when it last looked; the ledger, when that brought something.
            last_sync: match &loaded.keeper {
                None => Some(now),
                Some(_) => loaded.usage.last_read()?,
            },
        };
        let page = page::of(&question, asked.0.is_some())?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        html::report(&page.data, &mut out)?;
        out.flush()?;
        notes::after(loaded, &page.unpriced_models, terminal)?;
        self.exit_code(loaded, &page.totals)
    }

    fn blocks(
        &self,
        loaded: &Loaded,
        calendar: &Calendar,
        filter: &Filter,
        pricer: Pricer<'_>,
        terminal: Terminal,
    ) -> Result<ExitCode> {
        let now = crate::clock::now();
        let (blocks, totals) = query::blocks(&loaded.usage, filter, pricer)?;
        let (written, mut text) = (self.written(terminal), Vec::new());
        if written.form == Form::Table && blocks.is_empty() {
            notes::nothing(&mut text, loaded, self.selection.is_narrow())?;
        } else {
            written.blocks(&blocks, &totals, calendar, now, &mut text)?;
        }
        super::print(&text)?;
        let models = blocks.iter().flat_map(|block| &block.models);
        notes::after(loaded, &notes::unpriced(models), terminal)?;
        self.exit_code(loaded, &totals)
    }

    fn exit_code(&self, loaded: &Loaded, totals: &Sums) -> Result<ExitCode> {
        let is_unknown = totals.exact.unpriced_calls > 0 || notes::has_unread(&loaded.problems()?);
        Ok(if self.strict && is_unknown { ExitCode::from(EXIT_UNKNOWN) } else { ExitCode::SUCCESS })
    }
}

/// The exit code for "done, but something is not known".
pub(super) const EXIT_UNKNOWN: u8 = 3;
