//! Laws of the state: what is recorded is sent once, however processes end and clocks go.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a broken law panics, in whichever helper it shows"
)]

mod budget_laws;
mod crash_laws;
mod damage_laws;
mod fixtures;
mod machine_laws;
mod outbox;
mod rollup_laws;
mod world;
