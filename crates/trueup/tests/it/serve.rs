//! `trueup serve`, over real sockets, with a client that is not ours.

mod alerts;
mod cron;
pub(crate) mod daemon;
mod defects;
mod exports;
mod gateway_log;
mod host;
mod lack;
mod life;
mod posts;
mod providers;
mod push;
mod push_state;
mod receiver;
mod reports;
mod retention;
mod security;
mod telemetry;
mod usage_api;
mod views;

pub(crate) use daemon::until;
