//! A state folder of OpenClaw that changes in steps, and ledgers that read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::home::{Home, Run, files, finish};
use crate::schema::{Report, Sum};

/// The session that most cases are about.
pub(super) const SESSION: &str = "3e5aebe9-5cb0-449d-bf79-60d985cd9c6f";

/// Where sessions of the main agent lie.
pub(super) const SESSIONS: &str = "agents/main/sessions";

/// How a file of a step takes the place of an earlier one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// The same file is written anew.
    InPlace,
    /// Another file is renamed over it.
    RenameOver,
}

/// A state folder.
pub(super) struct Tree {
    home: Home,
    /// Its place below the home folder.
    state: &'static str,
}

impl Tree {
    /// An empty one that `OPENCLAW_STATE_DIR` names.
    pub(super) fn named() -> Self {
        Self::at_place("srv/claw")
    }

    /// An empty one at its usual place.
    pub(super) fn usual() -> Self {
        Self::at_place(".openclaw")
    }

    fn at_place(state: &'static str) -> Self {
        let home = Home::new();
        fs::create_dir_all(home.at(state)).unwrap();
        Self { home, state }
    }

    /// The path of something in it.
    pub(super) fn at(&self, below: &str) -> PathBuf {
        self.home.at(self.state).join(below)
    }

    /// Writes a file, and the folders that it is in.
    pub(super) fn write(&self, below: &str, bytes: impl AsRef<[u8]>) {
        self.change(below, bytes.as_ref(), Change::InPlace);
    }

    fn change(&self, below: &str, bytes: &[u8], how: Change) {
        let path = self.at(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match how {
            Change::InPlace => fs::write(path, bytes).unwrap(),
            Change::RenameOver => {
                let new = path.with_extension("new");
                fs::write(&new, bytes).unwrap();
                fs::rename(new, path).unwrap();
            }
        }
    }

    /// Leaves an event as trueup's hook does.
    pub(super) fn leave_event(&self, at_ms: i64, event: &Value) {
        let folder = self.home.at("spool/openclaw");
        fs::create_dir_all(&folder).unwrap();
        let name = format!("{at_ms}-77-{at_ms:016x}.json");
        fs::write(folder.join(name), event.to_string()).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.at(from), self.at(to)).unwrap();
    }

    pub(super) fn remove(&self, below: &str) {
        fs::remove_file(self.at(below)).unwrap();
    }

    /// Lays the files of a folder over what is there.
    pub(super) fn lay_over(&self, folder: &Path, how: Change) {
        for file in files(folder) {
            let below = file.strip_prefix(folder).unwrap().to_str().unwrap();
            self.change(below, &fs::read(&file).unwrap(), how);
        }
    }

    /// The program, with one of the tree's ledgers.
    pub(super) fn command(&self, ledger: &str, line: &str) -> Command {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let mut command = self.home.command(&arguments);
        command
            .env("TRUEUP_LEDGER", self.ledger(ledger))
            .env("TRUEUP_SPOOL_DIR", self.home.at("spool"));
        if !self.state.starts_with('.') {
            command.env("OPENCLAW_STATE_DIR", self.at(""));
        }
        command
    }

    pub(super) fn run(&self, ledger: &str, line: &str) -> Run {
        finish(self.command(ledger, line))
    }

    /// What a command line prints that must succeed.
    pub(super) fn print(&self, ledger: &str, line: &str) -> String {
        let run = self.run(ledger, line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        run.stdout
    }

    /// The JSON report of a command line.
    pub(super) fn report(&self, ledger: &str, line: &str) -> Report {
        let text = self.print(ledger, line);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}\n{text}"))
    }

    /// Exact and estimated usage, after reading what is new.
    pub(super) fn totals(&self, ledger: &str) -> (Sum, Sum) {
        let totals = self.report(ledger, "report --json").totals;
        (totals.exact, totals.estimated)
    }

    /// The same, with nothing remembered.
    pub(super) fn totals_in_memory(&self) -> (Sum, Sum) {
        let totals = self.report("unused", "report --json --no-ledger").totals;
        (totals.exact, totals.estimated)
    }

    /// All tokens: exact and estimated.
    pub(super) fn tokens(&self, ledger: &str) -> (u64, u64) {
        let (exact, estimated) = self.totals(ledger);
        (exact.total, estimated.total)
    }

    /// Tokens by the values of a dimension: exact and estimated.
    pub(super) fn tokens_by(&self, ledger: &str, by: &str) -> BTreeMap<String, (u64, u64)> {
        let report: Value =
            serde_json::from_str(&self.print(ledger, &format!("report {by} --json"))).unwrap();
        let total = |sum: &Value| sum["total"].as_u64().unwrap();
        let rows = report["rows"].as_array().unwrap().iter();
        rows.map(|row| {
            let tokens = (total(&row["exact"]), total(&row["estimated"]));
            (row[by].as_str().unwrap().to_owned(), tokens)
        })
        .collect()
    }

    /// What could not be understood: how often each kind.
    pub(super) fn problems(&self, ledger: &str) -> BTreeMap<String, usize> {
        let sources: Value = serde_json::from_str(&self.print(ledger, "sources --json")).unwrap();
        let mut kinds = BTreeMap::new();
        for problem in sources["problems"].as_array().unwrap() {
            *kinds.entry(problem["kind"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        kinds
    }

    /// One number that a question to the ledger's file gives.
    pub(super) fn ask(&self, ledger: &str, sql: &str) -> i64 {
        self.open(ledger).query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// The ledger's file, for reading.
    pub(super) fn open(&self, ledger: &str) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        Connection::open_with_flags(self.ledger(ledger), flags).unwrap()
    }

    fn ledger(&self, name: &str) -> PathBuf {
        self.home.at(&format!("ledgers/{name}.db"))
    }

    /// Reads again, which must change nothing; then looks whether the ledger is sound.
    pub(super) fn assert_settled(&self, ledger: &str) {
        let before = self.print(ledger, "report session,model --json --breakdown");
        assert_eq!(self.print(ledger, "report session,model --json --breakdown"), before);
        let check = self.print(ledger, "check");
        assert!(check.contains("is whole"), "{check}");
    }
}

/// The text of a file.
pub(super) fn text(path: &Path) -> String {
    String::from_utf8(fs::read(path).unwrap()).unwrap()
}

/// Bytes of a file among the readers' fixtures.
pub(super) fn reader_fixture(below: &str) -> Vec<u8> {
    fs::read(reader_fixtures().join(below)).unwrap()
}

/// The readers' own fixtures of OpenClaw: home folders.
pub(super) fn reader_fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../trueup-agents/fixtures/openclaw")
}

/// The lines of the base session: a header, four lines without usage, then calls of 1,090, 1,112 and
/// 1,156 tokens.
pub(super) fn base_lines() -> Vec<String> {
    let name = format!("01_normal/.openclaw/{SESSIONS}/{SESSION}.jsonl");
    let text = String::from_utf8(reader_fixture(&name)).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// The path of the live transcript of the base session.
pub(super) fn live() -> String {
    format!("{SESSIONS}/{SESSION}.jsonl")
}
