//! `POST /v1/ingest` and `/api/traces/ingest`: what devices tell.
//!
//! ```json
//! {"v":1,"accepted":2,"duplicates":0,"rejected":[],"ack":{"seq":18},"next_push_seconds":300,
//!  "heartbeat_seconds":300}
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use trueup_core::{FactId, Text, Word, one_line};

use super::record::Rejection;
use super::request::{self, Batch, Refusal, Rejected};
use super::store::{Kept, Refused, Unavailable};
use super::{Hub, counts::Outcome};
use crate::api::{Admitted, BodyLimits, Packing, Problem, Unpacked, inflated, read_body};
use crate::clock;

/// What every answer says of the formats that are read.
const VERSIONS: HeaderName = HeaderName::from_static("trueup-ingest-versions");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Seconds that a sender is asked to wait where the store is away.
const RETRY_AFTER: &str = "5";

pub(super) async fn post(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let mut response = match take(&hub, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(VERSIONS, HeaderValue::from(request::FORMAT));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("zstd, gzip"));
    response
}

async fn take(hub: &Arc<Hub>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let token = hub.shown(&headers)?;
    let device = token.device.ok_or_else(|| {
        let message = "this token opens the account to be read; make one for the device, by \
                       `trueup hub token create --tenant … --device …`";
        Problem::new(StatusCode::FORBIDDEN, message)
    })?;
    let packing = Packing::of(request.headers())?;
    let wants_all = request.uri().query().is_some_and(|query| query == "results=all");
    let key = idempotency_key(request.headers());
    let limits = BodyLimits::new(hub.settings.body_bytes_max, Arc::clone(&hub.bodies));
    let Admitted { bytes, room } = read_body(&limits, request).await?;
    let batch = parsed(hub, bytes, packing, device, key).await?;
    // Whose token was revoked while the body came is forgotten by now, maybe, and tells nothing more.
    hub.shown(&headers)?;
    let mut rejected = batch.rejected;
    let last_seq = batch.delivery.batch.as_ref().map(|batch| batch.last_seq);
    let ids: Vec<FactId> =
        batch.delivery.words.iter().filter(|_| wants_all).map(Word::id).collect();
    let (told, kept) = oneshot::channel();
    let done = Box::new(move |result| {
        let _is_awaited = told.send(result).is_ok();
    });
    // Opening a tenant's ledger, and waiting for a place before its writer, are for another thread.
    let (own, tenant) = (Arc::clone(hub), token.tenant);
    let keeping =
        tokio::task::spawn_blocking(move || own.store.keep(&tenant, batch.delivery, done));
    let ended = || Unavailable("the hub is ending".to_owned());
    let kept = match keeping.await {
        Ok(()) => kept.await.unwrap_or_else(|_| Err(ended())),
        Err(_) => Err(ended()),
    };
    drop(room);
    match kept {
        Ok(Kept::Taken { accepted, duplicates, known, newest_at, is_replay, refused }) => {
            rejected.extend(refused.into_iter().map(|refused| not_kept(refused, &batch.seqs)));
            hub.counts.rejected(rejected.len());
            hub.counts.note(if is_replay { Outcome::Replayed } else { Outcome::Taken }, accepted);
            let mut body = json!({
                "v": request::FORMAT,
                "accepted": accepted,
                "duplicates": duplicates,
                "rejected": rejected.iter().map(rejection).collect::<Vec<_>>(),
                "ack": {"seq": last_seq},
                "newest_at": newest_at.map(|time| time.0),
                "next_push_seconds": hub.next_push_seconds(),
                "heartbeat_seconds": hub.settings.heartbeat.as_secs(),
            });
            if let (true, Some(body)) = (wants_all, body.as_object_mut()) {
                let results = results(&ids, &known, is_replay, &rejected);
                body.insert("results".to_owned(), results);
            }
            let mut response = axum::Json(body).into_response();
            if is_replay {
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            }
            Ok(response)
        }
        Ok(Kept::Conflict) => {
            hub.counts.note(Outcome::Conflict, 0);
            let message = "another batch has this `batch.id`: send these records under a new one";
            Err(Problem::new(StatusCode::CONFLICT, message))
        }
        Err(Unavailable(why)) => {
            hub.counts.note(Outcome::Unavailable, 0);
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, why);
            Err(problem.with(header::RETRY_AFTER, RETRY_AFTER))
        }
    }
}

/// The name of the batch that the request says beside its body.
fn idempotency_key(headers: &HeaderMap) -> Option<String> {
    let key = headers.get("idempotency-key")?.to_str().ok()?;
    Some(key.trim().trim_matches('"').to_owned())
}

/// Unpacks and reads a batch, on another thread.
async fn parsed(
    hub: &Arc<Hub>,
    bytes: Vec<u8>,
    packing: Option<Packing>,
    device: Text,
    key: Option<String>,
) -> Result<Batch, Problem> {
    let bytes_max = hub.settings.body_bytes_max;
    let busy = || Problem::busy("the hub is ending; try again");
    let permit = hub.parsing.acquire().await.map_err(|_| busy())?;
    let read = tokio::task::spawn_blocking(move || {
        let body = inflated(&bytes, packing, bytes_max).map_err(|unpacked| match unpacked {
            Unpacked::Damaged(_) => altered(Problem::from(unpacked).message()),
            Unpacked::TooLarge(_) => unpacked.into(),
        })?;
        let batch = request::read(&body, &device, clock::now());
        let batch = batch.map_err(|refusal| refused(&refusal))?;
        match (&batch.delivery.batch, key) {
            (Some(head), Some(key)) if *head.id != *key => {
                let message = "`Idempotency-Key` is not `batch.id`: they must be the same";
                Err(Problem::new(StatusCode::BAD_REQUEST, message))
            }
            _ => Ok(batch),
        }
    });
    let read = read.await.map_err(|_| busy())?;
    drop(permit);
    read
}

/// What was altered on its way comes whole when it is sent again, which senders do after this status.
fn altered(message: &str) -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, message)
}

fn refused(refusal: &Refusal) -> Problem {
    if let Refusal::Altered { .. } | Refusal::Miscounted { .. } = refusal {
        return altered(&refusal.to_string());
    }
    let status = match refusal {
        Refusal::Format(_) => StatusCode::UPGRADE_REQUIRED,
        Refusal::TooMany(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::NotABatch(_)
        | Refusal::Altered { .. }
        | Refusal::Miscounted { .. }
        | Refusal::TooLong(_) => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, refusal.to_string())
}

/// A word that the store does not keep is told as a record that is not taken.
fn not_kept(refused: Refused, seqs: &[Option<i64>]) -> Rejected {
    let Refused { place, id, why } = refused;
    let seq = seqs.get(place).copied().flatten();
    Rejected { seq, id: Some(id.to_string()), why: Rejection::NotKept(why) }
}

/// At most a kilobyte, so that senders know how much there is to read.
fn rejection(rejected: &Rejected) -> Value {
    let Rejected { seq, id, why } = rejected;
    let message = one_line(&why.to_string());
    json!({"seq": seq, "id": id, "code": why.code(), "message": message, "retryable": false})
}

/// What became of each record.
fn results(ids: &[FactId], known: &[FactId], is_replay: bool, rejected: &[Rejected]) -> Value {
    let known: BTreeSet<&FactId> = known.iter().collect();
    let refused: BTreeSet<&str> = rejected.iter().filter_map(|one| one.id.as_deref()).collect();
    let taken = ids.iter().filter(|id| !refused.contains(&*id.to_string()));
    let taken = taken.map(|id| {
        let is_known = is_replay || known.contains(id);
        json!({"id": id.to_string(), "result": if is_known { "duplicate" } else { "accepted" }})
    });
    let rejected = rejected.iter().map(
        |one| json!({"seq": one.seq, "id": one.id, "result": "rejected", "code": one.why.code()}),
    );
    taken.chain(rejected).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::REFUSAL_BYTES;

    #[test]
    fn a_sender_reads_all_that_it_is_told_of_records() {
        let hurts = "\u{1}\"\\é".repeat(4_000);
        for why in [
            Rejection::BadRecord(hurts.clone()),
            Rejection::UnknownType(hurts.chars().take(64).collect()),
            Rejection::NotKept(hurts.clone()),
            Rejection::OtherTime { created_at: i64::MIN, of_id: i64::MIN },
        ] {
            let id = Some("\u{1}".repeat(36));
            let told = rejection(&Rejected { seq: Some(i64::MIN), id, why }).to_string();
            assert!((told.len() as u64) < REFUSAL_BYTES, "{}: {told}", told.len());
        }
    }
}
