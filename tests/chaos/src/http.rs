//! As much of HTTP/1.1 as it takes to hand a message on, whole or in parts, and to ask for something.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest head of a message.
const HEAD_BYTES_MAX: u64 = 64 << 10;
/// Longest body of a message.
const BODY_BYTES_MAX: u64 = 256 << 20;

/// A message as it came.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The first line and the headers, with the empty line behind them.
    pub(crate) head: Vec<u8>,
    /// What follows it on the wire.
    pub(crate) body: Vec<u8>,
    /// What that says, where it came in pieces.
    pub(crate) content: Vec<u8>,
}

impl Message {
    /// Reads one; `None` where the connection ends before it begins.
    pub(crate) fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        loop {
            let room = HEAD_BYTES_MAX.saturating_sub(head.len() as u64);
            let length = reader.by_ref().take(room).read_until(b'\n', &mut head)?;
            match length {
                0 if head.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                2 if head.ends_with(b"\r\n\r\n") => break,
                _ => {}
            }
        }
        let (mut body, mut content) = (Vec::new(), Vec::new());
        if header(&head, "transfer-encoding") == Some("chunked") {
            pieces(reader, &mut body, &mut content)?;
        } else if let Some(length) = header(&head, "content-length") {
            exactly(reader, length.parse().map_err(|_| io::ErrorKind::InvalidData)?, &mut body)?;
            content.clone_from(&body);
        }
        Ok(Some(Self { head, body, content }))
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [&*self.head, &*self.body].concat()
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        let line = std::str::from_utf8(self.head.get(..64.min(self.head.len()))?).ok()?;
        line.split(' ').nth(1)?.parse().ok()
    }
}

/// What a header of this name says.
fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let head = std::str::from_utf8(head).ok()?;
    let value = |line: &'a str| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then_some(value.trim())
    };
    head.lines().find_map(value)
}

/// Reads so many bytes.
fn exactly(reader: &mut BufReader<TcpStream>, length: u64, to: &mut Vec<u8>) -> io::Result<()> {
    if length > BODY_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let read = reader.by_ref().take(length).read_to_end(to)?;
    if (read as u64) < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// Reads a body that comes in pieces, each with its length before it: as it is, and what it says.
fn pieces(
    reader: &mut BufReader<TcpStream>,
    body: &mut Vec<u8>,
    content: &mut Vec<u8>,
) -> io::Result<()> {
    loop {
        let mut line = Vec::new();
        reader.by_ref().take(HEAD_BYTES_MAX).read_until(b'\n', &mut line)?;
        let digits = std::str::from_utf8(&line).ok().map(str::trim);
        let length = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let length = length.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut piece = Vec::new();
        // With the end of its line.
        exactly(reader, length.saturating_add(2), &mut piece)?;
        body.extend(line);
        body.extend(&piece);
        if length == 0 {
            return Ok(());
        }
        piece.truncate(piece.len().saturating_sub(2));
        content.extend(piece);
    }
}

/// A connection, both of whose directions give up after a while.
pub(crate) fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request and waits for its answer.
pub(crate) fn ask(address: SocketAddr, request: &[u8], patience: Duration) -> io::Result<Message> {
    let mut stream = connect(address, patience)?;
    stream.write_all(request)?;
    Message::read(&mut BufReader::new(stream))?.ok_or(io::ErrorKind::UnexpectedEof.into())
}

/// A request.
pub(crate) fn request(method: &str, target: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}
