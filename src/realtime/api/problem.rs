//! What is wrong with a request, as RFC 9457 says: `application/problem+json`, with a JSON pointer for each fault.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::operation::DocumentError;
use crate::documents::StoreError;
use crate::http::{Body, Response};
use crate::realtime::hub::documents::OpenError;
use crate::realtime::vocabulary::Refusal;

pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A request that was not carried out.
#[derive(Debug, Clone)]
pub struct ApiProblem {
    pub status: StatusCode,
    /// One word for programs; the last part of `type`.
    pub word: &'static str,
    /// For people: what is wrong with this very request.
    pub detail: Cow<'static, str>,
    /// Each fault with its place.
    pub errors: Vec<Wrong>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One fault in a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// Where: a JSON pointer (RFC 6901) as a fragment, as in `#/messages/3/text`.
    pub pointer: String,
    pub detail: String,
}

impl ApiProblem {
    fn new(status: StatusCode, word: &'static str, detail: impl Into<Cow<'static, str>>) -> ApiProblem {
        ApiProblem { status, word, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    /// The body, or a parameter, is not what it should be.
    pub fn malformed(errors: Vec<Wrong>) -> ApiProblem {
        let detail = errors.first().map_or(String::new(), |wrong| format!("{}: {}", wrong.pointer, wrong.detail));
        ApiProblem { errors, ..ApiProblem::new(StatusCode::BAD_REQUEST, "malformed", detail) }
    }

    pub fn bad(detail: impl Into<Cow<'static, str>>) -> ApiProblem {
        ApiProblem::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    pub fn unauthorized(detail: &'static str) -> ApiProblem {
        let challenge = HeaderValue::from_static("Bearer realm=\"doorway\"");
        ApiProblem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).header(WWW_AUTHENTICATE, challenge)
    }

    pub fn forbidden(detail: &'static str) -> ApiProblem {
        ApiProblem::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> ApiProblem {
        ApiProblem::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub fn method(allowed: &'static str) -> ApiProblem {
        let detail = format!("this operation has the method {allowed}");
        ApiProblem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
            .header(ALLOW, HeaderValue::from_static(allowed))
    }

    pub fn timeout() -> ApiProblem {
        ApiProblem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not arrive in time")
    }

    /// An event has gone out, and not all who heard it have acknowledged it in time.
    pub fn unanswered(clients: usize, doors: usize) -> ApiProblem {
        let detail = match doors {
            0 => format!("{clients} of those who were asked have not answered in time"),
            doors => format!("{clients} of those who were asked have not answered in time, nor {doors} of the doors"),
        };
        ApiProblem::new(StatusCode::GATEWAY_TIMEOUT, "unanswered", detail)
    }

    pub fn gone(detail: &'static str) -> ApiProblem {
        ApiProblem::new(StatusCode::GONE, "gone", detail)
    }

    pub fn too_big(most: usize) -> ApiProblem {
        ApiProblem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-big", format!("longer than {most} bytes"))
    }

    pub fn not_json() -> ApiProblem {
        let detail = "the body must be JSON, with Content-Type: application/json";
        ApiProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail)
    }

    /// The key is that of a request that is under way.
    pub fn under_way() -> ApiProblem {
        let detail = "a request with this Idempotency-Key is under way";
        ApiProblem::new(StatusCode::CONFLICT, "under-way", detail).retry_after(Duration::from_secs(1))
    }

    /// The key is that of another request.
    pub fn key_reused() -> ApiProblem {
        let detail = "this Idempotency-Key was used for another request";
        ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", detail)
    }

    pub fn too_many(wait: Duration) -> ApiProblem {
        ApiProblem::new(StatusCode::TOO_MANY_REQUESTS, "too-many", "too many messages; come back later")
            .retry_after(wait)
    }

    pub fn unavailable(detail: &'static str) -> ApiProblem {
        ApiProblem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(Duration::from_secs(1))
    }

    /// In whole seconds, at least one.
    fn retry_after(self, wait: Duration) -> ApiProblem {
        self.header(RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64))
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> ApiProblem {
        self.headers.push((name, value));
        self
    }

    pub fn value(&self) -> Value {
        let mut object = json!({
            "type": format!("urn:doorway:problem:{}", self.word),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if !self.errors.is_empty() {
            object["errors"] = json!(self.errors);
        }
        object
    }

    pub fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.value().to_string() + "\n"));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

impl From<DocumentError> for ApiProblem {
    fn from(error: DocumentError) -> ApiProblem {
        match error {
            DocumentError::Absent => ApiProblem::not_found(error.to_string()),
            DocumentError::Patch(error) => ApiProblem::bad(format!("the patch fails at {error}")),
            DocumentError::Refused(Refusal::Unavailable) => ApiProblem::unavailable("documents cannot be written now"),
            DocumentError::Refused(Refusal::TooMany { .. }) => {
                ApiProblem::bad("the channel has as many documents as realtime.documents.max_subdocuments allows")
            }
            DocumentError::Refused(refusal) => refusal.into(),
            DocumentError::Open(OpenError::Full { .. }) => {
                ApiProblem::unavailable("as many channels have documents open as realtime.documents.max_rooms allows")
            }
            DocumentError::Open(OpenError::Store(StoreError::NoFolder)) => {
                ApiProblem::not_found("documents are not kept here: documents.dir is not set")
            }
            DocumentError::Open(OpenError::Elsewhere(..) | OpenError::Leaving) => {
                ApiProblem::unavailable("another door has the channel's documents, or is about to: try again")
            }
            DocumentError::Open(_) => {
                ApiProblem::unavailable("the channel's documents cannot be read: the log says why")
            }
            DocumentError::Unwritable(_) => ApiProblem::bad(error.to_string()),
        }
    }
}

impl From<Refusal> for ApiProblem {
    fn from(refusal: Refusal) -> ApiProblem {
        match refusal {
            Refusal::Forbidden | Refusal::Closed => ApiProblem::forbidden("this channel does not allow it"),
            Refusal::TooMany { wait } => ApiProblem::too_many(wait),
            Refusal::TooBig { most } => ApiProblem::too_big(most),
            Refusal::Immutable => ApiProblem::bad("messages of this channel cannot be changed: it is not mutable"),
            Refusal::Malformed(what) => ApiProblem::bad(what),
            Refusal::Unknown => ApiProblem::not_found("there is no such connection"),
            Refusal::Forgotten => ApiProblem::not_found("the message is no longer kept, or never was"),
            Refusal::Unavailable => ApiProblem::unavailable(
                "there are as many channels as realtime.max_channels allows, or the Redis of several doors is away, or a door does not answer",
            ),
            Refusal::App { reason, .. } => ApiProblem::bad(reason.to_string()),
        }
    }
}
