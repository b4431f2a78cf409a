//! The rules of FOCUS 1.2, held against a CSV, by rule id.
//!
//! The rules are those of the official validator's own list (`tests/fixtures/focus`): a rule is a
//! requirement on cells, a condition, and the rules that it is made of. Its *static* rules are evaluated
//! as they stand there. Most *dynamic* rules are about what only the issuer of a bill can know; those
//! that a CSV shows are below. Rules on columns that a file does not have do not apply to it;
//! that a column must be there is a rule of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;
use trueup_core::{Decimal, UnixMs};

/// What the export says of itself: it measures usage, in accounts and projects, and shows tags.
const SUPPORTED: [&str; 4] = [
    "USAGE_MEASUREMENT_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "TAGGING_SUPPORTED",
];

/// The rule that all others hang on.
const ROOT: &str = "CostAndUsage-D-000-M";

/// Units that FOCUS recommends, or that count something that it does not list.
const UNITS: [&str; 10] = [
    "Tokens",
    "Requests",
    "Charges",
    "Seconds",
    "Minutes",
    "Hours",
    "GiB-Hours",
    "Images",
    "Characters",
    "Units",
];

/// A file.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn of(csv: &str) -> Self {
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let cells = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect();
        let columns = cells(reader.headers().unwrap());
        let rows = reader.records().map(|record| cells(&record.unwrap())).collect();
        Self { columns, rows }
    }

    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// A cell; `None` where it is null, or the column is not there.
    pub(crate) fn get<'t>(&'t self, row: &'t [String], column: &str) -> Option<&'t str> {
        let at = self.columns.iter().position(|name| name == column)?;
        Some(row[at].as_str()).filter(|cell| !cell.is_empty())
    }

    /// The same with every cell of a column replaced.
    pub(crate) fn with(&self, column: &str, cell: &str) -> Self {
        let mut table = self.clone();
        if !table.has(column) {
            table.columns.push(column.to_owned());
            table.rows.iter_mut().for_each(|row| row.push(String::new()));
        }
        let at = table.columns.iter().position(|name| name == column).unwrap();
        table.rows.iter_mut().for_each(|row| cell.clone_into(&mut row[at]));
        table
    }

    /// The same without a column.
    pub(crate) fn without(&self, column: &str) -> Self {
        let mut table = self.clone();
        let at = table.columns.iter().position(|name| name == column).unwrap();
        table.columns.remove(at);
        for row in &mut table.rows {
            row.remove(at);
        }
        table
    }
}

/// What came of all rules.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Rules that hold.
    pub(crate) passed: BTreeSet<String>,
    /// What must hold and does not: the rule, and the first place.
    pub(crate) failed: BTreeMap<String, String>,
    /// What should hold and does not.
    pub(crate) advised: BTreeMap<String, String>,
}

/// Holds a file against the rules.
pub(crate) fn check(table: &Table) -> Verdict {
    let mut verdict = Verdict::default();
    RULES.walk(ROOT, &[], table, &mut verdict);
    for (id, holds) in OF_COLUMNS {
        if holds(table) {
            verdict.passed.insert((*id).to_owned());
        } else {
            verdict.failed.insert((*id).to_owned(), "header".to_owned());
        }
    }
    for (id, holds) in OF_ROWS {
        match table.rows.iter().position(|row| !holds(table, row)) {
            None => drop(verdict.passed.insert((*id).to_owned())),
            Some(at) => drop(verdict.failed.insert((*id).to_owned(), place(at))),
        }
    }
    verdict
}

fn place(row: usize) -> String {
    format!("line {}", row + 2)
}

static RULES: LazyLock<Rules> = LazyLock::new(Rules::read);

struct Rules(Value);

impl Rules {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/focus");
        let file = std::fs::File::open(path.join("model-1.2.json.gz")).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    /// A rule and those that it is made of; `given` are the conditions of those that hold it.
    fn walk<'r>(&'r self, id: &str, given: &[&'r Value], table: &Table, verdict: &mut Verdict) {
        let rule = &self.0["ModelRules"][id];
        assert!(rule.is_object(), "{id}");
        let criteria = &rule["ValidationCriteria"];
        let mut given = given.to_vec();
        given.push(condition(id, criteria));
        if rule["Function"] == "Composite" {
            for item in criteria["Requirement"]["Items"].as_array().unwrap() {
                self.walk(item["ModelRuleId"].as_str().unwrap(), &given, table, verdict);
            }
            return;
        }
        let is_supported = rule["ApplicabilityCriteria"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| SUPPORTED.contains(&one.as_str().unwrap()));
        let is_presence = rule["Function"] == "Presence";
        let column = rule["Reference"].as_str().unwrap();
        let keyword = criteria["Keyword"].as_str().unwrap();
        let is_there = is_presence || table.has(column);
        if rule["Type"] != "Static" || keyword == "MAY" || !is_supported || !is_there {
            return;
        }
        let wrong = if is_presence {
            let name = criteria["Requirement"]["ColumnName"].as_str().unwrap();
            (!table.has(name)).then(|| format!("no column {name}"))
        } else {
            wrong(&criteria["Requirement"], &given, table)
        };
        match wrong {
            None => drop(verdict.passed.insert(id.to_owned())),
            Some(place) if keyword.starts_with("MUST") => {
                verdict.failed.insert(id.to_owned(), place);
            }
            Some(place) => drop(verdict.advised.insert(id.to_owned(), place)),
        }
    }
}

/// When a rule applies. The list says of one the contrary of what the rule's own text says: "MUST NOT be
/// null when `ChargeClass` is not `Correction`".
fn condition<'r>(id: &str, criteria: &'r Value) -> &'r Value {
    static NOT_A_CORRECTION: LazyLock<Value> = LazyLock::new(|| {
        serde_json::json!({
            "CheckFunction": "CheckNotValue", "ColumnName": "ChargeClass", "Value": "Correction"
        })
    });
    if id == "ConsumedQuantity-C-006-C" {
        let text = criteria["MustSatisfy"].as_str().unwrap();
        assert!(text.ends_with("when ChargeClass is not \"Correction\"."), "{text}");
        return &NOT_A_CORRECTION;
    }
    &criteria["Condition"]
}

/// The first place where a requirement does not hold.
fn wrong(requirement: &Value, given: &[&Value], table: &Table) -> Option<String> {
    if requirement["CheckFunction"] == "CheckDistinctCount" {
        return many(requirement, table);
    }
    let is_meant = |row: &[String]| given.iter().all(|condition| holds(condition, table, row));
    let at = table.rows.iter().position(|row| is_meant(row) && !holds(requirement, table, row))?;
    Some(place(at))
}

/// The first value of a column that stands beside another number of values of another one.
fn many(requirement: &Value, table: &Table) -> Option<String> {
    let name = |key: &str| requirement[key].as_str().unwrap();
    let mut beside: BTreeMap<&str, BTreeSet<Option<&str>>> = BTreeMap::new();
    for row in &table.rows {
        if let Some(one) = table.get(row, name("ColumnAName")) {
            beside.entry(one).or_default().insert(table.get(row, name("ColumnBName")));
        }
    }
    let expected = requirement["ExpectedCount"].as_u64().unwrap();
    let wrong = beside.into_iter().find(|(_, others)| others.len() as u64 != expected)?;
    Some(wrong.0.to_owned())
}

/// Whether a row satisfies a requirement, or meets a condition; what asks for nothing is met.
fn holds(check: &Value, table: &Table, row: &[String]) -> bool {
    let Some(function) = check["CheckFunction"].as_str() else {
        assert!(check.as_object().is_none_or(serde_json::Map::is_empty), "{check}");
        return true;
    };
    let items = || check["Items"].as_array().unwrap().iter();
    let named = |key: &str| table.get(row, check[key].as_str().unwrap());
    let cell = check["ColumnName"].as_str().and_then(|name| table.get(row, name));
    let number = |key: &str| named(key).and_then(|cell| cell.parse::<Decimal>().ok());
    let is = |fits: fn(&str) -> bool| cell.is_none_or(fits);
    match function {
        "AND" => items().all(|item| holds(item, table, row)),
        "OR" => items().any(|item| holds(item, table, row)),
        "CheckValue" => is_value(cell, &check["Value"]),
        "CheckNotValue" => !is_value(cell, &check["Value"]),
        "CheckSameValue" => named("ColumnAName") == named("ColumnBName"),
        "CheckNotSameValue" => named("ColumnAName") != named("ColumnBName"),
        "CheckGreaterOrEqualThanValue" => is(|cell| !is_negative(cell)),
        "ColumnByColumnEqualsColumnValue" => {
            let product = number("ColumnAName").zip(number("ColumnBName"));
            product.map(|(one, two)| one.times(&two)) == number("ResultColumnName")
        }
        "CheckDecimalValue" | "TypeDecimal" | "FormatNumeric" => is(is_numeric),
        "TypeString" | "FormatString" => is(|cell| !cell.trim().is_empty()),
        "TypeDateTime" | "FormatDateTime" => is(is_time),
        "FormatCurrency" | "CheckNationalCurrency" => is(is_currency),
        "FormatUnit" => is(|cell| UNITS.contains(&cell)),
        "FormatKeyValue" => is(is_key_value),
        other => panic!("{other} is not known"),
    }
}

fn is_value(cell: Option<&str>, value: &Value) -> bool {
    if value.is_null() {
        return cell.is_none();
    }
    if let Some(text) = value.as_str() {
        return cell == Some(text);
    }
    let number = cell.and_then(|cell| cell.parse::<Decimal>().ok());
    number.is_some() && number == value.to_string().parse().ok()
}

fn is_negative(cell: &str) -> bool {
    cell.parse::<Decimal>().is_ok_and(|number| number.is_negative())
}

/// NumericFormat-A-003 to A-011: digits, one point, a sign only for what is negative.
fn is_numeric(cell: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, exponent) = cell.split_once('E').unwrap_or((cell, "0"));
    let number = number.strip_prefix('-').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    digits(whole) && digits(fraction) && digits(exponent.strip_prefix('-').unwrap_or(exponent))
}

/// DateTimeFormat-A-001 to A-006: `2026-11-01T00:00:00Z`.
fn is_time(cell: &str) -> bool {
    UnixMs::parse_rfc3339(cell).is_some_and(|at| at.to_string().replace(".000Z", "Z") == cell)
}

fn is_currency(cell: &str) -> bool {
    cell.len() == 3 && cell.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// KeyValueFormat-A-001 to A-004: an object of single values.
fn is_key_value(cell: &str) -> bool {
    let object: Result<BTreeMap<String, Value>, _> = serde_json::from_str(cell);
    object.is_ok_and(|object| !object.values().any(|value| value.is_array() || value.is_object()))
}

/// A rule that a header shows.
type OfColumns = (&'static str, fn(&Table) -> bool);

/// Dynamic rules that a header shows.
const OF_COLUMNS: &[OfColumns] = &[
    ("ColumnHandling-A-001-M", |table| focus(table).all(|name| is_pascal(name))),
    ("ColumnHandling-A-003-M", |table| {
        focus(table).all(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    }),
    ("ColumnHandling-A-005-O", |table| table.columns.iter().all(|name| name.len() <= 50)),
    ("ColumnHandling-A-010-M", |table| focus(table).all(|name| is_of_focus(name))),
    ("ColumnHandling-A-013-O", |table| {
        let mut names = table.columns.iter().skip_while(|name| !name.starts_with("x_"));
        names.all(|name| name.starts_with("x_"))
    }),
];

/// A rule that a row shows.
type OfRow = (&'static str, fn(&Table, &[String]) -> bool);

/// Dynamic rules that a row shows.
const OF_ROWS: &[OfRow] = &[
    ("NullHandling-A-002-M", |_, row| {
        let placeholders = ["null", "none", "n/a", "not applicable", "-"];
        row.iter().all(|cell| {
            let is_blank = !cell.is_empty() && cell.trim().is_empty();
            !is_blank && !placeholders.contains(&cell.to_ascii_lowercase().as_str())
        })
    }),
    ("BillingPeriodStart-C-004-M", |table, row| {
        time(table, row, "BillingPeriodStart") <= time(table, row, "ChargePeriodStart")
    }),
    ("BillingPeriodEnd-C-004-M", |table, row| {
        time(table, row, "ChargePeriodStart") < time(table, row, "BillingPeriodEnd")
    }),
    ("ChargePeriodEnd-C-004-M", |table, row| {
        time(table, row, "ChargePeriodStart") < time(table, row, "ChargePeriodEnd")
    }),
    ("ConsumedQuantity-C-008-C", |table, row| {
        table.get(row, "ConsumedQuantity").is_none_or(is_numeric)
    }),
    ("EffectiveCost-C-010-C", |table, row| is_cost(table, row, "EffectiveCost")),
    ("ContractedCost-C-008-C", |table, row| is_cost(table, row, "ContractedCost")),
    ("ListCost-C-008-C", |table, row| is_cost(table, row, "ListCost")),
];

fn focus(table: &Table) -> impl Iterator<Item = &String> {
    table.columns.iter().filter(|name| !name.starts_with("x_"))
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a column is one that rules are about.
fn is_of_focus(name: &str) -> bool {
    let rules = RULES.0["ModelRules"].as_object().unwrap();
    rules.values().any(|rule| rule["EntityType"] == "Column" && rule["Reference"] == name)
}

fn time(table: &Table, row: &[String], column: &str) -> Option<UnixMs> {
    table.get(row, column).and_then(UnixMs::parse_rfc3339)
}

/// Nothing is discounted: each cost is what is billed.
fn is_cost(table: &Table, row: &[String], column: &str) -> bool {
    table.get(row, column) == table.get(row, "BilledCost")
}
