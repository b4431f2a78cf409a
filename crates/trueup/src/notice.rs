//! Notices when somebody writes in the stores' folders, so that what is new is read at once.
//!
//! Noticing is only quicker: whoever looks must look now and then anyway, for folders that are not
//! there yet, for network volumes, and for systems that watch no more folders.

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::ticker::Ticker;

/// Room for the events of one read.
const EVENTS_BYTES: usize = 4 << 10;

/// Watches folders.
#[derive(Debug)]
pub(crate) struct Notice {
    events: Arc<OwnedFd>,
    ticker: Arc<Ticker>,
    watched: HashSet<PathBuf>,
    is_full: bool,
}

impl Notice {
    /// Starts a thread that wakes `ticker` whenever something is written in a watched folder; `None`
    /// where the system watches none.
    pub(crate) fn spawn(ticker: Arc<Ticker>) -> Option<Self> {
        let events = Arc::new(inotify::init(CreateFlags::CLOEXEC).ok()?);
        let notice = Self {
            events: Arc::clone(&events),
            ticker: Arc::clone(&ticker),
            watched: HashSet::new(),
            is_full: false,
        };
        let wait = move || {
            let mut room = [MaybeUninit::uninit(); EVENTS_BYTES];
            let mut events = inotify::Reader::new(&*events, &mut room);
            // Which file it was does not matter: a look finds out.
            while matches!(events.next(), Ok(_) | Err(Errno::INTR)) {
                ticker.wake();
            }
        };
        // Ends with the process.
        std::thread::Builder::new().name("notice".into()).spawn(wait).ok()?;
        Some(notice)
    }

    /// Watches these folders, too. What was written in new ones before now was not noticed: the ticker
    /// is woken once more.
    pub(crate) fn watch(&mut self, folders: &[PathBuf]) {
        let written = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::ONLYDIR;
        let mut is_any_new = false;
        for folder in folders {
            if self.is_full || self.watched.contains(folder) {
                continue;
            }
            match inotify::add_watch(&*self.events, folder.as_path(), written) {
                Ok(_) => {
                    self.watched.insert(folder.clone());
                    is_any_new = true;
                }
                Err(Errno::NOSPC | Errno::NOMEM) => {
                    tracing::warn!(
                        folders = self.watched.len(),
                        "the system watches no more folders; the others are looked at now and then"
                    );
                    self.is_full = true;
                }
                // Gone meanwhile, or not ours to watch.
                Err(_) => {}
            }
        }
        // A folder that is gone is not watched any more, even if one of its name comes back.
        if self.watched.len() > folders.len() {
            let there: HashSet<&PathBuf> = folders.iter().collect();
            self.watched.retain(|folder| there.contains(folder));
        }
        if is_any_new {
            self.ticker.wake();
        }
    }
}
