//! Lets weeks go that are over, as far as the settings say so, and keeps their sums.
//!
//! Any number of hubs may do it at once: where what is kept begins only moves on, and what is dropped
//! already is dropped again without harm. Before it moves on, what lies before is worked into sums for the
//! last time.

use std::time::Duration;

use anyhow::{Result, bail};
use trueup_clickhouse::Day;
use trueup_clickhouse::rollup::{dirty, dirty_day_of};
use trueup_clickhouse::upkeep::{
    drop_weeks, horizon, horizon_of, horizon_of_row, keep_horizon, week_of, weeks,
};

use super::client::Client;
use super::roller::{SWEPT_AT_ONCE, roll_those};
use crate::clock;
use crate::ticker::Ticker;

/// How often days are looked for that are not in sums before it is left for the next time.
const SETTLE_TRIES: usize = 100;

/// How much is kept, and how often that is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// Weeks, beside the present one; `None` for ever.
    pub(crate) weeks: Option<u16>,
    pub(crate) interval: Duration,
}

/// Works until the ticker is stopped.
pub(super) fn run(client: &Client, weeks: u16, ticker: &Ticker) {
    loop {
        if let Err(error) = look(client, horizon_of(clock::now(), weeks)) {
            tracing::warn!(error = format!("{error:#}"), "retention_failed");
        }
        if !ticker.tick(Duration::ZERO) {
            return;
        }
    }
}

/// The first shard first: what it says is what receivers go by.
fn look(client: &Client, first: Day) -> Result<()> {
    (0..client.shards()).try_for_each(|shard| keep(client, shard, first))
}

/// Keeps a shard from a day on.
fn keep(client: &Client, shard: usize, first: Day) -> Result<()> {
    let known = client.row(shard, &horizon(clock::now()), horizon_of_row)?;
    if known.taken_from < first {
        settle(client, shard, first)?;
        client.write(shard, &keep_horizon(first, clock::now()))?;
        tracing::info!(shard, day = %first, "nothing_before_is_taken");
    }
    let gone = drop_weeks(&client.rows(shard, &weeks(), week_of)?, known);
    client.write_all(shard, &gone)?;
    if !gone.is_empty() {
        tracing::info!(shard, parts = gone.len(), "weeks_dropped");
    }
    Ok(())
}

/// Works out the sums of days before `first`: later nobody does.
fn settle(client: &Client, shard: usize, first: Day) -> Result<()> {
    for _ in 0..SETTLE_TRIES {
        let days = client.rows(shard, &dirty(&[], SWEPT_AT_ONCE), dirty_day_of)?;
        if days.len() < SWEPT_AT_ONCE && days.iter().all(|it| it.day >= first) {
            return Ok(());
        }
        roll_those(client, shard, &days)?;
    }
    bail!("calls come faster than sums of them are worked out")
}
