//! Reports as tables for people.

use std::io::Write as _;

use anyhow::Result;
use trueup_core::report::{Block, Dimension, Report, Row, Sum, Sums};
use trueup_core::{Calendar, NanoUsd, UnixMs};

use crate::render::number::{self, Style};
use crate::render::table::{Cell, Layout, Look};
use crate::render::terminal::Terminal;

/// A report by anything but blocks.
pub(crate) fn report(
    report: &Report,
    has_breakdown: bool,
    is_compact: bool,
    terminal: Terminal,
    out: &mut Vec<u8>,
) -> Result<()> {
    let by: Vec<&str> = report.by.iter().map(|dimension| dimension.name()).collect();
    writeln!(
        out,
        "{}\n",
        terminal.bold(&format!("Usage by {}, days in {}", by.join(" and "), report.zone))
    )?;
    // Many columns of names may leave no room for more than the sums.
    let drawn = table(report, has_breakdown, is_compact)
        .fitted(terminal)
        .unwrap_or_else(|| table(report, has_breakdown, true).draw(terminal));
    out.write_all(drawn.as_bytes())?;
    if report.totals.estimated.calls > 0 {
        writeln!(
            out,
            "\n~ estimated: runs that an agent claims, without a record of their calls; they are\n  in no other row"
        )?;
    }
    Ok(())
}

fn table(report: &Report, has_breakdown: bool, is_compact: bool) -> Layout {
    let mut table = Table {
        layout: Layout::new(header(report, is_compact)),
        is_compact,
        keys: report.by.len(),
    };
    let mut group: Option<(String, Sums, usize)> = None;
    for row in &report.rows {
        if report.by.len() > 1 && report.by != [Dimension::Session, Dimension::Device] {
            table.subtotal(&mut group, row);
        }
        table.row(report, row);
        if has_breakdown {
            for (model, sums) in &row.models {
                table.sums(Look::Detail, table.label(&format!("  {}", named(model))), sums);
            }
        }
    }
    table.end_group(group);
    table.sums(Look::Total, table.label("Total"), &report.totals);
    table.layout
}

struct Table {
    layout: Layout,
    is_compact: bool,
    /// Columns of names.
    keys: usize,
}

fn header(report: &Report, is_compact: bool) -> Vec<&'static str> {
    let names = report.by.iter().map(|dimension| match dimension {
        Dimension::HalfHour => "Half hour",
        Dimension::Hour => "Hour",
        Dimension::Day => "Day",
        Dimension::Week => "Week of",
        Dimension::Month => "Month",
        Dimension::Agent => "Agent",
        Dimension::Model => "Model",
        Dimension::Project => "Project",
        Dimension::Session => "Session",
        Dimension::Kind => "Kind",
        Dimension::Provider => "Provider",
        Dimension::Tier => "Tier",
        Dimension::Device => "Device",
    });
    let numbers = if is_compact { NUMBERS.get(5..).unwrap_or_default() } else { &NUMBERS };
    names.chain(numbers.iter().copied()).collect()
}

/// The columns of numbers. `Write` is what was written to a cache, `Cached` what was read from one.
const NUMBERS: [&str; 7] = ["Calls", "Input", "Write", "Cached", "Output", "Total", "Cost"];

/// A name, or what stands for one that the source does not say.
fn named(name: &str) -> &str {
    if name.is_empty() { "(not recorded)" } else { name }
}

/// The keys of a row that is all estimate, marked as such.
fn estimated(mut keys: Vec<Cell>) -> Vec<Cell> {
    if let Some(Cell::Name(first) | Cell::Text(first)) = keys.first_mut() {
        first.insert_str(0, "~ ");
    }
    keys
}

impl Table {
    /// Cells of names: the label in the first column, the others empty.
    fn label(&self, text: &str) -> Vec<Cell> {
        let mut cells = vec![Cell::Name(text.to_owned())];
        cells.resize(self.keys, Cell::Text(String::new()));
        cells
    }

    fn row(&mut self, report: &Report, row: &Row) {
        let keys = report.by.iter().zip(&row.keys).map(|(dimension, key)| match dimension {
            Dimension::HalfHour
            | Dimension::Hour
            | Dimension::Day
            | Dimension::Week
            | Dimension::Month => Cell::Text(key.to_string()),
            Dimension::Agent
            | Dimension::Model
            | Dimension::Project
            | Dimension::Session
            | Dimension::Kind
            | Dimension::Provider
            | Dimension::Tier
            | Dimension::Device => Cell::Name(named(key).to_owned()),
        });
        self.sums(Look::Plain, keys.collect(), &row.sums);
    }

    /// Exact usage, and below it the estimated, where there is any.
    fn sums(&mut self, look: Look, keys: Vec<Cell>, sums: &Sums) {
        let has_exact = sums.exact.calls > 0 || sums.estimated.calls == 0;
        if has_exact {
            self.sum(look, keys.clone(), &sums.exact);
        }
        if sums.estimated.calls > 0 {
            let keys = if has_exact { self.label("  ~ estimated") } else { estimated(keys) };
            self.sum(Look::Detail, keys, &sums.estimated);
        }
    }

    fn sum(&mut self, look: Look, mut cells: Vec<Cell>, sum: &Sum) {
        let tokens = &sum.tokens;
        if !self.is_compact {
            let counts =
                [sum.calls, tokens.input, tokens.cache_written(), tokens.cache_read, tokens.output];
            cells.extend(counts.map(Cell::Count));
        }
        cells.push(Cell::Count(tokens.total()));
        cells.push(Cell::Number(cost(sum)));
        self.layout.row(look, cells);
    }

    /// Ends the group of the row before, where this one begins another.
    fn subtotal(&mut self, group: &mut Option<(String, Sums, usize)>, row: &Row) {
        let key = row.keys.first().map(ToString::to_string).unwrap_or_default();
        match group {
            Some((of, sums, rows)) if *of == key => {
                sums.plus(&row.sums);
                *rows += 1;
            }
            _ => self.end_group(group.replace((key, row.sums, 1))),
        }
    }

    fn end_group(&mut self, group: Option<(String, Sums, usize)>) {
        // The sum over one row is that row.
        if let Some((key, sums, 2..)) = group {
            let mut cells = self.label(named(&key));
            if let Some(second) = cells.get_mut(1) {
                *second = Cell::Text("total".to_owned());
            }
            self.sums(Look::Total, cells, &sums);
        }
    }
}

/// A cost: `—` where no call is priced, with `*` where some are not.
pub(crate) fn cost(sum: &Sum) -> String {
    match sum.unpriced_calls {
        0 => number::dollars(sum.cost_nanousd()),
        unpriced if unpriced == sum.calls => "—".to_owned(),
        _ => format!("{}*", number::dollars(sum.cost_nanousd())),
    }
}

/// Blocks of five hours.
pub(crate) fn blocks(
    blocks: &[Block],
    totals: &Sums,
    calendar: &Calendar,
    now: UnixMs,
    terminal: Terminal,
    out: &mut Vec<u8>,
) -> Result<()> {
    let title = format!("Blocks of five hours, times in {}", calendar.zone_name());
    writeln!(out, "{}\n", terminal.bold(&title))?;
    let header = std::iter::once("Begins").chain(NUMBERS).collect();
    let mut table = Table { layout: Layout::new(header), is_compact: false, keys: 1 };
    for block in blocks {
        let begins = block.start.zoned(calendar.zone()).strftime("%Y-%m-%d %H:%M").to_string();
        table.sums(Look::Plain, vec![Cell::Text(begins)], &block.sums);
    }
    table.sums(Look::Total, vec![Cell::Text("Total".to_owned())], totals);
    out.write_all(table.layout.draw(terminal).as_bytes())?;
    if let Some(block) = blocks.last().filter(|block| block.is_active(now)) {
        active(block, calendar, now, out)?;
    }
    Ok(())
}

/// What the block that is running comes to.
fn active(block: &Block, calendar: &Calendar, now: UnixMs, out: &mut Vec<u8>) -> Result<()> {
    let ends = block.end.zoned(calendar.zone()).strftime("%H:%M").to_string();
    let left = number::duration_ms(block.end.0 - now.0);
    writeln!(out, "\nThe running block ends at {ends}, in {left}.")?;
    let tokens = i128::from(block.sums.total_tokens());
    let cost = i128::from(block.sums.exact.cost_nanousd().0);
    let (Some(rate), Some(per_minute)) = (block.per_minute(tokens), block.per_minute(cost)) else {
        return Ok(());
    };
    writeln!(
        out,
        "Burn rate: {} tokens a minute, {} an hour.",
        count(rate),
        dollars(per_minute * 60)
    )?;
    if let (Some(tokens), Some(cost)) = (block.projected(tokens, now), block.projected(cost, now)) {
        writeln!(out, "At this rate it comes to {} tokens and {}.", count(tokens), dollars(cost))?;
    }
    Ok(())
}

pub(crate) fn count(number: i128) -> String {
    number::count(u64::try_from(number).unwrap_or(0), Style::Short)
}

pub(crate) fn dollars(nano: i128) -> String {
    number::dollars(NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX)))
}
