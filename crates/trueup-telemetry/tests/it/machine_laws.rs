//! Any sequence of records, ends, flushes, kills, restarts, clock steps, answers and losses of
//! answers: every durable record is sent once (I6), and no day passes its ceiling (I3).

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use trueup_core::{DAY_MS, HOUR_MS, UnixMs};
use trueup_telemetry::budget::{Caps, Day};
use trueup_telemetry::outbox::Verdict;
use trueup_telemetry::state::{Durability, Event, Handed, Recorder, Store};

use crate::world::{NOON, TURN, World, free, later, next, property};

#[derive(Debug, Clone)]
enum Step {
    Record {
        session: u8,
        tokens: i64,
    },
    End {
        session: u8,
    },
    Flush,
    /// Sealed, and killed before the recorder knows.
    FlushAndKill,
    Kill {
        tear: bool,
    },
    Shutdown,
    Send {
        answer: u8,
    },
    Clock {
        hours: i64,
    },
    SecondProcess,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (0..6_u8, 0..1_000_i64).prop_map(|(session, tokens)| Step::Record { session, tokens }),
        3 => (0..6_u8).prop_map(|session| Step::End { session }),
        3 => Just(Step::Flush),
        1 => Just(Step::FlushAndKill),
        2 => any::<bool>().prop_map(|tear| Step::Kill { tear }),
        1 => Just(Step::Shutdown),
        4 => (0..5_u8).prop_map(|answer| Step::Send { answer }),
        2 => prop_oneof![-50..50_i64, Just(24)].prop_map(|hours| Step::Clock { hours }),
        1 => Just(Step::SecondProcess),
    ];
    prop::collection::vec(step, 0..120)
}

/// What must hold, in numbers.
#[derive(Debug, Default)]
struct Model {
    /// Records and tokens of processes that are no more, as far as they were durable.
    certain: (i64, i64),
    /// Tokens of each record of the living process, and whether it is durable by number.
    living: Vec<i64>,
    /// Events by id, as they were queued.
    queued: BTreeMap<String, (i64, i64)>,
    /// Ids that arrived.
    arrived: BTreeSet<String>,
    /// Ids that were given out, by day.
    given: BTreeMap<Day, BTreeSet<String>>,
    bytes: BTreeMap<Day, usize>,
}

struct Machine {
    world: World,
    store: Store,
    recorder: Recorder,
    model: Model,
    now: UnixMs,
    /// The largest day on which the store was asked for anything.
    largest: Day,
    durability: Durability,
}

impl Machine {
    fn new(caps: Caps, durability: Durability) -> Self {
        let world = World::new(caps);
        let (mut store, recorder) = (world.store(), world.recorder_with(durability, NOON));
        // Asked once at noon, it knows that day, whatever the clock says at the first step.
        crate::world::seal(&mut store, None, NOON);
        let model = Model::default();
        Self { world, store, recorder, model, now: NOON, largest: Day::of(NOON), durability }
    }

    fn step(&mut self, step: &Step) {
        self.now = later(self.now, 40);
        match *step {
            Step::Record { session, tokens } => {
                self.world.turn(&mut self.recorder, &session.to_string(), tokens, self.now);
                self.model.living.push(tokens);
            }
            Step::End { session } => {
                let session = self.recorder.session(&session.to_string());
                self.recorder.end(session, self.now);
            }
            Step::Flush => {
                let handed = self.recorder.hand_over(self.now);
                let sealed = self.seal(Some(&handed));
                self.recorder.forget(&sealed).unwrap();
            }
            Step::FlushAndKill => {
                let handed = self.recorder.hand_over(self.now);
                self.seal(Some(&handed));
                drop(handed);
                self.kill(false);
            }
            Step::Kill { tear } => self.kill(tear),
            Step::Shutdown => {
                let recorder = self.restart();
                self.largest = self.largest.max(Day::of(self.now));
                self.count_living(usize::MAX);
                let mut queued = Vec::new();
                self.store
                    .shut_down(recorder, self.now, &mut |event| note(event, &mut queued))
                    .unwrap();
                self.model.queued.extend(queued);
            }
            Step::Send { answer } => self.send(answer),
            Step::Clock { hours } => {
                self.now = later(self.now, hours * HOUR_MS);
            }
            Step::SecondProcess => {
                self.largest = self.largest.max(Day::of(self.now));
                let mut other = self.world.recorder(self.now);
                self.world.turn(&mut other, "0", 3, self.now);
                self.model.certain.0 += 1;
                self.model.certain.1 += 3;
                let mut queued = Vec::new();
                self.world
                    .store()
                    .shut_down(other, self.now, &mut |event| note(event, &mut queued))
                    .unwrap();
                self.model.queued.extend(queued);
            }
        }
    }

    fn seal(&mut self, handed: Option<&Handed>) -> trueup_telemetry::state::Sealed {
        self.largest = self.largest.max(Day::of(self.now));
        let mut queued = Vec::new();
        let sealed =
            free(|| self.store.seal(handed, self.now, &mut |event| note(event, &mut queued)));
        self.model.queued.extend(queued);
        sealed
    }

    /// A new process in the place of the living one, which is given out.
    fn restart(&mut self) -> Recorder {
        let fresh = self.world.recorder_with(self.durability, self.now);
        std::mem::replace(&mut self.recorder, fresh)
    }

    fn kill(&mut self, tear: bool) {
        let durable = usize::try_from(self.recorder.durable()).unwrap();
        assert!(self.model.living.len() - durable < 8, "a kill loses fewer than eight");
        self.count_living(durable);
        let log = format!("{:?}", self.recorder);
        let name = log.split('"').find(|name| name.starts_with("open-")).unwrap().to_owned();
        drop(self.restart());
        if tear {
            let path = self.world.path().join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            let torn = bytes.len().min(60);
            bytes.extend_from_within(..torn - 1);
            std::fs::write(&path, bytes).unwrap();
        }
        self.store = self.world.store();
    }

    fn count_living(&mut self, durable: usize) {
        let safe = self.model.living.iter().take(durable);
        self.model.certain.0 += i64::try_from(safe.len()).unwrap();
        self.model.certain.1 += safe.sum::<i64>();
        self.model.living.clear();
    }

    fn send(&mut self, answer: u8) {
        self.largest = self.largest.max(Day::of(self.now));
        let Some(request) = next(&mut self.store, self.now) else { return };
        let ids = request.item.uuids.iter().map(ToString::to_string);
        self.model.given.entry(self.largest).or_default().extend(ids.clone());
        *self.model.bytes.entry(self.largest).or_default() += request.body.len();
        let verdict = match answer {
            0 | 1 => Verdict::Delivered { status: 200 },
            2 => Verdict::Retry { next: later(self.now, 100), status: Some(503) },
            // It arrived, but the answer was lost.
            3 => {
                self.model.arrived.extend(ids);
                return;
            }
            _ => return,
        };
        if matches!(verdict, Verdict::Delivered { .. }) {
            self.model.arrived.extend(ids);
        }
        free(|| self.store.settle(request.number, verdict.clone(), self.now));
    }

    /// Until nothing is left.
    fn finish(&mut self) {
        self.step(&Step::Shutdown);
        self.now = self.now.max(self.largest.start());
        for _ in 0..80 {
            self.now = later(self.now, DAY_MS / 2);
            self.seal(None);
            for _ in 0..12 {
                self.send(0);
            }
        }
    }
}

fn note(event: &Event, queued: &mut Vec<(String, (i64, i64))>) -> Vec<u8> {
    let body = crate::world::encode(event);
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let of = |name| property(&json, name).as_i64().unwrap();
    assert_eq!(event.name, TURN);
    queued.push((event.uuid.to_string(), (of("count"), of("total_tokens_input"))));
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn i3_and_i6_hold_in_any_sequence(
        steps in steps(),
        events_per_day in 1..8_u64,
        others in 0..4_u64,
        records_max in 1..8_u64,
    ) {
        let caps = Caps { events_per_day, hard_cap: events_per_day + others, ..Caps::default() };
        let durability = Durability { records_max, interval_ms: 100 };
        let mut machine = Machine::new(caps.clone(), durability);
        for step in &steps {
            machine.step(step);
        }
        machine.finish();
        let model = &machine.model;
        let sum = |sums: &mut dyn Iterator<Item = &(i64, i64)>| {
            sums.fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1))
        };
        prop_assert_eq!(sum(&mut model.queued.values()), model.certain, "every record, once");
        let look = machine.store.look(machine.now).unwrap();
        prop_assert_eq!(&look.days, &Vec::new(), "no day is left");
        let lost = model.queued.len() - model.arrived.len();
        prop_assert!(u64::try_from(lost).unwrap() <= look.expired, "sent, or given up and counted");
        for (day, ids) in &model.given {
            prop_assert!(u64::try_from(ids.len()).unwrap() <= caps.hard_cap, "on {}", day);
        }
        for bytes in model.bytes.values() {
            prop_assert!(u64::try_from(*bytes).unwrap() <= caps.bytes_per_day);
        }
        prop_assert_eq!(machine.world.files("open-").len(), 1);
    }
}
