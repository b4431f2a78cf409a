//! Differences as CSV (RFC 4180), one line each.

use std::io;

use anyhow::Result;
use trueup_core::reconcile::{Finding, Labels, Quantity, Sums};

use super::Shown;
use crate::render::csv::harmless;

pub(super) fn write(shown: &Shown<'_>, to: impl io::Write) -> Result<()> {
    let mut csv = csv::Writer::from_writer(to);
    let names = ["left", "estimated", "right"]
        .into_iter()
        .flat_map(|of| Quantity::ALL.map(|quantity| format!("{of}_{}", quantity.name())));
    csv.write_record(COLUMNS.into_iter().map(str::to_owned).chain(names))?;
    for finding in &shown.run.findings {
        csv.write_record(record(finding))?;
    }
    csv.flush()?;
    Ok(())
}

const COLUMNS: [&str; 14] = [
    "class", "kind", "severity", "provider", "left", "right", "day", "model", "tier", "context",
    "project", "key", "is_named", "accepted",
];

fn record(finding: &Finding) -> Vec<String> {
    let Labels { model, tier, context, project, key } = &finding.cell.labels;
    let name = |label: &Option<trueup_core::Text>| harmless(label.as_deref().unwrap_or_default());
    let mut record = vec![
        finding.class.name().to_owned(),
        finding.kind.name().to_owned(),
        finding.severity.name().to_owned(),
        harmless(&finding.provider),
        finding.sides.0.name().to_owned(),
        finding.sides.1.name().to_owned(),
        finding.cell.day.utc_date(),
        name(model),
        name(tier),
        name(context),
        name(project),
        name(key),
        finding.is_named.to_string(),
        harmless(finding.accepted.as_deref().unwrap_or_default()),
    ];
    for sums in [&finding.left, &finding.estimated, &finding.right] {
        record.extend(amounts(sums));
    }
    record
}

/// Amounts; what was not told stays empty.
fn amounts(sums: &Sums) -> [String; 7] {
    Quantity::ALL.map(|quantity| sums.get(quantity).map(ToString::to_string).unwrap_or_default())
}
