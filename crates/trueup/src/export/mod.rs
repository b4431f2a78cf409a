//! Exports: what usage cost, as providers charged it where they tell, else as the account knows it; and
//! the tables of usage, sessions, errors and samples of the machine (`views`, in the forms of `table`).
//!
//! Which of the two a day of a provider is, is decided for the whole day: nothing is counted by both.

mod billed;
mod own;
mod stated;
mod table;
mod views;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::Result;
use trueup_core::prices::provider_key;
use trueup_core::report::{Pricer, Window};
use trueup_core::{Charged, ChargedSums, Text, UnixMs};
use trueup_ledger::Reader;
use trueup_providers::FocusWriter;

use crate::parity::{Names, Narrow, Stated};
use crate::usage::Usage;

pub(crate) use table::Format;
pub(crate) use views::{AskedUsage, errors, host, report, sessions, usage};
pub(crate) use write::to_place;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Rows as fine as they are told.
    pub(crate) rows: Vec<Charged>,
    /// What was taken and what was left out, in sentences.
    pub(crate) notes: BTreeSet<String>,
    /// How many calls of each model have no known price.
    pub(crate) unpriced: BTreeMap<Text, u64>,
    /// The days that a provider tells of.
    covered: BTreeSet<(String, UnixMs)>,
}

impl Gathered {
    fn cover(&mut self, provider: &str, day: UnixMs) {
        self.covered.insert((provider_key(provider), day));
    }

    fn is_covered(&self, provider: &str, day: UnixMs) -> bool {
        self.covered.contains(&(provider_key(provider), day))
    }
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    /// From when to when, in whole UTC days.
    pub(crate) window: Window,
    /// Only these providers or connections; nothing for all.
    pub(crate) providers: Vec<String>,
    /// Whether a cost that an agent stated goes before the price table.
    pub(crate) is_reported_taken: bool,
}

/// Writes rows of cost as FOCUS.
pub(crate) fn focus(rows: Vec<Charged>, out: &mut dyn Write) -> Result<()> {
    let mut sums = ChargedSums::default();
    for row in rows {
        sums.add(row);
    }
    let mut focus = FocusWriter::new(out)?;
    for row in sums.into_rows() {
        focus.write(&row)?;
    }
    focus.finish()?;
    Ok(())
}

/// Gathers rows of cost.
pub(crate) fn gather(
    usage: &Usage,
    reader: &Reader,
    pricer: Pricer<'_>,
    asked: &Asked,
) -> Result<Gathered> {
    let mut gathered = Gathered::default();
    let narrow = Narrow { providers: asked.providers.clone(), ..Narrow::default() };
    let names = reader.provider_names()?;
    let names = Names::new(&names);
    billed::pulled(reader, asked.window, &narrow, &names, &mut gathered)?;
    let mut stated = Stated::of_ledger(reader, asked.window)?;
    stated.add_begun(reader, asked.window)?;
    stated::stated(&stated, asked.window, &narrow, &names, &mut gathered);
    own::account(usage, pricer, asked, &narrow, &names, &mut gathered)?;
    for row in &mut gathered.rows {
        let names = names.of(&row.provider);
        let name = |kind: &str, id: &str| names.name(kind, id).cloned().unwrap_or_default();
        if row.project_name.is_empty() {
            row.project_name = name("project", &row.project);
        }
        if row.key_name.is_empty() {
            row.key_name = name("key", &row.key);
        }
    }
    Ok(gathered)
}
