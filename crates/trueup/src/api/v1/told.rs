//! What several answers tell alike: a call's cost, a kind of error, a cursor that is none.

use std::sync::LazyLock;

use trueup_core::report::Pricer;
use trueup_telemetry::redact::{Level, Limits, Redactor};

use super::Failed;
use crate::facts::SeenCall;

/// Bytes of a kind of error at most. They are short, unless a client put something else there.
const ERROR_TYPE_BYTES_MAX: usize = 100;

/// What a call cost; `None` where its price is not known.
pub(super) fn cost(call: &SeenCall, pricer: &mut Pricer<'_>) -> Option<String> {
    let sum = pricer.price(call.time, &call.series, &call.counters);
    (sum.unpriced_calls == 0).then(|| sum.cost_nanousd().to_string())
}

/// The kind of an error, which clients name as they like, without what looks like a secret.
pub(super) fn error_type(text: &str) -> String {
    static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| Redactor::new(Level::Redacted));
    let limits = Limits { redacted_bytes_max: ERROR_TYPE_BYTES_MAX, ..Limits::MESSAGE };
    REDACTOR.redact(text, limits).unwrap_or_default()
}

pub(super) fn wrong_cursor() -> Failed {
    Failed::Refused("`cursor`: it is not the `next_cursor` of an answer".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_errors_keep_their_names_and_no_secrets() {
        for kind in ["rate_limit", "overloaded_error", "HTTP 429", "aborted", ""] {
            assert_eq!(error_type(kind), kind);
        }
        let told = error_type("invalid key sk-ant-api03-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV");
        assert!(told.starts_with("invalid key") && !told.contains("Zm9v"), "{told}");
        assert!(error_type(&"x ".repeat(5_000)).len() <= ERROR_TYPE_BYTES_MAX);
    }
}
