//! Whose calls are left to the agent's own files, and are only evidence here.
//!
//! Where files and telemetry have an id in common the ledger sees to it that a call counts once. Where they
//! have none, one of the two must be the record.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use trueup_ledger::Reader;
use trueup_otlp::{Dialect, Export};

use super::{Refused, Settings};
use crate::api::{App, Problem};
use crate::daemon::Counting;

/// Agents whose calls do not simply count.
#[derive(Debug)]
pub(super) struct Files(Vec<Agent>);

/// One of them.
#[derive(Debug)]
struct Agent {
    dialect: Dialect,
    counting: Counting,
    /// Whether calls were read from its files; once they were, they are there.
    are_read: AtomicBool,
}

impl Files {
    pub(super) fn of(settings: &Settings) -> Self {
        let agent = |&(dialect, counting): &(Dialect, Counting)| Agent {
            dialect,
            counting,
            are_read: AtomicBool::new(false),
        };
        Self(settings.counting.iter().map(agent).collect())
    }
}

/// Takes those calls of an export for evidence that the agent's files are the record of.
pub(super) async fn leave_to(app: &Arc<App>, export: &mut Export) -> Result<(), Refused> {
    let told: BTreeSet<Dialect> = export.calls.iter().map(|call| call.dialect).collect();
    for agent in app.otlp.files.0.iter().filter(|agent| told.contains(&agent.dialect)) {
        let is_left = match agent.counting {
            Counting::Merge => false,
            Counting::Files => true,
            Counting::Auto => agent.are_read(app).await?,
        };
        if is_left {
            export.leave(agent.dialect);
        }
    }
    Ok(())
}

impl Agent {
    async fn are_read(&self, app: &Arc<App>) -> Result<bool, Refused> {
        if self.are_read.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let source = self.dialect.source();
        let look = app.read(move |kept, _| {
            let Some(reader) = Reader::open(kept.ledger())? else { return Ok(false) };
            Ok(reader.has_calls_of_files(source)?)
        });
        let are_read = look.await.map_err(|_| {
            Refused::of("busy", Problem::busy("the ledger is busy; send the records again"))
        })?;
        self.are_read.store(are_read, Ordering::Relaxed);
        Ok(are_read)
    }
}
