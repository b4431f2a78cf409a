//! `trueup report --completeness`: how much of the account was measured.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};
use trueup_core::report::{
    ClaimSeen, Completeness, CompletenessBuilder, CompletenessReport, Dimension, Filter,
};
use trueup_core::{Bucket, Calendar};
use trueup_ledger::Reader;

use super::load::Loaded;
use super::report::{Chosen, Selection};
use super::{WrongUsage, notes};
use crate::config::Config;
use crate::problems;
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;
use crate::usage::Usage;

/// The version of the JSON. It changes only when a reader of an older one would misread.
const SCHEMA: u32 = 1;

pub(super) fn run(
    selection: &Selection,
    by: Option<&[Dimension]>,
    is_json: bool,
    config: &Config,
) -> Result<ExitCode> {
    let (terminal, mut text) = (Terminal::of_stdout(&config.environment), Vec::new());
    let loaded = print(selection, by, is_json, config, terminal, &mut text)?;
    super::print(&text)?;
    notes::after(&loaded, &BTreeMap::new(), terminal)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes it.
pub(super) fn print(
    selection: &Selection,
    by: Option<&[Dimension]>,
    is_json: bool,
    config: &Config,
    terminal: Terminal,
    out: &mut Vec<u8>,
) -> Result<Loaded> {
    let Looked { name, report, loaded } = look(selection, by, config)?;
    if is_json {
        writeln!(out, "{:#}", as_json(&report, name))?;
    } else if report.rows.is_empty() {
        notes::nothing(out, &loaded, selection.is_narrow())?;
    } else {
        table(&report, name, terminal, out)?;
    }
    Ok(loaded)
}

/// The same as JSON.
pub(super) fn answer(
    selection: &Selection,
    by: Option<&[Dimension]>,
    config: &Config,
) -> Result<Value> {
    let Looked { name, report, .. } = look(selection, by, config)?;
    Ok(as_json(&report, name))
}

/// A report, and what its rows are about.
struct Looked {
    name: &'static str,
    report: CompletenessReport,
    loaded: Loaded,
}

fn look(selection: &Selection, by: Option<&[Dimension]>, config: &Config) -> Result<Looked> {
    let (name, bucket) = bucket(by)?;
    check(selection)?;
    let Chosen { calendar, filter, loaded, .. } = selection.choose(config)?;
    let report = build(&loaded.usage, bucket, &calendar, &filter)?;
    Ok(Looked { name, report, loaded })
}

/// The time that rows are about.
fn bucket(by: Option<&[Dimension]>) -> Result<(&'static str, Bucket)> {
    match by {
        Some([dimension @ (Dimension::Day | Dimension::Week | Dimension::Month)]) => {
            let bucket = dimension.bucket().context("days, weeks and months are of time")?;
            Ok((dimension.name(), bucket))
        }
        Some(_) | None => {
            bail!(WrongUsage("completeness is told by day, week or month only".to_owned()))
        }
    }
}

pub(super) fn check(selection: &Selection) -> Result<()> {
    if selection.no_ledger {
        let text = "completeness needs the ledger: only it knows when a line was first seen to be \
             bad, and what an estimate was superseded by; leave out --no-ledger";
        bail!(WrongUsage(text.to_owned()));
    }
    if !(selection.project.is_empty() && selection.model.is_empty()) {
        let text = "a line that cannot be read has no project and no model: completeness can be \
             told by --source, --since and --until only";
        bail!(WrongUsage(text.to_owned()));
    }
    Ok(())
}

fn build(
    usage: &Usage,
    bucket: Bucket,
    calendar: &Calendar,
    filter: &Filter,
) -> Result<CompletenessReport> {
    let mut report = CompletenessBuilder::new(bucket, calendar.clone(), filter);
    usage.by_buckets(&[bucket], calendar, filter.window, &mut |entry| report.usage(&entry))?;
    let reader: &Reader = match usage {
        Usage::Ledger(reader) => reader,
        Usage::Memory(_) => {
            bail!("another process is about to make the ledger; ask again in a moment")
        }
        // Devices tell a hub of calls alone, neither of claims nor of what they could not read.
        Usage::ClickHouse(_) => return Ok(report.finish()),
    };
    reader.claims(filter.window.from, filter.window.until, |claim| {
        report.claim(&ClaimSeen {
            source: &claim.source,
            session: claim.session,
            time: claim.time,
            is_superseded: claim.is_superseded,
            is_session_measured: claim.is_session_measured,
        });
    })?;
    for problem in problems::present(reader)?.iter().filter(|problem| problem.is_bad_line()) {
        report.bad_line(problem.seen_at, &problem.store.source);
    }
    Ok(report.finish())
}

const LEGEND: &str = "
Runs        claimed runs that no call covers: they are estimates
Sessions    sessions with such a run
Superseded  sessions with a claimed run that calls took the place of
Missing     sessions with an estimate and without any call: `trueup doctor`
Bad lines   records that could not be read, on the day when they were seen
";

fn table(
    report: &CompletenessReport,
    name: &str,
    terminal: Terminal,
    out: &mut Vec<u8>,
) -> Result<()> {
    let first = match report.bucket {
        Bucket::Week => "Week of",
        Bucket::Month => "Month",
        Bucket::Day | Bucket::Hour | Bucket::HalfHour => "Day",
    };
    let title = format!("Completeness by {name} and agent, days in {}", report.zone);
    writeln!(out, "{}\n", terminal.bold(&title))?;
    let mut layout = Layout::new(vec![
        first,
        "Agent",
        "Calls",
        "Runs",
        "Sessions",
        "Superseded",
        "Missing",
        "Bad lines",
    ]);
    for ((label, source), row) in &report.rows {
        let names = [Cell::Text(label.to_string()), Cell::Name(source.to_string())];
        layout.row(Look::Plain, names.into_iter().chain(counts(row).map(Cell::Count)).collect());
    }
    let names = [Cell::Text("Total".to_owned()), Cell::Text(String::new())];
    let totals = counts(&report.totals).map(Cell::Count);
    layout.row(Look::Total, names.into_iter().chain(totals).collect());
    out.write_all(layout.draw(terminal).as_bytes())?;
    out.write_all(terminal.dim(LEGEND.trim_end()).as_bytes())?;
    writeln!(out)?;
    Ok(())
}

const fn counts(row: &Completeness) -> [u64; 6] {
    [
        row.calls,
        row.runs_estimated,
        row.sessions_estimated,
        row.sessions_superseded,
        row.sessions_without_transcript,
        row.bad_lines,
    ]
}

/// The names of [`counts`], in their order.
const NAMES: [&str; 6] = [
    "calls",
    "runs_estimated",
    "sessions_estimated",
    "sessions_superseded",
    "sessions_without_transcript",
    "bad_lines",
];

fn as_json(report: &CompletenessReport, name: &str) -> Value {
    let row_of = |row: &Completeness| {
        let fields = NAMES.iter().zip(counts(row));
        fields.map(|(name, count)| ((*name).to_owned(), json!(count))).collect::<Map<_, _>>()
    };
    let rows = report.rows.iter().map(|((label, source), row)| {
        let mut object = row_of(row);
        object.insert(name.to_owned(), json!(label));
        object.insert("agent".to_owned(), json!(source));
        Value::Object(object)
    });
    json!({
        "schema": SCHEMA,
        "by": format!("{name},agent"),
        "tz": report.zone,
        "rows": rows.collect::<Vec<_>>(),
        "totals": row_of(&report.totals),
    })
}
