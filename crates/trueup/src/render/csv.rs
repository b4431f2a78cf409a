//! Reports as CSV (RFC 4180): one line a row, exact and estimated columns side by side.

use std::io;

use anyhow::Result;
use trueup_core::report::{Report, Sum};

/// Writes a report.
pub(crate) fn report(report: &Report, to: impl io::Write) -> Result<()> {
    let mut csv = csv::Writer::from_writer(to);
    let names = report.by.iter().map(|dimension| dimension.name().to_owned());
    let columns = ["exact", "estimated"]
        .into_iter()
        .flat_map(|kind| COLUMNS.map(|column| format!("{kind}_{column}")));
    csv.write_record(names.chain(columns))?;
    for row in &report.rows {
        let keys = row.keys.iter().map(|key| harmless(key));
        csv.write_record(keys.chain(values(&row.sums.exact)).chain(values(&row.sums.estimated)))?;
    }
    csv.flush()?;
    Ok(())
}

const COLUMNS: [&str; 12] = [
    "calls",
    "errors",
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "cache_write",
    "output",
    "reasoning",
    "total",
    "cost_usd",
    "unpriced_calls",
];

fn values(sum: &Sum) -> [String; 12] {
    let tokens = &sum.tokens;
    [
        sum.calls.to_string(),
        sum.errors.to_string(),
        tokens.input.to_string(),
        tokens.cache_read.to_string(),
        tokens.cache_write_5m.to_string(),
        tokens.cache_write_1h.to_string(),
        tokens.cache_write.to_string(),
        tokens.output.to_string(),
        tokens.reasoning.to_string(),
        tokens.total().to_string(),
        sum.cost_nanousd().to_string(),
        sum.unpriced_calls.to_string(),
    ]
}

/// A name that a spreadsheet takes for a name, not for a formula.
pub(crate) fn harmless(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{name}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_formulas() {
        assert_eq!(harmless("=cmd()"), "'=cmd()");
        assert_eq!(harmless("claude"), "claude");
    }
}
