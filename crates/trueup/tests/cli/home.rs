//! A home folder of its own for each test, and the program run on it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use tempfile::TempDir;

/// When every file of a home was last changed: the time of records that say none.
const MODIFIED: Duration = Duration::from_secs(1_760_000_000);

/// Longest that a run may take. Far more than any needs: a program that hangs must fail its test.
const RUN_MAX: Duration = Duration::from_mins(1);

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// What stands for the home folder in snapshots. It is as long as the folder's real name, so that no
/// column moves.
const SHOWN: &str = "/home/tester";

/// A home folder.
pub(crate) struct Home(TempDir);

impl Home {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("t").rand_bytes(6).tempdir_in("/tmp").unwrap();
        assert_eq!(folder.path().as_os_str().len(), SHOWN.len());
        Self(folder)
    }

    /// One with copies of the readers' fixtures, each named as in `claude-code/everyday`.
    pub(crate) fn of_fixtures(names: &[&str]) -> Self {
        let home = Self::new();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trueup-agents/fixtures");
        for name in names {
            let from = fixtures.join(name);
            for file in files(&from) {
                let below = file.strip_prefix(&from).unwrap();
                if below != Path::new("expected.txt") {
                    home.write(below.to_str().unwrap(), fs::read(&file).unwrap());
                }
            }
        }
        home
    }

    /// One with sessions of every agent.
    pub(crate) fn everyday() -> Self {
        Self::of_fixtures(&[
            "claude-code/everyday",
            "codex/everyday",
            "openclaw/01_normal",
            "gemini-cli/documents",
            "opencode/documents",
        ])
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a file in it.
    pub(crate) fn at(&self, below: &str) -> PathBuf {
        self.path().join(below)
    }

    /// Writes a file, and the folders that it is in.
    pub(crate) fn write(&self, below: &str, bytes: impl AsRef<[u8]>) {
        let path = self.at(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
        file.set_modified(UNIX_EPOCH + MODIFIED).unwrap();
    }

    /// Appends to a file.
    pub(crate) fn append(&self, below: &str, text: &str) {
        let mut file = File::options().append(true).open(self.at(below)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// The ledger that the program keeps for it.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.at("ledger/trueup.db")
    }

    /// The program with this home, and nothing else of the machine.
    pub(crate) fn command<Arg: AsRef<OsStr>>(&self, arguments: &[Arg]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .env("TRUEUP_LEDGER", self.ledger())
            .env("TRUEUP_SPOOL_DIR", self.at("spool"))
            .env("TZ", "UTC")
            .env("COLUMNS", "80")
            .env("NO_COLOR", "1")
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command line such as `report day --json`.
    pub(crate) fn run(&self, line: &str) -> Run {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        finish(self.command(&arguments))
    }

    /// Runs a command line that must succeed; what it printed.
    pub(crate) fn print(&self, line: &str) -> String {
        let run = self.run(line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        run.stdout
    }

    /// A command line and all that comes of it, with the home folder's name replaced.
    pub(crate) fn transcript(&self, line: &str) -> String {
        self.transcript_of(line, &self.run(line))
    }

    /// The same, in a terminal so wide that no name is cut: in what is left of the home folder's name
    /// it could not be replaced.
    pub(crate) fn wide_transcript(&self, line: &str) -> String {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let mut command = self.command(&arguments);
        command.env("COLUMNS", "200");
        self.transcript_of(line, &finish(command))
    }

    /// A command line and what came of it.
    pub(crate) fn transcript_of(&self, line: &str, run: &Run) -> String {
        let mut text = format!("$ trueup {line}\n{}", run.stdout);
        if !run.stderr.is_empty() {
            text = format!("{text}--- stderr\n{}", run.stderr);
        }
        text = format!("{text}--- exit {}\n", run.code.unwrap());
        text.replace(self.path().to_str().unwrap(), SHOWN)
    }
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) fn finish(command: Command) -> Run {
    finish_with(command, b"")
}

/// Runs a command to its end, with an input.
pub(crate) fn finish_with(mut command: Command, input: &[u8]) -> Run {
    let mut child = Running(command.stdin(Stdio::piped()).spawn().unwrap());
    let stdout = collect(child.0.stdout.take().unwrap());
    let stderr = collect(child.0.stderr.take().unwrap());
    // A program that does not want its input closes it.
    let _is_read = child.0.stdin.take().unwrap().write_all(input).is_ok();
    let status = child.wait();
    Run {
        code: status.code(),
        stdout: String::from_utf8(stdout.join().unwrap()).unwrap(),
        stderr: String::from_utf8(stderr.join().unwrap()).unwrap(),
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// A program that runs beside the test, and ends with it.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.ends_within(RUN_MAX).unwrap_or_else(|| panic!("it hangs"))
    }

    /// Waits for its end, but not for ever.
    pub(crate) fn ends_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let ended = self.0.try_wait().unwrap();
            if ended.is_some() || start.elapsed() >= patience {
                return ended;
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already where the test went as it should.
        let _was_running = self.0.kill().is_ok();
        let _has_ended = self.0.wait().is_ok();
    }
}

/// Says that a test has not tested anything here.
#[expect(clippy::print_stderr, reason = "a test that is skipped must not look as one that held")]
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A file as text.
pub(crate) fn text_of(path: impl AsRef<Path>) -> String {
    String::from_utf8(fs::read(path).unwrap()).unwrap()
}
