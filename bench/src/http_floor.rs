//! A bare hyper server on one thread: the ceiling of what a listener can answer.
//!
//! It reads each body whole and answers with as many bytes as `trueup serve` does for one record, and
//! does nothing else: no router, no JSON, no queue, no disk.

use std::net::SocketAddr;

use anyhow::Result;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What one record is answered with.
const ANSWER: &str =
    r#"{"accepted":1,"ids":["0b2f0c3e-7a51-4a0c-9a57-7d8f6e1c2b3a"],"durable":true}"#;

/// Serves until the process is ended; prints the address first.
pub(crate) fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            drop(tokio::spawn(connection));
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let _body = request.into_body().collect().await?.to_bytes();
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
