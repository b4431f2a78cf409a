//! `trueup parity`, against a simulated provider whose every row is known.
//!
//! The account is made of the same world as the provider's answers: each row becomes the calls that it
//! is the sum of, posted to `serve`. What a test leaves out, doubles or moves is what parity must find,
//! and nothing else.

mod defects;
mod forms;
mod gaps;
mod states;
pub(crate) mod world;
