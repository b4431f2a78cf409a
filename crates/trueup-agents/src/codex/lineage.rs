//! Whose thread a file is, which threads it descends from, and which of its lines are copies.
//!
//! A fork's file begins with its own `session_meta`, then its parent's, then the parent's whole history;
//! the parent's file may begin with that of its own parent. Some versions stamp the copied lines anew,
//! some keep their times, and some sub-agents insert the parent's meta and copy nothing. So copies are
//! known by their content: a row's key holds the *root* of the lineage and the row's totals, and a
//! descendant's row gives way to the same row of an ancestor (see [`trueup_core::settle`]). Times decide
//! only where they cannot be wrong, which matters when the parent's file is gone.
//!
//! ```json
//! [{"type":"session_meta","payload":{"id":"c","forked_from_id":"b"}},
//!  {"type":"session_meta","payload":{"id":"b","forked_from_id":"a"}},
//!  {"type":"session_meta","payload":{"id":"a"}}]
//! ```
//! is the thread `c` at depth 2 below its root `a`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trueup_core::{Text, UnixMs, Variant};

use crate::uuid::uuid_v7_ms;

/// Ancestors that are told apart; a deeper lineage ends here.
const ANCESTORS_MAX: usize = 64;

/// Longest pause between two lines of a history that is copied into a fork's file in one go. An answer
/// of a model takes longer.
const BURST_GAP_MS: i64 = 1_000;

/// What the head of a file has said of its thread.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Lineage {
    session: Option<Text>,
    started: Option<UnixMs>,
    /// The ancestors, the parent first.
    ancestors: Vec<Text>,
    /// Whether usage was read: metas behind it are copies in the middle of a history.
    is_closed: bool,
    /// The time of the last line of a history that may still be being copied.
    burst: Option<UnixMs>,
    /// Whether a turn of the thread's own was read: nothing behind it is a copy.
    is_own: bool,
}

impl Lineage {
    /// Hears a `session_meta`; whether it is the thread's own, as only the first is.
    pub(super) fn meta(
        &mut self,
        id: &str,
        forked_from: Option<&str>,
        parent: Option<&str>,
        started: Option<UnixMs>,
        line_time: Option<UnixMs>,
    ) -> bool {
        if self.is_closed {
            return false;
        }
        let is_own = self.session.is_none();
        if is_own {
            self.session = Some(id.into());
            self.started = started;
            self.burst = line_time.or(started).filter(|_| forked_from.is_some());
        } else {
            self.ancestor(id);
        }
        if let Some(above) = forked_from.or(parent) {
            self.ancestor(above);
        }
        is_own
    }

    fn ancestor(&mut self, id: &str) {
        let is_known = self.session.as_deref() == Some(id)
            || self.ancestors.iter().any(|ancestor| **ancestor == *id);
        if !is_known && self.ancestors.len() < ANCESTORS_MAX {
            self.ancestors.push(id.into());
        }
    }

    /// Hears that another thread's lines follow; whether it is another one.
    pub(super) fn thread(&mut self, id: &str) -> bool {
        let is_other = self.session.as_deref() != Some(id);
        if is_other {
            *self = Self { session: Some(id.into()), ..Self::default() };
        }
        is_other
    }

    /// Hears of a turn. Ids of turns and threads begin with their time: a turn that is younger than the
    /// thread is the thread's own, however soon it came.
    pub(super) fn turn(&mut self, id: &str) {
        let thread_ms = self.session.as_deref().and_then(uuid_v7_ms);
        if let (Some(turn_ms), Some(thread_ms)) = (uuid_v7_ms(id), thread_ms)
            && turn_ms >= thread_ms
        {
            self.is_own = true;
            self.burst = None;
        }
    }

    /// Whether a fork's lines may still be its parent's, stamped anew.
    pub(super) const fn is_in_burst(&self) -> bool {
        self.burst.is_some()
    }

    /// Passes a line of a fork: a pause ends the copied history, and so does a time before the fork,
    /// because then the copies keep their times.
    pub(super) fn pass(&mut self, time: Option<UnixMs>) {
        let (Some(time), Some(last)) = (time, self.burst) else { return };
        let is_old = self.started.is_some_and(|started| time < started);
        let is_late = time.0.saturating_sub(last.0) > BURST_GAP_MS;
        self.burst = (!is_old && !is_late).then_some(last.max(time));
    }

    /// Whether a row of this time is certainly a copy of an ancestor's.
    pub(super) fn is_copy(&self, time: Option<UnixMs>) -> bool {
        let is_before_start = time.zip(self.started).is_some_and(|(time, started)| time < started);
        !self.is_own && (self.is_in_burst() || (self.depth() > 0 && is_before_start))
    }

    /// Hears of usage: the head of the file is over.
    pub(super) const fn close(&mut self) {
        self.is_closed = true;
    }

    /// The thread's own id.
    pub(super) const fn session(&self) -> Option<&Text> {
        self.session.as_ref()
    }

    /// When the thread began.
    pub(super) const fn started(&self) -> Option<UnixMs> {
        self.started
    }

    /// The oldest ancestor that is known, or the thread itself.
    pub(super) fn root(&self) -> Option<&Text> {
        self.ancestors.last().or(self.session.as_ref())
    }

    /// How close a row is to the thread that made the call. The root's rows outrank those that its
    /// descendants replay; rows of a thread's own turns are nobody's copies, even where they happen to
    /// use what another call used.
    pub(super) fn standing(&self) -> u8 {
        if self.is_own { u8::MAX } else { u8::MAX - self.depth() }
    }

    /// How many ancestors are known.
    fn depth(&self) -> u8 {
        u8::try_from(self.ancestors.len()).unwrap_or(u8::MAX)
    }

    /// Tells siblings apart that begin with the same usage, without copying it from anyone.
    pub(super) fn variant(&self) -> Variant {
        let session = self.session.as_ref().filter(|_| self.depth() > 0);
        session.map(Arc::as_ref).map_or(Variant(0), Variant::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: i64) -> UnixMs {
        UnixMs(ms)
    }

    fn lineage(metas: &[(&str, Option<&str>, Option<&str>)]) -> Lineage {
        let mut lineage = Lineage::default();
        for (id, forked_from, parent) in metas {
            lineage.meta(id, *forked_from, *parent, Some(at(10_000)), Some(at(10_000)));
        }
        lineage
    }

    #[test]
    fn the_root_is_the_oldest_ancestor_that_any_leading_meta_names() {
        for (metas, root, depth) in [
            (&[("a", None, None)][..], "a", 0),
            (&[("b", Some("a"), None)][..], "a", 1),
            (&[("b", Some("a"), None), ("a", None, None)][..], "a", 1),
            (&[("c", None, Some("b")), ("b", Some("a"), None)][..], "a", 2),
            (
                &[("c", None, None), ("b", None, None), ("a", None, None), ("b", None, None)][..],
                "a",
                2,
            ),
        ] {
            let lineage = lineage(metas);
            assert_eq!((&**lineage.root().unwrap(), lineage.depth()), (root, depth), "{metas:?}");
        }
    }

    #[test]
    fn a_meta_behind_usage_changes_nothing() {
        let mut lineage = lineage(&[("a", None, None)]);
        lineage.close();
        assert!(!lineage.meta("b", None, None, Some(at(1)), Some(at(1))));
        assert_eq!(lineage.depth(), 0);
    }

    #[test]
    fn a_fork_copies_until_a_pause_and_a_subagent_not_at_all() {
        let mut fork = lineage(&[("b", Some("a"), None)]);
        for (ms, is_copy) in [(10_200, true), (11_200, true), (12_201, false), (12_300, false)] {
            fork.pass(Some(at(ms)));
            assert_eq!(fork.is_copy(Some(at(ms))), is_copy, "{ms}");
        }
        let subagent = lineage(&[("b", None, Some("a"))]);
        assert!(!subagent.is_copy(Some(at(10_001))) && subagent.is_copy(Some(at(9_999))));
        assert!(!lineage(&[("a", None, None)]).is_copy(Some(at(9_999))));
    }

    #[test]
    fn copies_that_keep_their_times_do_not_begin_a_burst() {
        let mut fork = lineage(&[("b", Some("a"), None)]);
        fork.pass(Some(at(2_000)));
        fork.pass(Some(at(10_500)));
        assert!(!fork.is_copy(Some(at(10_500))) && fork.is_copy(Some(at(2_000))));
    }

    #[test]
    fn a_turn_younger_than_the_fork_is_its_own() {
        let mut fork = lineage(&[("01a0eda9-cd7a-7d33-a6cd-868a670128c7", Some("a"), None)]);
        fork.turn("01a0eda0-0000-7042-95cc-238ad4124f52");
        assert!(fork.is_in_burst());
        assert_eq!(fork.standing(), u8::MAX - 1);
        fork.turn("01a0eda9-cdc2-7042-95cc-238ad4124f52");
        assert!(!fork.is_in_burst() && !fork.is_copy(Some(at(1))));
        assert_eq!(fork.standing(), u8::MAX);
    }

    #[test]
    fn a_lineage_past_the_bound_ends_there() {
        let mut lineage = lineage(&[("own", None, None)]);
        for at in 0..2 * ANCESTORS_MAX {
            lineage.meta(&at.to_string(), None, None, None, None);
        }
        assert_eq!(usize::from(lineage.depth()), ANCESTORS_MAX);
    }
}
