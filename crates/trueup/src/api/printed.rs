//! `GET /v1/sessions`, `/v1/completeness`, `/v1/parity`: what these verbs print, for the same command on
//! another machine.
//!
//! ```text
//! /v1/sessions?last=5&project=/home/u/app&columns=80&colour=true
//! ```

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::report::{TERMINAL, show_on, wrong};
use super::v1::{Failed, Pairs, named, pairs_of};
use super::{App, Problem};
use crate::question::EXIT_CODE;

/// Each path with the name of its question.
const PATHS: [(&str, &str); 3] = [
    ("/v1/completeness", "query_completeness"),
    ("/v1/parity", "check_parity"),
    ("/v1/sessions", "list_sessions"),
];

pub(super) fn routes() -> Router<Arc<App>> {
    PATHS.into_iter().fold(Router::new(), |router, (path, name)| {
        let answer = async move |State(app): State<Arc<App>>,
                                 pairs: Result<Query<Pairs>, QueryRejection>| {
            answer(&app, name, pairs).await
        };
        router.route(path, get(answer))
    })
}

async fn answer(
    app: &Arc<App>,
    name: &str,
    pairs: Result<Query<Pairs>, QueryRejection>,
) -> Result<Response, Problem> {
    let pairs = pairs_of(pairs)?;
    let question = named(app, name).ok_or_else(Problem::not_found)?;
    let printed = question.printed.as_ref().ok_or_else(Problem::not_found)?;
    let mut terminal = TERMINAL;
    let (of_terminal, asked): (Pairs, Pairs) =
        pairs.into_iter().partition(|(name, _)| matches!(name.as_str(), "columns" | "colour"));
    for (name, value) in of_terminal {
        show_on(&mut terminal, &name, &value).map_err(wrong)?;
    }
    let given = question.read_printed(printed, &asked).map_err(wrong)?;
    let own = Arc::clone(app);
    let read = move |_: &_, _: &_| {
        let mut text = Vec::new();
        let code = (printed.print)(&given, &own.config, terminal, &mut text)?;
        Ok((code, text))
    };
    match app.read(read).await {
        Ok((code, text)) => {
            let media = (header::CONTENT_TYPE.as_str(), "text/plain; charset=utf-8".to_owned());
            Ok(([media, (EXIT_CODE, code.to_string())], text).into_response())
        }
        Err(error) => Err(Failed::from(error).into()),
    }
}
