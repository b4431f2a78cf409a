//! Which part of a refused batch to try next, to find the one record that is not taken.
//!
//! Of a batch of n records that is refused, the half of what is left to suspect is tried each time:
//! after log2(n) requests the record stands alone.

/// Records of which one at least is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hunt {
    /// Up to this place of the outbox.
    pub(super) until: i64,
    /// So many.
    left: u64,
}

impl Hunt {
    /// A batch of more than one record was refused.
    pub(super) const fn refused(until: i64, events: u64) -> Self {
        Self { until, left: events }
    }

    /// How many records to try next.
    pub(super) const fn events_max(self) -> u64 {
        let half = self.left / 2;
        if half == 0 { 1 } else { half }
    }

    /// The first of them were taken: what is left to suspect.
    pub(super) const fn taken(self, events: u64) -> Option<Self> {
        let left = self.left.saturating_sub(events);
        if left == 0 { None } else { Some(Self { until: self.until, left }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_poisoned_record_stands_alone_after_log2_requests() {
        for events in [2_u64, 3, 7, 100, 1_000, 10_000] {
            for poison in [0, 1, events / 2, events - 1] {
                let mut hunt = Hunt::refused(0, events);
                let (mut from, mut requests) = (0, 0);
                loop {
                    let tried = hunt.events_max();
                    requests += 1;
                    let is_refused = (from..from + tried).contains(&poison);
                    if is_refused && tried == 1 {
                        break;
                    }
                    if is_refused {
                        hunt = Hunt::refused(0, tried);
                    } else {
                        from += tried;
                        hunt = hunt.taken(tried).unwrap();
                    }
                }
                assert_eq!(from, poison);
                assert!(requests <= events.ilog2() + 2, "{events} {poison}: {requests}");
            }
        }
    }
}
