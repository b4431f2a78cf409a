//! `POST /v1/traces`, `/v1/errors` and `/v1/events`.
//!
//! The answer comes as soon as the records are in the file, or after [`ANSWER_WITHIN`] while they are
//! on their way there: an agent never waits for a slow disk, and normally knows that its records are
//! safe. A client that asks to wait gets its answer when they are.
//!
//! ```json
//! {"accepted":1,"ids":["0b2f0c3e-7a51-4a0c-9a57-7d8f6e1c2b3a"],"durable":true}
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use trueup_core::{Fact, Text};
use uuid::Uuid;

use trueup_otlp::Signal;

use super::admit::{self, Admitted, Limits};
use super::otlp::{self, Media};
use super::{App, Problem};
use crate::clock;
use crate::intake::{self, Arrival, Kind, Received};

/// When a client that does not wait is answered at the latest. Of the four milliseconds that are promised
/// the timer takes one, by rounding up, and a machine that is busy another.
const ANSWER_WITHIN: Duration = Duration::from_millis(2);
/// How long a client can wait for its records.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// How long a waiting client's records stay outside a full queue before they are tried again.
const ROOM_PAUSE: Duration = Duration::from_millis(5);
/// Bodies above this size are read on another thread: parsing them would keep others waiting.
pub(super) const PARSED_HERE_BYTES_MAX: usize = 64 << 10;

/// Takes records.
pub(super) async fn post(app: Arc<App>, kind: Kind, request: Request) -> Response {
    match take(&app, kind, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn take(app: &Arc<App>, kind: Kind, request: Request) -> Result<Response, Problem> {
    if Media::is_certain(request.headers()) {
        return Ok(otlp::export(Arc::clone(app), signal(kind), request).await);
    }
    admit::check_type(request.headers())?;
    let wait = wait(request.uri(), request.headers());
    let limits = Limits::new(app.settings.body_bytes_max, Arc::clone(&app.bodies));
    let headers = request.headers().clone();
    let admitted = admit::read(&limits, request).await?;
    if otlp::is_shape(&admitted.bytes) || otlp::is_greeting(&headers, &admitted.bytes) {
        return Ok(otlp::of_body(app, Media::JSON, signal(kind), admitted).await);
    }
    let Admitted { bytes, room } = admitted;
    let received = parse(app, kind, bytes).await?;
    let (ids, facts): (Vec<_>, Vec<_>) =
        received.into_iter().map(|one| (one.trace_id, one.fact)).unzip();
    app.durations.note(&facts);
    let taken = match wait {
        None => offer(app, facts).await?,
        Some(wait) => feed(app, facts, wait).await?,
    };
    drop(room);
    app.counts.accepted(kind, taken.accepted);
    Ok(answer(&taken, &ids, wait.is_some()))
}

/// What of OpenTelemetry's is expected on a path of ours.
const fn signal(kind: Kind) -> Option<Signal> {
    match kind {
        Kind::Trace => Some(Signal::Traces),
        Kind::Error | Kind::Event => None,
    }
}

/// How long a client asks to wait: `?wait=1`, or `Prefer: wait` (RFC 7240), with seconds or without.
fn wait(uri: &Uri, headers: &HeaderMap) -> Option<Duration> {
    let is_asked = |part: &str| matches!(part, "wait" | "wait=1" | "wait=true");
    if uri.query().is_some_and(|query| query.split('&').any(is_asked)) {
        return Some(WAIT_MAX);
    }
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    preferences.flat_map(|value| value.split([',', ';'])).find_map(|preference| {
        let (name, seconds) = preference.split_once('=').unwrap_or((preference, ""));
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        let seconds = seconds.trim().trim_matches('"').parse().map(Duration::from_secs);
        is_wait.then(|| seconds.unwrap_or(WAIT_MAX).min(WAIT_MAX))
    })
}

async fn parse(app: &Arc<App>, kind: Kind, bytes: Vec<u8>) -> Result<Vec<Received>, Problem> {
    let text_bytes_max = app.settings.text_bytes_max;
    let is_small = bytes.len() <= PARSED_HERE_BYTES_MAX;
    let read = move || {
        let arrival = Arrival { now: clock::now(), text_bytes_max, fresh_id: &Uuid::new_v4 };
        intake::read(kind, &bytes, &arrival)
    };
    let received = if is_small {
        read()
    } else {
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|_| Problem::busy("the process is ending; try again"))?
    };
    Ok(received?)
}

/// What became of records.
struct Taken {
    accepted: usize,
    dropped: usize,
    is_durable: bool,
}

/// Queues what there is room for, and waits a moment for it to be written.
async fn offer(app: &App, facts: Vec<Fact>) -> Result<Taken, Problem> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    let (done, is_written) = app.acks.expect();
    let offered = app.writer.offer(facts, Some(done));
    let is_durable = match timeout_at(deadline, is_written).await {
        Ok(Ok(false)) => return Err(unwritten()),
        Ok(Ok(true)) => true,
        // Not yet; or never told, because nothing was taken.
        Err(_) | Ok(Err(_)) => false,
    };
    Ok(Taken { accepted: offered.accepted, dropped: offered.dropped, is_durable })
}

/// Queues everything as room appears, and waits until it is written; what is left when the client's
/// patience ends is offered like any other record.
async fn feed(app: &App, facts: Vec<Fact>, patience: Duration) -> Result<Taken, Problem> {
    let all = facts.len();
    let mut rest = facts;
    let is_written = timeout(patience, feed_all(app, &mut rest)).await;
    let accepted = all - rest.len();
    match is_written {
        Ok(Ok(())) => Ok(Taken { accepted, dropped: 0, is_durable: true }),
        Ok(Err(problem)) => Err(problem),
        Err(_) => {
            let offered = app.writer.offer(rest, None);
            let accepted = accepted + offered.accepted;
            Ok(Taken { accepted, dropped: offered.dropped, is_durable: false })
        }
    }
}

/// Queues all of the facts as room appears, and waits until they are written.
pub(super) async fn feed_all(app: &App, rest: &mut Vec<Fact>) -> Result<(), Problem> {
    while !rest.is_empty() {
        let before = rest.len();
        let (done, is_written) = app.acks.expect();
        *rest = app.writer.feed(std::mem::take(rest), done).ok_or_else(unwritten)?;
        if rest.len() == before {
            sleep(ROOM_PAUSE).await;
        } else if !is_written.await.unwrap_or(false) {
            return Err(unwritten());
        }
    }
    Ok(())
}

fn unwritten() -> Problem {
    Problem::busy("the records could not be written; see GET /health, and send them again later")
}

/// What a client is told.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    accepted: usize,
    ids: Vec<&'a str>,
    durable: bool,
    #[serde(skip_serializing_if = "is_zero")]
    dropped: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn answer(taken: &Taken, ids: &[Text], has_waited: bool) -> Response {
    let body = Answer {
        accepted: taken.accepted,
        ids: ids.iter().take(taken.accepted).map(|id| &**id).collect(),
        durable: taken.is_durable,
        dropped: taken.dropped,
    };
    let is_done = has_waited && taken.is_durable;
    let status = if is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, axum::Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_asked_for_in_two_ways() {
        let waited = |uri: &str, prefer: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(prefer) = prefer {
                headers.insert("prefer", prefer.parse().unwrap());
            }
            wait(&uri.parse().unwrap(), &headers).map(|wait| wait.as_secs())
        };
        for (uri, prefer, expected) in [
            ("/v1/traces", None, None),
            ("/v1/traces?wait=1", None, Some(60)),
            ("/v1/traces?a=b&wait", None, Some(60)),
            ("/v1/traces?wait=0", None, None),
            ("/v1/traces", Some("wait"), Some(60)),
            ("/v1/traces", Some("respond-async, Wait=5"), Some(5)),
            ("/v1/traces", Some("wait=600"), Some(60)),
            ("/v1/traces", Some("return=minimal"), None),
        ] {
            assert_eq!(waited(uri, prefer), expected, "{uri} {prefer:?}");
        }
    }
}
