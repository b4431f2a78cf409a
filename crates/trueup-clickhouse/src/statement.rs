//! Statements as values, what is sent with them, and what a server that refuses one says.

use std::collections::BTreeSet;

use trueup_core::{Reply, Request, one_line};

use crate::native::{Columns, NativeError, Row};
use crate::quote::quoted;

/// The first version whose own features are used where they help. Older ones do as well, for tests:
/// before it, ClickHouse did not wait until what it had acknowledged was on disk.
const MODERN: (u32, u32) = (24, 8);
/// How long a server may work on a statement, and on what somebody waits for to see it; and how long it waits
/// for replicas.
const EXECUTION_SECONDS_MAX: &str = "120";
const ASKED_SECONDS_MAX: &str = "20";
const QUORUM_WAIT_MS: &str = "10000";

/// What is to be done, and for what: by that it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The SQL.
    pub sql: String,
    /// Rows that it inserts, in the native format; `None` where it has none of its own.
    pub rows: Option<Vec<u8>>,
    /// What for.
    pub purpose: Purpose,
}

/// What a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To find out about a server, or to make the database: it need not be there.
    Probe,
    /// To read.
    Read,
    /// To answer a question about an account: it is let go where it takes long, or nobody waits any more.
    Ask,
    /// To write what must not be lost.
    Write,
    /// To change tables.
    Define,
}

impl Statement {
    pub(crate) fn new(purpose: Purpose, sql: impl Into<String>) -> Self {
        let sql = match purpose {
            Purpose::Probe | Purpose::Read | Purpose::Ask => {
                format!("{} FORMAT Native", sql.into())
            }
            Purpose::Write | Purpose::Define => sql.into(),
        };
        Self { sql, rows: None, purpose }
    }

    pub(crate) fn insert<R>(table: &str, columns: &Columns<R>, rows: &[R]) -> Self {
        let names = columns.names().join(", ");
        let sql = format!("INSERT INTO {table} ({names}) FORMAT Native");
        Self { sql, rows: Some(columns.block(rows)), purpose: Purpose::Write }
    }
}

/// What is posted: a target below the server's address, and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Path and query.
    pub request: Request,
    /// The body.
    pub body: Vec<u8>,
}

/// One server, as far as it decides what it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// Its version: year and release.
    pub version: (u32, u32),
    /// Those of our settings that it knows. An unknown one is an error to it.
    settings: BTreeSet<String>,
    /// How many replicas its shard has.
    pub replicas: usize,
    /// How many of them must have a write.
    pub quorum: usize,
}

/// Settings of reading: name and value.
const READ: [(&str, &str); 2] = [
    ("max_execution_time", EXECUTION_SECONDS_MAX),
    // Each partition is a week or month of the key's day.
    ("do_not_merge_across_partitions_select_final", "1"),
];
/// The same of what is asked about an account.
const ASK: [(&str, &str); 4] = [
    ("max_execution_time", ASKED_SECONDS_MAX),
    ("do_not_merge_across_partitions_select_final", "1"),
    ("cancel_http_readonly_queries_on_client_close", "1"),
    // Each column of each part has one: by default old servers run out of memory over a hundred rows.
    ("max_read_buffer_size", "65536"),
];
/// Settings of writing.
const WRITE: [(&str, &str); 5] = [
    ("max_execution_time", EXECUTION_SECONDS_MAX),
    ("do_not_merge_across_partitions_select_final", "1"),
    // An answer must mean that it is written.
    ("async_insert", "0"),
    // Rows of one key that come together need not meet before they are written, which takes twice as long
    // as writing them: they do when they are read.
    ("optimize_on_insert", "0"),
    // A block that is known is not written again, and then the answer would not say whether replicas
    // have the first one: rows replace each other anyway.
    ("insert_deduplicate", "0"),
];
/// Settings of writing where there are replicas, beside the quorum itself.
const QUORUM: [(&str, &str); 2] = [
    ("insert_quorum_timeout", QUORUM_WAIT_MS),
    // One after the other, so that a replica can know whether it lacks one.
    ("insert_quorum_parallel", "0"),
];
/// Reads nothing where a replica lacks what was acknowledged.
const SEQUENTIAL: &str = "select_sequential_consistency";

impl Server {
    /// One that was not asked yet.
    #[must_use]
    pub fn unknown(replicas: usize, quorum: usize) -> Self {
        Self { replicas, quorum, ..Self::default() }
    }

    /// What tells of a server.
    #[must_use]
    pub fn probe() -> Statement {
        let named = READ.iter().chain(&ASK).chain(&WRITE).chain(&QUORUM).map(|(name, _)| *name);
        let named: BTreeSet<String> =
            named.chain([SEQUENTIAL, "insert_quorum"]).map(quoted).collect();
        let named: Vec<String> = named.into_iter().collect();
        let sql = format!(
            "SELECT version() AS version, name FROM system.settings WHERE name IN ({})",
            named.join(", ")
        );
        Statement::new(Purpose::Probe, sql)
    }

    /// Takes a row of the answer.
    ///
    /// # Errors
    /// What is no row of it.
    pub fn learn(&mut self, row: Row<'_>) -> Result<(), NativeError> {
        let mut parts = row.text("version")?.split('.').map(str::parse);
        self.version = match (parts.next(), parts.next()) {
            (Some(Ok(year)), Some(Ok(release))) => (year, release),
            _ => return Err(NativeError::Value { column: "version" }),
        };
        self.settings.insert(row.text("name")?.to_owned());
        Ok(())
    }

    /// Whether it keeps what it has acknowledged, and has what makes reading faster.
    #[must_use]
    pub fn is_modern(&self) -> bool {
        self.version >= MODERN
    }

    /// A statement as it is sent to this server. User and password are added where it is sent.
    #[must_use]
    pub fn post(&self, database: &str, statement: &Statement) -> Post {
        let mut query = Vec::new();
        let mut with = |name: &str, value: &str| query.push((name.to_owned(), value.to_owned()));
        if statement.purpose != Purpose::Probe {
            with("database", database);
        }
        if statement.purpose != Purpose::Write {
            // What goes wrong on the way is then told by the status, and not in the middle of rows.
            with("wait_end_of_query", "1");
        }
        for (name, value) in self.settings_of(statement.purpose) {
            with(name, &value);
        }
        let body = match &statement.rows {
            Some(rows) => {
                with("query", &statement.sql);
                rows.clone()
            }
            None => statement.sql.clone().into_bytes(),
        };
        Post { request: Request { path: "/".into(), query, headers: Vec::new() }, body }
    }

    fn settings_of(&self, purpose: Purpose) -> Vec<(&'static str, String)> {
        let is_replicated = self.replicas > 1;
        let mut settings: Vec<(&str, String)> = Vec::new();
        let mut take = |them: &[(&'static str, &str)]| {
            settings.extend(them.iter().map(|(name, value)| (*name, (*value).to_owned())));
        };
        match purpose {
            Purpose::Probe | Purpose::Define => {}
            Purpose::Read => take(&READ),
            Purpose::Ask => take(&ASK),
            Purpose::Write => take(&WRITE),
        }
        if is_replicated && purpose == Purpose::Write && self.quorum > 1 {
            take(&QUORUM);
            settings.push(("insert_quorum", self.quorum.to_string()));
        }
        // Sums are inserted from what is read.
        let is_reading = !matches!(purpose, Purpose::Probe | Purpose::Define);
        if is_replicated && is_reading && (2..self.replicas).contains(&self.quorum) {
            settings.push((SEQUENTIAL, "1".to_owned()));
        }
        settings.retain(|(name, _)| self.settings.contains(*name));
        settings
    }
}

/// What a server says that does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ClickHouse answers {status}{}: {words}", code.map(|code| format!(", code {code}")).unwrap_or_default())]
pub struct Failure {
    /// The status of HTTP.
    pub status: u16,
    /// ClickHouse's own number of the error.
    pub code: Option<u32>,
    /// The beginning of what it says.
    pub words: String,
}

impl Failure {
    /// What a reply says; `None` where it did what it was asked.
    #[must_use]
    pub fn of(reply: &Reply) -> Option<Self> {
        if reply.status == 200 {
            return None;
        }
        let words = one_line(&String::from_utf8_lossy(&reply.body));
        let told = reply.header("x-clickhouse-exception-code").map(str::to_owned);
        let code = told.or_else(|| {
            let digits = words.strip_prefix("Code: ")?.split(|next: char| !next.is_ascii_digit());
            digits.into_iter().next().map(str::to_owned)
        });
        let code = code.and_then(|code| code.trim().parse().ok());
        Some(Self { status: reply.status, code, words })
    }

    /// Whether another replica, or the same one later, may do it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        /// What is wrong with a statement, a table or a right, and will be everywhere.
        const LASTING: [u32; 20] =
            [6, 16, 26, 27, 33, 36, 43, 44, 46, 47, 48, 53, 62, 73, 81, 115, 192, 193, 194, 516];
        !self.code.is_some_and(|code| LASTING.contains(&code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::Get;

    fn server(version: (u32, u32), replicas: usize, quorum: usize, settings: &[&str]) -> Server {
        let settings = settings.iter().map(|name| (*name).to_owned()).collect();
        Server { version, settings, replicas, quorum }
    }

    #[test]
    fn only_settings_that_a_server_knows_are_sent() {
        let columns = Columns::new().with("tenant", Get::Text(|text: &String| text));
        let insert = Statement::insert("llm_event", &columns, &[]);
        let old =
            ["max_execution_time", "insert_quorum", "insert_quorum_timeout", "insert_deduplicate"];
        let post = server((18, 16), 2, 2, &old).post("trueup", &insert);
        assert_eq!(
            post.request.target(),
            "/?database=trueup&max_execution_time=120&insert_deduplicate=0&insert_quorum_timeout=10000\
             &insert_quorum=2&query=INSERT%20INTO%20llm_event%20%28tenant%29%20FORMAT%20Native"
        );
        assert_eq!(post.body, b"\x01\x00\x06tenant\x06String");
        let alone = server((26, 5), 1, 1, &[&old[..], &["async_insert", SEQUENTIAL]].concat());
        assert_eq!(
            alone.settings_of(Purpose::Write).iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["max_execution_time", "async_insert", "insert_deduplicate"]
        );
        let three = server((26, 5), 3, 2, &[SEQUENTIAL]);
        assert_eq!(three.settings_of(Purpose::Read), [(SEQUENTIAL, "1".to_owned())]);
        assert!(three.is_modern());
    }

    #[test]
    fn what_a_server_says_is_short_and_has_its_number() {
        let reply = |status, headers: &[(&str, &str)], body: &str| Reply {
            status,
            headers: headers.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            body: body.as_bytes().to_vec(),
        };
        assert_eq!(Failure::of(&reply(200, &[], "")), None);
        let old = Failure::of(&reply(500, &[], "Code: 285, e.displayText() = DB::Exception: x"));
        assert_eq!(old.as_ref().and_then(|it| it.code), Some(285));
        assert!(old.unwrap().is_passing());
        let new = Failure::of(&reply(404, &[("x-clickhouse-exception-code", "60")], "no table"));
        assert_eq!(new.unwrap().to_string(), "ClickHouse answers 404, code 60: no table");
        let wrong = Failure::of(&reply(400, &[], "Code: 62. DB::Exception: Syntax error")).unwrap();
        assert!(!wrong.is_passing());
        let proxy = Failure::of(&reply(502, &[], "Bad gateway")).unwrap();
        assert_eq!(proxy.to_string(), "ClickHouse answers 502: Bad gateway");
    }
}
