//! `/v1/telemetry/{product}/…`: what products tell of themselves, and what becomes of it.
//!
//! What is told is added up in memory, on the thread that answers. What may wait for a disk or for
//! another machine happens on another thread, a few at a time. No page may ask anything here, of
//! whatever origin (see [`Guard`](super::Guard)).
//!
//! ```json
//! {"accepted":1,"dropped":[{"key":"prompt","reason":"unknown_key","count":1}],"refused":[],"refused_count":0}
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use trueup_telemetry::consent::Mode;
use trueup_telemetry::state::StateError;

use super::admit::{self, Limits};
use super::{App, Problem};
use crate::telemetry::entries::{self, Entry, Tally, Wrong};
use crate::telemetry::products::{Product, Products};
use crate::telemetry::shown;

/// The largest body.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Bodies that are held at once: one of each connection that there may be.
const BODIES_MAX: usize = 256;
/// What waits for a disk at once: half of the threads that there are for it.
const WORKS_MAX: usize = 2;
/// How long a request waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(2);
/// How long an answer waits for a flush, which goes on without it.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(5);

/// What these paths are made of.
pub(super) struct Intake {
    products: Arc<Products>,
    bodies: Arc<Semaphore>,
    works: Arc<Semaphore>,
    flushes: Arc<Semaphore>,
}

impl Intake {
    pub(super) fn new(products: Arc<Products>) -> Self {
        Self {
            products,
            bodies: Arc::new(Semaphore::new(BODY_BYTES_MAX * BODIES_MAX)),
            works: Arc::new(Semaphore::new(WORKS_MAX)),
            flushes: Arc::new(Semaphore::new(1)),
        }
    }

    fn product(&self, name: &str) -> Result<Arc<Product>, Problem> {
        self.products.find(name).map(Arc::clone).ok_or_else(|| {
            let message = "no product of this name is here: add its manifest to \
                           telemetry_manifests (TRUEUP_TELEMETRY_MANIFESTS) and restart serve";
            Problem::new(StatusCode::NOT_FOUND, message)
        })
    }

    /// Does what may wait.
    async fn work<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Product) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let product = self.product(name)?;
        let busy = || Problem::busy("others are being answered; try again");
        let turn = timeout(TURN_MAX, Arc::clone(&self.works).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or_else(busy)?;
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&product)
        });
        work.await.map_err(|_| Problem::busy("the process is ending; try again"))
    }

    async fn body(&self, request: Request) -> Result<admit::Admitted, Problem> {
        admit::check_type(request.headers())?;
        let limits = Limits::fixed(BODY_BYTES_MAX, Arc::clone(&self.bodies));
        admit::read(&limits, request).await
    }

    async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T, Problem> {
        let body = self.body(request).await?;
        serde_json::from_slice(&body.bytes).map_err(|error| {
            let Wrong { column, what } = error.into();
            let column = column.map(|column| format!("column {column}: ")).unwrap_or_default();
            Problem::new(StatusCode::BAD_REQUEST, format!("{column}{what}"))
        })
    }
}

type Answer = Result<Response, Problem>;
type AppState = State<Arc<App>>;

/// The paths.
pub(super) fn routes() -> Router<Arc<App>> {
    let routes = Router::new()
        .route("/records", post(records))
        .route("/errors", post(errors))
        .route("/sessions/{key}/end", post(end))
        .route("/flush", post(flush))
        .route("/base", put(base))
        .route("/status", get(status))
        .route("/preview", get(preview))
        .route("/sent", get(sent))
        .route("/schema", get(schema))
        .route("/ledger", get(ledger))
        .route("/consent", put(consent))
        .route("/data", delete(data));
    Router::new().nest("/v1/telemetry/{product}", routes)
}

async fn records(app: AppState, Path(name): Path<String>, request: Request) -> Answer {
    take(&app, &name, request, entries::entry).await
}

async fn errors(app: AppState, Path(name): Path<String>, request: Request) -> Answer {
    take(&app, &name, request, entries::failure).await
}

/// Takes what can be read.
async fn take(
    app: &App,
    name: &str,
    request: Request,
    read: fn(&[u8]) -> Result<Entry, Wrong>,
) -> Answer {
    let product = app.telemetry.product(name)?;
    let body = app.telemetry.body(request).await?;
    if product.is_to_look_again() {
        drop(flush_of(app, &product));
    }
    let mut tally = Tally::of(product.manifest());
    let pieces = entries::pieces(&body.bytes);
    if pieces.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the body is empty"));
    }
    let mut wants_flush = false;
    product.tell(|telemetry| {
        for (line, piece) in pieces {
            match read(piece) {
                Ok(entry) => {
                    wants_flush |= matches!(entry, Entry::Flush);
                    tally.take(telemetry, &entry);
                }
                Err(wrong) => tally.refuse(line, wrong),
            }
        }
    });
    if let Some(refusal) = tally.first_refusal().filter(|_| tally.is_all_refused()) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, refusal));
    }
    if wants_flush {
        // Nobody waits for it.
        drop(flush_of(app, &product));
    }
    Ok(accepted(&tally))
}

fn accepted(tally: &Tally) -> Response {
    (StatusCode::ACCEPTED, Json(tally.json())).into_response()
}

async fn end(app: AppState, Path((name, key)): Path<(String, String)>) -> Answer {
    let product = app.telemetry.product(&name)?;
    let mut tally = Tally::of(product.manifest());
    product.tell(|telemetry| tally.take(telemetry, &Entry::End { key }));
    Ok(accepted(&tally))
}

/// Begins a flush, if none is under way.
fn flush_of(app: &App, product: &Arc<Product>) -> Option<tokio::task::JoinHandle<Value>> {
    let turn = Arc::clone(&app.telemetry.flushes).try_acquire_owned().ok()?;
    let telemetry = product.telemetry();
    Some(tokio::task::spawn_blocking(move || {
        let _turn = turn;
        shown::flushed(&telemetry.flush())
    }))
}

async fn flush(app: AppState, Path(name): Path<String>) -> Answer {
    let product = app.telemetry.product(&name)?;
    let flushed = match flush_of(&app, &product) {
        Some(flush) => timeout(FLUSH_WAIT_MAX, flush).await.ok().and_then(Result::ok),
        None => None,
    };
    Ok(match flushed {
        Some(Value::Object(flushed)) => {
            let mut answer = Map::from_iter([("is_done".to_owned(), Value::Bool(true))]);
            answer.extend(flushed);
            Json(answer).into_response()
        }
        _ => (StatusCode::ACCEPTED, Json(json!({"is_done": false}))).into_response(),
    })
}

async fn base(app: AppState, Path(name): Path<String>, request: Request) -> Answer {
    app.telemetry.product(&name)?;
    let given: Map<String, Value> = app.telemetry.json(request).await?;
    let given = given.into_iter().collect();
    let drops = app.telemetry.work(&name, move |product| product.set_base(given)).await?;
    let mut tally = Tally::default();
    tally.add(&drops);
    Ok(Json(json!({"dropped": tally.dropped()})).into_response())
}

async fn status(app: AppState, Path(name): Path<String>) -> Answer {
    let status = |product: &Product| {
        let telemetry = product.telemetry();
        if telemetry.is_off() {
            // Nobody else looks whether that was decided anew. What waits to be sent is no matter of a
            // status.
            telemetry.look_again();
        }
        shown::status(&telemetry.status(), product.manifest())
    };
    Ok(Json(app.telemetry.work(&name, status).await?).into_response())
}

async fn preview(app: AppState, Path(name): Path<String>) -> Answer {
    let preview = |product: &Product| product.telemetry().preview().as_ref().map(shown::request);
    let next = app.telemetry.work(&name, preview).await?;
    Ok(Json(json!({"schema": 1, "next": next})).into_response())
}

async fn sent(app: AppState, Path(name): Path<String>) -> Answer {
    let sent = |product: &Product| -> Vec<Value> {
        product.telemetry().sent().iter().map(shown::request).collect()
    };
    let sent = app.telemetry.work(&name, sent).await?;
    Ok(Json(json!({"schema": 1, "requests": sent})).into_response())
}

async fn schema(app: AppState, Path(name): Path<String>) -> Answer {
    Ok(Json(app.telemetry.product(&name)?.manifest().schema_json()).into_response())
}

async fn ledger(app: AppState, Path(name): Path<String>) -> Answer {
    let ledger = |product: &Product| shown::ledger(&product.telemetry().status());
    Ok(Json(app.telemetry.work(&name, ledger).await?).into_response())
}

/// What somebody has decided.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    mode: String,
}

async fn consent(app: AppState, Path(name): Path<String>, request: Request) -> Answer {
    app.telemetry.product(&name)?;
    let Decision { mode } = app.telemetry.json(request).await?;
    let mode = Mode::ALL
        .into_iter()
        .find(|known| known.word() == mode)
        .ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "`mode` is off, local or on"))?;
    let decide = move |product: &Product| {
        let telemetry = product.telemetry();
        telemetry.set_mode(mode).map(|()| shown::status(&telemetry.status(), product.manifest()))
    };
    let decided = app.telemetry.work(&name, decide).await?;
    // A file that is not as it must be is never written over.
    let decided = decided.map_err(|error| Problem::new(StatusCode::CONFLICT, words(error)))?;
    Ok(Json(decided).into_response())
}

/// An error with all that it comes from, on one line.
fn words(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

async fn data(app: AppState, Path(name): Path<String>) -> Answer {
    let purge = |product: &Product| product.telemetry().purge();
    match app.telemetry.work(&name, purge).await? {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(StateError::Busy { .. }) => Err(Problem::busy("another process holds it; try again")),
        Err(error) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, words(error))),
    }
}
