//! Usage for a report: what is new in the stores is read first.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use trueup_agents::{Inventory, Scanned, Store};
use trueup_core::prices::{Override, PriceBook};
use trueup_core::{Account, Batch, Problem, StoreId};
use trueup_ledger::{Ledger, LedgerError, Limits, OpenOptions, Reader, Writer};

use crate::config::Config;
use crate::sync::{self, Progress};
use crate::usage::Usage;

/// Usage, and how it was come by.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) usage: Usage,
    /// What was found where; empty where nothing was looked for.
    pub(super) inventory: Inventory,
    /// Who keeps the ledger up to date, where we do not.
    pub(super) keeper: Option<String>,
}

/// Bytes above which a first scan shows its progress: less is done before anybody looks.
const PROGRESS_BYTES_MIN: u64 = 200 << 20;

/// What may wait for the writer during a scan: enough that no thread waits for a commit.
pub(super) const SCAN_LIMITS: Limits = Limits { records: 16_000, bytes: 16 << 20 };

/// Reads what is new into the ledger and opens it; into memory where `is_in_memory`.
pub(super) fn load(config: &Config, is_in_memory: bool) -> Result<Loaded> {
    let threads = sync::threads(config.parse("threads", "a number of threads")?);
    if is_in_memory {
        return Ok(in_memory(config, threads));
    }
    let path = config.ledger();
    if config.is_kept_here {
        let usage = config.kept().usage(None)?;
        return Ok(Loaded { usage, inventory: Inventory::default(), keeper: None });
    }
    match open(&path) {
        // A hub's account of others: what this machine has does not belong into it.
        Ok(ledger) if ledger.has_devices()? => {
            drop(ledger);
            let usage = Usage::of_ledger(&path)?;
            Ok(Loaded { usage, inventory: Inventory::default(), keeper: None })
        }
        Ok(ledger) => {
            let inventory = read_new(config, ledger, threads)?;
            Ok(Loaded { usage: Usage::of_ledger(&path)?, inventory, keeper: None })
        }
        Err(LedgerError::Locked { owner, .. }) => Ok(match Reader::open(&path)? {
            Some(reader) => Loaded {
                usage: Usage::Ledger(Box::new(reader)),
                inventory: Inventory::default(),
                keeper: Some(owner),
            },
            // The other process is about to make the file.
            None => in_memory(config, threads),
        }),
        Err(
            error @ (LedgerError::File { .. }
            | LedgerError::Sqlite { .. }
            | LedgerError::NoRoom { .. }),
        ) => Err(error).context("the ledger cannot be written; `--no-ledger` reports without one"),
        Err(error @ (LedgerError::Newer { .. } | LedgerError::NotALedger { .. })) => {
            Err(error.into())
        }
    }
}

/// Opens the ledger; waits a moment where another process has it, because a status line or another
/// report is soon done. One that keeps it longer keeps it up to date.
pub(super) fn open(path: &Path) -> Result<Ledger, LedgerError> {
    let mut tries_left = LOCK_TRIES;
    loop {
        match Ledger::open(path, OpenOptions::default()) {
            Err(LedgerError::Locked { .. }) if tries_left > 0 => {
                tries_left -= 1;
                std::thread::park_timeout(LOCK_PAUSE);
            }
            result => return result,
        }
    }
}

/// The same for who writes it, or gives up; what to say where another process keeps it.
pub(super) fn open_for(path: &Path, where_held: &'static str) -> Result<Ledger> {
    open(path).map_err(|error| {
        let is_held = matches!(error, LedgerError::Locked { .. });
        let error = anyhow::Error::from(error);
        if is_held { error.context(where_held) } else { error }
    })
}

/// How often a ledger that another process has is tried again.
const LOCK_TRIES: u32 = 8;
/// How long between tries.
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Reads what is new into a ledger.
pub(super) fn read_new(config: &Config, ledger: Ledger, threads: usize) -> Result<Inventory> {
    let path = ledger.path().to_path_buf();
    let writer = Writer::spawn(ledger, SCAN_LIMITS, crate::clock::now)?;
    let reader = Reader::open(&path)?.context("the ledger has vanished")?;
    let bar = Bar::default();
    let mut stores = sync::Stores::of_all(&config.environment);
    let synced = sync::sync(&mut stores, &writer, &reader, threads, &bar)?;
    bar.finish();
    drop(writer.close(CLOSE_PATIENCE));
    Ok(synced.inventory)
}

/// How long the end of a scan waits for a ledger that cannot be written.
pub(super) const CLOSE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

fn in_memory(config: &Config, threads: usize) -> Loaded {
    let account = Mutex::new(Account::default());
    // Whoever finds the account busy leaves what was read, and reads on.
    let left = Mutex::new(Vec::new());
    let take = |batch: Batch| match account.try_lock() {
        Ok(mut account) => {
            let left = std::mem::take(&mut *left.lock().unwrap_or_else(PoisonError::into_inner));
            for batch in left.into_iter().chain([batch]) {
                account.append(batch);
            }
        }
        Err(_) => left.lock().unwrap_or_else(PoisonError::into_inner).push(batch),
    };
    let bar = Bar::default();
    let synced = sync::read_all(&config.environment, threads, &take, &bar);
    bar.finish();
    let mut account = account.into_inner().unwrap_or_else(PoisonError::into_inner);
    let left = left.into_inner().unwrap_or_else(PoisonError::into_inner);
    for batch in left {
        account.append(batch);
    }
    Loaded { usage: Usage::Memory(Box::new(account)), inventory: synced.inventory, keeper: None }
}

impl Loaded {
    /// What could not be understood, by store.
    pub(super) fn problems(&self) -> Result<BTreeMap<StoreId, Vec<Problem>>> {
        let mut problems: BTreeMap<StoreId, Vec<Problem>> = BTreeMap::new();
        match &self.usage {
            Usage::Ledger(reader) => {
                for stored in crate::problems::present(reader)? {
                    let kind = stored.kind.unwrap_or(trueup_core::ProblemKind::BadRecord);
                    let problem = Problem { kind, line: stored.line, detail: stored.detail };
                    problems.entry(stored.store).or_default().push(problem);
                }
            }
            Usage::Memory(account) => {
                for (store, problem) in account.problems() {
                    problems.entry(store.clone()).or_default().push(problem.clone());
                }
            }
            // Stores are read by devices, who tell a hub what was understood.
            Usage::ClickHouse(_) => {}
        }
        Ok(problems)
    }
}

/// The price table, with the overrides of the file that the settings name.
pub(super) fn prices(config: &Config) -> Result<PriceBook> {
    let Some(path) = config.path("prices") else { return Ok(PriceBook::embedded()) };
    let overrides = read_overrides(&path)?;
    PriceBook::with_overrides(&overrides).with_context(|| path.display().to_string())
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceFile {
    #[serde(default)]
    price: Vec<Override>,
}

fn read_overrides(path: &Path) -> Result<Vec<Override>> {
    let text = crate::config::read_text(path)?;
    let file: PriceFile = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(file.price)
}

/// A bar on standard error, while a long scan runs in front of somebody.
#[derive(Debug, Default)]
pub(super) struct Bar(Mutex<Option<ProgressBar>>);

impl Bar {
    fn with(&self, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            act(bar);
        }
    }

    pub(super) fn finish(&self) {
        self.with(ProgressBar::finish_and_clear);
    }
}

impl Progress for Bar {
    fn begin(&self, _stores: usize, bytes: u64) {
        if !io::stderr().is_terminal() || bytes < PROGRESS_BYTES_MIN {
            return;
        }
        let style =
            ProgressStyle::with_template("reading sessions {bar:30} {bytes}/{total_bytes} {eta}");
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
        if let Ok(style) = style {
            bar.set_style(style);
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn store(&self, store: &Store, _scanned: Scanned) {
        self.with(|bar| bar.inc(store.stamp.size_bytes));
    }
}
