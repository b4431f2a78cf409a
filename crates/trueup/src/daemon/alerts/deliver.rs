//! Delivers what waits: to the log, to a file, and to a webhook.
//!
//! Each sink by itself: one that fails keeps no other waiting, and is tried again at the next look.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use trueup_ledger::{AlertDelivery, DeliveryEnd, Reader, Writer};

use super::webhook::{Answer, Webhook};
use crate::net::random;
use crate::push::Pace;

/// Time after which the webhook is given no further alert before the next look: a slow one that takes
/// them all would hold it up for hours.
const ROUND_MAX: Duration = Duration::from_secs(90);

pub(super) const LOG: &str = "log";
pub(super) const FILE: &str = "file";
pub(super) const WEBHOOK: &str = "webhook";

/// Delivers what the ledger holds.
pub(super) struct Deliverer {
    writer: Arc<Writer>,
    file: Option<PathBuf>,
    webhook: Option<Webhook>,
    /// How often the webhook is tried, and the moment before which it is not.
    pace: Pace,
    webhook_rests_until: Option<Instant>,
    /// Whether the last attempt of each sink failed: that is told once.
    failing: BTreeMap<&'static str, String>,
}

/// How many wait for each sink.
pub(super) fn waiting(
    reader: &Reader,
    sinks: &[&'static str],
) -> Result<BTreeMap<&'static str, u64>> {
    let mut waiting: BTreeMap<&'static str, u64> = sinks.iter().map(|sink| (*sink, 0)).collect();
    for delivery in reader.alert_deliveries()? {
        if let Some(count) = waiting.get_mut(delivery.sink.as_str()) {
            *count += 1;
        }
    }
    Ok(waiting)
}

impl Deliverer {
    pub(super) fn new(
        writer: Arc<Writer>,
        file: Option<PathBuf>,
        webhook: Option<Webhook>,
        interval: Duration,
    ) -> Self {
        let pace = Pace::new(interval);
        Self { writer, file, webhook, pace, webhook_rests_until: None, failing: BTreeMap::new() }
    }

    /// Delivers everything that waits and can be delivered; `pause` waits between tries, and is `false`
    /// where the process ends.
    pub(super) fn deliver(
        &mut self,
        reader: &Reader,
        pause: &dyn Fn(Duration) -> bool,
    ) -> Result<()> {
        let waiting = reader.alert_deliveries()?;
        let of = |sink: &'static str| waiting.iter().filter(move |one| one.sink == sink);
        for delivery in of(LOG) {
            log(delivery);
            self.end(delivery, &DeliveryEnd::Delivered)?;
        }
        for delivery in of(FILE) {
            if !self.write(delivery)? {
                break;
            }
        }
        self.post(&waiting, ROUND_MAX, pause)
    }

    /// Whether the next one may be tried.
    fn write(&mut self, delivery: &AlertDelivery) -> Result<bool> {
        let Some(path) = &self.file else {
            return self.end(delivery, &DeliveryEnd::Refused).map(|()| true);
        };
        let written =
            append(path, &delivery.body).map_err(|error| format!("{}: {error}", path.display()));
        self.note(FILE, written.as_ref().err());
        match written {
            Ok(()) => self.end(delivery, &DeliveryEnd::Delivered).map(|()| true),
            Err(reason) => self.end(delivery, &DeliveryEnd::Failed(reason)).map(|()| false),
        }
    }

    /// Posts what waits, one after the other, until `round_max` is over.
    fn post(
        &mut self,
        waiting: &[AlertDelivery],
        round_max: Duration,
        pause: &dyn Fn(Duration) -> bool,
    ) -> Result<()> {
        let start = Instant::now();
        if self.webhook_rests_until.is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        for delivery in waiting.iter().filter(|one| one.sink == WEBHOOK) {
            if start.elapsed() > round_max || !pause(Duration::ZERO) {
                return Ok(());
            }
            let Some(webhook) = &self.webhook else {
                // It was set when this was raised, and no longer is.
                self.end(delivery, &DeliveryEnd::Refused)?;
                continue;
            };
            let answer = webhook.post(delivery, pause);
            let reason = match &answer {
                Answer::Taken => None,
                Answer::Refused(reason) | Answer::Failed(reason, _) => Some(reason),
            };
            self.note(WEBHOOK, reason);
            match answer {
                Answer::Taken => {
                    self.pace.succeeded();
                    self.end(delivery, &DeliveryEnd::Delivered)?;
                }
                Answer::Refused(_) => self.end(delivery, &DeliveryEnd::Refused)?,
                Answer::Failed(reason, rest) => {
                    self.pace.failed();
                    let rest = rest.unwrap_or_else(|| self.pace.wait(random()));
                    self.webhook_rests_until = Some(Instant::now() + rest);
                    return self.end(delivery, &DeliveryEnd::Failed(reason));
                }
            }
        }
        self.webhook_rests_until = None;
        Ok(())
    }

    /// That a sink fails is told once, and that it no longer does.
    fn note(&mut self, sink: &'static str, reason: Option<&String>) {
        match reason {
            Some(reason) if self.failing.get(sink) != Some(reason) => {
                tracing::warn!(sink, error = reason, "alert_not_delivered");
                self.failing.insert(sink, reason.clone());
            }
            None if self.failing.remove(sink).is_some() => {
                tracing::info!(sink, "alert_delivery_recovered");
            }
            Some(_) | None => {}
        }
    }

    fn end(&self, delivery: &AlertDelivery, end: &DeliveryEnd) -> Result<()> {
        let (id, end) = (delivery.id, end.clone());
        let note = move |ledger: &mut trueup_ledger::Ledger| ledger.end_alert_delivery(id, &end);
        Ok(self.writer.run(note).context("the ledger is closed")??)
    }
}

fn log(delivery: &AlertDelivery) {
    let body: Value = serde_json::from_str(&delivery.body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (class, cell, why) = (text("class"), text("cell"), text("message"));
    let level = body.get("level").and_then(Value::as_u64).unwrap_or_default();
    tracing::warn!(id = delivery.alert_id, class, cell, level, why, "alert");
}

/// Appends a line. A line that was torn before, as on a full disk, is ended first.
fn append(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let end = if is_torn(&mut file)? { "\n" } else { "" };
    file.write_all(format!("{end}{line}\n").as_bytes())?;
    // A pipe or a device has nothing to be synced.
    if file.metadata()?.is_file() { file.sync_data() } else { Ok(()) }
}

fn is_torn(file: &mut File) -> std::io::Result<bool> {
    if !file.metadata()?.is_file() || file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::BufRead as _;
    use std::net::TcpListener;

    use trueup_core::UnixMs;
    use trueup_ledger::{AlertChange, AlertState, Ledger, Limits, OpenOptions};

    use super::super::webhook;
    use super::*;
    use crate::config::Config;

    /// A receiver that takes every alert, but slowly.
    fn slow_receiver(delay: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                std::thread::park_timeout(delay);
                let reply = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                stream.write_all(reply.as_bytes()).unwrap();
            }
        });
        format!("http://{address}/")
    }

    #[test]
    fn a_slow_webhook_ends_the_round_and_the_end_of_the_process_does() {
        const ALERTS: usize = 12;
        let url = slow_receiver(Duration::from_millis(50));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let mut ledger = Ledger::open(&path, OpenOptions::default()).unwrap();
        let raised: Vec<AlertChange> = (0..ALERTS).map(raised).collect();
        ledger.record_alerts(&raised, &[WEBHOOK], UnixMs(0)).unwrap();
        let reader = Reader::open(&path).unwrap().unwrap();
        let waiting = || reader.alert_deliveries().unwrap();
        let writer = Arc::new(Writer::spawn(ledger, Limits::default(), || UnixMs(0)).unwrap());
        let variables = [("TRUEUP_ALERT_WEBHOOK".to_owned(), url)];
        let config = Config::resolve(variables.into(), None, &[]).unwrap();
        let webhook = Webhook::new(&webhook::Settings::of(&config).unwrap().unwrap());
        let mut deliverer = Deliverer::new(writer, None, Some(webhook), Duration::from_secs(1));
        deliverer.post(&waiting(), Duration::from_millis(120), &|_| true).unwrap();
        let left = waiting().len();
        assert!((1..ALERTS).contains(&left), "{left}");
        // One more is asked for, and then the process ends.
        let asked = Cell::new(0);
        let once = |_| asked.replace(asked.get() + 1) == 0;
        deliverer.post(&waiting(), ROUND_MAX, &once).unwrap();
        assert_eq!(waiting().len(), left - 1);
        deliverer.post(&waiting(), ROUND_MAX, &|_| true).unwrap();
        assert_eq!(waiting(), []);
    }

    fn raised(at: usize) -> AlertChange {
        AlertChange {
            state: AlertState {
                class: "budget".to_owned(),
                cell: format!("b{at}/2026-11"),
                level: 50,
                since: UnixMs(0),
                told_id: Some(at.to_string()),
            },
            before: 0,
            message: Some((at.to_string(), "{}".to_owned())),
        }
    }

    #[test]
    fn lines_are_appended_and_torn_ones_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.jsonl");
        append(&path, "{\"a\":1}").unwrap();
        append(&path, "{\"a\":2}").unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"{\"a\":").unwrap();
        append(&path, "{\"a\":3}").unwrap();
        let text = crate::config::read_text(&path).unwrap();
        assert_eq!(text, "{\"a\":1}\n{\"a\":2}\n{\"a\":\n{\"a\":3}\n");
        assert!(append(&folder.path().join("no/folder"), "{}").is_err());
        append(Path::new("/dev/null"), "{}").unwrap();
    }
}
