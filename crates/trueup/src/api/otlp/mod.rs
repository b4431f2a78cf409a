//! OpenTelemetry in: what agents and SDKs export, on the port of everything else.
//!
//! An exporter that is told 200 forgets what it sent, so it is told so only once all of it is in the
//! file; where that takes too long it is told to send it again, which changes nothing: each record has
//! a key of its own. What an export says is read by `trueup-otlp`; here is how it comes and is answered.
//!
//! ```text
//! POST /v1/traces    Content-Type: application/x-protobuf    Content-Encoding: gzip
//! ```

mod counts;
mod files;
mod grpc;
mod media;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use trueup_core::Fact;
use trueup_otlp::{Encoding, Export, Reading, Refusal, Signal, Text, answer, read, status};

use super::admit::{self, Admitted, Limits, Room};
use super::packed::{self, Unpacked};
use super::post::{PARSED_HERE_BYTES_MAX, feed_all};
use super::{App, Packing, Problem};
use crate::clock;
use crate::daemon::{OtlpSettings as Settings, Passed};
pub(super) use counts::{Counts, Seen, Summary};
use files::Files;
pub(super) use media::{Media, is_greeting, is_shape};

/// Largest body once it is unpacked: telemetry packs to about a tenth.
const INFLATED_BYTES_MAX: usize = 64 << 20;
/// How long an exporter waits for its records to be written: half of what exporters themselves wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// What takes exports.
#[derive(Debug)]
pub(super) struct Intake {
    /// What of prompts and completions is kept.
    text: Text,
    pub(super) counts: Counts,
    files: Files,
    /// One permit: large bodies and packed ones are read one at a time, so that only one is unpacked.
    reading: Semaphore,
}

impl Intake {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            text: settings.text,
            counts: Counts::default(),
            files: Files::of(settings),
            reading: Semaphore::new(1),
        }
    }
}

/// The paths of its own. `/v1/traces` it shares with the native API, which passes on what is OTLP.
pub(super) fn routes() -> Router<Arc<App>> {
    let take = |signal: Signal| {
        post(async move |State(app): State<Arc<App>>, request: Request| {
            export(app, Some(signal), request).await
        })
    };
    let mut router = Router::new()
        .route("/v1/logs", take(Signal::Logs))
        .route("/v1/metrics", take(Signal::Metrics));
    for signal in Signal::ALL {
        // Where Langfuse takes them, whose users change only the host.
        router = router.route(&format!("/api/public/otel/v1/{}", signal.name()), take(signal));
        router = router.route(&grpc::path(signal), grpc::service(signal));
    }
    router
}

/// `POST /`: some exporters are given an address without a path, and do not add theirs.
pub(super) async fn at_root(State(app): State<Arc<App>>, request: Request) -> Response {
    export(app, None, request).await
}

/// Takes an export over HTTP.
pub(super) async fn export(app: Arc<App>, expected: Option<Signal>, request: Request) -> Response {
    let media = match Media::of(request.headers()) {
        Ok(media) => media,
        Err(problem) => {
            let encoding = media::encoding(request.headers()).unwrap_or(Encoding::Json);
            return refuse(&app, encoding, Refused::of("media", problem));
        }
    };
    let limits = Limits::new(app.settings.body_bytes_max, Arc::clone(&app.bodies));
    let is_greeting = media.encoding == Encoding::Json && is_greeting(request.headers(), b"");
    match admit::read(&limits, request).await {
        Ok(Admitted { bytes, .. }) if bytes.is_empty() && is_greeting => {
            taken(media.encoding, expected.unwrap_or(Signal::Traces), 0)
        }
        Ok(admitted) => of_body(&app, media, expected, admitted).await,
        Err(problem) => refuse(&app, media.encoding, Refused::of("body", problem)),
    }
}

/// Takes a body that has been read.
pub(super) async fn of_body(
    app: &Arc<App>,
    media: Media,
    expected: Option<Signal>,
    Admitted { bytes, room }: Admitted,
) -> Response {
    match take(app, media, expected, bytes, room).await {
        Ok((signal, rejected)) => taken(media.encoding, signal, rejected),
        Err(refused) => refuse(app, media.encoding, refused),
    }
}

/// An export that is not taken.
struct Refused {
    /// A short name for counters.
    reason: &'static str,
    problem: Problem,
}

impl Refused {
    const fn of(reason: &'static str, problem: Problem) -> Self {
        Self { reason, problem }
    }
}

impl From<Unpacked> for Refused {
    fn from(unpacked: Unpacked) -> Self {
        let reason = match unpacked {
            Unpacked::TooLarge(_) => "inflated",
            Unpacked::Damaged(_) => "packing",
        };
        Self::of(reason, unpacked.into())
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let status = if refusal.is_of_size() {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        Self::of(refusal.reason(), Problem::new(status, refusal.to_string()))
    }
}

/// Reads an export, and waits until what it says is in the file. Says of which signal it was, and how
/// many of its records were refused.
async fn take(
    app: &Arc<App>,
    media: Media,
    expected: Option<Signal>,
    bytes: Vec<u8>,
    room: Room,
) -> Result<(Signal, u64), Refused> {
    let (bytes, mut export) = parse(app, media, expected, bytes).await?;
    files::leave_to(app, &mut export).await?;
    let Export { signal, rejected, .. } = export;
    app.otlp.counts.took(expected, &export);
    let calls = export.calls.into_iter().map(|call| Fact::Call(Box::new(call.call)));
    let errors = export.errors.into_iter().map(|error| Fact::Error(Box::new(error)));
    let metered = export.metered.into_iter().map(|metered| Fact::Metered(Box::new(metered)));
    let mut facts: Vec<Fact> = calls.chain(errors).chain(metered).collect();
    drop(room);
    app.durations.note(&facts);
    let is_written = timeout(PATIENCE, feed_all(app, &mut facts)).await;
    is_written
        .unwrap_or_else(|_| Err(Problem::busy("the records are not written yet; send them again")))
        .map_err(|problem| Refused::of("busy", problem))?;
    // Behind the answer of the ledger: what is sent again is handed on once.
    if let Some(forward) = app.threads.forward.as_ref().filter(|_| !media.is_passed) {
        forward.offer(Passed {
            signal: signal.name(),
            media: media_type(media.encoding),
            packing: media.packing.map(Packing::name),
            body: bytes,
        });
    }
    Ok((signal, rejected))
}

async fn parse(
    app: &Arc<App>,
    media: Media,
    expected: Option<Signal>,
    bytes: Vec<u8>,
) -> Result<(Vec<u8>, Export), Refused> {
    let text = app.otlp.text;
    let is_small = media.packing.is_none() && bytes.len() <= PARSED_HERE_BYTES_MAX;
    let parse = move || {
        let reading = Reading { now: clock::now(), text };
        let plain = packed::plain(&bytes, media.packing, INFLATED_BYTES_MAX)?;
        let export = read(&plain, media.encoding, expected, &reading)?;
        drop(plain);
        Ok((bytes, export))
    };
    if is_small {
        return parse();
    }
    let ending = || Refused::of("busy", Problem::busy("the process is ending; try again"));
    let _turn = app.otlp.reading.acquire().await.map_err(|_| ending())?;
    tokio::task::spawn_blocking(parse).await.map_err(|_| ending())?
}

const fn media_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    }
}

/// What an exporter is told of records that were refused.
const REJECTED: &str = "records with counts that cannot be; see trueup_otlp_problems_total";

fn taken(encoding: Encoding, signal: Signal, rejected: u64) -> Response {
    let why = if rejected > 0 { REJECTED } else { "" };
    let mut response = Response::new(Body::from(answer(encoding, signal, rejected, why)));
    let media = header::HeaderValue::from_static(media_type(encoding));
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

fn refuse(app: &App, encoding: Encoding, Refused { reason, problem }: Refused) -> Response {
    app.otlp.counts.refused(reason);
    problem.into_response_of(media_type(encoding), |of_http, message| {
        status(encoding, grpc::code(of_http), message)
    })
}
