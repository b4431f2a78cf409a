//! `trueup serve`: the process that listens, keeps the account up to date, and ends in order.
//!
//! Made of a [`Writer`] with a thread of its own, a thread that watches the agents' stores, one that
//! takes samples of the machine, one that follows a gateway log where one is set, one that asks providers
//! where any is connected, one that looks at budgets where any is set, and one tokio thread that answers
//! HTTP and never touches the disk. What is acknowledged as durable is in the file; what ends the
//! process, however suddenly, takes only what was not.

mod alerts;
mod gateway_log;
mod host;
mod listen;
mod log;
mod monitor;
mod otlp;
mod pull;
mod push;
mod settings;
mod upkeep;
mod watch;

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use trueup_core::prices::PriceBook;
use trueup_ledger::{CHECKPOINT_PATIENCE, Ledger, OpenOptions, Reader, Writer, WriterState};

use crate::api::{self, App, Counts, CronDoor, Guard, Known};
use crate::clock;
use crate::config::Config;
use crate::push::{DESTINATION, Pusher};
use crate::question::Question;
use crate::sync::Stores;
use crate::telemetry::products::{Products, SHUTDOWN_MAX as TELEMETRY_PATIENCE};
use crate::ticker::Ticker;
pub(crate) use alerts::{Alerts, BudgetSeen, Seen as AlertsSeen, check as check_alerts};
pub(crate) use gateway_log::GatewayLog;
pub(crate) use host::Host;
pub(crate) use listen::{Limits, Server, bind};
pub(crate) use otlp::{Counting, FORWARDED, Forward, Passed, Settings as OtlpSettings};
pub(crate) use pull::{Pull, Seen as PullSeen};
pub(crate) use push::{Push, Seen as PushSeen};
pub(crate) use settings::{Settings, interval};
pub(crate) use upkeep::{
    OpenLedger, Settings as UpkeepSettings, Task as Upkeep, days,
    provider_days as provider_retention_days, spawn as keep_up,
};
pub(crate) use watch::Watch;

/// How long the end waits for requests under way.
const REQUESTS_PATIENCE: Duration = Duration::from_secs(2);
/// How long the end waits for what is left to be sent.
const PUSH_PATIENCE: Duration = Duration::from_secs(4);
/// How long the end waits for what is queued to be written.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);
/// What the whole end may take: what supervisors grant before they kill.
const END_MAX: Duration = Duration::from_secs(15);

const _: () = assert!(
    REQUESTS_PATIENCE.as_millis()
        + TELEMETRY_PATIENCE.as_millis()
        + PUSH_PATIENCE.as_millis()
        + DRAIN_PATIENCE.as_millis()
        + CHECKPOINT_PATIENCE.as_millis()
        < END_MAX.as_millis()
);

/// Threads for what takes longer than a request may keep the others waiting: large bodies, and sums
/// out of the ledger.
const BLOCKING_THREADS_MAX: usize = 4;

/// Starts to log, as much as is set.
pub(crate) fn start_log(config: &Config) -> Result<()> {
    log::start(settings::level(config)?);
    Ok(())
}

/// Serves until it is told to stop, and answers `questions` beside its own.
pub(crate) fn serve(
    config: &Config,
    book: PriceBook,
    questions: &'static [Question],
) -> Result<ExitCode> {
    let settings = Settings::of(config)?;
    log::start(settings.log_level);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
    // Before the ledger, so that a port that is taken leaves nothing behind.
    let listener = runtime.block_on(bind(settings.address))?;
    let code = runtime.block_on(run(listener, config, settings, Known { book, questions }));
    // Without waiting: what is still running is stuck, and safe to leave.
    runtime.shutdown_background();
    code
}

async fn run(
    listener: TcpListener,
    config: &Config,
    settings: Settings,
    known: Known,
) -> Result<ExitCode> {
    let mut signals = Signals::new()?;
    let address = listener.local_addr()?;
    let ledger = settings.ledger.display().to_string();
    let is_secret_short = matches!(settings.cron, CronDoor::TooShort);
    let Keeping { app, writer, tickers, push, telemetry } =
        keep(config, settings, known, address.ip())?;
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(addr = %address, ledger, version, "listening");
    if is_secret_short {
        tracing::warn!("cron_secret_too_short");
    }
    let router = api::router(Arc::clone(&app));
    api::push_by_otlp(&app);
    let mut listeners = vec![listener];
    listeners.extend(otlp::listeners(address.ip(), &app.otlp_ports()).await);
    let server = Server::start(listeners, &router, Limits::default());
    let reason = tokio::select! {
        reason = signals.next() => reason,
        () = monitor::run(Arc::clone(&writer)) => "nothing",
    };
    tracing::info!(signal = reason, "stopping");
    for ticker in tickers {
        ticker.stop();
    }
    app.end();
    tokio::select! {
        is_clean = end(server, Arc::clone(&writer), push, telemetry) => {
            Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        reason = signals.next() => {
            tracing::warn!(signal = reason, "stopped_at_once");
            writer.abandon();
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What keeps the account, and what tells of it.
struct Keeping {
    app: Arc<App>,
    writer: Arc<Writer>,
    /// One for each thread that waits.
    tickers: Vec<Arc<Ticker>>,
    push: Arc<Push>,
    telemetry: Arc<Products>,
}

/// Opens the ledger and starts the threads that fill it.
fn keep(config: &Config, mut settings: Settings, known: Known, address: IpAddr) -> Result<Keeping> {
    let retention = Some(settings.upkeep.retention);
    let options = OpenOptions { retention, ..OpenOptions::default() };
    let mut ledger = Ledger::open(&settings.ledger, options)?;
    match &settings.push {
        Some(push) => ledger.activate(DESTINATION, &push.shown_endpoint())?,
        None => ledger.deactivate(DESTINATION)?,
    }
    let reader = Reader::open(&settings.ledger)?.context("the ledger has vanished")?;
    let counts = Counts::new(&reader)?;
    let writer = Arc::new(Writer::spawn(ledger, settings.queue, clock::now)?);
    let (ticker, notice) = watch::ticker(settings.sync_interval);
    let mut tickers = vec![Arc::clone(&ticker)];
    let gateway_log = match &settings.log_path {
        Some(path) => {
            let ticker = Arc::new(Ticker::new(gateway_log::INTERVAL));
            tickers.push(Arc::clone(&ticker));
            let task = gateway_log::Task::new(path, &reader, Arc::clone(&writer), ticker)?;
            let log = Arc::clone(&task.log);
            gateway_log::spawn(task)?;
            Some(log)
        }
        None => None,
    };
    let watch = Arc::new(Watch::default());
    watch::spawn(watch::Task {
        stores: Stores::of_all(&config.environment),
        threads: settings.threads,
        writer: Arc::clone(&writer),
        reader,
        ticker,
        notice,
        watch: Arc::clone(&watch),
    })?;
    let upkeep = Arc::new(settings.upkeep.ticker());
    tickers.push(Arc::clone(&upkeep));
    let (own, ledger) = (Arc::clone(&writer), settings.ledger.clone());
    let ledgers = move || vec![OpenLedger { path: ledger.clone(), writer: Arc::clone(&own) }];
    upkeep::spawn(upkeep::Task {
        settings: settings.upkeep,
        ledgers: Box::new(ledgers),
        ticker: upkeep,
    })?;
    let host = Arc::new(Host::default());
    if let Some(interval) = settings.metrics_interval {
        let ticker = Arc::new(Ticker::new(interval));
        tickers.push(Arc::clone(&ticker));
        host::spawn(host::Task {
            ledger: settings.ledger.clone(),
            writer: Arc::clone(&writer),
            ticker,
            host: Arc::clone(&host),
        })?;
    }
    let push = start_push(&settings, &writer)?;
    let pull = match settings.pull_interval {
        None if !settings.cron.is_open() => Arc::default(),
        interval => Pull::start(config, &writer, interval)?,
    };
    let alerts = start_alerts(&settings, &writer, &known.book, &watch, &mut tickers)?;
    let forward = match &settings.otlp.forward {
        Some(base) => {
            let ticker = Arc::new(Ticker::new(Duration::ZERO));
            tickers.push(Arc::clone(&ticker));
            Some(Forward::start(base, ticker)?)
        }
        None => None,
    };
    let guard = Guard::new(settings.token.clone(), address);
    let telemetry = Products::open(std::mem::take(&mut settings.telemetry), config);
    let telemetry = Arc::new(telemetry);
    let threads = api::Threads {
        watch,
        host,
        gateway_log,
        push: Arc::clone(&push),
        pull,
        alerts,
        telemetry: Arc::clone(&telemetry),
        forward,
    };
    let own = config.clone().kept_here();
    let app = App::new((settings, own), guard, Arc::clone(&writer), threads, counts, known);
    Ok(Keeping { app, writer, tickers, push, telemetry })
}

/// Starts the thread that sends, where there is a destination.
fn start_push(settings: &Settings, writer: &Arc<Writer>) -> Result<Arc<Push>> {
    let push = Arc::new(Push::default());
    let Some(to) = &settings.push else { return Ok(push) };
    if to.is_in_the_clear() {
        tracing::warn!(endpoint = to.shown_endpoint(), "push_not_encrypted");
    }
    let reader = Reader::open(&settings.ledger)?.context("the ledger has vanished")?;
    push::spawn(push::Task {
        pusher: Pusher::new(Arc::clone(writer), reader, to)?,
        writer: Arc::clone(writer),
        interval: to.interval,
        push: Arc::clone(&push),
    })?;
    Ok(push)
}

/// Starts the thread that looks at budgets, where any is set.
fn start_alerts(
    settings: &Settings,
    writer: &Arc<Writer>,
    book: &PriceBook,
    watch: &Arc<Watch>,
    tickers: &mut Vec<Arc<Ticker>>,
) -> Result<Arc<Alerts>> {
    let alerts = Arc::new(Alerts::default());
    let Some(of_alerts) = &settings.alerts else { return Ok(alerts) };
    let ticker = Arc::new(Ticker::new(of_alerts.interval));
    tickers.push(Arc::clone(&ticker));
    alerts::spawn(alerts::Task {
        settings: of_alerts.clone(),
        ledger: settings.ledger.clone(),
        writer: Arc::clone(writer),
        book: book.clone(),
        watch: Arc::clone(watch),
        ticker,
        alerts: Arc::clone(&alerts),
    })?;
    Ok(alerts)
}

/// Finishes the requests under way, sends and writes what is queued and closes the ledger. `false` where
/// something could not be written in time.
async fn end(
    server: Server,
    writer: Arc<Writer>,
    push: Arc<Push>,
    telemetry: Arc<Products>,
) -> bool {
    let start = Instant::now();
    server.stop(REQUESTS_PATIENCE).await;
    let (told, is_closed) = tokio::sync::oneshot::channel();
    let close = move || {
        push.end(PUSH_PATIENCE);
        let ledger = writer.close(DRAIN_PATIENCE);
        // Last: a folder of a product that hangs costs nobody's records.
        telemetry.shut_down();
        let _is_awaited = told.send((ledger.is_some(), writer.health())).is_ok();
    };
    let Ok(_thread) = std::thread::Builder::new().name("closer".into()).spawn(close) else {
        tracing::error!("not_closed");
        return false;
    };
    let Ok((is_closed, health)) = is_closed.await else { return false };
    let lost = health.queue_depth as u64 + health.given_up;
    if is_closed && health.state == WriterState::Ok && lost == 0 {
        tracing::info!(ms = as_ms(start.elapsed()), "stopped");
        return true;
    }
    tracing::error!(ms = as_ms(start.elapsed()), lost, state = ?health.state, "stopped_with_loss");
    false
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What tells the process to end.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Waits for them from now on, on the present runtime.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
