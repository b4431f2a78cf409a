//! The rows of the four sides: the account's from its sums, the others from what was pulled and
//! imported.
//!
//! Where two families, or two statements, tell the same, one of them is taken, and a note says which.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use trueup_core::prices::{model_key, provider_key};
use trueup_core::reconcile::{Class, DayState, Input, Labels, Notice, Quantity, Row, Side, Sums};
use trueup_core::report::{Pricer, Window, matches};
use trueup_core::{Basis, Charge, DAY_MS, Dim, Measures, StatedFact, Text, UnixMs};
use trueup_ledger::{Reader, SETTLE_AGE_MS, ToldDay, ToldRow, ToldState};

use super::account::account;
use super::labels::{Names, NamesOf, labels};
use super::stated::{Stated, StatedOf};
use crate::usage::Usage;

/// What is compared; nothing for all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Narrow {
    /// Providers, or connections.
    pub(crate) providers: Vec<String>,
    pub(crate) projects: Vec<String>,
    pub(crate) keys: Vec<String>,
    pub(crate) models: Vec<String>,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) input: Input,
    /// What was taken, and what was left out, in sentences.
    pub(crate) notes: BTreeSet<String>,
    /// The days that any side but the account tells of.
    pub(crate) days: BTreeSet<UnixMs>,
    /// Why a provider could not be asked.
    pub(crate) troubles: Vec<Trouble>,
}

/// Why a provider could not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) connection: String,
    pub(crate) family: String,
    pub(crate) code: String,
    pub(crate) detail: String,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connection, family, code, detail } = self;
        write!(f, "{connection} {family}: {code}: {detail}")
    }
}

/// Families by which a provider tells of tokens, and those that tell the same and stand in for them.
const USAGE: [(&str, Option<&str>); 6] = [
    ("usage/completions", None),
    ("usage/embeddings", None),
    ("usage/moderations", None),
    ("usage/messages", None),
    ("analytics/usage", Some("usage/messages")),
    ("activity", None),
];
/// Families by which it tells of money.
const COST: [(&str, Option<&str>); 3] =
    [("costs", None), ("analytics/cost", Some("costs")), ("activity", None)];
/// The provider that is a gateway: what it tells was billed, it has worked out.
pub(crate) const GATEWAY_PROVIDER: &str = "litellm";
/// A gateway's own account of both.
pub(crate) const GATEWAY_FAMILY: &str = "daily_activity";
/// What Anthropic tells of Claude Code: a part of its usage once more, and that of subscriptions.
const PART: &str = "usage/claude_code";
/// Families beside the one that every provider has, which alone decides whether a day is known.
const BESIDE: [&str; 2] = ["usage/embeddings", "usage/moderations"];

/// Issues that keep a provider from being asked at all.
const BARRED: [&str; 6] =
    ["key_refused", "scope_missing", "provider_failed", "unreachable", "redirected", "throttled"];

/// Which connections tell of which families.
#[derive(Debug)]
pub(crate) struct Told<'a>(BTreeSet<(&'a str, &'a str)>);

impl<'a> Told<'a> {
    pub(crate) fn of(days: &'a [ToldDay]) -> Self {
        Self(days.iter().map(|day| (&*day.connection, &*day.family)).collect())
    }

    fn has(&self, connection: &str, family: &str) -> bool {
        self.0.contains(&(connection, family))
    }
}

/// Gathers the rows of a span of days.
pub(crate) fn gather(
    usage: &Usage,
    reader: &Reader,
    mut pricer: Pricer<'_>,
    window: Window,
    narrow: &Narrow,
    statements: &Stated,
) -> Result<Gathered> {
    let mut gathered = Gathered::default();
    let names = reader.provider_names()?;
    let names = Names::new(&names);
    pulled(reader, window, narrow, &names, &mut gathered)?;
    stated(statements, window, narrow, &names, &mut gathered);
    issues(reader, window, narrow, &mut gathered)?;
    account(usage, &mut pricer, window, narrow, &names, &mut gathered)?;
    Ok(gathered)
}

/// Gathers what providers say was charged, alone: gone through once, for all who ask, each of whom gets
/// what it takes in.
pub(crate) fn charged(reader: &Reader, window: Window, asked: &[Narrow]) -> Result<Vec<Gathered>> {
    let mut all: Vec<Gathered> = asked.iter().map(|_| Gathered::default()).collect();
    let names = reader.provider_names()?;
    let names = Names::new(&names);
    let days = reader.told_days(window.from, window.until)?;
    let told = Told::of(&days);
    for day in &days {
        let mut takers: Vec<(&Narrow, &mut Gathered)> = asked
            .iter()
            .zip(&mut all)
            .filter(|(narrow, _)| narrow.takes_provider(&day.provider, Some(&day.connection)))
            .collect();
        let mut notes = BTreeSet::new();
        if !takers.is_empty() && tells_cost(day, &told, &mut notes) {
            let names = names.of(&day.provider);
            for (_, one) in &mut takers {
                one.input.cover(Side::Cost, &day.provider, day.day, state(day));
            }
            reader.told_rows(day, |row| {
                let row = of_told(Side::Cost, &day.provider, &row, names, &mut notes);
                for (narrow, one) in &mut takers {
                    let row = row.as_ref().filter(|row| narrow.takes(&row.labels, names));
                    one.input.rows.extend(row.cloned());
                }
            })?;
        }
        for (_, one) in takers {
            one.notes.extend(notes.iter().cloned());
        }
    }
    Ok(all)
}

impl Narrow {
    /// Whether only a part of each provider is compared.
    pub(crate) fn is_partial(&self) -> bool {
        !(self.projects.is_empty() && self.keys.is_empty() && self.models.is_empty())
    }

    pub(crate) fn takes_provider(&self, provider: &str, connection: Option<&str>) -> bool {
        self.providers.is_empty()
            || self.providers.iter().any(|asked| {
                provider_key(asked) == provider_key(provider) || connection == Some(asked)
            })
    }

    pub(super) fn takes(&self, labels: &Labels, names: &NamesOf<'_>) -> bool {
        let is_any = |patterns: &[String], label: Option<&Text>, kind: &str| {
            patterns.is_empty()
                || label.is_some_and(|label| {
                    let name = names.name(kind, label);
                    patterns.iter().any(|pattern| {
                        matches(pattern, label) || name.is_some_and(|name| matches(pattern, name))
                    })
                })
        };
        let is_model = |model: &Text| {
            self.models.iter().any(|asked| {
                matches(asked, model)
                    || (!asked.contains('*') && model_key(asked) == model_key(model))
            })
        };
        (self.models.is_empty() || labels.model.as_ref().is_some_and(is_model))
            && is_any(&self.projects, labels.project.as_ref(), "project")
            && is_any(&self.keys, labels.key.as_ref(), "key")
    }
}

/// What was pulled.
fn pulled(
    reader: &Reader,
    window: Window,
    narrow: &Narrow,
    names: &Names<'_>,
    gathered: &mut Gathered,
) -> Result<()> {
    let days = reader.told_days(window.from, window.until)?;
    let told = Told::of(&days);
    let mut beside: BTreeSet<Text> = BTreeSet::new();
    for day in &days {
        if !narrow.takes_provider(&day.provider, Some(&day.connection)) {
            continue;
        }
        let sides = sides_of(day, &told, &mut gathered.notes);
        let Some(sides) = sides else {
            if !beside.contains(&day.family) {
                reader.told_rows(day, |_| {
                    beside.insert(Text::clone(&day.family));
                })?;
            }
            continue;
        };
        if sides.is_empty() {
            continue;
        }
        for side in &sides {
            if !BESIDE.contains(&&*day.family) {
                gathered.input.cover(*side, &day.provider, day.day, state(day));
            }
        }
        gathered.days.insert(day.day);
        let names = names.of(&day.provider);
        reader.told_rows(day, |row| {
            for side in &sides {
                let row = of_told(*side, &day.provider, &row, names, &mut gathered.notes);
                if let Some(row) = row.filter(|row| narrow.takes(&row.labels, names)) {
                    gathered.input.rows.push(row);
                }
            }
        })?;
    }
    if !beside.is_empty() {
        let families = beside.iter().map(|family| &**family).collect::<Vec<_>>().join(", ");
        gathered.notes.insert(format!("not compared, because they count no tokens: {families}"));
    }
    Ok(())
}

/// The sides that a family tells, without those for which another is taken, which is noted; `None` where
/// it counts no tokens and no money.
fn sides_of(day: &ToldDay, told: &Told<'_>, notes: &mut BTreeSet<String>) -> Option<Vec<Side>> {
    if &*day.family == PART {
        notes.insert(format!("{PART} tells a part of it once more, and is not compared"));
        return Some(Vec::new());
    }
    let usage = is_taken(&USAGE, day, told, notes);
    let cost = is_taken(&COST, day, told, notes);
    usage.or(cost)?;
    let sides = [(usage, Side::Usage), (cost, Side::Cost)].into_iter();
    Some(sides.filter(|(is_taken, _)| *is_taken == Some(true)).map(|(_, side)| side).collect())
}

/// Whether what a family tells of tokens is taken: not where another tells the same, which is noted.
pub(crate) fn tells_usage(day: &ToldDay, told: &Told<'_>, notes: &mut BTreeSet<String>) -> bool {
    is_taken(&USAGE, day, told, notes) == Some(true)
}

/// Whether what a family tells of money is taken: not where another tells the same, which is noted.
pub(crate) fn tells_cost(day: &ToldDay, told: &Told<'_>, notes: &mut BTreeSet<String>) -> bool {
    is_taken(&COST, day, told, notes) == Some(true)
}

/// Whether one of these families is taken; `None` where it is none of them.
fn is_taken(
    families: &[(&str, Option<&str>)],
    day: &ToldDay,
    told: &Told<'_>,
    notes: &mut BTreeSet<String>,
) -> Option<bool> {
    let family = &*day.family;
    if family == GATEWAY_FAMILY {
        return Some(true);
    }
    let (_, same) = families.iter().find(|(name, _)| *name == family)?;
    let taken = same.filter(|same| told.has(&day.connection, same));
    notes.extend(taken.map(|same| format!("{same} is taken; {family} tells the same again")));
    Some(taken.is_none())
}

/// How far a day stands.
fn state(day: &ToldDay) -> DayState {
    let is_late = day.last_pull_at.is_some_and(|at| at.0 >= day.day.0 + DAY_MS + SETTLE_AGE_MS);
    match day.state {
        ToldState::Settled => DayState::Settled,
        ToldState::Restated => DayState::Restated,
        ToldState::Provisional if is_late => DayState::Ripe,
        ToldState::Provisional => DayState::Provisional,
    }
}

fn of_told(
    side: Side,
    provider: &str,
    told: &ToldRow,
    names: &NamesOf<'_>,
    notes: &mut BTreeSet<String>,
) -> Option<Row> {
    let sums = sums(side, &told.measures, told.charge.as_ref(), notes)?;
    let labels = labels(&told.dims, names);
    Some(Row { labels, sums, ..Row::new(side, provider, told.start) })
}

/// What a row counts on a side; `None` where that is nothing that is compared.
fn sums(
    side: Side,
    measures: &Measures,
    charge: Option<&Charge>,
    notes: &mut BTreeSet<String>,
) -> Option<Sums> {
    if !side.is_cost() {
        return Some(Sums::of_measures(measures)).filter(|sums| sums.told().next().is_some());
    }
    let charge = charge?;
    if &*charge.currency != "USD" {
        notes.insert(format!("amounts in {} are not compared", charge.currency));
        return None;
    }
    let mut sums = Sums::default();
    sums.put(Quantity::Cost, &charge.amount);
    Some(sums)
}

/// What statements say.
fn stated(stated: &Stated, window: Window, narrow: &Narrow, names: &Names<'_>, to: &mut Gathered) {
    let chosen = chosen_kinds(stated, to);
    for ((provider, side), kind) in &chosen {
        if !narrow.takes_provider(provider, None) {
            continue;
        }
        let covers = stated.covers.iter();
        for cover in covers.filter(|one| one.kind == *kind && *one.provider == **provider) {
            let from = cover.from.max(window.from);
            for day in from.days_until(cover.until.min(window.until)) {
                to.input.cover(*side, provider, day, DayState::Settled);
                to.days.insert(day);
            }
        }
    }
    for row in &stated.rows {
        if is_own_word(&row.fact) {
            to.notes.insert(format!("{}: what trueup had estimated is not compared", row.name));
            continue;
        }
        let names = names.of(&row.fact.provider);
        for side in [Side::Statement, Side::StatementCost] {
            let is_chosen = chosen.get(&(row.fact.provider.to_string(), side)) == Some(&row.kind);
            if is_chosen && narrow.takes_provider(&row.fact.provider, None) {
                let taken = of_stated(side, row, names, &mut to.notes);
                let taken = taken
                    .filter(|row| window.contains(row.start) && narrow.takes(&row.labels, names));
                to.input.rows.extend(taken);
            }
        }
    }
    to.notes.extend(stated.notes.iter().cloned());
    if stated.blank > 0 {
        let notice = to.input.notices.entry(Class::BlankBucket).or_default();
        notice.count += stated.blank;
        notice.places.insert(Side::Statement.name().to_owned());
    }
}

/// Which kinds of statement go before others: the provider's own, then bills of others, then what trueup
/// has written of either.
pub(crate) fn kind_rank(kind: &str) -> u8 {
    match kind {
        "trueup_focus" => 2,
        "focus" => 1,
        _ => 0,
    }
}

/// Which kind of statement tells of a provider's usage, and which of its costs. A provider's own exports
/// go before others, such as FOCUS, which tell the same again.
fn chosen_kinds(stated: &Stated, gathered: &mut Gathered) -> BTreeMap<(String, Side), Text> {
    let mut told = Vec::new();
    for row in stated.rows.iter().filter(|row| !is_own_word(&row.fact)) {
        for side in [Side::Statement, Side::StatementCost] {
            let charge = row.fact.charge.as_ref();
            let has_any = sums(side, &row.fact.measures, charge, &mut gathered.notes)
                .is_some_and(|sums| side.is_cost() || !sums.tokens().is_zero());
            if has_any {
                told.push(((row.fact.provider.to_string(), side), &row.kind));
            }
        }
    }
    first_kinds(told, &mut gathered.notes)
}

/// Of the kinds of statement that tell the same the one that goes before the others; a note says which.
pub(crate) fn first_kinds<Of: Ord>(
    told: Vec<(Of, &Text)>,
    notes: &mut BTreeSet<String>,
) -> BTreeMap<Of, Text> {
    let mut kinds: BTreeMap<Of, BTreeSet<(u8, &Text)>> = BTreeMap::new();
    for (of, kind) in told {
        kinds.entry(of).or_default().insert((kind_rank(kind), kind));
    }
    let mut first_of = BTreeMap::new();
    for (of, kinds) in kinds {
        let mut kinds = kinds.into_iter().map(|(_, kind)| kind);
        let Some(first) = kinds.next() else { continue };
        for other in kinds {
            notes.insert(format!(
                "statements of kind {first} are taken; {other} tells the same again"
            ));
        }
        first_of.insert(of, Text::clone(first));
    }
    first_of
}

/// Whether no provider says so: `trueup export` wrote it, of what it had estimated.
pub(crate) fn is_own_word(fact: &StatedFact) -> bool {
    let basis = fact.dims.get("basis").and_then(Dim::text);
    basis.is_some_and(|basis| basis != Basis::Billed.name())
}

fn of_stated(
    side: Side,
    row: &StatedOf,
    names: &NamesOf<'_>,
    notes: &mut BTreeSet<String>,
) -> Option<Row> {
    let fact = &row.fact;
    if i64::from(fact.width_minutes) * 60_000 > DAY_MS {
        notes.insert(format!("{}: rows over more than a day are not compared", row.name));
        return None;
    }
    let sums = sums(side, &fact.measures, fact.charge.as_ref(), notes)?;
    let labels = labels(&fact.dims, names);
    Some(Row { labels, sums, ..Row::new(side, &fact.provider, fact.start?) })
}

/// What stands against providers that are compared, of these days.
fn issues(reader: &Reader, window: Window, narrow: &Narrow, gathered: &mut Gathered) -> Result<()> {
    const ISSUES_MAX: u32 = 500;
    let providers: BTreeMap<String, String> =
        reader.connections()?.into_iter().map(|one| (one.name, one.provider)).collect();
    for issue in reader.provider_issues(ISSUES_MAX)? {
        let provider = providers.get(&issue.connection).map_or("", String::as_str);
        let family = issue.cursor_key.split(':').next().unwrap_or_default();
        let families = USAGE.iter().chain(&COST).map(|(name, _)| *name).chain([GATEWAY_FAMILY]);
        let is_compared = families.into_iter().any(|name| name == family);
        if !is_compared || !narrow.takes_provider(provider, Some(&issue.connection)) {
            continue;
        }
        let is_within = |(from, until)| from < window.until && until > window.from;
        if issue.code == "schema_drift" && issue.days.is_none_or(is_within) {
            let place = format!("{} {family}: {}", issue.connection, issue.detail);
            Notice::add(&mut gathered.input.notices, Class::SchemaDrift, &place);
        }
        if BARRED.contains(&issue.code.as_str()) {
            gathered.troubles.push(Trouble {
                connection: issue.connection,
                family: family.to_owned(),
                code: issue.code,
                detail: issue.detail,
            });
        }
    }
    Ok(())
}
