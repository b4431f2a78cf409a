//! Questions about a tenant's account: answered by what answers those of `serve`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use trueup_core::{HubToken, Text};

use super::Hub;
use crate::api::{self, App, Problem};

/// What answers for the tenants that were asked about.
#[derive(Default)]
pub(super) struct Readers(Mutex<BTreeMap<Text, (Arc<App>, Router)>>);

impl Readers {
    /// Ends what would go on for ever.
    pub(super) fn end(&self) {
        let readers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (app, _) in readers.into_values() {
            app.end();
        }
    }

    /// Has a tenant's account open from now on.
    pub(super) fn open(&self, hub: &Hub, tenant: &Text) -> anyhow::Result<()> {
        self.router(hub, tenant).map(drop)
    }

    fn router(&self, hub: &Hub, tenant: &Text) -> anyhow::Result<Router> {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, router)) = readers.get(tenant) {
            return Ok(router.clone());
        }
        let app = hub.store.reading(tenant)?;
        let router = api::reading_router(Arc::clone(&app));
        readers.insert(Text::clone(tenant), (app, router.clone()));
        Ok(router)
    }
}

/// Everything but what devices send.
pub(super) async fn get(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    match answer(&hub, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn answer(hub: &Arc<Hub>, request: Request) -> Result<Response, Problem> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::wrong_method());
    }
    let token = shown(hub, &request)?;
    if token.device.is_some() {
        let message = "this token is a device's, which may only send; make one that reads, by \
                       `trueup hub token create --tenant … --read`";
        return Err(Problem::new(StatusCode::FORBIDDEN, message));
    }
    let own = Arc::clone(hub);
    let router = tokio::task::spawn_blocking(move || own.readers.router(&own, &token.tenant));
    let router = router.await.map_err(|_| Problem::busy("the hub is ending"))?;
    let router = router.map_err(|error| {
        tracing::warn!(error = format!("{error:#}"), "tenant_not_opened");
        Problem::busy("the account cannot be opened now; try again")
    })?;
    let Ok(response) = TowerToHyperService::new(router).call(request).await;
    Ok(response)
}

/// The token that a request shows; whoever looks at the page is asked for it.
fn shown(hub: &Hub, request: &Request) -> Result<HubToken, Problem> {
    hub.shown(request.headers()).map_err(|problem| {
        let is_page = problem.status() == StatusCode::UNAUTHORIZED && request.uri().path() == "/";
        let challenge = "Basic realm=\"trueup hub\"";
        if is_page { problem.with(header::WWW_AUTHENTICATE, challenge) } else { problem }
    })
}

/// Whether the hub lives; 503 where its store does not answer.
pub(super) async fn health(State(hub): State<Arc<Hub>>) -> Response {
    let store = Arc::clone(&hub.store);
    let tokens = tokio::task::spawn_blocking(move || store.tokens());
    let is_reached = matches!(tokens.await, Ok(Ok(_)));
    let status = if is_reached { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if is_reached { "ok" } else { "degraded" },
        "store": if is_reached { "ok" } else { "unreachable" },
        "uptime_seconds": hub.start.elapsed().as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    (status, axum::Json(body)).into_response()
}

/// What the hub itself did, of all tenants together.
pub(super) async fn metrics(
    State(hub): State<Arc<Hub>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    hub.shown(&headers)?;
    let text = hub.counts.text(hub.tokens.devices(), hub.start.elapsed().as_secs());
    Ok(text.into_response())
}
