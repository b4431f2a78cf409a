//! What a device keeps: the ledger's part of a push, without SQLite.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;

use anyhow::Result;
use trueup_core::{FactId, Key, UnixMs};
use trueup_ledger::{Ack, Destination, Effect, Frozen, Outcome};

use crate::push::batch::{Made, Wanted};
use crate::push::compress::Compressor;

/// A copy of a call, as an agent leaves it in a file; or a call that a client posts, which has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) key: Key,
    pub(super) at: UnixMs,
    /// The larger one counts.
    pub(super) output: u64,
    /// Bytes of text beside it.
    pub(super) text_bytes: usize,
}

impl Copy {
    pub(super) fn id(&self) -> FactId {
        FactId::new(self.at, self.key)
    }
}

/// A device's ledger. What each method writes is one transaction.
pub(super) trait Store {
    /// What an agent has written in its files, from where it was read to on.
    fn read(&mut self, files: &[Copy], now: UnixMs) -> Result<()>;
    /// What a client posts, once.
    fn post(&mut self, call: Copy, now: UnixMs) -> Result<()>;
    /// Rows that were pushed go, as where there is too much of them: what they were still counts.
    fn remove_pushed(&mut self);
    /// What counts.
    fn account(&self) -> BTreeMap<FactId, u64>;
    /// The ids of what was refused for good.
    fn refused(&self) -> Vec<FactId>;
    /// Keeps a copy of everything, as an owner does.
    fn copy(&mut self);
    /// Puts the copy in the place of the ledger; of the mark beside it, too, where the whole machine is put
    /// back.
    fn restore(&mut self, is_whole: bool);
    /// The file is opened by a new process.
    fn reopen(&mut self);
    /// Everything is told anew.
    fn tell_anew(&mut self, newest_at: UnixMs) -> Result<()>;

    fn destination(&self) -> Result<Destination>;
    fn frozen(&self) -> Result<Option<Frozen>>;
    fn last_queued(&self) -> Result<i64>;
    fn heartbeat_seconds(&self) -> Result<u32>;
    fn acked_batch_at(&self) -> Result<UnixMs>;
    fn make(&self, wanted: &Wanted, id: &str, now: UnixMs) -> Result<Made>;
    fn heartbeat(&self, after: i64, id: &str, now: UnixMs) -> Result<Frozen>;
    fn freeze(&mut self, batch: &Frozen) -> Result<()>;
    fn skip(&mut self, until: i64, now: UnixMs) -> Result<()>;
    fn settle(&mut self, batch: &Frozen, outcome: &Outcome) -> Result<()>;
}

/// A ledger in memory.
#[derive(Debug)]
pub(super) struct Model {
    now: Kept,
    copy: Option<Kept>,
    /// Beside the ledger: of when the newest batch is.
    mark: i64,
}

/// What is in it.
#[derive(Debug, Clone)]
struct Kept {
    /// How far the files were read.
    position: usize,
    calls: BTreeMap<FactId, Copy>,
    /// Calls that were pushed, and those whose rows are gone.
    pushed: BTreeSet<FactId>,
    removed: BTreeMap<FactId, Copy>,
    /// What counts of each key.
    keys: BTreeMap<Key, FactId>,
    outbox: BTreeMap<i64, Queued>,
    last_seq: i64,
    destination: Destination,
    frozen: Option<Frozen>,
    refused: Vec<FactId>,
    made_at: i64,
    acked_at: i64,
    is_anew: bool,
    heartbeat_seconds: u32,
}

#[derive(Debug, Clone, Copy)]
struct Queued {
    id: FactId,
    is_taken_back: bool,
    is_refused: bool,
    tries: u32,
}

/// How often a record may be put off, as in the ledger.
const POSTPONED_MAX: u32 = 8;
/// Bytes of what stands around records, more or less.
const AROUND_BYTES: u64 = 100;

impl Model {
    pub(super) fn new() -> Self {
        let destination = Destination {
            endpoint: String::new(),
            acked_seq: 0,
            encoding: "gzip".into(),
            next_at: None,
            is_active: true,
        };
        let now = Kept {
            position: 0,
            calls: BTreeMap::new(),
            pushed: BTreeSet::new(),
            removed: BTreeMap::new(),
            keys: BTreeMap::new(),
            outbox: BTreeMap::new(),
            last_seq: 0,
            destination,
            frozen: None,
            refused: Vec::new(),
            made_at: 0,
            acked_at: 0,
            is_anew: false,
            heartbeat_seconds: 0,
        };
        Self { now, copy: None, mark: 0 }
    }
}

impl Kept {
    fn queue(&mut self, queued: Queued) {
        self.last_seq += 1;
        self.outbox.insert(self.last_seq, queued);
    }

    fn insert(&mut self, copy: Copy) {
        self.pushed.remove(&copy.id());
        self.calls.insert(copy.id(), copy);
        self.queue(Queued { id: copy.id(), is_taken_back: false, is_refused: false, tries: 0 });
    }

    /// Takes the best copy of a key in.
    fn take(&mut self, copy: Copy) {
        if let Some(known) = self.keys.get(&copy.key).copied() {
            // What is gone cannot be amended.
            if self.calls.get(&known).is_none_or(|known| known.output >= copy.output) {
                return;
            }
            self.calls.remove(&known);
            if known != copy.id() {
                self.queue(Queued { id: known, is_taken_back: true, is_refused: false, tries: 0 });
            }
        }
        self.keys.insert(copy.key, copy.id());
        self.insert(copy);
    }

    /// Takes copies back that do not count, and may have been told.
    fn take_back(&mut self, copies: &[Copy]) {
        for copy in copies {
            if self.is_anew && self.keys.get(&copy.key) != Some(&copy.id()) {
                self.queue(Queued {
                    id: copy.id(),
                    is_taken_back: true,
                    is_refused: false,
                    tries: 0,
                });
            }
        }
    }

    fn refuse(&mut self, seq: i64) {
        if let Some(queued) = self.outbox.get_mut(&seq) {
            queued.is_refused = true;
            self.refused.push(queued.id);
        }
    }

    fn advance(&mut self, until: i64) {
        self.destination.acked_seq = self.destination.acked_seq.max(until);
        let left = self.outbox.split_off(&(self.destination.acked_seq + 1));
        let taken = std::mem::replace(&mut self.outbox, left).into_values();
        self.pushed.extend(taken.filter(|queued| !queued.is_refused).map(|queued| queued.id));
    }

    /// A record as JSON, with its texts cut; `None` where its row is gone.
    fn json(&self, seq: i64, queued: &Queued, cut_to: usize) -> Option<String> {
        let id = queued.id;
        match (queued.is_taken_back, self.calls.get(&id)) {
            (true, None) => {
                Some(format!(r#"{{"type":"llm_trace_retracted","seq":{seq},"id":"{id}"}}"#))
            }
            (false, Some(copy)) => Some(format!(
                r#"{{"type":"llm_trace","seq":{seq},"id":"{id}","data":{{"output_tokens":{},"text":"{}"}}}}"#,
                copy.output,
                "x".repeat(copy.text_bytes.min(cut_to))
            )),
            (true, Some(_)) | (false, None) => None,
        }
    }

    fn batch(
        &self,
        id: &str,
        now: UnixMs,
        encoding: &str,
        events: &[String],
    ) -> (i64, Vec<u8>, u64) {
        let made_at = now.0.max(self.made_at + 1);
        let body = format!(
            r#"{{"v":1,"batch":{{"id":"{id}","created_at":{made_at}}},"events":[{}]}}"#,
            events.join(",")
        );
        let mut out = Compressor::new(encoding).unwrap();
        out.write_all(body.as_bytes()).unwrap();
        (made_at, out.finish().unwrap(), body.len() as u64)
    }
}

impl Store for Model {
    fn read(&mut self, files: &[Copy], _: UnixMs) -> Result<()> {
        // Copies that are read together are settled among themselves.
        let mut best: BTreeMap<Key, Copy> = BTreeMap::new();
        let copies = &files[self.now.position..];
        for copy in copies {
            let known = best.entry(copy.key).or_insert(*copy);
            if copy.output > known.output {
                *known = *copy;
            }
        }
        for copy in best.into_values() {
            self.now.take(copy);
        }
        self.now.take_back(copies);
        self.now.position = files.len();
        Ok(())
    }

    fn post(&mut self, call: Copy, _: UnixMs) -> Result<()> {
        self.now.insert(call);
        Ok(())
    }

    fn remove_pushed(&mut self) {
        let Kept { calls, pushed, removed, .. } = &mut self.now;
        removed.extend(pushed.iter().filter_map(|id| calls.remove_entry(id)));
        pushed.clear();
    }

    fn account(&self) -> BTreeMap<FactId, u64> {
        let Kept { calls, removed, .. } = &self.now;
        calls.iter().chain(removed).map(|(id, copy)| (*id, copy.output)).collect()
    }

    fn refused(&self) -> Vec<FactId> {
        self.now.refused.clone()
    }

    fn copy(&mut self) {
        self.copy = Some(self.now.clone());
    }

    fn restore(&mut self, is_whole: bool) {
        self.now = self.copy.clone().unwrap();
        if is_whole {
            self.mark = self.now.made_at;
        }
    }

    fn reopen(&mut self) {
        if self.mark > self.now.made_at {
            self.tell_anew(UnixMs(self.mark)).unwrap();
        }
    }

    fn tell_anew(&mut self, newest_at: UnixMs) -> Result<()> {
        let kept = &mut self.now;
        kept.made_at = kept.made_at.max(newest_at.0);
        (kept.is_anew, kept.position, kept.frozen) = (true, 0, None);
        kept.outbox.retain(|_, queued| queued.is_taken_back);
        kept.pushed.clear();
        for id in kept.calls.keys().copied().collect::<Vec<_>>() {
            kept.queue(Queued { id, is_taken_back: false, is_refused: false, tries: 0 });
        }
        Ok(())
    }

    fn destination(&self) -> Result<Destination> {
        Ok(self.now.destination.clone())
    }

    fn frozen(&self) -> Result<Option<Frozen>> {
        Ok(self.now.frozen.clone())
    }

    fn last_queued(&self) -> Result<i64> {
        Ok(self.now.outbox.last_key_value().map_or(0, |(seq, _)| *seq))
    }

    fn heartbeat_seconds(&self) -> Result<u32> {
        Ok(self.now.heartbeat_seconds)
    }

    fn acked_batch_at(&self) -> Result<UnixMs> {
        Ok(UnixMs(self.now.acked_at))
    }

    fn make(&self, wanted: &Wanted, id: &str, now: UnixMs) -> Result<Made> {
        let kept = &self.now;
        let (mut events, mut bytes, mut is_cut) = (Vec::new(), 0, false);
        // The last place that was looked at, and that of the last record.
        let (mut last_seq, mut last_record) = (wanted.after, wanted.after);
        for (seq, queued) in kept.outbox.range(wanted.after + 1..) {
            if *seq > wanted.until || events.len() as u64 == wanted.events_max {
                break;
            }
            let Some(mut json) = kept.json(*seq, queued, usize::MAX) else {
                last_seq = *seq;
                continue;
            };
            let room = wanted.bytes_max.saturating_sub(AROUND_BYTES + bytes);
            if !events.is_empty() && json.len() as u64 > room {
                break;
            }
            let room = wanted.single_bytes_max.saturating_sub(AROUND_BYTES);
            if json.len() as u64 > room {
                json = kept.json(*seq, queued, usize::try_from(room / 2).unwrap()).unwrap();
                is_cut = true;
                if json.len() as u64 > room {
                    return Ok(Made::TooLarge(*seq));
                }
            }
            bytes += json.len() as u64 + 1;
            (last_seq, last_record) = (*seq, *seq);
            events.push(json);
            if is_cut {
                break;
            }
        }
        match events.len() {
            0 => return Ok(Made::Nothing(last_seq)),
            // Its place is the batch's last.
            1 => last_seq = last_record,
            _ => {}
        }
        let (made_at, body, bytes) = kept.batch(id, now, &wanted.encoding, &events);
        Ok(Made::Batch(Frozen {
            id: id.to_owned(),
            created_at: UnixMs(made_at),
            first_seq: wanted.after + 1,
            last_seq,
            events: events.len() as u64,
            bytes,
            is_cut,
            encoding: wanted.encoding.clone(),
            attempts: 0,
            body: Arc::new(body),
        }))
    }

    fn heartbeat(&self, after: i64, id: &str, now: UnixMs) -> Result<Frozen> {
        let (made_at, body, bytes) = self.now.batch(id, now, "identity", &[]);
        Ok(Frozen {
            id: id.to_owned(),
            created_at: UnixMs(made_at),
            first_seq: after + 1,
            last_seq: after,
            events: 0,
            bytes,
            is_cut: false,
            encoding: "identity".into(),
            attempts: 0,
            body: Arc::new(body),
        })
    }

    fn freeze(&mut self, batch: &Frozen) -> Result<()> {
        assert!(self.now.frozen.is_none(), "one batch is on its way at a time");
        self.now.made_at = batch.created_at.0;
        self.mark = self.now.made_at;
        self.now.frozen = Some(batch.clone());
        Ok(())
    }

    fn skip(&mut self, until: i64, _: UnixMs) -> Result<()> {
        self.now.advance(until);
        Ok(())
    }

    fn settle(&mut self, batch: &Frozen, outcome: &Outcome) -> Result<()> {
        let kept = &mut self.now;
        if let Some(encoding) = outcome.encoding {
            kept.destination.encoding = encoding.into();
        }
        kept.heartbeat_seconds = outcome.heartbeat_seconds.unwrap_or(kept.heartbeat_seconds);
        match &outcome.effect {
            Effect::Kept(next_at) => kept.destination.next_at = *next_at,
            Effect::Dropped => kept.frozen = None,
            Effect::Acked(Ack { rejected, postponed, next_at }) => {
                for one in rejected {
                    kept.refuse(one.seq);
                }
                for seq in postponed.iter().map(|one| one.seq) {
                    match kept.outbox.get(&seq).copied() {
                        Some(queued) if queued.tries < POSTPONED_MAX => {
                            kept.outbox.insert(seq, Queued { is_refused: true, ..queued });
                            kept.queue(Queued { tries: queued.tries + 1, ..queued });
                        }
                        Some(_) | None => kept.refuse(seq),
                    }
                }
                kept.frozen = None;
                if !batch.body.is_empty() {
                    kept.acked_at = batch.created_at.0;
                }
                kept.advance(batch.last_seq);
                kept.destination.next_at = *next_at;
            }
        }
        Ok(())
    }
}
