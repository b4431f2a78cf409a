//! Forgets a tenant, or one of its devices, on every shard.
//!
//! A receiver may have taken something a moment before it learned that the token is revoked, and sums may be
//! under way: so it is looked for again until nothing is left.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use trueup_clickhouse::upkeep::{
    day_of_row, days_of_device, erase, erase_tenant, forget_sums, left, left_of, scrub_sums,
    undone, undone_of,
};
use trueup_clickhouse::{Mark, Statement, marks};

use super::client::Client;
use super::flusher::ShardDay;
use super::roller::roll;
use crate::net;

/// How long what a receiver has taken may be on its way: it knows of a revoked token after a second, and
/// writes what waits twice a second.
const IN_FLIGHT: Duration = Duration::from_secs(3);
/// How long a server may take to rewrite what rows are taken out of.
const REWRITE_TIME_MAX: Duration = Duration::from_mins(30);
/// How often it is asked whether it is done.
const ASKED_EVERY: Duration = Duration::from_millis(200);
/// How often what is left is looked for.
const TRIES: usize = 5;

/// Forgets all that a tenant told, or one of its devices.
pub(super) fn forget(client: &Client, tenant: &str, device: Option<&str>) -> Result<()> {
    for _ in 0..TRIES {
        std::thread::park_timeout(IN_FLIGHT);
        if rows_left(client, tenant, device)? == 0 {
            return Ok(());
        }
        match device {
            Some(device) => forget_device(client, tenant, device)?,
            None => on_all(client, &erase_tenant(tenant))?,
        }
    }
    bail!("something of it is still there, or came again: is every hub reached? Do it again")
}

fn rows_left(client: &Client, tenant: &str, device: Option<&str>) -> Result<u64> {
    let left = left(tenant, device);
    (0..client.shards()).map(|shard| client.row(shard, &left, left_of)).sum()
}

/// Sums are worked out anew from what the other devices told, and what is superseded is taken off the
/// disk. Whoever begins again after an end in between finds the days by the sums that still have it.
fn forget_device(client: &Client, tenant: &str, device: &str) -> Result<()> {
    let mut days: BTreeSet<ShardDay> = BTreeSet::new();
    for shard in 0..client.shards() {
        let found = client.rows(shard, &days_of_device(tenant, device), day_of_row)?;
        days.extend(found.into_iter().map(|day| (shard, tenant.to_owned(), day)));
    }
    on_all(client, &erase(tenant, device))?;
    for insert in marks(&days, Mark { receiver: net::random(), seq: 1 }) {
        client.write(insert.shard, &insert.statement)?;
    }
    for shard in 0..client.shards() {
        client.write_all(shard, &forget_sums(tenant, device))?;
    }
    roll(client, &days, false)?;
    on_all(client, &scrub_sums(tenant, device))
}

/// Has statements done that rewrite rows, and waits until every replica has.
fn on_all(client: &Client, statements: &[Statement]) -> Result<()> {
    let begun = Instant::now();
    for shard in 0..client.shards() {
        client.write_all(shard, statements)?;
    }
    for shard in 0..client.shards() {
        for replica in 0..client.replicas(shard) {
            while client.row_of(shard, replica, &undone(), undone_of)? > 0 {
                if begun.elapsed() > REWRITE_TIME_MAX {
                    bail!("the servers are still at it: do it again later, to see that it is done");
                }
                std::thread::park_timeout(ASKED_EVERY);
            }
        }
    }
    Ok(())
}
