//! Where an export goes: to a file that is there as a whole or not at all, or to standard output.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result};

/// Lets `write` write to a file, or to standard output for `-` and where no file is named.
pub(crate) fn to_place(
    place: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let Some(path) = place.filter(|path| *path != Path::new("-")) else {
        let mut out = io::BufWriter::new(io::stdout().lock());
        write(&mut out)?;
        return Ok(out.flush()?);
    };
    to_file(path, write).with_context(|| format!("{} cannot be written", path.display()))
}

/// A file beside it is written first, so that nobody reads half of it.
fn to_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut half = tempfile::Builder::new()
        .prefix(".trueup-")
        .tempfile_in(folder.unwrap_or_else(|| Path::new(".")))?;
    let mut out = io::BufWriter::new(half.as_file_mut());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    half.as_file().sync_all()?;
    half.persist(path)?;
    Ok(())
}
