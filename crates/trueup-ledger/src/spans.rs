//! Sums added up over spans of time, while they are read.
//!
//! To whoever asks for a month by device its days are one: what of them is priced alike is added up
//! here, and told once. A span ends where a bucket does, and where prices change:
//!
//! ```text
//! 35 days of 1,000 devices: 76,000 sums of days are 8,000 of spans
//! ```

use std::collections::BTreeMap;

use trueup_core::UnixMs;
use trueup_core::report::kinds;

use crate::TimeUsage;
use crate::rollup::ByNumbers;

/// The sums of one span, while they are added up.
pub(crate) struct Spans<'a> {
    end: &'a mut dyn FnMut(UnixMs) -> UnixMs,
    /// Where spans end that were seen, by where they were seen to begin: sums of one device after the other
    /// go through the same time again and again.
    ends: BTreeMap<UnixMs, UnixMs>,
    device: i64,
    /// From when until when the span goes, as far as sums of it were seen.
    span: (UnixMs, UnixMs),
    /// By series, and by what of them is priced.
    sums: ByNumbers<[i64; 2], TimeUsage>,
}

impl<'a> Spans<'a> {
    /// Spans, of which `end` says where the one ends that a time lies in.
    pub(crate) fn new(end: &'a mut dyn FnMut(UnixMs) -> UnixMs) -> Self {
        let (none, ends, sums) = (UnixMs(i64::MIN), BTreeMap::new(), ByNumbers::default());
        Self { end, ends, device: 0, span: (none, none), sums }
    }

    /// Adds a sum of a device that reaches over no end of a span. Where it is the first of a device or a
    /// span, those before it are complete, and handed to `each`.
    pub(crate) fn add(
        &mut self,
        device: i64,
        usage: TimeUsage,
        each: &mut dyn FnMut(i64, TimeUsage),
    ) {
        let (from, until) = self.span;
        if device != self.device || usage.start >= until {
            self.tell(each);
            self.device = device;
            self.span = (usage.start, self.end(usage.start));
        } else if usage.start < from {
            // What is left of a day that is cut comes behind the parts that were cut off.
            return each(device, usage);
        }
        let sum = self.sums.entry([usage.series, kinds(&usage.counters.tokens).into()]);
        sum.and_modify(|sum| {
            sum.counters = sum.counters.plus(&usage.counters);
            sum.times = (sum.times.0.min(usage.times.0), sum.times.1.max(usage.times.1));
        })
        .or_insert(usage);
    }

    /// Hands the sums of the last span to `each`.
    pub(crate) fn tell(&mut self, each: &mut dyn FnMut(i64, TimeUsage)) {
        let mut sums: Vec<TimeUsage> = self.sums.drain().map(|(_, sum)| sum).collect();
        sums.sort_unstable_by_key(|sum| (sum.series, sum.start));
        for sum in sums {
            each(self.device, sum);
        }
    }

    fn end(&mut self, time: UnixMs) -> UnixMs {
        let known = self.ends.range(..=time).next_back();
        if let Some((_, end)) = known.filter(|(_, end)| time < **end) {
            return *end;
        }
        let end = (self.end)(time);
        self.ends.insert(time, end);
        end
    }
}
