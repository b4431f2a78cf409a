//! Speaks to the servers of a store: prepares each before its first use, and goes to another replica
//! where one does not answer.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use trueup_clickhouse::{
    Address, Block, Failure, NativeError, Place, Purpose, Row, Server, SlotMap, Statement, read,
    read_blocks, schema,
};
use trueup_core::{Reply, one_line};

use crate::{clock, net};

/// Longest time for a statement: a little more than a server may work on one.
const STATEMENT_TIME_MAX: Duration = Duration::from_secs(150);
/// The same of what is asked about an account: somebody waits for it.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(25);
/// Connections to each server that are kept for what comes next: two statements of a question are asked at
/// once, and there is who writes.
const CONNECTIONS_KEPT: usize = 3;
/// Bytes that are read of what a server says against a statement.
const WORDS_BYTES_MAX: u64 = 16 << 10;

/// The servers of a store.
pub(super) struct Client {
    pub(super) address: Address,
    agent: ureq::Agent,
    shards: Vec<Shard>,
}

/// What a replica answers.
pub(super) struct Answer<T> {
    pub(super) rows: Vec<T>,
    pub(super) replica: usize,
}

struct Shard {
    /// Each replica, once it is prepared.
    servers: Vec<Mutex<Option<Arc<Server>>>>,
    /// The replica that did well last.
    first: AtomicUsize,
}

impl Client {
    /// A client that has not connected yet.
    pub(super) fn new(address: Address) -> Self {
        let shard = |replicas: &Vec<String>| Shard {
            servers: replicas.iter().map(|_| Mutex::default()).collect(),
            first: AtomicUsize::new(0),
        };
        let shards: Vec<Shard> = address.shards.iter().map(shard).collect();
        let servers: usize = address.shards.iter().map(Vec::len).sum();
        let agent = net::agent_of(servers.saturating_mul(CONNECTIONS_KEPT));
        Self { address, agent, shards }
    }

    pub(super) const fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Has a statement done by one of a shard's replicas.
    pub(super) fn write(&self, shard: usize, statement: &Statement) -> Result<()> {
        self.write_all(shard, std::slice::from_ref(statement))
    }

    /// Has statements done in order, all of them by the same replica of a shard.
    pub(super) fn write_all(&self, shard: usize, statements: &[Statement]) -> Result<()> {
        self.on_a_replica(shard, &mut |replica| {
            let (server, place) = (self.server(shard, replica)?, self.place(shard, replica));
            let send = |statement| self.send(place, &server, statement, &mut ended);
            statements.iter().try_for_each(send)
        })
    }

    /// How many replicas a shard has.
    pub(super) fn replicas(&self, shard: usize) -> usize {
        self.shards.get(shard).map_or(0, |shard| shard.servers.len())
    }

    /// Whether a shard has several replicas.
    pub(super) fn is_replicated(&self, shard: usize) -> bool {
        self.replicas(shard) > 1
    }

    /// What one of a shard's replicas answers.
    pub(super) fn rows<T>(
        &self,
        shard: usize,
        statement: &Statement,
        of: impl FnMut(Row<'_>) -> Result<T, NativeError>,
    ) -> Result<Vec<T>> {
        Ok(self.rows_of(shard, statement, of)?.rows)
    }

    /// The same, and which of them it was.
    pub(super) fn rows_of<T>(
        &self,
        shard: usize,
        statement: &Statement,
        mut of: impl FnMut(Row<'_>) -> Result<T, NativeError>,
    ) -> Result<Answer<T>> {
        self.answer(shard, statement, |rows, body| {
            Ok(read(body, &mut |row| {
                rows.push(of(row)?);
                Ok(())
            })?)
        })
    }

    /// What is made of the blocks that one of a shard's replicas answers.
    pub(super) fn of_blocks<T>(
        &self,
        shard: usize,
        statement: &Statement,
        of: impl Fn(&Block, &mut Vec<T>) -> Result<(), NativeError>,
    ) -> Result<Vec<T>> {
        let answer = self.answer(shard, statement, |told, body| {
            Ok(read_blocks(body, &mut |block| of(block, told))?)
        });
        Ok(answer?.rows)
    }

    fn answer<T>(
        &self,
        shard: usize,
        statement: &Statement,
        mut take: impl FnMut(&mut Vec<T>, &mut dyn Read) -> Result<()>,
    ) -> Result<Answer<T>> {
        let mut answer = Answer { rows: Vec::new(), replica: 0 };
        self.on_a_replica(shard, &mut |replica| {
            // What came of an answer that broke off is not taken.
            answer.rows.clear();
            answer.replica = replica;
            let (server, place) = (self.server(shard, replica)?, self.place(shard, replica));
            self.send(place, &server, statement, &mut |body| take(&mut answer.rows, body))
        })?;
        Ok(answer)
    }

    /// The one row that an answer has.
    pub(super) fn row<T>(
        &self,
        shard: usize,
        statement: &Statement,
        of: impl Fn(Row<'_>) -> Result<T, NativeError>,
    ) -> Result<T> {
        self.rows(shard, statement, of)?.pop().context("the answer has no row")
    }

    /// The one row that a replica answers, and no other in its place.
    pub(super) fn row_of<T>(
        &self,
        shard: usize,
        replica: usize,
        statement: &Statement,
        of: impl Fn(Row<'_>) -> Result<T, NativeError>,
    ) -> Result<T> {
        let (server, mut found) = (self.server(shard, replica)?, None);
        self.ask(self.place(shard, replica), &server, statement, &mut |row| {
            found = Some(of(row)?);
            Ok(())
        })?;
        found.context("the answer has no row")
    }

    /// The map of shards, with those of the address that are new.
    pub(super) fn slot_map(&self) -> Result<SlotMap> {
        let steps = || self.rows(0, &schema::slot_map(), schema::map_step_of);
        let map = SlotMap::new(&steps()?).ok();
        if let Some(step) = SlotMap::step(map.as_ref(), self.shards(), clock::now())? {
            tracing::info!(since = %step.0, shards = step.1, "shards_added");
            self.write(0, &schema::keep_step(step))?;
        }
        Ok(schema::map_of(&steps()?, &self.address)?)
    }

    pub(super) fn place(&self, shard: usize, replica: usize) -> Place<'_> {
        Place { address: &self.address, shard, replica }
    }

    /// A replica that is prepared: it has the tables, and is what the address says that it is.
    pub(super) fn server(&self, shard: usize, replica: usize) -> Result<Arc<Server>> {
        let servers = self.shards.get(shard).and_then(|shard| shard.servers.get(replica));
        let known = servers.context("the address has no such server")?;
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = &*known {
            return Ok(Arc::clone(server));
        }
        let server = Arc::new(self.prepared(self.place(shard, replica))?);
        *known = Some(Arc::clone(&server));
        Ok(server)
    }

    fn prepared(&self, place: Place<'_>) -> Result<Server> {
        let mut server = place.unknown();
        let mut known = server.clone();
        self.ask(place, &server, &Server::probe(), &mut |row| known.learn(row))?;
        server = known;
        let tell = |statement: &Statement| self.send(place, &server, statement, &mut ended);
        for statement in schema::create(&place, &server) {
            tell(&statement)?;
        }
        let mut version = 0;
        self.ask(place, &server, &schema::version(), &mut |row| {
            version = schema::version_of(row)?;
            Ok(())
        })?;
        for statement in schema::migrate(&place, &server, version, clock::now())? {
            tell(&statement)?;
        }
        let mut number = None;
        self.ask(place, &server, &schema::shard_number(), &mut |row| {
            number = Some(schema::check_shard(&place, row)?);
            Ok(())
        })?;
        if let Some(number) = number.context("the answer has no row")?? {
            tell(&number)?;
        }
        Ok(server)
    }

    /// Tries a shard's replicas, the one that did well last first.
    fn on_a_replica(&self, shard: usize, on: &mut dyn FnMut(usize) -> Result<()>) -> Result<()> {
        let known = self.shards.get(shard).context("the address has no such shard")?;
        let (count, first) = (known.servers.len(), known.first.load(Ordering::Relaxed));
        let mut failed = anyhow!("the shard has no replica");
        for replica in (0..count).map(|at| (first + at) % count) {
            match on(replica) {
                Ok(()) => {
                    known.first.store(replica, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => {
                    let failure = error.downcast_ref::<Failure>();
                    let is_passing = failure.is_none_or(Failure::is_passing);
                    failed = error;
                    if !is_passing {
                        break;
                    }
                }
            }
        }
        Err(failed)
    }

    /// Hands each row that a server answers to `each`.
    pub(super) fn ask(
        &self,
        place: Place<'_>,
        server: &Server,
        statement: &Statement,
        each: &mut dyn FnMut(Row<'_>) -> Result<(), NativeError>,
    ) -> Result<()> {
        self.send(place, server, statement, &mut |body| Ok(read(body, each)?))
    }

    fn send(
        &self,
        place: Place<'_>,
        server: &Server,
        statement: &Statement,
        take: &mut dyn FnMut(&mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let sent = self.sent(place, server, statement, take);
        sent.with_context(|| format!("{} cannot be used", place.server()))
    }

    fn sent(
        &self,
        place: Place<'_>,
        server: &Server,
        statement: &Statement,
        take: &mut dyn FnMut(&mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let post = server.post(&self.address.database, statement);
        let url = format!("{}{}", self.address.url(place.server()), post.request.target());
        let time_max = match statement.purpose {
            Purpose::Ask => QUESTION_TIME_MAX,
            Purpose::Probe | Purpose::Read | Purpose::Write | Purpose::Define => STATEMENT_TIME_MAX,
        };
        let mut request = self.agent.post(url).config().timeout_global(Some(time_max)).build();
        if !self.address.user.is_empty() {
            request = request
                .header("x-clickhouse-user", &self.address.user)
                .header("x-clickhouse-key", self.address.password.reveal());
        }
        // The address of a request that fails holds the statement: it is not told.
        let reply = request.send(&post.body[..]).map_err(|error| unreached(&error))?;
        if reply.status() != 200 {
            let reply: Reply = net::read(reply, WORDS_BYTES_MAX).map_err(anyhow::Error::msg)?;
            match Failure::of(&reply) {
                Some(failure) => return Err(failure.into()),
                None => bail!("{}", reply.words()),
            }
        }
        take(&mut reply.into_body().into_reader())
    }
}

/// Reads an answer that says nothing to its end, so that the connection can be used again.
fn ended(body: &mut dyn Read) -> Result<()> {
    std::io::copy(body, &mut std::io::sink())?;
    Ok(())
}

/// Why a server was not reached, without what was asked of it.
fn unreached(error: &ureq::Error) -> anyhow::Error {
    let words = one_line(&error.to_string());
    let words = words.split("://").next().unwrap_or_default();
    anyhow!("it does not answer: {words}")
}
