//! What there is in all: from when until when, of which sources, and how much.

use trueup_core::{Text, UnixMs};

use super::stretches::days;
use super::{Adding, time};
use crate::day::Day;
use crate::native::{NativeError, Row};
use crate::quote::quoted;
use crate::rollup::TOKENS;
use crate::statement::{Purpose, Statement};

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
            "SELECT s_source, first AS s_first, last AS s_last, bulk FROM ({})
             ARRAY JOIN sources AS s_source",
            of_rows(0, "sources, first, last")
        ),
        Some(device) => format!(
            "SELECT s_source, s_first, s_last, bulk FROM ({})
             ARRAY JOIN source_of AS s_source, first_of AS s_first, last_of AS s_last",
            of_rows(
                2,
                &format!(
                    "arrayMap(of -> of = {device}, device) AS is_of,
                     arrayFilter((x, of) -> of, source, is_of) AS source_of,
                     arrayFilter((x, of) -> of, first_ms, is_of) AS first_of,
                     arrayFilter((x, of) -> of, last_ms, is_of) AS last_of"
                )
            )
        ),
    }];
    if !unsummed.is_empty() {
        let bulk: Vec<String> = TOKENS.iter().map(|name| format!("toFloat64({name})")).collect();
        let of_device = device.map_or(String::new(), |device| format!("AND device = {device}"));
        parts.push(format!(
            "SELECT CAST(source AS String) AS s_source, ts_ms AS s_first, ts_ms AS s_last,
                {} + abs(toFloat64(ifNull(reported_cost, toInt64(0)))) AS bulk
             FROM llm_event FINAL
             WHERE tenant = {tenant} AND day IN ({listed}) AND counts = 1 {of_device}",
            bulk.join(" + ")
        ));
    }
    let sql = format!(
        "SELECT s_source, min(s_first) AS min_first, max(s_last) AS max_last,
            toUInt64(if(sum(bulk) > {VAST}, {VAST}, sum(bulk))) AS sum_bulk
         FROM ({}) GROUP BY s_source",
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
        source: row.text("s_source")?.into(),
        times: (time(row, "min_first")?, time(row, "max_last")?),
        bulk: row.unsigned("sum_bulk")?,
    })
}
