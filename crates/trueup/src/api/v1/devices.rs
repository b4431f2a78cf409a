//! `GET /api/v1/devices`: who tells a hub, and whether all of it came.
//!
//! On a machine that is no hub there are none.

use serde_json::Value;

use super::asked::{Asked, Kind, Parameter};
use super::{Endpoint, Failed, Sight};
use crate::fleet;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/api/v1/devices",
    about: "The devices of a hub: when each was heard of, and what is known to be missing of it",
    parameters: &[PART],
    answer,
};

const PART: &[Parameter] = &[
    Parameter { name: "limit", about: "how many at once", kind: Kind::Count(1, 10_000, 10_000) },
    Parameter { name: "cursor", about: "`next_cursor` of the part before", kind: Kind::Text },
];

/// Devices of a part: the dashboard looks among them by itself.
const LIMIT: usize = 10_000;

fn answer(asked: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    let part = fleet::Part {
        behind: asked.text("cursor").unwrap_or_default(),
        limit: asked.count("limit", LIMIT),
    };
    Ok(fleet::told(sight.kept, sight.config, sight.now, part)?)
}
