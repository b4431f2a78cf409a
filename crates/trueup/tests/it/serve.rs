//! `trueup serve`, over real sockets, with a client that is not ours.

mod daemon;
mod defects;
mod gateway_log;
mod host;
mod lack;
mod life;
mod posts;
mod push;
mod receiver;
mod reports;
mod security;
mod views;

pub(crate) use daemon::until;
