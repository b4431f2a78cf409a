//! Panics as errors, for products that want them told: nothing that the product shows or returns changes.

use std::cell::Cell;
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::{Frame, Report};

/// How long a panic waits at most for what is done with it.
pub const HOOK_MS_MAX: u64 = 25;

/// The type of an error that is a panic.
const KIND: &str = "panic";

/// Sinks that run at a time at most: where so many have not come back, more would not either.
const SINKS_MAX: usize = 4;

thread_local! {
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

type Sink = dyn Fn(&Report<'_>) + Send + Sync;

/// Has `sink` take each panic, after the hook that was there before has done what it does. No message
/// and no exit code changes, and no panic waits longer than [`HOOK_MS_MAX`].
///
/// The sink runs on a thread of its own: a panic inside a hook would abort the product, and a sink that
/// waits for a lock that the panicking thread holds would wait for ever. No stack is taken, because to
/// find its names can take seconds: what is told is the place of the panic.
pub fn panic_hook(sink: impl Fn(&Report<'_>) + Send + Sync + 'static) {
    let sink: Arc<Sink> = Arc::new(sink);
    let running = Arc::new(AtomicUsize::new(0));
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if IS_OURS.get() {
            return; // A fault of the sink is nobody's message.
        }
        previous(info);
        hand_over(&sink, &running, info);
    }));
}

/// A place among [`SINKS_MAX`], which is free again once it is dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(running: &Arc<AtomicUsize>) -> Option<Self> {
        let before = running.fetch_add(1, Ordering::Relaxed);
        Some(Self(Arc::clone(running))).filter(|_| before < SINKS_MAX)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn hand_over(sink: &Arc<Sink>, running: &Arc<AtomicUsize>, info: &PanicHookInfo<'_>) {
    let Some(taken) = Place::take(running) else { return };
    let sink = Arc::clone(sink);
    let message = info.payload_as_str().unwrap_or("a panic without a text").to_owned();
    let place = info.location().map(|at| (at.file().to_owned(), at.line()));
    let (done, is_done) = mpsc::sync_channel::<()>(1);
    let run = move || {
        let _taken = taken;
        IS_OURS.set(true);
        let frame = place.as_ref().map(|(file, line)| Frame::in_file(file, *line));
        sink(&Report {
            kind: KIND,
            message: &message,
            template: None,
            frames: frame.as_slice(),
            is_handled: false,
        });
        drop(done);
    };
    if thread::Builder::new().name("telemetry-panic".to_owned()).spawn(run).is_ok() {
        // Whether it is done or not, the panic goes on.
        is_done.recv_timeout(Duration::from_millis(HOOK_MS_MAX)).ok();
    }
}
