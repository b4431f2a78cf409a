//! OTLP over gRPC: one message in, one message out, framed by hand.
//!
//! A frame is five bytes (whether it is packed, and its length) and a message. What became of the call
//! stands behind the answer, in trailers. Nothing else of gRPC is needed for exports.
//!
//! ```text
//! POST /opentelemetry.proto.collector.trace.v1.TraceService/Export   grpc-encoding: gzip
//! 01 00 00 01 f4 …                                                   → grpc-status: 0
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use hyper::body::Frame;
use trueup_otlp::{Encoding, Signal, answer};

use super::media::Media;
use super::{REJECTED, Refused, take};
use crate::api::Packing;
use crate::api::admit::{self, Admitted, Limits};
use crate::api::{App, Problem};

/// Whether a frame is packed, and how long it is.
const HEAD_BYTES: usize = 5;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The path of a signal's one method.
pub(super) fn path(signal: Signal) -> String {
    let (package, service) = match signal {
        Signal::Traces => ("trace", "Trace"),
        Signal::Logs => ("logs", "Logs"),
        Signal::Metrics => ("metrics", "Metrics"),
    };
    format!("/opentelemetry.proto.collector.{package}.v1.{service}Service/Export")
}

pub(super) fn service(signal: Signal) -> MethodRouter<Arc<App>> {
    post(async move |State(app): State<Arc<App>>, request: Request| {
        match call(&app, signal, request).await {
            Ok((signal, rejected)) => {
                let why = if rejected > 0 { REJECTED } else { "" };
                reply(Some(&answer(Encoding::Protobuf, signal, rejected, why)), 0, "")
            }
            Err(Refused { reason, problem }) => {
                app.otlp.counts.refused(reason);
                reply(None, code(problem.status()), problem.message())
            }
        }
    })
}

async fn call(app: &Arc<App>, signal: Signal, request: Request) -> Result<(Signal, u64), Refused> {
    let packing = request.headers().get("grpc-encoding");
    let packing = Packing::named(packing.map_or("", |name| name.to_str().unwrap_or("unreadable")));
    let packing = packing.map_err(|problem| Refused::of("media", problem))?;
    let limits = Limits::new(app.settings.body_bytes_max, Arc::clone(&app.bodies));
    let admitted = admit::read(&limits, request).await;
    let Admitted { bytes, room } = admitted.map_err(|problem| Refused::of("body", problem))?;
    let (is_packed, message) = unframed(bytes)?;
    let packing = packing.filter(|_| is_packed);
    let media = Media { encoding: Encoding::Protobuf, packing, is_passed: false };
    take(app, media, Some(signal), message, room).await
}

/// The one message of a body, and whether it is packed.
fn unframed(mut body: Vec<u8>) -> Result<(bool, Vec<u8>), Refused> {
    let wrong = || {
        let message = "the body is not one message of gRPC";
        Refused::of("frame", Problem::new(StatusCode::BAD_REQUEST, message))
    };
    let Some(([is_packed, length @ ..], rest)) = body.split_first_chunk::<HEAD_BYTES>() else {
        return Err(wrong());
    };
    let is_whole = usize::try_from(u32::from_be_bytes(*length)) == Ok(rest.len());
    if *is_packed > 1 || !is_whole {
        return Err(wrong());
    }
    let is_packed = *is_packed == 1;
    body.drain(..HEAD_BYTES);
    Ok((is_packed, body))
}

/// What gRPC calls an answer of HTTP. Those that HTTP says to try again, gRPC does, too.
pub(super) const fn code(status: StatusCode) -> u8 {
    match status {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND | StatusCode::UNSUPPORTED_MEDIA_TYPE => 12,
        StatusCode::PAYLOAD_TOO_LARGE => 8,
        StatusCode::REQUEST_TIMEOUT => 4,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => 14,
        _ => 3,
    }
}

fn reply(message: Option<&[u8]>, code: u8, why: &str) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from(u16::from(code)));
    if let Some(why) = HeaderValue::from_str(&escaped(why)).ok().filter(|why| !why.is_empty()) {
        trailers.insert(MESSAGE, why);
    }
    let framed = message.map(|message| {
        let length = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
        Bytes::from([&[0][..], &length, message].concat())
    });
    let mut response = Response::new(Body::new(Answer { framed, trailers: Some(trailers) }));
    let media = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// A text as trailers may hold it.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// A message, and what stands behind it.
struct Answer {
    framed: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = self.framed.take().map(Frame::data);
        let frame = frame.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_one_whole_message() {
        let read = |body: &[u8]| unframed(body.to_vec()).ok();
        assert_eq!(read(&[0, 0, 0, 0, 2, 7, 8]), Some((false, vec![7, 8])));
        assert_eq!(read(&[1, 0, 0, 0, 0]), Some((true, Vec::new())));
        for body in
            [&[][..], &[0, 0, 0, 0], &[0, 0, 0, 0, 2, 7], &[0, 0, 0, 0, 1, 7, 8], &[2, 0, 0, 0, 0]]
        {
            assert_eq!(read(body), None, "{body:?}");
        }
    }

    #[test]
    fn messages_are_plain_ascii() {
        assert_eq!(escaped("50 % of `é`"), "50 %25 of `%C3%A9`");
    }
}
