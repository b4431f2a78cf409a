//! Bodies: which are read, how long, and how much of them is held at once.
//!
//! A body is let in before it is read, by the length that it announces; one that announces none is
//! let in piece by piece. What a client may make us hold is bounded by that, whatever it sends.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Problem;

/// How long a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// What is read, and thrown away, of a body that is too large: a client that is still sending would
/// not see the answer otherwise.
const DRAIN_BYTES_MAX: usize = 4 << 20;
/// How long that may take.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// A body, and the room that it takes.
pub(crate) struct Admitted {
    pub(crate) bytes: Vec<u8>,
    /// Given back when what became of the body is no longer held either.
    pub(crate) room: Room,
}

/// Room for a body, held while this lives.
pub(crate) struct Room {
    _permits: Option<OwnedSemaphorePermit>,
}

/// What bodies must be like.
pub(crate) struct Limits {
    pub(crate) bytes_max: usize,
    pub(crate) time_max: Duration,
    pub(crate) bodies: Arc<Semaphore>,
    /// The setting that says `bytes_max`, where one does.
    pub(crate) setting: Option<&'static str>,
}

impl Limits {
    pub(crate) const fn new(bytes_max: usize, bodies: Arc<Semaphore>) -> Self {
        Self { bytes_max, time_max: BODY_TIME_MAX, bodies, setting: Some("max_body_bytes") }
    }

    /// Limits that no setting changes.
    pub(crate) fn fixed(bytes_max: usize, bodies: Arc<Semaphore>) -> Self {
        Self { setting: None, ..Self::new(bytes_max, bodies) }
    }
}

/// Reads a body, if it may be read.
pub(crate) async fn read(limits: &Limits, request: Request) -> Result<Admitted, Problem> {
    let (parts, body) = request.into_parts();
    let announced = announced(&parts.headers);
    let is_too_large = announced.is_some_and(|length| length > limits.bytes_max);
    let result = if is_too_large {
        Err((too_large(limits), body))
    } else {
        receive(limits, body, announced.unwrap_or(0)).await
    };
    match result {
        Ok(admitted) => Ok(admitted),
        Err((problem, rest)) => {
            if !parts.headers.contains_key(header::EXPECT) {
                drain(rest).await;
            }
            Err(problem.closing())
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(limits: &Limits) -> Problem {
    let setting = limits.setting.map(|name| format!(" ({name})")).unwrap_or_default();
    let message = format!(
        "the body is larger than {} bytes{setting}: send fewer records in one request",
        limits.bytes_max
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// Length from which a body that was not announced gets all the room that it may take. Pages that are not
/// written to cost nothing, and a body that grows from one place to the next is held twice.
const GROWING_BYTES_MAX: usize = 64 << 10;

/// A body in the making.
struct Receiving<'a> {
    limits: &'a Limits,
    bytes: Vec<u8>,
    permits: Option<OwnedSemaphorePermit>,
}

async fn receive(
    limits: &Limits,
    mut body: Body,
    announced: usize,
) -> Result<Admitted, (Problem, Body)> {
    let mut receiving = Receiving { limits, bytes: Vec::new(), permits: None };
    if let Err(problem) = receiving.make_room(announced) {
        return Err((problem, body));
    }
    receiving.bytes.reserve_exact(announced);
    let result = tokio::time::timeout(limits.time_max, receiving.all(&mut body)).await;
    let late = || {
        let message = format!("the body took longer than {} s", limits.time_max.as_secs());
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, message))
    };
    match result.unwrap_or_else(|_| late()) {
        Ok(()) => {
            let Receiving { bytes, permits, .. } = receiving;
            Ok(Admitted { bytes, room: Room { _permits: permits } })
        }
        Err(problem) => Err((problem, body)),
    }
}

impl Receiving<'_> {
    async fn all(&mut self, body: &mut Body) -> Result<(), Problem> {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| {
                Problem::new(StatusCode::BAD_REQUEST, "the body ended before its end")
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let length = self.bytes.len() + data.len();
            if length > self.limits.bytes_max {
                return Err(too_large(self.limits));
            }
            self.make_room(length)?;
            if length > self.bytes.capacity().max(GROWING_BYTES_MAX) {
                self.bytes.reserve_exact(self.limits.bytes_max - self.bytes.len());
            }
            self.bytes.extend_from_slice(&data);
        }
        Ok(())
    }

    /// Takes room for all of a body of this length, beside what it has.
    fn make_room(&mut self, length: usize) -> Result<(), Problem> {
        let held = self.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = length.checked_sub(held).filter(|more| *more > 0) else { return Ok(()) };
        let busy = || Problem::busy("too many bytes of other requests are under way; try again");
        let more = u32::try_from(more).map_err(|_| busy())?;
        let permits = Arc::clone(&self.limits.bodies).try_acquire_many_owned(more);
        let permits = permits.map_err(|_| busy())?;
        match &mut self.permits {
            Some(held) => held.merge(permits),
            none => *none = Some(permits),
        }
        Ok(())
    }
}

async fn drain(mut body: Body) {
    let drained = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    let _is_in_time = tokio::time::timeout(DRAIN_TIME_MAX, drained).await.is_ok();
}

/// Refuses what is not JSON by what its headers say.
pub(crate) fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    match text(header::CONTENT_ENCODING) {
        None | Some("identity" | "") => {}
        Some(encoding) => {
            let message =
                format!("bodies with Content-Encoding `{encoding}` are not read: send them plain");
            return Err(Problem::unsupported(message));
        }
    }
    let full = text(header::CONTENT_TYPE).unwrap_or_default();
    let media = full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        "" | "application/json" | "application/x-ndjson" | "text/plain" => Ok(()),
        _ => Err(Problem::unsupported(format!(
            "Content-Type `{media}` is not read: send application/json or application/x-ndjson"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;

    fn limits(bytes_max: usize, in_flight_max: usize) -> Limits {
        let time_max = Duration::from_millis(50);
        Limits { time_max, ..Limits::new(bytes_max, Arc::new(Semaphore::new(in_flight_max))) }
    }

    fn with_length(length: usize, body: Body) -> Request {
        Request::builder().header(header::CONTENT_LENGTH, length).body(body).unwrap()
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    fn status(result: Result<Admitted, Problem>) -> u16 {
        result.map_or_else(|problem| problem.into_response().status().as_u16(), |_| 200)
    }

    /// A body that never comes.
    fn silent() -> Body {
        struct Silent;
        impl hyper::body::Body for Silent {
            type Data = Bytes;
            type Error = std::io::Error;
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>>
            {
                std::task::Poll::Pending
            }
        }
        Body::new(Silent)
    }

    #[test]
    fn bodies_in_flight_are_bounded() {
        run(async {
            let limits = limits(10, 15);
            let first = read(&limits, with_length(10, Body::from("0123456789"))).await.unwrap();
            assert_eq!(first.bytes, b"0123456789");
            // By its announced length, before it is read; and piece by piece, without one.
            assert_eq!(status(read(&limits, with_length(6, Body::from("012345"))).await), 503);
            assert_eq!(status(read(&limits, Request::new(Body::from("012345"))).await), 503);
            assert_eq!(status(read(&limits, Request::new(Body::from("01234"))).await), 200);
            drop(first);
            assert_eq!(status(read(&limits, with_length(6, Body::from("012345"))).await), 200);
            assert_eq!(limits.bodies.available_permits(), 15);
        });
    }

    #[test]
    fn large_bodies_are_refused_with_the_limit() {
        run(async {
            let limits = limits(10, 100);
            assert_eq!(status(read(&limits, with_length(11, Body::empty())).await), 413);
            assert_eq!(status(read(&limits, Request::new(Body::from("01234567890"))).await), 413);
            assert!(too_large(&limits).into_response().status() == 413);
        });
    }

    #[test]
    fn slow_bodies_are_given_up() {
        run(async {
            let limits = limits(10, 100);
            let (result, ()) = tokio::join!(
                receive(&limits, silent(), 5),
                tokio::time::sleep(Duration::from_millis(1))
            );
            let (problem, _) = result.err().unwrap();
            assert_eq!(problem.into_response().status(), 408);
            assert_eq!(limits.bodies.available_permits(), 100);
        });
    }

    #[test]
    fn types_are_told_apart() {
        for (media, expected) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("Application/JSON", true),
            ("application/x-ndjson", true),
            ("text/plain;charset=UTF-8", true),
            ("", true),
            ("application/x-protobuf", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, media.parse().unwrap());
            assert_eq!(check_type(&headers).is_ok(), expected, "{media}");
        }
        assert!(check_type(&HeaderMap::new()).is_ok());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(check_type(&headers).is_err());
    }
}
