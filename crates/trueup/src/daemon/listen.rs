//! The socket: who is let in, how many at once, and how long each may take to say what it wants.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::api::Peer;

/// What the socket bears.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at once. More are told so and closed: one that waits would keep its agent waiting.
    pub(crate) connections_max: usize,
    /// How long a client may take to send the head of a request, or be silent between two.
    pub(crate) head_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: CONNECTIONS_MAX, head_time_max: HEAD_TIME_MAX }
    }
}

/// Connections at once, in `serve`: an agent needs one, or a few.
const CONNECTIONS_MAX: usize = 256;
/// Time for a request's head, in `serve`. Long, because it is also how long a client's idle
/// connection lives.
const HEAD_TIME_MAX: Duration = Duration::from_mins(1);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The same in HTTP/2.
const HEAD_BYTES_MAX_HTTP2: u32 = 64 << 10;
/// Requests at once on one connection of HTTP/2; exporters send one after the other.
const STREAMS_MAX: u32 = 16;
/// Wait for the rest of a client's first four bytes.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// Wait after an accept that failed: there may be no file descriptor left for a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const TOO_MANY: &str = r#"{"error":"too many connections; close some, or try later"}"#;

/// Opens the socket.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| match address.port() {
        0 => format!("cannot listen on {}", address.ip()),
        port => format!(
            "cannot listen on {address}; if another program (or another trueup) has port {port}, \
             stop it or give another --port"
        ),
    })
}

/// A socket that is being served.
pub(crate) struct Server {
    accepting: Vec<tokio::task::JoinHandle<()>>,
    stop: watch::Sender<bool>,
    places: Arc<Semaphore>,
    connections_max: u32,
}

impl Server {
    /// Serves in the background: the same on each socket, within the limits of one.
    pub(crate) fn start(listeners: Vec<TcpListener>, router: &Router, limits: Limits) -> Self {
        let (stop, stopping) = watch::channel(false);
        let places = Arc::new(Semaphore::new(limits.connections_max));
        let accepting = listeners.into_iter().map(|listener| {
            let (router, places) = (router.clone(), Arc::clone(&places));
            tokio::spawn(accept(listener, router, limits, places, stopping.clone()))
        });
        let accepting = accepting.collect();
        let connections_max = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
        Self { accepting, stop, places, connections_max }
    }

    /// Lets nobody in any more, and waits for the requests under way.
    pub(crate) async fn stop(self, patience: Duration) {
        for accepting in self.accepting {
            accepting.abort();
            let _is_over = accepting.await.is_err();
        }
        self.stop.send_replace(true);
        let all_gone = self.places.acquire_many(self.connections_max);
        let _is_in_time = timeout(patience, all_gone).await.is_ok();
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    places: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let service = router.clone();
                drop(tokio::spawn(connection(
                    stream,
                    peer.ip(),
                    service,
                    limits,
                    place,
                    stopping.clone(),
                )));
            }
            Err(_) => refuse(&stream),
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    router: Router,
    limits: Limits,
    place: OwnedSemaphorePermit,
    mut stopping: watch::Receiver<bool>,
) {
    // An answer is one small packet: waiting for more would cost every request 40 ms.
    let _is_quick = stream.set_nodelay(true).is_ok();
    let spoken = tokio::select! {
        spoken = timeout(limits.head_time_max, speaks_http2(&stream)) => spoken.ok(),
        () = stopped(&mut stopping) => None,
    };
    let Some(is_http2) = spoken else { return };
    let service = TowerToHyperService::new(router);
    let service = move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        service.call(request)
    };
    let stream = TokioIo::new(stream);
    // How a client leaves is its own affair: a connection's error is no event.
    if is_http2 {
        let (open, streams) = watch::channel(0);
        let service = service_fn(move |request| {
            let (stream, answer) = (OpenStream::new(&open), service(request));
            async move { answer.await.map(|answer| answer.map(|body| Body::new(Held { body, stream }))) }
        });
        let connection = std::pin::pin!(of_http2(limits).serve_connection(stream, service));
        until_idle(connection, streams, limits.head_time_max, stopping).await;
    } else {
        let mut connection =
            std::pin::pin!(of_http1(limits).serve_connection(stream, service_fn(service)));
        let _is_orderly = tokio::select! {
            result = connection.as_mut() => result.is_ok(),
            () = stopped(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await.is_ok()
            }
        };
    }
    drop(place);
}

/// A connection of HTTP/2. Answers to pings keep none open that has had no stream for `silence_max`: it is
/// asked to leave, and is dropped where it does not.
async fn until_idle<S: HttpService<Incoming, ResBody = Body>>(
    mut connection: Pin<&mut http2::Connection<TokioIo<TcpStream>, S, TokioExecutor>>,
    mut streams: watch::Receiver<usize>,
    silence_max: Duration,
    mut stopping: watch::Receiver<bool>,
) where
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    let mut is_leaving = false;
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stopped(&mut stopping), if !is_leaving => {}
            () = idle(&mut streams, silence_max) => {
                if is_leaving {
                    return;
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        is_leaving = true;
    }
}

/// Waits until no stream was open for so long.
async fn idle(streams: &mut watch::Receiver<usize>, silence_max: Duration) {
    loop {
        // An error says that nobody will open one any more.
        drop(streams.wait_for(|open| *open == 0).await);
        let more = streams.wait_for(|open| *open > 0);
        if timeout(silence_max, more).await.is_err() {
            return;
        }
    }
}

/// A stream of HTTP/2, from its request's head to the end of its answer.
struct OpenStream(watch::Sender<usize>);

impl OpenStream {
    fn new(open: &watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open.clone())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

/// The body of an answer, and the stream that it is sent on.
struct Held {
    body: Body,
    #[expect(dead_code, reason = "its end is what matters")]
    stream: OpenStream,
}

impl hyper::body::Body for Held {
    type Data = <Body as hyper::body::Body>::Data;
    type Error = <Body as hyper::body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

fn of_http1(limits: Limits) -> http1::Builder {
    let mut serving = http1::Builder::new();
    serving.timer(TokioTimer::new()).header_read_timeout(limits.head_time_max);
    serving.max_buf_size(HEAD_BYTES_MAX);
    serving
}

/// What gRPC needs; a client that is silent for long is asked whether it lives.
fn of_http2(limits: Limits) -> http2::Builder<TokioExecutor> {
    let mut serving = http2::Builder::new(TokioExecutor::new());
    serving.timer(TokioTimer::new()).keep_alive_interval(limits.head_time_max);
    serving.max_concurrent_streams(STREAMS_MAX);
    serving.max_header_list_size(HEAD_BYTES_MAX_HTTP2);
    serving
}

/// Whether a client speaks HTTP/2 at once (RFC 9113, 3.3), as gRPC does without TLS: no method of
/// HTTP/1 begins so.
async fn speaks_http2(stream: &TcpStream) -> bool {
    const PREFACE: &[u8] = b"PRI ";
    let mut start = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut start).await.unwrap_or(0);
        let (said, _) = start.split_at(length);
        if length == PREFACE.len() || !PREFACE.starts_with(said) || length == 0 {
            return said == PREFACE;
        }
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error says that the server is gone: that is the end, too.
    drop(stopping.wait_for(|is_stopping| *is_stopping).await);
}

/// Says that there is no room, as far as that can be said without waiting.
fn refuse(stream: &TcpStream) {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{TOO_MANY}",
        TOO_MANY.len()
    );
    let _is_told = stream.try_write(answer.as_bytes()).is_ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    fn with_server(limits: Limits, test: impl AsyncFnOnce(SocketAddr, Server)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
            let address = listener.local_addr().unwrap();
            let router = Router::new().route("/", get(async || "hello"));
            let server = Server::start(vec![listener], &router, limits);
            test(address, server).await;
        });
    }

    async fn read_all(mut stream: TcpStream) -> String {
        let mut bytes = Vec::new();
        let _is_orderly = stream.read_to_end(&mut bytes).await.is_ok();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn slow_heads_are_cut_off() {
        let limits = Limits { head_time_max: Duration::from_millis(50), ..Limits::default() };
        with_server(limits, async |address, _server| {
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(b"GET / HT").await.unwrap();
            assert!(!read_all(slow).await.contains("200 OK"));
            let mut idle = TcpStream::connect(address).await.unwrap();
            idle.write_all(REQUEST).await.unwrap();
            assert!(read_all(idle).await.contains("200 OK"));
        });
    }

    /// A frame of HTTP/2 without content: nine bytes.
    const fn frame(kind: u8) -> [u8; 9] {
        [0, 0, 0, kind, 0, 0, 0, 0, 0]
    }

    #[test]
    fn idle_connections_of_http2_are_closed_whether_they_answer_pings_or_not() {
        const SETTINGS: u8 = 4;
        const GO_AWAY: u8 = 7;
        let limits = Limits { head_time_max: Duration::from_millis(50), ..Limits::default() };
        with_server(limits, async |address, _server| {
            let mut silent = TcpStream::connect(address).await.unwrap();
            let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame(SETTINGS)].concat();
            silent.write_all(&hello).await.unwrap();
            let mut said = Vec::new();
            let read = timeout(Duration::from_secs(10), silent.read_to_end(&mut said));
            assert!(read.await.is_ok(), "it is not closed");
            assert!(said.windows(4).any(|bytes| bytes == [0, 0, 8, GO_AWAY]), "{said:x?}");

            let (mut client, connection) = http2_client(address).await;
            let answer = client.send_request(Request::new(Body::empty())).await.unwrap();
            assert_eq!(answer.status(), 200);
            drop(answer);
            let end = timeout(Duration::from_secs(10), connection).await;
            assert!(end.expect("it is not closed").unwrap(), "it was asked to leave");
        });
    }

    /// A client that answers pings, and whether its connection came to an orderly end.
    async fn http2_client(
        address: SocketAddr,
    ) -> (hyper::client::conn::http2::SendRequest<Body>, tokio::task::JoinHandle<bool>) {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let executor = TokioExecutor::new();
        let (client, connection) =
            hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
        (client, tokio::spawn(async { connection.await.is_ok() }))
    }

    /// The time for a head is no time for an answer: streams are silent for long.
    #[test]
    fn answers_may_take_longer_than_heads() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
            let address = listener.local_addr().unwrap();
            let slow = async || {
                let (teller, told) = tokio::sync::mpsc::channel::<&str>(1);
                tokio::spawn(async move {
                    for word in ["first, ", "second"] {
                        teller.send(word).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                });
                Body::new(Words(told))
            };
            let router = Router::new().route("/", get(slow));
            let limits = Limits { head_time_max: Duration::from_millis(50), ..Limits::default() };
            let _server = Server::start(vec![listener], &router, limits);
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(REQUEST).await.unwrap();
            let answer = read_all(stream).await;
            assert!(answer.contains("first, ") && answer.contains("second"), "{answer}");
            let (mut client, _connection) = http2_client(address).await;
            let answer = client.send_request(Request::new(Body::empty())).await.unwrap();
            let body = axum::body::to_bytes(Body::new(answer.into_body()), 100).await.unwrap();
            assert_eq!(body, "first, second");
        });
    }

    struct Words(tokio::sync::mpsc::Receiver<&'static str>);

    impl hyper::body::Body for Words {
        type Data = axum::body::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            let frame = |word: &'static str| Ok(hyper::body::Frame::data(word.into()));
            self.0.poll_recv(context).map(|word| word.map(frame))
        }
    }

    #[test]
    fn connections_past_the_limit_are_told_so() {
        let limits = Limits { connections_max: 2, ..Limits::default() };
        with_server(limits, async |address, _server| {
            let mut first = TcpStream::connect(address).await.unwrap();
            let _second = TcpStream::connect(address).await.unwrap();
            let third = TcpStream::connect(address).await.unwrap();
            let answer = read_all(third).await;
            assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too many"), "{answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
            first.write_all(REQUEST).await.unwrap();
            let mut byte = [0];
            first.read_exact(&mut byte).await.unwrap();
        });
    }

    #[test]
    fn stopping_closes_idle_connections() {
        with_server(Limits::default(), async |address, server| {
            let idle = TcpStream::connect(address).await.unwrap();
            tokio::task::yield_now().await;
            server.stop(Duration::from_secs(5)).await;
            assert_eq!(read_all(idle).await, "");
            assert!(TcpStream::connect(address).await.is_err());
        });
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        with_server(Limits::default(), async |address, _server| {
            let error = format!("{:#}", bind(address).await.unwrap_err());
            assert!(error.contains(&format!("port {}", address.port())), "{error}");
            assert!(error.contains("--port"), "{error}");
        });
    }
}
