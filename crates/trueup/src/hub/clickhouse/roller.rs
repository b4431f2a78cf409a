//! Works sums out anew where calls were written: at once what this process wrote, and now and then whatever
//! another one left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use trueup_clickhouse::Day;
use trueup_clickhouse::rollup::{DAYS_AT_ONCE, DirtyDay, dirty, dirty_day_of, recompute};

use super::client::Client;
use super::flusher::{Flusher, ShardDay};
use crate::net;
use crate::ticker::Ticker;

/// How often sums are worked out, where that takes no time.
pub(super) const ROLL_EVERY: Duration = Duration::from_secs(2);
/// How much longer it rests than it works.
const REST: u32 = 4;
/// How often all days are looked at.
const SWEEP_EVERY: Duration = Duration::from_mins(5);
/// Days of a shard that are found at once.
pub(super) const SWEPT_AT_ONCE: usize = 1_000;

/// Works until the ticker is stopped.
pub(super) fn run(client: &Client, flusher: &Arc<Flusher>, ticker: &Ticker) {
    let mut left: BTreeSet<ShardDay> = BTreeSet::new();
    let mut swept_at: Option<Instant> = None;
    let mut rest = Duration::ZERO;
    while ticker.pause(ROLL_EVERY.max(rest)) {
        let began = Instant::now();
        left.extend(flusher.dirty());
        let is_sweep = swept_at.is_none_or(|at| at.elapsed() > SWEEP_EVERY);
        match roll(client, &left, is_sweep) {
            Ok(()) => {
                left.clear();
                swept_at = if is_sweep { Some(began) } else { swept_at };
            }
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    days = left.len(),
                    "sums_not_worked_out"
                );
            }
        }
        rest = began.elapsed().saturating_mul(REST);
    }
}

/// Works out the sums of these days, and where all are looked at of any that lack something.
pub(super) fn roll(client: &Client, days: &BTreeSet<ShardDay>, is_sweep: bool) -> Result<()> {
    for shard in 0..client.shards() {
        let only: Vec<(&str, Day)> = days
            .iter()
            .filter(|(of, ..)| *of == shard)
            .map(|(_, tenant, day)| (tenant.as_str(), *day))
            .collect();
        for only in only.chunks(DAYS_AT_ONCE) {
            roll_those(
                client,
                shard,
                &client.rows(shard, &dirty(only, only.len()), dirty_day_of)?,
            )?;
        }
        if is_sweep {
            roll_those(
                client,
                shard,
                &client.rows(shard, &dirty(&[], SWEPT_AT_ONCE), dirty_day_of)?,
            )?;
        }
    }
    Ok(())
}

pub(super) fn roll_those(client: &Client, shard: usize, days: &[DirtyDay]) -> Result<()> {
    client.write_all(shard, &recompute(days, client.is_replicated(shard), net::random()))
}
