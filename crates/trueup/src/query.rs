//! What a report is asked for, by options or by the parameters of a URL, and how it is answered.
//!
//! Refusals are sentences for whoever asked; who that is, and how they are told, is not known here.

pub(crate) mod over_time;
pub(crate) mod sessions;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use jiff::civil::Date;
use serde_json::Value;
use trueup_core::report::{
    self, Block, CostMode, Dimension, Entry, Filter, Pricer, Report, ReportBuilder, Sums, Window,
};
use trueup_core::{Bucket, Calendar, Counters, QUARTER_MS, Series, Text, UnixMs};

use crate::question::quoted;
use crate::render::json;
use crate::usage::Usage;

/// What the rows are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    #[value(name = "30m", aliases = ["half-hour", "half-hours"])]
    HalfHour,
    #[value(alias = "hourly")]
    Hour,
    #[value(alias = "daily")]
    Day,
    #[value(alias = "weekly")]
    Week,
    #[value(alias = "monthly")]
    Month,
    #[value(alias = "sessions")]
    Session,
    #[value(alias = "models")]
    Model,
    #[value(alias = "projects")]
    Project,
    /// Kinds of session, such as main, cron and subagent
    #[value(alias = "kinds")]
    Kind,
    #[value(alias = "providers")]
    Provider,
    /// Tiers of service: standard, batch, flex, priority, other
    #[value(alias = "tiers")]
    Tier,
    /// Devices, in the account of a hub
    #[value(alias = "devices")]
    Device,
    #[value(aliases = ["agents", "source", "sources"])]
    Agent,
    /// Blocks of five hours, with burn rate and projection
    #[value(aliases = ["blocks", "5h"])]
    Block,
}

/// What rows are about, in the order asked for; `None` for blocks.
pub(crate) fn dimensions(by: &[By]) -> Result<Option<Vec<Dimension>>, String> {
    if by == [By::Block] {
        return Ok(None);
    }
    let mut dimensions = Vec::new();
    for by in by {
        let dimension = match by {
            By::HalfHour => Dimension::HalfHour,
            By::Hour => Dimension::Hour,
            By::Day => Dimension::Day,
            By::Week => Dimension::Week,
            By::Month => Dimension::Month,
            By::Session => Dimension::Session,
            By::Model => Dimension::Model,
            By::Project => Dimension::Project,
            By::Agent => Dimension::Agent,
            By::Kind => Dimension::Kind,
            By::Provider => Dimension::Provider,
            By::Tier => Dimension::Tier,
            By::Device => Dimension::Device,
            By::Block => return Err("blocks cannot be combined with other rows".to_owned()),
        };
        if !dimensions.contains(&dimension) {
            dimensions.push(dimension);
        }
    }
    let has_time = dimensions.iter().any(|dimension| dimension.bucket().is_some());
    if has_time && dimensions.contains(&Dimension::Session) {
        return Err("sessions cannot be combined with hours, days, weeks or months".to_owned());
    }
    if dimensions.is_empty() {
        dimensions.push(Dimension::Day);
    }
    Ok(Some(dimensions))
}

/// Which cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cost {
    /// What the agent reported, where it did; else computed from the price table
    #[default]
    Auto,
    /// Computed from the price table, for every call
    Computed,
    /// Only what agents reported
    Reported,
}

impl Cost {
    /// What it means for prices.
    pub(crate) const fn mode(self) -> CostMode {
        match self {
            Self::Auto => CostMode::Auto,
            Self::Computed => CostMode::Computed,
            Self::Reported => CostMode::Reported,
        }
    }
}

/// A day, as options and parameters write it.
pub(crate) fn day(text: &str) -> Result<Date, String> {
    let compact = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if compact { Date::strptime("%Y%m%d", text) } else { text.parse() };
    parsed.map_err(|_| "a day is written like 2026-11-20 or 20261120".to_owned())
}

/// The time from the start of a day to the end of another; why there is none, with `dashes` before
/// the names of the two.
pub(crate) fn window(
    calendar: &Calendar,
    since: Option<Date>,
    until: Option<Date>,
    dashes: &str,
) -> Result<Window, String> {
    match (since, until) {
        (Some(since), Some(until)) if until < since => {
            Err(format!("{dashes}until {until} lies before {dashes}since {since}"))
        }
        _ => Ok(Window::of_days(calendar, since, until)),
    }
}

/// What to say of an agent that neither trueup reads nor the account knows: a typing error must not
/// look like no usage.
pub(crate) fn unknown_source(asked: &[String], usage: &Usage) -> Result<Option<String>> {
    if asked.is_empty() {
        return Ok(None);
    }
    let mut known: BTreeSet<String> = usage.sources()?;
    known.extend(trueup_agents::AGENTS.iter().map(|agent| agent.id().to_owned()));
    Ok(asked.iter().find(|source| !known.contains(*source)).map(|unknown| {
        let known: Vec<String> = known.iter().cloned().collect();
        format!("`{unknown}` is not an agent; there are {}", known.join(", "))
    }))
}

/// What passes, but for its time, as options of `trueup report`.
pub(crate) fn filter_options(filter: &Filter) -> String {
    let options = [
        ("source", &filter.sources),
        ("provider", &filter.providers),
        ("model", &filter.models),
        ("project", &filter.projects),
        ("kind", &filter.kinds),
        ("tier", &filter.tiers),
    ];
    let device = filter.device.iter().map(|device| ("device", device));
    let texts =
        options.into_iter().flat_map(|(name, texts)| texts.iter().map(move |text| (name, text)));
    let words = texts.chain(device).map(|(name, text)| quoted(&format!("--{name}={text}")));
    words.fold(String::new(), |line, word| line + " " + &word)
}

/// The answer as trueup's own JSON: a report, or blocks where there are no dimensions.
pub(crate) fn answer(
    usage: &Usage,
    by: Option<Vec<Dimension>>,
    calendar: Calendar,
    filter: &Filter,
    pricer: Pricer<'_>,
    has_breakdown: bool,
    now: UnixMs,
) -> Result<Value> {
    let Some(by) = by else {
        let (blocks, totals) = blocks(usage, filter, pricer)?;
        return Ok(json::blocks(&blocks, &totals, &calendar.zone_name(), now));
    };
    let report = build(usage, by, calendar, filter, pricer)?;
    Ok(json::report(&report, has_breakdown))
}

/// Dimensions that tell sessions apart as the account does: those of two devices are two, whatever they
/// are called.
pub(crate) fn apart(usage: &Usage, mut by: Vec<Dimension>) -> Result<Vec<Dimension>> {
    let is_by_session = by.contains(&Dimension::Session) && !by.contains(&Dimension::Device);
    if is_by_session && usage.has_devices()? {
        by.push(Dimension::Device);
    }
    Ok(by)
}

/// Folds usage into a report, from the widest sums that will do.
pub(crate) fn build(
    usage: &Usage,
    by: Vec<Dimension>,
    calendar: Calendar,
    filter: &Filter,
    pricer: Pricer<'_>,
) -> Result<Report> {
    folded(usage, by, calendar, filter, pricer, Told::Rows)
}

/// The same where only sums of rows matter: agents, projects, kinds of session and times may be missing.
pub(crate) fn sums(
    usage: &Usage,
    by: Vec<Dimension>,
    calendar: Calendar,
    filter: &Filter,
    pricer: Pricer<'_>,
) -> Result<Report> {
    folded(usage, by, calendar, filter, pricer, Told::Sums)
}

/// What is told of a report.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Rows,
    Sums,
}

fn folded(
    usage: &Usage,
    by: Vec<Dimension>,
    calendar: Calendar,
    filter: &Filter,
    pricer: Pricer<'_>,
    told: Told,
) -> Result<Report> {
    let by = apart(usage, by)?;
    let buckets: Vec<Bucket> = by.iter().filter_map(|dimension| dimension.bucket()).collect();
    let is_by_session = by.contains(&Dimension::Session);
    let is_by_device = by.contains(&Dimension::Device);
    let of_buckets = calendar.clone();
    let changes = pricer.changes().to_vec();
    let mut report = ReportBuilder::new(by.clone(), calendar, filter, pricer);
    if told == Told::Sums {
        report = report.bare();
    }
    let _held = usage.hold()?;
    if told == Told::Sums && !is_by_session {
        let mut each = |device: &Text, entry: Entry<'_>| {
            if is_by_device { report.add_of(device, entry) } else { report.add(entry) }
        };
        if usage.by_prices(&by, &of_buckets, &changes, filter, &mut each)? {
            return Ok(report.finish());
        }
    }
    if is_by_session {
        let mut each = |entry: Entry<'_>| report.add(entry);
        usage.by_sessions(&[i64::MIN..=i64::MAX], filter.window, &mut each)?;
    } else if is_by_device {
        let (device, window) = (filter.device.as_deref(), filter.window);
        let mut each = |device: &Text, entry: Entry<'_>| report.add_of(device, entry);
        usage.by_device(device, &buckets, &of_buckets, &changes, window, &mut each)?;
    } else {
        let mut each = |entry: Entry<'_>| report.add(entry);
        usage.by_spans(&buckets, &of_buckets, &changes, filter.window, &mut each)?;
    }
    Ok(report.finish())
}

/// The blocks of five hours with usage that passes, and their sums.
pub(crate) fn blocks(
    usage: &Usage,
    filter: &Filter,
    mut pricer: Pricer<'_>,
) -> Result<(Vec<Block>, Sums)> {
    let kept = quarters(usage, filter.window)?;
    let entries: Vec<Entry<'_>> = kept.iter().map(Kept::entry).collect();
    let blocks = report::blocks(&entries, filter, &mut pricer);
    let mut totals = Sums::default();
    for block in &blocks {
        totals.plus(&block.sums);
    }
    Ok((blocks, totals))
}

/// A sum that is kept, because blocks look at many at a time.
#[derive(Debug)]
pub(crate) struct Kept {
    start: UnixMs,
    times: (UnixMs, UnixMs),
    series: Arc<Series>,
    counters: Counters,
}

impl Kept {
    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry {
            start: self.start,
            times: self.times,
            series: &self.series,
            session: "",
            counters: &self.counters,
        }
    }
}

/// The sums over quarters of an hour in a window.
pub(crate) fn quarters(usage: &Usage, window: Window) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    usage.by_time(QUARTER_MS, window, &mut |entry| {
        kept.push(Kept {
            start: entry.start,
            times: entry.times,
            series: Arc::clone(entry.series),
            counters: *entry.counters,
        });
    })?;
    Ok(kept)
}
