//! Generated statements, of which all is known, are read back exactly, in whatever dialect of CSV.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use trueup_core::{
    Charge, DAY_MS, Decimal, Dim, HOUR_MS, Measure, Measures, StatedFact, UnixMs, dims_json,
};

use crate::statements::read;

/// 2026-11-01.
const START: i64 = 1_793_491_200_000;

/// A row as it is written, by column, and as it must be read.
#[derive(Debug, Clone)]
struct Told {
    cells: BTreeMap<&'static str, String>,
    fact: StatedFact,
}

/// How a file is written.
#[derive(Debug, Clone)]
struct Dialect {
    delimiter: u8,
    ends: csv::Terminator,
    is_quoted: bool,
    encoding: &'static str,
    /// In which order the columns are.
    order: u64,
    is_drifted: bool,
    /// Empty buckets behind each row, where the kind has them.
    blank: usize,
}

fn dialect() -> impl Strategy<Value = Dialect> {
    (
        select(vec![b',', b';', b'\t', b'|']),
        any::<(bool, bool, bool)>(),
        select(vec![
            "utf-8",
            "utf-8-bom",
            "utf-16-le",
            "utf-16-be",
            "utf-16-le-bom",
            "utf-16-be-bom",
        ]),
        any::<u64>(),
        0..3_usize,
    )
        .prop_map(|(delimiter, (is_crlf, is_quoted, is_drifted), encoding, order, blank)| {
            Dialect {
                delimiter,
                ends: if is_crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') },
                is_quoted,
                encoding,
                order,
                is_drifted,
                blank,
            }
        })
}

fn word() -> impl Strategy<Value = String> {
    "[!-~é≤🦀]([ -~é≤🦀]{0,9}[!-~é≤🦀])?"
}

/// A decimal, written in any way.
fn money() -> impl Strategy<Value = (String, Decimal)> {
    ("-?[0-9]{1,20}(\\.[0-9]{1,40})?", select(vec!["", "e-7", "E+2", "e0"])).prop_map(
        |(text, end)| {
            let text = format!("{text}{end}");
            let amount = text.parse().unwrap();
            (text, amount)
        },
    )
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_000_u64, 0..=i64::MAX.unsigned_abs() / 4]
}

fn written(count: u64, is_float: bool) -> String {
    if is_float { format!("{count}.0") } else { count.to_string() }
}

/// What all kinds need: when, words for dimensions, counts, money.
#[derive(Debug, Clone)]
struct Seed {
    day: i64,
    hour: i64,
    flags: (bool, bool, bool),
    words: Vec<Option<String>>,
    model: String,
    counts: Vec<u64>,
    money: (String, Decimal),
    quantity: Option<(String, Decimal)>,
}

fn seed() -> impl Strategy<Value = Seed> {
    (
        0..40_i64,
        0..24_i64,
        any::<(bool, bool, bool)>(),
        prop::collection::vec(prop::option::of(word()), 6),
        word(),
        prop::collection::vec(count(), 6),
        money(),
        prop::option::of(money()),
    )
        .prop_map(|(day, hour, flags, words, model, counts, money, quantity)| Seed {
            day,
            hour,
            flags,
            words,
            model,
            counts,
            money,
            quantity,
        })
}

impl Told {
    fn new(provider: &str, start: i64, width_minutes: u32) -> Self {
        let fact = StatedFact {
            line: 0,
            provider: provider.into(),
            account: "".into(),
            start: Some(UnixMs(start)),
            width_minutes,
            dims: BTreeMap::new(),
            measures: Measures::default(),
            charge: None,
            extra: String::new(),
        };
        Self { cells: BTreeMap::new(), fact }
    }

    fn cell(&mut self, column: &'static str, text: impl Into<String>) {
        self.cells.insert(column, text.into());
    }

    fn dim(&mut self, column: &'static str, name: &str, text: Option<&String>) {
        if let Some(text) = text {
            self.cell(column, text.clone());
            self.fact.dims.insert(name.into(), Dim::Text(text.as_str().into()));
        }
    }

    fn count(&mut self, column: &'static str, measure: Measure, count: u64, is_float: bool) {
        self.cell(column, written(count, is_float));
        self.fact.measures.set(measure, count);
    }

    fn charge(&mut self, currency: &str, amount: &Decimal, quantity: Option<(&Decimal, &str)>) {
        self.fact.charge = Some(Charge {
            amount: amount.clone(),
            currency: currency.into(),
            quantity: quantity.map(|(quantity, _)| quantity.clone()),
            quantity_unit: quantity.map(|(_, unit)| unit.into()),
        });
    }
}

fn iso(ms: i64) -> String {
    UnixMs(ms).to_string().chars().take(19).collect()
}

type Kind = (&'static [&'static str], fn(&Seed) -> Vec<Told>, bool);

const BUCKET: [&str; 4] = ["start_time", "end_time", "start_time_iso", "end_time_iso"];

fn bucket(told: &mut Told, seed: &Seed, start: i64, end: i64) {
    told.cell("start_time", (start / 1_000).to_string());
    told.cell("end_time", (end / 1_000).to_string());
    let zone = if seed.flags.0 { "+00:00" } else { "" };
    if seed.flags.1 {
        told.cell("start_time_iso", format!("{}{zone}", iso(start)));
        told.cell("end_time_iso", format!("{}{zone}", iso(end)));
    }
}

fn openai_usage(seed: &Seed) -> Vec<Told> {
    let (width, ms) = if seed.flags.2 { (1_440, DAY_MS) } else { (60, HOUR_MS) };
    let start = START + seed.day * DAY_MS + if seed.flags.2 { 0 } else { seed.hour * HOUR_MS };
    let mut told = Told::new("openai", start, width);
    bucket(&mut told, seed, start, start + ms);
    told.dim("model", "model", Some(&seed.model));
    for (at, column) in ["project_id", "api_key_id", "user_id", "service_tier"].iter().enumerate() {
        told.dim(column, column, seed.words[at].as_ref());
    }
    told.cell("batch", if seed.flags.0 { "True" } else { "false" });
    told.fact.dims.insert("batch".into(), Dim::Bool(seed.flags.0));
    let [uncached, cached, written_12h, output, requests, _] = seed.counts[..] else {
        unreachable!()
    };
    let cache_write = written_12h.min(1_000);
    told.cell("input_tokens", written(uncached + cached + cache_write, seed.flags.1));
    told.cell("input_cache_write_tokens", written(cache_write, false));
    told.fact.measures.set(Measure::InCacheWrite, 0);
    told.count("input_cache_write_12h_tokens", Measure::InCacheWrite12h, cache_write, false);
    told.count("input_uncached_tokens", Measure::InUncached, uncached, false);
    told.count("input_cached_tokens", Measure::InCacheRead, cached, false);
    told.count("output_tokens", Measure::Out, output, false);
    told.count("num_model_requests", Measure::Requests, requests, true);
    vec![told]
}

fn openai_cost(seed: &Seed) -> Vec<Told> {
    let start = START + seed.day * DAY_MS;
    let mut told = Told::new("openai", start, 1_440);
    bucket(&mut told, seed, start, start + DAY_MS);
    told.dim("line_item", "line_item", Some(&seed.model));
    told.dim("project_id", "project_id", seed.words[0].as_ref());
    if let Some(account) = &seed.words[1] {
        told.cell("organization_id", account.clone());
        told.fact.account = account.as_str().into();
    }
    told.cell("amount_value", seed.money.0.clone());
    told.cell("amount_currency", if seed.flags.2 { "usd" } else { "eur" });
    let quantity = seed.quantity.as_ref().map(|(text, quantity)| {
        told.cell("quantity", text.clone());
        told.cell("quantity_unit", "tokens");
        (quantity, "tokens")
    });
    told.charge(if seed.flags.2 { "USD" } else { "EUR" }, &seed.money.1, quantity);
    vec![told]
}

fn anthropic(seed: &Seed, model: &'static str) -> Told {
    let hour = if seed.flags.0 { 0 } else { seed.hour * HOUR_MS };
    let start = START + seed.day * DAY_MS + hour;
    let mut told = Told::new("anthropic", start, if seed.flags.0 { 1_440 } else { 60 });
    let length = if seed.flags.0 { 10 } else { 16 };
    let time: String = iso(start).replace('T', " ").chars().take(length).collect();
    told.cell("usage_date_utc", time);
    told.dim(model, "model", Some(&seed.model));
    told.dim("api_key", "api_key_name", seed.words[0].as_ref());
    told.dim("workspace", "workspace_name", seed.words[1].as_ref());
    told.dim("usage_type", "usage_type", seed.words[2].as_ref());
    told.dim("context_window", "context_window", seed.words[3].as_ref());
    told
}

fn anthropic_tokens(seed: &Seed) -> Vec<Told> {
    let mut told = anthropic(seed, "model_version");
    for ((column, measure), count) in [
        ("usage_input_tokens_no_cache", Measure::InUncached),
        ("usage_input_tokens_cache_write_5m", Measure::InCacheWrite5m),
        ("usage_input_tokens_cache_write_1h", Measure::InCacheWrite1h),
        ("usage_input_tokens_cache_read", Measure::InCacheRead),
        ("usage_output_tokens", Measure::Out),
        ("web_search_count", Measure::WebSearches),
    ]
    .into_iter()
    .zip(&seed.counts)
    {
        told.count(column, measure, *count, seed.flags.1);
    }
    vec![told]
}

fn anthropic_cost(seed: &Seed) -> Vec<Told> {
    let mut told = anthropic(seed, "model");
    told.dim("token_type", "token_type", seed.words[4].as_ref());
    told.cell("cost_usd", seed.money.0.clone());
    told.charge("USD", &seed.money.1, None);
    vec![told]
}

fn openrouter(seed: &Seed) -> Vec<Told> {
    let start = START + seed.day * DAY_MS;
    let mut told = Told::new("openrouter", start, 1_440);
    told.cell("Date", iso(start).replace('T', " "));
    told.dim("Slug", "model", Some(&seed.model));
    told.cell("Usage", seed.money.0.clone());
    told.charge("USD", &seed.money.1, None);
    told.count("Requests", Measure::Requests, seed.counts[0], false);
    told.count("Prompt Tokens", Measure::InUnsplit, seed.counts[1], false);
    told.count("Completion Tokens", Measure::Out, seed.counts[2], false);
    told.count("Reasoning Tokens", Measure::OutReasoning, seed.counts[3], false);
    vec![told]
}

fn deepseek(seed: &Seed) -> Told {
    let start = START + seed.day * DAY_MS - 8 * HOUR_MS;
    let mut told = Told::new("deepseek", start, 1_440);
    told.cell("start_time_iso", format!("{}+08:00", iso(start + 8 * HOUR_MS)));
    told.cell("end_time_iso", format!("{}+08:00", iso(start + 8 * HOUR_MS + DAY_MS)));
    told.cell("user_id", "u-1");
    told.fact.account = "u-1".into();
    told.dim("model", "model", Some(&seed.model));
    told
}

fn deepseek_amount(seed: &Seed) -> Vec<Told> {
    let kinds = [
        ("input_cache_hit_tokens", Measure::InCacheRead),
        ("input_cache_miss_tokens", Measure::InUncached),
        ("output_tokens", Measure::Out),
        ("request_count", Measure::Requests),
    ];
    let row = |((kind, measure), count): ((&str, Measure), &u64)| {
        let mut told = deepseek(seed);
        told.dim("api_key_name", "api_key_name", seed.words[0].as_ref());
        told.cell("type", kind);
        told.cell("price", "");
        told.count("amount", measure, *count, false);
        told
    };
    kinds.into_iter().zip(&seed.counts).map(row).collect()
}

fn deepseek_cost(seed: &Seed) -> Vec<Told> {
    let mut told = deepseek(seed);
    told.dim("wallet_type", "wallet_type", seed.words[0].as_ref());
    told.cell("cost", seed.money.0.clone());
    told.cell("currency", "CNY");
    told.charge("CNY", &seed.money.1, None);
    vec![told]
}

fn focus(seed: &Seed) -> Vec<Told> {
    let start = START + seed.day * DAY_MS;
    let mut told = Told::new("Microsoft", start, 1_440);
    told.cell("ProviderName", "Microsoft");
    told.cell("ChargePeriodStart", format!("{}Z", iso(start)));
    told.cell("ChargePeriodEnd", format!("{}.000Z", iso(start + DAY_MS)));
    told.dim("ServiceName", "service_name", Some(&seed.model));
    told.dim("SkuMeter", "sku_meter", seed.words[0].as_ref());
    told.dim("SubAccountId", "sub_account_id", seed.words[1].as_ref());
    told.cell("BilledCost", seed.money.0.clone());
    told.cell("BillingCurrency", "USD");
    let quantity = seed.quantity.as_ref().map(|(text, quantity)| {
        told.cell("ConsumedQuantity", text.clone());
        told.cell("ConsumedUnit", "GB-Hours");
        (quantity, "GB-Hours")
    });
    told.charge("USD", &seed.money.1, quantity);
    vec![told]
}

/// Every kind: columns that are there in any case, its rows, and whether it lists empty buckets.
const KINDS: &[(&str, Kind)] = &[
    ("openai_usage", (&BUCKET, openai_usage, true)),
    ("openai_cost", (&BUCKET, openai_cost, true)),
    ("anthropic_tokens", (&[], anthropic_tokens, false)),
    ("anthropic_cost", (&[], anthropic_cost, false)),
    ("openrouter_activity", (&["BYOK Usage"], openrouter, false)),
    ("deepseek_amount", (&["api_key_name"], deepseek_amount, false)),
    ("deepseek_cost", (&["wallet_type"], deepseek_cost, false)),
    ("focus", (&["Tags", "x_Anything"], focus, false)),
    ("trueup_focus", (&["Tags", "x_EstimateOrBilled"], focus, false)),
];

/// The file, and what must be read of it.
fn write(kind: &Kind, seeds: &[Seed], dialect: &Dialect) -> (Vec<u8>, Vec<StatedFact>, u64) {
    let (fixed, rows, lists_empty) = kind;
    let told: Vec<Told> = seeds.iter().flat_map(rows).collect();
    let mut columns: Vec<&str> = fixed.to_vec();
    for row in &told {
        columns.extend(row.cells.keys());
    }
    if dialect.is_drifted {
        columns.push("a new column");
    }
    columns.sort_by_key(|name| {
        name.bytes().fold(dialect.order, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    });
    columns.dedup();
    let style =
        if dialect.is_quoted { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
    let mut writer = csv::WriterBuilder::new()
        .delimiter(dialect.delimiter)
        .terminator(dialect.ends)
        .quote_style(style)
        .from_writer(Vec::new());
    writer.write_record(&columns).unwrap();
    let (mut facts, mut line, mut blank) = (Vec::new(), 2, 0);
    for (number, mut row) in told.into_iter().enumerate() {
        if dialect.is_drifted {
            row.cell("a new column", number.to_string());
            row.fact.extra = format!("{{\"a new column\":\"{number}\"}}");
        }
        let cell = |name: &&str| row.cells.get(name).cloned().unwrap_or_default();
        writer.write_record(columns.iter().map(cell)).unwrap();
        row.fact.line = line;
        line += 1;
        for _ in 0..if *lists_empty { dialect.blank } else { 0 } {
            let of_time =
                |name: &&str| if BUCKET.contains(name) { cell(name) } else { String::new() };
            writer.write_record(columns.iter().map(of_time)).unwrap();
            (line, blank) = (line + 1, blank + 1);
        }
        facts.push(row.fact);
    }
    (encoded(&writer.into_inner().unwrap(), dialect.encoding), facts, blank)
}

fn encoded(bytes: &[u8], encoding: &str) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    let text = if encoding.ends_with("bom") { format!("\u{feff}{text}") } else { text.to_owned() };
    match encoding {
        "utf-16-le" | "utf-16-le-bom" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "utf-16-be" | "utf-16-be-bom" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        _ => text.into_bytes(),
    }
}

/// Sums over rows: each measure, and the amounts of each currency.
fn sums(rows: &[StatedFact]) -> (BTreeMap<Measure, u128>, BTreeMap<String, Decimal>) {
    let (mut counts, mut amounts) = (BTreeMap::<_, u128>::new(), BTreeMap::new());
    for row in rows {
        for (measure, count) in row.measures.told() {
            *counts.entry(measure).or_default() += u128::from(count);
        }
        if let Some(charge) = &row.charge {
            let sum: &mut Decimal =
                amounts.entry(charge.currency.to_string()).or_insert(Decimal::ZERO);
            *sum = sum.plus(&charge.amount);
        }
    }
    (counts, amounts)
}

proptest! {
    #[test]
    fn a_generated_statement_is_read_back_exactly(
        kind in select(KINDS.to_vec()),
        seeds in prop::collection::vec(seed(), 1..12),
        dialect in dialect(),
    ) {
        let (name, kind) = kind;
        let (bytes, expected, blank) = write(&kind, &seeds, &dialect);
        let (rows, summary) = read(&bytes).unwrap();
        for (row, expected) in rows.iter().zip(&expected) {
            prop_assert_eq!(row, expected, "{} {}", name, dims_json(&expected.dims));
        }
        prop_assert_eq!(rows.len(), expected.len(), "{}", name);
        prop_assert_eq!((summary.blank, summary.odd), (blank, 0));
        prop_assert_eq!(sums(&rows), sums(&expected));
        let drift = summary.issues.keys().filter(|issue| issue.detail.contains("a new column"));
        prop_assert_eq!(drift.count(), usize::from(dialect.is_drifted));
    }
}
