//! A client that posts records as fast as it is answered, or at a rate that nothing slows down.
//!
//! One thread, one `poll`, requests that were made before it starts: it shares two cores with the server
//! that it measures, and a client that works hard measures itself.
//!
//! With a rate, request number *i* is due at *i* / rate whether or not those before it were answered,
//! and its latency counts from then: a server that stops for a second is seen by a thousand requests
//! and not by one ("coordinated omission").
//!
//! ```json
//! {"answered":20000,"accepted":20000,"durable":19994,"per_second":1000.0,"p50_us":310,"p99_us":720,…}
//! ```

mod connection;
pub(crate) mod records;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use self::connection::{Answer, Connection};

/// How long answers may be outstanding after the last request was due.
const GRACE: Duration = Duration::from_secs(30);

/// What is done.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    /// No more requests than these, in turn and again.
    pub(crate) requests_max: u64,
    /// Requests a second; as fast as they are answered where there is none.
    pub(crate) rate: Option<u64>,
    /// When each request is due, in order, instead of a rate.
    pub(crate) due: Option<Vec<Duration>>,
    /// Taken in turn.
    pub(crate) requests: Vec<Vec<u8>>,
    /// Where the ids go whose answer said that they are durable.
    pub(crate) ids: Option<PathBuf>,
}

/// Runs a plan and prints what came of it. A server that goes away ends it early and is no error.
pub(crate) fn print(plan: &Plan) -> Result<()> {
    let mut ids = match &plan.ids {
        Some(path) => Some(BufWriter::new(File::options().create(true).append(true).open(path)?)),
        None => None,
    };
    let mut load = Load::start(plan)?;
    while !load.is_over() && !load.seen.is_lost {
        load.send();
        load.wait()?;
        for answer in load.answers() {
            if let Some(ids) = ids.as_mut().filter(|_| answer.is_durable) {
                for id in &answer.ids {
                    writeln!(ids, "{id}")?;
                }
            }
        }
    }
    if let Some(mut ids) = ids {
        ids.flush()?;
    }
    println!("{}", load.report());
    Ok(())
}

struct Load<'p> {
    plan: &'p Plan,
    connections: Vec<Connection>,
    start: Instant,
    sent: u64,
    seen: Seen,
}

/// What was answered.
#[derive(Debug, Default)]
struct Seen {
    statuses: BTreeMap<u16, u64>,
    accepted: u64,
    dropped: u64,
    durable: u64,
    latencies_us: Vec<u32>,
    /// When the last answer came, since the start.
    until: Duration,
    is_lost: bool,
}

impl<'p> Load<'p> {
    fn start(plan: &'p Plan) -> Result<Self> {
        let connect = |_| Connection::open(plan.address);
        let connections = (0..plan.connections).map(connect).collect::<std::io::Result<_>>();
        let connections = connections.with_context(|| format!("connect to {}", plan.address))?;
        Ok(Self { plan, connections, start: Instant::now(), sent: 0, seen: Seen::default() })
    }

    /// When the next request is due; `None` after the last one.
    fn due(&self) -> Option<Duration> {
        let due = match (&self.plan.due, self.plan.rate) {
            (Some(due), _) => *due.get(usize::try_from(self.sent).ok()?)?,
            (None, Some(rate)) => Duration::from_nanos(self.sent * 1_000_000_000 / rate.max(1)),
            (None, None) => self.start.elapsed(),
        };
        (due < self.plan.time && self.sent < self.plan.requests_max).then_some(due)
    }

    fn is_over(&self) -> bool {
        let is_idle = self.connections.iter().all(Connection::is_idle);
        let is_late = self.start.elapsed() > self.plan.time + GRACE;
        self.due().is_none() && (is_idle || is_late)
    }

    /// Gives what is due to connections that have nothing to do.
    fn send(&mut self) {
        for number in 0..self.connections.len() {
            let Some(due) = self.due().filter(|due| *due <= self.start.elapsed()) else { return };
            let request = usize::try_from(self.sent).unwrap_or(0) % self.plan.requests.len();
            let Some(connection) = self.connections.get_mut(number) else { return };
            if connection.is_idle() {
                connection.begin(request, self.start + due);
                self.sent += 1;
                self.seen.is_lost |= connection.write(&self.plan.requests).is_err();
            }
        }
    }

    /// Waits for an answer, or until something is due that somebody could send.
    fn wait(&mut self) -> Result<()> {
        let is_free = self.connections.iter().any(Connection::is_idle);
        let due = self.due().filter(|_| is_free);
        let patience = due.map_or(GRACE, |due| due.saturating_sub(self.start.elapsed()));
        let patience = Timespec {
            tv_sec: i64::try_from(patience.as_secs())?,
            tv_nsec: patience.subsec_nanos().into(),
        };
        let busy = || self.connections.iter().filter(|connection| !connection.is_idle());
        let wanted = |one: &Connection| {
            if one.is_sent(&self.plan.requests) { PollFlags::IN } else { PollFlags::OUT }
        };
        let mut waiting: Vec<_> = busy().map(|one| PollFd::new(&one.stream, wanted(one))).collect();
        poll(&mut waiting, Some(&patience))?;
        let ready: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
        let busy = self.connections.iter_mut().filter(|connection| !connection.is_idle());
        for (connection, is_ready) in busy.zip(ready) {
            connection.is_ready = is_ready;
        }
        Ok(())
    }

    /// What has come, whole answers only.
    fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        for connection in &mut self.connections {
            if !std::mem::take(&mut connection.is_ready) {
                continue;
            }
            let came = match connection.write(&self.plan.requests) {
                Ok(()) => connection.read(),
                Err(error) => Err(error),
            };
            match came {
                Ok(Some(answer)) => {
                    self.seen.add(&answer, self.start);
                    answers.push(answer);
                }
                Ok(None) => {}
                Err(_) => self.seen.is_lost = true,
            }
        }
        answers
    }

    fn report(mut self) -> Value {
        let seen = &mut self.seen;
        seen.latencies_us.sort_unstable();
        let answered = seen.latencies_us.len();
        let seconds = seen.until.as_secs_f64().max(1e-9);
        let mut report = json!({
            "answered": answered,
            "unanswered": self.sent - answered as u64,
            "is_lost": seen.is_lost,
            "statuses": seen.statuses,
            "accepted": seen.accepted,
            "dropped": seen.dropped,
            "durable": seen.durable,
            "seconds": seconds,
            "per_second": answered as f64 / seconds,
            "records_per_second": seen.accepted as f64 / seconds,
            "durable_per_second": seen.durable as f64 / seconds,
        });
        for (name, per_mille) in
            [("p50_us", 500), ("p90_us", 900), ("p99_us", 990), ("p999_us", 999), ("max_us", 1_000)]
        {
            let at = (answered * per_mille).div_ceil(1_000).saturating_sub(1);
            if let Some(report) = report.as_object_mut() {
                report.insert(name.to_owned(), json!(seen.latencies_us.get(at)));
            }
        }
        report
    }
}

impl Seen {
    fn add(&mut self, answer: &Answer, start: Instant) {
        *self.statuses.entry(answer.status).or_default() += 1;
        self.accepted += answer.accepted;
        self.dropped += answer.dropped;
        self.durable += if answer.is_durable { answer.accepted } else { 0 };
        self.latencies_us.push(u32::try_from(answer.latency.as_micros()).unwrap_or(u32::MAX));
        self.until = start.elapsed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::TcpListener;

    const ANSWER: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-length: 42\r\n\r\n{\"accepted\":1,\"ids\":[\"a-1\"],\"durable\":true}";

    /// A server that answers every request after a while, `count` in all.
    fn serve(count: usize, pause: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4];
            for _ in 0..count {
                stream.read_exact(&mut request).unwrap();
                std::thread::park_timeout(pause);
                // In two pieces, as networks do.
                let (head, rest) = ANSWER.split_at(50);
                stream.write_all(head).unwrap();
                stream.write_all(rest).unwrap();
            }
        });
        address
    }

    fn plan(address: SocketAddr, rate: Option<u64>) -> Plan {
        Plan {
            address,
            connections: 1,
            time: Duration::from_millis(100),
            requests_max: 10,
            rate,
            due: None,
            requests: vec![b"ping".to_vec()],
            ids: None,
        }
    }

    fn run(plan: &Plan) -> (Value, Vec<Answer>) {
        let mut load = Load::start(plan).unwrap();
        let mut answers = Vec::new();
        while !load.is_over() && !load.seen.is_lost {
            load.send();
            load.wait().unwrap();
            answers.extend(load.answers());
        }
        (load.report(), answers)
    }

    #[test]
    fn latency_counts_from_when_a_request_was_due() {
        // Ten are due within 10 ms, and each takes 10: the last one is 90 ms late when it is sent.
        let (report, _) = run(&plan(serve(10, Duration::from_millis(10)), Some(1_000)));
        assert_eq!((&report["answered"], &report["accepted"]), (&json!(10), &json!(10)));
        assert!(report["max_us"].as_u64().unwrap() >= 90_000, "{report}");
        let (report, _) = run(&plan(serve(10, Duration::from_millis(10)), None));
        assert!(report["p50_us"].as_u64().unwrap() < 80_000, "{report}");
    }

    #[test]
    fn answers_are_read_and_a_server_that_goes_away_is_told() {
        let (report, answers) = run(&plan(serve(3, Duration::ZERO), None));
        assert_eq!((&report["durable"], &report["is_lost"]), (&json!(3), &json!(true)));
        assert_eq!((answers[0].status, &*answers[0].ids), (202, &["a-1".to_owned()][..]));
    }
}
