//! Errors as events of their own, where the manifest asks for them: the first of each fingerprint on a
//! day, as many as the budget has, in the form of PostHog's `$exception`.
//!
//! ```json
//! {"$exception_fingerprint":"5f0c3a…","$exception_level":"error","$exception_list":[{"type":
//!  "std::io::Error","value":"cannot open <p>/plan.md","mechanism":{"type":"generic","handled":true,
//!  "synthetic":false},"stacktrace":{"type":"raw","frames":[{"platform":"native","lang":"rust",
//!  "function":"app::db::open","filename":"src/db.rs","lineno":12,"in_app":true,"synthetic":false,
//!  "client_resolved":true}]}}]}
//! ```

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use trueup_core::UnixMs;
use uuid::Uuid;

use super::{Told, ToldFrame};
use crate::budget::{Class, Day};
use crate::outbox::{Item, event_uuid};
use crate::sink::Outgoing;

/// The name of the event.
const EVENT: &str = "$exception";

/// Which errors were events of their own today.
#[derive(Debug, Clone)]
pub struct Exceptions {
    namespace: Uuid,
    install: String,
    per_day_max: u64,
    day: Day,
    seen: BTreeSet<Uuid>,
}

impl Exceptions {
    /// None yet. `per_day_max` is [`Budget::exceptions_per_day`](crate::manifest::Budget); namespace and
    /// install are those of [`Settings`](crate::state::Settings).
    #[must_use]
    pub const fn new(namespace: Uuid, install: String, per_day_max: u64) -> Self {
        Self { namespace, install, per_day_max, day: Day(i64::MIN), seen: BTreeSet::new() }
    }

    /// Takes note of those that are in the outbox already, such as after a restart.
    pub fn resume(&mut self, items: &[Item], now: UnixMs) {
        self.turn(now);
        let of_today = items.iter().filter(|it| it.class == Class::Exception && it.day == self.day);
        self.seen.extend(of_today.flat_map(|item| &item.uuids));
    }

    /// The event of an error, if it is the first of its fingerprint on its day and the day has room for
    /// another. Its id is the same wherever and however often it is made on that day.
    pub fn first(&mut self, told: &Told, now: UnixMs) -> Option<Outgoing> {
        self.turn(now);
        let day = self.day.to_string();
        let parts = [self.install.as_str(), EVENT, &day, &told.fingerprint];
        let uuid = event_uuid(self.namespace, &parts);
        if self.room() == 0 || !self.seen.insert(uuid) {
            return None;
        }
        Some(Outgoing {
            uuid,
            name: EVENT.to_owned(),
            class: Class::Exception,
            time: now,
            is_person: false,
            properties: properties(told),
        })
    }

    /// Begins a day that is later than any before: a clock that goes back finds the day as it was left.
    fn turn(&mut self, now: UnixMs) {
        if Day::of(now) > self.day {
            self.day = Day::of(now);
            self.seen.clear();
        }
    }

    fn room(&self) -> usize {
        let max = usize::try_from(self.per_day_max).unwrap_or(usize::MAX);
        max.saturating_sub(self.seen.len())
    }
}

fn properties(told: &Told) -> Map<String, Value> {
    let mechanism = if told.is_handled { "generic" } else { "panic" };
    let mut exception = Map::new();
    exception.insert("type".to_owned(), json!(told.kind));
    exception.insert("value".to_owned(), json!(told.text));
    let mechanism = json!({ "type": mechanism, "handled": told.is_handled, "synthetic": false });
    exception.insert("mechanism".to_owned(), mechanism);
    if !told.frames.is_empty() {
        // The outermost first.
        let frames: Vec<Value> = told.frames.iter().rev().map(frame).collect();
        exception.insert("stacktrace".to_owned(), json!({ "type": "raw", "frames": frames }));
    }
    let level = if told.is_handled { "error" } else { "fatal" };
    let mut all = Map::new();
    all.insert("$exception_list".to_owned(), json!([exception]));
    all.insert("$exception_fingerprint".to_owned(), json!(told.fingerprint));
    all.insert("$exception_level".to_owned(), json!(level));
    all
}

fn frame(told: &ToldFrame) -> Value {
    let lang = match told.file.rsplit_once('.').map(|(_, ending)| ending) {
        Some("py") => "python",
        Some("js" | "mjs" | "cjs" | "ts" | "tsx" | "jsx") => "javascript",
        _ => "rust",
    };
    let mut frame = json!({
        "platform": "native",
        "lang": lang,
        "function": told.function,
        "in_app": told.is_own,
        "synthetic": false,
        "client_resolved": true,
    });
    if let Some(frame) = frame.as_object_mut().filter(|_| !told.file.is_empty()) {
        frame.insert("filename".to_owned(), json!(told.file));
        frame.insert("lineno".to_owned(), json!(told.line));
    }
    frame
}
