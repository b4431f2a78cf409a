//! What a client is told when its request is not taken: a status, and what to do.
//!
//! ```json
//! {"error":"`model` is missing or empty: it must be a text"}
//! ```

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::intake::Refusal;

/// A request that is not taken.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    message: String,
    header: Option<(HeaderName, &'static str)>,
    is_closing: bool,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), header: None, is_closing: false }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// The rest of the request is not read, so nothing can follow it.
    pub(crate) const fn closing(mut self) -> Self {
        self.is_closing = true;
        self
    }

    pub(crate) fn not_found() -> Self {
        let message = "there is nothing here; see GET / for what there is";
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn wrong_method() -> Self {
        let message = "this path does not take this method; see the Allow header";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The answer with a body of another form.
    pub(crate) fn into_response_of(
        self,
        media: &'static str,
        body: impl FnOnce(StatusCode, &str) -> Vec<u8>,
    ) -> Response {
        let body = body(self.status, &self.message);
        let mut response = self.into_response();
        *response.body_mut() = body.into();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        headers.remove(header::CONTENT_LENGTH);
        response
    }

    /// There is no room now.
    pub(crate) fn busy(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message).with(header::RETRY_AFTER, "1")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::TooManyRecords => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Empty
            | Refusal::NotJson { .. }
            | Refusal::NotAnObject { .. }
            | Refusal::Otlp
            | Refusal::Field { .. } => StatusCode::BAD_REQUEST,
        };
        Self::new(status, refusal.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.message });
        let closing = self.is_closing.then_some((header::CONNECTION, "close"));
        let mut response = (self.status, axum::Json(body)).into_response();
        for (name, value) in self.header.into_iter().chain(closing) {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
