//! The file of accepted differences.
//!
//! ```json
//! {"schema":1,"accepted":[{"class":"missing_local","key":"key_ci","until":"2026-12-31","reason":"CI"}]}
//! ```

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use trueup_core::reconcile::Accepted;

use crate::config::read_text;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Baseline {
    schema: u32,
    accepted: Vec<Accepted>,
}

/// Reads it; what is wrong in it is told with its place.
pub(crate) fn read(path: &Path) -> Result<Vec<Accepted>> {
    let text = read_text(path)?;
    let baseline: Baseline =
        serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    if baseline.schema != 1 {
        bail!("{}: schema {} is not known; it must be 1", path.display(), baseline.schema);
    }
    for (number, one) in (1..).zip(&baseline.accepted) {
        if !one.has_known_class() {
            let class = one.class.as_deref().unwrap_or_default();
            bail!("{}: accepted difference {number}: there is no class `{class}`", path.display());
        }
        if one.reason.trim().is_empty() {
            bail!("{}: accepted difference {number}: reason is empty", path.display());
        }
    }
    Ok(baseline.accepted)
}
