//! What providers charged, as it was pulled; what a row of theirs says, whoever tells it.

use std::collections::BTreeMap;

use anyhow::Result;
use trueup_core::report::Window;
use trueup_core::{
    Basis, Charge, Charged, DAY_MS, Decimal, Dim, Dims, Measure, Measures, Text, UnixMs,
};
use trueup_ledger::{Reader, ToldDay, ToldRow};

use super::Gathered;
use crate::parity::{
    GATEWAY_FAMILY, KEYS, Names, NamesOf, Narrow, PROJECTS, Told, labels, tells_cost,
};

/// The family in which Anthropic says of how much it charges what `costs` says.
const MESSAGES: &str = "usage/messages";
/// What its costs and its usage are both told apart by.
const SHARED: [&str; 5] =
    ["model", "service_tier", "context_window", "inference_geo", "workspace_id"];
/// What the words for a thing that is charged stand in.
const ITEMS: [&str; 3] = ["line_item", "description", "charge_description"];
/// What bills in the form of FOCUS say of each charge, which has places of its own.
const FOCUS: [&str; 4] = ["charge_category", "charge_class", "service_category", "service_name"];
/// What trueup makes of the rest, and makes again, where it wrote the bill itself.
const SKUS: [&str; 3] = ["sku_id", "sku_meter", "sku_price_id"];
/// What charges of a month that is over are called that were changed later.
const CORRECTION: &str = "Correction";
/// What they stand in where it is no tokens that are charged.
const COST_TYPE: &str = "cost_type";
/// What units of tokens are called, and how many places each is more than one.
const UNITS: [(&str, i32); 3] = [(TOKENS, 0), ("token", 0), ("1000_tokens", 3)];
/// The unit.
const TOKENS: &str = "tokens";

/// What was pulled.
pub(super) fn pulled(
    reader: &Reader,
    window: Window,
    narrow: &Narrow,
    names: &Names<'_>,
    to: &mut Gathered,
) -> Result<()> {
    let days = reader.told_days(window.from, window.until)?;
    let told = Told::of(&days);
    for day in &days {
        if !narrow.takes_provider(&day.provider, Some(&day.connection)) {
            continue;
        }
        if !tells_cost(day, &told, &mut to.notes) {
            continue;
        }
        to.cover(&day.provider, day.day);
        let quantities = quantities(reader, &days, day)?;
        let first = to.rows.len();
        let mut is_told_apart = true;
        let names = names.of(&day.provider);
        reader.told_rows(day, |row| {
            is_told_apart &= row.dims.contains_key("description");
            is_told_apart &= row.dims.contains_key("workspace_id");
            to.rows.extend(of_told(day, &row, names));
        })?;
        if is_told_apart {
            measure(to.rows.get_mut(first..).unwrap_or_default(), &quantities);
        }
    }
    Ok(())
}

fn of_told(day: &ToldDay, told: &ToldRow, names: &NamesOf<'_>) -> Option<Charged> {
    let charge = told.charge.as_ref()?;
    let row = of_dims(&told.dims, &told.measures, charge, names);
    Some(Charged {
        account: Text::clone(&day.connection),
        // What a gateway has worked out is no bill.
        basis: if &*day.family == GATEWAY_FAMILY { Basis::Estimate } else { Basis::Billed },
        state: day.state.name().into(),
        is_correction: told.restated_at.is_some_and(|at| at >= day.day.next_month_utc()),
        ..placed(row, day.day, UnixMs(day.day.0 + DAY_MS), &day.provider)
    })
}

pub(super) fn placed(row: Charged, from: UnixMs, until: UnixMs, provider: &str) -> Charged {
    Charged { from, until, provider: provider.into(), ..row }
}

/// What a row says, whenever it was.
pub(super) fn of_dims(
    dims: &Dims,
    measures: &Measures,
    charge: &Charge,
    names: &NamesOf<'_>,
) -> Charged {
    let text = |name: &str| dims.get(name).and_then(Dim::text);
    let item = ITEMS.iter().find_map(|name| text(name));
    let word = text("token_type").or_else(|| item?.rsplit_once(", ").map(|(_, kind)| kind));
    let measure = kind(word).or_else(|| only_kind(measures));
    let item = item.or_else(|| text(COST_TYPE).filter(|_| measure.is_none())).unwrap_or_default();
    let named =
        |names: &[&str]| names.iter().find_map(|name| text(name)).unwrap_or_default().into();
    let (quantity, unit) = quantity(charge, measures);
    let labels = labels(dims, names);
    let of_label = Option::unwrap_or_default;
    let is_ours = dims.contains_key("basis");
    let is_said = |name: &str| {
        FOCUS.contains(&name)
            || (is_ours && SKUS.contains(&name))
            || ["model", "service_tier", "batch", "token_type", "basis", COST_TYPE].contains(&name)
            || ITEMS.contains(&name)
            || PROJECTS.contains(&name)
            || KEYS.contains(&name)
    };
    let tags = dims.iter().filter(|(name, _)| !is_said(name));
    let tags = tags.filter_map(|(name, dim)| Some((Text::clone(name), dim.text()?)));
    let tags = tags.filter(|(_, value)| !value.is_empty());
    Charged {
        model: of_label(labels.model),
        measure,
        tier: of_label(labels.tier),
        project: of_label(labels.project),
        project_name: named(&["project_name", "workspace_name"]),
        key: of_label(labels.key),
        key_name: named(&["api_key_name"]),
        item: item.into(),
        tags: tags.map(|(name, value)| (name, value.into())).collect(),
        amount: Some(charge.amount.clone()),
        currency: Text::clone(&charge.currency),
        quantity,
        unit,
        is_correction: text("charge_class") == Some(CORRECTION),
        category: named(&["charge_category"]),
        service_category: named(&["service_category"]),
        service_name: named(&["service_name"]),
        ..Charged::new(UnixMs(0), "", Basis::Billed)
    }
}

/// What kind of tokens a provider's word means; `None` for what is none, or is not told apart.
fn kind(word: Option<&str>) -> Option<Measure> {
    match word?.trim().to_ascii_lowercase().as_str() {
        "input" | "uncached_input_tokens" | "input_no_cache" => Some(Measure::InUncached),
        "input_tokens" => Some(Measure::InUnsplit),
        "cached input" | "cached_input_tokens" | "cache_read_input_tokens" | "input_cache_read" => {
            Some(Measure::InCacheRead)
        }
        "cache_creation.ephemeral_5m_input_tokens" | "input_cache_write_5m" => {
            Some(Measure::InCacheWrite5m)
        }
        "cache_creation.ephemeral_1h_input_tokens" | "input_cache_write_1h" => {
            Some(Measure::InCacheWrite1h)
        }
        "output" | "output_tokens" => Some(Measure::Out),
        _ => None,
    }
}

/// The kind of tokens that a row counts, where it counts one alone.
fn only_kind(measures: &Measures) -> Option<Measure> {
    let mut kinds = measures.told().map(|(measure, _)| measure).filter(|kind| is_tokens(*kind));
    kinds.next().filter(|_| kinds.next().is_none())
}

/// Of how much: what the charge says, or else what its row counts in tokens.
fn quantity(charge: &Charge, measures: &Measures) -> (Option<Decimal>, Text) {
    if let Some(quantity) = &charge.quantity {
        let unit = charge.quantity_unit.clone().unwrap_or_default();
        let tokens = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name));
        return match tokens {
            Some((_, places)) => (Some(quantity.clone().shifted(*places)), TOKENS.into()),
            None => (Some(quantity.clone()), unit),
        };
    }
    let tokens: Vec<u64> = measures
        .told()
        .filter(|(measure, _)| is_tokens(*measure))
        .map(|(_, count)| count)
        .collect();
    let sum = |tokens: Vec<u64>| {
        let count = |sum: i128, tokens: u64| sum.saturating_add(i128::from(tokens));
        Decimal::from(tokens.into_iter().fold(0, count))
    };
    if tokens.is_empty() { (None, Text::default()) } else { (Some(sum(tokens)), TOKENS.into()) }
}

fn is_tokens(measure: Measure) -> bool {
    !measure.is_part() && (measure == Measure::Out || measure.name().starts_with("in_"))
}

/// Usage by what Anthropic's costs are told apart by, too.
type Quantities = BTreeMap<[Option<Text>; 5], Measures>;

/// What `usage/messages` says of a day of costs.
fn quantities(reader: &Reader, days: &[ToldDay], costs: &ToldDay) -> Result<Quantities> {
    let mut quantities = Quantities::new();
    let is_its = |day: &&ToldDay| {
        (&day.connection, day.day, &*day.family) == (&costs.connection, costs.day, MESSAGES)
    };
    let Some(usage) = days.iter().find(is_its).filter(|_| &*costs.family == "costs") else {
        return Ok(quantities);
    };
    reader.told_rows(usage, |row| {
        // A dimension that is not told could be any.
        if SHARED.iter().all(|name| row.dims.contains_key(*name)) {
            let value = |name: &str| row.dims.get(name).and_then(Dim::text).map(Text::from);
            quantities.entry(SHARED.map(value)).or_default().add(&row.measures);
        }
    })?;
    Ok(quantities)
}

/// Says of how much rows are that do not say so themselves, where usage is told apart in the same way and
/// only one row can be meant.
fn measure(rows: &mut [Charged], quantities: &Quantities) {
    if quantities.is_empty() {
        return;
    }
    let of = |row: &Charged| {
        let some = |text: &Text| Some(Text::clone(text)).filter(|text| !text.is_empty());
        let tag = |name: &str| row.tags.get(name).cloned();
        let told = [
            some(&row.model),
            some(&row.tier),
            tag("context_window"),
            tag("inference_geo"),
            some(&row.project),
        ];
        (told, row.measure)
    };
    let mut meant: BTreeMap<_, u32> = BTreeMap::new();
    for row in rows.iter() {
        *meant.entry(of(row)).or_default() += 1;
    }
    for row in rows.iter_mut().filter(|row| row.quantity.is_none()) {
        let (told, kind) = of(row);
        let count = kind.and_then(|kind| quantities.get(&told)?.get(kind));
        if let Some(count) = count.filter(|_| meant.get(&(told, kind)) == Some(&1)) {
            row.quantity = Some(Decimal::from(i128::from(count)));
            row.unit = TOKENS.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use trueup_core::BilledWidth;
    use trueup_ledger::ToldState;

    use super::*;

    fn dims(dims: &[(&str, &str)]) -> Dims {
        let dims = dims.iter().map(|(name, text)| {
            let dim = if text.is_empty() { Dim::Null } else { Dim::Text((*text).into()) };
            ((*name).into(), dim)
        });
        dims.collect()
    }

    fn charge(amount: &str) -> Charge {
        Charge {
            amount: amount.parse().unwrap(),
            currency: "USD".into(),
            quantity: None,
            quantity_unit: None,
        }
    }

    fn at(text: &str) -> UnixMs {
        UnixMs::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_row_is_a_correction_where_it_changed_after_its_month() {
        let day = ToldDay {
            connection: "work".into(),
            provider: "openai".into(),
            family: "costs".into(),
            day: at("2026-10-31T00:00:00Z"),
            width: BilledWidth::Day,
            state: ToldState::Restated,
            last_pull_at: None,
        };
        let told = |restated_at: Option<&str>| {
            let row = ToldRow {
                start: day.day,
                dims: dims(&[("line_item", "gpt-5, cached input"), ("user_id", "ann")]),
                measures: Measures::default(),
                charge: Some(charge("1.5")),
                restated_at: restated_at.map(at),
            };
            of_told(&day, &row, &NamesOf::default()).unwrap()
        };
        assert!(!told(None).is_correction);
        assert!(!told(Some("2026-10-31T23:59:59Z")).is_correction);
        let row = told(Some("2026-11-01T00:00:00Z"));
        assert!(row.is_correction);
        assert_eq!((&*row.model, row.measure), ("gpt-5", Some(Measure::InCacheRead)));
        assert_eq!(row.tags.get("user_id").map(|user| &**user), Some("ann"));
        assert_eq!((&*row.account, &*row.state), ("work", "restated"));
    }

    #[test]
    fn anthropics_costs_are_of_as_many_tokens_as_its_usage_says() {
        let told =
            [("model", "claude-x"), ("service_tier", "standard"), ("context_window", "0-200k")];
        let apart = [("inference_geo", ""), ("workspace_id", "")];
        let of = |kind: &str| {
            let kind = [("description", "Claude X"), ("token_type", kind)];
            let dims = dims(&[&told[..], &apart[..1], &kind[..]].concat());
            of_dims(&dims, &Measures::default(), &charge("2"), &NamesOf::default())
        };
        let mut counts = Measures::default();
        counts.set(Measure::Out, 70);
        counts.set(Measure::InCacheRead, 9);
        let value = |name: &str| {
            let told = told.iter().find(|(known, _)| *known == name);
            told.map(|(_, text)| Text::from(*text))
        };
        let quantities = Quantities::from([(SHARED.map(value), counts)]);
        let mut rows = vec![
            of("output_tokens"),
            of("cache_read_input_tokens"),
            of("cache_read_input_tokens"),
            of("uncached_input_tokens"),
        ];
        measure(&mut rows, &quantities);
        let read: Vec<Option<u64>> =
            rows.iter().map(|row| row.quantity.as_ref().and_then(Decimal::to_count)).collect();
        // Two rows could mean the tokens that were read from a cache; of the last kind nothing is told.
        assert_eq!(read, [Some(70), None, None, None]);
    }

    #[test]
    fn words_mean_kinds_of_tokens() {
        for (word, measure) in [
            ("cached input", Some(Measure::InCacheRead)),
            ("Output", Some(Measure::Out)),
            ("input_tokens", Some(Measure::InUnsplit)),
            ("cache_creation.ephemeral_1h_input_tokens", Some(Measure::InCacheWrite1h)),
            ("all tokens", None),
            ("web_search", None),
        ] {
            assert_eq!(kind(Some(word)), measure, "{word}");
        }
    }

    #[test]
    fn tokens_are_tokens_however_a_bill_spells_them() {
        for (told, count, unit) in [
            ("1000_tokens", "1234.5", "tokens"),
            ("Tokens", "1.2345", "tokens"),
            ("TOKEN", "1.2345", "tokens"),
            ("Images", "1.2345", "Images"),
        ] {
            let charge = Charge {
                amount: Decimal::ZERO,
                currency: "USD".into(),
                quantity: "1.2345".parse().ok(),
                quantity_unit: Some(told.into()),
            };
            let (read, called) = quantity(&charge, &Measures::default());
            assert_eq!((read.unwrap().to_string().as_str(), &*called), (count, unit), "{told}");
        }
    }
}
