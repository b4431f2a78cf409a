//! The products whose telemetry `serve` takes, each opened once.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use trueup_telemetry::manifest::{Drops, Manifest};
use trueup_telemetry::product::{Options, Telemetry};

use super::{options, with_base};
use crate::config::Config;

/// The longest that telemetry may take at the end.
pub(crate) const SHUTDOWN_MAX: Duration = Duration::from_millis(500);

/// How often it is looked whether what is off was turned on: a thread that would is there only where it
/// is on.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Products(Vec<Arc<Product>>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Product {
    options: Options,
    open: RwLock<Telemetry>,
    base: RwLock<Vec<(String, Json)>>,
    /// When it was last looked whether somebody has turned it on.
    looked: Mutex<Instant>,
}

impl Products {
    /// Opens them.
    pub(crate) fn open(manifests: Vec<Manifest>, config: &Config) -> Self {
        let products = manifests.into_iter().map(|manifest| {
            let options = options(manifest, config);
            let open = RwLock::new(Telemetry::open(options.clone()));
            let base = RwLock::new(options.base.clone());
            let looked = Mutex::new(Instant::now());
            Arc::new(Product { options, open, base, looked })
        });
        Self(products.collect())
    }

    /// The product of a name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Product>> {
        self.0.iter().find(|product| product.manifest().product == name)
    }

    /// Ends them, all at once: what is open is sealed and synced, and one attempt is made to send it.
    pub(crate) fn shut_down(&self) {
        std::thread::scope(|scope| {
            for product in &self.0 {
                let telemetry = product.telemetry();
                scope.spawn(move || telemetry.shut_down(SHUTDOWN_MAX));
            }
        });
    }
}

impl Product {
    /// What it may tell.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.options.manifest
    }

    /// Its telemetry.
    pub(crate) fn telemetry(&self) -> Telemetry {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells it something that waits for nobody. Meanwhile it is not ended for another base: what is
    /// answered as taken is of one that is open.
    pub(crate) fn tell<T>(&self, what: impl FnOnce(&Telemetry) -> T) -> T {
        what(&self.open.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it is off, and it is time to look at the decision again: a flush does.
    pub(crate) fn is_to_look_again(&self) -> bool {
        if !self.telemetry().is_off() {
            return false;
        }
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = looked.elapsed() >= LOOK_INTERVAL;
        if is_time {
            *looked = Instant::now();
        }
        is_time
    }

    /// Has every event from now on carry these fields, as far as the manifest has them. What is open
    /// ends, with the fields that it had. What is dropped is answered.
    pub(crate) fn set_base(&self, given: Vec<(String, Json)>) -> Drops {
        let (base, drops) = with_base(&self.options.base, self.manifest(), given);
        let mut before = self.base.write().unwrap_or_else(PoisonError::into_inner);
        if *before == base {
            return drops;
        }
        before.clone_from(&base);
        // Records meanwhile go to the old one or the new one, each of which has files of its own; none to
        // the old one once it ends.
        let new = Telemetry::open(Options { base, ..self.options.clone() });
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *open, new);
        drop(open);
        old.shut_down(Duration::ZERO);
        drops
    }
}
