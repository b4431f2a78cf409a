//! What could not be understood, as far as it still lies there.

use std::io;
use std::path::Path;

use anyhow::Result;
use trueup_core::{ProblemKind, Text};
use trueup_ledger::{Reader, StoredProblem};

/// The problems of stores that are there, by source, path and line. A store that is gone is no problem
/// any more, though the ledger remembers that it was one; unless that it is gone is the problem.
pub(crate) fn present(reader: &Reader) -> Result<Vec<StoredProblem>> {
    let mut is_gone = Gone::default();
    let mut problems = reader.problems(u32::MAX)?;
    problems.retain(|stored| {
        is_gone.is(&stored.store.path) == (stored.kind == Some(ProblemKind::Missing))
    });
    Ok(problems)
}

/// Whether stores are gone; of each that follows another line of the same, asked once.
#[derive(Debug, Default)]
struct Gone {
    path: Text,
    is_gone: bool,
}

impl Gone {
    fn is(&mut self, path: &Text) -> bool {
        if self.path != *path {
            self.path = Text::clone(path);
            // A link to nothing is there: it is the link that is asked for.
            let found = std::fs::symlink_metadata(Path::new(&**path));
            self.is_gone = found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        }
        self.is_gone
    }
}
