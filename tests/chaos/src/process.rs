//! The processes: sidecars, each with a folder of its own, and the hub.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::http;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a sidecar may take over an answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// Longest log that is looked at.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Ports that systems give to nobody who does not ask for them by number.
const PORTS: RangeInclusive<u16> = 10_000..=32_000;
/// The tenant whose devices these are.
const TENANT: &str = "chaos";

/// Calls and their tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub calls: u64,
    /// Tokens of their prompts.
    pub input: u64,
    /// Tokens of their answers.
    pub output: u64,
}

impl Sum {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            input: self.input + other.input,
            output: self.output + other.output,
        }
    }
}

/// Sums by device and model.
pub type Sums = BTreeMap<(String, String), Sum>;

/// What is run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The sidecar.
    pub trueup: PathBuf,
    /// The hub's program, with the arguments before its own: `trueup hub`.
    pub hub: Vec<String>,
    /// Where the hub keeps what it is told: what its `--store` takes. Servers of ClickHouse get a proxy each.
    pub store: String,
    /// Whether the sidecar is a debug build, whose clock can be off.
    pub has_clock: bool,
}

/// A process that is ended when it is dropped.
#[derive(Debug)]
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).context("no process")?;
        Ok(kill_process(pid, signal)?)
    }

    fn kill(mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _is_killed = self.0.kill().is_ok();
        let _is_gone = self.0.wait().is_ok();
    }
}

/// A sidecar.
#[derive(Debug)]
pub struct Device {
    /// Its name, which is on its token.
    pub name: String,
    /// Its folder.
    pub home: PathBuf,
    program: PathBuf,
    variables: Vec<(&'static str, String)>,
    serve: Option<(Running, SocketAddr)>,
    has_copy: bool,
    starts: u32,
}

impl Device {
    /// A device that pushes there with this token, and is not running.
    ///
    /// # Errors
    /// What the system says of its folder.
    pub fn new(
        programs: &Programs,
        home: &Path,
        name: &str,
        endpoint: &str,
        token: &str,
    ) -> Result<Self> {
        fs::create_dir_all(home.join("ledger"))?;
        let variables = vec![
            ("HOME", home.display().to_string()),
            ("TRUEUP_LEDGER", home.join("ledger/l.db").display().to_string()),
            ("TRUEUP_PORT", "0".into()),
            ("TRUEUP_OTLP_HTTP_PORT", "off".into()),
            ("TRUEUP_OTLP_GRPC_PORT", "off".into()),
            ("TRUEUP_METRICS_INTERVAL", "off".into()),
            ("TRUEUP_SYNC_INTERVAL", "200ms".into()),
            ("TRUEUP_PUSH_INTERVAL", "300ms".into()),
            ("TRUEUP_PUSH_ENDPOINT", endpoint.to_owned()),
            ("TRUEUP_PUSH_TOKEN", token.to_owned()),
            ("TZ", "UTC".into()),
        ];
        Ok(Self {
            name: name.to_owned(),
            home: home.to_path_buf(),
            program: programs.trueup.clone(),
            variables,
            serve: None,
            has_copy: false,
            starts: 0,
        })
    }

    /// Starts it, with a clock that is so much off, where it can be.
    ///
    /// # Errors
    /// Where it does not listen in time.
    pub fn start(&mut self, clock_off_s: i64) -> Result<()> {
        self.starts += 1;
        let log = self.home.join(format!("log-{}", self.starts));
        let mut command = self.verb(&["serve"]);
        command.env("TRUEUP_TEST_CLOCK_OFF_S", clock_off_s.to_string());
        let running = Running(command.stderr(File::create(&log)?).spawn()?);
        let address = listening(&log)?;
        self.serve = Some((running, address));
        Ok(())
    }

    /// Where it listens, while it runs.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.serve.as_ref().map(|(_, address)| *address)
    }

    /// Kills it.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> Result<()> {
        self.serve.take().map_or(Ok(()), |(running, _)| running.kill())
    }

    /// Stops it, or has it go on.
    ///
    /// # Errors
    /// What the system says.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.serve.as_ref().map_or(Ok(()), |(running, _)| running.signal(signal))
    }

    /// Ends it as its owner would.
    ///
    /// # Errors
    /// Where it does not end in time, or badly.
    pub fn end(&mut self) -> Result<()> {
        let Some((mut running, _)) = self.serve.take() else { return Ok(()) };
        running.signal(Signal::TERM)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match running.0.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} ended with {status}", self.name),
                None if Instant::now() > until => bail!("{} does not end", self.name),
                None => std::thread::park_timeout(LOOK),
            }
        }
    }

    /// Copies the ledger of a device that does not run.
    ///
    /// # Errors
    /// What the system says.
    pub fn copy(&mut self) -> Result<()> {
        self.move_files("ledger/l.db", "copy.db")?;
        self.has_copy = true;
        Ok(())
    }

    /// Puts the copy back, where there is one: whether there was.
    ///
    /// # Errors
    /// What the system says.
    pub fn restore(&self) -> Result<bool> {
        if self.has_copy {
            self.move_files("copy.db", "ledger/l.db")?;
        }
        Ok(self.has_copy)
    }

    fn move_files(&self, from: &str, to: &str) -> Result<()> {
        for ending in ["", "-wal"] {
            let of = |name| self.home.join(format!("{name}{ending}"));
            let (from, to) = (of(from), of(to));
            if to.exists() {
                fs::remove_file(&to)?;
            }
            if from.exists() {
                fs::copy(from, to)?;
            }
        }
        Ok(())
    }

    /// Posts calls; whether they are durable.
    ///
    /// # Errors
    /// Where there is no answer, or one that it may not give.
    pub fn post(address: SocketAddr, body: &str) -> Result<bool> {
        let request = http::request("POST", "/v1/traces?wait=1", "application/x-ndjson", body);
        let answer = http::ask(address, &request, ANSWER_PATIENCE)?;
        match answer.status() {
            Some(200) => Ok(true),
            // Busy, or without room.
            Some(202 | 429 | 500..=599) => Ok(false),
            other => bail!("a post was answered with {other:?}: {}", text(&answer.body)),
        }
    }

    /// Has it send what it has; how much is left.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn push(&self) -> Result<Option<u64>> {
        let address = self.address().context("it does not run")?;
        let request = http::request("POST", "/v1/push", "application/json", "");
        let answer = http::ask(address, &request, PATIENCE + PATIENCE)?;
        let said: Value = serde_json::from_slice(&answer.body)?;
        let is_ok = said.get("status").is_some_and(|status| status == "ok");
        Ok(said.get("waiting").and_then(Value::as_u64).filter(|_| is_ok))
    }

    /// What it counts now, by model.
    ///
    /// # Errors
    /// Where there is no answer, or no report in it.
    pub fn counts(&self) -> Result<BTreeMap<String, Sum>> {
        let address = self.address().context("it does not run")?;
        let request = http::request("GET", "/v1/report?by=model", "application/json", "");
        let answer = http::ask(address, &request, PATIENCE)?;
        ensure!(answer.status() == Some(200), "a report was answered: {}", text(&answer.body));
        by_model(&serde_json::from_slice(&answer.body)?)
    }

    /// What its ledger comes to, by model, counted by the program of a device that does not run.
    ///
    /// # Errors
    /// Where it cannot be counted, or a sum is not that of its calls.
    pub fn recount(&self) -> Result<BTreeMap<String, Sum>> {
        run(self.verb(&["check"]))?;
        let report = run(self.verb(&["report", "--by", "model", "--json"]))?;
        by_model(&serde_json::from_slice(&report)?)
    }

    fn verb(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(words).stdout(Stdio::null());
        command
    }
}

/// The hub: at one address, however often it is started.
#[derive(Debug)]
pub struct Hub {
    programs: Programs,
    folder: PathBuf,
    address: SocketAddr,
    running: Option<Running>,
    starts: u32,
}

impl Hub {
    /// A hub that is not running, with a folder for its logs.
    ///
    /// # Errors
    /// Where the system has no port to give.
    pub fn new(programs: &Programs, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let address = free_address()?;
        Ok(Self {
            programs: programs.clone(),
            folder: folder.to_path_buf(),
            address,
            running: None,
            starts: 0,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it.
    ///
    /// # Errors
    /// Where it does not listen in time.
    pub fn start(&mut self) -> Result<()> {
        self.starts += 1;
        let log = self.folder.join(format!("log-{}", self.starts));
        let port = self.address.port().to_string();
        let words = ["--port", &*port, "--push-interval", "1s", "--heartbeat", "2s"];
        let mut command = self.verb(&words)?;
        self.running = Some(Running(command.stderr(File::create(&log)?).spawn()?));
        listening(&log)?;
        Ok(())
    }

    /// Kills it.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> Result<()> {
        self.running.take().map_or(Ok(()), Running::kill)
    }

    /// Stops it, or has it go on.
    ///
    /// # Errors
    /// What the system says.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.running.as_ref().map_or(Ok(()), |running| running.signal(signal))
    }

    /// A token for a device, or one that reads.
    ///
    /// # Errors
    /// Where the hub's program makes none.
    pub fn token(&self, device: Option<&str>) -> Result<String> {
        let mut words = vec!["token", "create", "--tenant", TENANT, "--json"];
        words.extend(device.map_or(vec!["--read"], |device| vec!["--device", device]));
        let made: Value = serde_json::from_slice(&run(self.verb(&words)?)?)?;
        let token = made.get("token").and_then(Value::as_str).context("no token in the answer")?;
        Ok(token.to_owned())
    }

    /// What it counts, asked over HTTP as anybody would.
    ///
    /// # Errors
    /// Where there is no answer, or no report in it.
    pub fn sums(&self, token: &str) -> Result<Sums> {
        let mut command = Command::new(&self.programs.trueup);
        command.env_clear().env("HOME", &self.folder).env("TRUEUP_HUB_TOKEN", token);
        command.env("TRUEUP_LEDGER", self.folder.join("none.db"));
        let url = format!("http://{}", self.address);
        command.args(["report", "--by", "device,model", "--json", "--hub", &*url]);
        let report: Value = serde_json::from_slice(&run(command)?)?;
        rows(&report, |row| Some((word(row, "device")?, word(row, "model")?)))
    }

    /// Looks whether every sum of it is that of its calls.
    ///
    /// # Errors
    /// Where one is not.
    pub fn check(&self) -> Result<()> {
        run(self.verb(&["check"])?).map(drop)
    }

    fn verb(&self, words: &[&str]) -> Result<Command> {
        let (program, before) = self.programs.hub.split_first().context("no hub's program")?;
        let mut command = Command::new(program);
        command.env_clear().env("HOME", &self.folder).env("TZ", "UTC");
        command.env("TRUEUP_LEDGER", self.folder.join("none.db"));
        command.args(before).args(words).args(["--store", &*self.programs.store]);
        command.stdout(Stdio::null());
        Ok(command)
    }
}

/// An address where nothing listens, of which the system gives none away: it is listened at again and again,
/// and in between the port must not become that of somebody's connection.
fn free_address() -> Result<SocketAddr> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = PORTS.start() + u16::try_from(std::process::id() % 1_000)? * 20;
    loop {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = first.checked_add(given).filter(|port| PORTS.contains(port));
        let port = port.context("no port is free")?;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return Ok(listener.local_addr()?);
        }
    }
}

/// What a program prints, where it ends well.
fn run(mut command: Command) -> Result<Vec<u8>> {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    let said = || format!("{}{}", text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "{command:?} ended with {}: {}", output.status, said());
    Ok(output.stdout)
}

/// Where a process listens, by its log.
fn listening(log: &Path) -> Result<SocketAddr> {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut said = String::new();
        File::open(log)?.take(LOG_BYTES_MAX).read_to_string(&mut said)?;
        let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let address = |line: Value| line.get("addr")?.as_str()?.parse().ok();
        if let Some(address) = lines.find_map(address) {
            return Ok(address);
        }
        ensure!(Instant::now() < until, "it does not listen: {said}");
        std::thread::park_timeout(LOOK);
    }
}

fn by_model(report: &Value) -> Result<BTreeMap<String, Sum>> {
    rows(report, |row| word(row, "model"))
}

fn rows<K: Ord>(report: &Value, key: impl Fn(&Value) -> Option<K>) -> Result<BTreeMap<K, Sum>> {
    let rows = report.get("rows").and_then(Value::as_array).context("no rows in the report")?;
    let sum = |row: &Value| {
        let exact = row.get("exact")?;
        let number = |name: &str| exact.get(name)?.as_u64();
        let sum =
            Sum { calls: number("calls")?, input: number("input")?, output: number("output")? };
        Some((key(row)?, sum))
    };
    rows.iter().map(|row| sum(row).with_context(|| format!("an odd row: {row}"))).collect()
}

fn word(row: &Value, name: &str) -> Option<String> {
    row.get(name)?.as_str().map(str::to_owned)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
