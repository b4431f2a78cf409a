//! A run as JSON, schema 1 (docs/parity.md). Counts are integers, money is decimal strings.

use serde_json::{Map, Value, json};
use trueup_core::Decimal;
use trueup_core::reconcile::{Finding, Labels, PairResult, Quantity, Sums, TieLine, most_of};

use super::{Shown, last_day};

/// The version of the shape. It changes only when a reader of an older one would misread.
const SCHEMA: u32 = 1;

pub(crate) fn run(shown: &Shown<'_>) -> Value {
    let run = shown.run;
    let notices = run.notices.iter().map(|(class, notice)| {
        let value = json!({"count": notice.count, "places": notice.places});
        (class.name().to_owned(), value)
    });
    let unconnected = run.unconnected.iter().map(|(provider, told)| (provider.clone(), sums(told)));
    json!({
        "schema": SCHEMA,
        "run_id": run.run_id,
        "inputs": format!("{:032x}", u128::from_be_bytes(run.inputs)),
        "from": run.from.utc_date(),
        "to": last_day(run),
        "verdict": run.verdict.name(),
        "exit_code": run.verdict.exit_code(),
        "ties_out": run.ties_out(),
        "comparisons": run.pairs.iter().map(comparison).collect::<Vec<_>>(),
        "findings": run.findings.iter().map(finding).collect::<Vec<_>>(),
        "notices": Value::Object(notices.collect()),
        "unconnected": Value::Object(unconnected.collect()),
        "accepted_expired": run.expired,
        "files": shown.files,
        "notes": shown.notes,
    })
}

fn comparison(pair: &PairResult) -> Value {
    let classes = pair.classes.iter().map(|(class, (cells, left, right))| {
        let value = json!({"cells": cells, "left": sums(left), "right": sums(right)});
        (class.name().to_owned(), value)
    });
    let capture = pair.capture.iter().map(|(what, e4)| ((*what).to_owned(), json!(ratio(*e4))));
    let quantities: Vec<&str> = pair.quantities.iter().map(|quantity| quantity.name()).collect();
    json!({
        "provider": pair.provider,
        "left": pair.sides.0.name(),
        "right": pair.sides.1.name(),
        "quantities": quantities,
        "days": pair.days,
        "days_covered": pair.days_covered,
        "days_provisional": pair.days_provisional,
        "capture_rate": Value::Object(capture.collect()),
        "price_ratio": pair.price_ratio_e4.map(ratio),
        "classes": Value::Object(classes.collect()),
        "tie_out": pair.ties.iter().map(tie).collect::<Vec<_>>(),
    })
}

/// Ten-thousandths as a decimal text.
fn ratio(e4: i128) -> String {
    Decimal::from(e4).shifted(-4).to_string()
}

fn tie(line: &TieLine) -> Value {
    let TieLine { side, is_estimated, quantity, matched, variance, missing, total } = line;
    let [matched, variance, missing, total] =
        [matched, variance, missing, total].map(|amount| number(*quantity, amount));
    json!({
        "side": side.name(), "is_estimated": is_estimated, "quantity": quantity.name(),
        "matched": matched, "variance": variance, "missing": missing, "total": total,
        "holds": line.holds(),
    })
}

fn finding(finding: &Finding) -> Value {
    let Labels { model, tier, context, project, key } = &finding.cell.labels;
    let told_by = most_of(&finding.told_by).into_iter().map(|(labels, weight)| {
        let quantity =
            if finding.sides.1.is_cost() { Quantity::Cost } else { Quantity::InUncached };
        json!({"project": labels.project, "key": labels.key, "weight": number(quantity, weight)})
    });
    let told_by: Vec<Value> = told_by.collect();
    let unsupported: Vec<&str> = finding.unsupported.iter().map(|grain| grain.name()).collect();
    json!({
        "class": finding.class.name(),
        "kind": finding.kind.name(),
        "severity": finding.severity.name(),
        "provider": finding.provider,
        "left": finding.sides.0.name(),
        "right": finding.sides.1.name(),
        "day": finding.cell.day.utc_date(),
        "model": model,
        "tier": tier,
        "context": context,
        "project": project,
        "key": key,
        "left_says": sums(&finding.left),
        "estimated": sums(&finding.estimated),
        "right_says": sums(&finding.right),
        "told_by": told_by,
        "unsupported": unsupported,
        "is_named": finding.is_named,
        "accepted": finding.accepted,
    })
}

pub(super) fn sums(of: &Sums) -> Value {
    let sums =
        of.told().map(|(quantity, amount)| (quantity.name().to_owned(), number(quantity, amount)));
    Value::Object(sums.collect::<Map<_, _>>())
}

/// A count as an integer, where one can be written; money and the rest as a text.
fn number(quantity: Quantity, amount: &Decimal) -> Value {
    let count = amount.to_count().filter(|_| quantity != Quantity::Cost);
    count.map_or_else(|| json!(amount.to_string()), |count| json!(count))
}
