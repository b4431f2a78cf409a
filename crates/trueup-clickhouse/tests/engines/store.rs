//! A client of the store: what the hub does, without threads and without patience.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use trueup_clickhouse::rollup::{self, DirtyDay};
use trueup_clickhouse::{
    Address, Block, Day, Failure, Flush, Insert, KnownSeries, Mark, Place, Purpose, Row, Server,
    SlotMap, Statement, Told, Usage, UsageQuestion, marks, read, read_blocks, schema, upkeep,
    usage,
};
use trueup_core::{Delivery, Reply, UnixMs};

/// When tests take place.
pub(crate) const NOW: UnixMs = UnixMs(1_795_212_509_482);

/// The engines.
pub(crate) fn engines() -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "how a test is told where engines are")]
    let addresses =
        std::env::var("TRUEUP_CLICKHOUSE").expect("TRUEUP_CLICKHOUSE says where engines are");
    addresses.split_whitespace().map(str::to_owned).collect()
}

/// Runs a test in a database of its own on each engine.
pub(crate) fn on_each(name: &str, test: impl Fn(&Store)) {
    on_each_with(name, "", test);
}

/// The same, with an option of the address.
pub(crate) fn on_each_with(name: &str, option: &str, test: impl Fn(&Store)) {
    for address in engines() {
        let address = address.rsplit_once('/').unwrap().0;
        let database = format!("{name}_{}", std::process::id());
        let store = Store::open(&format!("{address}/{database}{option}"));
        eprintln!("{name} on {:?} at {}", store.version(), store.address);
        test(&store);
        store.drop_database();
    }
}

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// The engine said so.
    Failure(Failure),
    /// It could not be asked, or its answer did not come.
    #[expect(dead_code, reason = "printed where a test fails")]
    Line(String),
}

/// Clients of this process.
static OPENED: AtomicU64 = AtomicU64::new(1);

pub(crate) struct Store {
    pub(crate) address: Address,
    agent: ureq::Agent,
    servers: Vec<Vec<Server>>,
    pub(crate) map: SlotMap,
    receiver: u64,
    seq: Cell<u64>,
    drawn: Cell<u64>,
    pub(crate) horizon: Cell<Day>,
    /// Which replica of each shard is asked first.
    first: RefCell<Vec<usize>>,
}

impl Store {
    /// A client that has just started: another receiver.
    pub(crate) fn open(address: &str) -> Self {
        let address = Address::parse(address).unwrap();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(2)))
            .build();
        let servers = address.shards.iter().enumerate();
        let servers = servers.map(|(shard, them)| {
            vec![Server::unknown(them.len(), address.quorum_of(shard)); them.len()]
        });
        let opened = OPENED.fetch_add(1, Ordering::Relaxed);
        let mut store = Self {
            servers: servers.collect(),
            first: RefCell::new(vec![0; address.shards.len()]),
            agent: config.into(),
            map: SlotMap::new(&[(Day::FIRST, 1)]).unwrap(),
            // Of nobody else: processes differ by their number, and clients of one by their count.
            receiver: u64::from(std::process::id()) << 32 | opened,
            seq: Cell::new(0),
            drawn: Cell::new(opened * 7_919),
            horizon: Cell::new(Day::FIRST),
            address,
        };
        store.prepare();
        store
    }

    /// Asks each server what it is, and brings it up to date.
    fn prepare(&mut self) {
        let address = self.address.clone();
        for (shard, replicas) in address.shards.iter().enumerate() {
            for replica in 0..replicas.len() {
                let place = Place { address: &address, shard, replica };
                let mut server = place.unknown();
                self.ask(shard, replica, &Server::probe(), &mut |row| {
                    server.learn(row).unwrap();
                })
                .unwrap();
                self.servers[shard][replica] = server.clone();
                for statement in schema::create(&place, &server) {
                    self.tell(shard, replica, &statement).unwrap();
                }
                let mut version = 0;
                let read = &mut |row: Row<'_>| version = schema::version_of(row).unwrap();
                self.ask(shard, replica, &schema::version(), read).unwrap();
                for statement in schema::migrate(&place, &server, version, NOW).unwrap() {
                    self.tell(shard, replica, &statement).unwrap();
                }
            }
            let place = Place { address: &address, shard, replica: 0 };
            let mut number = None;
            let read = &mut |row: Row<'_>| {
                number = schema::check_shard(&place, row).unwrap().unwrap();
            };
            self.ask(shard, 0, &schema::shard_number(), read).unwrap();
            if let Some(number) = number {
                self.write(shard, &number).unwrap();
            }
        }
        let steps = self.steps();
        let map = SlotMap::new(&steps).ok();
        if let Some(step) = SlotMap::step(map.as_ref(), address.shards.len(), NOW).unwrap() {
            self.write(0, &schema::keep_step(step)).unwrap();
        }
        self.map = schema::map_of(&self.steps(), &address).unwrap();
    }

    fn steps(&self) -> Vec<(Day, usize)> {
        let mut steps = Vec::new();
        self.ask(0, 0, &schema::slot_map(), &mut |row| {
            steps.push(schema::map_step_of(row).unwrap());
        })
        .unwrap();
        steps
    }

    pub(crate) fn version(&self) -> (u32, u32) {
        self.servers[0][0].version
    }

    pub(crate) fn shards(&self) -> usize {
        self.address.shards.len()
    }

    pub(crate) fn drop_database(&self) {
        let sql = format!("DROP DATABASE {}", self.address.database);
        for (shard, replicas) in self.address.shards.iter().enumerate() {
            for replica in 0..replicas.len() {
                let drop = Statement { sql: sql.clone(), rows: None, purpose: Purpose::Probe };
                self.tell(shard, replica, &drop).unwrap();
            }
        }
    }

    /// Sends a statement to one server, and the answer's body to `read`.
    fn send(
        &self,
        shard: usize,
        replica: usize,
        statement: &Statement,
        read: &mut dyn FnMut(&mut dyn std::io::Read) -> Result<(), Wrong>,
    ) -> Result<(), Wrong> {
        let post = self.servers[shard][replica].post(&self.address.database, statement);
        let url = self.address.url(&self.address.shards[shard][replica]);
        let url = format!("{url}{}", post.request.target());
        let line = |error: &dyn std::fmt::Display| Wrong::Line(error.to_string());
        let answer = self.agent.post(url).send(&post.body[..]).map_err(|error| line(&error))?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        if status != 200 {
            let body = body.read_to_vec().map_err(|error| line(&error))?;
            let reply = Reply { status, headers: Vec::new(), body };
            return Err(Failure::of(&reply).map_or(Wrong::Line(String::new()), Wrong::Failure));
        }
        read(&mut body.as_reader())
    }

    pub(crate) fn ask(
        &self,
        shard: usize,
        replica: usize,
        statement: &Statement,
        each: &mut dyn FnMut(Row<'_>),
    ) -> Result<(), Wrong> {
        self.send(shard, replica, statement, &mut |body| {
            read(body, &mut |row| {
                each(row);
                Ok(())
            })
            .map_err(|error| Wrong::Line(format!("{}: {error:?}", statement.sql)))
        })
    }

    pub(crate) fn tell(
        &self,
        shard: usize,
        replica: usize,
        statement: &Statement,
    ) -> Result<(), Wrong> {
        let ended = |body: &mut dyn std::io::Read| {
            std::io::copy(body, &mut std::io::sink())
                .map_err(|error| Wrong::Line(error.to_string()))?;
            Ok(())
        };
        self.send(shard, replica, statement, &mut |body| ended(body)).map_err(|wrong| match wrong {
            Wrong::Failure(failure) => Wrong::Failure(Failure {
                words: format!(
                    "{} of {}",
                    failure.words,
                    statement.sql.get(..120).unwrap_or(&statement.sql)
                ),
                ..failure
            }),
            Wrong::Line(_) => wrong,
        })
    }

    /// Tells whichever replica of a shard takes it, those that took the last one first.
    pub(crate) fn write(&self, shard: usize, statement: &Statement) -> Result<(), Wrong> {
        self.each_replica(shard, &mut |replica| self.tell(shard, replica, statement))
    }

    /// Asks whichever replica of a shard answers.
    pub(crate) fn rows(&self, shard: usize, statement: &Statement, each: &mut dyn FnMut(Row<'_>)) {
        self.each_replica(shard, &mut |replica| self.ask(shard, replica, statement, each)).unwrap();
    }

    /// The same by blocks.
    fn blocks(&self, shard: usize, statement: &Statement, each: &mut dyn FnMut(&Block)) {
        let ask = &mut |replica| self.blocks_of(shard, replica, statement, each);
        self.each_replica(shard, ask).unwrap();
    }

    pub(crate) fn blocks_of(
        &self,
        shard: usize,
        replica: usize,
        statement: &Statement,
        each: &mut dyn FnMut(&Block),
    ) -> Result<(), Wrong> {
        self.send(shard, replica, statement, &mut |body| {
            let mut told = |block: &Block| {
                each(block);
                Ok(())
            };
            read_blocks(body, &mut told)
                .map_err(|error| Wrong::Line(format!("{}: {error:?}", statement.sql)))
        })
    }

    fn each_replica(
        &self,
        shard: usize,
        on: &mut dyn FnMut(usize) -> Result<(), Wrong>,
    ) -> Result<(), Wrong> {
        let replicas = self.address.shards[shard].len();
        let first = self.first.borrow()[shard];
        let mut last = Ok(());
        for replica in (0..replicas).map(|at| (first + at) % replicas) {
            last = on(replica);
            if last.is_ok() {
                self.first.borrow_mut()[shard] = replica;
                break;
            }
        }
        last
    }

    /// Keeps what was told, as the hub does: facts, then marks.
    pub(crate) fn keep(&self, told: &[(&str, &Delivery)]) -> Result<Flush, Wrong> {
        self.seq.set(self.seq.get() + 1);
        let mark = Mark { receiver: self.receiver, seq: self.seq.get() };
        let told: Vec<Told<'_>> =
            told.iter().map(|(tenant, delivery)| Told { tenant, delivery }).collect();
        let flush = Flush::of(&told, &self.map, self.horizon.get(), mark);
        for Insert { shard, statement, .. } in flush.facts.iter().chain(&flush.marks) {
            self.write(*shard, statement)?;
        }
        Ok(flush)
    }

    /// Marks days.
    pub(crate) fn mark(&self, days: &BTreeSet<(usize, String, Day)>) {
        self.seq.set(self.seq.get() + 1);
        let mark = Mark { receiver: self.receiver, seq: self.seq.get() };
        for Insert { shard, statement, .. } in marks(days, mark) {
            self.write(shard, &statement).unwrap();
        }
    }

    pub(crate) fn dirty(&self, shard: usize) -> Vec<DirtyDay> {
        let mut days = Vec::new();
        self.rows(shard, &rollup::dirty(&[], 1_000), &mut |row| {
            days.push(rollup::dirty_day_of(row).unwrap());
        });
        days
    }

    /// Tells one replica all of it, whichever takes it.
    pub(crate) fn write_all(&self, shard: usize, statements: &[Statement]) -> Result<(), Wrong> {
        self.each_replica(shard, &mut |replica| {
            statements.iter().try_for_each(|statement| self.tell(shard, replica, statement))
        })
    }

    /// Begins with another replica of each shard.
    pub(crate) fn begin_with(&self, replica: usize) {
        for (first, replicas) in self.first.borrow_mut().iter_mut().zip(&self.address.shards) {
            *first = replica % replicas.len();
        }
    }

    /// What works a day's sums out anew that were found to lack something.
    pub(crate) fn recompute(&self, shard: usize, days: &[DirtyDay]) -> Vec<Statement> {
        self.drawn.set(self.drawn.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let is_replicated = self.address.shards[shard].len() > 1;
        rollup::recompute(days, is_replicated, self.drawn.get() >> 30)
    }

    /// Waits until each replica has what any of its shard has, for those who look at once.
    fn sync(&self) {
        for (shard, replicas) in self.address.shards.iter().enumerate() {
            let several = (0..replicas.len()).filter(|_| replicas.len() > 1);
            for replica in several {
                for table in [
                    "llm_event",
                    "dirty",
                    "rolled",
                    "roll_quarter",
                    "roll_day",
                    "fleet_quarter",
                    "fleet_day",
                ] {
                    let sql = format!("SYSTEM SYNC REPLICA {table}");
                    let sync = Statement { sql, rows: None, purpose: Purpose::Define };
                    self.tell(shard, replica, &sync).unwrap();
                }
            }
        }
    }

    /// Works out all that is to be worked out, for those who look at once; how many days.
    pub(crate) fn roll_all(&self) -> usize {
        self.sync();
        let count = self.roll();
        self.sync();
        count
    }

    /// Works out what this client finds to be worked out; how many days.
    pub(crate) fn roll(&self) -> usize {
        let mut count = 0;
        for shard in 0..self.shards() {
            let days = self.dirty(shard);
            count += days.len();
            self.write_all(shard, &self.recompute(shard, &days)).unwrap();
        }
        count
    }

    /// What all shards say.
    pub(crate) fn usage(&self, question: &UsageQuestion<'_>) -> Vec<Usage> {
        let (mut all, mut known) = (Vec::new(), KnownSeries::default());
        for shard in 0..self.shards() {
            self.blocks(shard, &usage(question), &mut |block| {
                known.read(question, block, &mut |sum| all.push(sum)).unwrap();
            });
        }
        all
    }

    /// One number of all shards.
    pub(crate) fn number(&self, sql: &str) -> u64 {
        let mut sum = 0;
        for shard in 0..self.shards() {
            let sql = format!("{sql} FORMAT Native");
            let statement = Statement { sql, rows: None, purpose: Purpose::Read };
            self.rows(shard, &statement, &mut |row| sum += row.unsigned("number").unwrap());
        }
        sum
    }

    pub(crate) fn keep_horizon(&self, day: Day, at: UnixMs) {
        for shard in 0..self.shards() {
            self.write(shard, &upkeep::keep_horizon(day, at)).unwrap();
        }
        self.horizon.set(day);
    }

    /// Waits until rows that were to be changed are changed, on every replica.
    pub(crate) fn wait_for_changes(&self) {
        for (shard, replicas) in self.address.shards.iter().enumerate() {
            for replica in 0..replicas.len() {
                let mut undone = 1;
                while undone > 0 {
                    pause(Duration::from_millis(50));
                    self.ask(shard, replica, &upkeep::undone(), &mut |row| {
                        undone = upkeep::undone_of(row).unwrap();
                    })
                    .unwrap();
                }
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test that waits for somebody else's process")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
