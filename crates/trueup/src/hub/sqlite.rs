//! The store on one machine: a ledger file for each tenant, and a file of tokens beside them.
//!
//! ```text
//! hub/tokens.db
//! hub/tenants/acme.db
//! ```
//!
//! A tenant's ledger is one like that of `serve`, with devices in it, so that whatever answers questions
//! about a ledger answers them about a fleet. What waits while a transaction is written goes into the
//! next one, however many devices it is of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use trueup_core::{Delivery, HubToken, Text};
use trueup_ledger::{
    Delivered, Ledger, LedgerError, Limits, OpenOptions, Reader, Retention, TokenFile, Writer,
};

use super::store::{Done, Kept, Look, Store, Unavailable};
use super::tokens::is_name;
use crate::api::{App, Known};
use crate::clock;
use crate::config::Config;
use crate::daemon::{OpenLedger, Upkeep, UpkeepSettings, keep_up};
use crate::ticker::Ticker;
use crate::usage::Keeping;

/// The folder's store.
pub(crate) struct Sqlite {
    folder: PathBuf,
    config: Config,
    known: Known,
    /// `None` for a look from another process than the hub: it opens no tenant.
    work: Option<Work>,
    tokens: Mutex<TokenFile>,
    tenants: Arc<Tenants>,
}

/// The tenants whose ledgers are open.
type Tenants = Mutex<BTreeMap<Text, Arc<Tenant>>>;

/// What a hub has that serves.
struct Work {
    runtime: tokio::runtime::Handle,
    retention: Retention,
    /// Of the thread that keeps ledgers within their bounds.
    upkeep: Arc<Ticker>,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sqlite({})", self.folder.display())
    }
}

/// A tenant whose ledger is open.
struct Tenant {
    ledger: PathBuf,
    app: Arc<App>,
    writer: Arc<Writer>,
    waiting: Arc<Mutex<Vec<Waiting>>>,
}

/// What to do where a hub has what is to go.
const RUNS: &str = "nothing was deleted, and no token revoked: stop the hub, erase, and start it again; devices keep \
     what they have to say until then";

/// A delivery that waits for its transaction.
struct Waiting {
    delivery: Delivery,
    done: Done,
}

impl Sqlite {
    /// Opens the folder for its tokens, and to look at it.
    pub(crate) fn open(folder: &Path, config: &Config, known: Known) -> Result<Self> {
        let tokens = Mutex::new(TokenFile::open(&folder.join("tokens.db"))?);
        Ok(Self {
            folder: folder.to_path_buf(),
            config: config.clone(),
            known,
            work: None,
            tokens,
            tenants: Arc::default(),
        })
    }

    /// The same for a hub on the present runtime, with the ledgers of all tenants that there are, and a
    /// thread that keeps them within their bounds.
    pub(crate) fn serving(self) -> Result<Self> {
        let settings = UpkeepSettings::of_hub(&self.config)?;
        let upkeep = Arc::new(settings.ticker());
        let work = Work {
            runtime: tokio::runtime::Handle::current(),
            retention: settings.retention,
            upkeep: Arc::clone(&upkeep),
        };
        let store = Self { work: Some(work), ..self };
        // Who has left has no ledger, and need not have one again.
        let is_there =
            |token: &HubToken| token.revoked_at.is_none() || store.ledger(&token.tenant).exists();
        for token in store.tokens()?.into_iter().filter(is_there) {
            drop(store.tenant(&token.tenant)?);
        }
        let tenants = Arc::clone(&store.tenants);
        keep_up(Upkeep { settings, ledgers: Box::new(move || kept(&tenants)), ticker: upkeep })?;
        Ok(store)
    }

    fn ledger(&self, tenant: &str) -> PathBuf {
        file_of(&self.folder, tenant)
    }

    fn tenant(&self, name: &Text) -> Result<Arc<Tenant>> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = tenants.get(name) {
            return Ok(Arc::clone(tenant));
        }
        anyhow::ensure!(is_name(name), "`{name}` does not name a tenant");
        let work = self.work.as_ref().context("only the hub opens ledgers")?;
        let _entered = work.runtime.enter();
        let options = OpenOptions { retention: Some(work.retention), ..OpenOptions::default() };
        let tenant = Tenant::open(&self.ledger(name), options, &self.config, &self.known)?;
        let tenant = Arc::new(tenant);
        tenants.insert(Text::clone(name), Arc::clone(&tenant));
        Ok(tenant)
    }
}

/// The ledgers that are open, to be kept within their bounds.
fn kept(tenants: &Tenants) -> Vec<OpenLedger> {
    let tenants = tenants.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = |tenant: &Arc<Tenant>| OpenLedger {
        path: tenant.ledger.clone(),
        writer: Arc::clone(&tenant.writer),
    };
    tenants.values().map(kept).collect()
}

/// The ledger file of a tenant.
fn file_of(folder: &Path, tenant: &str) -> PathBuf {
    folder.join("tenants").join(format!("{tenant}.db"))
}

/// The ledger file of a tenant, where the store is on this machine.
pub(crate) fn ledger_of(config: &Config, tenant: &str) -> Result<PathBuf> {
    anyhow::ensure!(is_name(tenant), "`{tenant}` does not name a tenant");
    let ledger = file_of(&super::Place::of(config)?.folder()?, tenant);
    anyhow::ensure!(
        ledger.exists(),
        "nothing was told of `{tenant}`: {} is not there",
        ledger.display()
    );
    Ok(ledger)
}

impl Store for Sqlite {
    fn keep(&self, tenant: &Text, delivery: Delivery, done: Done) {
        match self.tenant(tenant) {
            Ok(tenant) => tenant.keep(delivery, done),
            Err(error) => done(Err(Unavailable(format!("{error:#}")))),
        }
    }

    fn reading(&self, tenant: &Text) -> Result<Arc<App>> {
        Ok(Arc::clone(&self.tenant(tenant)?.app))
    }

    fn tokens(&self) -> Result<Vec<HubToken>> {
        Ok(self.tokens.lock().unwrap_or_else(PoisonError::into_inner).all()?)
    }

    fn tokens_version(&self) -> Result<Option<i64>> {
        Ok(Some(self.tokens.lock().unwrap_or_else(PoisonError::into_inner).version()?))
    }

    fn put_tokens(&self, tokens: &[HubToken]) -> Result<()> {
        let file = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tokens.iter().try_for_each(|token| file.put(token))?)
    }

    fn erase(&self, tenant: &str, device: Option<&str>, revoked: &[HubToken]) -> Result<()> {
        let path = self.ledger(tenant);
        // Held until all is gone, so that no hub takes anything meanwhile.
        let ledger = path.exists().then(|| Ledger::open(&path, OpenOptions::default())).transpose();
        let ledger = ledger.map_err(|error| {
            let is_held = matches!(error, LedgerError::Locked { .. });
            let error = anyhow::Error::from(error);
            if is_held { error.context(RUNS) } else { error }
        })?;
        self.put_tokens(revoked)?;
        match (ledger, device) {
            (Some(mut ledger), Some(device)) => {
                ledger.forget_device(device)?;
                Ok(())
            }
            (Some(ledger), None) => Ok(ledger.delete()?),
            (None, _) => Ok(()),
        }
    }

    fn look(&self) -> Vec<Look> {
        let mut looks = vec![Look {
            name: "store",
            is_ok: true,
            what: format!("SQLite in {}", self.folder.display()),
        }];
        let tenants: BTreeSet<Text> = match self.tokens() {
            Ok(tokens) => tokens.into_iter().map(|token| token.tenant).collect(),
            Err(error) => {
                looks.push(Look { name: "tokens", is_ok: false, what: format!("{error:#}") });
                return looks;
            }
        };
        for tenant in tenants {
            looks.push(look(&tenant, &self.ledger(&tenant)));
        }
        looks
    }

    fn close(&self, patience: Duration) -> bool {
        if let Some(work) = &self.work {
            work.upkeep.stop();
        }
        let tenants =
            std::mem::take(&mut *self.tenants.lock().unwrap_or_else(PoisonError::into_inner));
        let mut is_all_closed = true;
        for (name, tenant) in tenants {
            tenant.app.end();
            let is_closed = tenant.writer.close(patience).is_some();
            if !is_closed {
                tracing::error!(tenant = &*name, "ledger_not_closed");
            }
            is_all_closed &= is_closed;
        }
        is_all_closed
    }
}

/// How the ledger of a tenant is.
fn look(tenant: &str, path: &Path) -> Look {
    let checked = || -> Result<String> {
        let Some(reader) = Reader::open(path)? else {
            return Ok("nothing told yet".to_owned());
        };
        let devices = reader.devices()?;
        let check = reader.check()?;
        let wrong: Vec<String> = check.damage.into_iter().chain(check.wrong_sums).collect();
        anyhow::ensure!(wrong.is_empty(), "{}; restore it from a backup", wrong.join("; "));
        Ok(format!("{} devices, every sum is that of its calls", devices.len()))
    };
    let (is_ok, what) = match checked() {
        Ok(what) => (true, what),
        Err(error) => (false, format!("{error:#}")),
    };
    Look { name: "tenant", is_ok, what: format!("{tenant}: {what}") }
}

impl Tenant {
    fn open(path: &Path, options: OpenOptions, config: &Config, known: &Known) -> Result<Self> {
        let ledger = Ledger::open(path, options)?;
        let reader = Reader::open(path)?.context("the ledger has vanished")?;
        let writer = Arc::new(Writer::spawn(ledger, Limits::default(), clock::now)?);
        let kept = Keeping::in_ledger(path.to_path_buf());
        let app = App::of_tenant(config, kept, &reader, Arc::clone(&writer), known.clone())?;
        Ok(Self { ledger: path.to_path_buf(), app, writer, waiting: Arc::default() })
    }

    fn keep(&self, delivery: Delivery, done: Done) {
        let lock = |waiting: &Mutex<Vec<Waiting>>| {
            std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(Waiting { delivery, done });
        if waiting.len() > 1 {
            // Whoever came first has had a transaction begun, which takes all that wait then.
            return;
        }
        drop(waiting);
        let (all, writer) = (Arc::clone(&self.waiting), Arc::downgrade(&self.writer));
        let is_started = self.writer.start(move |ledger| {
            let has_changed = write(ledger, lock(&all));
            if let Some(writer) = writer.upgrade().filter(|_| has_changed) {
                writer.tell_of_change();
            }
        });
        if !is_started {
            for Waiting { done, .. } in lock(&self.waiting) {
                done(Err(Unavailable("the hub is ending".to_owned())));
            }
        }
    }
}

/// Writes deliveries in one transaction, or each alone where that fails: one that can never be written
/// takes nobody with it. Whether the account has changed.
fn write(ledger: &mut Ledger, waiting: Vec<Waiting>) -> bool {
    let (deliveries, dones): (Vec<_>, Vec<_>) =
        waiting.into_iter().map(|one| (one.delivery, one.done)).unzip();
    let mut has_changed = false;
    let mut tell = |done: Done, result: Result<Delivered, LedgerError>| {
        let kept = result.map(|delivered| match delivered {
            Delivered::Taken { accepted, duplicates, known, newest_at, is_replay } => {
                has_changed |= accepted > 0 && !is_replay;
                Kept::Taken {
                    accepted,
                    duplicates: Some(duplicates),
                    known,
                    newest_at,
                    is_replay,
                    refused: Vec::new(),
                }
            }
            Delivered::Conflict => Kept::Conflict,
        });
        done(kept.map_err(|error| {
            tracing::warn!(error = error.to_string(), "delivery_not_written");
            Unavailable("the store cannot be written".to_owned())
        }));
    };
    match ledger.deliver(&deliveries, clock::now()) {
        Ok(delivered) => {
            dones.into_iter().zip(delivered).for_each(|(done, one)| tell(done, Ok(one)));
        }
        Err(error) if deliveries.len() == 1 || error.is_transient() => {
            let error = error.to_string();
            tracing::warn!(error, deliveries = deliveries.len(), "deliveries_not_written");
            for done in dones {
                done(Err(Unavailable("the store cannot be written now".to_owned())));
            }
        }
        Err(_) => {
            for (done, delivery) in dones.into_iter().zip(deliveries) {
                let result = ledger.deliver(std::slice::from_ref(&delivery), clock::now());
                tell(done, result.map(|mut one| one.pop().unwrap_or(Delivered::Conflict)));
            }
        }
    }
    has_changed
}
