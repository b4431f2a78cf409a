//! `GET|POST /api/cron/daily-usage`: pull the last days now, and say how that went.
//!
//! ```json
//! {"schema":1,"is_done":true,"processed":24,"failed":0,"stored":38,"updated":2,"skipped":410,…}
//! ```
//!
//! For schedulers that call an address once a day. They show a secret of their own, which opens
//! nothing else; the token of the other paths does not open this one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::time::{Instant, sleep};

use super::{App, Problem, Token};
use crate::pull::DAYS_BACK;
use crate::secret::Secret;

/// The path.
pub(super) const PATH: &str = "/api/cron/daily-usage";
/// Bytes that the secret must have.
const SECRET_BYTES_MIN: usize = 16;
/// What scripts put in the place of a secret that they do not have.
const NO_SECRETS: [&str; 2] = ["undefined", "null"];
/// Days that are pulled in any case: the present one, and the one before.
const DAYS_DEFAULT: i64 = 2;
/// How long the answer waits for the pull.
const WAIT_MAX: Duration = Duration::from_secs(50);
/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Who may have the last days pulled.
#[derive(Debug, Clone)]
pub(crate) enum CronDoor {
    /// Nobody: there is no secret.
    Shut,
    /// Nobody: the secret is too short to be one.
    TooShort,
    /// Who shows this.
    Open(Token),
}

impl CronDoor {
    /// The door of a secret.
    pub(crate) fn of(secret: Option<&Secret>) -> Self {
        let is_none = |secret: &&Secret| {
            NO_SECRETS.iter().any(|none| secret.reveal().eq_ignore_ascii_case(none))
        };
        match secret.filter(|secret| !is_none(secret)) {
            None => Self::Shut,
            Some(secret) if secret.reveal().len() < SECRET_BYTES_MIN => Self::TooShort,
            Some(secret) => Self::Open(Token::new(secret)),
        }
    }

    /// Whether anybody may.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Whether a request may; why not.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let unavailable = |message: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, message);
        match self {
            Self::Shut => Err(unavailable(
                "no secret is set: put one into a file and name it in cron_secret_file \
                 (TRUEUP_CRON_SECRET_FILE)",
            )),
            Self::TooShort => Err(unavailable(
                "the secret (cron_secret) is shorter than 16 bytes, and is not used",
            )),
            Self::Open(secret) if secret.is_shown(headers) => Ok(()),
            Self::Open(_) => {
                let message = "send the secret: `Authorization: Bearer …`";
                Err(Problem::new(StatusCode::UNAUTHORIZED, message)
                    .with(header::WWW_AUTHENTICATE, "Bearer"))
            }
        }
    }
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

pub(super) async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    match admitted(&app, peer, &request) {
        Ok(days) => pull(&app, days).await.unwrap_or_else(Problem::into_response),
        Err(problem) => problem.into_response(),
    }
}

/// How many days are to be pulled, where the request may be answered. Refusals are logged; of those
/// that come too often, the first.
fn admitted(app: &App, peer: IpAddr, request: &Request) -> Result<i64, Problem> {
    match app.cron_limiter.take(peer, std::time::Instant::now()) {
        Taken::Yes => {}
        Taken::No { is_first } => {
            if is_first {
                tracing::warn!(peer = %peer, reason = "too_often", "cron_refused");
            }
            let message = "too many requests from this address";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, message)
                .with(header::RETRY_AFTER, REFILL_S));
        }
    }
    if let Err(problem) = app.settings.cron.admit(request.headers()) {
        let reason = if app.settings.cron.is_open() { "wrong_secret" } else { "no_secret_is_set" };
        tracing::warn!(peer = %peer, reason, "cron_refused");
        return Err(problem);
    }
    days(request.uri().query().unwrap_or_default())
}

/// The days that a query asks for.
fn days(query: &str) -> Result<i64, Problem> {
    let told = query.split('&').find_map(|pair| pair.strip_prefix("days="));
    let Some(told) = told else { return Ok(DAYS_DEFAULT) };
    let days = told.parse().ok().filter(|days| (1..=DAYS_BACK).contains(days));
    days.ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, format!("days: a number from 1 to {DAYS_BACK}"))
    })
}

/// Has it pulled, and waits for that.
async fn pull(app: &App, days: i64) -> Result<Response, Problem> {
    let pull = &app.threads.pull;
    let number = pull.ask(days);
    let until = Instant::now() + WAIT_MAX;
    let came = loop {
        let came = pull.answer(number);
        if came.is_some() || Instant::now() >= until {
            break came;
        }
        sleep(LOOK_INTERVAL).await;
    };
    let is_done = came.is_some();
    let summary = came
        .transpose()
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))?
        .unwrap_or_default();
    if is_done && pull.seen().connections == 0 {
        let message = "no provider is connected; `trueup provider add --help` says how";
        return Err(Problem::new(StatusCode::CONFLICT, message));
    }
    let status = match (is_done, summary.failed) {
        (false, _) => StatusCode::ACCEPTED,
        (true, 0) => StatusCode::OK,
        (true, _) => StatusCode::BAD_GATEWAY,
    };
    let mut told = summary.as_json();
    if let Some(fields) = told.as_object_mut() {
        fields.insert("is_done".to_owned(), is_done.into());
    }
    Ok((status, Json(told)).into_response())
}

/// Requests that an address may send at once after a rest.
const BURST: u32 = 10;
/// Time in which it may send one more.
const REFILL: Duration = Duration::from_secs(6);
/// The same, as it is told.
const REFILL_S: &str = "6";
/// Addresses that are told apart at once; further ones share what one has.
const ADDRESSES_MAX: usize = 1_024;

/// How often each address asks: a bucket of tokens for each.
#[derive(Debug, Default)]
pub(super) struct Limiter(Mutex<BTreeMap<IpAddr, Bucket>>);

/// A bucket that fills by the time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When it is, or was, full.
    full_at: std::time::Instant,
    /// Whether it was empty when it was last wanted.
    is_empty: bool,
}

/// Whether a request may be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    /// It comes too often; whether it is the first that does.
    No {
        is_first: bool,
    },
}

impl Limiter {
    fn take(&self, from: IpAddr, now: std::time::Instant) -> Taken {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut from = network(from);
        if !buckets.contains_key(&from) && buckets.len() >= ADDRESSES_MAX {
            buckets.retain(|_, bucket| bucket.full_at > now);
            if buckets.len() >= ADDRESSES_MAX {
                from = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            }
        }
        let bucket = buckets.entry(from).or_insert(Bucket { full_at: now, is_empty: false });
        let full_at = bucket.full_at.max(now) + REFILL;
        if full_at.duration_since(now) <= REFILL * BURST {
            *bucket = Bucket { full_at, is_empty: false };
            return Taken::Yes;
        }
        let is_first = !bucket.is_empty;
        bucket.is_empty = true;
        Taken::No { is_first }
    }
}

/// What counts as one address: of IPv6 the network, because one machine has all of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let host_bits = 64;
            Ipv6Addr::from_bits(address.to_bits() >> host_bits << host_bits).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(secret: &str) -> CronDoor {
        CronDoor::of(Secret::new(secret).as_ref())
    }

    fn status(door: &CronDoor, authorization: &str) -> u16 {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        door.admit(&headers)
            .map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn only_a_long_secret_opens() {
        for none in ["", " ", "undefined", "null", "NULL"] {
            assert!(matches!(door(none), CronDoor::Shut), "{none}");
            assert_eq!(status(&door(none), &format!("Bearer {none}")), 503);
        }
        assert!(matches!(door("fifteen-bytes-0"), CronDoor::TooShort));
        assert_eq!(status(&door("fifteen-bytes-0"), "Bearer fifteen-bytes-0"), 503);
        let open = door("sixteen-bytes-00");
        for (sent, expected) in [
            ("Bearer sixteen-bytes-00", 200),
            ("bearer sixteen-bytes-00", 200),
            ("Bearer sixteen-bytes-0", 401),
            ("Bearer sixteen-bytes-000", 401),
            ("Bearer undefined", 401),
            ("Basic sixteen-bytes-00", 401),
        ] {
            assert_eq!(status(&open, sent), expected, "{sent}");
        }
        assert!(!format!("{open:?}").contains("sixteen"));
    }

    #[test]
    fn each_address_has_ten_at_once_and_then_one_every_six_seconds() {
        let (limiter, now) = (Limiter::default(), std::time::Instant::now());
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        assert!((0..10).all(|_| limiter.take(one, now) == Taken::Yes));
        assert_eq!(limiter.take(one, now), Taken::No { is_first: true });
        assert_eq!(
            limiter.take("::ffff:192.0.2.1".parse().unwrap(), now),
            Taken::No { is_first: false }
        );
        assert_eq!(limiter.take("192.0.2.2".parse().unwrap(), now), Taken::Yes);
        assert_eq!(limiter.take(one, now + REFILL), Taken::Yes);
        assert_eq!(limiter.take(one, now + REFILL), Taken::No { is_first: true });
        let six = |host: u128| IpAddr::from(Ipv6Addr::from_bits((0x2001_0db8 << 96) + host));
        assert!((0..10).all(|host| limiter.take(six(host), now) == Taken::Yes));
        assert_eq!(limiter.take(six(10), now), Taken::No { is_first: true }, "one network is one");
    }

    #[test]
    fn many_addresses_take_bounded_room() {
        let (limiter, now) = (Limiter::default(), std::time::Instant::now());
        let address = |at: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + at));
        let taken = (0..3_000).filter(|at| limiter.take(address(*at), now) == Taken::Yes).count();
        assert_eq!(taken, ADDRESSES_MAX + 10, "those past the limit share one bucket");
        assert!(limiter.0.lock().unwrap().len() <= ADDRESSES_MAX + 1);
        assert_eq!(
            limiter.take(address(4_000), now + REFILL * 60),
            Taken::Yes,
            "the idle give way"
        );
        assert!(limiter.0.lock().unwrap().len() < 10);
    }
}
