//! How fast exports of OpenTelemetry become calls, without a socket and a ledger.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use trueup_core::UnixMs;
use trueup_otlp::{Encoding, Export, Reading, Text, read};

use crate::redact::processor_time;

/// How often a body is read in a round.
const TIMES: usize = 200;

/// Prints a row for each body: JSON where its name ends so, and protobuf otherwise.
pub(crate) fn print(files: &[PathBuf], now: UnixMs, rounds: u32) -> Result<()> {
    let reading = Reading { now, text: Text::Off };
    for file in files {
        let body = fs::read(file).with_context(|| format!("read {}", file.display()))?;
        let encoding = encoding(file);
        let calls = parse(&body, encoding, &reading)?.calls.len();
        let mut best = Duration::MAX;
        for _ in 0..rounds.max(1) {
            let begin = processor_time();
            for _ in 0..TIMES {
                black_box(parse(black_box(&body), encoding, &reading)?);
            }
            best = best.min(processor_time().saturating_sub(begin));
        }
        let each_us = best.as_secs_f64() * 1e6 / (TIMES * calls.max(1)) as f64;
        let rate = 1e6 / each_us;
        let bytes = body.len() / calls.max(1);
        println!(
            "{:<16}{calls:>6} calls of {bytes:>5} bytes{each_us:>9.2} µs a call{rate:>12.0} calls/s",
            file.file_name().unwrap_or_default().to_string_lossy()
        );
    }
    Ok(())
}

fn encoding(file: &Path) -> Encoding {
    let is_json = file.extension().is_some_and(|ending| ending == "json");
    if is_json { Encoding::Json } else { Encoding::Protobuf }
}

fn parse(body: &[u8], encoding: Encoding, reading: &Reading) -> Result<Export> {
    Ok(read(body, encoding, None, reading)?)
}
