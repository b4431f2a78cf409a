//! A test report as CI systems read it: each comparison is a suite, each day a test.
//!
//! A day that fails has a failure for each difference; one that is not known, or may still change, is
//! skipped. That the amounts tie out is a test of its own.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::Result;
use trueup_core::reconcile::{Class, Finding, PairResult, Reconciliation};
use trueup_core::{DAY_MS, UnixMs};

use super::html::escaped;
use super::{Shown, against};

/// A suite that is to be written.
struct Suite {
    name: String,
    tests: Vec<String>,
    failures: usize,
    skipped: usize,
}

pub(super) fn write(shown: &Shown<'_>, out: &mut Vec<u8>) -> Result<()> {
    let suites: Vec<Suite> = shown.run.pairs.iter().map(|pair| suite(shown, pair)).collect();
    let sum = |of: fn(&Suite) -> usize| suites.iter().map(of).sum::<usize>();
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        out,
        "<testsuites name=\"trueup parity\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\">",
        sum(|suite| suite.tests.len()),
        sum(|suite| suite.failures),
        sum(|suite| suite.skipped)
    )?;
    for Suite { name, tests, failures, skipped } in &suites {
        writeln!(
            out,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\">",
            escaped(name),
            tests.len()
        )?;
        for test in tests {
            writeln!(out, "{test}")?;
        }
        writeln!(out, "</testsuite>")?;
    }
    writeln!(out, "</testsuites>")?;
    Ok(())
}

fn suite(shown: &Shown<'_>, pair: &PairResult) -> Suite {
    let run = shown.run;
    let name = against(&pair.provider, pair.sides);
    let mut suite = Suite { name: name.clone(), tests: Vec::new(), failures: 0, skipped: 0 };
    let mut by_day: BTreeMap<UnixMs, Vec<&Finding>> = BTreeMap::new();
    for finding in &run.findings {
        if finding.provider == pair.provider && finding.sides == pair.sides {
            by_day.entry(finding.cell.day).or_default().push(finding);
        }
    }
    let count = (run.until.0 - run.from.0) / DAY_MS;
    for at in (0..count).map(|number| UnixMs(run.from.0 + number * DAY_MS)) {
        let found = by_day.remove(&at).unwrap_or_default();
        let fails: Vec<&&Finding> =
            found.iter().filter(|finding| Reconciliation::fails(finding, shown.fail_on)).collect();
        let open = found
            .iter()
            .find(|finding| matches!(finding.class, Class::Uncovered | Class::Provisional));
        let inner = match (fails.is_empty(), open) {
            (false, _) => {
                suite.failures += 1;
                failure(&fails)
            }
            (true, Some(open)) => {
                suite.skipped += 1;
                format!("<skipped message=\"{}\"/>", escaped(open.class.meaning()))
            }
            (true, None) => String::new(),
        };
        suite.tests.push(test(&name, &at.utc_date(), &inner));
    }
    let inner = if pair.ties.iter().all(trueup_core::reconcile::TieLine::holds) {
        String::new()
    } else {
        suite.failures += 1;
        "<failure type=\"tie_out\" message=\"the amounts do not add up\"/>".to_owned()
    };
    suite.tests.push(test(&name, "tie-out", &inner));
    suite
}

fn test(suite: &str, name: &str, inner: &str) -> String {
    format!("<testcase classname=\"{}\" name=\"{name}\">{inner}</testcase>", escaped(suite))
}

/// One failure with a line for each difference: not every reader takes several.
fn failure(findings: &[&&Finding]) -> String {
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            let labels = &finding.cell.labels;
            let parts =
                [&labels.model, &labels.tier, &labels.context, &labels.project, &labels.key];
            let parts: Vec<&str> = parts.into_iter().flatten().map(|label| &**label).collect();
            let place =
                if parts.is_empty() { "the whole day".to_owned() } else { parts.join(", ") };
            let unit = if finding.sides.1.is_cost() { "dollars" } else { "tokens" };
            format!("{}, {place}: differs by {} {unit}", finding.class.name(), finding.weight())
        })
        .collect();
    let first = findings.first().map_or("", |finding| finding.class.name());
    let text: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
    format!(
        "<failure type=\"{first}\" message=\"{}\">{}</failure>",
        escaped(lines.first().map_or("", String::as_str)),
        text.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_a_tag() {
        let written = test("a\"><b>&\u{1}", "2026-11-20", "");
        assert_eq!(
            written,
            "<testcase classname=\"a&quot;&gt;&lt;b&gt;&amp;\u{fffd}\" name=\"2026-11-20\"></testcase>"
        );
    }
}
