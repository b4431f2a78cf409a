//! Any answer of a server to a batch of telemetry: a place, a status, a `Retry-After` and a body, in which
//! `@0` to `@2` stand for the ids of the events that were sent.

#![no_main]

use std::collections::BTreeSet;

use trueup_core::{DAY_MS, UnixMs};
use trueup_telemetry::budget::{Class, Day};
use trueup_telemetry::manifest::Sink;
use trueup_telemetry::outbox::{Draft, Outbox, Verdict, event_uuid};
use trueup_telemetry::sink::{Answer, Context, Encoder, Outgoing};

const NOW: UnixMs = UnixMs(1_795_000_000_000);
const NAMESPACE: &str = "8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [place, high, low, rest @ ..] = bytes else { return };
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let header = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let body = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let events: Vec<Outgoing> = (0..3).map(event).collect();
    let body = events.iter().enumerate().fold(body, |body, (place, event)| {
        body.replace(&format!("@{place}"), &event.uuid.to_string())
    });
    let answer = Answer {
        status: u16::from_be_bytes([*high, *low]),
        headers: vec![("retry-after".to_owned(), header)],
        body: body.into_bytes(),
    };
    let endpoint = "https://h".to_owned();
    let host = endpoint.clone();
    let key = "phc_test".to_owned();
    let sink = match place % 5 {
        0 => Sink::PostHog { host, key, is_v1: false, geoip: false, is_gzip: false },
        1 => Sink::PostHog { host, key, is_v1: true, geoip: true, is_gzip: true },
        2 => Sink::Otlp { endpoint, logs: true, metrics: false, is_gzip: true },
        3 => Sink::Otlp { endpoint, logs: false, metrics: true, is_gzip: false },
        _ => Sink::Webhook { endpoint, secret_variable: None },
    };
    let encoder = Encoder::new(&sink, Context::default(), None);
    judge(&encoder, &events, &answer);
});

fn event(number: u32) -> Outgoing {
    Outgoing {
        uuid: event_uuid(NAMESPACE.parse().expect("an id"), &[&number.to_string()]),
        name: "test_event".to_owned(),
        class: Class::Lifecycle,
        time: NOW,
        is_person: false,
        properties: serde_json::Map::new(),
    }
}

fn judge(encoder: &Encoder, events: &[Outgoing], answer: &Answer) {
    let draft = Draft {
        class: Class::Lifecycle,
        event: "test_event".to_owned(),
        uuids: events.iter().map(|event| event.uuid).collect(),
        day: Day::of(NOW),
        body: encoder.encode(events, NOW),
    };
    let item = Outbox::default().queue(&draft, NOW).attempted(Day::of(NOW), NOW);
    let judged = encoder.verdict(&item, &draft.body, Ok(answer), NOW, 7);
    let soon = |time: UnixMs| (0..=DAY_MS).contains(&(time.0 - NOW.0));
    assert!(judged.rest.is_none_or(soon), "no answer stops more than a day");
    let own: BTreeSet<_> = item.uuids.iter().collect();
    assert!(judged.refused.iter().all(|one| one.uuid.as_ref().is_none_or(|id| own.contains(id))));
    match judged.verdict {
        Verdict::Delivered { status } => assert!((200..300).contains(&status)),
        Verdict::Retry { next, .. } => assert!(soon(next)),
        Verdict::Refused { reason, .. } => assert!(reason.len() <= 400),
        Verdict::Split(parts) => {
            let ids: Vec<_> = parts.iter().flat_map(|part| &part.uuids).collect();
            let different: BTreeSet<_> = ids.iter().copied().collect();
            assert_eq!(ids.len(), different.len(), "no event twice");
            assert!(different.is_subset(&own), "no event from nowhere");
            for part in &parts {
                assert!((1..item.uuids.len()).contains(&part.uuids.len()), "each part is less");
                let of_part = events.iter().filter(|event| part.uuids.contains(&event.uuid));
                let text = String::from_utf8_lossy(&part.body).into_owned();
                // Metrics do not say the ids of their events.
                let is_told = of_part.clone().all(|event| text.contains(&event.uuid.to_string()));
                assert!(is_told || text.contains("resourceMetrics"));
            }
        }
    }
}
