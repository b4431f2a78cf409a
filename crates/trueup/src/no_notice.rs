//! Nothing is noticed: what `notice` is where the system has no inotify. Whoever looks, looks now and
//! then.

use std::path::PathBuf;
use std::sync::Arc;

use crate::ticker::Ticker;

/// There is none.
#[derive(Debug)]
pub(crate) enum Notice {}

impl Notice {
    pub(crate) fn spawn(_: Arc<Ticker>) -> Option<Self> {
        None
    }

    pub(crate) const fn watch(&self, _: &[PathBuf]) {
        match *self {}
    }
}
