//! `GET /api/v1/devices`: who tells a hub, and whether all of it came.
//!
//! On a machine that is no hub there are none.

use serde_json::Value;

use super::asked::Asked;
use super::{Endpoint, Failed, Sight};
use crate::fleet;

pub(super) const ENDPOINT: Endpoint = Endpoint {
    path: "/api/v1/devices",
    about: "The devices of a hub: when each was heard of, and what is known to be missing of it",
    parameters: &[],
    answer,
};

fn answer(_: &Asked, sight: &Sight<'_>) -> Result<Value, Failed> {
    Ok(fleet::told(sight.ledger, sight.config, sight.now)?)
}
