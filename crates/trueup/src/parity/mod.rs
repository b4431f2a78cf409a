//! The account against what providers say: where the rows of each side come from.
//!
//! The comparison itself is `trueup_core::reconcile`; how it is shown is in `render/parity`.

mod account;
pub(crate) mod baseline;
mod sides;
mod stated;

pub(crate) use sides::{Gathered, Narrow, gather};
pub(crate) use stated::Stated;
