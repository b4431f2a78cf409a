//! The laws of reading OTLP, and each dialect as its agent or SDK really writes it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "helpers of tests"
)]

mod codecs;
mod dialects;
mod fixtures;
mod hostile;

use trueup_core::UnixMs;
use trueup_otlp::{Encoding, Export, Reading, Refusal, Signal, Text, read};

/// Some time in November 2026.
const NOW: UnixMs = UnixMs(1_795_212_510_000);
const READING: Reading = Reading { now: NOW, text: Text::Off };

fn read_json(signal: Signal, json: &str) -> Result<Export, Refusal> {
    read(json.as_bytes(), Encoding::Json, Some(signal), &READING)
}
