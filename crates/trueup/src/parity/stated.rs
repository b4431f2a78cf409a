//! Statements: those that were imported, or in their place files that are only read.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use trueup_core::report::Window;
use trueup_core::{BilledWidth, DAY_MS, StatedFact, Text, UnixMs};
use trueup_ledger::Reader;
use trueup_providers::StatementOptions;

use crate::statement;

/// Rows that are wider are not looked for where they begin before a span: a bill is for a month or a year.
const WIDTH_MAX_MS: i64 = 366 * DAY_MS;

/// What statements say of a span of days.
#[derive(Debug, Default)]
pub(crate) struct Stated {
    pub(crate) rows: Vec<StatedOf>,
    pub(crate) covers: Vec<Cover>,
    /// Rows without usage, which were dropped.
    pub(super) blank: u64,
    pub(super) notes: Vec<String>,
    /// The names of the files.
    pub(crate) files: Vec<String>,
}

/// A row, and the kind of statement that says it.
#[derive(Debug)]
pub(crate) struct StatedOf {
    pub(crate) kind: Text,
    pub(crate) name: Text,
    pub(crate) fact: StatedFact,
}

/// Days that a kind of statement tells of.
#[derive(Debug)]
pub(crate) struct Cover {
    pub(crate) kind: Text,
    pub(crate) provider: Text,
    pub(crate) from: UnixMs,
    pub(crate) until: UnixMs,
}

impl Stated {
    /// What was imported.
    pub(crate) fn of_ledger(reader: &Reader, window: Window) -> Result<Self> {
        let mut stated = Self::default();
        for row in reader.stated(window.from, window.until, BilledWidth::Day)? {
            stated.rows.push(StatedOf { kind: row.kind, name: row.name, fact: row.fact });
        }
        for statement in reader.statements()? {
            let mut is_within = false;
            for account in &statement.accounts {
                let Some((from, until)) = account.covers else { continue };
                is_within |= from < window.until && until > window.from;
                stated.covers.push(Cover {
                    kind: statement.kind.as_str().into(),
                    provider: account.provider.as_str().into(),
                    from,
                    until,
                });
            }
            if is_within {
                stated.blank += statement.blank;
                stated.files.push(statement.name.clone());
                stated.unplaced(&statement.name, statement.unplaced);
            }
        }
        Ok(stated)
    }

    /// Adds rows over several days that begin before a span, and end in it or after it.
    pub(crate) fn add_begun(&mut self, reader: &Reader, window: Window) -> Result<()> {
        let first = UnixMs(window.from.0.saturating_sub(WIDTH_MAX_MS));
        reader.stated_rows(first, window.from, |row| {
            let width_ms = i64::from(row.fact.width_minutes) * 60_000;
            let day = row.fact.start.map_or(window.from, |start| start.floor(DAY_MS));
            if width_ms > DAY_MS && day.0.saturating_add(width_ms) > window.from.0 {
                self.rows.push(StatedOf { kind: row.kind, name: row.name, fact: row.fact });
            }
        })?;
        Ok(())
    }

    /// What files say that are only read; a file that cannot be read to its end is an error.
    pub(crate) fn of_files(paths: &[PathBuf], provider: Option<&str>) -> Result<Self> {
        let options = StatementOptions {
            provider: provider.map(str::to_owned),
            ..StatementOptions::default()
        };
        let mut stated = Self::default();
        let mut hashes = Vec::new();
        for path in paths {
            let file =
                statement::read(path, &options).with_context(|| path.display().to_string())?;
            if hashes.contains(&file.sha256) {
                stated.notes.push(format!("{} was named twice, and is read once", file.name));
                continue;
            }
            hashes.push(file.sha256);
            stated.add(file)?;
        }
        Ok(stated)
    }

    /// The days that they tell of, from the first to the last.
    pub(crate) fn span(&self) -> Option<(UnixMs, UnixMs)> {
        let from = self.covers.iter().map(|cover| cover.from).min()?;
        let until = self.covers.iter().map(|cover| cover.until).max()?;
        Some((from, until))
    }

    /// Refuses files that tell of no day that is compared: they would be left out in silence.
    pub(crate) fn must_tell_of(&self, from: UnixMs, until: UnixMs) -> Result<(), String> {
        let is_told = self.covers.iter().any(|cover| cover.from < until && from < cover.until);
        if is_told {
            return Ok(());
        }
        let files = self.files.join(", ");
        Err(match self.span() {
            Some((first, last)) => format!(
                "{files}: tells of {} to {}, and of no day that is compared",
                first.utc_date(),
                UnixMs(last.0 - DAY_MS).utc_date()
            ),
            None => format!("{files}: tells of no day"),
        })
    }

    fn add(&mut self, file: statement::Read) -> Result<()> {
        let statement::Read { name, format, rows, summary, provider, sha256: _ } = file;
        let kind = Text::from(format.kind);
        let mut covers: Vec<Cover> = Vec::new();
        let mut widen = |provider: &str, from: UnixMs, until: UnixMs| match covers
            .iter_mut()
            .find(|cover| *cover.provider == *provider)
        {
            Some(cover) => {
                cover.from = cover.from.min(from);
                cover.until = cover.until.max(until);
            }
            None => covers.push(Cover {
                kind: Text::clone(&kind),
                provider: provider.into(),
                from,
                until,
            }),
        };
        let day_after = |day: UnixMs| UnixMs(day.floor(DAY_MS).0 + DAY_MS);
        for row in &rows {
            if let Some(start) = row.start {
                widen(&row.provider, start.floor(DAY_MS), day_after(start));
            }
        }
        if let Some((first, last)) = summary.blank_span
            && !provider.is_empty()
        {
            widen(&provider, first.floor(DAY_MS), day_after(last));
        }
        if !format.has_parts {
            self.refuse_overlap(&name, &covers)?;
        }
        self.covers.extend(covers);
        self.blank += summary.blank;
        self.unplaced(&name, summary.unplaced);
        let label = Text::from(name.as_str());
        self.rows.extend(rows.into_iter().map(|fact| StatedOf {
            kind: Text::clone(&kind),
            name: Text::clone(&label),
            fact,
        }));
        self.files.push(name);
        Ok(())
    }

    /// Two files of one kind that tell of the same day would count it twice.
    fn refuse_overlap(&self, name: &str, covers: &[Cover]) -> Result<()> {
        for cover in covers {
            let is_same = |known: &&Cover| {
                (&known.kind, &known.provider) == (&cover.kind, &cover.provider)
                    && known.from < cover.until
                    && cover.from < known.until
            };
            if let Some(known) = self.covers.iter().find(is_same) {
                let at = known.from.max(cover.from);
                bail!(
                    "{name} and another file both tell of {}; `trueup import` them, so that the \
                     later one counts there",
                    at.utc_date()
                );
            }
        }
        Ok(())
    }

    fn unplaced(&mut self, name: &str, rows: u64) {
        if rows > 0 {
            let rows = crate::render::number::counted(rows, "row");
            self.notes
                .push(format!("{name}: {rows} without a time that can be read, not compared"));
        }
    }
}
