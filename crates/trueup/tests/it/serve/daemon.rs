//! A running daemon with a folder of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a daemon lives: it survives the process.
pub(crate) struct Home {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// A running process.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    /// Ends with the process, once all that it has logged is kept.
    logging: Option<JoinHandle<()>>,
    client: ureq::Agent,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Self { folder: tempfile::tempdir().unwrap(), variables: variables.collect() }
    }

    /// Sets a variable for whatever is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.into(), value.into()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self) -> Command {
        self.verb("serve")
    }

    pub(crate) fn verb(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("TRUEUP_LEDGER", self.path("ledger.db"))
            .env("TRUEUP_PORT", "0")
            // Samples of the machine come when they like; the name that any other wins over.
            .env("OCT_METRICS_INTERVAL", "off")
            // One of many daemons on this machine.
            .env("TRUEUP_OTLP_HTTP_PORT", "off")
            .env("TRUEUP_OTLP_GRPC_PORT", "off")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .arg(verb);
        command
    }

    pub(crate) fn start(&self) -> Daemon {
        Daemon::start(self.command())
    }

    /// What a daemon that does not start says.
    pub(crate) fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn database(&self) -> Connection {
        let database = Connection::open(self.path("ledger.db")).unwrap();
        database.busy_timeout(PATIENCE).unwrap();
        database
    }

    /// Another program that holds the ledger until it is dropped.
    pub(crate) fn lock(&self) -> Connection {
        let database = self.database();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        database
    }

    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.database().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn text(&self, sql: &str) -> String {
        self.database().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

impl Daemon {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut first = Vec::new();
        // What its threads do may be told before.
        let address = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {first:?}")).unwrap();
            let told: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            first.push(line);
            if told["message"] == "listening" {
                break told["addr"].as_str().unwrap().parse().unwrap();
            }
        };
        let log = Arc::new(Mutex::new(first));
        let kept = Arc::clone(&log);
        let logging = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self { child, address, log, logging: Some(logging), client: config.into() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.call().unwrap())
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.post_with(path, body, &[("content-type", "application/json")])
    }

    pub(crate) fn post_with(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_post(path, body, headers).unwrap()
    }

    pub(crate) fn try_post(
        &self,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, ureq::Error> {
        let mut request = self.client.post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send(body.as_bytes()).map(answer)
    }

    /// Posts and waits until it is in the file.
    pub(crate) fn post_durably(&self, path: &str, body: &str) -> Answer {
        let answer = self.post(&format!("{path}?wait=1"), body);
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }

    pub(crate) fn health(&self) -> Value {
        let answer = self.get("/health");
        assert_eq!(answer.status, 200);
        answer.json()
    }

    /// What comes back for these bytes, until the daemon closes the connection.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _is_sent = stream.write_all(bytes).is_ok();
        let mut text = Vec::new();
        let _is_orderly = stream.read_to_end(&mut text).is_ok();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The same as head and body, where the body is no text.
    pub(crate) fn raw_bytes(&self, bytes: &[u8]) -> (String, Vec<u8>) {
        const END_OF_HEAD: &[u8] = b"\r\n\r\n";
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let found = answer.windows(END_OF_HEAD.len()).position(|part| part == END_OF_HEAD);
        let body = answer.split_off(found.unwrap() + END_OF_HEAD.len());
        (String::from_utf8(answer).unwrap(), body)
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A line of the kernel's account of the process's memory, in kB.
    pub(crate) fn memory_kb(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let text = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let mut status = None;
        until("the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if let Some(logging) = self.logging.take() {
            logging.join().unwrap();
        }
        status.unwrap()
    }

    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.end()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _is_killed = self.child.kill().is_ok();
        let _is_gone = self.child.wait().is_ok();
    }
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.body_mut().read_to_string().unwrap(),
    }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A trace with these fields beside the required ones.
pub(crate) fn trace(fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"provider":"openai","model":"gpt-5.5"{comma}{fields}}}"#)
}
