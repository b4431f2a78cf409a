//! What is perhaps not meant, in a manifest that can be used.

use std::collections::BTreeSet;

use super::{FieldId, FieldType, Finding, Grain, Manifest, Severity, Used, build};
use crate::consent::{Mode, Notice};

/// Events a day from which on a fleet costs money that somebody should have decided on.
const HARD_CAP_USUAL: u64 = 24;
/// What a token of such a name would hold does not belong into telemetry.
const PERSONAL: [&str; 22] = [
    "account", "address", "branch", "command", "cwd", "dir", "email", "file", "folder", "home",
    "host", "hostname", "ip", "message", "path", "project", "prompt", "query", "repo", "session",
    "url", "user",
];

/// Everything that is wrong with a manifest, and everything that is perhaps not meant.
#[must_use]
pub fn lint(text: &str) -> Vec<Finding> {
    let (manifest, mut findings) = build::read(text);
    if let Some(manifest) = manifest {
        let mut advise = |line, field: &str, words: String| {
            let field = field.to_owned();
            findings.push(Finding { severity: Severity::Advice, line, field, words });
        };
        of_fields(&manifest, &mut advise);
        of_events(&manifest, &mut advise);
        of_whole(&manifest, &mut advise);
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}

type Advise<'a> = &'a mut dyn FnMut(usize, &str, String);

fn of_fields(manifest: &Manifest, advise: Advise<'_>) {
    let used: BTreeSet<FieldId> = manifest.told().iter().filter_map(|told| told.from).collect();
    for field in &manifest.fields {
        let path = format!("fields.{}", field.name);
        let id = manifest.find(&field.name);
        let is_start = field.name == super::events::WINDOW_START;
        if !is_start && !id.is_some_and(|id| used.contains(&id)) {
            advise(field.line, &path, "is in no event: nothing can tell it".to_owned());
        }
        if field.about.is_empty() {
            let words = "has no `about`: people who read what is told will not know what it is";
            advise(field.line, &path, words.to_owned());
        }
        let personal = field.name.split('_').find(|part| PERSONAL.contains(part));
        if let (FieldType::Token { .. }, Some(part)) = (&field.holds, personal) {
            let words = format!("is a token that is called `{part}`: an enum cannot hold a secret");
            advise(field.line, &path, words);
        }
    }
}

fn of_events(manifest: &Manifest, advise: Advise<'_>) {
    for event in manifest.told_events().filter(|event| event.about.is_empty() && event.line > 1) {
        let words = "has no `about`: people who read what is told will not know what it is";
        advise(event.line, event.name, words.to_owned());
    }
    for rollup in &manifest.rollups {
        let lists: [&[Used]; 4] = [&rollup.sums, &rollup.hists, &rollup.enums, &rollup.tops];
        let adds = lists.iter().any(|list| !list.is_empty());
        let is_event = matches!(rollup.grain, Grain::Event { .. });
        if !is_event && !adds {
            let words = "adds nothing up, so that it tells only how often something happened";
            advise(rollup.line, &rollup.event, words.to_owned());
        }
    }
    let capped = manifest.lifecycles.iter().map(|it| it.per_day_max);
    let raw = manifest.rollups.iter().filter_map(|rollup| match rollup.grain {
        Grain::Event { per_day_max } => Some(per_day_max),
        Grain::Session { .. } | Grain::Window(_) => None,
    });
    let most: u64 = capped.chain(raw).sum();
    let cap = manifest.budget.hard_cap;
    if most > cap {
        let words = format!("lets {cap} events out in a day, of {most} that may be kept singly");
        advise(1, "budget.hard_cap", words);
    }
}

fn of_whole(manifest: &Manifest, advise: Advise<'_>) {
    let cap = manifest.budget.hard_cap;
    if cap > HARD_CAP_USUAL {
        let words = format!(
            "is {cap}: a thousand installations can send {} events a day",
            u128::from(cap) * 1_000
        );
        advise(1, "budget.hard_cap", words);
    }
    if manifest.default == Mode::On && manifest.notice == Notice::None {
        let words = "is \"on\" without a notice: people learn of it from others".to_owned();
        advise(1, "default", words);
    }
    if manifest.default == Mode::On && manifest.sinks.is_empty() {
        advise(1, "default", "is \"on\", but there is no [sink]: nothing is sent".to_owned());
    }
    if manifest.about.is_empty() {
        advise(1, "about", "is missing: say in a sentence what is told, and what for".to_owned());
    }
    if manifest.told_events().next().is_none() {
        advise(1, "", "there is no event: nothing can be told".to_owned());
    }
}
