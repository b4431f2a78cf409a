//! What came by OpenTelemetry, and what was not taken of it.

use std::collections::BTreeMap;

use super::super::otlp::Seen;
use super::{Exposition, Type};

impl Exposition {
    /// Nothing where nothing came.
    pub(super) fn of_otlp(&mut self, seen: &Seen) {
        if !seen.pushed.is_empty() {
            let name = "trueup_otlp_metrics_pushed_total";
            self.family(name, Type::Counter, "Attempts to send metrics to a collector.");
            for (result, attempts) in &seen.pushed {
                self.sample(name, &[("result", result)], attempts);
            }
        }
        if seen.exports.is_empty() && seen.refused.is_empty() {
            return;
        }
        let name = "trueup_otlp_exports_total";
        self.family(name, Type::Counter, "Exports of OpenTelemetry taken since the start.");
        for (signal, exports) in &seen.exports {
            self.sample(name, &[("signal", signal)], exports);
        }
        let name = "trueup_otlp_records_total";
        self.family(
            name,
            Type::Counter,
            "Their records that tell of calls: as a call, or as evidence.",
        );
        for (role, records) in [("call", &seen.calls), ("evidence", &seen.evidence)] {
            for (dialect, records) in records {
                self.sample(name, &[("role", role), ("dialect", dialect)], records);
            }
        }
        for (role, records) in
            [("error", seen.errors), ("duplicate", seen.duplicates), ("rejected", seen.rejected)]
        {
            self.sample(name, &[("role", role)], records);
        }
        let name = "trueup_otlp_other_records_total";
        self.family(name, Type::Counter, "Their other records, by instrumentation.");
        for (scope, records) in &seen.others {
            self.sample(name, &[("scope", scope)], records);
        }
        let name = "trueup_otlp_problems_total";
        self.family(name, Type::Counter, "What was wrong with records.");
        for (problem, records) in &seen.problems {
            self.sample(name, &[("problem", problem)], records);
        }
        let name = "trueup_otlp_refused_total";
        self.family(name, Type::Counter, "Exports refused since the start.");
        for (reason, exports) in &seen.refused {
            self.sample(name, &[("reason", reason)], exports);
        }
        let help = "Exports that were of another signal than their path.";
        self.single("trueup_otlp_misrouted_total", Type::Counter, help, seen.misrouted);
    }

    /// What became of exports that were to be handed on.
    pub(super) fn of_otlp_forward(&mut self, results: &BTreeMap<&'static str, u64>) {
        let name = "trueup_otlp_forwarded_total";
        self.family(
            name,
            Type::Counter,
            "Exports handed on to the collector, or dropped, by reason.",
        );
        for (result, exports) in results {
            self.sample(name, &[("result", result)], exports);
        }
    }
}
