//! The store on ClickHouse: any number of receivers before any number of shards.
//!
//! What is sent and what answers mean is in `trueup-clickhouse`; here are sockets, threads and the clock.
//! One thread writes, one works sums out, one lets weeks go. Nothing is remembered but what may be forgotten.

mod client;
mod eraser;
mod flusher;
mod keeper;
mod reading;
mod roller;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::sync::Semaphore;
use trueup_clickhouse::rollup::{dirty, dirty_day_of};
use trueup_clickhouse::{Address, Place, Server, keep_tokens, token_of, tokens, upkeep};
use trueup_core::{Delivery, HubToken, Text};
use trueup_ledger::{Ledger, LedgerError, Limits, OpenOptions, Reader, Writer};

use super::store::{Done, Look, Store, Unavailable};
use super::tokens::is_name;
use crate::api::{App, Known};
use crate::clock;
use crate::config::Config;
use crate::ticker::Ticker;
use crate::usage::Keeping;
use client::Client;
use flusher::Flusher;
pub(super) use keeper::Retention;
pub(crate) use reading::{Priced, Reading, Tenant, between as facts_between};
pub(crate) use trueup_clickhouse::Usage as Sum;

/// How far a server's clock may be from ours. Nothing is decided by it but when a week is old.
const CLOCKS_APART_MS_MAX: u64 = 60_000;
/// Days without sums that are counted.
const COUNTED_MAX: usize = 10_000;

/// Questions that are answered at once, of whichever tenants: half of the hub's threads are left for what
/// devices send.
const QUESTIONS_MAX: usize = 4;
/// The folder beside the ledger in which is what is no fact of a device, of each tenant; and how many hubs
/// on one machine find one there.
const FOLDER: &str = "hub-clickhouse";
const LEDGERS_MAX: u32 = 16;

/// The store of an address.
pub(crate) struct ClickHouse {
    client: Arc<Client>,
    questions: Arc<Semaphore>,
    /// The threads of a hub that serves; nothing where it is only looked at.
    work: Option<Work>,
}

struct Work {
    flusher: Arc<Flusher>,
    ticker: Arc<Ticker>,
    /// Of the thread that lets weeks go.
    keeper: Arc<Ticker>,
    roller: Mutex<Option<JoinHandle<()>>>,
    config: Config,
    known: Known,
    runtime: tokio::runtime::Handle,
    /// Those of the ledgers of tenants that were asked about.
    writers: Mutex<Vec<Arc<Writer>>>,
}

impl fmt::Debug for ClickHouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClickHouse({})", self.client.address)
    }
}

impl ClickHouse {
    /// The store, for its tokens and to look at it. It is not asked yet.
    pub(crate) fn open(address: Address) -> Self {
        let questions = Arc::new(Semaphore::new(QUESTIONS_MAX));
        Self { client: Arc::new(Client::new(address)), questions, work: None }
    }

    /// The same for a hub, with the threads that write.
    pub(crate) fn serving(
        self,
        config: &Config,
        known: Known,
        retention: Retention,
    ) -> Result<Self> {
        let flusher = Arc::new(Flusher::new(Arc::clone(&self.client)));
        let ticker = Arc::new(Ticker::new(roller::ROLL_EVERY));
        let own = Arc::clone(&flusher);
        std::thread::Builder::new().name("flusher".into()).spawn(move || own.run())?;
        let (client, own) = (Arc::clone(&self.client), Arc::clone(&flusher));
        let ticks = Arc::clone(&ticker);
        let roller = std::thread::Builder::new()
            .name("roller".into())
            .spawn(move || roller::run(&client, &own, &ticks))?;
        let keeper = Arc::new(Ticker::new(retention.interval));
        if let Some(weeks) = retention.weeks {
            let (client, ticks) = (Arc::clone(&self.client), Arc::clone(&keeper));
            let keep = move || keeper::run(&client, weeks, &ticks);
            std::thread::Builder::new().name("keeper".into()).spawn(keep)?;
        }
        let work = Work {
            flusher,
            ticker,
            keeper,
            roller: Mutex::new(Some(roller)),
            config: config.clone(),
            known,
            runtime: tokio::runtime::Handle::current(),
            writers: Mutex::default(),
        };
        Ok(Self { work: Some(work), ..self })
    }

    /// How one server is.
    fn look_at(&self, shard: usize, replica: usize) -> Look {
        let place = self.client.place(shard, replica);
        let (is_ok, what) = match self.client.server(shard, replica) {
            Ok(server) => {
                let (year, release) = server.version;
                let of =
                    format!("{}: shard {}, ClickHouse {year}.{release}", place.server(), shard + 1);
                if let Some(wrong) = self.clock_of(place, &server) {
                    (false, format!("{of}; {wrong}"))
                } else if server.is_modern() {
                    (true, of)
                } else {
                    let why = "acknowledges what is not on disk yet: use 24.8 or newer";
                    (false, format!("{of}, which {why}"))
                }
            }
            Err(error) => (false, format!("{error:#}")),
        };
        Look { name: "server", is_ok, what }
    }

    /// What is wrong with a server's clock, as far as it can be told.
    fn clock_of(&self, place: Place<'_>, server: &Server) -> Option<String> {
        let mut there = None;
        let asked = self.client.ask(place, server, &upkeep::clock(), &mut |row| {
            there = Some(upkeep::clock_of(row)?);
            Ok(())
        });
        if let Err(error) = asked {
            return Some(format!("{error:#}"));
        }
        let apart_ms = there?.0.abs_diff(clock::now().0);
        let words = || format!("its clock and this one are {} s apart", apart_ms / 1_000);
        (apart_ms > CLOCKS_APART_MS_MAX).then(words)
    }

    /// How far sums are behind calls.
    fn look_at_sums(&self) -> Look {
        let of_shard =
            |shard| Ok(self.client.rows(shard, &dirty(&[], COUNTED_MAX), dirty_day_of)?.len());
        let days: Result<usize> = (0..self.client.shards()).map(of_shard).sum();
        match days {
            Ok(days) => Look {
                name: "sums",
                is_ok: days < COUNTED_MAX,
                what: format!("days whose calls are not all in sums yet: {days}"),
            },
            Err(error) => Look { name: "sums", is_ok: false, what: format!("{error:#}") },
        }
    }
}

/// The ledger of what is no fact of a device. Each process has one of its own: they do not hold the same.
fn own_ledger(config: &Config, tenant: &str) -> Result<(PathBuf, Ledger)> {
    let folder = config.ledger().with_file_name(FOLDER);
    for number in 1..=LEDGERS_MAX {
        let name =
            if number == 1 { format!("{tenant}.db") } else { format!("{tenant}.{number}.db") };
        let path = folder.join(name);
        match Ledger::open(&path, OpenOptions::default()) {
            Err(LedgerError::Locked { .. }) => {}
            opened => return Ok((path, opened?)),
        }
    }
    bail!("{LEDGERS_MAX} hubs of this machine have the ledgers in {}", folder.display())
}

impl Store for ClickHouse {
    fn keep(&self, tenant: &Text, delivery: Delivery, done: Done) {
        match &self.work {
            Some(work) => work.flusher.push(tenant, delivery, done),
            None => done(Err(Unavailable("only the hub writes".to_owned()))),
        }
    }

    fn reading(&self, tenant: &Text) -> Result<Arc<App>> {
        let work = self.work.as_ref().context("only the hub answers questions")?;
        anyhow::ensure!(is_name(tenant), "`{tenant}` does not name a tenant");
        let (path, ledger) = own_ledger(&work.config, tenant)?;
        let reader = Reader::open(&path)?.context("the ledger has vanished")?;
        let writer = Arc::new(Writer::spawn(ledger, Limits::default(), clock::now)?);
        work.writers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&writer));
        let (client, questions) = (Arc::clone(&self.client), Arc::clone(&self.questions));
        let kept =
            Keeping::on_clickhouse(path, Tenant::new(client, Text::clone(tenant), questions));
        let _entered = work.runtime.enter();
        App::of_tenant(&work.config, kept, &reader, writer, work.known.clone())
    }

    fn tokens(&self) -> Result<Vec<HubToken>> {
        self.client.rows(0, &tokens(), token_of)
    }

    fn put_tokens(&self, tokens: &[HubToken]) -> Result<()> {
        self.client.write(0, &keep_tokens(tokens))
    }

    fn erase(&self, tenant: &str, device: Option<&str>, revoked: &[HubToken]) -> Result<()> {
        self.put_tokens(revoked)?;
        eraser::forget(&self.client, tenant, device)
    }

    fn look(&self) -> Vec<Look> {
        let mut looks = vec![Look {
            name: "store",
            is_ok: true,
            what: format!("ClickHouse at {}", self.client.address),
        }];
        for (shard, replicas) in self.client.address.shards.iter().enumerate() {
            looks.extend((0..replicas.len()).map(|replica| self.look_at(shard, replica)));
        }
        looks.push(match self.client.slot_map() {
            Ok(map) => Look {
                name: "shards",
                is_ok: true,
                what: format!("{} shards, as in the address", map.shards()),
            },
            Err(error) => Look { name: "shards", is_ok: false, what: format!("{error:#}") },
        });
        looks.push(self.look_at_sums());
        looks
    }

    fn close(&self, patience: Duration) -> bool {
        let Some(work) = &self.work else { return true };
        let is_written = work.flusher.close(patience);
        let writers =
            std::mem::take(&mut *work.writers.lock().unwrap_or_else(PoisonError::into_inner));
        // What is in these can be had again.
        for writer in writers {
            drop(writer.close(patience));
        }
        work.ticker.stop();
        work.keeper.stop();
        // Sums that are not worked out now are by whoever comes next: nothing waits for them.
        drop(work.roller.lock().unwrap_or_else(PoisonError::into_inner).take());
        is_written
    }
}
