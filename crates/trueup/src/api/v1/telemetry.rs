//! `GET /api/v1/telemetry`: what trueup itself would tell next, and whether it may.
//!
//! Only to look at: the decision is made by `trueup telemetry on`, `local` and `off`. Products of others
//! answer for themselves, at paths that no page may ask ([`crate::api::telemetry`]).
//!
//! ```text
//! {"shown":"Telemetry of trueup is local: it may be recorded on this machine, and nothing is sent.\n", …}
//! ```

use anyhow::Context as _;
use serde_json::{Value, json};

use super::asked::Asked;
use super::{Endpoint, Failed, Sight};
use crate::telemetry::{self, shown};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/api/v1/telemetry",
    about: "What trueup would tell of itself next, to the byte, and whether it may",
    parameters: &[],
    answer,
};

fn answer(_: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    let telemetry = telemetry::look(telemetry::manifest(None)?, sight.config);
    let next = telemetry.preview();
    let mut text = Vec::new();
    shown::write_next(next.as_ref(), &telemetry, &mut text).context("there is no memory")?;
    Ok(json!({
        "schema": 1,
        "status": shown::status(&telemetry.status(), telemetry.manifest()),
        "shown": String::from_utf8_lossy(&text),
        "cli": "trueup telemetry show",
    }))
}
