//! Where a hub keeps what it is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use trueup_core::{Delivery, FactId, HubToken, Text, UnixMs};

use crate::api::App;

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is there for good.
    Taken {
        /// Words that were new.
        accepted: u64,
        /// Words that said nothing new; `None` where the store finds that out later.
        duplicates: Option<u64>,
        /// What those are about, as far as the store knows.
        known: Vec<FactId>,
        /// When the newest other batch of the device's ledger was made, as far as the store knows.
        newest_at: Option<UnixMs>,
        /// Whether the batch had come before.
        is_replay: bool,
        /// Words that the store does not keep, whatever comes.
        refused: Vec<Refused>,
    },
    /// Another batch has this id.
    Conflict,
}

/// A word that is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its place among the words of the delivery.
    pub(crate) place: usize,
    /// What it is about.
    pub(crate) id: FactId,
    /// Why.
    pub(crate) why: String,
}

/// Why a delivery is not there: it is to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unavailable(pub(crate) String);

/// Called once, from whichever thread.
pub(crate) type Done = Box<dyn FnOnce(Result<Kept, Unavailable>) + Send>;

/// One thing that was looked at, and how it is.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// What: `store`, `schema`, `clock`…
    pub(crate) name: &'static str,
    /// Whether it is as it should be.
    pub(crate) is_ok: bool,
    /// What was seen, and what to do.
    pub(crate) what: String,
}

/// Keeps deliveries and tokens. What is told to be kept is there when the process is killed.
pub(crate) trait Store: fmt::Debug + Send + Sync {
    /// Keeps what a device of a tenant tells.
    fn keep(&self, tenant: &Text, delivery: Delivery, done: Done);

    /// What answers questions about a tenant's account.
    fn reading(&self, tenant: &Text) -> Result<Arc<App>>;

    /// All tokens; revoked ones, too.
    fn tokens(&self) -> Result<Vec<HubToken>>;

    /// A number that is another one once another process has changed tokens; `None` where only reading
    /// them tells.
    fn tokens_version(&self) -> Result<Option<i64>> {
        Ok(None)
    }

    /// Keeps tokens, each in the place of one with its id.
    fn put_tokens(&self, tokens: &[HubToken]) -> Result<()>;

    /// Revokes tokens, and deletes for good what a tenant's devices told, or one of them.
    fn erase(&self, tenant: &str, device: Option<&str>, revoked: &[HubToken]) -> Result<()>;

    /// Looks whether all is as it should be.
    fn look(&self) -> Vec<Look>;

    /// Writes what waits, and ends. `false` where something could not be written in time.
    fn close(&self, patience: Duration) -> bool;
}
