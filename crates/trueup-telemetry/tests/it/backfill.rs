//! The past: check 36 of the contract, part by part, and what it comes down to: the same days give the
//! same bytes, and nothing is marked as done that did not arrive.

use std::cell::Cell;
use std::io::Cursor;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use trueup_core::{DAY_MS, HOUR_MS, UnixMs};
use trueup_telemetry::backfill::{
    CHUNK_EVENTS_MAX, Chunk, DAYS_MAX, FIRST_DAY, Gate, History, LINE_BYTES_MAX, LineError,
    MARKER_BYTES_MAX, Mark, Passed, Pending, Progress, day_uuid, gate,
};
use trueup_telemetry::budget::{Class, Day};
use trueup_telemetry::manifest::{Input, Manifest, Sink};
use trueup_telemetry::outbox::{Draft, Verdict, event_uuid};
use trueup_telemetry::sink::{Context, Encoder};
use trueup_telemetry::state::{Queued, Store};

use crate::plan::parsed;
use crate::world::{NOON, World, later, next, roomy};

const PAST: &str = r#"
product = "claude-mem"
env_prefix = "CLAUDE_MEM"
id = "install"
base = ["version", "os"]

[fields]
version = { semver = true }
os = { enum = ["linux", "macos"] }
observation_count = { u64 = true }
balance = { i64 = true }
cost_usd = { usd = true }
load = { f64 = true }
model = { token_max = 64, charset = "model" }
is_wsl = { bool = true }

[backfill]
event = "historical_activity"
version = 2
namespace = "8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17"
fields = ["observation_count", "balance", "cost_usd", "load", "model", "is_wsl"]
"#;

fn past() -> Manifest {
    parsed(PAST)
}

fn date(text: &str) -> Day {
    Day::of(UnixMs::parse_date(text).unwrap())
}

/// The history of these lines, all of which are records.
fn history<'m>(manifest: &'m Manifest, lines: &str, now: UnixMs) -> History<'m> {
    let mut history = History::new(manifest, now).unwrap();
    let mut problem = |line, error: LineError| panic!("{line}: {error}");
    history.read(Cursor::new(lines), &|_| true, &mut problem).unwrap();
    history
}

fn properties(chunk: &Chunk) -> Vec<Json> {
    chunk.events.iter().map(|event| Json::Object(event.properties.clone())).collect()
}

/// What leaves, at a place that gets all that an event can have.
fn bytes(chunks: &[Chunk]) -> Vec<Vec<u8>> {
    let sink = Sink::PostHog {
        host: "https://us.i.posthog.com".to_owned(),
        key: "phc_abc".to_owned(),
        is_v1: false,
        geoip: false,
        is_gzip: false,
    };
    let context = Context {
        product: "claude-mem".to_owned(),
        version: "13.15.3".to_owned(),
        install: "install-1".to_owned(),
        base: vec![("version".to_owned(), json!("13.15.3")), ("os".to_owned(), json!("linux"))],
    };
    let encoder = Encoder::new(&sink, context, None);
    chunks.iter().map(|chunk| encoder.encode(&chunk.events, chunk.time())).collect()
}

#[test]
fn check_36_the_two_known_ids_are_those_of_the_past() {
    let manifest = past();
    let history = history(&manifest, r#"{"day":"2025-10-19","observation_count":3}"#, NOON);
    let chunks = history.chunks("install-1");
    let known = "dc5d6be8-f506-5694-b4df-10ad16afec4a";
    assert_eq!(chunks[0].events[0].uuid.to_string(), known);
    let namespace = manifest.backfill.as_ref().unwrap().namespace.parse().unwrap();
    let id = day_uuid(namespace, "install-1", "historical_activity", date("2025-10-19"));
    assert_eq!(id.to_string(), known);
    let inferred = event_uuid(namespace, &["install-1", "install_inferred", "install"]);
    assert_eq!(inferred.to_string(), "a81f9f9c-d3ab-5754-ace4-49ea8e890669");
}

#[test]
fn check_36_an_event_of_the_past_is_of_noon_and_has_nothing_of_today() {
    let manifest = past();
    let line = r#"{"day":"2025-10-19","observation_count":3,"version":"13.15.3","os":"linux",
        "prompt":"a secret","model":"claude-opus-4-5","is_wsl":false}"#
        .replace('\n', " ");
    let history = history(&manifest, &line, NOON);
    let chunks = history.chunks("install-1");
    let expected = json!({
        "backfilled": true, "observation_count": 3, "model": "claude-opus-4-5", "is_wsl": false,
    });
    assert_eq!(properties(&chunks[0]), [expected], "no cost, version or system is made up");
    assert_eq!(chunks[0].events[0].time.to_string(), "2025-10-19T12:00:00.000Z");
    assert_eq!(chunks[0].events[0].class, Class::Historical);
    let dropped: Vec<_> = history.drops().iter().map(|(key, ..)| key).collect();
    assert_eq!(dropped, ["os", "prompt", "version"]);
    let body: Json = serde_json::from_slice(&bytes(&chunks)[0]).unwrap();
    assert_eq!(body["historical_migration"], true);
    let sent = &body["batch"][0]["properties"];
    for key in ["version", "os", "cost_usd", "$set", "$os", "$app_version"] {
        assert_eq!(sent[key], Json::Null, "{key}");
    }
}

#[test]
fn check_36_days_are_told_from_2024_on_up_to_sixty_hours_ago() {
    let manifest = past();
    // 2026-11-21T12:00 less 60 h is midnight of the 19th.
    let midnight = NOON;
    for (now, last) in [(midnight, "2026-11-19"), (later(midnight, -1), "2026-11-18")] {
        let mut history = History::new(&manifest, now).unwrap();
        assert_eq!(history.through(), date(last));
        for day in
            ["2023-12-31", "2024-01-01", "2026-11-18", "2026-11-19", "2026-11-20", "2027-01-01"]
        {
            history.add(date(day), [("observation_count", Input::U64(1))], &|_| true);
        }
        let told: Vec<String> = history.days().map(|day| day.to_string()).collect();
        assert_eq!((told[0].as_str(), told.last().unwrap().as_str()), ("2024-01-01", last));
        let (old, young) = (history.passed().too_old, history.passed().too_young);
        assert_eq!((old, told.len() as u64 + young), (1, 5));
        // Even the last noon is two days old, as PostHog wants it.
        let noon = history.chunks("i")[0].time();
        assert!(now.0 - noon.0 >= 48 * HOUR_MS);
    }
    assert_eq!(FIRST_DAY, date("2024-01-01"));
}

#[test]
fn check_36_seconds_and_milliseconds_are_the_same_day() {
    let manifest = past();
    let lines = "{\"day\":1760868000,\"observation_count\":1}\n\
                 {\"day\":1760868000000,\"observation_count\":2}\r\n\n\
                 {\"day\":1760868000.75,\"observation_count\":4}\n\
                 {\"day\":\"2025-10-19\",\"observation_count\":8}";
    let chunks = history(&manifest, lines, NOON).chunks("install-1");
    assert_eq!(properties(&chunks[0]), [json!({ "backfilled": true, "observation_count": 15 })]);
    assert_eq!(chunks[0].day, date("2025-10-19"));
    // Below 10¹² a number is of seconds: 33658-09-27 is not told, and 2001-09-09 is too old.
    let lines = "{\"day\":999999999999}\n{\"day\":1000000000000}\n{\"day\":-5}\n{\"day\":9223372036854775807}";
    let history = history(&manifest, lines, NOON);
    let Passed { too_old, too_young, .. } = history.passed();
    assert_eq!((too_old, too_young, history.days().count()), (2, 2, 0));
}

#[test]
fn check_36_the_server_keeps_the_day_whatever_the_clock_of_the_client() {
    let manifest = past();
    let lines = r#"{"day":"2025-10-19","observation_count":3}"#;
    // The same past, told by a clock that is thirteen hours ahead.
    let days = [NOON, later(NOON, 13 * HOUR_MS)].map(|now| {
        let body = bytes(&history(&manifest, lines, now).chunks("install-1")).remove(0);
        let body: Json = serde_json::from_slice(&body).unwrap();
        let event = &body["batch"][0];
        let time = |text: &Json| UnixMs::parse_rfc3339(text.as_str().unwrap()).unwrap();
        let (told, sent) = (time(&event["timestamp"]), time(&body["sent_at"]));
        let is_kept = event["properties"]["$ignore_sent_at"] == true;
        // The server's rule.
        let kept = if is_kept { told } else { UnixMs(NOON.0 + told.0 - sent.0) };
        kept.utc_date()
    });
    assert_eq!(days, ["2025-10-19", "2025-10-19"]);
}

#[test]
fn check_36_a_run_again_gives_the_same_bytes_and_requests_hold_five_hundred() {
    let manifest = past();
    let first = date("2025-01-01");
    let lines = |days: i64| -> String {
        (0..days)
            .map(|day| {
                json!({ "day": Day(first.0 + day).to_string(), "observation_count": day })
                    .to_string()
                    + "\n"
            })
            .collect()
    };
    let before = bytes(&history(&manifest, &lines(500), NOON).chunks("install-1"));
    assert_eq!(before.len(), 1);
    // Later there are more days: what was sent is the same to the last byte, and the rest comes behind it.
    let again = history(&manifest, &lines(602), later(NOON, 5 * DAY_MS));
    let chunks = again.chunks("install-1");
    let sizes: Vec<_> = chunks.iter().map(|chunk| chunk.events.len()).collect();
    assert_eq!(sizes, [CHUNK_EVENTS_MAX, 102]);
    assert_eq!(bytes(&chunks)[0], before[0]);
    assert!(chunks.iter().all(|chunk| chunk.uuids().len() == chunk.events.len()));
}

#[test]
fn check_36_a_marker_is_of_its_version_and_a_damaged_one_counts_as_done() {
    let manifest = past();
    let backfill = manifest.backfill.as_ref().unwrap();
    let gate_of = |bytes: &[u8]| gate(backfill, &Mark::of(bytes), true, true);
    for bytes in [
        &br#"{"completedAt":"x","throughDay":"2026-01-01","eventCount":9,"installId":"i","version":2}"#[..],
        br#"{"version":3}"#,
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        br#"{"version":"1"}"#,
        br#"{"version":-1}"#,
        br#"{"version":1.5}"#,
        br#"{"version":null}"#,
        &vec![b' '; MARKER_BYTES_MAX + 1],
    ] {
        assert_eq!(gate_of(bytes), Gate::Complete, "{:?}", String::from_utf8_lossy(bytes));
    }
    // One of an older version, and one of before there were versions: the past is told again.
    for bytes in [&br#"{"version":1}"#[..], br#"{"completedAt":"x"}"#, b"{}"] {
        assert_eq!(gate_of(bytes), Gate::Open);
    }
    let folder = TempDir::new().unwrap();
    assert_eq!(Mark::read(folder.path()), Mark::Absent);
    std::fs::create_dir(folder.path().join("backfill.json")).unwrap();
    assert_eq!(Mark::read(folder.path()), Mark::Damaged);
}

#[test]
fn the_past_waits_for_consent_and_to_be_asked_for() {
    let manifest = past();
    let explicit = manifest.backfill.as_ref().unwrap();
    assert!(explicit.is_explicit);
    let by_consent = parsed(&format!("{PAST}needs = \"consent\"\n"));
    let by_consent = by_consent.backfill.as_ref().unwrap();
    for (backfill, may_send, is_asked_for, expected) in [
        (explicit, false, false, Gate::Off),
        (explicit, false, true, Gate::Off),
        (explicit, true, false, Gate::NotAskedFor),
        (explicit, true, true, Gate::Open),
        (by_consent, true, false, Gate::Open),
        (by_consent, false, true, Gate::Off),
    ] {
        assert_eq!(gate(backfill, &Mark::Absent, may_send, is_asked_for), expected);
        assert_eq!(gate(backfill, &Mark::Done(2), may_send, is_asked_for), Gate::Complete);
    }
    assert!(History::new(&parsed("product = \"p\"\nenv_prefix = \"P\"\n"), NOON).is_none());
}

// --- on its way ----------------------------------------------------------------------------------

struct Way {
    world: World,
    store: Store,
    manifest: Manifest,
}

impl Way {
    fn new() -> Self {
        let world = World::new(roomy());
        let store = world.store();
        Self { world, store, manifest: past() }
    }

    fn history(&self, days: i64) -> History<'_> {
        let mut history = History::new(&self.manifest, NOON).unwrap();
        for day in 0..days {
            let day = Day(date("2025-01-01").0 + day);
            history.add(day, [("observation_count", Input::U64(1))], &|_| true);
        }
        history
    }

    /// Queues the days, in requests of `size`, and remembers that it did.
    fn send(&mut self, days: i64, size: usize) {
        let history = self.history(days);
        let pending = history.pending("install-1", &self.store.look(NOON).unwrap().items);
        let chunks = history.chunks("install-1");
        for chunk in chunks.iter().flat_map(|chunk| chunk.events.chunks(size)) {
            let draft = Draft {
                class: Class::Historical,
                event: "historical_activity".to_owned(),
                uuids: chunk.iter().map(|event| event.uuid).collect(),
                day: Day::of(chunk[0].time),
                body: format!("{} events", chunk.len()).into_bytes(),
            };
            let queued = self.store.queue(draft, None, NOON).unwrap();
            assert!(matches!(queued, Queued::As(_)));
        }
        pending.write(&self.world.path()).unwrap();
    }

    fn follow(&self) -> Progress {
        let items = self.store.look(NOON).unwrap().items;
        let backfill = self.manifest.backfill.as_ref().unwrap();
        Pending::follow(&self.world.path(), backfill, &items, NOON).unwrap()
    }

    fn mark(&self) -> Mark {
        Mark::read(&self.world.path())
    }

    fn settle(&mut self, verdict: Verdict) -> bool {
        let request = next(&mut self.store, NOON);
        let Some(request) = request else { return false };
        self.store.settle(request.number, verdict, NOON).unwrap();
        true
    }
}

const ARRIVED: Verdict = Verdict::Delivered { status: 200 };

#[test]
fn check_36_it_is_marked_once_all_days_have_arrived() {
    let mut way = Way::new();
    assert_eq!(way.follow(), Progress::None);
    way.send(5, 2);
    assert!(Pending::is_under_way(&way.world.path()));
    assert_eq!((way.follow(), way.mark()), (Progress::Sending(5), Mark::Absent));
    way.settle(ARRIVED);
    way.settle(ARRIVED);
    assert_eq!((way.follow(), way.mark()), (Progress::Sending(1), Mark::Absent));
    way.settle(ARRIVED);
    let Progress::Done(marker) = way.follow() else { panic!("all has arrived") };
    assert_eq!((marker.event_count, marker.version), (5, 2));
    assert_eq!((way.mark(), way.follow()), (Mark::Done(2), Progress::None));
    assert!(!Pending::is_under_way(&way.world.path()));
    let text = crate::text(&way.world.path().join("backfill.json"));
    let json: Json = serde_json::from_str(&text).unwrap();
    let expected = json!({
        "completedAt": "2026-11-21T12:00:00.000Z",
        "throughDay": "2026-11-19",
        "eventCount": 5,
        "installId": "install-1",
        "version": 2,
    });
    assert_eq!(json, expected);
}

#[test]
fn check_36_a_day_that_was_refused_leaves_no_marker() {
    let mut way = Way::new();
    way.send(4, 2);
    way.settle(Verdict::Refused { status: Some(400), reason: "no".to_owned() });
    assert_eq!(way.follow(), Progress::Sending(4), "two may yet arrive");
    way.settle(ARRIVED);
    assert_eq!(way.follow(), Progress::Failed { days: 2 });
    assert_eq!(
        (way.mark(), way.follow()),
        (Mark::Absent, Progress::None),
        "it can be asked for again"
    );
    way.send(4, 4);
    way.settle(ARRIVED);
    let Progress::Done(marker) = way.follow() else {
        panic!("what was refused before is of before")
    };
    assert_eq!(marker.event_count, 4);
}

#[test]
fn check_36_what_is_purged_on_its_way_was_not_sent() {
    let mut way = Way::new();
    way.send(4, 2);
    way.settle(ARRIVED);
    way.store.purge().unwrap();
    assert_eq!((way.follow(), way.mark()), (Progress::None, Mark::Absent));
}

#[test]
fn check_36_a_dry_run_sends_nothing_and_marks_nothing() {
    let way = Way::new();
    let history = way.history(3);
    // All that a dry run does: it looks at what would be sent.
    assert_eq!(bytes(&history.chunks("install-1")).len(), 1);
    assert_eq!(history.pending("install-1", &[]), way.history(3).pending("install-1", &[]));
    assert!(!way.world.path().exists(), "no file, no folder");
    assert_eq!(way.mark(), Mark::Absent);
}

#[test]
fn a_past_without_days_is_done_at_once() {
    let mut way = Way::new();
    way.send(0, 1);
    let Progress::Done(marker) = way.follow() else { panic!("nothing is left to send") };
    assert_eq!(marker.event_count, 0);
    assert_eq!(way.mark(), Mark::Done(2));
}

#[test]
fn one_that_was_split_and_one_of_two_places_arrives_once_all_of_it_has() {
    let mut way = Way::new();
    way.send(4, 4);
    let request = next(&mut way.store, NOON).unwrap();
    let half = |uuids: &[uuid::Uuid]| Draft {
        class: Class::Historical,
        event: "historical_activity".to_owned(),
        uuids: uuids.to_vec(),
        day: request.item.day,
        body: b"half".to_vec(),
    };
    let (one, two) = request.item.uuids.split_at(2);
    let halves = vec![half(one), half(two)];
    way.store.settle(request.number, Verdict::Split(halves), NOON).unwrap();
    // A copy for another place.
    way.store.queue(half(two), None, NOON).unwrap();
    way.settle(ARRIVED);
    way.settle(ARRIVED);
    assert_eq!(way.follow(), Progress::Sending(2));
    way.settle(ARRIVED);
    assert!(matches!(way.follow(), Progress::Done(_)));
}

#[test]
fn a_damaged_note_of_what_is_under_way_marks_nothing() {
    let mut way = Way::new();
    way.send(2, 2);
    let path = way.world.path().join("outbox").join("backfill.json");
    std::fs::write(&path, b"{\"version\":").unwrap();
    assert_eq!(way.follow(), Progress::Failed { days: 0 });
    assert!(!path.exists() && way.mark() == Mark::Absent);
}

// --- records -------------------------------------------------------------------------------------

#[test]
fn what_is_no_record_is_told_by_its_line_and_the_others_are_read() {
    let manifest = past();
    let long = format!("{{\"day\":\"2025-10-19\",\"x\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX));
    let exact = format!("{{\"day\":\"2025-10-17\"{}}}", " ".repeat(LINE_BYTES_MAX - 20));
    let lines: [&[u8]; 9] = [
        b"\xef\xbb\xbf{\"day\":\"2025-10-19\",\"observation_count\":1}",
        b"{\"observation_count\":1}",
        b"[1]",
        b"{\"day\":\"yesterday\"}",
        b"{\"day\":{\"a\":1}}",
        long.as_bytes(),
        b"\xff",
        exact.as_bytes(),
        b"{\"day\":\"2025-10-18\",\"observation_count\":[1]}",
    ];
    assert_eq!(exact.len(), LINE_BYTES_MAX);
    let mut history = History::new(&manifest, NOON).unwrap();
    let mut problems = Vec::new();
    let mut problem = |line: u64, error: LineError| problems.push(format!("{line}: {error}"));
    history.read(Cursor::new(lines.join(&b'\n')), &|_| true, &mut problem).unwrap();
    let begins = [
        "2: no `day`: write it as",
        "3: not a JSON object",
        "4: `day` is \"yesterday\": write it as",
        "5: `day` is {\"a\":1}: write it as",
        "6: longer than 65536 bytes",
        "7: not UTF-8",
    ];
    assert_eq!(problems.len(), begins.len(), "{problems:?}");
    for (problem, begin) in problems.iter().zip(begins) {
        assert!(problem.starts_with(begin), "{problem}");
    }
    let days: Vec<_> = history.days().map(|day| day.to_string()).collect();
    assert_eq!(days, ["2025-10-17", "2025-10-18", "2025-10-19"]);
    assert_eq!(history.drops().iter().next().unwrap().0, "observation_count");
}

#[test]
fn what_records_of_a_day_contradict_each_other_in_is_not_told() {
    let manifest = past();
    let lines = "{\"day\":\"2025-10-19\",\"model\":\"a\",\"load\":0.5,\"observation_count\":18446744073709551615,\"cost_usd\":0.1}\n\
                 {\"day\":\"2025-10-19\",\"model\":\"b\",\"load\":0.5,\"observation_count\":1,\"cost_usd\":0.2,\"balance\":-4}\n\
                 {\"day\":\"2025-10-19\",\"model\":\"a\",\"balance\":1}\n";
    let history = history(&manifest, lines, NOON);
    let expected = json!({ "backfilled": true, "load": 0.5, "cost_usd": 0.3, "balance": -3 });
    assert_eq!(properties(&history.chunks("i")[0]), [expected]);
    assert_eq!(history.passed().contradicted, 2);
}

#[test]
fn days_are_bounded() {
    let manifest = past();
    let mut history = History::new(&manifest, UnixMs(4_000_000_000_000)).unwrap();
    let count = Cell::new(0);
    let is_clean = |_: &str| {
        count.set(count.get() + 1);
        true
    };
    for day in 0..i64::try_from(DAYS_MAX).unwrap() + 3 {
        history.add(Day(FIRST_DAY.0 + day), [("model", Input::Text("m"))], &is_clean);
    }
    assert_eq!((history.days().count(), history.passed().too_many), (DAYS_MAX, 3));
    assert_eq!(count.get(), DAYS_MAX, "what is passed over is not looked at");
}

proptest! {
    #[test]
    fn in_whichever_order_records_come_the_same_is_told(
        records in prop::collection::vec(
            (0..6_i64, prop::option::of(0..50_u64), prop::option::of(-9..9_i64),
             prop::option::of(0..3_u8), prop::option::of(0..3_u8)), 1..24),
        seed in any::<u64>(),
    ) {
        let manifest = past();
        let line = |(day, count, balance, model, load): &(i64, Option<u64>, Option<i64>, Option<u8>, Option<u8>)| {
            let mut json = json!({ "day": Day(20_000 + day).to_string() });
            if let Some(count) = count { json["observation_count"] = json!(count); }
            if let Some(balance) = balance { json["balance"] = json!(balance); }
            if let Some(model) = model { json["model"] = json!(format!("m{model}")); }
            if let Some(load) = load { json["load"] = json!(f64::from(*load) / 4.0); }
            json.to_string()
        };
        let lines: Vec<String> = records.iter().map(line).collect();
        let mut shuffled = lines.clone();
        shuffled.sort_by_key(|line| {
            line.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        });
        let [one, two] = [lines, shuffled].map(|lines| history(&manifest, &lines.join("\n"), NOON).chunks("i"));
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(bytes(&one), bytes(&two));
        let total: u64 = records.iter().filter_map(|record| record.1).sum();
        let told: u64 = one.iter().flat_map(properties)
            .filter_map(|event| event["observation_count"].as_u64()).sum();
        prop_assert_eq!(total, told);
    }

    #[test]
    fn any_bytes_as_lines_and_as_a_marker_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let manifest = past();
        let mut history = History::new(&manifest, NOON).unwrap();
        history.read(Cursor::new(&bytes), &|_| true, &mut |_, _| {}).unwrap();
        let mark = Mark::of(&bytes);
        prop_assert!(mark != Mark::Absent);
    }
}
