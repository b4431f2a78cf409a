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
        if unsummed.is_empty() { String::new() } else { format!(" AND day NOT IN ({listed})") };
    // Arrays of other levels are not as long as each other: those rows go before arrays are joined.
    let of_sums = match &device {
        None => format!(
            "FROM fleet_day FINAL ARRAY JOIN sources AS s_source
             PREWHERE tenant = {tenant} AND level = 0{but}"
        ),
        Some(device) => format!(
            "FROM fleet_day FINAL
             ARRAY JOIN device AS s_device, source AS s_source, first_ms AS s_first, last_ms AS s_last
             PREWHERE tenant = {tenant} AND level = 2{but} WHERE s_device = {device}"
        ),
    };
    let (first, last) = if device.is_some() { ("s_first", "s_last") } else { ("first", "last") };
    let (times, from) = if unsummed.is_empty() {
        ((first, last), of_sums)
    } else {
        let bulk: Vec<String> = TOKENS.iter().map(|name| format!("toFloat64({name})")).collect();
        let of_device = device.map_or(String::new(), |device| format!("AND device = {device}"));
        let from = format!(
            "FROM (SELECT s_source, {first} AS t_first, {last} AS t_last, bulk {of_sums}
             UNION ALL
             SELECT CAST(source AS String) AS s_source, ts_ms AS t_first, ts_ms AS t_last,
                {} + abs(toFloat64(ifNull(reported_cost, toInt64(0)))) AS bulk
             FROM llm_event FINAL
             WHERE tenant = {tenant} AND day IN ({listed}) AND counts = 1 {of_device})",
            bulk.join(" + ")
        );
        (("t_first", "t_last"), from)
    };
    let sql = format!(
        "SELECT s_source, min({}) AS min_first, max({}) AS max_last,
            toUInt64(if(sum(bulk) > {VAST}, {VAST}, sum(bulk))) AS sum_bulk
         {from} GROUP BY s_source",
        times.0, times.1
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
