//! A line of JSON for each event: what a file is appended with, and what is printed.

use serde::Serialize;

use super::webhook::{Plain, plain};
use super::{Context, Outgoing};

#[derive(Serialize)]
struct Line<'a> {
    product: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    install: &'a str,
    #[serde(flatten)]
    event: Plain<'a>,
}

pub(super) fn body(context: &Context, events: &[Outgoing]) -> Vec<u8> {
    let mut body = Vec::new();
    for event in events {
        let line = Line {
            product: &context.product,
            install: &context.install,
            event: plain(context, event),
        };
        body.extend(serde_json::to_vec(&line).unwrap_or_default());
        body.push(b'\n');
    }
    body
}
