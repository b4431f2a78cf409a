//! A proxy in front of a hub, or of what a hub keeps its store in, that does to requests what a network may, and more often.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::chance::Chance;
use crate::http::{self, Message};

/// How long the server may take over a request.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest delay of a request, in milliseconds.
const DELAY_MS_MAX: u64 = 800;

/// What may happen to a request.
pub const FAULTS: [&str; 11] = [
    "dropped",
    "delayed",
    "duplicated",
    "duplicated late",
    "acknowledgement lost",
    "connection reset",
    "request truncated",
    "response truncated",
    "429",
    "503",
    "503 after storing",
];

/// The proxy: it listens until the process ends.
#[derive(Debug, Clone)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Whom it stands in front of.
    server: SocketAddr,
    /// How often of a hundred times a request meets a fault.
    percent: AtomicU64,
    chance: Mutex<Chance>,
    /// The next faults: each comes once before one comes again.
    deck: Mutex<Vec<&'static str>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// Requests that will arrive once more.
    late: Mutex<Vec<Vec<u8>>>,
}

impl Proxy {
    /// Starts one in front of this address.
    ///
    /// # Errors
    /// Where the system has no port or no thread to give.
    pub fn start(server: SocketAddr, chance: Chance) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let shared = Arc::new(Shared {
            server,
            percent: AtomicU64::new(0),
            chance: Mutex::new(chance),
            deck: Mutex::default(),
            counts: Mutex::default(),
            late: Mutex::default(),
        });
        let proxy = Self { address: listener.local_addr()?, shared };
        let serving = proxy.clone();
        std::thread::Builder::new().name("proxy".into()).spawn(move || serving.serve(&listener))?;
        Ok(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on so many of a hundred requests meet a fault.
    pub fn set_faults(&self, percent: u64) {
        self.shared.percent.store(percent, Ordering::Relaxed);
    }

    /// What happened so far, by kind.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.shared.counts).clone()
    }

    /// Some requests that were kept arrive once more, in any order.
    pub fn deliver_late(&self, most: usize) {
        for _ in 0..most {
            let mut late = lock(&self.shared.late);
            if late.is_empty() {
                return;
            }
            let at = lock(&self.shared.chance).at(late.len());
            let request = late.swap_remove(at);
            drop(late);
            // Nobody waits for the answer.
            drop(http::ask(self.shared.server, &request, PATIENCE));
        }
    }

    /// How many requests are kept to arrive once more.
    #[must_use]
    pub fn late(&self) -> usize {
        lock(&self.shared.late).len()
    }

    fn serve(&self, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            let proxy = self.clone();
            // Where there is no thread the connection ends, which is a fault, too.
            let serve = move || drop(proxy.connection(stream));
            drop(std::thread::Builder::new().name("proxied".into()).spawn(serve));
        }
    }

    /// Hands requests on until one of them takes the connection with it.
    fn connection(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream;
        loop {
            if reader.buffer().is_empty() && reader.get_ref().peek(&mut [0])? == 0 {
                return Ok(());
            }
            let fault = self.fault();
            if fault == Some("connection reset") {
                // What has come and was not read makes the system reset the connection.
                self.count("connection reset");
                return Ok(());
            }
            let Some(request) = Message::read(&mut reader)? else { return Ok(()) };
            self.count("requests");
            if let Some(fault) = fault {
                self.count(fault);
            }
            match self.meet(fault, &request) {
                Some(answer) => writer.write_all(&answer)?,
                None => return Ok(()),
            }
            if fault == Some("response truncated") {
                return Ok(());
            }
        }
    }

    /// What happens to the next request.
    fn fault(&self) -> Option<&'static str> {
        let mut chance = lock(&self.shared.chance);
        if !chance.percent(self.shared.percent.load(Ordering::Relaxed)) {
            return None;
        }
        let mut deck = lock(&self.shared.deck);
        if deck.is_empty() {
            deck.extend(FAULTS);
        }
        let at = chance.at(deck.len());
        Some(deck.swap_remove(at))
    }

    /// What the sender gets; `None` where the connection ends instead.
    fn meet(&self, fault: Option<&'static str>, request: &Message) -> Option<Vec<u8>> {
        match fault.unwrap_or_default() {
            "dropped" => None,
            "delayed" => {
                let ms = lock(&self.shared.chance).below(DELAY_MS_MAX);
                std::thread::park_timeout(Duration::from_millis(ms));
                self.hand_on(request)
            }
            "duplicated" => {
                self.hand_on(request);
                self.hand_on(request)
            }
            "duplicated late" => {
                lock(&self.shared.late).push(request.bytes());
                self.hand_on(request)
            }
            "acknowledgement lost" => {
                self.hand_on(request);
                None
            }
            "request truncated" => {
                self.truncate(request);
                None
            }
            "response truncated" => {
                let mut answer = self.hand_on(request)?;
                answer.truncate(lock(&self.shared.chance).at(answer.len()));
                Some(answer)
            }
            "429" => Some(refusal("429 Too Many Requests")),
            "503" => Some(refusal("503 Service Unavailable")),
            "503 after storing" => {
                self.hand_on(request);
                Some(refusal("503 Service Unavailable"))
            }
            _ => self.hand_on(request),
        }
    }

    /// The server's answer to a request; `None` where there is none.
    fn hand_on(&self, request: &Message) -> Option<Vec<u8>> {
        let answer = http::ask(self.shared.server, &request.bytes(), PATIENCE);
        if answer.is_err() {
            self.count("server away");
        }
        let answer = answer.ok()?;
        if answer.status() == Some(200) {
            self.count("taken");
        }
        Some(answer.bytes())
    }

    /// The server gets the beginning of a request, and then nothing more.
    fn truncate(&self, request: &Message) {
        let bytes = request.bytes();
        let length = lock(&self.shared.chance).at(bytes.len());
        if let (Ok(mut stream), Some(part)) =
            (http::connect(self.shared.server, PATIENCE), bytes.get(..length))
        {
            let _is_sent = stream.write_all(part).is_ok();
        }
    }

    fn count(&self, what: &'static str) {
        *lock(&self.shared.counts).entry(what).or_default() += 1;
    }
}

/// An answer of the proxy's own.
fn refusal(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hub that answers everything with 200, and how often it was asked.
    fn hub() -> (SocketAddr, Arc<AtomicU64>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut writer = stream;
                if let Ok(Some(_)) = Message::read(&mut reader) {
                    counter.fetch_add(1, Ordering::SeqCst);
                    drop(writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
                }
            }
        });
        (address, asked)
    }

    #[test]
    fn without_faults_it_hands_on_and_with_them_it_does_not_always() {
        let (address, asked) = hub();
        let proxy = Proxy::start(address, Chance::new(7, 0)).unwrap();
        let ask = || {
            let request = http::request("POST", "/v1/ingest", "application/json", "{}");
            http::ask(proxy.address(), &request, Duration::from_secs(5))
        };
        for _ in 0..20 {
            assert_eq!(ask().unwrap().status(), Some(200));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 20);
        proxy.set_faults(100);
        for _ in 0..200 {
            drop(ask());
        }
        let counts = proxy.counts();
        assert!(FAULTS.iter().all(|fault| counts.contains_key(fault)), "{counts:?}");
        // What was late arrives once more, and then no more.
        proxy.set_faults(0);
        let (before, late) = (asked.load(Ordering::SeqCst), proxy.late() as u64);
        proxy.deliver_late(usize::MAX);
        assert_eq!(asked.load(Ordering::SeqCst), before + late);
        assert_eq!(proxy.late(), 0);
    }
}
