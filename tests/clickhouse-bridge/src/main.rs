//! A current ClickHouse engine behind ClickHouse's HTTP interface: `clickhouse-bridge LIBCHDB FOLDER [PORT]`
//!
//! The engine is `libchdb.so` of the npm package `@chdb/lib-linux-x64-gnu`, which has everything of ClickHouse
//! but its server. What is answered is the part of the server's protocol that trueup speaks: statements in
//! the query or the body, rows to insert in the body, settings and the database in the query, and errors by
//! status and `X-ClickHouse-Exception-Code`. It prints its address and runs until it is killed.

mod engine;
mod http;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use engine::{Connection, Engine};
use http::{Answer, Asked};

/// Connections of the engine: statements that run at once.
const CONNECTIONS: usize = 4;
/// Parameters of the protocol, which are no settings.
const PROTOCOL: [&str; 7] =
    ["query", "database", "default_format", "user", "password", "query_id", "wait_end_of_query"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, folder, port @ ..] = &arguments[..] else {
        return Err("clickhouse-bridge LIBCHDB FOLDER [PORT]".into());
    };
    let port = port.first().map_or(Ok(0), |port| port.parse::<u16>())?;
    let engine = Engine::load(Path::new(library))?;
    let connections: Result<Vec<Kept>, _> =
        (0..CONNECTIONS).map(|_| engine.connect(folder).map(Kept::new)).collect();
    let pool = Arc::new(Pool { idle: Mutex::new(connections?), returned: Condvar::new() });
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}", listener.local_addr()?)?;
    out.flush()?;
    for stream in listener.incoming() {
        let (stream, pool) = (stream?, Arc::clone(&pool));
        std::thread::Builder::new().spawn(move || {
            // A client that goes away is no failure of ours.
            let _gone = serve(stream, &pool);
        })?;
    }
    Ok(())
}

/// Connections that do nothing.
struct Pool {
    idle: Mutex<Vec<Kept>>,
    returned: Condvar,
}

impl Pool {
    fn with<T>(&self, run: impl FnOnce(&mut Kept) -> T) -> T {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.returned.wait_while(idle, |idle| idle.is_empty());
        let taken = wait.unwrap_or_else(PoisonError::into_inner).pop();
        let Some(mut kept) = taken else { unreachable!("it was waited for") };
        let result = run(&mut kept);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        self.returned.notify_one();
        result
    }
}

fn serve(stream: TcpStream, pool: &Pool) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut client = http::Client::new(stream)?;
    while let Some(asked) = client.asked()? {
        client.answer(&pool.with(|kept| run(kept, &asked)))?;
    }
    Ok(())
}

/// A connection, and with what it was left: a server has database and settings with each request, where here
/// each is a statement of its own.
struct Kept {
    connection: Connection,
    database: String,
    settings: Vec<(String, String)>,
}

impl Kept {
    const fn new(connection: Connection) -> Self {
        Self { connection, database: String::new(), settings: Vec::new() }
    }

    /// Has it be of this database, with these settings and no others.
    fn prepare(&mut self, database: &str, settings: Vec<(String, String)>) -> Result<(), String> {
        let tell = |sql: String| self.connection.query(sql.as_bytes(), "Null");
        if self.database != database {
            self.database.clear();
            tell(format!("USE {database}"))?;
            database.clone_into(&mut self.database);
        }
        if self.settings != settings {
            for (name, _) in std::mem::take(&mut self.settings) {
                let _unknown = tell(format!("SET {name} = DEFAULT"));
            }
            for (name, value) in settings {
                tell(format!("SET {name} = {}", quoted(&value)))?;
                self.settings.push((name, value));
            }
        }
        Ok(())
    }
}

/// Does what was asked.
fn run(kept: &mut Kept, asked: &Asked) -> Answer {
    if asked.path == "/ping" {
        return Answer::of(b"Ok.\n".to_vec());
    }
    let parameter = |name: &str| asked.query.iter().find(|(known, _)| known == name);
    let settings = asked.query.iter().filter(|(name, _)| !PROTOCOL.contains(&name.as_str()));
    let format = parameter("default_format").map_or("TabSeparated", |(_, format)| format);
    let query = parameter("query").map_or("", |(_, query)| query);
    let database = parameter("database").map_or("default", |(_, database)| database);
    let result = kept.prepare(database, settings.cloned().collect()).and_then(|()| {
        let connection = &kept.connection;
        if let Some(insert) = insert(query, &asked.body) {
            return insert.run(connection);
        }
        let sql = [query.as_bytes(), b"\n", &asked.body].concat();
        connection.query(&sql, format)
    });
    match result {
        Ok(body) => Answer::of(body),
        Err(words) => Answer::failure(&words),
    }
}

/// An insert whose rows are the body.
struct Insert<'a> {
    /// All before the format.
    into: &'a str,
    format: &'a str,
    rows: &'a [u8],
}

fn insert<'a>(query: &'a str, rows: &'a [u8]) -> Option<Insert<'a>> {
    let (into, format) = query.trim().rsplit_once(" FORMAT ")?;
    let is_insert = into.get(..12)?.eq_ignore_ascii_case("INSERT INTO ") && !rows.is_empty();
    is_insert.then_some(Insert { into, format, rows })
}

impl Insert<'_> {
    /// By way of a file: the engine takes rows behind a statement for statements where they look like it.
    fn run(&self, connection: &Connection) -> Result<Vec<u8>, String> {
        let number = connection.number();
        let path = std::env::temp_dir().join(format!("bridge-{}-{number}", std::process::id()));
        std::fs::write(&path, self.rows).map_err(|error| error.to_string())?;
        let file = quoted(&path.to_string_lossy());
        let sql = format!("{} FROM INFILE {file} FORMAT {}", self.into, self.format);
        let result = connection.query(sql.as_bytes(), "Null");
        let removed = std::fs::remove_file(&path).map_err(|error| error.to_string());
        result.and_then(|body| removed.map(|()| body))
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
