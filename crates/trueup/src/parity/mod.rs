//! The account against what providers say: where the rows of each side come from.
//!
//! The comparison itself is `trueup_core::reconcile`; how it is shown is in `render/parity`.

pub(crate) mod baseline;
mod sides;
mod stated;

pub(crate) use sides::{Gathered, Narrow, charged, gather};
pub(crate) use stated::Stated;
