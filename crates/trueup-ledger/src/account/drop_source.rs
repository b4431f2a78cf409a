//! Takes out of the account what was read from the stores of one source.
//!
//! Row by row, so that each sum is what the facts left below it say: calls that clients posted under
//! the name of the source stay, and so do calls whose rows are no longer there, in the sums and as
//! keys. In pages, so that a source of any size needs little memory.

use rusqlite::{Connection, params};
use trueup_core::{Counters, FactId, NanoUsd, UnixMs};

use super::{Account, Memory};
use crate::rollup::Place;
use crate::row::tokens_of_row;

/// The time of what is put in: nothing is.
const NOTHING_NEW: UnixMs = UnixMs(0);

/// Rows that are taken out before the sums are brought up to them.
const PAGE_ROWS: i64 = 5_000;

/// Whether the claim `t` gave way to calls some of which retention has taken: nothing that is read
/// again would say so.
macro_rules! is_settled {
    () => {
        "(t.is_superseded AND EXISTS (SELECT 1 FROM usage_removed r
            WHERE r.session IN (t.session, t.parent)
            OR r.session IN (SELECT session FROM session_totals WHERE parent = t.session)))"
    };
}

/// Whether a row was read from a store of the source ?1, and by which id it is known. A call that a
/// client posted always has an id of the client's, or one that the client was told.
macro_rules! is_read {
    ($id:literal) => {
        concat!(
            "(EXISTS (SELECT 1 FROM llm_calls t JOIN series s ON s.id = t.series
                WHERE t.id = ",
            $id,
            " AND s.source = ?1 AND t.client_trace_id IS NULL)
             OR EXISTS (SELECT 1 FROM session_totals t JOIN series s ON s.id = t.series
                WHERE t.id = ",
            $id,
            " AND s.source = ?1 AND NOT ",
            is_settled!(),
            "))"
        )
    };
}

/// Takes out calls, claims, keys, positions, problems and allowances of a source, and their part of
/// the sums. The names of its series and sessions stay: who reads beside us may just have read them.
pub(crate) fn drop_source(
    database: &Connection,
    memory: &mut Memory,
    has_outbox: bool,
    source: &str,
) -> rusqlite::Result<()> {
    memory.clear();
    if has_outbox {
        // What a destination has, or may have, and does not come back is taken back there.
        let sent = concat!(
            "INSERT INTO outbox (kind, id) SELECT 4, id FROM llm_calls
             WHERE (pushed_at IS NOT NULL OR id IN (SELECT o.id FROM outbox o JOIN push_batches b
                ON o.seq BETWEEN b.first_seq AND b.last_seq)) AND ",
            is_read!("llm_calls.id")
        );
        database.execute(sent, [source])?;
        // All at once: a row of it is not found by its id.
        let queued = concat!("DELETE FROM outbox WHERE kind = 0 AND ", is_read!("outbox.id"));
        database.execute(queued, [source])?;
    }
    forget_keys(database, source)?;
    let mut after = Some(FactId([0; 16]));
    while let Some(last) = after {
        after = drop_calls(database, memory, source, last)?;
    }
    while drop_claims(database, memory, source)? {}
    for statement in [
        "DELETE FROM positions WHERE source = ?1",
        "DELETE FROM problems WHERE source = ?1",
        "DELETE FROM quotas WHERE source = ?1",
    ] {
        database.execute(statement, [source])?;
    }
    Ok(())
}

/// Forgets the keys of all rows that will be taken out. A key whose row is gone already says nothing
/// of its source: it stays known, as its call stays counted.
fn forget_keys(database: &Connection, source: &str) -> rusqlite::Result<()> {
    let mut last = database.prepare(
        "SELECT max(key) FROM (SELECT key FROM fact_keys WHERE key > ?1 ORDER BY key LIMIT ?2)",
    )?;
    let mut forget = database.prepare(concat!(
        "DELETE FROM fact_keys WHERE key > ?2 AND key <= ?3 AND ",
        is_read!("fact_keys.id")
    ))?;
    let mut after = Vec::new();
    while let Some(until) =
        last.query_row(params![after, PAGE_ROWS], |row| row.get::<_, Option<Vec<u8>>>(0))?
    {
        forget.execute(params![source, after, until])?;
        after = until;
    }
    Ok(())
}

/// Takes out a page of a source's calls behind `after`; the last of them, where there was one.
fn drop_calls(
    database: &Connection,
    memory: &mut Memory,
    source: &str,
    after: FactId,
) -> rusqlite::Result<Option<FactId>> {
    let page: Vec<FactId> = database
        .prepare_cached(
            "SELECT id FROM llm_calls WHERE id > ?1 AND client_trace_id IS NULL
             AND session IN (SELECT id FROM sessions WHERE source = ?2) ORDER BY id LIMIT ?3",
        )?
        .query_map(params![after.0, source, PAGE_ROWS], |row| Ok(FactId(row.get(0)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut account = Account::new(database, memory, false, NOTHING_NEW)?;
    for id in &page {
        account.remove_call(*id)?;
    }
    account.finish()?;
    Ok(page.last().copied())
}

/// Takes out a page of a source's claims; whether there was one.
fn drop_claims(database: &Connection, memory: &mut Memory, source: &str) -> rusqlite::Result<bool> {
    let mut page = database.prepare_cached(concat!(
        "SELECT t.id, t.series, t.session, t.created_at, t.is_superseded, t.reported_cost_nanousd,
         t.input, t.cache_read, t.cache_write_5m, t.cache_write_1h, t.cache_write, t.output,
         t.reasoning FROM session_totals t JOIN series s ON s.id = t.series
         WHERE s.source = ?1 AND NOT ",
        is_settled!(),
        " LIMIT ?2",
    ))?;
    let claims = page
        .query_map(params![source, PAGE_ROWS], |row| {
            let (series, session) = (row.get(1)?, row.get(2)?);
            let place = Place { series, session, time: UnixMs(row.get(3)?) };
            let reported_cost = NanoUsd(row.get::<_, Option<i64>>(5)?.unwrap_or(0));
            let tokens = tokens_of_row(row, 6)?;
            let counters = Counters { calls: 1, errors: 0, tokens, reported_cost };
            Ok((FactId(row.get(0)?), place, row.get::<_, bool>(4)?, counters))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut account = Account::new(database, memory, false, NOTHING_NEW)?;
    let mut delete = database.prepare_cached("DELETE FROM session_totals WHERE id = ?1")?;
    for (id, place, is_superseded, counters) in &claims {
        delete.execute([id.0])?;
        if !is_superseded {
            account.changes.remove(*place, counters);
        }
    }
    account.finish()?;
    Ok(!claims.is_empty())
}

/// How many calls that were read from stores of a source, and how many claimed runs, `old` has and
/// `new` has not.
pub(crate) fn lost(
    old: &Connection,
    new: &Connection,
    source: &str,
) -> rusqlite::Result<(u64, u64)> {
    let lost = |facts: &str| -> rusqlite::Result<u64> {
        let mut known = new.prepare("SELECT 1 FROM fact_keys WHERE key = ?1")?;
        let mut facts = old.prepare(facts)?;
        let mut facts = facts.query([source])?;
        let mut lost = 0;
        while let Some(fact) = facts.next()? {
            if !known.exists([fact.get::<_, [u8; 16]>(0)?])? {
                lost += 1;
            }
        }
        Ok(lost)
    };
    let calls = lost(
        "SELECT k.key FROM fact_keys k JOIN llm_calls t ON t.id = k.id
         JOIN series s ON s.id = t.series WHERE s.source = ?1 AND t.client_trace_id IS NULL",
    )?;
    let runs = lost(
        "SELECT k.key FROM fact_keys k JOIN session_totals t ON t.id = k.id
         JOIN series s ON s.id = t.series WHERE s.source = ?1",
    )?;
    Ok((calls, runs))
}
