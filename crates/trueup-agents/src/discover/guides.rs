//! Reads the guides: files of agents' own that say where further stores lie.
//!
//! One that is unchanged is not opened again: a registry belongs to a running agent, and even reading
//! a database takes hold of it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use trueup_core::{Position, Problem, ProblemKind, StoreId};

use crate::agent::{Agent, Content, Directions, Environment, Guide};
use crate::scan::{ScanError, hash64};
use crate::sqlite;

/// Longest document that is read for directions.
const GUIDE_BYTES_MAX: u64 = 1 << 20;

/// What guides said when they were last read.
#[derive(Debug, Default)]
pub(super) struct Guides {
    known: HashMap<PathBuf, Known>,
}

#[derive(Debug)]
struct Known {
    position: Position,
    directions: Directions,
    is_seen: bool,
}

impl Guides {
    /// What a guide says; `None` where there is none and need not be one.
    pub(super) fn read(
        &mut self,
        agent: &dyn Agent,
        guide: &Guide,
        environment: &Environment,
    ) -> Option<Directions> {
        let result = position(guide).map_err(ScanError::Io).and_then(|position| {
            if let Some(known) = self.known.get_mut(&guide.path)
                && known.position == position
            {
                known.is_seen = true;
                return Ok(known.directions.clone());
            }
            let mut directions = Directions::default();
            read(agent, guide, environment, &mut directions)?;
            let known = Known { position, directions: directions.clone(), is_seen: true };
            self.known.insert(guide.path.clone(), known);
            Ok(directions)
        });
        match result {
            Ok(directions) => Some(directions),
            Err(ScanError::Io(error))
                if error.kind() == io::ErrorKind::NotFound && guide.named_by.is_none() =>
            {
                None
            }
            Err(error) => {
                let mut directions = Directions::default();
                let detail = format!("{error}, and it may name further stores");
                directions.problem(ProblemKind::Unreadable, 0, detail);
                Some(directions)
            }
        }
    }

    /// Forgets the guides that were not read since the last time.
    pub(super) fn forget_unseen(&mut self) {
        self.known.retain(|_, known| std::mem::take(&mut known.is_seen));
    }
}

fn position(guide: &Guide) -> io::Result<Position> {
    if guide.is_database {
        return sqlite::position(&guide.path);
    }
    let stamp = super::stamp(&fs::metadata(&guide.path)?);
    Ok(Position { stamp, ..Position::default() })
}

fn read(
    agent: &dyn Agent,
    guide: &Guide,
    environment: &Environment,
    directions: &mut Directions,
) -> Result<(), ScanError> {
    if guide.is_database {
        let database = sqlite::open_read_only(&guide.path)?;
        agent.follow(guide, &Content::Database(&database), environment, directions)?;
        return Ok(());
    }
    let mut bytes = Vec::new();
    // Only a file: opening a pipe would wait for whoever writes into it.
    if !fs::metadata(&guide.path)?.is_file() {
        return Err(io::Error::other("it is no file").into());
    }
    File::open(&guide.path)?.take(GUIDE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > GUIDE_BYTES_MAX {
        directions.problem(
            ProblemKind::TooLarge,
            0,
            format!("is larger than {GUIDE_BYTES_MAX} bytes, and may name further stores"),
        );
        return Ok(());
    }
    agent.follow(guide, &Content::Document(&bytes), environment, directions)?;
    Ok(())
}

/// A guide, and what is wrong with it and with the places that it names.
#[derive(Debug, Clone)]
pub struct GuideProblems {
    /// The guide.
    pub guide: StoreId,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl GuideProblems {
    pub(super) fn new(agent: &dyn Agent, guide: &Guide, problems: Vec<Problem>) -> Self {
        let named = |path: &Path| StoreId::of_file(agent.id(), &path.to_string_lossy());
        let Some(by) = &guide.named_by else {
            return Self { guide: named(&guide.path), problems };
        };
        // Of the file that its owner knows: this one may not even be there.
        let said = |problem: Problem| {
            let detail = format!("includes {}: {}", guide.path.display(), problem.detail);
            Problem { detail, line: 0, ..problem }
        };
        let problems = problems.into_iter().map(said).collect();
        Self { guide: named(by), problems }
    }

    /// What tells whether these problems are known already: the default where there are none.
    #[must_use]
    pub fn position(&self) -> Position {
        if self.problems.is_empty() {
            return Position::default();
        }
        let tail_hash = hash64(format!("{:?}", self.problems).as_bytes());
        Position { tail_hash, ..Position::default() }
    }
}
