//! `GET /api/v1/…`: the account for programs, the dashboard among them (docs/usage-api.md).
//!
//! An [`Endpoint`] is a path, its parameters, and a function from what was asked to JSON; the list of
//! them is all there is: routes, the check of parameters and `GET /openapi.json` are made of it. What
//! is the same for all, such as tags and compression, is [`reply`]'s.

mod asked;
mod devices;
mod errors;
mod export;
mod host;
mod legacy;
mod live;
mod openapi;
mod query;
mod reply;
mod session;
mod sessions;
mod telemetry;
mod told;
mod verbs;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{QueryRejection, RawPathParamsRejection};
use axum::extract::{Query, RawPathParams, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use jiff::tz::TimeZone;
use serde_json::Value;
use trueup_core::UnixMs;
use trueup_core::prices::PriceBook;

use super::{App, Problem};
use crate::config::Config;
use crate::facts::Facts;
use crate::question::Question;
use crate::usage::{Keeping, Usage};
use asked::{Asked, Parameter};
pub(super) use export::EXPORTS_MAX;
pub(super) use live::Live;
pub(super) use reply::{is_known, takes_gzip};

/// What can be asked.
pub(super) struct Endpoint {
    /// With `{name}` for a part that is a parameter, as routes and `OpenAPI` both write it.
    path: &'static str,
    about: &'static str,
    parameters: &'static [&'static [Parameter]],
    answer: fn(&Asked, &Sight<'_>) -> Result<Value, Failed>,
}

/// All but the verbs, which are in [`verbs::PATHS`].
const ENDPOINTS: &[Endpoint] = &[
    query::ENDPOINT,
    sessions::ENDPOINT,
    session::ENDPOINT,
    errors::ENDPOINT,
    host::ENDPOINT,
    devices::ENDPOINT,
    telemetry::ENDPOINT,
    legacy::ENDPOINT,
];

/// What an answer is made from.
struct Sight<'a> {
    kept: &'a Keeping,
    book: &'a PriceBook,
    config: &'a Config,
    /// The zone of days where none is asked for.
    zone: &'a TimeZone,
    now: UnixMs,
    /// When the stores were last read.
    last_sync: Option<UnixMs>,
}

impl Sight<'_> {
    /// What is reported on, confined to the device that is asked about.
    fn usage(&self, asked: &Asked) -> Result<Usage, Failed> {
        Ok(self.kept.usage(asked.text("device"))?)
    }

    /// Single facts, confined likewise.
    fn facts(&self, asked: &Asked) -> Result<Facts, Failed> {
        Ok(self.kept.facts(asked.text("device"))?)
    }
}

/// Why there is no answer.
pub(super) enum Failed {
    /// What was asked is wrong; the sentence says what.
    Refused(String),
    /// There is nothing of that name.
    Missing(String),
    /// It is not known where this account is kept; the sentence says so.
    Unknown(String),
    /// The account could not be read.
    Unread(anyhow::Error),
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        if error.is::<crate::cli::WrongUsage>() {
            return Self::Refused(format!("{error:#}"));
        }
        if error.is::<crate::cli::Nothing>() {
            return Self::Missing(format!("{error:#}"));
        }
        Self::Unread(error)
    }
}

impl From<trueup_ledger::LedgerError> for Failed {
    fn from(error: trueup_ledger::LedgerError) -> Self {
        Self::Unread(error.into())
    }
}

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(refusal) => Self::new(StatusCode::BAD_REQUEST, refusal),
            Failed::Missing(what) => Self::new(StatusCode::NOT_FOUND, what),
            Failed::Unknown(what) => Self::new(StatusCode::NOT_IMPLEMENTED, what),
            Failed::Unread(error) => {
                // Its words may name files and statements: they are for the log.
                tracing::warn!(error = format!("{error:#}"), "usage_not_read");
                Self::busy("the account cannot be read now; try again in a moment")
            }
        }
    }
}

/// The names and values of a URL's parameters, in order.
pub(super) type Pairs = Vec<(String, String)>;

/// Every path.
pub(super) fn routes() -> Router<Arc<App>> {
    let mut router = Router::new()
        .route(openapi::PATH, get(openapi::answer))
        .route(live::PATH, get(live::answer))
        .route(export::PATH, get(export::answer));
    for endpoint in ENDPOINTS {
        router = router.route(
            endpoint.path,
            get(
                async move |State(app): State<Arc<App>>,
                            path: Result<RawPathParams, RawPathParamsRejection>,
                            pairs: Result<Query<Pairs>, QueryRejection>,
                            headers: HeaderMap| {
                    let (path, mut asked) = (path.map_err(unread)?, pairs_of(pairs)?);
                    asked.extend(path.iter().map(|(name, value)| (name.into(), value.into())));
                    let asked = Asked::of(endpoint.parameters, asked)?;
                    answer(&app, &headers, move |sight| (endpoint.answer)(&asked, sight)).await
                },
            ),
        );
    }
    for (path, name) in verbs::PATHS {
        router = router.route(
            path,
            get(
                async move |State(app): State<Arc<App>>,
                            pairs: Result<Query<Pairs>, QueryRejection>,
                            headers: HeaderMap| {
                    let question = named(&app, name).ok_or_else(Problem::not_found)?;
                    let pairs = pairs_of(pairs)?;
                    answer(&app, &headers, move |sight| verbs::answer(question, &pairs, sight))
                        .await
                },
            ),
        );
    }
    router
}

/// The question of a name.
pub(super) fn named(app: &App, name: &str) -> Option<&'static Question> {
    app.known.questions.iter().find(|question| question.name == name)
}

pub(super) fn pairs_of(pairs: Result<Query<Pairs>, QueryRejection>) -> Result<Pairs, Problem> {
    match pairs {
        Ok(Query(pairs)) => Ok(pairs),
        Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, error.body_text())),
    }
}

/// A part of the path is no text.
#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` asks for")]
fn unread(error: RawPathParamsRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, error.body_text())
}

/// Reads an answer on another thread, and puts it into the form that the client takes.
async fn answer(
    app: &Arc<App>,
    headers: &HeaderMap,
    answer: impl FnOnce(&Sight<'_>) -> Result<Value, Failed> + Send + 'static,
) -> Result<Response, Problem> {
    let (now, own) = (crate::clock::now(), Arc::clone(app));
    let headers = headers.clone();
    let read = move |kept: &Keeping, book: &PriceBook| {
        let sight = Sight {
            kept,
            book,
            config: &own.config,
            zone: &own.settings.zone,
            now,
            last_sync: own.threads.watch.seen().last_sync,
        };
        Ok(answer(&sight).map(|answer| reply::of(&answer, &headers)))
    };
    match app.read(read).await {
        Ok(Ok(reply)) => Ok(reply.into_response()),
        Ok(Err(failed)) => Err(failed.into()),
        Err(error) => Err(Problem::busy(&format!("{error:#}"))),
    }
}
