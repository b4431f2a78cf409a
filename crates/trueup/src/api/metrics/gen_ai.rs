//! Usage under the names of OpenTelemetry's conventions, as Prometheus writes them: for dashboards that
//! know these and not ours.
//!
//! Sums of the ledger have no buckets, so tokens are a histogram of the one that holds all.

use std::collections::BTreeMap;

use trueup_core::{Counters, Text, Tokens};

use super::super::durations::{ENDS_MS, Histogram};
use super::super::ledger::{Labels, Total};
use super::{Exposition, Type};

const ALL: &str = "+Inf";

impl Exposition {
    pub(super) fn of_gen_ai(
        &mut self,
        usage: &BTreeMap<Labels, Total>,
        durations: &BTreeMap<(Text, Text), Histogram>,
    ) {
        let name = "gen_ai_client_token_usage";
        self.family(name, Type::Histogram, "Tokens of calls; the input includes cached ones.");
        for ((provider, model), Counters { calls, tokens, .. }) in by_model(usage) {
            let Tokens { output, .. } = tokens;
            for (kind, sum) in [("input", tokens.prompt()), ("output", output)] {
                let labels = [
                    ("gen_ai_provider_name", provider),
                    ("gen_ai_response_model", model),
                    ("gen_ai_token_type", kind),
                ];
                self.buckets(name, &labels, [(ALL.to_owned(), calls)]);
                self.sample(&format!("{name}_sum"), &labels, sum);
                self.sample(&format!("{name}_count"), &labels, calls);
            }
        }
        let name = "gen_ai_client_operation_duration_seconds";
        self.family(
            name,
            Type::Histogram,
            "How long calls took that clients told of, since the start.",
        );
        for ((provider, model), of) in durations {
            let labels: [(&str, &str); 2] =
                [("gen_ai_provider_name", provider), ("gen_ai_response_model", model)];
            let mut within = 0;
            let ends = ENDS_MS.iter().zip(of.buckets).map(|(end, calls)| {
                within += calls;
                (seconds(u64::from(*end)), within)
            });
            self.buckets(name, &labels, ends.chain([(ALL.to_owned(), of.calls)]));
            self.sample(&format!("{name}_sum"), &labels, seconds(of.sum_ms));
            self.sample(&format!("{name}_count"), &labels, of.calls);
        }
    }

    fn buckets(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        ends: impl IntoIterator<Item = (String, u64)>,
    ) {
        for (end, calls) in ends {
            let all = [labels, &[("le", end.as_str())]].concat();
            self.sample(&format!("{name}_bucket"), &all, calls);
        }
    }
}

/// The conventions do not tell agents apart.
pub(super) fn by_model(usage: &BTreeMap<Labels, Total>) -> BTreeMap<(&str, &str), Counters> {
    let mut sums: BTreeMap<(&str, &str), Counters> = BTreeMap::new();
    for (labels, total) in usage {
        let sum = sums.entry((&labels.provider, &labels.model)).or_default();
        *sum = sum.plus(&total.counters);
    }
    sums
}

/// Seconds as a decimal.
fn seconds(ms: u64) -> String {
    let (whole, rest) = (ms / 1_000, ms % 1_000);
    let text = format!("{whole}.{rest:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::prices::YoctoUsd;

    #[test]
    fn tokens_and_durations_have_the_names_of_the_conventions() {
        let labels = |agent: &str| Labels {
            agent: agent.into(),
            provider: "openai".into(),
            model: "gpt-5.5".into(),
        };
        let tokens = Tokens { input: 5, cache_read: 7, output: 3, ..Tokens::ZERO };
        let counters = Counters { calls: 2, tokens, ..Counters::default() };
        let total = || Total { counters, cost: YoctoUsd::ZERO };
        let usage = BTreeMap::from([(labels("a"), total()), (labels("b"), total())]);
        let mut of = Histogram { calls: 3, sum_ms: 95_515, ..Histogram::default() };
        (of.buckets[0], of.buckets[5]) = (1, 1);
        let durations = BTreeMap::from([(("openai".into(), "gpt-5.5".into()), of)]);
        let mut text = Exposition::default();
        text.of_gen_ai(&usage, &durations);
        let pair = "gen_ai_provider_name=\"openai\",gen_ai_response_model=\"gpt-5.5\"";
        let duration = "gen_ai_client_operation_duration_seconds";
        for line in [
            format!("gen_ai_client_token_usage_sum{{{pair},gen_ai_token_type=\"input\"}} 24"),
            format!(
                "gen_ai_client_token_usage_bucket{{{pair},gen_ai_token_type=\"output\",le=\"+Inf\"}} 4"
            ),
            format!("{duration}_bucket{{{pair},le=\"0.01\"}} 1"),
            format!("{duration}_bucket{{{pair},le=\"0.16\"}} 1"),
            format!("{duration}_bucket{{{pair},le=\"81.92\"}} 2"),
            format!("{duration}_bucket{{{pair},le=\"+Inf\"}} 3"),
            format!("{duration}_sum{{{pair}}} 95.515"),
        ] {
            assert!(text.0.lines().any(|found| found == line), "{line}\n{}", text.0);
        }
    }
}
