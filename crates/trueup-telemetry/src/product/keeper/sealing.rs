//! From sums to bytes that are fixed.

use std::io::{self, Write as _};
use std::slice;
use std::sync::Arc;

use serde_json::{Map, Value as Json};
use trueup_core::UnixMs;
use uuid::Uuid;

use super::{Errand, Keeper, What, busy, told};
use crate::budget::Day;
use crate::consent::Mode;
use crate::errors::{Exceptions, Told};
use crate::identity::{self, Found, Identity};
use crate::outbox::{Draft, Item};
use crate::product::outlets::Outlet;
use crate::product::{held, words};
use crate::sink::Outgoing;
use crate::state::{Event, Look, Reach, Sealed, Settings, StateError, Store, Sums};

impl Keeper {
    /// Seals what has ended.
    pub(super) fn seal(&self, now: UnixMs) -> Result<Sealed, String> {
        let _sealing = held(&self.sealing);
        let Some(reach) = self.reach() else { return Ok(Sealed::default()) };
        let identity = self.identity(reach)?;
        let mut store = self.store(reach, &identity);
        let sealed = || {
            self.run_errands(&mut store, &identity, (reach, now))?;
            let handed = self.intake.hand_over(now);
            let mut encode = |event: &Event| self.encode(event, &identity, now);
            let sealed = store.seal(handed.as_ref(), now, &mut encode)?;
            self.intake.forget(&sealed)?;
            Ok(sealed)
        };
        told(busy(sealed))
    }

    /// Ends all that is open, and seals it.
    pub(super) fn seal_all(&self, reach: Reach, now: UnixMs) -> Result<(), String> {
        let _sealing = held(&self.sealing);
        let has_errands = !held(&self.errands).is_empty();
        let recorder = self.intake.take();
        if !has_errands && recorder.is_none() {
            return Ok(());
        }
        // Written before whatever may fail: then the next process finds it.
        let ended = recorder.map(|mut recorder| {
            recorder.end_all(now);
            let handed = recorder.hand_over(now);
            (recorder, handed)
        });
        let identity = self.identity(reach)?;
        let mut store = self.store(reach, &identity);
        let ran = told(busy(|| self.run_errands(&mut store, &identity, (reach, now))));
        let Some((mut recorder, handed)) = ended else { return ran };
        let mut encode = |event: &Event| self.encode(event, &identity, now);
        let sealed = told(busy(|| store.seal(Some(&handed), now, &mut encode)))?;
        if !sealed.is_purged {
            told(recorder.forget(&sealed))?;
            told(recorder.close(now))?;
        }
        ran
    }

    /// What may be sent of all that is recorded; nothing at all where telemetry is off.
    pub(super) fn reach(&self) -> Option<Reach> {
        let mode = self.intake.mode();
        if mode == Mode::Off {
            return None;
        }
        if self.is_local(mode) {
            return Some(Reach::Local);
        }
        let as_of = held(&self.decided).consent.as_of;
        Some(Reach::Since(as_of.unwrap_or(UnixMs(i64::MIN))))
    }

    /// By what events are told apart: made now, where something may be sent, and this is the first.
    pub(super) fn identity(&self, reach: Reach) -> Result<Identity, String> {
        let kind = self.options.manifest.id;
        if reach == Reach::Local {
            return Ok(match identity::find(kind, &self.file()) {
                Found::Made(identity) => identity,
                Found::NotYet | Found::NotAnId { .. } | Found::Unreadable => Identity::None,
            });
        }
        let mut known = held(&self.identity);
        if let Some(identity) = &*known {
            return Ok(identity.clone());
        }
        let made = identity::obtain(kind, &self.options.file).map_err(|error| words(&error))?;
        Ok(known.insert(made).clone())
    }

    pub(super) fn run_errands(
        &self,
        store: &mut Store,
        identity: &Identity,
        (reach, now): (Reach, UnixMs),
    ) -> Result<(), StateError> {
        loop {
            let Some(errand) = held(&self.errands).front().cloned() else { return Ok(()) };
            let Errand { what, time, per_day_max, is_local } = errand;
            let outgoing = match what {
                What::Event(outgoing) => Some(outgoing),
                What::Error(told) => self.exception(store, identity, &told, time)?,
            };
            let Some(outgoing) = outgoing else {
                held(&self.errands).pop_front();
                continue;
            };
            let is_local = is_local || reach.withholds(outgoing.time);
            let outlets = self.outlets.iter().map(|outlet| Some(outlet.name.clone()));
            let to = if is_local { vec![None] } else { outlets.collect() };
            let drafts = to.into_iter().map(|sink| {
                let body = self.bytes(sink.as_deref(), &outgoing, identity, now);
                let (class, event, uuids) =
                    (outgoing.class, outgoing.name.clone(), vec![outgoing.uuid]);
                (sink, Draft { class, event, uuids, day: Day::of(outgoing.time), body })
            });
            let recorded = Some(outgoing.time);
            let queued = store.queue_each(drafts.collect(), recorded, per_day_max, now);
            if queued.is_err() {
                // It was not queued: which errors were is asked of the outbox again.
                *held(&self.exceptions) = None;
            }
            queued?;
            held(&self.errands).pop_front();
        }
    }

    /// The event that an error becomes, if it is the first of its kind today.
    fn exception(
        &self,
        store: &Store,
        identity: &Identity,
        told: &Told,
        time: UnixMs,
    ) -> Result<Option<Outgoing>, StateError> {
        let mut known = held(&self.exceptions);
        if known.is_none() {
            let max = self.options.manifest.budget.exceptions_per_day;
            let mut fresh = Exceptions::new(self.namespace(), install(identity), max);
            fresh.resume(&store.look(time)?.items, time);
            *known = Some(fresh);
        }
        Ok(known.as_mut().and_then(|known| known.first(told, time)))
    }

    pub(in crate::product) fn look(&self) -> Result<Look, StateError> {
        let reach = self.reach().unwrap_or(Reach::Local);
        self.store(reach, &Identity::None).look(self.now())
    }

    pub(in crate::product) fn sums(&self) -> Result<Vec<Sums>, StateError> {
        self.store(Reach::Local, &Identity::None).sums()
    }

    pub(in crate::product) fn body(&self, item: &Item) -> Vec<u8> {
        let body = self.store(Reach::Local, &Identity::None).body(item);
        body.ok().flatten().unwrap_or_default()
    }

    pub(super) fn store(&self, reach: Reach, identity: &Identity) -> Store {
        let settings = Settings {
            caps: self.options.manifest.budget.caps(),
            install: install(identity),
            namespace: self.namespace(),
        };
        let mut random = [0; 16];
        random.iter_mut().zip((self.options.random)()).for_each(|(to, from)| *to = from);
        let plan = Arc::clone(&self.intake.plan);
        let sinks = self.outlets.iter().map(|outlet| outlet.name.clone());
        Store::new(&self.options.state, plan, settings, random)
            .remembering(&self.memory)
            .reaching(reach, sinks.collect())
    }

    /// The namespace of the product's ids.
    pub(super) fn namespace(&self) -> Uuid {
        let name = format!("trueup-telemetry/{}", self.options.manifest.product);
        Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
    }

    /// The bytes of a rollup, for one sink or for this machine.
    fn encode(&self, event: &Event, identity: &Identity, now: UnixMs) -> Vec<u8> {
        self.bytes(event.sink.as_deref(), &Outgoing::of_rollup(event), identity, now)
    }

    fn bytes(
        &self,
        sink: Option<&str>,
        event: &Outgoing,
        identity: &Identity,
        now: UnixMs,
    ) -> Vec<u8> {
        let id = identity.id_at(event.time).unwrap_or_default();
        let manifest = &self.options.manifest;
        let encoded = |outlet: &Outlet| {
            outlet.encoder(manifest, &self.base, &id).encode(slice::from_ref(event), now)
        };
        if sink.is_none() && self.is_debug {
            for outlet in &self.outlets {
                print(&encoded(outlet));
            }
        }
        let outlet = self.outlets.iter().find(|outlet| Some(outlet.name.as_str()) == sink);
        outlet.map_or_else(|| self.bytes_here(event), encoded)
    }

    /// The bytes of an event that stays on this machine.
    fn bytes_here(&self, event: &Outgoing) -> Vec<u8> {
        let mut all: Map<String, Json> = self.base.iter().cloned().collect();
        all.extend(event.properties.clone());
        let event = serde_json::json!({
            "event": event.name,
            "uuid": event.uuid,
            "timestamp": event.time.to_string(),
            "properties": all,
        });
        event.to_string().into_bytes()
    }
}

/// The install as it stands in ids of events: where events cannot be told to be of one, in none.
pub(super) fn install(identity: &Identity) -> String {
    match identity {
        Identity::Install(id) => id.clone(),
        Identity::None | Identity::Daily(_) => String::new(),
    }
}

/// Shows the very bytes of a request, with a newline behind.
fn print(body: &[u8]) {
    let mut out = io::stderr().lock();
    // Nobody may be listening, which is no reason to stop.
    let _is_shown = out.write_all(body).and_then(|()| out.write_all(b"\n")).is_ok();
}
