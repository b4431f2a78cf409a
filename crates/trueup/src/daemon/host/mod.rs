//! How the machine is: a sample every few seconds, as the container that holds the agents has it.
//!
//! ```text
//! cgroup2  cpu 12.5 % of 0.5 cores  memory 180 of 512 MB  12 processes, none a zombie
//! ```
//!
//! A thread reads small files of the kernel and starts nothing. What it cannot read it leaves out;
//! docs/host-metrics.md says where each value comes from.

mod files;
mod groups;
mod rates;
mod reading;
mod sampler;
mod surroundings;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use trueup_core::{Batch, HostMetric};
use trueup_ledger::Writer;
use uuid::Uuid;

use crate::clock;
use crate::ticker::Ticker;
use sampler::{Moment, Sampler, facts};

/// The last sample.
#[derive(Debug, Default)]
pub(crate) struct Host(Mutex<Option<HostMetric>>);

impl Host {
    /// The last sample; `None` before the first, and where none are taken.
    pub(crate) fn last(&self) -> Option<HostMetric> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, sample: HostMetric) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sample);
    }
}

/// What the thread works with.
pub(super) struct Task {
    /// The ledger file, for its volume.
    pub(super) ledger: PathBuf,
    pub(super) writer: Arc<Writer>,
    pub(super) ticker: Arc<Ticker>,
    pub(super) host: Arc<Host>,
}

/// Starts the thread. It ends with its ticker, or with the process.
pub(super) fn spawn(task: Task) -> std::io::Result<()> {
    std::thread::Builder::new().name("host".into()).spawn(move || task.run()).map(drop)
}

impl Task {
    fn run(&self) {
        let mut sampler = Sampler::new(Path::new("/"), &self.ledger);
        let start = Instant::now();
        loop {
            let random = Uuid::new_v4().as_u128();
            // A v4 id has six bits that are always the same; above them are others that are not.
            let random = random ^ (random >> 48);
            let moment = Moment { now: clock::now(), at: start.elapsed(), random };
            let (sample, error) = sampler.sample(moment);
            self.host.put(sample.clone());
            let batch = Batch { facts: facts(sample, error), ..Batch::default() };
            if !self.writer.submit(batch) || !self.ticker.tick(Duration::ZERO) {
                break;
            }
        }
    }
}
