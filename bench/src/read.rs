//! The bare reader: all bytes of a corpus, nothing done with them. The floor for any reader.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};

/// One read; larger ones fall out of the second-level cache.
const BUFFER_BYTES: usize = 512 * 1024;

/// Reads every file below `dir` with `threads` threads, largest first; returns files and bytes.
pub(crate) fn all(dir: &Path, threads: usize) -> Result<(usize, u64)> {
    let files = largest_first(dir)?;
    let next = AtomicUsize::new(0);
    let bytes = std::thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads.max(1)).map(|_| scope.spawn(|| take_turns(&files, &next))).collect();
        running.into_iter().try_fold(0, |sum, thread| match thread.join() {
            Ok(bytes) => bytes.map(|bytes| sum + bytes),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok((files.len(), bytes))
}

fn largest_first(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(dir) {
        let entry = entry?;
        if entry.file_type().is_file() {
            files.push((entry.metadata()?.len(), entry.into_path()));
        }
    }
    files.sort_by(|a, b| b.cmp(a));
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

fn take_turns(files: &[PathBuf], next: &AtomicUsize) -> Result<u64> {
    let (mut buffer, mut sum) = (vec![0; BUFFER_BYTES], 0);
    while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => sum += read as u64,
            }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_byte_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), vec![1; 1_300_000]).unwrap();
        std::fs::write(dir.path().join("b"), vec![2; 7]).unwrap();
        assert_eq!(super::all(dir.path(), 2).unwrap(), (2, 1_300_007));
    }
}
