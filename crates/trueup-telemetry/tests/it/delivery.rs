//! What is sent, what an answer does, and what a pass of delivery never does.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use trueup_core::{DAY_MS, UnixMs};
use trueup_telemetry::budget::Class;
use trueup_telemetry::deliver::{Bounds, Clock as _, Ended, Transport as _, deliver};
use trueup_telemetry::manifest::Sink;
use trueup_telemetry::net::Net;
use trueup_telemetry::outbox::{ItemState, sha256_hex};
use trueup_telemetry::sink::{Encoder, Unreachable};
use uuid::Uuid;

use super::http::Asked;
use super::post::{
    Post, Script, Virtual, answer, context, encoder, event, gzipped, posthog, with_header,
};
use super::receiver::{Receiver, Say, events, rows};
use super::world::NOON;

/// Every kind of place that is on the network.
fn places(host: &str) -> Vec<Encoder> {
    let endpoint = format!("{host}/v1/logs?token=phc_test");
    let both = Sink::Otlp { endpoint, logs: true, metrics: true, is_gzip: false };
    let packed = [posthog(host, false), posthog(host, true), both.clone()].map(gzipped);
    let hook = Sink::Webhook { endpoint: format!("{host}/hook"), secret_variable: None };
    let mut places =
        vec![encoder(&posthog(host, false)), encoder(&posthog(host, true)), encoder(&hook)];
    let each = |sink: &Sink| Encoder::each(sink, &context(), None);
    places.extend(each(&both));
    places.extend(packed.iter().flat_map(each));
    places
}

#[test]
fn check_31_what_arrives_is_what_was_shown_before_to_the_last_byte() {
    let receiver = Receiver::start(Vec::new());
    for encoder in places(&receiver.server.url()) {
        let events = [event(1, Class::Rollup), event(2, Class::Rollup)];
        let mut post = Post::with(encoder, &events);
        let shown = post.store.look(NOON).unwrap().next.unwrap();
        let shown = post.encoder.preview(&shown.item, &shown.body, NOON);
        let delivered = post.deliver(&mut Net::default());
        assert_eq!((delivered.items, delivered.ended), (1, Ended::Done));
        let asked = receiver.asked().pop().unwrap();
        assert_eq!(asked.body, shown.body);
        let item = post.store.look(NOON).unwrap().items[0].clone();
        assert_eq!(sha256_hex(&asked.body), item.sha256, "as `log` has it");
        assert_eq!(format!("{}{}", receiver.server.url(), asked.path), shown.url);
        assert_eq!(asked.method, shown.method);
        let follow = ["host", "content-length"];
        let mut headers = asked.headers.clone();
        headers.retain(|(name, _)| !follow.contains(&name.as_str()));
        headers.sort();
        let mut expected = shown.headers;
        expected.sort();
        assert_eq!(headers, expected, "no header is added on the way");
    }
    assert_eq!(receiver.asked().len(), 9);
}

#[test]
fn check_31_what_arrives_packed_is_the_same_bytes_at_each_attempt() {
    for is_v1 in [false, true] {
        let receiver = Receiver::start(vec![Say::status(503)]);
        let sink = gzipped(posthog(&receiver.server.url(), is_v1));
        let mut post = Post::of(&sink, 3);
        let body = post.store.look(NOON).unwrap().next.unwrap().body;
        assert_eq!(post.deliver(&mut Net::default()).requests, 2);
        let [first, again] = receiver.asked().try_into().unwrap();
        assert_eq!(first.packed, again.packed);
        assert_eq!((&first.body, &again.body), (&body, &body), "as it was stored");
        let is_small = first.packed.len() < body.len() / 2;
        assert!(is_small, "{} of {} bytes", first.packed.len(), body.len());
        let spent = post.store.look(NOON).unwrap().spent.bytes;
        assert_eq!(spent, 2 * u64::try_from(body.len()).unwrap(), "what is stored is what counts");
    }
}

#[test]
fn check_32_two_503_and_a_200_are_one_row_even_days_apart() {
    for is_v1 in [false, true] {
        let receiver = Receiver::start(vec![Say::status(503), Say::status(503)]);
        let mut post = Post::of(&posthog(&receiver.server.url(), is_v1), 1);
        let delivered = post.deliver(&mut Net::default());
        assert_eq!((delivered.requests, delivered.items), (3, 1));
        let asked = receiver.asked();
        assert!(asked.iter().all(|one| one.body == asked[0].body), "byte for byte");
        let ids: BTreeSet<_> = asked
            .iter()
            .map(|one| (events(one)[0]["uuid"].clone(), events(one)[0]["timestamp"].clone()))
            .map(|(uuid, time)| format!("{uuid} {time}"))
            .collect();
        assert_eq!(ids.len(), 1);
        // Had each of them been stored, although it was said that it was not, and two days apart:
        let times = (0_i64..).map(|place| UnixMs(NOON.0 + place * 2 * DAY_MS));
        let arrived: Vec<(UnixMs, Asked)> = times.zip(asked).collect();
        assert_eq!(rows(&arrived).len(), 1);
        // That is so because the server was told to leave times alone: it would move them otherwise.
        let moved: Vec<(UnixMs, Asked)> = arrived
            .into_iter()
            .map(|(time, mut asked)| {
                let text = String::from_utf8(asked.body).unwrap();
                let text = text.replace("\"$ignore_sent_at\":true", "\"x\":1");
                asked.body = text.replace("\"disable_skew_correction\":true", "\"x\":1").into();
                for header in &mut asked.headers {
                    if header.0 == "posthog-request-timestamp" {
                        header.1 = NOON.to_string();
                    }
                }
                (time, asked)
            })
            .collect();
        assert_eq!(rows(&moved).len(), 3);
    }
}

#[test]
fn check_32_a_batch_is_sent_again_on_another_day_with_the_same_bytes() {
    let mut post = Post::of(&posthog("http://127.0.0.1:9", false), 3);
    let mut script = Script::of(vec![answer(500), answer(502), answer(504)]);
    let delivered = post.deliver(&mut script);
    assert!(matches!(delivered.ended, Ended::Failed(_)), "three a flush: {delivered:?}");
    assert_eq!(delivered.requests, 3);
    post.clock.now.set(UnixMs(NOON.0 + 3 * DAY_MS));
    assert_eq!(post.deliver(&mut script).items, 1);
    assert_eq!(script.sent.len(), 4);
    assert!(script.sent.iter().all(|request| *request == script.sent[0]));
}

#[test]
fn check_33_413_halves_until_the_events_fit() {
    let receiver =
        Receiver::with(|asked| Say::status(if events(asked).len() > 3 { 413 } else { 200 }));
    let mut post = Post::of(&posthog(&receiver.server.url(), false), 10);
    let delivered = post.deliver(&mut Net::default());
    assert_eq!(delivered.ended, Ended::Done);
    let asked = receiver.asked();
    let taken = asked.iter().filter(|one| events(one).len() <= 3);
    let taken: Vec<Json> = taken.flat_map(events).collect();
    assert_eq!(taken.len(), 10, "each once");
    let first = events(&asked[0]);
    assert!(first.iter().all(|event| taken.contains(event)), "no event was changed");
    let one = Receiver::with(|_| Say::status(413));
    let mut post = Post::of(&posthog(&one.server.url(), false), 1);
    assert_eq!(post.deliver(&mut Net::default()).quarantined, 1);
    assert_eq!(one.asked().len(), 1, "a single one is not sent again");
}

#[test]
fn check_33_400_finds_the_one_that_is_not_taken() {
    for encoder in places("http://127.0.0.1:9").into_iter().take(4) {
        let all: Vec<_> = (0..16).map(|number| event(number, Class::Lifecycle)).collect();
        let poison = all[11].uuid.to_string();
        let mut post = Post::with(encoder, &all);
        let mut requests = 0;
        let mut arrived = BTreeSet::new();
        let mut gate = Gate(|body: &str| {
            requests += 1;
            let is_poisoned = body.contains(&poison);
            let ids = all.iter().map(|event| event.uuid.to_string());
            if !is_poisoned {
                arrived.extend(ids.filter(|id| body.contains(id)));
            }
            if is_poisoned { 400 } else { 200 }
        });
        let delivered = post.deliver(&mut gate);
        assert_eq!((delivered.quarantined, &delivered.ended), (1, &Ended::Done));
        assert_eq!(arrived.len(), 15);
        // Each of the four halvings sends the bad half and the good one.
        assert_eq!(requests, 1 + 2 * 4);
        let items = post.store.look(NOON).unwrap().items;
        let bad = items.iter().find(|item| item.state == ItemState::Quarantined).unwrap();
        assert_eq!((bad.uuids.as_slice(), bad.status), ([all[11].uuid].as_slice(), Some(400)));
    }
}

/// Answers with a status by the body.
struct Gate<F>(F);

impl<F: FnMut(&str) -> u16> trueup_telemetry::deliver::Transport for Gate<F> {
    fn send(
        &mut self,
        request: &trueup_telemetry::sink::Request,
        _time_max: Duration,
    ) -> Result<trueup_telemetry::sink::Answer, Unreachable> {
        Ok(answer((self.0)(&String::from_utf8_lossy(&request.body))))
    }
}

#[test]
fn check_33_401_stops_until_something_changes() {
    let mut post = Post::of(&posthog("http://127.0.0.1:9", false), 1);
    post.queue(&[event(7, Class::Lifecycle)]);
    let mut script = Script::of(vec![answer(401)]);
    let delivered = post.deliver(&mut script);
    assert_eq!(delivered.ended, Ended::Stopped("HTTP 401".to_owned()));
    assert_eq!(script.sent.len(), 1, "the second one was not tried");
    post.clock.now.set(UnixMs(NOON.0 + DAY_MS - 1));
    assert_eq!(post.deliver(&mut script).requests, 0);
    // The configuration changed: whoever knows ends the rest.
    let now = post.clock.now();
    post.store.rest(now, now).unwrap();
    assert_eq!(post.deliver(&mut script).items, 2);
}

#[test]
fn check_33_401_takes_the_new_key_where_bytes_have_an_old_one() {
    for is_v1 in [false, true] {
        let receiver = Receiver::with(move |asked| {
            let key = asked.header("authorization").unwrap_or_default().to_owned();
            let body = String::from_utf8_lossy(&asked.body).into_owned();
            let is_new = format!("{key}{body}").contains("phc_new");
            Say::status(if is_new { 200 } else { 401 })
        });
        let host = receiver.server.url();
        let mut post = Post::of(&posthog(&host, is_v1), 2);
        assert!(matches!(post.deliver(&mut Net::default()).ended, Ended::Stopped(_)));
        let sink =
            Sink::PostHog { host, key: "phc_new".to_owned(), is_v1, geoip: false, is_gzip: false };
        post.encoder = encoder(&sink);
        post.store.rest(NOON, NOON).unwrap();
        let delivered = post.deliver(&mut Net::default());
        assert_eq!((delivered.items, delivered.ended), (1, Ended::Done));
        let asked = receiver.asked();
        let (first, last) = (asked.first().unwrap(), asked.last().unwrap());
        assert_eq!(events(first), events(last), "the same events, to the last digit");
        assert_eq!(asked.len(), if is_v1 { 2 } else { 3 });
        assert_eq!(post.store.look(NOON).unwrap().spent.events, 2, "counted once");
    }
}

#[test]
fn check_33_402_rests_until_the_next_utc_day() {
    for is_v1 in [false, true] {
        let mut post = Post::of(&posthog("http://127.0.0.1:9", is_v1), 1);
        let mut script = Script::of(vec![answer(402)]);
        assert_eq!(post.deliver(&mut script).requests, 1);
        let midnight = NOON.0 + DAY_MS / 2;
        post.clock.now.set(UnixMs(midnight - 1));
        assert_eq!(post.deliver(&mut script).requests, 0);
        post.clock.now.set(UnixMs(midnight));
        assert_eq!(post.deliver(&mut script).items, 1);
    }
}

#[test]
fn check_33_429_waits_as_long_as_it_is_told() {
    for (value, wait_ms) in [("3", 3_000), ("Sat, 21 Nov 2026 12:00:07 GMT", 7_000)] {
        let mut post = Post::of(&posthog("http://127.0.0.1:9", false), 1);
        post.queue(&[event(7, Class::Lifecycle)]);
        let mut script = Script::of(vec![with_header(429, "retry-after", value)]);
        assert_eq!(post.deliver(&mut script).items, 2);
        let waited = post.clock.elapsed().as_millis();
        assert!((wait_ms..wait_ms + 100).contains(&waited), "{value}: {waited}");
    }
    // Longer than the pass: it ends, and the next one finds nothing due before that.
    let mut post = Post::of(&posthog("http://127.0.0.1:9", false), 1);
    post.queue(&[event(7, Class::Lifecycle)]);
    let mut script = Script::of(vec![with_header(429, "retry-after", "7200")]);
    let delivered = post.deliver(&mut script);
    assert_eq!((delivered.ended, post.clock.elapsed()), (Ended::OutOfTime, Duration::ZERO));
    assert_eq!(delivered.requests, 1, "whoever is told to wait sends nothing else either");
    post.clock.now.set(UnixMs(NOON.0 + 7_199_000));
    assert_eq!(post.deliver(&mut script).requests, 0);
    post.clock.now.set(UnixMs(NOON.0 + 7_200_000));
    assert_eq!(post.deliver(&mut script).items, 2);
}

#[test]
fn check_33_a_black_hole_takes_no_longer_than_it_may() {
    let receiver = Receiver::with(|_| Say::Silence);
    let mut post = Post::of(&posthog(&receiver.server.url(), false), 1);
    let bounds = Bounds { time_max: Duration::from_millis(250), ..Bounds::default() };
    let begin = Instant::now();
    let clock = Real(begin);
    let Post { store, encoder, .. } = &mut post;
    let delivered = deliver(store, encoder, &mut Net::default(), &clock, &|| true, bounds).unwrap();
    let took = begin.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert_eq!((delivered.requests, delivered.items), (1, 0));
    let item = store.look(NOON).unwrap().items[0].clone();
    assert_eq!((item.state, item.attempts), (ItemState::Queued, 1), "it waits for the next start");
}

#[test]
fn check_04_a_request_that_hangs_ends_when_it_is_told_to_and_none_follows() {
    let receiver = Receiver::with(|_| Say::Silence);
    let mut post = Post::of(&posthog(&receiver.server.url(), false), 1);
    let mut net = Net::default();
    let stop = net.stopper();
    let is_allowed = AtomicBool::new(true);
    let begin = Instant::now();
    let Post { store, encoder, .. } = &mut post;
    let (delivered, took) = std::thread::scope(|scope| {
        let allowed = || is_allowed.load(Ordering::SeqCst);
        let pass = scope.spawn(move || {
            let clock = Real(begin);
            deliver(store, encoder, &mut net, &clock, &allowed, Bounds::default()).unwrap()
        });
        while receiver.asked().is_empty() {
            Real(begin).wait(Duration::from_millis(5));
        }
        let told = Instant::now();
        is_allowed.store(false, Ordering::SeqCst);
        stop();
        (pass.join().unwrap(), told.elapsed())
    });
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!((delivered.requests, delivered.ended), (1, Ended::Forbidden));
    assert_eq!(receiver.asked().len(), 1);
}

/// Time that passes, from noon.
struct Real(Instant);

impl trueup_telemetry::deliver::Clock for Real {
    fn now(&self) -> UnixMs {
        UnixMs(NOON.0 + i64::try_from(self.0.elapsed().as_millis()).unwrap())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "a test may wait")]
    fn wait(&self, time: Duration) -> bool {
        std::thread::sleep(time);
        true
    }
}

#[test]
fn what_cannot_be_reached_is_tried_three_times_with_longer_waits() {
    let mut post = Post::of(&posthog("http://127.0.0.1:9", false), 1);
    let mut script = Script::default();
    let dead = (0..3).map(|_| Err(Unreachable::Network("refused".to_owned())));
    script.answers.borrow_mut().extend(dead);
    let delivered = post.deliver(&mut script);
    assert_eq!(delivered.ended, Ended::Failed("refused".to_owned()));
    // 200 and 400 ms, a quarter more or less.
    let waited = post.clock.elapsed().as_millis();
    assert!((450..=750).contains(&waited), "{waited}");
}

#[test]
fn no_request_begins_after_consent_went_and_nothing_is_noted() {
    let mut post = Post::of(&posthog("http://127.0.0.1:9", false), 1);
    post.queue(&[event(7, Class::Lifecycle)]);
    let asked = Cell::new(0);
    let is_allowed = || {
        asked.set(asked.get() + 1);
        asked.get() < 2
    };
    let mut script = Script::default();
    let folder = post.world.path();
    let Post { store, encoder, clock, .. } = &mut post;
    store.purge().unwrap();
    let before = std::fs::read_dir(&folder).unwrap().count();
    let end = |ended: Ended| ended == Ended::Forbidden;
    let never = || false;
    let bounds = Bounds::default();
    let delivered = deliver(store, encoder, &mut script, clock, &never, bounds).unwrap();
    assert!(end(delivered.ended) && script.sent.is_empty());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), before, "no file was made");
    post.queue(&[event(8, Class::Lifecycle)]);
    let Post { store, encoder, clock, .. } = &mut post;
    let delivered = deliver(store, encoder, &mut script, clock, &is_allowed, bounds).unwrap();
    assert!(end(delivered.ended) && script.sent.len() == 1);
    assert_eq!(store.look(NOON).unwrap().items[0].state, ItemState::Queued);
}

#[test]
fn v1_sends_again_what_it_is_told_to_and_nothing_else() {
    let receiver = Receiver::start(vec![
        Say::Results(vec!["ok", "drop", "retry", "warning"], vec![("retry-after", "3".to_owned())]),
        Say::Status(200, Vec::new(), r#"{"results":[]}"#.to_owned()),
    ]);
    let mut post = Post::of(&posthog(&receiver.server.url(), true), 4);
    let delivered = post.deliver(&mut Net::default());
    assert_eq!((delivered.items, delivered.refused.len()), (1, 1));
    assert_eq!(delivered.refused[0].uuid, Some(event(1, Class::Lifecycle).uuid));
    assert!(post.clock.elapsed() >= Duration::from_secs(3), "as it was told");
    let asked = receiver.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(events(&asked[1]), [events(&asked[0])[2].clone()], "with the same bytes");
    let header = |place: usize, name: &str| asked[place].header(name).unwrap().to_owned();
    assert_eq!(header(0, "posthog-request-id"), header(1, "posthog-request-id"));
    assert_eq!(header(0, "posthog-request-id").parse::<Uuid>().unwrap().get_version_num(), 7);
    assert_eq!(
        (header(0, "posthog-attempt"), header(1, "posthog-attempt")),
        ("1".into(), "2".into())
    );
    assert_ne!(header(0, "posthog-request-timestamp"), header(1, "posthog-request-timestamp"));
    assert_eq!(header(0, "authorization"), "Bearer phc_test");
    for (results, quarantined, rests) in
        [(vec!["drop"], 1, false), (vec!["retry"], 0, true), (vec!["limited"], 0, true)]
    {
        let receiver = Receiver::start(vec![Say::Results(results, Vec::new())]);
        let mut post = Post::of(&posthog(&receiver.server.url(), true), 1);
        let bounds = Bounds { failures_max: 1, ..Bounds::default() };
        let delivered = post.deliver_within(&mut Net::default(), bounds);
        assert_eq!(delivered.quarantined, quarantined);
        assert_eq!(post.deliver(&mut Net::default()).items == 0, rests || quarantined == 1);
    }
}

#[test]
fn no_answer_can_make_more_of_an_item_than_it_is() {
    let strange = json!({ "results": { "not an id": { "result": "retry" }, "": {} } }).to_string();
    for body in ["", "null", "[]", "{\"results\":7}", strange.as_str(), "\u{0}"] {
        let mut post = Post::of(&posthog("http://127.0.0.1:9", true), 2);
        let mut answer = answer(200);
        answer.body = body.as_bytes().to_vec();
        assert_eq!(post.deliver(&mut Script::of(vec![answer])).items, 1, "{body}");
    }
    for status in [0, 100, 204, 301, 308, 403, 404, 409, 418, 451, 599, 600, u16::MAX] {
        let mut post = Post::of(&posthog("http://127.0.0.1:9", false), 2);
        let statuses = vec![answer(status); 64];
        let delivered = post.deliver(&mut Script::of(statuses));
        assert!(delivered.requests <= 3, "{status}: {delivered:?}");
    }
}

#[test]
fn otlp_says_what_it_did_not_take() {
    let sink =
        Sink::Otlp { endpoint: "http://h".to_owned(), logs: true, metrics: false, is_gzip: false };
    let body = r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"too old"}}"#;
    for (count, quarantined, refused) in [(1, 1, 0), (2, 0, 1)] {
        let mut post = Post::of(&sink, count);
        let mut answer = answer(200);
        answer.body = body.as_bytes().to_vec();
        let delivered = post.deliver(&mut Script::of(vec![answer]));
        assert_eq!((delivered.quarantined, delivered.refused.len()), (quarantined, refused));
    }
}

#[test]
fn a_pass_ends_at_its_time_whatever_the_clock_does() {
    struct Back(Virtual);
    impl trueup_telemetry::deliver::Clock for Back {
        fn now(&self) -> UnixMs {
            UnixMs(self.0.now().0 - 2 * DAY_MS * i64::from(self.0.elapsed() > Duration::ZERO))
        }
        fn elapsed(&self) -> Duration {
            self.0.elapsed()
        }
        fn wait(&self, time: Duration) -> bool {
            self.0.wait(time)
        }
    }
    let mut post = Post::of(&posthog("http://127.0.0.1:9", false), 1);
    let clock = Back(Virtual::at(NOON));
    let mut script = Script::of(vec![answer(503); 9]);
    let Post { store, encoder, .. } = &mut post;
    let bounds = Bounds::default();
    let delivered = deliver(store, encoder, &mut script, &clock, &|| true, bounds).unwrap();
    assert!(delivered.requests <= 3);
    assert!(clock.elapsed() <= bounds.time_max);
}

#[test]
fn parts_are_as_old_as_what_they_are_parts_of() {
    let mut post = Post::of(&posthog("http://127.0.0.1:9", false), 2);
    post.clock.now.set(UnixMs(NOON.0 + 6 * DAY_MS));
    let mut script = Script::of(vec![answer(413), answer(500), answer(500), answer(500)]);
    post.deliver(&mut script);
    let look = post.store.look(post.clock.now()).unwrap();
    assert!(look.items.iter().all(|item| item.queued == NOON && item.attempts >= 1));
    assert_eq!((look.items.len(), look.spent.events), (2, 2), "counted once on this day");
    // Seven days, as for every item, and not from the last time that it was taken apart.
    post.clock.now.set(UnixMs(NOON.0 + 7 * DAY_MS + 1));
    assert_eq!(post.deliver(&mut script).requests, 0);
    assert_eq!(post.store.look(post.clock.now()).unwrap().expired, 2);
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start(Vec::new());
    for status in [301, 302, 307, 308] {
        let location = vec![("location", format!("{}/batch/", elsewhere.server.url()))];
        let receiver = Receiver::start(vec![Say::Status(status, location, String::new())]);
        let mut post = Post::of(&posthog(&receiver.server.url(), false), 1);
        let delivered = post.deliver(&mut Net::default());
        assert!(matches!(delivered.ended, Ended::Stopped(_)), "{delivered:?}");
    }
    assert_eq!(elsewhere.asked().len(), 0);
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut some = [0; 4_096];
        assert!(stream.read(&mut some).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{\"results\":{").unwrap();
    });
    let mut post = Post::of(&posthog(&host, true), 1);
    let bounds = Bounds { failures_max: 1, ..Bounds::default() };
    let delivered = post.deliver_within(&mut Net::default(), bounds);
    server.join().unwrap();
    assert!(matches!(delivered.ended, Ended::Failed(_)), "{delivered:?}");
    assert_eq!(post.store.look(NOON).unwrap().items[0].state, ItemState::Queued);
}

proptest! {
    // Each case syncs some dozens of files.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_answered_no_event_is_lost_or_doubled(
        statuses in prop::collection::vec(
            prop::sample::select(vec![200_u16, 400, 402, 408, 413, 429, 500, 503]), 0..40),
        count in 1..9_u32,
        is_v1 in any::<bool>(),
    ) {
        let mut post = Post::of(&posthog("http://127.0.0.1:9", is_v1), count);
        let mut script = Script::of(statuses.into_iter().map(answer).collect());
        for day in 0..6 {
            post.clock.now.set(UnixMs(NOON.0 + day * DAY_MS));
            post.deliver(&mut script);
        }
        let look = post.store.look(post.clock.now()).unwrap();
        let mut ids: Vec<_> = look.items.iter().flat_map(|item| item.uuids.clone()).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        prop_assert_eq!((all, ids.len()), (count as usize, count as usize));
        // Whatever an event was sent in, it was the same bytes.
        let mut told: BTreeMap<String, String> = BTreeMap::new();
        for request in &script.sent {
            let body: Json = serde_json::from_slice(&request.body).unwrap();
            for event in body["batch"].as_array().unwrap() {
                let id = event["uuid"].to_string();
                let before = told.insert(id, event.to_string());
                let now = event.to_string();
                prop_assert!(before.is_none_or(|before| before == now));
            }
        }
    }
}
