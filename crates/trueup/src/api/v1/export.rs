//! `GET /api/v1/export`: what a view shows, as a file; the same bytes as `trueup export`.
//!
//! ```text
//! ?view=usage&by=day,model&from=2026-11-01&format=parquet
//! ```
//!
//! A thread of its own writes while the client takes it: what lies between them is bounded. It ends when
//! the client hangs up, or takes nothing for a while.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Frame;
use jiff::civil::Date;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;
use trueup_core::Calendar;
use trueup_core::prices::PriceBook;
use trueup_core::report::{Dimension, Filter, Pricer, Window};
use trueup_ledger::Reader;

use super::asked::{Asked, FILTERS, Kind, Parameter, TIME};
use super::{App, Failed, Pairs, Problem, pairs_of};
use crate::api::report::one_of;
use crate::export::{self, AskedUsage, Format};
use crate::facts::Facts;
use crate::query::{self, By, Cost};
use crate::usage::{Keeping, Usage, reader_of};

pub(super) const PATH: &str = "/api/v1/export";
pub(super) const ABOUT: &str = "What a view shows, as a file";
pub(super) const PARAMETERS: &[&[Parameter]] = &[OWN, TIME, FILTERS];

/// Files that are written at once. More are told to come back: each has a thread and a reader of the
/// ledger.
pub(in crate::api) const EXPORTS_MAX: usize = 2;
/// Bytes that are sent together.
const PART_BYTES_MIN: usize = 64 << 10;
/// Parts that wait for the client, beside the one that waits to be among them.
const PARTS_WAITING_MAX: usize = 1;
/// How long a client may take nothing.
const STALL_MAX: Duration = Duration::from_secs(30);

const OWN: &[Parameter] = &[
    Parameter {
        name: "view",
        about: "what is written; `usage` where it does not say",
        kind: Kind::Word(&["usage", "sessions", "errors", "host"]),
    },
    Parameter {
        name: "format",
        about: "in which form; `csv` where it does not say. `focus` is of `usage` alone",
        kind: Kind::Word(&["csv", "json", "ndjson", "parquet", "focus"]),
    },
    Parameter {
        name: "by",
        about: "of `usage`: what the rows are about, as `day,model`",
        kind: Kind::Text,
    },
    Parameter {
        name: "cost",
        about: "of usage and sessions: which cost",
        kind: Kind::Word(&["auto", "computed", "reported"]),
    },
];

/// What is written.
struct Wanted {
    view: View,
    filter: Filter,
    calendar: Calendar,
    cost: Cost,
    days: (Option<Date>, Option<Date>),
}

enum View {
    Usage(Vec<Dimension>, Format),
    Sessions(Format),
    Errors(Format),
    Host(Format),
    Focus,
}

impl View {
    fn of(asked: &Asked) -> Result<Self, Failed> {
        let format = match asked.text("format").unwrap_or("csv") {
            "focus" => None,
            word => Some(one_of("format", word).map_err(Failed::Refused)?),
        };
        Ok(match (asked.text("view").unwrap_or("usage"), format) {
            ("usage", Some(format)) => Self::Usage(by(asked)?, format),
            ("sessions", Some(format)) => Self::Sessions(format),
            ("errors", Some(format)) => Self::Errors(format),
            (_, Some(format)) => Self::Host(format),
            ("usage", None) => Self::Focus,
            (view, None) => {
                return Err(Failed::Refused(format!("`format`: {view} cannot be told as FOCUS")));
            }
        })
    }

    /// Its name, and the parameters that mean nothing for it and would seem to.
    const fn refused(&self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Usage(..) => ("usage", &[]),
            Self::Sessions(_) => ("sessions", &["by"]),
            Self::Errors(_) => {
                ("errors", &["by", "cost", "provider", "model", "project", "kind", "tier"])
            }
            Self::Host(_) => {
                ("host", &["by", "cost", "agent", "provider", "model", "project", "kind", "tier"])
            }
            Self::Focus => ("focus", &["agent", "model", "project", "kind", "tier"]),
        }
    }

    const fn ending_and_type(&self) -> (&'static str, &'static str) {
        match self {
            Self::Usage(_, format)
            | Self::Sessions(format)
            | Self::Errors(format)
            | Self::Host(format) => format.ending_and_type(),
            Self::Focus => Format::Csv.ending_and_type(),
        }
    }
}

fn by(asked: &Asked) -> Result<Vec<Dimension>, Failed> {
    let words = asked.text("by").unwrap_or("day").split(',');
    let by: Result<Vec<By>, String> = words.map(|word| one_of("by", word)).collect();
    let by = by.and_then(|by| query::dimensions(&by).map_err(|refusal| format!("`by`: {refusal}")));
    by.map_err(Failed::Refused)?
        .ok_or_else(|| Failed::Refused("`by`: blocks are not exported".to_owned()))
}

impl Wanted {
    fn of(asked: &Asked, app: &App) -> Result<Self, Failed> {
        let view = View::of(asked)?;
        let (name, refused) = view.refused();
        if let Some(odd) = refused.iter().find(|name| asked.text(name).is_some()) {
            return Err(Failed::Refused(format!("`{odd}` is not a parameter of {name}")));
        }
        // FOCUS is by UTC days, at the prices of the table, unless something else is asked for.
        let is_focus = matches!(view, View::Focus);
        let calendar = if is_focus {
            Calendar::new(jiff::tz::TimeZone::UTC)
        } else {
            asked.calendar_in(&app.settings.zone)
        };
        let default = if is_focus { Cost::Computed } else { Cost::Auto };
        let cost = asked.text("cost").map_or(Ok(default), |word| one_of("cost", word));
        let days = (asked.day("from"), asked.day("to"));
        if let (Some(from), Some(to)) = days
            && to < from
        {
            return Err(Failed::Refused(format!("`to`: {to} lies before {from}, the first day")));
        }
        Ok(Self {
            filter: asked.filter(Window::of_days(&calendar, days.0, days.1)),
            view,
            calendar,
            cost: cost.map_err(Failed::Refused)?,
            days,
        })
    }

    fn write(&self, kept: &Keeping, book: &PriceBook, out: &mut dyn Write) -> Result<(), Failed> {
        let (filter, mode) = (&self.filter, self.cost.mode());
        let asked = AskedUsage { calendar: self.calendar.clone(), filter, book, cost: mode };
        match &self.view {
            View::Usage(by, format) => {
                export::usage(&self.usage(kept)?, by, &asked, *format, out)?;
            }
            View::Sessions(format) => {
                export::sessions(&self.usage(kept)?, &asked, *format, out)?;
            }
            View::Errors(format) => {
                let facts = self.facts(kept)?;
                export::errors(&facts, filter.window, &filter.sources, *format, out)?;
            }
            View::Host(format) => {
                export::host(&self.facts(kept)?, filter.window, *format, out)?;
            }
            View::Focus => {
                let asked = export::Asked {
                    window: filter.window,
                    providers: filter.providers.clone(),
                    is_reported_taken: self.cost != Cost::Computed,
                };
                let usage = self.usage(kept)?;
                let pricer = Pricer::new(book, mode);
                let gathered = export::gather(&usage, &self.bills(kept)?, pricer, &asked)?;
                export::focus(gathered.rows, out)?;
            }
        }
        Ok(())
    }

    fn usage(&self, kept: &Keeping) -> Result<Usage, Failed> {
        let usage = kept.usage(self.filter.device.as_deref())?;
        match query::unknown_source(&self.filter.sources, &usage)? {
            Some(refusal) => Err(Failed::Refused(format!("`agent`: {refusal}"))),
            None => Ok(usage),
        }
    }

    fn facts(&self, kept: &Keeping) -> Result<Facts, Failed> {
        Ok(kept.facts(self.filter.device.as_deref())?)
    }

    /// Where bills are: always in the ledger, and of no device where that has none.
    fn bills(&self, kept: &Keeping) -> Result<Reader, Failed> {
        let device = self.filter.device.as_deref().filter(|_| kept.tenant().is_none());
        Ok(reader_of(kept.ledger(), device)?)
    }

    /// What the file is called: `trueup-usage-from-2026-11-01-to-2026-11-20.csv`.
    fn file_name(&self) -> String {
        let day = |word: &str, day: Option<Date>| day.map(|day| format!("-{word}-{day}"));
        let days = [day("from", self.days.0), day("to", self.days.1)].into_iter().flatten();
        let (name, (ending, _)) = (self.view.refused().0, self.view.ending_and_type());
        format!("trueup-{name}{}.{ending}", days.collect::<String>())
    }
}

pub(super) async fn answer(
    State(app): State<Arc<App>>,
    pairs: Result<Query<Pairs>, QueryRejection>,
) -> Result<Response, Problem> {
    let wanted = Wanted::of(&Asked::of(PARAMETERS, pairs_of(pairs)?)?, &app)?;
    let Ok(permit) = Arc::clone(&app.exports).try_acquire_owned() else {
        return Err(Problem::busy("as many exports are being written as there may be; try later"));
    };
    let file = format!("attachment; filename=\"{}\"", wanted.file_name());
    let (_, content_type) = wanted.view.ending_and_type();
    let (sender, mut parts) = mpsc::channel(PARTS_WAITING_MAX);
    let mut outlet = Outlet::new(sender, STALL_MAX);
    let writing = move || {
        let _permit = permit;
        let written = wanted.write(&app.kept, &app.known.book, &mut outlet);
        outlet.end(written);
    };
    let started = thread::Builder::new().name("export".to_owned()).spawn(writing);
    started.map_err(|error| Failed::Unread(error.into()))?;
    // What cannot be answered at all is known before anything is sent.
    let first = match parts.recv().await {
        Some(Part::Failed(failed)) => return Err(failed.into()),
        first => first,
    };
    let mut response = Response::new(Body::new(Parts { first, rest: parts }));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(file) = file.parse() {
        headers.insert(header::CONTENT_DISPOSITION, file);
    }
    Ok(response)
}

/// What the thread sends.
enum Part {
    Bytes(Bytes),
    /// Everything was sent.
    End,
    Failed(Failed),
}

/// Where the thread writes to.
struct Outlet {
    runtime: Handle,
    sender: Sender<Part>,
    stall_max: Duration,
    held: Vec<u8>,
}

impl Outlet {
    /// On the present runtime.
    fn new(sender: Sender<Part>, stall_max: Duration) -> Self {
        Self { runtime: Handle::current(), sender, stall_max, held: Vec::new() }
    }

    fn send(&self, part: Part) -> io::Result<()> {
        // Inside, because a timer is one of its runtime.
        let sending = async { timeout(self.stall_max, self.sender.send(part)).await };
        match self.runtime.block_on(sending) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Sends what is left, and how it ended. A client that is gone needs neither.
    fn end(mut self, written: Result<(), Failed>) {
        let ended = match written {
            Ok(()) => self.flush().and_then(|()| self.send(Part::End)),
            Err(failed) if !self.sender.is_closed() => self.send(Part::Failed(failed)),
            Err(_) => Ok(()),
        };
        let _is_taken = ended.is_ok();
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend(bytes);
        if self.held.len() >= PART_BYTES_MIN {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        self.send(Part::Bytes(held.into()))
    }
}

/// The file, as it comes. One that does not come to its end breaks off, so that nobody takes it for
/// whole.
struct Parts {
    first: Option<Part>,
    rest: Receiver<Part>,
}

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let part = match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.rest.poll_recv(context),
        };
        part.map(|part| match part {
            Some(Part::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Part::End) => None,
            Some(Part::Failed(failed)) => {
                if let Failed::Unread(error) = failed {
                    tracing::warn!(error = format!("{error:#}"), "export_broken_off");
                }
                Some(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use tokio::task::{JoinHandle, spawn_blocking};

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(test);
    }

    /// A thread that writes into a body, as often as it may; how often it did.
    fn written(times: usize, end: Result<(), Failed>) -> (Parts, JoinHandle<usize>) {
        let (sender, rest) = mpsc::channel(PARTS_WAITING_MAX);
        let mut outlet = Outlet::new(sender, Duration::from_millis(50));
        let writing = spawn_blocking(move || {
            let taken = (0..times).take_while(|_| outlet.write_all(b"0123456789").is_ok());
            let taken = taken.count();
            outlet.end(end);
            taken
        });
        (Parts { first: None, rest }, writing)
    }

    #[test]
    fn a_body_holds_what_was_written_or_breaks_off() {
        run(async {
            let (body, _) = written(50_000, Ok(()));
            let whole = body.collect().await.unwrap().to_bytes();
            assert_eq!(whole, b"0123456789".repeat(50_000));
            let (body, _) = written(0, Ok(()));
            assert!(body.collect().await.unwrap().to_bytes().is_empty());
            let failed = Failed::Unread(anyhow::anyhow!("a disk"));
            let (body, _) = written(50_000, Err(failed));
            assert!(body.collect().await.is_err());
        });
    }

    #[test]
    fn who_hangs_up_or_takes_nothing_ends_the_writing() {
        run(async {
            // What there is room for, whoever is faster.
            let held_max = (PARTS_WAITING_MAX + 2) * (PART_BYTES_MIN + 10) / 10;
            let (body, writing) = written(usize::MAX, Ok(()));
            drop(body);
            assert!(writing.await.unwrap() < held_max);
            let (body, writing) = written(usize::MAX, Ok(()));
            assert!(writing.await.unwrap() < held_max);
            assert!(body.collect().await.is_err());
        });
    }
}
