//! One connection, with one request on its way at a time.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use memchr::memmem;

/// More than any answer that is read.
const READ_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) is_ready: bool,
    under_way: Option<UnderWay>,
    answer: Vec<u8>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct UnderWay {
    request: usize,
    sent_bytes: usize,
    due: Instant,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) accepted: u64,
    pub(super) dropped: u64,
    pub(super) is_durable: bool,
    pub(super) ids: Vec<String>,
    /// Since the request was due.
    pub(super) latency: Duration,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let buffer = vec![0; READ_BYTES];
        Ok(Self { stream, is_ready: false, under_way: None, answer: Vec::new(), buffer })
    }

    pub(super) const fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    pub(super) fn is_sent(&self, requests: &[Vec<u8>]) -> bool {
        self.rest(requests).is_empty()
    }

    pub(super) fn begin(&mut self, request: usize, due: Instant) {
        self.under_way = Some(UnderWay { request, sent_bytes: 0, due });
    }

    fn rest<'r>(&self, requests: &'r [Vec<u8>]) -> &'r [u8] {
        let under_way = self.under_way.as_ref();
        let rest = under_way.and_then(|one| requests.get(one.request)?.get(one.sent_bytes..));
        rest.unwrap_or_default()
    }

    /// Sends as much as the system takes.
    pub(super) fn write(&mut self, requests: &[Vec<u8>]) -> io::Result<()> {
        loop {
            let rest = self.rest(requests);
            if rest.is_empty() {
                return Ok(());
            }
            match self.stream.write(rest) {
                Ok(bytes) => {
                    if let Some(under_way) = &mut self.under_way {
                        under_way.sent_bytes += bytes;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The answer, once all of it is there.
    pub(super) fn read(&mut self) -> io::Result<Option<Answer>> {
        match self.stream.read(&mut self.buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                self.answer.extend_from_slice(self.buffer.get(..bytes).unwrap_or_default());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let Some((status, body)) = whole(&self.answer)? else { return Ok(None) };
        let Some(under_way) = self.under_way.take() else { return Ok(None) };
        let number = |name: &str| number(body, name).unwrap_or(0);
        let answer = Answer {
            status,
            accepted: number("\"accepted\":"),
            dropped: number("\"dropped\":"),
            is_durable: memmem::find(body, b"\"durable\":true").is_some(),
            ids: ids(body),
            latency: under_way.due.elapsed(),
        };
        self.answer.clear();
        Ok(Some(answer))
    }
}

/// Status and body of an answer that has a length; `None` while it is not whole.
fn whole(answer: &[u8]) -> io::Result<Option<(u16, &[u8])>> {
    let Some(end) = memmem::find(answer, b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = answer.split_at(end + 4);
    let strange = || io::Error::new(ErrorKind::InvalidData, "an answer without status or length");
    let head = str::from_utf8(head).map_err(|_| strange())?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    let (status, length) = status.zip(length).ok_or_else(strange)?;
    Ok((body.len() >= length).then_some((status, body)))
}

fn number(body: &[u8], name: &str) -> Option<u64> {
    let rest = body.get(memmem::find(body, name.as_bytes())? + name.len()..)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn ids(body: &[u8]) -> Vec<String> {
    let ids = memmem::find(body, b"\"ids\":[").and_then(|at| body.get(at + 7..));
    let ids = ids.and_then(|ids| ids.get(..memchr::memchr(b']', ids)?)).unwrap_or_default();
    let id = |id: &[u8]| String::from_utf8_lossy(id).trim_matches('"').to_owned();
    ids.split(|byte| *byte == b',').filter(|id| !id.is_empty()).map(id).collect()
}
