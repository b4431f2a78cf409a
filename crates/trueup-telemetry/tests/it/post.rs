//! A store with something to send, time that a test moves, and transports that answer as told.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use trueup_core::UnixMs;
use trueup_telemetry::budget::{Class, Day};
use trueup_telemetry::deliver::{Bounds, Clock, Delivered, Transport, deliver};
use trueup_telemetry::manifest::Sink;
use trueup_telemetry::outbox::{Draft, event_uuid};
use trueup_telemetry::sink::{Answer, Context, Encoder, Outgoing, Request, Unreachable};
use trueup_telemetry::state::{Queued, Store};
use uuid::Uuid;

use super::world::{NOON, World, roomy};

/// Time that passes only where it is waited.
pub(crate) struct Virtual {
    pub(crate) now: Cell<UnixMs>,
    pub(crate) elapsed: Cell<Duration>,
}

impl Virtual {
    pub(crate) fn at(now: UnixMs) -> Self {
        Self { now: Cell::new(now), elapsed: Cell::default() }
    }
}

impl Clock for Virtual {
    fn now(&self) -> UnixMs {
        self.now.get()
    }

    fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    fn wait(&self, time: Duration) -> bool {
        self.elapsed.set(self.elapsed.get() + time);
        self.now.set(UnixMs(self.now.get().0 + i64::try_from(time.as_millis()).unwrap()));
        true
    }
}

/// Answers in order, and 200 after that; keeps what was sent, and when.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) answers: RefCell<VecDeque<Result<Answer, Unreachable>>>,
    pub(crate) sent: Vec<Request>,
}

impl Script {
    pub(crate) fn of(answers: Vec<Answer>) -> Self {
        let answers = answers.into_iter().map(Ok).collect();
        Self { answers: RefCell::new(answers), sent: Vec::new() }
    }
}

impl Transport for Script {
    fn send(&mut self, request: &Request, _time_max: Duration) -> Result<Answer, Unreachable> {
        self.sent.push(request.clone());
        self.answers.borrow_mut().pop_front().unwrap_or_else(|| Ok(answer(200)))
    }
}

pub(crate) fn answer(status: u16) -> Answer {
    Answer { status, ..Answer::default() }
}

pub(crate) fn with_header(status: u16, name: &str, value: &str) -> Answer {
    Answer { headers: vec![(name.to_owned(), value.to_owned())], ..answer(status) }
}

pub(crate) fn posthog(host: &str, is_v1: bool) -> Sink {
    Sink::PostHog {
        host: host.to_owned(),
        key: "phc_test".to_owned(),
        is_v1,
        geoip: false,
        is_gzip: false,
    }
}

/// The same place, which bodies go to packed.
pub(crate) fn gzipped(sink: Sink) -> Sink {
    match sink {
        Sink::PostHog { host, key, is_v1, geoip, .. } => {
            Sink::PostHog { host, key, is_v1, geoip, is_gzip: true }
        }
        Sink::Otlp { endpoint, logs, metrics, .. } => {
            Sink::Otlp { endpoint, logs, metrics, is_gzip: true }
        }
        Sink::Webhook { .. } | Sink::File { .. } | Sink::Stdout => panic!("never packed"),
    }
}

pub(crate) fn context() -> Context {
    Context {
        product: "claude-mem".to_owned(),
        version: "13.15.3".to_owned(),
        install: "2f1c7a3e-8f41-4c9a-9d1e-2b1f0c7d9a11".to_owned(),
        base: vec![("version".to_owned(), json!("13.15.3")), ("os".to_owned(), json!("linux"))],
    }
}

pub(crate) fn encoder(sink: &Sink) -> Encoder {
    Encoder::new(sink, context(), Some("a secret of both".to_owned()))
}

/// An event of its own, with one number.
pub(crate) fn event(number: u32, class: Class) -> Outgoing {
    let mut properties = Map::new();
    properties.insert("number".to_owned(), Json::from(number));
    Outgoing {
        uuid: event_uuid(Uuid::NAMESPACE_URL, &[&number.to_string()]),
        name: "test_event".to_owned(),
        class,
        time: UnixMs(NOON.0 - i64::from(number)),
        is_person: false,
        properties,
    }
}

/// A store that has one item of so many events queued.
pub(crate) struct Post {
    pub(crate) world: World,
    pub(crate) store: Store,
    pub(crate) encoder: Encoder,
    pub(crate) clock: Virtual,
}

impl Post {
    pub(crate) fn of(sink: &Sink, events: u32) -> Self {
        let events: Vec<_> = (0..events).map(|number| event(number, Class::Lifecycle)).collect();
        Self::with(encoder(sink), &events)
    }

    pub(crate) fn with(encoder: Encoder, events: &[Outgoing]) -> Self {
        let world = World::new(roomy());
        let mut post = Self { store: world.store(), world, encoder, clock: Virtual::at(NOON) };
        post.queue(events);
        post
    }

    pub(crate) fn queue(&mut self, events: &[Outgoing]) -> u64 {
        let now = self.clock.now();
        let draft = Draft {
            class: events[0].class,
            event: events[0].name.clone(),
            uuids: events.iter().map(|event| event.uuid).collect(),
            day: Day::of(now),
            body: self.encoder.encode(events, now),
        };
        let queued = self.store.queue(draft, None, now).unwrap();
        let Queued::As(number) = queued else { panic!("{queued:?}") };
        number
    }

    pub(crate) fn deliver(&mut self, transport: &mut dyn Transport) -> Delivered {
        self.deliver_within(transport, Bounds::default())
    }

    pub(crate) fn deliver_within(
        &mut self,
        transport: &mut dyn Transport,
        bounds: Bounds,
    ) -> Delivered {
        let Self { store, encoder, clock, .. } = self;
        deliver(store, encoder, transport, clock, &|| true, bounds).unwrap()
    }
}
