//! What providers say was used and charged, read into facts.
//!
//! A [`Provider`] knows which families of usage a service tells of, how to ask for a range of one, and
//! how a page of the answer becomes [facts](trueup_core::BilledFact). It knows neither sockets nor the
//! ledger: a request is a value, and a page is bytes. A [`StatementReader`] reads the files that they let
//! their customers download.
//!
//! ```
//! use trueup_providers::{Ask, Span, provider};
//! let openai = provider("openai").unwrap();
//! let family = openai.families().first().unwrap();
//! let span = Span::days("2026-11-01", "2026-11-03").unwrap();
//! let request = openai.request(&Ask::new(family, span));
//! assert!(request.target().starts_with("/organization/usage/completions?start_time=1793491200&"));
//! ```

mod anthropic;
mod ask;
mod fields;
mod litellm;
mod openai;
mod openrouter;
mod provider;
mod reading;
mod refusal;
mod statement;

pub use ask::{Ask, Cursor, Span};
pub use provider::{Auth, Family, NamesOf, NamesPage, Page, Provider};
pub use refusal::{Refusal, refusal};
pub use statement::{
    FOCUS_COLUMNS, FocusWriter, Format, RECORD_BYTES_MAX, STATEMENTS, StatementError,
    StatementOptions, StatementReader, StatementSummary,
};

/// Every provider, in the order of output.
pub static PROVIDERS: &[&dyn Provider] =
    &[&openai::OpenAi, &anthropic::Anthropic, &openrouter::OpenRouter, &litellm::LiteLlm];

/// The provider of an id.
#[must_use]
pub fn provider(id: &str) -> Option<&'static dyn Provider> {
    PROVIDERS.iter().copied().find(|provider| provider.id() == id)
}
