//! The account against what providers say: where the rows of each side come from.
//!
//! The comparison itself is `trueup_core::reconcile`; how it is shown is in `render/parity`.

mod account;
pub(crate) mod baseline;
mod labels;
mod sides;
mod stated;

pub(crate) use account::dollars;
pub(crate) use labels::{KEYS, Names, NamesOf, PROJECTS, labels, own_tier};
pub(crate) use sides::{
    GATEWAY_FAMILY, GATEWAY_PROVIDER, Gathered, Narrow, Told, charged, first_kinds, gather,
    is_own_word, kind_rank, tells_cost, tells_usage,
};
pub(crate) use stated::{Stated, StatedOf};
