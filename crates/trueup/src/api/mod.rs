//! The daemon's HTTP interface: who may ask, what is asked, and what is answered.
//!
//! Nothing here waits for the disk: posts are queued, health is read from memory, and sums are read
//! out of the ledger on another thread, one reader at a time.

mod acks;
mod admit;
mod counts;
mod cron;
mod dashboard;
mod durations;
mod guard;
mod health;
mod ledger;
mod metrics;
mod otlp;
mod packed;
mod post;
mod printed;
mod problem;
mod push;
mod report;
mod telemetry;
mod v1;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use trueup_core::UnixMs;
use trueup_core::prices::PriceBook;
use trueup_ledger::{Reader, Writer};

use acks::Acks;
pub(crate) use admit::{Admitted, Limits as BodyLimits, read as read_body};
pub(crate) use counts::Counts;
pub(crate) use cron::{CronDoor, Peer};
use durations::Durations;
pub(crate) use guard::{Guard, Token, shown_secret};
pub(crate) use metrics::{Exposition, Type, push_by_otlp};
pub(crate) use packed::{Packing, Unpacked, plain as inflated};
pub(crate) use problem::Problem;

use crate::clock;
use crate::config::Config;
use crate::daemon::{Alerts, Forward, GatewayLog, Host, Pull, Push, Settings, Watch};
use crate::hub::Tenant;
use crate::intake::Kind;
use crate::question::Question;
use crate::telemetry::products::Products;
use crate::usage::Keeping;

/// Largest bodies that are held at once, in `serve`.
const BODIES_IN_FLIGHT_MAX: usize = 2;

/// What answers are made of.
pub(crate) struct App {
    settings: Settings,
    guard: Guard,
    writer: Arc<Writer>,
    threads: Threads,
    counts: Counts,
    /// The settings, for verbs.
    config: Config,
    known: Known,
    start: Instant,
    start_time: UnixMs,
    acks: Arc<Acks>,
    /// One permit for each byte of a body that may be held.
    bodies: Arc<Semaphore>,
    /// How often each address asks for the daily pull.
    cron_limiter: cron::Limiter,
    /// One permit, where one thread at a time reads.
    reading: Arc<Semaphore>,
    /// One permit for each file that is being written for a client.
    exports: Arc<Semaphore>,
    telemetry: telemetry::Intake,
    otlp: otlp::Intake,
    durations: Durations,
    live: v1::Live,
    kept: Keeping,
    /// Whether it is a tenant's, on a hub.
    is_hub: bool,
}

/// What answers are looked up in.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) book: PriceBook,
    /// What verbs answer.
    pub(crate) questions: &'static [Question],
}

/// What the daemon's threads tell of their work.
pub(crate) struct Threads {
    pub(crate) watch: Arc<Watch>,
    pub(crate) host: Arc<Host>,
    /// `None` where no log is followed.
    pub(crate) gateway_log: Option<Arc<GatewayLog>>,
    pub(crate) push: Arc<Push>,
    pub(crate) pull: Arc<Pull>,
    pub(crate) alerts: Arc<Alerts>,
    /// One for each product that has recorded something.
    pub(crate) telemetry: Arc<Products>,
    /// `None` where no collector is to see what comes by OpenTelemetry.
    pub(crate) forward: Option<Arc<Forward>>,
}

impl App {
    /// An application that has just started, on the present runtime.
    pub(crate) fn new(
        own: (Settings, Config),
        guard: Guard,
        writer: Arc<Writer>,
        threads: Threads,
        counts: Counts,
        known: Known,
    ) -> Arc<Self> {
        Arc::new(Self::alone(own, guard, writer, threads, counts, known))
    }

    fn alone(
        (settings, config): (Settings, Config),
        guard: Guard,
        writer: Arc<Writer>,
        threads: Threads,
        counts: Counts,
        known: Known,
    ) -> Self {
        let bytes_in_flight_max = settings.body_bytes_max.saturating_mul(BODIES_IN_FLIGHT_MAX);
        Self {
            is_hub: false,
            telemetry: telemetry::Intake::new(Arc::clone(&threads.telemetry)),
            otlp: otlp::Intake::new(&settings.otlp),
            durations: Durations::default(),
            live: v1::Live::of(&writer),
            kept: Keeping::in_ledger(settings.ledger.clone()),
            settings,
            guard,
            writer,
            threads,
            counts,
            config,
            known,
            start: Instant::now(),
            start_time: clock::now(),
            acks: Acks::start(),
            bodies: Arc::new(Semaphore::new(bytes_in_flight_max)),
            cron_limiter: cron::Limiter::default(),
            reading: Arc::new(Semaphore::new(1)),
            exports: Arc::new(Semaphore::new(v1::EXPORTS_MAX)),
        }
    }

    /// What answers questions about the account that a hub keeps for a tenant. Who may ask is decided by
    /// the hub.
    pub(crate) fn of_tenant(
        config: &Config,
        kept: Keeping,
        reader: &Reader,
        writer: Arc<Writer>,
        known: Known,
    ) -> anyhow::Result<Arc<Self>> {
        // Where `serve` would listen does not matter here.
        let config = config.clone().with("bind", Ipv4Addr::LOCALHOST.to_string());
        let config = config.of_tenant(&kept);
        let settings = Settings::of(&config)?;
        let pull = match settings.pull_interval {
            interval @ Some(_) if config.has_bills => Pull::start(&config, &writer, interval)?,
            _ => Arc::default(),
        };
        let threads = Threads {
            watch: Arc::default(),
            host: Arc::default(),
            gateway_log: None,
            push: Arc::default(),
            pull,
            alerts: Arc::default(),
            telemetry: Arc::default(),
            forward: None,
        };
        let guard = Guard::new(None, Ipv4Addr::UNSPECIFIED.into());
        let counts = Counts::new(reader)?;
        let reading = kept.tenant().map_or_else(|| Arc::new(Semaphore::new(1)), Tenant::questions);
        Ok(Arc::new(Self {
            is_hub: true,
            reading,
            kept,
            ..Self::alone((settings, config), guard, writer, threads, counts, known)
        }))
    }

    /// Ports that exporters know, to be listened on beside the own one.
    pub(crate) fn otlp_ports(&self) -> Vec<u16> {
        self.settings.otlp.ports.clone()
    }

    /// Ends what would go on for ever: streams, and the thread that asks providers.
    pub(crate) fn end(&self) {
        self.live.end();
        self.threads.pull.end();
    }
}

/// The paths of questions about the account.
fn reading() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/report", get(report::get))
        .route("/", get(dashboard::get))
        .route("/assets/{name}", get(dashboard::get))
        .merge(printed::routes())
        .merge(v1::routes())
}

/// The paths of questions about the account, for a hub.
pub(crate) fn reading_router(app: Arc<App>) -> Router {
    reading()
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .layer(from_fn_with_state(Arc::clone(&app), around))
        .with_state(app)
}

/// Every path.
pub(crate) fn router(app: Arc<App>) -> Router {
    let take = |kind: Kind| {
        post(move |State(app): State<Arc<App>>, request: Request| post::post(app, kind, request))
    };
    Router::new()
        .route("/v1/traces", take(Kind::Trace))
        .route("/v1/errors", take(Kind::Error))
        .route("/v1/events", take(Kind::Event))
        .route("/v1/push", post(push::post))
        .route(cron::PATH, get(cron::answer).post(cron::answer))
        .route(guard::HEALTH_PATH, get(health::get))
        .route("/metrics", get(metrics::get))
        .route("/", post(otlp::at_root))
        .merge(reading())
        .merge(otlp::routes())
        .merge(telemetry::routes())
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .layer(from_fn_with_state(Arc::clone(&app), around))
        .with_state(app)
}

/// What holds for every request: who may ask is decided first, and the answer is counted.
async fn around(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = counts::known_path(request.uri().path());
    let mut response = match app.guard.admit(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    // What may be kept says so itself.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    app.counts.answered(path, response.status().as_u16());
    response
}
