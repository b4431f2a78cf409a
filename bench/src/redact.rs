//! The redactor's speed, beside what the machine can do with the same bytes.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use trueup_telemetry::redact::{Level, Limits, Redactor};

use crate::rng::Rng;

/// Lines that are made where no file is given.
const LINES: usize = 20_000;

/// What is done with a text; how long what came out is.
type Way<'w> = &'w dyn Fn(&str) -> usize;

/// Prints a row for each way through the texts.
pub(crate) fn print(files: &[PathBuf], rounds: u32) -> Result<()> {
    let mut texts = Vec::new();
    for file in files {
        texts.extend(read(file).with_context(|| format!("read {}", file.display()))?);
    }
    if files.is_empty() {
        texts = made();
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    println!("{} texts, {bytes} bytes, the longest {}", texts.len(), longest(&texts));
    let ways: [(&str, Way<'_>); 4] = [
        ("template", &redacting(Level::Template)),
        ("redacted", &redacting(Level::Redacted)),
        ("bare copy", &|text| black_box(text.to_owned()).len()),
        ("bare memchr", &|text| memchr::memchr_iter(b'\n', text.as_bytes()).count()),
    ];
    let mut best = ways.map(|_| Duration::MAX);
    for _ in 0..rounds.max(1) {
        for ((_, way), best) in ways.iter().zip(&mut best) {
            *best = (*best).min(time(&texts, way));
        }
    }
    for ((name, _), best) in ways.iter().zip(best) {
        let seconds = best.as_secs_f64();
        let rate = bytes as f64 / seconds / 1e6;
        let each = seconds * 1e6 / texts.len() as f64;
        println!("{name:<12}{rate:>10.1} MB/s{each:>10.3} µs a text");
    }
    Ok(())
}

fn redacting(level: Level) -> impl Fn(&str) -> usize {
    let redactor = Redactor::new(level);
    move |text| redactor.redact(text, Limits::LINE).map_or(0, |redacted| redacted.len())
}

fn time(texts: &[String], way: Way<'_>) -> Duration {
    let begin = processor_time();
    let length: usize = texts.iter().map(|text| way(text)).sum();
    black_box(length);
    processor_time().saturating_sub(begin)
}

/// How long this thread was on a processor: others on the machine do not count.
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}

fn longest(texts: &[String]) -> usize {
    texts.iter().map(String::len).max().unwrap_or(0)
}

/// The texts of a file: fields `text` of JSON, or else its lines.
fn read(file: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(file)?;
    let is_packed = file.extension().is_some_and(|end| end == "zst");
    let bytes = if is_packed { zstd::decode_all(bytes.as_slice())? } else { bytes };
    let text = String::from_utf8(bytes).context("it is not UTF-8")?;
    if let Ok(Value::Array(values)) = serde_json::from_str(&text) {
        return Ok(values.iter().filter_map(text_of).collect());
    }
    let line = |line: &str| {
        serde_json::from_str(line)
            .ok()
            .and_then(|value| text_of(&value))
            .unwrap_or_else(|| line.to_owned())
    };
    Ok(text.lines().map(line).collect())
}

fn text_of(value: &Value) -> Option<String> {
    Some(value.get("text")?.as_str()?.to_owned())
}

/// Lines as logs have them.
fn made() -> Vec<String> {
    let mut rng = Rng::new(42, 0);
    let line = |at: usize| {
        let (task, ms) = (rng.below(10_000), rng.below(900));
        if at.is_multiple_of(8) {
            let secret = rng.hex(40);
            format!("task {task}: request failed after {ms} ms: Authorization: Bearer {secret}")
        } else {
            format!(
                "task {task}: cannot open src/cli/mod.rs after {ms} ms: permission denied (os error 13)"
            )
        }
    };
    (0..LINES).map(line).collect()
}
