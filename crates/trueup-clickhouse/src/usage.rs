//! Reading sums: of stretches of time, of devices, of sessions.
//!
//! Each shard is asked the same, and has a part of each sum: what several say of one group is added up by
//! whoever asks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use trueup_core::report::Entry;
use trueup_core::{
    Counters, DAY_MS, NanoUsd, PriceClass, QUARTER_MS, Series, Text, Tokens, UnixMs, Witness,
};

use crate::day::Day;
use crate::native::{NativeError, Row};
use crate::quote::quoted;
use crate::rollup::{TOKENS, bounded_money, bounded_sum, used};
use crate::statement::{Purpose, Statement};

/// How long the stretches of time are whose sums are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// A quarter of an hour. Only these know sessions.
    Quarter,
    /// A day in UTC.
    Day,
}

/// Days in UTC, one after the other, that are cut: stretches begin in each of them at midnight and at
/// these quarters of an hour, from 1 to 95, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The first day.
    pub first: Day,
    /// The last one.
    pub last: Day,
    /// Where they are cut.
    pub quarters: Vec<u8>,
}

impl Cut {
    /// Puts days that are cut alike, and follow each other, into one: days in order, each with its quarters.
    #[must_use]
    pub fn joined(days: impl IntoIterator<Item = (Day, Vec<u8>)>) -> Vec<Self> {
        let mut cuts: Vec<Self> = Vec::new();
        for (day, quarters) in days {
            match cuts.last_mut() {
                Some(cut) if cut.quarters == quarters && cut.last.ahead(1) == day => cut.last = day,
                _ => cuts.push(Self { first: day, last: day, quarters }),
            }
        }
        cuts
    }
}

/// What of a series sums are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart<'a> {
    /// All of it; and the times of the first and the last call are told.
    Series,
    /// What prices depend on, which kinds of tokens were used among it, and these names. No times.
    Prices(&'a [Name]),
}

/// What of a series no price depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The source.
    Source,
    /// The project.
    Project,
    /// The kind of session.
    Kind,
}

impl Name {
    const fn column(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Project => "project",
            Self::Kind => "kind",
        }
    }
}

/// How numbers are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adding {
    /// They stop at the largest number that there is.
    Bounded,
    /// As it goes, which is faster: where there is not so much ([`Summary::adding`]).
    Plain,
}

/// Which sums are wanted, and what they are told apart by besides their series.
#[derive(Debug, Clone)]
pub struct UsageQuestion<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// In stretches of this length. Where sessions matter, it is taken as quarters.
    pub width: Width,
    /// Days that are cut into several stretches, where these are days.
    pub cuts: &'a [Cut],
    /// From the stretch that begins here or is the first behind it.
    pub from: UnixMs,
    /// As long as they begin before.
    pub until: UnixMs,
    /// Days whose sums lack something, which are read from their calls.
    pub unsummed: &'a [Day],
    /// Of these devices; of all where none is named.
    pub devices: &'a [&'a str],
    /// Of sessions of this name; of all where none is named.
    pub session: Option<&'a str>,
    /// Whether stretches are told apart, or only what lies in all of them.
    pub is_by_time: bool,
    /// Whether devices are told apart.
    pub is_by_device: bool,
    /// Whether sessions are told apart.
    pub is_by_session: bool,
    /// What of their series they are told apart by.
    pub apart: Apart<'a>,
    /// Where spans of time begin, in order, the first with what is asked: all of a span is one. Where there
    /// are none, stretches are told apart.
    pub spans: &'a [UnixMs],
    /// How they are added up.
    pub adding: Adding,
    /// At most so many sums.
    pub limit: usize,
}

impl<'a> UsageQuestion<'a> {
    /// All of a tenant's usage in stretches of this length.
    #[must_use]
    pub const fn of(tenant: &'a str, width: Width) -> Self {
        Self {
            tenant,
            width,
            cuts: &[],
            from: UnixMs(i64::MIN),
            until: UnixMs(i64::MAX),
            unsummed: &[],
            devices: &[],
            session: None,
            is_by_time: true,
            is_by_device: false,
            is_by_session: false,
            apart: Apart::Series,
            spans: &[],
            adding: Adding::Bounded,
            limit: usize::MAX,
        }
    }

    /// Whether sums of all devices together will do.
    const fn is_of_fleet(&self) -> bool {
        let is_of_all = self.devices.is_empty() && self.session.is_none();
        is_of_all && !self.is_by_device && !self.is_by_session
    }

    /// What of a series they are told apart by.
    fn names(&self) -> Vec<&'static str> {
        match self.apart {
            Apart::Series => SERIES.to_vec(),
            Apart::Prices(names) => {
                let names = names.iter().map(|name| name.column());
                PRICED.into_iter().chain(names).collect()
            }
        }
    }

    const fn is_by_used(&self) -> bool {
        matches!(self.apart, Apart::Prices(_))
    }

    /// What they are told apart by but for time.
    fn groups(&self) -> Vec<&'static str> {
        let mut groups = self.names();
        groups.extend(self.is_by_device.then_some("device"));
        groups.extend(self.is_by_session.then_some("session"));
        groups
    }

    /// What is added up.
    fn counters(&self) -> Vec<&'static str> {
        let mut counters = vec!["calls", "errors", "reported_cost"];
        counters.extend(TOKENS);
        if !self.is_by_used() {
            counters.extend(["first_ms", "last_ms"]);
        }
        counters
    }

    /// By what they are told apart in time.
    fn time_columns(&self) -> &'static [&'static str] {
        match (self.is_by_time, self.spans.is_empty()) {
            (false, _) => &[],
            (true, false) => &["span"],
            (true, true) => &["day", "cell"],
        }
    }

    /// These columns of rows of a stretch that begins at `cell` of a day.
    fn times(&self, cell: &str) -> String {
        if self.spans.is_empty() {
            return format!("day, {cell} AS cell");
        }
        let start = |start: &UnixMs| {
            let day = Day::near(*start);
            let quarter = (start.0 - day.start().0).clamp(0, DAY_MS - 1) / QUARTER_MS;
            (i64::from(day.number()) * QUARTERS + quarter).to_string()
        };
        let starts: Vec<String> = self.spans.iter().map(start).collect();
        format!(
            "day, {cell} AS cell, toUInt32(arrayCount(x -> x <= toUInt32(toUInt16(day)) * {QUARTERS} + {cell}, [{}])) AS span",
            starts.join(", ")
        )
    }

    const fn is_quarter(&self) -> bool {
        matches!(self.width, Width::Quarter) || self.is_by_session || self.session.is_some()
    }
}

/// A sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Where its stretch or span begins; where what was asked begins, if these are not told apart.
    pub start: UnixMs,
    /// The times of its first and its last call, where they are told; else where its stretch begins.
    pub times: (UnixMs, UnixMs),
    /// The session; empty where they are not told apart.
    pub session: Text,
    /// What it is a sum of, as far as that was asked; with its device where all of a series is told apart.
    pub series: Arc<Series>,
    /// The device; empty where they are not told apart.
    pub device: Text,
    /// The sum.
    pub counters: Counters,
}

impl Usage {
    /// As a report takes it.
    #[must_use]
    pub fn entry(&self) -> Entry<'_> {
        Entry {
            start: self.start,
            times: self.times,
            series: &self.series,
            session: &self.session,
            counters: &self.counters,
        }
    }
}

/// Quarters of an hour in a day.
const QUARTERS: i64 = 96;

const SERIES: [&str; 7] =
    ["source", "provider", "model", "project", "kind", "price_class", "has_cost"];
/// What of it prices depend on.
const PRICED: [&str; 4] = ["provider", "model", "price_class", "has_cost"];

/// Asks for sums: [`usage_of`] reads each row.
///
/// Days come from their sums as a whole, those that are cut from quarters, and those whose sums lack
/// something from their calls; from sums of all devices where no device matters.
#[must_use]
pub fn usage(question: &UsageQuestion<'_>) -> Statement {
    let is_quarter = question.is_quarter();
    let mut parts = vec![of_sums(question, if is_quarter { Width::Quarter } else { Width::Day })];
    if !is_quarter && !question.cuts.is_empty() {
        parts.push(of_sums(question, Width::Quarter));
    }
    if !question.unsummed.is_empty() {
        parts.push(of_calls(question));
    }
    let sums: Vec<String> = question.counters().iter().map(|name| summed(question, name)).collect();
    let times = question.time_columns();
    let groups = question.groups().into_iter().map(|name| format!("g_{name}"));
    let told: Vec<String> = times.iter().map(|name| (*name).to_owned()).chain(groups).collect();
    let mut by = told.clone();
    by.extend(question.is_by_used().then(|| "g_used".to_owned()));
    let ordered = times == ["day", "cell"] && !question.is_by_used();
    let sql = format!(
        "SELECT {told}, {sums} FROM ({parts}) GROUP BY {by}{ordered}{limit}",
        told = told.join(", "),
        by = by.join(", "),
        sums = sums.join(", "),
        parts = parts.join(" UNION ALL "),
        ordered = if ordered { " ORDER BY day, cell" } else { "" },
        limit = limited(question.limit),
    );
    Statement::new(Purpose::Ask, sql)
}

/// A counter, added up under the name that [`usage_of`] reads.
fn summed(question: &UsageQuestion<'_>, name: &str) -> String {
    match name {
        "first_ms" => "min(g_first_ms) AS sum_first_ms".to_owned(),
        "last_ms" => "max(g_last_ms) AS sum_last_ms".to_owned(),
        _ if question.adding == Adding::Plain => format!("sum(g_{name}) AS sum_{name}"),
        "reported_cost" => format!("{} AS sum_{name}", bounded_money(&format!("g_{name}"))),
        _ => format!("{} AS sum_{name}", bounded_sum(&format!("g_{name}"))),
    }
}

fn limited(limit: usize) -> String {
    if limit == usize::MAX { String::new() } else { format!(" LIMIT {limit}") }
}

fn listed_as(names: &[&str], each: impl Fn(&str) -> String) -> String {
    names.iter().map(|name| each(name)).collect::<Vec<_>>().join(", ")
}

fn grouped(names: &[&str]) -> String {
    listed_as(names, |name| format!("g_{name}"))
}

/// What sums of this width say: of days those that are not cut, or else of quarters those of days that are.
fn of_sums(question: &UsageQuestion<'_>, width: Width) -> String {
    let (is_quarter, is_fleet) = (width == Width::Quarter, question.is_of_fleet());
    let table = match (is_fleet, is_quarter) {
        (true, true) => "fleet_quarter",
        (true, false) => "fleet_day",
        (false, true) => "roll_quarter",
        (false, false) => "roll_day",
    };
    let mut only = vec![format!("tenant = {}", quoted(question.tenant)), within(question, width)];
    if is_fleet {
        let is_long = ["project", "kind"].iter().any(|name| question.names().contains(name));
        only.push(format!("level = {}", u8::from(is_long)));
    }
    if !question.is_quarter() && !question.cuts.is_empty() {
        let cut = cut_days(question.cuts);
        only.push(if is_quarter { cut } else { format!("NOT {cut}") });
    }
    if !question.unsummed.is_empty() {
        only.push(format!("day NOT IN ({})", days(question.unsummed)));
    }
    if let Some(session) = question.session {
        only.push(format!("has(session, {})", quoted(session)));
    }
    // Of a quarter and a device, each session has a sum: which kinds of tokens were used is said of all.
    let is_masked = question.is_by_used() && !is_fleet && is_quarter;
    let groups = if is_masked { series_and_device(question) } else { question.groups() };
    let mut taken = groups.clone();
    if !is_masked {
        taken.extend((is_fleet && question.is_by_used()).then_some("used"));
    }
    taken.extend(question.session.map(|_| "session").filter(|name| !taken.contains(name)));
    let counters = question.counters();
    taken.extend(&counters);
    let cell = if is_quarter { cell(question) } else { "toUInt8(0)".to_owned() };
    let times = listed_as(time_names(question), str::to_owned);
    let used_here = question.is_by_used() && !is_fleet && !is_masked;
    let told = [&question.groups()[..], &counters].concat();
    // Of some devices, arrays are cut down to theirs before rows are made of them.
    let (is_of, array) = if question.devices.is_empty() {
        (String::new(), "@")
    } else {
        let listed = listed(question.devices);
        let is_of = format!("arrayMap(of -> has([{listed}], of), device) AS is_of, ");
        (is_of, "arrayFilter((x, of) -> of, @, is_of)")
    };
    let split = format!(
        "(SELECT {of_row}, {is_of}{rows} FROM {table} FINAL WHERE {only})
         ARRAY JOIN {joined}{filter}",
        of_row = question.times(&cell),
        rows = listed_as(&taken, |name| format!("{} AS {name}_of", array.replace('@', name))),
        only = only.join(" AND "),
        joined = listed_as(&taken, |name| format!("{name}_of AS g_{name}")),
        filter = question
            .session
            .map_or(String::new(), |session| format!(" WHERE g_session = {}", quoted(session))),
    );
    if is_masked {
        return masked(
            question,
            &times,
            &groups,
            &format!("SELECT {times}, {} FROM {split}", grouped(&taken)),
        );
    }
    let used = match (used_here, question.is_by_used()) {
        (true, _) => format!(", {} AS g_used", used("g_")),
        (false, true) => ", g_used".to_owned(),
        (false, false) => String::new(),
    };
    format!("SELECT {times}, {}{used} FROM {split}", grouped(&told))
}

/// Columns of time that parts have.
fn time_names(question: &UsageQuestion<'_>) -> &'static [&'static str] {
    if question.spans.is_empty() { &["day", "cell"] } else { &["day", "cell", "span"] }
}

/// Everything of a series, and the device where it matters.
fn series_and_device(question: &UsageQuestion<'_>) -> Vec<&'static str> {
    let device = (question.is_by_device || !question.devices.is_empty()).then_some("device");
    SERIES.into_iter().chain(device).collect()
}

/// Sums of each series and device, with which kinds of tokens they used, of finer ones.
fn masked(question: &UsageQuestion<'_>, times: &str, groups: &[&str], of: &str) -> String {
    let counters = question.counters();
    format!(
        "SELECT {times}, {groups}, {counters}, {used} AS g_used FROM (
            SELECT {times}, {inner}, {sums} FROM ({of}) GROUP BY {times}, {inner})",
        groups = grouped(&question.groups()),
        inner = grouped(groups),
        counters = listed_as(&counters, |name| format!("sum_{name} AS g_{name}")),
        used = used("sum_"),
        sums = listed_as(&counters, |name| summed(question, name)),
    )
}

/// What the calls of days say whose sums lack something.
fn of_calls(question: &UsageQuestion<'_>) -> String {
    let of_name = |name: &str| match name {
        "has_cost" => "toUInt8(isNotNull(reported_cost))".to_owned(),
        "calls" => "toUInt64(1)".to_owned(),
        "errors" => "toUInt64(isNotNull(error_type))".to_owned(),
        "reported_cost" => "ifNull(reported_cost, toInt64(0))".to_owned(),
        "first_ms" | "last_ms" => "ts_ms".to_owned(),
        "source" | "provider" | "model" | "project" | "kind" => format!("CAST({name} AS String)"),
        _ => name.to_owned(),
    };
    let is_masked = question.is_by_used();
    let groups = if is_masked { series_and_device(question) } else { question.groups() };
    let mut taken = groups.clone();
    taken.extend((!question.devices.is_empty() && !taken.contains(&"device")).then_some("device"));
    taken.extend((question.session.is_some() && !taken.contains(&"session")).then_some("session"));
    taken.extend(question.counters());
    let mut columns: Vec<&str> = vec!["day", "ts_ms", "reported_cost", "error_type"];
    let is_column = |name: &&&str| {
        !["has_cost", "calls", "errors", "reported_cost", "first_ms", "last_ms"].contains(name)
    };
    columns.extend(taken.iter().filter(is_column));
    let mut when = within(question, question.width);
    if question.is_quarter() {
        when = within(question, Width::Quarter);
    } else if !question.cuts.is_empty() {
        let (cut, quarters) = (cut_days(question.cuts), within(question, Width::Quarter));
        when = format!("(NOT {cut} AND {when} OR {cut} AND {quarters})");
    }
    let times = listed_as(time_names(question), str::to_owned);
    let calls = format!(
        "SELECT {times}, {taken} FROM (
            SELECT {of_row}, quarter, {columns} FROM (
                SELECT {columns}, toUInt8(intDiv(ts_ms % 86400000, 900000)) AS quarter FROM llm_event FINAL
                WHERE tenant = {tenant} AND day IN ({days}) AND counts = 1) WHERE {when}){filter}",
        of_row = question.times(&cell(question)),
        columns = columns.join(", "),
        taken = listed_as(&taken, |name| format!("{} AS g_{name}", of_name(name))),
        tenant = quoted(question.tenant),
        days = days(question.unsummed),
        filter = filter(question),
    );
    if is_masked {
        return masked(question, &times, &groups, &calls);
    }
    let told = [question.groups(), question.counters()].concat();
    format!("SELECT {times}, {} FROM ({calls})", grouped(&told))
}

/// Asks what there is in all, or of a device: of days whose sums lack something, by their calls.
/// [`summary_of`] reads each row.
#[must_use]
pub fn summary(tenant: &str, device: Option<&str>, unsummed: &[Day]) -> Statement {
    let (tenant, device, listed) = (quoted(tenant), device.map(quoted), days(unsummed));
    let but =
        if unsummed.is_empty() { String::new() } else { format!("AND day NOT IN ({listed})") };
    let of_rows = |level: u8, taken: &str| {
        format!(
            "SELECT {taken}, bulk FROM fleet_day FINAL
             WHERE tenant = {tenant} AND level = {level} AND notEmpty(sources) {but}"
        )
    };
    let mut parts = vec![match &device {
        None => format!(
            "SELECT source, first, last, bulk FROM ({}) ARRAY JOIN sources AS source",
            of_rows(0, "sources, first, last")
        ),
        Some(device) => format!(
            "SELECT g_source AS source, g_first AS first, g_last AS last, bulk FROM ({})
             ARRAY JOIN device AS g_device, source AS g_source, first_ms AS g_first, last_ms AS g_last
             WHERE g_device = {device}",
            of_rows(2, "device, source, first_ms, last_ms")
        ),
    }];
    if !unsummed.is_empty() {
        let bulk: Vec<String> = TOKENS.iter().map(|name| format!("toFloat64({name})")).collect();
        let of_device = device.map_or(String::new(), |device| format!("AND device = {device}"));
        parts.push(format!(
            "SELECT CAST(source AS String) AS source, ts_ms AS first, ts_ms AS last,
                {} + abs(toFloat64(ifNull(reported_cost, toInt64(0)))) AS bulk
             FROM llm_event FINAL
             WHERE tenant = {tenant} AND day IN ({listed}) AND counts = 1 {of_device}",
            bulk.join(" + ")
        ));
    }
    let sql = format!(
        "SELECT source, min(first) AS first_ms, max(last) AS last_ms,
            toUInt64(if(sum(bulk) > {VAST}, {VAST}, sum(bulk))) AS sum_bulk
         FROM ({}) GROUP BY source",
        parts.join(" UNION ALL ")
    );
    Statement::new(Purpose::Ask, sql)
}

/// More than may be added up without a bound.
const VAST: &str = "9000000000000000000.";
const VAST_MIN: u64 = 9_000_000_000_000_000_000;

/// What there is of a source; how much is said of whole days, others may have a part in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The source.
    pub source: Text,
    /// The times of the first and the last call.
    pub times: (UnixMs, UnixMs),
    /// Tokens of all kinds and money together, at most.
    pub bulk: u64,
}

impl Summary {
    /// How numbers of all of these can be added up.
    #[must_use]
    pub fn adding(bulk: u64) -> Adding {
        if bulk >= VAST_MIN { Adding::Bounded } else { Adding::Plain }
    }
}

/// What there is of a source.
///
/// # Errors
/// What is no row of the answer.
pub fn summary_of(row: Row<'_>) -> Result<Summary, NativeError> {
    Ok(Summary {
        source: row.text("source")?.into(),
        times: (time(row, "first_ms")?, time(row, "last_ms")?),
        bulk: row.unsigned("sum_bulk")?,
    })
}

/// The quarter at which the stretch begins that a quarter lies in.
fn cell(question: &UsageQuestion<'_>) -> String {
    if question.is_quarter() {
        return "quarter".to_owned();
    }
    let cuts = question.cuts.iter().filter(|cut| !cut.quarters.is_empty());
    let mut cases: Vec<String> = Vec::new();
    for cut in cuts {
        for quarter in cut.quarters.iter().rev() {
            cases.push(format!("{} AND quarter >= {quarter}, toUInt8({quarter})", between(cut)));
        }
    }
    if cases.is_empty() {
        return "toUInt8(0)".to_owned();
    }
    format!("multiIf({}, toUInt8(0))", cases.join(", "))
}

fn between(cut: &Cut) -> String {
    format!("day >= {} AND day <= {}", cut.first.sql(), cut.last.sql())
}

fn cut_days(cuts: &[Cut]) -> String {
    format!("({})", cuts.iter().map(between).collect::<Vec<_>>().join(" OR "))
}

fn days(days: &[Day]) -> String {
    days.iter().map(|day| day.sql()).collect::<Vec<_>>().join(", ")
}

/// Stretches that begin between two times.
fn within(question: &UsageQuestion<'_>, width: Width) -> String {
    let is_quarter = width == Width::Quarter;
    let width_ms = if is_quarter { QUARTER_MS } else { DAY_MS };
    let up = |time: UnixMs| UnixMs(time.0.saturating_add(width_ms - 1)).floor(width_ms);
    let (from, until) = (up(question.from), up(question.until));
    let (first, end) = (Day::near(from), Day::near(until));
    let of_day = |time: UnixMs| time.0.rem_euclid(DAY_MS) / QUARTER_MS;
    // The last day that there is ends nothing.
    let is_open = UnixMs(until.0) > end.start() && Day::of(until).is_none();
    if until <= Day::FIRST.start() || from >= until {
        return "0".to_owned();
    }
    if !is_quarter {
        let before = if is_open { "<=" } else { "<" };
        return format!("day >= {} AND day {before} {}", first.sql(), end.sql());
    }
    let mut parts = vec![format!("day >= {} AND day <= {}", first.sql(), end.sql())];
    if Day::of(from).is_some() && of_day(from) > 0 {
        parts.push(format!("(day > {} OR quarter >= {})", first.sql(), of_day(from)));
    }
    if !is_open {
        parts.push(format!("(day < {} OR quarter < {})", end.sql(), of_day(until)));
    }
    parts.join(" AND ")
}

fn filter(question: &UsageQuestion<'_>) -> String {
    let mut parts = Vec::new();
    if !question.devices.is_empty() {
        parts.push(format!("g_device IN ({})", listed(question.devices)));
    }
    if let Some(session) = question.session {
        parts.push(format!("g_session = {}", quoted(session)));
    }
    if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) }
}

/// Texts as SQL.
pub(crate) fn listed(texts: &[&str]) -> String {
    texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")
}

/// Series that were read already: each is one, however many sums of it there are.
#[derive(Debug, Default)]
pub struct KnownSeries {
    all: HashMap<Vec<u8>, Arc<Series>>,
    texts: BTreeSet<Text>,
    key: Vec<u8>,
}

impl KnownSeries {
    fn text(&mut self, text: &str) -> Text {
        if let Some(known) = self.texts.get(text) {
            return Text::clone(known);
        }
        let text = Text::from(text);
        self.texts.insert(Text::clone(&text));
        text
    }

    /// The series of a row.
    fn of(
        &mut self,
        question: &UsageQuestion<'_>,
        row: Row<'_>,
    ) -> Result<Arc<Series>, NativeError> {
        let names = match question.apart {
            Apart::Series => &[Name::Source, Name::Project, Name::Kind][..],
            Apart::Prices(names) => names,
        };
        let named = |is_named: bool, column| if is_named { row.text(column) } else { Ok("") };
        let told = |name: Name, column| named(names.contains(&name), column);
        let texts = [
            row.text("g_provider")?,
            row.text("g_model")?,
            told(Name::Source, "g_source")?,
            told(Name::Project, "g_project")?,
            told(Name::Kind, "g_kind")?,
            named(question.is_by_device && question.apart == Apart::Series, "g_device")?,
        ];
        let (class, has_cost) = (row.unsigned("g_price_class")?, row.unsigned("g_has_cost")? != 0);
        self.key.clear();
        for text in texts {
            self.key.extend(text.len().to_le_bytes());
            self.key.extend(text.as_bytes());
        }
        self.key.extend(class.to_le_bytes());
        self.key.push(u8::from(has_cost));
        if let Some(known) = self.all.get(&self.key) {
            return Ok(Arc::clone(known));
        }
        let class = u16::try_from(class).ok().and_then(PriceClass::from_code);
        let [provider, model, source, project, kind, device] = texts.map(|text| self.text(text));
        let series = Arc::new(Series {
            witness: Witness::Measured,
            source,
            provider,
            model,
            project,
            kind,
            class: class.ok_or(NativeError::Value { column: "g_price_class" })?,
            has_reported_cost: has_cost,
            device,
        });
        self.all.insert(self.key.clone(), Arc::clone(&series));
        Ok(series)
    }
}

/// A sum.
///
/// # Errors
/// What is no row of the answer.
pub fn usage_of(
    question: &UsageQuestion<'_>,
    row: Row<'_>,
    known: &mut KnownSeries,
) -> Result<Usage, NativeError> {
    let start = match question.time_columns() {
        [] => question.from,
        ["span"] => {
            let span = usize::try_from(row.unsigned("span")?).unwrap_or(0);
            let start = span.checked_sub(1).and_then(|before| question.spans.get(before));
            start.copied().unwrap_or(question.from).max(question.from)
        }
        _ => {
            let day = row.unsigned("day")?;
            let day = Day::of_column(day).ok_or(NativeError::Value { column: "day" })?;
            let cell = i64::try_from(row.unsigned("cell")?).unwrap_or(0);
            UnixMs(day.start().0 + cell * QUARTER_MS)
        }
    };
    let series = known.of(question, row)?;
    let session =
        if question.is_by_session { row.text("g_session")?.into() } else { known.text("") };
    let device =
        if question.is_by_device { known.text(row.text("g_device")?) } else { known.text("") };
    let times = match question.apart {
        Apart::Series => (time(row, "sum_first_ms")?, time(row, "sum_last_ms")?),
        Apart::Prices(_) => (start, start),
    };
    Ok(Usage {
        start,
        times,
        session,
        series,
        device,
        counters: Counters {
            calls: row.unsigned("sum_calls")?,
            errors: row.unsigned("sum_errors")?,
            reported_cost: NanoUsd(row.signed("sum_reported_cost")?),
            tokens: Tokens {
                input: row.unsigned("sum_input")?,
                cache_read: row.unsigned("sum_cache_read")?,
                cache_write_5m: row.unsigned("sum_cache_write_5m")?,
                cache_write_1h: row.unsigned("sum_cache_write_1h")?,
                cache_write: row.unsigned("sum_cache_write")?,
                output: row.unsigned("sum_output")?,
                reasoning: row.unsigned("sum_reasoning")?,
            },
        },
    })
}

pub(crate) fn time(row: Row<'_>, column: &'static str) -> Result<UnixMs, NativeError> {
    let ms = i64::try_from(row.unsigned(column)?).ok();
    ms.map(UnixMs).ok_or(NativeError::Value { column })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMs {
        UnixMs::parse_rfc3339(text).unwrap()
    }

    /// Only stretches that begin in a window are of it.
    #[test]
    fn a_window_is_rounded_up_to_stretches() {
        let asked = |from: &str, until: &str, width| {
            let question = UsageQuestion {
                from: at(from),
                until: at(until),
                ..UsageQuestion::of("acme", Width::Day)
            };
            within(&question, width)
        };
        let (noon, night) = ("2026-11-20T12:00:01Z", "2026-11-22T00:00:00Z");
        assert_eq!(asked(noon, night, Width::Day), "day >= toDate(20778) AND day < toDate(20779)");
        assert_eq!(
            asked(noon, night, Width::Quarter),
            "day >= toDate(20777) AND day <= toDate(20779) AND (day > toDate(20777) OR quarter >= 49) \
             AND (day < toDate(20779) OR quarter < 0)"
        );
        assert_eq!(asked(night, noon, Width::Quarter), "0");
        assert_eq!(asked("1969-01-01T00:00:00Z", "1970-01-02T00:00:00Z", Width::Quarter), "0");
        let all = UsageQuestion::of("acme", Width::Day);
        for width in [Width::Quarter, Width::Day] {
            assert_eq!(within(&all, width), "day >= toDate(4) AND day <= toDate(49672)");
        }
    }

    #[test]
    fn days_that_are_cut_alike_are_one_run() {
        let day = |number: u16| Day::FIRST.ahead(number);
        let cuts = Cut::joined([
            (day(1), vec![73]),
            (day(2), vec![73]),
            (day(3), vec![77]),
            (day(5), vec![77]),
        ]);
        let run = |first, last, quarter| Cut {
            first: day(first),
            last: day(last),
            quarters: vec![quarter],
        };
        assert_eq!(cuts, [run(1, 2, 73), run(3, 3, 77), run(5, 5, 77)]);
        let question = UsageQuestion { cuts: &cuts, ..UsageQuestion::of("acme", Width::Day) };
        let told = cell(&question);
        let first =
            "multiIf(day >= toDate(5) AND day <= toDate(6) AND quarter >= 73, toUInt8(73), ";
        assert!(told.starts_with(first) && told.ends_with(", toUInt8(0))"), "{told}");
        // Where quarters are asked for anyhow, nothing is cut.
        assert_eq!(cell(&UsageQuestion { width: Width::Quarter, ..question }), "quarter");
    }

    #[test]
    fn nothing_that_is_asked_leaves_its_quotes() {
        let hostile = "'; DROP TABLE roll_day --";
        let question = UsageQuestion {
            devices: &[hostile],
            session: Some(hostile),
            unsummed: &[Day::FIRST],
            ..UsageQuestion::of(hostile, Width::Day)
        };
        let of_fleet = summary(hostile, Some(hostile), &[Day::FIRST]);
        for (statement, count) in [(usage(&question), 7), (of_fleet, 4)] {
            let without = statement.sql.replace(r"'\'; DROP TABLE roll_day --'", "?");
            assert!(!without.contains("DROP"), "{without}");
            assert_eq!(without.matches('?').count(), count);
        }
    }
}
