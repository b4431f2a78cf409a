//! `GET /api/v1/live`: an event whenever the account has changed, as server-sent events.
//!
//! The writer says that it has committed something, and only that: nothing here looks at the file, or
//! at the clock, while nobody listens. Of all listeners the first that hears of a change reads what is
//! new, for all. Before a store on ClickHouse any hub may write: while somebody listens it is asked now and
//! then how often calls were written.
//!
//! ```text
//! event: usage
//! id: 412
//! data: {"seq":412,"as_of":"2026-11-03T10:00:00.000Z","calls":[]}
//! ```

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use trueup_core::FactId;
use trueup_core::prices::PriceBook;
use trueup_core::report::{CostMode, Pricer};
use trueup_ledger::Writer;

use super::asked::Asked;
use super::{App, Pairs, Problem, pairs_of, told};
use crate::clock;
use crate::facts::SeenCall;
use crate::hub::Tenant;
use crate::usage::Keeping;

pub(super) const PATH: &str = "/api/v1/live";
pub(super) const ABOUT: &str = "An event whenever the account has changed";

/// Listeners at once: tabs of a few people.
const LISTENERS_MAX: usize = 32;
/// The least time between two events: no more than four a second.
const GAP: Duration = Duration::from_millis(250);
/// How long nothing is said before a line says that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often a store is asked whether calls were written, where any hub may do so.
const MARKS_EVERY: Duration = Duration::from_secs(2);
/// How long an event waits for a listener to read the one before; then the listener is let go.
const PATIENCE: Duration = Duration::from_secs(30);
/// Calls of an event.
const CALLS_MAX: usize = 20;
/// Calls that are remembered as told: agents write theirs down in no order among each other.
const REMEMBERED_MAX: u32 = 200;

/// Changes, and who wants to hear of them.
pub(in crate::api) struct Live {
    /// How often the account has changed since the start.
    changes: watch::Sender<u64>,
    has_ended: watch::Sender<bool>,
    places: Arc<Semaphore>,
    latest: Mutex<Latest>,
    /// When a store was last asked how often calls were written, and what it said.
    marks: Mutex<Option<(Instant, u64)>>,
}

/// What was last read.
#[derive(Default)]
struct Latest {
    /// The change after which it was read; `None` where nothing was.
    seq: Option<u64>,
    read_at: Option<Instant>,
    /// What listeners are told of the change.
    event: Bytes,
    /// What a new listener is told.
    start: Bytes,
    remembered: Arc<BTreeSet<FactId>>,
}

impl Live {
    /// Hears of all that this writer commits.
    pub(in crate::api) fn of(writer: &Writer) -> Self {
        let changes = watch::Sender::new(0);
        let told = changes.clone();
        writer.on_change(move || told.send_modify(|seq| *seq += 1));
        Self {
            changes,
            has_ended: watch::Sender::new(false),
            places: Arc::new(Semaphore::new(LISTENERS_MAX)),
            latest: Mutex::new(Latest::default()),
            marks: Mutex::default(),
        }
    }

    /// Ends all streams, and those to come.
    pub(in crate::api) fn end(&self) {
        self.has_ended.send_replace(true);
    }
}

/// Begins a stream.
pub(super) async fn answer(
    State(app): State<Arc<App>>,
    pairs: Result<Query<Pairs>, QueryRejection>,
) -> Result<Response, Problem> {
    Asked::of(&[], pairs_of(pairs)?)?;
    let place = Arc::clone(&app.live.places).try_acquire_owned();
    let place = place.map_err(|_| Problem::busy("too many listen already; close one"))?;
    let (teller, told) = mpsc::channel(1);
    drop(tokio::spawn(listen(app, teller, place)));
    let mut response = Response::new(Body::new(Events(told)));
    let form = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, form);
    Ok(response)
}

/// Events as a body that ends when nobody tells any more.
struct Events(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

/// Tells one listener, until it leaves or the process ends.
async fn listen(app: Arc<App>, teller: mpsc::Sender<Bytes>, place: OwnedSemaphorePermit) {
    let mut has_ended = app.live.has_ended.subscribe();
    tokio::select! {
        () = tell(&app, &teller) => {}
        () = teller.closed() => {}
        _ = has_ended.wait_for(|has_ended| *has_ended) => {}
    }
    drop(place);
}

async fn tell(app: &Arc<App>, teller: &mpsc::Sender<Bytes>) {
    app.look_for_marks().await;
    let mut changes = app.live.changes.subscribe();
    let seq = *changes.borrow_and_update();
    let (mut told, mut event) = app.latest(seq, |latest| &latest.start).await;
    loop {
        if !is_taken(teller, event, PATIENCE).await {
            return;
        }
        let told_at = Instant::now();
        event = loop {
            let pause = if app.kept.tenant().is_some() { MARKS_EVERY } else { KEEP_ALIVE };
            match timeout(pause, changes.changed()).await {
                Err(_) if told_at.elapsed() >= KEEP_ALIVE => break Bytes::from_static(b":\n\n"),
                Err(_) => {
                    app.look_for_marks().await;
                    continue;
                }
                Ok(Err(_)) => return,
                Ok(Ok(())) => {}
            }
            let seq = *changes.borrow_and_update();
            let (seq, event) = app.latest(seq, |latest| &latest.event).await;
            if seq > told {
                told = seq;
                break event;
            }
        };
    }
}

/// Hands an event over; false where the listener has left, or has not read the one before for so long.
async fn is_taken(teller: &mpsc::Sender<Bytes>, event: Bytes, patience: Duration) -> bool {
    matches!(timeout(patience, teller.send(event)).await, Ok(Ok(())))
}

impl App {
    /// What is known after this change, or a later one: which one, and a part of it.
    async fn latest(
        self: &Arc<Self>,
        seq: u64,
        part: impl FnOnce(&Latest) -> &Bytes,
    ) -> (u64, Bytes) {
        let mut latest = self.live.latest.lock().await;
        if latest.seq.is_none_or(|known| known < seq) {
            if let Some(read_at) = latest.read_at {
                sleep_until(read_at + GAP).await;
            }
            self.read_latest(&mut latest).await;
        }
        (latest.seq.unwrap_or(seq), part(&latest).clone())
    }

    /// Asks a store whether calls were written, if nobody has just done so, and tells of it.
    async fn look_for_marks(self: &Arc<Self>) {
        if self.kept.tenant().is_none() {
            return;
        }
        let mut known = self.live.marks.lock().await;
        if known.is_some_and(|(at, _)| at.elapsed() < MARKS_EVERY) {
            return;
        }
        let marks = self.read(|kept, _| kept.tenant().map_or(Ok(0), Tenant::marks)).await;
        let before = known.map(|(_, marks)| marks);
        // Where it does not answer it is asked again later, and told then.
        let now = marks.ok().or(before);
        *known = now.map(|now| (Instant::now(), now));
        if before.is_some() && before != now {
            self.live.changes.send_modify(|seq| *seq += 1);
        }
    }

    async fn read_latest(self: &Arc<Self>, latest: &mut Latest) {
        // Before it is read: what changes meanwhile is told again.
        let seq = *self.live.changes.borrow();
        let remembered = Arc::clone(&latest.remembered);
        let read = move |kept: &Keeping, book: &PriceBook| look(kept, book, &remembered);
        // Where the ledger is busy listeners hear of the change alone, and of the calls next time.
        let look = self.read(read).await.unwrap_or_else(|_| Look {
            remembered: Arc::clone(&latest.remembered),
            new: Vec::new(),
            latest: Vec::new(),
        });
        let as_of = match self.kept.tenant() {
            None => self.writer.health().last_commit.max(self.threads.watch.seen().last_sync),
            Some(_) => Some(clock::now()),
        };
        let event = |calls: Vec<Value>| {
            let as_of = as_of.map(|time| time.to_string());
            let data = json!({"seq": seq, "as_of": as_of, "calls": calls});
            Bytes::from(format!("event: usage\nid: {seq}\ndata: {data}\n\n"))
        };
        *latest = Latest {
            seq: Some(seq),
            read_at: Some(Instant::now()),
            event: event(look.new),
            start: event(look.latest),
            remembered: look.remembered,
        };
    }
}

/// What a look at the ledger brings.
struct Look {
    remembered: Arc<BTreeSet<FactId>>,
    /// Calls that were not there before, the last first.
    new: Vec<Value>,
    /// The latest calls, the last first.
    latest: Vec<Value>,
}

fn look(kept: &Keeping, book: &PriceBook, known: &BTreeSet<FactId>) -> Result<Look> {
    let calls = kept.facts(None)?.latest_calls(REMEMBERED_MAX)?;
    let mut pricer = Pricer::new(book, CostMode::Auto);
    let mut shown = |call: &SeenCall| {
        json!({
            "id": call.id.to_string(),
            "at": call.time.to_string(),
            "agent": call.series.source,
            "model": call.series.model,
            "session": call.session,
            "total": call.counters.tokens.total(),
            "cost_usd": told::cost(call, &mut pricer),
        })
    };
    let new = calls.iter().filter(|call| !known.contains(&call.id)).take(CALLS_MAX);
    let new = new.map(&mut shown).collect();
    let latest = calls.iter().take(CALLS_MAX).map(&mut shown).collect();
    let remembered = Arc::new(calls.iter().map(|call| call.id).collect());
    Ok(Look { remembered, new, latest })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that nobody polls holds one event; the next one waits for it as long as patience lasts.
    #[test]
    fn a_listener_that_reads_nothing_is_let_go_and_a_slow_one_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let patience = Duration::from_millis(200);
            let event = || Bytes::from_static(b"event");
            let (teller, mut told) = mpsc::channel(1);
            let start = Instant::now();
            assert!(is_taken(&teller, event(), patience).await, "there is room for one");
            assert!(!is_taken(&teller, event(), patience).await, "nobody has read it");
            assert!(start.elapsed() >= patience);
            let slow = async {
                tokio::time::sleep(patience / 4).await;
                told.recv().await
            };
            let (is_taken_now, read) = tokio::join!(is_taken(&teller, event(), patience), slow);
            assert!(is_taken_now && read.is_some(), "it read in time");
            drop(told);
            assert!(!is_taken(&teller, event(), patience).await, "it has left");
        });
    }
}
