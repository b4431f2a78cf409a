//! The six routes by which PostHog's SDK test harness drives an SDK, in front of our sink: what is captured
//! is queued in a store, and delivered as everything is.
//!
//! ```text
//! GET  /health   {"sdk_name":"trueup-telemetry","capabilities":["capture_v0"],…}
//! POST /init     {"api_key":"phc_…","host":"http://…","flush_at":1,"max_retries":3}
//! POST /capture  {"distinct_id":"u","event":"e","properties":{…},"timestamp":"…"} → {"uuid":"…"}
//! POST /flush    → {"events_flushed":1}, once nothing more will be sent
//! GET  /state    {"pending_events":0,"total_events_sent":1,"requests_made":[…],…}
//! POST /reset
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value as Json, json};
use tempfile::TempDir;
use trueup_core::UnixMs;
use trueup_telemetry::budget::{Caps, Class, Day};
use trueup_telemetry::deliver::{Bounds, Clock, Ended, Transport, deliver};
use trueup_telemetry::manifest::Sink;
use trueup_telemetry::net::Net;
use trueup_telemetry::outbox::Draft;
use trueup_telemetry::rollup::{Plan, RollupSpec};
use trueup_telemetry::sink::{Answer, Context, Encoder, LIBRARY, LIBRARY_VERSION, Outgoing};
use trueup_telemetry::sink::{Request, Unreachable};
use trueup_telemetry::state::{Settings, Store};
use uuid::Uuid;

use super::http::{Asked, Server};

/// Starts an adapter that speaks v0 or v1.
pub(crate) fn start(address: &str, is_v1: bool) -> Server {
    let sdk: Mutex<Option<Sdk>> = Mutex::new(None);
    Server::start(address, move |asked| {
        let mut sdk = sdk.lock().unwrap();
        let (status, body) = match answer(&mut sdk, &asked, is_v1) {
            Ok(body) => (200, body),
            Err(error) => (400, json!({ "error": error })),
        };
        let json = ("content-type".to_owned(), "application/json".to_owned());
        Some((status, vec![json], body.to_string().into_bytes()))
    })
}

fn answer(sdk: &mut Option<Sdk>, asked: &Asked, is_v1: bool) -> Result<Json, String> {
    let path = asked.path.split('?').next().unwrap_or_default();
    let body: Json = serde_json::from_slice(&asked.body).unwrap_or_default();
    let begun = "POST /init comes first";
    // Of v0 gzip is no capability: it is asked of everybody.
    let capabilities: &[&str] =
        if is_v1 { &["capture_v1", "encoding_gzip"] } else { &["capture_v0"] };
    match path {
        "/health" => Ok(json!({
            "sdk_name": LIBRARY,
            "sdk_version": LIBRARY_VERSION,
            "adapter_version": "1.0.0",
            "capabilities": capabilities,
        })),
        "/init" => {
            *sdk = Some(Sdk::new(&body, is_v1).ok_or("api_key and host must be there")?);
            Ok(json!({ "success": true }))
        }
        "/capture" => sdk.as_mut().ok_or(begun)?.capture(&body),
        "/flush" => {
            let flushed = sdk.as_mut().map_or(Ok(0), Sdk::flush)?;
            Ok(json!({ "success": true, "events_flushed": flushed }))
        }
        "/state" => Ok(sdk.as_ref().map_or_else(|| state(0, [0; 2], None, &[]), Sdk::state)),
        "/reset" => {
            *sdk = None;
            Ok(json!({ "success": true }))
        }
        other => Err(format!("there is no {other}")),
    }
}

struct Sdk {
    _folder: TempDir,
    store: Store,
    sink: Sink,
    flush_at: usize,
    bounds: Bounds,
    pending: Vec<(String, Outgoing)>,
    captured: usize,
    sent: usize,
    last_error: Option<String>,
    requests: Arc<Mutex<Vec<Json>>>,
}

impl Sdk {
    fn new(init: &Json, is_v1: bool) -> Option<Self> {
        let folder = TempDir::new().ok()?;
        let caps = Caps {
            events_per_day: 0,
            hard_cap: 1_000_000,
            bytes_per_day: u64::MAX,
            requests_per_day: 1_000_000,
            ..Caps::default()
        };
        let settings = Settings { caps, install: String::new(), namespace: Uuid::NAMESPACE_URL };
        let plan = Arc::new(Plan::new(vec![RollupSpec::session("unused")]).ok()?);
        let store = Store::new(&folder.path().join("telemetry"), plan, settings, [1; 16]);
        let retries = init["max_retries"].as_u64().unwrap_or(3);
        let host = init["host"].as_str()?.to_owned();
        let key = init["api_key"].as_str()?.to_owned();
        let is_gzip = init["enable_compression"].as_bool().unwrap_or(false);
        Some(Self {
            _folder: folder,
            store,
            sink: Sink::PostHog { host, key, is_v1, geoip: false, is_gzip },
            flush_at: usize::try_from(init["flush_at"].as_u64().unwrap_or(100)).ok()?,
            bounds: Bounds {
                failures_max: u32::try_from(retries).ok()?.saturating_add(1),
                ..Bounds::default()
            },
            pending: Vec::new(),
            captured: 0,
            sent: 0,
            last_error: None,
            requests: Arc::default(),
        })
    }

    fn capture(&mut self, event: &Json) -> Result<Json, String> {
        let text = |name: &str| event[name].as_str().map(str::to_owned);
        let id = text("distinct_id").ok_or("distinct_id must be there")?;
        let name = text("event").ok_or("event must be there")?;
        let time = match text("timestamp") {
            Some(time) => UnixMs::parse_rfc3339(&time).ok_or("timestamp is no time")?,
            None => Passing::new().now(),
        };
        let uuid = Uuid::new_v4();
        let properties: Map<String, Json> =
            event["properties"].as_object().cloned().unwrap_or_default();
        let class = Class::Lifecycle;
        let event = Outgoing { uuid, name, class, time, is_person: false, properties };
        self.pending.push((id, event));
        self.captured += 1;
        if self.pending.len() >= self.flush_at {
            self.flush()?;
        }
        Ok(json!({ "success": true, "uuid": uuid.to_string() }))
    }

    /// Queues what is pending, a request for each id, and sends until nothing more will be.
    fn flush(&mut self) -> Result<usize, String> {
        let mut by_id: BTreeMap<String, Vec<Outgoing>> = BTreeMap::new();
        for (id, event) in std::mem::take(&mut self.pending) {
            by_id.entry(id).or_default().push(event);
        }
        let before = self.sent;
        let clock = Passing::new();
        let mut encoder = Encoder::new(&self.sink, Context::default(), None);
        for (id, events) in by_id {
            let context = Context { install: id, ..Context::default() };
            encoder = Encoder::new(&self.sink, context, None);
            let now = clock.now();
            let draft = Draft {
                class: Class::Lifecycle,
                event: "captured".to_owned(),
                uuids: events.iter().map(|event| event.uuid).collect(),
                day: Day::of(now),
                body: encoder.encode(&events, now),
            };
            self.store.queue(draft, None, now).map_err(|error| error.to_string())?;
        }
        let mut transport = Noted { net: Net::default(), requests: Arc::clone(&self.requests) };
        let bounds = self.bounds;
        let delivered =
            deliver(&mut self.store, &encoder, &mut transport, &clock, &|| true, bounds);
        let delivered = delivered.map_err(|error| error.to_string())?;
        match delivered.ended {
            Ended::Failed(error) | Ended::Stopped(error) => self.last_error = Some(error),
            Ended::Done | Ended::Short(_) | Ended::OutOfTime | Ended::Forbidden => {}
        }
        let now = clock.now();
        let look = self.store.look(now).map_err(|error| error.to_string())?;
        let sent = look.items.iter().filter(|item| item.status == Some(200));
        self.sent = sent.map(|item| item.uuids.len()).sum();
        Ok(self.sent.saturating_sub(before))
    }

    fn state(&self) -> Json {
        let requests = self.requests.lock().unwrap();
        let sums = [self.captured, self.sent];
        state(self.pending.len(), sums, self.last_error.as_deref(), &requests)
    }
}

fn state(
    pending: usize,
    [captured, sent]: [usize; 2],
    last_error: Option<&str>,
    requests: &[Json],
) -> Json {
    let retries = requests.iter().filter(|one| one.get("retry_attempt") != Some(&Json::from(0)));
    json!({
        "pending_events": pending,
        "total_events_captured": captured,
        "total_events_sent": sent,
        "total_retries": retries.count(),
        "last_error": last_error,
        "requests_made": requests,
    })
}

/// The network, with a note of each request.
struct Noted {
    net: Net,
    requests: Arc<Mutex<Vec<Json>>>,
}

impl Transport for Noted {
    fn send(&mut self, request: &Request, time_max: Duration) -> Result<Answer, Unreachable> {
        let answer = self.net.send(request, time_max);
        let body: Json = serde_json::from_slice(&request.body).unwrap_or_default();
        let batch = body.get("batch").and_then(Json::as_array).cloned().unwrap_or_default();
        let uuid = |event: &Json| event.get("uuid").cloned();
        let uuids: Vec<Json> = batch.iter().filter_map(uuid).collect();
        let mut requests = self.requests.lock().unwrap();
        let again =
            requests.iter().filter(|one| one.get("uuid_list") == Some(&Json::from(uuids.clone())));
        let again = again.count();
        requests.push(json!({
            "timestamp_ms": Passing::new().now().0,
            "status_code": answer.as_ref().map_or(0, |answer| answer.status),
            "retry_attempt": again,
            "event_count": uuids.len(),
            "uuid_list": uuids,
        }));
        drop(requests);
        answer
    }
}

/// Time as it passes.
struct Passing(Instant);

impl Passing {
    fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Passing {
    #[expect(clippy::disallowed_methods, reason = "an adapter is a program of its own")]
    fn now(&self) -> UnixMs {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixMs(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "an adapter is a program of its own")]
    fn wait(&self, time: Duration) -> bool {
        std::thread::sleep(time);
        true
    }
}
