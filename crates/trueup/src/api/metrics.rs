//! `GET /metrics`: the text format of Prometheus, version 0.0.4.
//!
//! ```text
//! # HELP trueup_queue_records Records that wait to be written.
//! # TYPE trueup_queue_records gauge
//! trueup_queue_records 0
//! ```

mod alerts;
mod gen_ai;
mod host;
mod otlp;
mod otlp_push;

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use trueup_core::Text;
use trueup_ledger::SettleLag;

pub(crate) use otlp_push::start as push_by_otlp;

use super::App;
use super::counts::Counts;
use super::health::Health;
use super::ledger::{self, Labels, Total};
use crate::completeness::Lack;
use crate::daemon::{GatewayLog, PullSeen, PushSeen};
use crate::pull::Lags;

pub(super) async fn get(State(app): State<Arc<App>>) -> Response {
    let usage = app.read(ledger::all_usage).await;
    let lacks = app.read(|kept, _| ledger::lacks(kept)).await;
    let pulled = app.threads.pull.seen();
    let lags = match pulled.connections {
        0 => Ok(Vec::new()),
        _ => app.read(|kept, _| ledger::settle_lags(kept)).await,
    };
    let mut text = Exposition::default();
    text.of_health(&app.health());
    text.of_sync(app.threads.watch.seen().bytes_read);
    text.of_push(&app.threads.push.seen());
    text.of_pull(&pulled);
    text.of_settle_lags(&lags.unwrap_or_default());
    text.of_alerts(&app.threads.alerts.seen());
    text.of_counts(&app.counts);
    text.of_otlp(&app.otlp.counts.seen());
    if let Some(forward) = &app.threads.forward {
        text.of_otlp_forward(&forward.results());
    }
    if let Some(log) = &app.threads.gateway_log {
        text.of_gateway_log(log);
    }
    if let Some(sample) = app.threads.host.last() {
        text.of_host(&sample);
    }
    if let Ok(usage) = usage {
        text.of_usage(&usage);
        text.of_gen_ai(&usage, &app.durations.seen());
    }
    if let Ok(lacks) = lacks {
        text.of_lacks(&lacks);
    }
    text.into_response()
}

impl IntoResponse for Exposition {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], self.0)
            .into_response()
    }
}

/// A page of metrics in the making.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

/// What Prometheus knows a number as.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Type {
    Counter,
    Gauge,
    Histogram,
}

impl Exposition {
    pub(crate) fn family(&mut self, name: &str, kind: Type, help: &str) {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.line(format_args!("{name}{labels} {value}"));
    }

    pub(crate) fn single(&mut self, name: &str, kind: Type, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _is_written = writeln!(self.0, "{line}").is_ok();
    }

    fn of_health(&mut self, health: &Health) {
        self.family("trueup_build_info", Type::Gauge, "The version that runs.");
        self.sample("trueup_build_info", &[("version", health.version)], 1);
        let is_up = u8::from(health.db_status == "ok");
        let is_roomy = u8::from(health.disk_status == "ok");
        for (name, help, value) in [
            ("trueup_uptime_seconds", "Time since the start.", health.uptime_seconds),
            ("trueup_ledger_ok", "1 while the ledger can be written.", is_up.into()),
            ("trueup_ledger_bytes", "Size of the ledger file.", health.db_size_bytes),
            ("trueup_wal_bytes", "Size of the write-ahead log.", health.wal_size_bytes),
            ("trueup_disk_ok", "0 while the disk is full or nearly so.", is_roomy.into()),
            ("trueup_queue_records", "Records that wait to be written.", health.queue_depth as u64),
            ("trueup_queue_records_max", "Records that may wait.", health.queue_capacity as u64),
            ("trueup_queue_bytes", "Bytes that wait to be written.", health.queue_bytes as u64),
        ] {
            self.single(name, Type::Gauge, help, value);
        }
        for (name, help, time) in [
            (
                "trueup_last_commit_timestamp_seconds",
                "When something was last written.",
                health.last_commit,
            ),
            (
                "trueup_last_sync_timestamp_seconds",
                "When the agents' stores were last read.",
                health.last_sync,
            ),
        ] {
            if let Some(time) = time {
                self.single(name, Type::Gauge, help, time.0 / 1_000);
            }
        }
        let dropped = "Records dropped for want of room, over all runs.";
        self.single("trueup_records_dropped_total", Type::Counter, dropped, health.dropped_total);
        let refused = "Records that could not be written, over all runs.";
        self.single("trueup_records_refused_total", Type::Counter, refused, health.refused_total);
        let removed = "Rows that cleaning has removed, over all runs.";
        self.single("trueup_rows_removed_total", Type::Counter, removed, health.removed_total);
        let lost = "Rows that cleaning has removed before they were pushed, over all runs.";
        let count = health.lost_to_retention_total;
        self.single("trueup_rows_lost_total", Type::Counter, lost, count);
    }

    fn of_sync(&mut self, bytes: u64) {
        let help = "Bytes read of the agents' stores since the start.";
        self.single("trueup_sync_bytes_total", Type::Counter, help, bytes);
    }

    /// Nothing where no destination is set.
    fn of_push(&mut self, seen: &PushSeen) {
        if !seen.is_on {
            return;
        }
        let help = "Records that the destination took since the start.";
        self.single("trueup_push_records_total", Type::Counter, help, seen.pushed);
        let name = "trueup_push_requests_total";
        self.family(name, Type::Counter, "Requests to the destination since the start.");
        for (result, requests) in [("ok", seen.requests.0), ("error", seen.requests.1)] {
            self.sample(name, &[("result", result)], requests);
        }
        let help = "Cycles since the start.";
        self.single("trueup_push_cycles_total", Type::Counter, help, seen.cycles);
        let help = "Records that the destination refused for good, over all runs.";
        self.single("trueup_push_quarantined_total", Type::Counter, help, seen.quarantined);
        let help = "Records that were not pushed when the last cycle ended.";
        self.single("trueup_push_waiting_records", Type::Gauge, help, seen.waiting);
        let help = "1 while the breaker is open: the destination failed, and is only probed.";
        let is_open = u8::from(seen.is_open);
        self.single("trueup_push_breaker_open", Type::Gauge, help, is_open);
        if let Some(time) = seen.last_push {
            let name = "trueup_last_push_timestamp_seconds";
            self.single(name, Type::Gauge, "When something was last taken.", time.0 / 1_000);
        }
    }

    /// Nothing where no provider is connected.
    fn of_pull(&mut self, seen: &PullSeen) {
        if seen.connections == 0 {
            return;
        }
        let help = "Pages that providers sent since the start.";
        self.single("trueup_pull_pages_total", Type::Counter, help, seen.total.pages);
        let name = "trueup_pull_rows_total";
        self.family(name, Type::Counter, "Rows that providers told since the start.");
        let rows = seen.total.rows;
        for (result, count) in [
            ("stored", rows.stored),
            ("updated", rows.updated),
            ("skipped", rows.skipped),
            ("withdrawn", seen.total.withdrawn),
        ] {
            self.sample(name, &[("result", result)], count);
        }
        let name = "trueup_pull_issues_total";
        self.family(name, Type::Counter, "What was wrong with their answers since the start.");
        for (code, count) in &seen.total.issues {
            self.sample(name, &[("code", code.name())], count);
        }
        let help = "Families of connections whose last pull failed.";
        self.single("trueup_pull_failing", Type::Gauge, help, seen.failing.len());
        if let Some(time) = seen.last_pull {
            let help = "When a provider last told something as a whole.";
            self.single("trueup_last_pull_timestamp_seconds", Type::Gauge, help, time.0 / 1_000);
        }
    }

    /// How long after their end days of providers still changed.
    fn of_settle_lags(&mut self, lags: &[SettleLag]) {
        if lags.is_empty() {
            return;
        }
        let name = "trueup_provider_settled_days";
        let help = "Settled days of families that last changed within so many hours of their end.";
        self.family(name, Type::Gauge, help);
        for (provider, lags) in Lags::by(lags, |lag| &lag.provider) {
            let all = [("+Inf".to_owned(), lags.days)];
            let within = lags.within().map(|(hours, days)| (hours.to_string(), days));
            for (hours, days) in within.chain(all) {
                self.sample(name, &[("provider", provider), ("within_hours", &hours)], days);
            }
        }
    }

    fn of_counts(&mut self, counts: &Counts) {
        let name = "trueup_records_accepted_total";
        self.family(name, Type::Counter, "Posted records accepted since the start.");
        for (kind, records) in counts.accepted_so_far() {
            self.sample(name, &[("kind", kind.name())], records);
        }
        let name = "trueup_http_requests_total";
        self.family(name, Type::Counter, "Requests answered since the start.");
        for ((path, status), requests) in counts.answered_so_far() {
            self.sample(name, &[("path", path), ("status", &status.to_string())], requests);
        }
    }

    fn of_gateway_log(&mut self, log: &GatewayLog) {
        let name = "trueup_log_lines_total";
        self.family(name, Type::Counter, "Lines read of the gateway log since the start.");
        for (kind, lines) in log.lines() {
            self.sample(name, &[("kind", kind)], lines);
        }
    }

    fn of_usage(&mut self, usage: &BTreeMap<Labels, Total>) {
        let calls = |sum: &Total| vec![("", sum.counters.calls.to_string())];
        self.usage("trueup_calls_total", "Model calls, failed ones included.", usage, calls);
        let errors = |sum: &Total| vec![("", sum.counters.errors.to_string())];
        self.usage("trueup_call_errors_total", "Failed model calls.", usage, errors);
        let help = "Tokens; the kinds are disjoint.";
        self.usage("trueup_tokens_total", help, usage, |sum| {
            let tokens = sum.counters.tokens;
            let kinds = [
                ("input", tokens.input),
                ("cache_read", tokens.cache_read),
                ("cache_write", tokens.cache_written()),
                ("output", tokens.output),
            ];
            kinds.into_iter().map(|(kind, count)| (kind, count.to_string())).collect()
        });
        let help = "What agents or gateways said that their calls cost.";
        self.usage("trueup_reported_cost_usd_total", help, usage, |sum| {
            vec![("", sum.counters.reported_cost.to_string())]
        });
        let help = "What calls cost: as it was reported, or else at the prices of the table.";
        self.usage("trueup_cost_usd_total", help, usage, |sum| {
            vec![("", sum.cost.to_nano().to_string())]
        });
    }

    fn of_lacks(&mut self, lacks: &BTreeMap<Text, Lack>) {
        type Value = fn(&Lack) -> u64;
        let families: [(&str, &str, Value); 5] = [
            ("trueup_runs_estimated", "Claimed runs that no call covers.", |lack| {
                lack.claims.runs_estimated
            }),
            ("trueup_sessions_estimated", "Sessions with such a run.", |lack| {
                lack.claims.sessions_estimated
            }),
            (
                "trueup_sessions_superseded",
                "Sessions with a claimed run that calls took the place of.",
                |lack| lack.claims.sessions_superseded,
            ),
            (
                "trueup_sessions_transcript_missing",
                "Sessions with an estimate, and without any call.",
                |lack| lack.claims.sessions_without_transcript,
            ),
            ("trueup_bad_lines", "Records that could not be understood.", |lack| lack.bad_lines),
        ];
        for (name, help, value) in families {
            self.family(name, Type::Gauge, help);
            for (agent, lack) in lacks {
                self.sample(name, &[("agent", agent)], value(lack));
            }
        }
    }

    fn usage(
        &mut self,
        name: &str,
        help: &str,
        usage: &BTreeMap<Labels, Total>,
        values: impl Fn(&Total) -> Vec<(&'static str, String)>,
    ) {
        self.family(name, Type::Counter, help);
        for (labels, sum) in usage {
            for (kind, value) in values(sum) {
                let all = [
                    ("agent", &*labels.agent),
                    ("provider", &*labels.provider),
                    ("model", &*labels.model),
                    ("kind", kind),
                ];
                let named = if kind.is_empty() { all.len() - 1 } else { all.len() };
                self.sample(name, all.get(..named).unwrap_or_default(), value);
            }
        }
    }
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::prices::YoctoUsd;
    use trueup_core::{Counters, NanoUsd, Tokens};

    #[test]
    fn names_are_escaped_and_amounts_exact() {
        let labels =
            Labels { agent: "http".into(), provider: "a\"b\\c".into(), model: "x\ny".into() };
        let counters = Counters {
            calls: 2,
            errors: 1,
            tokens: Tokens { input: 5, cache_write_1h: 7, ..Tokens::ZERO },
            reported_cost: NanoUsd(1_500_000),
        };
        let mut text = Exposition::default();
        let total = Total { counters, cost: YoctoUsd(2_250_000_000_000_000_000_000) };
        text.of_usage(&BTreeMap::from([(labels, total)]));
        let series = r#"{agent="http",provider="a\"b\\c",model="x\ny""#;
        for line in [
            format!("trueup_calls_total{series}}} 2"),
            format!("trueup_call_errors_total{series}}} 1"),
            format!("trueup_tokens_total{series},kind=\"cache_write\"}} 7"),
            format!("trueup_reported_cost_usd_total{series}}} 0.0015"),
            format!("trueup_cost_usd_total{series}}} 0.00225"),
        ] {
            assert!(text.0.lines().any(|found| found == line), "{line}\n{}", text.0);
        }
    }
}
