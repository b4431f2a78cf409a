//! What will be sent, what was, and what never can be: each with the hash of its very bytes.
//!
//! An item is one request. Its bytes are fixed and stored before it may be sent, so every retry is the
//! same to the last byte, and what can be shown before is what leaves. It is queued, then sent or
//! quarantined. The bytes lie in a file of their own ([`Item::body_name`]); here is what is known of
//! them. It knows no file, no clock, no network and no encoding.
//!
//! ```json
//! {"number":7,"uuids":["5c1a…"],"class":"rollup","event":"observer_turn_rollup","day":20778,
//!  "bytes":611,"sha256":"9f86…","queued":1795000000000,"state":"queued","attempts":0,"next":0}
//! ```

mod item;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use trueup_core::{DAY_MS, UnixMs};
use uuid::Uuid;

pub use item::{Item, ItemState};

use crate::budget::{Class, Day};

/// How long an item waits to be sent before it is given up; historical ones wait for ever.
pub const TTL_MS: i64 = 7 * DAY_MS;
/// How long an attempt may take before another process may make one.
pub const LEASE_MS: i64 = 60_000;
/// The longest wait: a longer one is cut to it, and what is to be tried later than that was put off by a clock that
/// has gone back since.
pub const WAIT_MAX_MS: i64 = DAY_MS + LEASE_MS;
/// Items of an outbox that are queued at most, historical ones apart.
pub const QUEUED_MAX: usize = 64;
/// Historical items that are queued at most.
pub const HISTORICAL_MAX: usize = 64;
/// Items that were sent or quarantined and are still shown.
pub const SETTLED_MAX: usize = 64;
/// Bytes of those whose bodies are still shown.
pub const SETTLED_BYTES_MAX: u64 = 1024 * 1024;

/// The id of an event: the same parts in the same order give the same id, on any machine.
///
/// ```
/// use trueup_telemetry::outbox::event_uuid;
/// let namespace = "8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17".parse().unwrap();
/// let id = event_uuid(namespace, &["install-1", "historical_activity", "2025-10-19"]);
/// assert_eq!(id.to_string(), "dc5d6be8-f506-5694-b4df-10ad16afec4a");
/// ```
#[must_use]
pub fn event_uuid(namespace: Uuid, parts: &[&str]) -> Uuid {
    Uuid::new_v5(&namespace, parts.join("|").as_bytes())
}

/// The hash by which bytes are known, in hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(four.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// What is to be sent in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Of which kind its events are.
    pub class: Class,
    /// What it is called where items are listed; the name of its event.
    pub event: String,
    /// The ids of its events, at least one.
    pub uuids: Vec<Uuid>,
    /// The day that it is about.
    pub day: Day,
    /// The bytes of the request.
    pub body: Vec<u8>,
}

/// What the answer to a request means for its item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered {
        /// The status that was answered.
        status: u16,
    },
    /// It is to be sent again.
    Retry {
        /// Not before this, or a day from now.
        next: UnixMs,
        /// The status that was answered, if there was an answer.
        status: Option<u16>,
    },
    /// It will never be taken.
    Refused {
        /// The status that was answered.
        status: Option<u16>,
        /// Why, in a word or two.
        reason: String,
    },
    /// These go in its place.
    Split(Vec<Draft>),
}

/// One change of an outbox, as it is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// An item, new or as it is now.
    Put(Box<Item>),
    /// An item is gone.
    Gone {
        /// Which.
        number: u64,
        /// Whether its events were given up, rather than shown long enough.
        #[serde(default)]
        is_lost: bool,
    },
    /// Events that were given up before this log began.
    Expired(u64),
    /// Nothing is sent before this.
    Rest {
        /// When it goes on.
        until: UnixMs,
        /// To which sink; empty for all.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        sink: String,
    },
}

/// All items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outbox {
    items: BTreeMap<u64, Item>,
    last_number: u64,
    /// Until when nothing is sent, by sink; under the empty name to any.
    rests: BTreeMap<String, UnixMs>,
    /// Events that were given up after [`TTL_MS`].
    pub expired: u64,
}

impl Outbox {
    /// Makes a change that was, or is about to be, logged.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(item) => {
                self.last_number = self.last_number.max(item.number);
                self.items.insert(item.number, Item::clone(item));
            }
            Change::Gone { number, is_lost } => {
                self.last_number = self.last_number.max(*number);
                let item = self.items.remove(number);
                if let Some(item) = item.filter(|_| *is_lost) {
                    self.expired = self.expired.saturating_add(item.events());
                }
            }
            Change::Expired(events) => self.expired = self.expired.saturating_add(*events),
            Change::Rest { until, sink } => {
                self.rests.insert(sink.clone(), *until);
            }
        }
    }

    /// The changes that make this outbox of an empty one.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        // Numbers are not used again, even where the last item is gone.
        let last = Change::Gone { number: self.last_number, is_lost: false };
        let rests = self.rests.iter();
        let rests = rests.map(|(sink, until)| Change::Rest { until: *until, sink: sink.clone() });
        let items = self.items.values().map(|item| Change::Put(Box::new(item.clone())));
        let expired = (self.expired > 0).then_some(Change::Expired(self.expired));
        std::iter::once(last).chain(expired).chain(rests).chain(items)
    }

    /// All items, the oldest first.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }

    /// One item.
    #[must_use]
    pub fn item(&self, number: u64) -> Option<&Item> {
        self.items.get(&number)
    }

    /// The number of the next item.
    #[must_use]
    pub const fn next_number(&self) -> u64 {
        self.last_number.saturating_add(1)
    }

    /// Until when nothing is sent to a sink, where something said so.
    #[must_use]
    pub fn rest_until(&self, sink: &str) -> Option<UnixMs> {
        ["", sink].into_iter().filter_map(|name| self.rests.get(name).copied()).max()
    }

    /// Events of a kind that were kept on a day instead of being sent.
    #[must_use]
    pub fn kept(&self, class: Class, day: Day) -> u64 {
        let kept = self.items.values().filter(|item| item.state == ItemState::Kept);
        let of_day = kept.filter(|item| item.class == class && Day::of(item.queued) == day);
        of_day.map(Item::events).sum()
    }

    /// Events that are queued and were not counted on `day`: what they will take of its budget.
    #[must_use]
    pub fn waiting(&self, class: Class, day: Day) -> u64 {
        let waiting = self.queued().filter(|item| item.class == class);
        waiting.filter(|item| item.counted != Some(day)).map(Item::events).sum()
    }

    /// Whether there is room for another item.
    #[must_use]
    pub fn has_room(&self, class: Class) -> bool {
        let is_historical = class == Class::Historical;
        let max = if is_historical { HISTORICAL_MAX } else { QUEUED_MAX };
        let same = self.queued().filter(|item| (item.class == Class::Historical) == is_historical);
        same.count() < max
    }

    /// What is queued becomes an item, with the number after the last.
    #[must_use]
    pub fn queue(&self, draft: &Draft, now: UnixMs) -> Item {
        Item {
            number: self.next_number(),
            uuids: draft.uuids.clone(),
            class: draft.class,
            event: draft.event.clone(),
            day: draft.day,
            bytes: u64::try_from(draft.body.len()).unwrap_or(u64::MAX),
            sha256: sha256_hex(&draft.body),
            sink: String::new(),
            recorded: None,
            queued: now,
            state: ItemState::Queued,
            attempts: 0,
            next: now,
            counted: None,
            status: None,
            settled: None,
            reason: None,
            has_body: true,
        }
    }

    /// What may be sent, in the order in which it should: historical items after all others.
    #[must_use]
    pub fn due(&self, now: UnixMs) -> Vec<&Item> {
        let rests =
            |item: &Item| self.rest_until(&item.sink).is_some_and(|until| is_ahead(until, now));
        let waits = |item: &Item| is_ahead(item.next, now) || rests(item);
        let mut due: Vec<_> = self.queued().filter(|item| !waits(item)).collect();
        due.sort_by_key(|item| (item.class == Class::Historical, item.number));
        due
    }

    /// What is given up because it waited too long.
    #[must_use]
    pub fn expired_at(&self, now: UnixMs) -> Vec<Change> {
        let old = self.queued().filter(|item| {
            item.class != Class::Historical && now.0.saturating_sub(item.queued.0) > TTL_MS
        });
        old.map(|item| Change::Gone { number: item.number, is_lost: true }).collect()
    }

    /// What is no longer shown, or shown without its bytes, because newer items are.
    #[must_use]
    pub fn trimmed(&self) -> Vec<Change> {
        let mut settled: Vec<_> =
            self.items.values().filter(|item| item.state != ItemState::Queued).collect();
        settled.sort_by_key(|item| std::cmp::Reverse((item.settled, item.number)));
        let mut bytes = 0_u64;
        let mut changes = Vec::new();
        for (place, item) in settled.into_iter().enumerate() {
            bytes = bytes.saturating_add(item.bytes);
            if place >= SETTLED_MAX {
                changes.push(Change::Gone { number: item.number, is_lost: false });
            } else if bytes > SETTLED_BYTES_MAX && item.has_body {
                changes.push(Change::Put(Box::new(Item { has_body: false, ..item.clone() })));
            }
        }
        changes
    }

    fn queued(&self) -> impl Iterator<Item = &Item> {
        self.items.values().filter(|item| item.state == ItemState::Queued)
    }
}

/// A time to wait for, as far ahead as is believed later.
pub(crate) fn wait_until(time: UnixMs, now: UnixMs) -> UnixMs {
    time.min(UnixMs(now.0.saturating_add(WAIT_MAX_MS)))
}

fn is_ahead(time: UnixMs, now: UnixMs) -> bool {
    (1..=WAIT_MAX_MS).contains(&time.0.saturating_sub(now.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_795_000_000_000);

    fn draft(class: Class, body: &str) -> Draft {
        let namespace = Uuid::NAMESPACE_OID;
        Draft {
            class,
            event: "e".to_owned(),
            uuids: vec![event_uuid(namespace, &[body])],
            day: Day::of(NOW),
            body: body.as_bytes().to_vec(),
        }
    }

    fn with(drafts: &[Draft]) -> Outbox {
        let mut outbox = Outbox::default();
        for draft in drafts {
            let item = outbox.queue(draft, NOW);
            outbox.apply(&Change::Put(Box::new(item)));
        }
        outbox
    }

    #[test]
    fn check_36_the_two_known_ids_come_out() {
        let namespace = "8a9c2f4e-31b7-5d68-9c4a-f02e6d5b8a17".parse().unwrap();
        for (parts, known) in [
            (
                ["install-1", "historical_activity", "2025-10-19"],
                "dc5d6be8-f506-5694-b4df-10ad16afec4a",
            ),
            (["install-1", "install_inferred", "install"], "a81f9f9c-d3ab-5754-ace4-49ea8e890669"),
        ] {
            assert_eq!(event_uuid(namespace, &parts).to_string(), known);
        }
    }

    #[test]
    fn historical_items_are_sent_last_and_never_given_up() {
        let outbox = with(&[draft(Class::Historical, "old"), draft(Class::Rollup, "new")]);
        let order: Vec<_> = outbox.due(NOW).iter().map(|item| item.class).collect();
        assert_eq!(order, [Class::Rollup, Class::Historical]);
        let later = UnixMs(NOW.0 + TTL_MS + 1);
        assert_eq!(outbox.expired_at(UnixMs(NOW.0 + TTL_MS)), []);
        assert_eq!(outbox.expired_at(later), [Change::Gone { number: 2, is_lost: true }]);
    }

    #[test]
    fn an_item_on_its_way_is_not_due_until_its_lease_is_over() {
        let mut outbox = with(&[draft(Class::Rollup, "a")]);
        let item = outbox.item(1).unwrap().attempted(Day::of(NOW), NOW);
        assert_eq!(item.cost(Day::of(NOW)).events, 0, "counted once a day");
        assert_eq!(item.cost(Day(Day::of(NOW).0 + 1)).events, 1);
        outbox.apply(&Change::Put(Box::new(item)));
        assert!(outbox.due(NOW).is_empty());
        assert_eq!(outbox.due(UnixMs(NOW.0 + LEASE_MS)).len(), 1);
        assert_eq!(outbox.due(UnixMs(NOW.0 - 3 * DAY_MS)).len(), 1, "the clock went back");
    }

    #[test]
    fn nothing_is_due_while_the_outbox_rests() {
        let mut outbox = with(&[draft(Class::Rollup, "a")]);
        outbox.apply(&Change::Rest { until: UnixMs(NOW.0 + 5_000), sink: String::new() });
        assert!(outbox.due(NOW).is_empty());
        assert_eq!(outbox.due(UnixMs(NOW.0 + 5_000)).len(), 1);
    }

    #[test]
    fn numbers_are_not_used_again_after_the_last_item_is_gone() {
        let mut outbox = with(&[draft(Class::Rollup, "a")]);
        outbox.apply(&Change::Gone { number: 1, is_lost: true });
        assert_eq!(outbox.expired, 1);
        let mut again = Outbox::default();
        outbox.changes().for_each(|change| again.apply(&change));
        assert_eq!(again.queue(&draft(Class::Rollup, "b"), NOW).number, 2);
    }

    #[test]
    fn the_log_of_what_was_sent_is_bounded_in_items_and_bytes() {
        let mut outbox = Outbox::default();
        let body = "x".repeat(100_000);
        for number in 0..100 {
            let draft = draft(Class::Rollup, &format!("{number}{body}"));
            let item = outbox.queue(&draft, NOW).delivered(200, UnixMs(NOW.0 + number));
            outbox.apply(&Change::Put(Box::new(item)));
        }
        for change in outbox.trimmed() {
            outbox.apply(&change);
        }
        assert_eq!(outbox.trimmed(), []);
        assert_eq!(outbox.items().count(), SETTLED_MAX);
        assert_eq!(outbox.items().filter(|item| item.has_body).count(), 10);
        assert!(outbox.item(100).unwrap().has_body, "the newest are shown");
    }

    #[test]
    fn a_reason_is_cut_where_a_character_ends() {
        let outbox = with(&[draft(Class::Rollup, "a")]);
        let item = outbox.item(1).unwrap().quarantined(Some(413), &"ä".repeat(150), NOW);
        assert_eq!(item.reason.unwrap(), "ä".repeat(100));
        assert_eq!(item.state, ItemState::Quarantined);
    }
}
