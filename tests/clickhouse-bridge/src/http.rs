//! As much of HTTP/1.1 as trueup's own client speaks.

use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;

/// Longest line of a head: a statement may stand in it.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What is asked.
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What is answered.
pub(crate) struct Answer {
    status: &'static str,
    code: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) const fn of(body: Vec<u8>) -> Self {
        Self { status: "200 OK", code: None, body }
    }

    /// What an engine says that refuses, with the number of its error.
    pub(crate) fn failure(words: &str) -> Self {
        let code = words.strip_prefix("Code: ").unwrap_or("0");
        let code: String = code.chars().take_while(char::is_ascii_digit).collect();
        let is_unknown = ["60", "81"].contains(&code.as_str());
        let status = if is_unknown { "404 Not Found" } else { "500 Internal Server Error" };
        Self { status, code: Some(code), body: format!("{words}\n").into_bytes() }
    }
}

/// A connection of a client.
pub(crate) struct Client {
    from: BufReader<TcpStream>,
    to: TcpStream,
}

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        Ok(Self { from: BufReader::new(stream.try_clone()?), to: stream })
    }

    /// The next request as a whole; `None` where the client is done. One whose body does not come is an
    /// error: nothing of it is run.
    pub(crate) fn asked(&mut self) -> Result<Option<Asked>> {
        let first = self.line()?;
        let Some(target) = first.split(' ').nth(1) else { return Ok(None) };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (path, query) = (path.to_owned(), parameters(query));
        let mut length = 0;
        let mut is_chunked = false;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => {
                    length = value.trim().parse().map_err(|_| ErrorKind::InvalidData)?;
                }
                Some(("transfer-encoding", value)) => is_chunked = value.trim() == "chunked",
                Some(("expect", _)) => self.to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = Vec::new();
        if is_chunked {
            loop {
                let size = self.line()?;
                let size = size.split(';').next().unwrap_or_default();
                let size = u64::from_str_radix(size, 16).map_err(|_| ErrorKind::InvalidData)?;
                self.take(size, &mut body)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            self.take(length, &mut body)?;
        }
        Ok(Some(Asked { path, query, body }))
    }

    pub(crate) fn answer(&mut self, answer: &Answer) -> Result<()> {
        let Answer { status, code, body } = answer;
        let code = code.as_ref().map(|code| format!("X-ClickHouse-Exception-Code: {code}\r\n"));
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{}\r\n",
            body.len(),
            code.unwrap_or_default()
        );
        self.to.write_all(&[head.as_bytes(), body].concat())
    }

    /// A line without its end; empty where there is none.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        (&mut self.from).take(LINE_BYTES_MAX).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn take(&mut self, length: u64, to: &mut Vec<u8>) -> Result<()> {
        let before = to.len() as u64;
        (&mut self.from).take(length).read_to_end(to)?;
        let is_whole = to.len() as u64 == before + length;
        if is_whole { Ok(()) } else { Err(Error::from(ErrorKind::UnexpectedEof)) }
    }
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        out.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or(b'?'),
                _ => b'?',
            },
            _ => byte,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}
