//! The crate `secrets_scanner`, as it redacts what an untrusted text says: texts in (JSON on standard
//! input), texts out.

use std::fs;
use std::io;

use secrets_scanner::{ScanConfig, Scanner};

/// Ticks of a second in /proc, on every Linux.
const TICKS: f64 = 100.0;

/// Seconds that this process was on a processor.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let after = stat.rsplit(')').next().expect("a name");
    let times = after.split_whitespace().skip(11).take(2);
    times.map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / TICKS
}

fn main() {
    let texts: Vec<String> = serde_json::from_reader(io::stdin()).expect("a list of texts");
    let scanner = Scanner::from_bundled().expect("its own rules").with_config(ScanConfig::proxy());
    let begin = processor_seconds();
    let redacted: Vec<String> = texts
        .iter()
        .map(|text| scanner.scan_proxy(text.as_bytes()).expect("a short text").redacted)
        .map(|redacted| String::from_utf8_lossy(&redacted).into_owned())
        .collect();
    let seconds = processor_seconds() - begin;
    let told = serde_json::json!({"texts": redacted, "seconds": seconds});
    serde_json::to_writer(io::stdout(), &told).expect("standard output");
}
