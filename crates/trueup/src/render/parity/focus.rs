//! What was billed, or worked out by a gateway, as FOCUS 1.2, with what became of it: `x_ReconStatus` is the class of the smallest
//! cell in which a charge lies, and `match` where its day agrees.
//!
//! What only the account has is no charge, and not in it; `trueup export focus` tells charges in more
//! detail.

use anyhow::Result;
use trueup_core::prices::{model_key, provider_key};
use trueup_core::reconcile::{Class, Finding, Labels, Quantity, Row, Side};
use trueup_core::{Basis, Charged, ChargedSums, DAY_MS, Text};
use trueup_providers::FocusWriter;

use super::Shown;
use crate::parity::GATEWAY_PROVIDER;

pub(super) fn write(shown: &Shown<'_>, to: &mut Vec<u8>) -> Result<()> {
    let mut sums = ChargedSums::default();
    for row in shown.input.rows.iter().filter(|row| is_shown(shown, row)) {
        sums.add(charged(shown, row));
    }
    let mut focus = FocusWriter::new(to)?;
    for row in sums.into_rows() {
        focus.write(&row)?;
    }
    focus.finish()?;
    Ok(())
}

/// Charges of the span, of each day of one side: a statement's only where the day was not pulled.
fn is_shown(shown: &Shown<'_>, row: &Row) -> bool {
    let run = shown.run;
    let is_pulled = || {
        let pulled = shown.input.coverage.get(&(Side::Cost, provider_key(&row.provider)));
        pulled.is_some_and(|days| days.contains_key(&row.start.floor(DAY_MS)))
    };
    let is_within = run.from <= row.start && row.start < run.until;
    is_within
        && match row.side {
            Side::Cost => true,
            Side::StatementCost => !is_pulled(),
            Side::Account | Side::Usage | Side::Statement => false,
        }
}

fn charged(shown: &Shown<'_>, row: &Row) -> Charged {
    let text = |label: &Option<Text>| label.clone().unwrap_or_default();
    let Labels { model, tier, context, project, key } = &row.labels;
    let provider = provider_key(&row.provider);
    // What a gateway has worked out is no bill.
    let is_billed = row.side != Side::Cost || provider != GATEWAY_PROVIDER;
    let basis = if is_billed { Basis::Billed } else { Basis::Estimate };
    let mut charged = Charged::new(row.start.floor(DAY_MS), &provider, basis);
    charged.model = text(model);
    charged.tier = text(tier);
    charged.project = text(project);
    charged.key = text(key);
    if let Some(context) = context {
        charged.tags.insert("context_window".into(), Text::clone(context));
    }
    charged.amount = row.sums.get(Quantity::Cost).cloned();
    charged.state = class(shown, row, &provider).name().into();
    charged
}

/// What became of the smallest cell that a charge lies in.
fn class(shown: &Shown<'_>, row: &Row, provider: &str) -> Class {
    let day = row.start.floor(DAY_MS);
    let findings = shown.run.findings.iter().filter(|finding| {
        finding.cell.day == day && finding.provider == provider && is_of(finding, row)
    });
    findings.max_by_key(|finding| told(&finding.cell.labels)).map_or(Class::Match, |it| it.class)
}

/// Whether a difference of its day is about a row.
fn is_of(finding: &Finding, row: &Row) -> bool {
    let cell = &finding.cell.labels;
    let labels = &row.labels;
    let is = |asked: &Option<Text>, told: &Option<Text>| asked.is_none() || asked == told;
    let is_model = |asked: &Text, told: &Text| model_key(asked) == model_key(told);
    finding.sides.1 == row.side
        && (is(&cell.model, &labels.model)
            || cell.model.as_ref().zip(labels.model.as_ref()).is_some_and(|(a, b)| is_model(a, b)))
        && is(&cell.tier, &labels.tier)
        && is(&cell.context, &labels.context)
        && is(&cell.project, &labels.project)
        && is(&cell.key, &labels.key)
}

/// How small a cell is.
fn told(labels: &Labels) -> usize {
    let Labels { model, tier, context, project, key } = labels;
    [model, tier, context, project, key].into_iter().flatten().count()
}
