//! Counters as columns: one order of columns for every table that has them.

use rusqlite::Row;
use trueup_core::{Counters, NanoUsd, Tokens};

/// SQLite holds signed integers; counts stop at the largest.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// `input, cache_read, cache_write_5m, cache_write_1h, cache_write, output, reasoning`.
pub(crate) fn token_values(tokens: &Tokens) -> [i64; 7] {
    [
        tokens.input,
        tokens.cache_read,
        tokens.cache_write_5m,
        tokens.cache_write_1h,
        tokens.cache_write,
        tokens.output,
        tokens.reasoning,
    ]
    .map(signed)
}

/// The tokens in seven columns from `at` on.
pub(crate) fn tokens_of_row(row: &Row<'_>, at: usize) -> rusqlite::Result<Tokens> {
    Ok(Tokens {
        input: unsigned(row.get(at)?),
        cache_read: unsigned(row.get(at + 1)?),
        cache_write_5m: unsigned(row.get(at + 2)?),
        cache_write_1h: unsigned(row.get(at + 3)?),
        cache_write: unsigned(row.get(at + 4)?),
        output: unsigned(row.get(at + 5)?),
        reasoning: unsigned(row.get(at + 6)?),
    })
}

/// `calls, errors`, the tokens, `reported_cost_nanousd`.
pub(crate) const COUNTER_COLUMNS: &str = "calls, errors, input, cache_read, cache_write_5m, \
     cache_write_1h, cache_write, output, reasoning, reported_cost_nanousd";

pub(crate) fn counter_values(counters: &Counters) -> impl Iterator<Item = i64> {
    [signed(counters.calls), signed(counters.errors)]
        .into_iter()
        .chain(token_values(&counters.tokens))
        .chain([counters.reported_cost.0])
}

/// The counters in ten columns from `at` on.
pub(crate) fn counters_of_row(row: &Row<'_>, at: usize) -> rusqlite::Result<Counters> {
    Ok(Counters {
        calls: unsigned(row.get(at)?),
        errors: unsigned(row.get(at + 1)?),
        tokens: tokens_of_row(row, at + 2)?,
        reported_cost: NanoUsd(row.get(at + 9)?),
    })
}
