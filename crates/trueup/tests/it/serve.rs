//! `trueup serve`, over real sockets, with a client that is not ours.

mod alerts;
mod cron;
pub(crate) mod daemon;
mod dashboard;
mod defects;
mod exports;
mod failures;
mod gateway_log;
mod host;
mod lack;
mod legacy;
mod life;
pub(crate) mod live;
mod otlp;
mod otlp_files;
mod otlp_metrics;
mod otlp_spans;
mod posts;
mod providers;
mod push;
mod push_protocol;
mod push_state;
mod receiver;
mod reports;
mod retention;
mod samples;
mod security;
mod telemetry;
mod timeline;
mod usage_api;
mod views;

pub(crate) use daemon::until;
