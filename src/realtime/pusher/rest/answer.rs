//! Answers of the REST API: JSON, or a status and a plain sentence.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use crate::http::{Body, Response};
use crate::realtime::pusher::name;
use crate::realtime::vocabulary::Refusal;

/// Why a request is not answered with what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    words: String,
}

impl ApiError {
    fn new(status: StatusCode, words: impl Into<String>) -> ApiError {
        ApiError { status, words: words.into() }
    }

    pub fn bad(words: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, words)
    }

    /// No channel can be called so.
    pub fn no_channel(name: &str) -> ApiError {
        ApiError::bad(format!("Invalid channel name: {name:?}: {}", name::fault(name)))
    }

    pub fn unauthorised(words: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, words)
    }

    pub fn forbidden(words: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, words)
    }

    pub fn not_found(words: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, words)
    }

    pub fn too_big(words: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, words)
    }

    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.words + "\n"));
        *response.status_mut() = self.status;
        headers(&mut response, "text/plain; charset=utf-8");
        response
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        match refusal {
            Refusal::TooBig { most } => ApiError::too_big(format!("This channel takes at most {most} bytes")),
            Refusal::Unavailable => ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "There are too many channels, or the doors' Redis is away",
            ),
            refusal => ApiError::bad(refusal.to_string()),
        }
    }
}

pub fn json(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    headers(&mut response, "application/json");
    response
}

fn headers(response: &mut Response, kind: &'static str) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
