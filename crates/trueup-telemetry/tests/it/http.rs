//! A small HTTP server of threads: for receivers that answer as told, and for the adapter.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use flate2::read::GzDecoder;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// What the body says, unpacked where a header says that it is packed.
    pub(crate) body: Vec<u8>,
    /// The body as it came.
    pub(crate) packed: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered; nothing at all where there is none: the connection stays open and silent.
pub(crate) type Told = Option<(u16, Vec<(String, String)>, Vec<u8>)>;

/// Listens until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(
        address: &str,
        answer: impl Fn(Asked) -> Told + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, answer) = (Arc::clone(&is_over), Arc::new(answer));
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                silent.extend(stream.try_clone().ok());
                let answer = Arc::clone(&answer);
                thread::spawn(move || talk(stream, &*answer));
            }
        });
        Self { address, is_over }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        TcpStream::connect(self.address).ok();
    }
}

fn talk(mut stream: TcpStream, answer: &dyn Fn(Asked) -> Told) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(asked) = read(&mut reader) {
        let Some((status, headers, body)) = answer(asked) else { return };
        let lines = headers.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat());
        let headers = lines.collect::<Vec<_>>().concat();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n");
        if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let line = |reader: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        let read = reader.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    };
    let first = line(reader)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = line(reader)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked { method, path, headers, body: Vec::new(), packed: Vec::new() };
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    asked.packed.resize(length, 0);
    reader.read_exact(&mut asked.packed).ok()?;
    asked.body.clone_from(&asked.packed);
    if asked.header("content-encoding") == Some("gzip") {
        asked.body.clear();
        GzDecoder::new(&*asked.packed).read_to_end(&mut asked.body).unwrap();
    }
    Some(asked)
}
