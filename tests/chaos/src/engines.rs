//! Servers of ClickHouse below a hub, each behind a proxy with faults, and what they themselves count.
//!
//! ```text
//! hub ──▶ proxy ──▶ a1      SELECT device, model, … FROM llm_event FINAL   the calls, one by one
//!    └──▶ proxy ──▶ b1      SELECT device, model, … FROM roll_day FINAL    the sums that the hub works out
//! ```
//!
//! They are asked over ClickHouse's own interface, without the proxies, and by none of trueup's code; what the hub
//! answers must be the same.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::chance::Chance;
use crate::http;
use crate::process::{Sum, Sums};
use crate::proxy::Proxy;

/// What a store on ClickHouse begins with.
const SCHEME: &str = "clickhouse://";
/// How long a server may take over a question, and servers until all of them say the same.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(500);
/// Of so many faults before the hub, one is behind it: a delivery takes several statements, and all must do.
const FAULTS_LESS: u64 = 3;
/// Calls that count.
const FACTS: &str = "SELECT device, model, count(), sum(input), sum(output) FROM llm_event FINAL
    WHERE counts = 1 GROUP BY device, model";
/// The same out of the sums of days.
const ROLLED: &str = "SELECT d, m, sum(c), sum(i), sum(o) FROM roll_day FINAL
    ARRAY JOIN device AS d, model AS m, calls AS c, input AS i, output AS o GROUP BY d, m";

/// The servers of one store.
#[derive(Debug)]
pub struct Engines {
    /// Of each shard its replicas.
    shards: Vec<Vec<Engine>>,
    database: String,
}

#[derive(Debug)]
struct Engine {
    address: SocketAddr,
    proxy: Proxy,
}

impl Engines {
    /// Those of a store, behind proxies, with a database of this seed's own; `None` where it is a folder.
    ///
    /// # Errors
    /// Where the address cannot be read, or the system has no port to give.
    pub fn of(store: &str, seed: u64) -> Result<Option<Self>> {
        let Some(address) = store.strip_prefix(SCHEME) else { return Ok(None) };
        let (hosts, database) = address.rsplit_once('/').context("the store has no database")?;
        let mut part = 1_000;
        let mut engine = |host: &str| {
            let address = host.to_socket_addrs()?.next().with_context(|| host.to_owned())?;
            part += 1;
            Ok(Engine { address, proxy: Proxy::start(address, Chance::new(seed, part))? })
        };
        let mut shards = Vec::new();
        for replicas in hosts.split(',') {
            shards.push(replicas.split('|').map(&mut engine).collect::<Result<Vec<_>>>()?);
        }
        let database = format!("{database}_{seed}_{}", std::process::id());
        Ok(Some(Self { shards, database }))
    }

    /// The store as the hub is to know it.
    #[must_use]
    pub fn store(&self) -> String {
        let host = |engine: &Engine| engine.proxy.address().to_string();
        let shard =
            |replicas: &Vec<Engine>| replicas.iter().map(host).collect::<Vec<_>>().join("|");
        let hosts = self.shards.iter().map(shard).collect::<Vec<_>>().join(",");
        format!("{SCHEME}{hosts}/{}", self.database)
    }

    /// From now on so many of a hundred statements meet a fault as fits so many of a hundred requests.
    pub fn set_faults(&self, percent: u64) {
        self.all().for_each(|engine| engine.proxy.set_faults(percent / FAULTS_LESS));
    }

    /// Some statements that were kept arrive once more.
    pub fn deliver_late(&self, most: usize) {
        self.all().for_each(|engine| engine.proxy.deliver_late(most));
    }

    /// What happened so far, by kind.
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        let mut all = BTreeMap::new();
        for (what, count) in self.all().flat_map(|engine| engine.proxy.counts()) {
            *all.entry(what).or_default() += count;
        }
        all
    }

    /// What they count: the calls, and the sums, which the hub may still be at, on every replica.
    ///
    /// # Errors
    /// Where one cannot be asked, or they do not come to say the same.
    pub fn sums(&self) -> Result<Sums> {
        let replicas = self.shards.iter().map(Vec::len).max().unwrap_or(0);
        let until = Instant::now() + PATIENCE;
        loop {
            let mut told = Vec::new();
            for replica in 0..replicas {
                told.push(self.told(replica, FACTS)?);
                told.push(self.told(replica, ROLLED)?);
            }
            let first = told.first().cloned().unwrap_or_default();
            if told.iter().all(|sums| *sums == first) {
                return Ok(first);
            }
            ensure!(Instant::now() < until, "calls and sums, of each replica: {told:?}");
            std::thread::park_timeout(LOOK);
        }
    }

    /// Removes the database.
    ///
    /// # Errors
    /// What a server says against it.
    pub fn end(&self) -> Result<()> {
        let sql = format!("DROP DATABASE {}", self.database);
        self.all().try_for_each(|engine| engine.ask("default", &sql).map(drop))
    }

    fn all(&self) -> impl Iterator<Item = &Engine> {
        self.shards.iter().flatten()
    }

    /// What one replica of each shard says.
    fn told(&self, replica: usize, sql: &str) -> Result<Sums> {
        let mut sums = Sums::new();
        for shard in &self.shards {
            let engine = shard.get(replica).or(shard.first()).context("a shard has no replica")?;
            for line in engine.ask(&self.database, sql)?.lines() {
                let (of, sum) = row(line).with_context(|| format!("an odd row: {line}"))?;
                let all = sums.entry(of).or_default();
                *all = all.plus(sum);
            }
        }
        Ok(sums)
    }
}

impl Engine {
    /// What it answers, as lines of values between tabs.
    fn ask(&self, database: &str, sql: &str) -> Result<String> {
        let target = format!("/?database={database}");
        let request = http::request("POST", &target, "text/plain", sql);
        let answer = http::ask(self.address, &request, PATIENCE)?;
        let said = String::from_utf8_lossy(&answer.content).into_owned();
        ensure!(answer.status() == Some(200), "{} says: {said}", self.address);
        Ok(said)
    }
}

fn row(line: &str) -> Option<((String, String), Sum)> {
    let mut values = line.split('\t');
    let mut name = || values.next().map(str::to_owned);
    let of = (name()?, name()?);
    let mut number = || values.next()?.parse().ok();
    Some((of, Sum { calls: number()?, input: number()?, output: number()? }))
}
