//! How telemetry stands, and what it would send next: as JSON for programs, and as it goes over the wire.

use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};
use trueup_telemetry::consent::{Content, Mode, StateFile};
use trueup_telemetry::identity::Found;
use trueup_telemetry::manifest::Manifest;
use trueup_telemetry::product::{Flushed, Shown, Status, Telemetry};
use trueup_telemetry::sink::Request;

use crate::clock;

/// All of it.
pub(crate) fn status(status: &Status, manifest: &Manifest) -> Value {
    let (id_state, id_now) = match &status.identity {
        Found::NotYet => ("not_yet", None),
        Found::Unreadable => ("unreadable", None),
        Found::NotAnId { .. } => ("not_an_id", None),
        Found::Made(identity) => ("made", identity.id_at(clock::now())),
    };
    let days = status.days.iter().map(
        |(event, day, records)| json!({"event": event, "day": day.to_string(), "records": records}),
    );
    let dropped = status
        .drops
        .iter()
        .map(|(key, reason, count)| json!({"key": key, "reason": reason.name(), "count": count}));
    json!({
        "schema": 1,
        "product": status.product,
        "mode": status.mode.word(),
        "decided_by": status.layer.name(),
        "as_of": status.as_of.map(|time| time.to_string()),
        "awaits_notice": status.awaits_notice,
        "errors": status.errors,
        "file": file(&status.file),
        "policy": file(&status.policy),
        "state": status.state,
        "id": {"kind": manifest.id.word(), "state": id_state, "id": id_now},
        "sinks": manifest.places(),
        "day": status.day.to_string(),
        "sent_today": today(status),
        "queued": status.queued,
        "kept": status.kept,
        "expired": status.expired,
        "refused": status.refused,
        "dropped": dropped.collect::<Vec<_>>(),
        "adding_up": days.collect::<Vec<_>>(),
        "last": status.last,
        "warnings": status.warnings,
        "problem": status.problem,
    })
}

fn file(path: &Path) -> Value {
    let state = match StateFile::read(path).content {
        Content::Absent => "absent",
        Content::Unreadable(_) => "unreadable",
        Content::Read(_) => "read",
    };
    json!({"path": path, "state": state})
}

/// What was sent on the day that counts, and what may be.
pub(crate) fn ledger(status: &Status) -> Value {
    json!({"schema": 1, "day": status.day.to_string(), "sent_today": today(status)})
}

fn today(status: &Status) -> Value {
    json!({
        "events": status.spent.events, "hard_cap": status.caps.hard_cap,
        "bytes": status.spent.bytes, "bytes_per_day": status.caps.bytes_per_day,
        "requests": status.spent.requests, "requests_per_day": status.caps.requests_per_day,
    })
}

/// One request, with its very bytes; they are JSON, and so a text.
pub(crate) fn request(shown: &Shown) -> Value {
    let body = str::from_utf8(&shown.body).ok().filter(|body| !body.is_empty());
    let request = shown.request.as_ref().map(|request| {
        let headers = request.headers.iter().map(|(name, value)| (name.clone(), json!(value)));
        let headers: Map<String, Value> = headers.collect();
        json!({"method": request.method, "url": request.url, "headers": headers})
    });
    json!({"item": shown.item, "request": request, "body": body})
}

/// What came of a flush.
pub(crate) fn flushed(flushed: &Flushed) -> Value {
    let Flushed { queued, kept, requests, sent, past: _, problem } = flushed;
    json!({
        "queued": queued, "kept": kept, "requests": requests, "sent": sent, "problem": problem,
    })
}

/// What a mode means, in words.
pub(crate) const fn meaning(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "nothing is recorded or sent",
        Mode::Local => "it may be recorded on this machine, and nothing is sent",
        Mode::On => "it may be sent",
    }
}

/// The next request, as JSON.
pub(crate) fn next(next: Option<&Shown>) -> Value {
    let sha256 = next.map(|shown| &shown.item.sha256);
    let request = next.and_then(|shown| shown.request.as_ref()).map(|request| {
        let headers: Map<String, Value> =
            request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "method": request.method,
            "url": request.url,
            "headers": headers,
            "body": String::from_utf8_lossy(&request.body),
            "sha256": sha256,
        })
    });
    json!({"schema": 1, "request": request})
}

/// The next request as it goes over the wire, but for `Host` and `Content-Length`, which follow from it;
/// where there is none, why.
pub(crate) fn write_next(
    next: Option<&Shown>,
    telemetry: &Telemetry,
    out: &mut impl io::Write,
) -> io::Result<()> {
    let Some(shown) = next else {
        return writeln!(out, "{}", nothing(&telemetry.status()));
    };
    if let Some(Request { method, url, headers, .. }) = &shown.request {
        writeln!(out, "{method} {url}")?;
        for (name, value) in headers {
            writeln!(out, "{name}: {value}")?;
        }
        writeln!(out)?;
    }
    out.write_all(&shown.body)?;
    if !shown.body.ends_with(b"\n") {
        writeln!(out)?;
    }
    Ok(())
}

/// Why there is nothing to show.
fn nothing(status: &Status) -> String {
    let why = match status.mode {
        Mode::On if status.queued > 0 => {
            "what waits is not due yet, or the day's budget is used up"
        }
        Mode::On => "nothing has ended that is to be sent",
        Mode::Off | Mode::Local => meaning(status.mode),
    };
    format!("Telemetry of {} is {}: {why}.", status.product, status.mode)
}
