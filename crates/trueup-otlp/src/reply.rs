//! What an exporter is told, in the encoding that it sent.

use crate::body::{Encoding, Signal};

/// The answer to an export that was taken: what was refused of it, if anything.
#[must_use]
pub fn answer(encoding: Encoding, signal: Signal, rejected: u64, why: &str) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf if rejected == 0 => Vec::new(),
        Encoding::Protobuf => {
            let mut partial = Vec::new();
            number(&mut partial, 1, rejected);
            bytes(&mut partial, 2, why.as_bytes());
            let mut answer = Vec::new();
            bytes(&mut answer, 1, &partial);
            answer
        }
        Encoding::Json if rejected == 0 => b"{}".to_vec(),
        Encoding::Json => {
            let name = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Logs => "rejectedLogRecords",
                Signal::Metrics => "rejectedDataPoints",
            };
            let partial = serde_json::json!({ name: rejected.to_string(), "errorMessage": why });
            serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
    }
}

/// The answer to an export that was not taken: a `google.rpc.Status`.
#[must_use]
pub fn status(encoding: Encoding, code: u8, message: &str) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            let mut status = Vec::new();
            number(&mut status, 1, code.into());
            bytes(&mut status, 2, message.as_bytes());
            status
        }
        Encoding::Json => {
            serde_json::json!({ "code": code, "message": message }).to_string().into_bytes()
        }
    }
}

fn number(to: &mut Vec<u8>, field: u8, number: u64) {
    to.push(field << 3);
    varint(to, number);
}

fn bytes(to: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    to.push(field << 3 | 2);
    varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

fn varint(to: &mut Vec<u8>, mut number: u64) {
    while let Some(more) = Some(number >> 7).filter(|more| *more > 0) {
        let [low, ..] = number.to_le_bytes();
        to.push(low | 0x80);
        number = more;
    }
    let [low, ..] = number.to_le_bytes();
    to.push(low);
}
