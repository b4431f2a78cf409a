//! Budgets of the settings file: what they take in, how they stand, and what is to be told of them.
//!
//! The arithmetic is `trueup_core::budget`; here are the sums of days that go into it, from the account
//! or from what providers say, and the words in which the result is told.

mod days;
#[cfg(test)]
pub(crate) mod example;
mod look;
mod say;
mod settings;
mod standing;

pub(crate) use days::Of;
pub(crate) use look::{Looked, Source, label, look};
pub(crate) use say::{Alert, SCHEMA, budget_json, id_of, percent};
pub(crate) use settings::{Settings, of_toml};
pub(crate) use standing::{Told, standing, turns};
