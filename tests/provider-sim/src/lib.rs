//! A stand-in for the usage interfaces of OpenAI, Anthropic, OpenRouter and LiteLLM.
//!
//! It makes a world of usage from a seed, keeps the truth about it in a ledger of its own, and tells
//! it as the providers do: page by page, late, corrected, throttled, and broken where a test says so.
//! What a test expects is computed from that ledger, never from what was answered. It shares no code
//! with trueup; its answers are checked against the official API description and read with the
//! official SDKs by `scripts/prove-providers`.

#![expect(clippy::indexing_slicing, reason = "a field that a JSON value does not have is null")]

mod fault;
mod http;
mod openai;
mod others;
mod rng;
mod server;
mod world;

pub use fault::Fault;
pub use server::{KEY, KEY_WITHOUT_SCOPE, Sim};
pub use world::{DAY_S, Plan, Told, Truth, today};
