//! The tables, and how a server gets them.
//!
//! Migrations are numbered, and each statement of them changes nothing where it was done before: any
//! number of receivers may bring a server up to date at once. Each server knows how far it is.

use trueup_core::UnixMs;

use crate::address::Address;
use crate::day::Day;
use crate::native::{Columns, Get, NativeError, Row};
use crate::quote::quoted;
use crate::slots::{SlotMap, SlotMapError};
use crate::statement::{Purpose, Server, Statement};

/// Each migration, the first first; what is here is never changed.
const MIGRATIONS: [&str; 1] = [include_str!("schema/001_hub.sql")];
const MODERN: &str = include_str!("schema/modern.sql");

/// Since when servers know databases whose tables are made and dropped at once. Engines that are built
/// into others do not take it for granted.
const ATOMIC: (u32, u32) = (21, 1);

/// Which server it is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Of which store.
    pub address: &'a Address,
    /// Which shard, from 0.
    pub shard: usize,
    /// Which of its replicas, from 0.
    pub replica: usize,
}

impl Place<'_> {
    /// `host:port`.
    #[must_use]
    pub fn server(&self) -> &str {
        let replicas = self.address.shards.get(self.shard);
        replicas.and_then(|replicas| replicas.get(self.replica)).map_or("", String::as_str)
    }

    fn replicas(&self) -> usize {
        self.address.shards.get(self.shard).map_or(1, Vec::len)
    }

    /// What is known of the server before it is asked.
    #[must_use]
    pub fn unknown(&self) -> Server {
        let quorum = self.address.quorum_of(self.shard);
        Server::unknown(self.replicas(), quorum)
    }

    /// A statement of the schema, as this server needs it: with replicas, each table has its path in
    /// ZooKeeper or Keeper, and each server its name there.
    fn adapted(&self, statement: &str) -> String {
        let name = statement.strip_prefix("CREATE TABLE IF NOT EXISTS ");
        let name = name.and_then(|rest| rest.split_whitespace().next());
        let Some(name) = name.filter(|_| self.replicas() > 1) else {
            return statement.to_owned();
        };
        let path = format!("/trueup/{}/{}/{name}", self.address.database, self.shard);
        let replica = self.server().replace(':', "_");
        statement.replace(
            "ENGINE = ReplacingMergeTree(",
            &format!(
                "ENGINE = ReplicatedReplacingMergeTree({}, {}, ",
                quoted(&path),
                quoted(&replica)
            ),
        )
    }
}

/// Makes the database, and what tells how far it is.
#[must_use]
pub fn create(place: &Place<'_>, server: &Server) -> Vec<Statement> {
    let database = &place.address.database;
    let engine = if server.version >= ATOMIC { " ENGINE = Atomic" } else { "" };
    let known = format!(
        "CREATE TABLE IF NOT EXISTS {database}.schema_migration (version UInt64, applied_ms UInt64)
         ENGINE = ReplacingMergeTree(applied_ms) ORDER BY version"
    );
    let database = format!("CREATE DATABASE IF NOT EXISTS {database}{engine}");
    let bare = |sql| Statement { sql, rows: None, purpose: Purpose::Probe };
    vec![bare(database), bare(known)]
}

/// Asks how far a server is: [`version_of`] reads the answer.
#[must_use]
pub fn version() -> Statement {
    Statement::new(Purpose::Read, "SELECT max(version) AS version FROM schema_migration")
}

/// How far it is; 0 of an empty database.
///
/// # Errors
/// What is no row of the answer.
pub fn version_of(row: Row<'_>) -> Result<u64, NativeError> {
    row.unsigned("version")
}

/// Why a server is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It was written by a later version.
    #[error(
        "{server} has version {version} of the schema, and this trueup knows {known}: use a newer one"
    )]
    Newer {
        /// Which server.
        server: String,
        /// What it has.
        version: u64,
        /// What is known here.
        known: u64,
    },
    /// The address has another order than before.
    #[error(
        "{server} is shard {is} of the store, and the address names it as shard {named}: shards keep their order"
    )]
    OtherShard {
        /// Which server.
        server: String,
        /// What it is, from 1.
        is: u64,
        /// What it is called, from 1.
        named: u64,
    },
    /// The map of shards does not fit the address.
    #[error(transparent)]
    Map(#[from] SlotMapError),
}

/// What brings a server up to date that is at `version`, in order.
///
/// # Errors
/// A server with what this program does not know.
pub fn migrate(
    place: &Place<'_>,
    server: &Server,
    version: u64,
    now: UnixMs,
) -> Result<Vec<Statement>, SchemaError> {
    let known = MIGRATIONS.len() as u64;
    if version > known {
        return Err(SchemaError::Newer { server: place.server().to_owned(), version, known });
    }
    let mut statements = Vec::new();
    for (number, migration) in (1..).zip(MIGRATIONS).filter(|(number, _)| *number > version) {
        let define = |sql: &str| Statement::new(Purpose::Define, place.adapted(sql));
        statements.extend(parts(migration).map(define));
        let row = Applied { version: number, applied_ms: millis(now) };
        let columns = Columns::new()
            .with("version", Get::U64(|row: &Applied| row.version))
            .with("applied_ms", Get::U64(|row: &Applied| row.applied_ms));
        // Of this server alone: there is no quorum to wait for.
        let insert = Statement::insert("schema_migration", &columns, &[row]);
        statements.push(Statement { purpose: Purpose::Define, ..insert });
    }
    if server.is_modern() {
        statements.extend(parts(MODERN).map(|sql| Statement::new(Purpose::Define, sql)));
    }
    Ok(statements)
}

struct Applied {
    version: u64,
    applied_ms: u64,
}

/// The statements of a script, without its comments.
fn parts(script: &str) -> impl Iterator<Item = &str> {
    script.split(";\n").filter_map(|part| {
        let start = part.find("CREATE").or_else(|| part.find("ALTER"))?;
        Some(part.get(start..)?.trim())
    })
}

/// Asks which shard a server belongs to, as far as it knows: [`check_shard`] reads the answer.
#[must_use]
pub fn shard_number() -> Statement {
    Statement::new(
        Purpose::Read,
        "SELECT min(number) AS number, count() AS known FROM shard_number",
    )
}

/// What is to be written where a shard does not know its place yet.
///
/// # Errors
/// A shard that has another place.
pub fn check_shard(
    place: &Place<'_>,
    row: Row<'_>,
) -> Result<Result<Option<Statement>, SchemaError>, NativeError> {
    let (is, known) = (row.unsigned("number")?, row.unsigned("known")?);
    let named = place.shard as u64;
    Ok(match known {
        0 => Ok(Some(number_shard(named))),
        _ if is == named => Ok(None),
        _ => Err(SchemaError::OtherShard {
            server: place.server().to_owned(),
            is: is + 1,
            named: named + 1,
        }),
    })
}

fn number_shard(number: u64) -> Statement {
    let columns = Columns::new().with("number", Get::U64(|number: &u64| *number));
    // Without a quorum: other replicas may not have the table yet, and would say the same.
    let insert = Statement::insert("shard_number", &columns, &[number]);
    Statement { purpose: Purpose::Define, ..insert }
}

/// Asks the first shard for the map: [`map_step_of`] reads each row.
#[must_use]
pub fn slot_map() -> Statement {
    Statement::new(Purpose::Read, "SELECT since, shards FROM slot_map FINAL")
}

/// A step of the map.
///
/// # Errors
/// What is no row of the answer.
pub fn map_step_of(row: Row<'_>) -> Result<(Day, usize), NativeError> {
    let since =
        Day::of_column(row.unsigned("since")?).ok_or(NativeError::Value { column: "since" })?;
    let shards = usize::try_from(row.unsigned("shards")?).ok();
    Ok((since, shards.ok_or(NativeError::Value { column: "shards" })?))
}

/// Keeps a step of the map ([`SlotMap::step`]), on the first shard.
#[must_use]
pub fn keep_step((since, shards): (Day, usize)) -> Statement {
    let columns = Columns::new()
        .with("since", Get::Date(|step: &(Day, u64)| step.0.number()))
        .with("shards", Get::U64(|step: &(Day, u64)| step.1));
    Statement::insert("slot_map", &columns, &[(since, shards as u64)])
}

/// The map of these steps for this address.
///
/// # Errors
/// What is no map, and one with more shards than the address names.
pub fn map_of(steps: &[(Day, usize)], address: &Address) -> Result<SlotMap, SchemaError> {
    let map = SlotMap::new(steps)?;
    let (known, named) = (map.shards(), address.shards.len());
    if known > named { Err(SlotMapError::Unknown { known, named }.into()) } else { Ok(map) }
}

/// Milliseconds as they are kept.
pub(crate) fn millis(time: UnixMs) -> u64 {
    u64::try_from(time.0).unwrap_or(0)
}
