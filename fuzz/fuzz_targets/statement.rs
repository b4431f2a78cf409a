//! Any bytes as a statement, at once and in small pieces.

#![no_main]

use std::io::Read;

use trueup_core::StatedFact;
use trueup_providers::{StatementOptions, StatementReader, StatementSummary};

/// Gives a few bytes at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(7);
        self.0.read(buffer.get_mut(..count).unwrap_or_default())
    }
}

fn read(input: impl Read) -> Result<(Vec<StatedFact>, StatementSummary), String> {
    let options = StatementOptions::default();
    let mut reader = StatementReader::new(input, options).map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row().map_err(|error| error.to_string())? {
        rows.push(row);
    }
    Ok((rows, reader.summary().clone()))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes);
    assert_eq!(read(Slow(bytes)), whole, "in pieces");
    if let Ok((rows, summary)) = whole {
        assert_eq!(rows.len() as u64, summary.rows);
        assert!(summary.unplaced <= summary.odd && summary.odd <= summary.rows);
        let unplaced = rows.iter().filter(|row| row.start.is_none()).count();
        assert_eq!(unplaced as u64, summary.unplaced);
    }
});
