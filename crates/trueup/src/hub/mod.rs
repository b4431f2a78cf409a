//! `trueup hub`: the receiver of a fleet.
//!
//! Devices push to it what their sidecars keep; each is known by a token of its own, which also says
//! whose account it is. What a device is told is taken is in the store for good. Questions about a
//! tenant's account are answered as those about a sidecar's own are, by the same code, to whoever has a
//! token that opens it.
//!
//! Nothing here is remembered between requests but what the store has: any number of receivers may
//! stand before one store, if the store bears it.

mod clickhouse;
mod counts;
mod ingest;
pub(crate) mod openapi;
mod read;
mod record;
mod request;
mod settings;
mod sqlite;
mod store;
mod tokens;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use trueup_clickhouse::Address;
use trueup_core::HubToken;

use crate::api::{Known, Problem};
use crate::config::Config;
use crate::daemon::{Limits, Server, Signals, bind};
use clickhouse::ClickHouse;
pub(crate) use clickhouse::{Priced, Reading, Sum, Tenant, facts_between};
use counts::Counts;
use settings::{Place, Settings};
use sqlite::Sqlite;
pub(crate) use sqlite::ledger_of;
pub(crate) use store::Store;
use tokens::Tokens;
pub(crate) use tokens::{create as create_token, is_name};

/// Connections at once.
const CONNECTIONS_MAX: usize = 4_096;
/// How long the end waits for requests under way.
const REQUESTS_PATIENCE: Duration = Duration::from_secs(5);
/// How long the end waits for what is to be written.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// Largest bodies that are held at once, packed.
const BODIES_IN_FLIGHT_MAX: usize = 2;
/// Bodies that are unpacked and read at once: each takes several times its size.
const PARSED_AT_ONCE: usize = 2;
/// Threads for what would keep others waiting.
const BLOCKING_THREADS_MAX: usize = 8;
/// Batches in a second that one receiver should get, whatever the number of devices: a fraction of what
/// it can take, so that there is room for a burst.
const BATCHES_PER_SECOND: usize = 200;
/// Longest time between two pushes that is asked for.
const PUSH_SECONDS_MAX: u64 = 3_600;

/// A hub that serves.
pub(crate) struct Hub {
    settings: Settings,
    store: Arc<dyn Store>,
    tokens: Tokens,
    counts: Counts,
    /// One permit for each byte of a body that may be held.
    bodies: Arc<Semaphore>,
    parsing: Semaphore,
    readers: read::Readers,
    start: Instant,
}

/// The store that is set, for its tokens and to look at it.
pub(crate) fn open(config: &Config, known: Known) -> Result<Box<dyn Store>> {
    Ok(match Place::of(config)? {
        Place::Folder(folder) => Box::new(Sqlite::open(&folder, config, known)?),
        Place::ClickHouse(address) => Box::new(ClickHouse::open(*address)),
    })
}

/// Serves until it is told to stop.
pub(crate) fn serve(config: &Config, known: Known) -> Result<ExitCode> {
    let settings = Settings::of(config)?;
    crate::daemon::start_log(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
    let code = runtime.block_on(run(config, settings, known));
    // Without waiting: what is still running is stuck, and safe to leave.
    runtime.shutdown_background();
    code
}

async fn run(config: &Config, settings: Settings, known: Known) -> Result<ExitCode> {
    let mut signals = Signals::new()?;
    let listener = bind(settings.address).await?;
    let address = listener.local_addr()?;
    let store: Arc<dyn Store> = match &settings.place {
        Place::Folder(folder) => Arc::new(Sqlite::open(folder, config, known)?.serving()?),
        Place::ClickHouse(address) => {
            let store = ClickHouse::open(Address::clone(address));
            Arc::new(store.serving(config, known, settings.retention)?)
        }
    };
    let place = settings.place.to_string();
    let hub = Hub::new(settings, Arc::clone(&store));
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(addr = %address, store = place, version, "listening");
    if !address.ip().to_canonical().is_loopback() {
        tracing::warn!("not_encrypted: put a proxy with a certificate before it");
    }
    let limits = Limits { connections_max: CONNECTIONS_MAX, ..Limits::default() };
    if let Some(tenant) = config.text("hub_bills") {
        // Whether anybody asks or not: its providers are to be asked.
        hub.readers.open(&hub, &tenant.into())?;
    }
    let server = Server::start(vec![listener], &router(Arc::clone(&hub)), limits);
    let reason = signals.next().await;
    tracing::info!(signal = reason, "stopping");
    hub.readers.end();
    let end = async {
        server.stop(REQUESTS_PATIENCE).await;
        tokio::task::spawn_blocking(move || store.close(CLOSE_PATIENCE)).await.unwrap_or(false)
    };
    let is_clean = tokio::select! {
        is_clean = end => is_clean,
        reason = signals.next() => {
            tracing::warn!(signal = reason, "stopped_at_once");
            false
        }
    };
    if is_clean {
        tracing::info!("stopped");
        return Ok(ExitCode::SUCCESS);
    }
    tracing::error!("stopped_with_loss");
    Ok(ExitCode::FAILURE)
}

fn router(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/v1/ingest", post(ingest::post))
        .route("/api/traces/ingest", post(ingest::post))
        .route("/health", get(read::health))
        .route("/metrics", get(read::metrics))
        .fallback(read::get)
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .with_state(hub)
}

impl Hub {
    fn new(settings: Settings, store: Arc<dyn Store>) -> Arc<Self> {
        let bytes_in_flight_max = settings.body_bytes_max.saturating_mul(BODIES_IN_FLIGHT_MAX);
        Arc::new(Self {
            tokens: Tokens::new(Arc::clone(&store)),
            store,
            counts: Counts::default(),
            bodies: Arc::new(Semaphore::new(bytes_in_flight_max)),
            parsing: Semaphore::new(PARSED_AT_ONCE),
            readers: read::Readers::default(),
            start: Instant::now(),
            settings,
        })
    }

    /// The token that a request shows.
    fn shown(&self, headers: &HeaderMap) -> Result<HubToken, Problem> {
        match self.tokens.shown(headers) {
            Ok(Some(token)) => Ok(token),
            Ok(None) => {
                let message =
                    "send a token of this hub that is not revoked: `Authorization: Bearer …`";
                Err(Problem::new(StatusCode::UNAUTHORIZED, message)
                    .with(header::WWW_AUTHENTICATE, "Bearer"))
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "tokens_not_read");
                Err(Problem::busy("the tokens cannot be read now; try again"))
            }
        }
    }

    /// When a device should send again: all of them together at no more than [`BATCHES_PER_SECOND`].
    fn next_push_seconds(&self) -> u64 {
        let least = self.settings.push_interval.as_secs();
        let spread = self.tokens.devices().div_ceil(BATCHES_PER_SECOND);
        least.max(u64::try_from(spread).unwrap_or(u64::MAX)).min(PUSH_SECONDS_MAX)
    }
}
