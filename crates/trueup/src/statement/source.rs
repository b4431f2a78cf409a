//! Where a statement comes from, and the hash of what came.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

/// The longest CSV that is read; what is longer is no export, or was compressed to do harm.
const BYTES_MAX: u64 = 8 << 30;
/// How a file that is compressed by gzip begins.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// A file, or standard input.
pub(super) struct Source {
    /// Its name, without its folder.
    pub(super) name: String,
    /// Its bytes, decompressed.
    pub(super) input: Box<dyn Read>,
}

impl Source {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::of("(standard input)".to_owned(), io::stdin());
        }
        let file = File::open(path).context("it cannot be opened")?;
        if file.metadata().is_ok_and(|it| it.is_dir()) {
            bail!("it is a folder; name the files in it");
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        // It is shown in terminals.
        Self::of(name.chars().filter(|c| !c.is_control()).collect(), file)
    }

    fn of(name: String, input: impl Read + 'static) -> Result<Self> {
        let mut input = BufReader::new(input);
        let is_gzip = input.fill_buf().context("it cannot be read")?.starts_with(GZIP);
        let input: Box<dyn Read> =
            if is_gzip { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) };
        Ok(Self { name, input })
    }
}

/// The hash of a file, decompressed; none of what is no file, because that can be read only once, or of
/// what cannot be read.
pub(super) fn hash_of(path: &Path) -> Option<[u8; 32]> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let (mut input, measured) = Measured::new(Source::open(path).ok()?.input);
    io::copy(&mut input, &mut io::sink()).ok()?;
    Some(measured.taken().0)
}

/// The hash and the length of what was read so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Measure(Rc<RefCell<(Sha256, u64)>>);

impl Measure {
    pub(super) fn taken(&self) -> ([u8; 32], u64) {
        let (hash, bytes) = &*self.0.borrow();
        (hash.clone().finalize().into(), *bytes)
    }
}

/// Bytes that are measured as they pass.
#[derive(Debug)]
pub(super) struct Measured<R> {
    input: R,
    measure: Measure,
}

impl<R> Measured<R> {
    pub(super) fn new(input: R) -> (Self, Measure) {
        let measure = Measure::default();
        (Self { input, measure: measure.clone() }, measure)
    }
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let (hash, bytes) = &mut *self.measure.0.borrow_mut();
        hash.update(buffer.get(..count).unwrap_or_default());
        *bytes += count as u64;
        if *bytes > BYTES_MAX {
            let limit = BYTES_MAX >> 30;
            return Err(io::Error::other(format!("it is longer than {limit} GiB")));
        }
        Ok(count)
    }
}
