//! What statements say was charged on days that were not pulled.

use std::collections::{BTreeMap, BTreeSet};

use trueup_core::prices::provider_key;
use trueup_core::report::Window;
use trueup_core::{Charged, DAY_MS, Text, UnixMs};

use super::Gathered;
use super::billed::{of_dims, placed};
use crate::parity::{
    Names, NamesOf, Narrow, Stated, StatedOf, first_kinds, is_own_word, kind_rank,
};

/// Those whose bills are of all that they sell, and what agents call them where models are meant.
const CLOUDS: [(&str, &str); 3] =
    [("microsoft", "azure"), ("amazon web services", "bedrock"), ("google cloud", "vertex")];
/// The service that models are.
const AI: &str = "AI and Machine Learning";

/// Why a row over several days is left out that tells of days that were pulled.
const PULLED_IN_PART: &str = "a row over several days, of which some were pulled, is left out";
/// Why one is left out of whose days not all are asked for.
const BEGUN_BEFORE: &str = "a row over several days that begins before the first one is left out, and its \
     days are not estimated";

/// What statements say of days that were not pulled.
pub(super) fn stated(
    stated: &Stated,
    window: Window,
    narrow: &Narrow,
    names: &Names<'_>,
    to: &mut Gathered,
) {
    let kinds = kinds(stated, to);
    let is_chosen = |kind: &Text, provider: &str| kinds.get(&provider_key(provider)) == Some(kind);
    let is_asked = |provider: &str| narrow.takes_provider(provider, None);
    let mut covered: BTreeSet<(Text, UnixMs)> = BTreeSet::new();
    let mut rows = Vec::new();
    for row in stated.rows.iter().filter(|row| is_chosen(&row.kind, &row.fact.provider)) {
        let Some(charged) = of_stated(row, names.of(&row.fact.provider)) else { continue };
        let cloud = of_cloud(&charged);
        if !is_asked(&charged.provider) && !cloud.is_some_and(is_asked) {
            continue;
        }
        // A row over several days is of all of them: those that were pulled are counted there.
        if charged.from.days_until(charged.until).any(|day| to.is_covered(&charged.provider, day)) {
            if charged.until.0 - charged.from.0 > DAY_MS {
                to.notes.insert(format!("{}: {PULLED_IN_PART}", row.name));
            }
            continue;
        }
        for name in cloud.map(Text::from).iter().chain([&charged.provider]) {
            covered
                .extend(charged.from.days_until(charged.until).map(|day| (Text::clone(name), day)));
        }
        if !window.contains(charged.from) {
            to.notes.insert(format!("{}: {BEGUN_BEFORE}", row.name));
            continue;
        }
        rows.push(charged);
    }
    // A FOCUS file may tell of some days of a span: only rows say of which.
    let covers = stated.covers.iter().filter(|cover| is_asked(&cover.provider));
    let covers = covers.filter(|cover| is_chosen(&cover.kind, &cover.provider));
    for cover in covers.filter(|cover| kind_rank(&cover.kind) == 0) {
        let days = cover.from.max(window.from).days_until(cover.until.min(window.until));
        covered.extend(days.map(|day| (Text::clone(&cover.provider), day)));
    }
    for (provider, day) in covered {
        to.cover(&provider, day);
    }
    to.rows.extend(rows);
}

/// What agents call the provider of a row, where that bills models among other things.
fn of_cloud(row: &Charged) -> Option<&'static str> {
    let is_ai = row.service_category.is_empty() || row.service_category.eq_ignore_ascii_case(AI);
    let provider = row.provider.trim();
    let (_, name) = CLOUDS.iter().find(|(of, _)| provider.eq_ignore_ascii_case(of))?;
    Some(*name).filter(|_| is_ai)
}

/// Which kind of statement tells of a provider's costs: its own before FOCUS.
fn kinds(stated: &Stated, to: &mut Gathered) -> BTreeMap<String, Text> {
    let (own, others): (Vec<_>, Vec<_>) =
        stated.rows.iter().partition(|row| is_own_word(&row.fact));
    let note = "what trueup had estimated is not exported again";
    to.notes.extend(own.iter().map(|row| format!("{}: {note}", row.name)));
    let charges = others.into_iter().filter(|row| row.fact.charge.is_some());
    let told = charges.map(|row| (provider_key(&row.fact.provider), &row.kind));
    first_kinds(told.collect(), &mut to.notes)
}

fn of_stated(stated: &StatedOf, names: &NamesOf<'_>) -> Option<Charged> {
    let fact = &stated.fact;
    let charge = fact.charge.as_ref().filter(|_| !is_own_word(fact))?;
    // A day of another zone belongs to the UTC day in which it begins.
    let from = fact.start?.floor(DAY_MS);
    let width = (i64::from(fact.width_minutes) * 60_000).max(DAY_MS);
    Some(Charged {
        account: Text::clone(&fact.account),
        state: "stated".into(),
        ..placed(
            of_dims(&fact.dims, &fact.measures, charge, names),
            from,
            UnixMs(from.0 + width),
            &fact.provider,
        )
    })
}

#[cfg(test)]
mod tests {
    use trueup_core::{Charge, Dim, Measures, StatedFact};

    use super::*;

    #[test]
    fn what_a_cloud_bills_for_models_is_not_estimated_beside_its_bill() {
        let row = |provider: &str, day: &str, service: &str| StatedOf {
            kind: "focus".into(),
            name: "bill.csv".into(),
            fact: StatedFact {
                line: 2,
                provider: provider.into(),
                account: "".into(),
                start: UnixMs::parse_rfc3339(day),
                width_minutes: 1_440,
                dims: [("service_category".into(), Dim::Text(service.into()))].into(),
                measures: Measures::default(),
                charge: Some(Charge {
                    amount: 3.into(),
                    currency: "USD".into(),
                    quantity: None,
                    quantity_unit: None,
                }),
                extra: String::new(),
            },
        };
        let at = |day: &str| UnixMs::parse_rfc3339(day).unwrap();
        let (one, two) = ("2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z");
        let mut known = Stated::default();
        known.rows = vec![
            row("Microsoft", one, AI),
            row("Microsoft", two, "Compute"),
            row("Google Cloud", two, AI),
        ];
        let gathered = |provider: &str| {
            let providers = if provider.is_empty() { vec![] } else { vec![provider.to_owned()] };
            let narrow = Narrow { providers, ..Narrow::default() };
            let mut to = Gathered::default();
            stated(&known, Window::ALL, &narrow, &Names::new(&[]), &mut to);
            to
        };
        let all = gathered("");
        assert_eq!(all.rows.len(), 3);
        for (provider, day, is_covered) in [
            ("azure", one, true),
            ("azure", two, false),
            ("Microsoft", two, true),
            ("google-vertex", two, true),
            ("google", two, false),
        ] {
            assert_eq!(all.is_covered(provider, at(day)), is_covered, "{provider} {day}");
        }
        // Asked for by the name that agents have for it, it is there, and nothing else is.
        let azure = gathered("azure");
        assert_eq!((azure.rows.len(), azure.is_covered("azure", at(one))), (1, true));
    }
}
