//! Words from the writer's thread to the requests that wait for it.
//!
//! One transaction answers many requests. Told one by one, each would wake the listener's thread with a
//! system call; they are collected instead, and handed out on the thread itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use trueup_ledger::Done;

/// A request that waits, and whether its records are safe.
type Ack = (oneshot::Sender<bool>, bool);

/// What the writer has said and no request has heard.
#[derive(Debug, Default)]
pub(super) struct Acks {
    said: Mutex<Vec<Ack>>,
    has_come: Notify,
}

impl Acks {
    /// Starts to hand them out, on the present runtime, until that ends.
    pub(super) fn start() -> Arc<Self> {
        let acks = Arc::new(Self::default());
        tokio::spawn(Arc::clone(&acks).deliver());
        acks
    }

    /// A word to come: what the writer calls, and what the request waits for.
    pub(super) fn expect(self: &Arc<Self>) -> (Done, oneshot::Receiver<bool>) {
        let (told, is_written) = oneshot::channel();
        let acks = Arc::clone(self);
        (Box::new(move |is_safe| acks.say((told, is_safe))), is_written)
    }

    fn say(&self, ack: Ack) {
        let mut said = self.lock();
        let is_first = said.is_empty();
        said.push(ack);
        drop(said);
        // Whoever was woken takes what comes meanwhile, too.
        if is_first {
            self.has_come.notify_one();
        }
    }

    async fn deliver(self: Arc<Self>) {
        loop {
            self.has_come.notified().await;
            let said = std::mem::take(&mut *self.lock());
            for (told, is_safe) in said {
                let _is_awaited = told.send(is_safe).is_ok();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Ack>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
