//! Hooks: what trueup puts into an agent, when it is asked to, so that the agent tells of what would be
//! gone by the next look.
//!
//! A hook leaves files in a spool folder, and nothing more. It needs no trueup that runs, and no
//! account needs it to be right: what stands in a session's files is read from there.

pub(crate) mod openclaw;
pub(crate) mod spool;
