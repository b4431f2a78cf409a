//! `POST /v1/push`: send now what is new, and say how that went.
//!
//! ```json
//! {"status":"ok","error":null,"waiting":0,"is_done":true}
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{App, Problem};

/// How long the answer waits for the cycle.
const WAIT_MAX: Duration = Duration::from_secs(50);
/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

pub(super) async fn post(State(app): State<Arc<App>>) -> Response {
    if !app.threads.push.seen().is_on {
        let message = "push is off: set push_endpoint (TRUEUP_PUSH_ENDPOINT) and restart serve";
        return Problem::new(StatusCode::CONFLICT, message).into_response();
    }
    let number = app.threads.push.ask();
    let until = Instant::now() + WAIT_MAX;
    while !app.threads.push.has_answered(number) && Instant::now() < until {
        sleep(LOOK_INTERVAL).await;
    }
    let is_done = app.threads.push.has_answered(number);
    let seen = app.threads.push.seen();
    let answer = json!({
        "status": seen.status(),
        "error": seen.error(),
        "waiting": seen.waiting,
        "is_done": is_done,
    });
    let status = if is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, Json(answer)).into_response()
}
