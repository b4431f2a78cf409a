//! A receiver that is not ours, and what arrived there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::daemon::until;

/// Python's HTTP server.
pub(crate) struct Receiver {
    child: Child,
    pub(crate) port: String,
    folder: TempDir,
}

/// A request as it arrived.
pub(crate) struct Received {
    pub(crate) status: u64,
    pub(crate) path: String,
    headers: Value,
    /// The body as it was sent.
    pub(crate) raw: Vec<u8>,
}

impl Receiver {
    /// One that answers so.
    pub(crate) fn start(mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mode"), mode).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/serve/receiver.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, port: port.trim().to_owned(), folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/ingest", self.port)
    }

    /// From now on it answers so.
    pub(crate) fn answer(&self, mode: &str) {
        let path = self.folder.path().join("mode");
        fs::write(path.with_extension("new"), mode).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    /// Everything that arrived, in order.
    pub(crate) fn received(&self) -> Vec<Received> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .collect();
        names.sort();
        names
            .into_iter()
            .map(|name| {
                let kept: Value = serde_json::from_slice(&fs::read(&name).unwrap()).unwrap();
                Received {
                    status: kept["status"].as_u64().unwrap(),
                    path: kept["path"].as_str().unwrap().to_owned(),
                    headers: kept["headers"].clone(),
                    raw: fs::read(name.with_extension("body")).unwrap(),
                }
            })
            .collect()
    }

    /// Those that were answered well.
    pub(crate) fn taken(&self) -> Vec<Received> {
        let is_taken = |one: &Received| (200..300).contains(&one.status);
        self.received().into_iter().filter(is_taken).collect()
    }

    /// Every event of the requests that were answered well, by its id, and how many there were.
    pub(crate) fn events(&self) -> (BTreeMap<String, Value>, usize) {
        let events: Vec<Value> = self.taken().iter().flat_map(Received::events).collect();
        let count = events.len();
        let by_id = events.into_iter().map(|event| (event["id"].as_str().unwrap().into(), event));
        (by_id.collect(), count)
    }

    /// Waits until so many events were taken.
    pub(crate) fn await_events(&self, count: usize) {
        until("the events arrive", || self.events().1 >= count);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _is_killed = self.child.kill().is_ok();
        let _is_gone = self.child.wait().is_ok();
    }
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].as_str().unwrap_or_default()
    }

    /// The body before compression.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        match self.header("content-encoding") {
            "gzip" => {
                flate2::read::GzDecoder::new(&*self.raw).read_to_string(&mut text).unwrap();
            }
            "zstd" => text = String::from_utf8(zstd::decode_all(&*self.raw).unwrap()).unwrap(),
            "" => text = String::from_utf8(self.raw.clone()).unwrap(),
            other => panic!("{other}"),
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.json()["events"].as_array().unwrap().clone()
    }
}
