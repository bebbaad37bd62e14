//! Answers of the REST API: JSON, and for what is wrong the protocol's own kind of JSON.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::http::{Body, Response};
use crate::realtime::hub::documents::{MoveError, OpenError};
use crate::realtime::liveblocks::room::Invalid;
use crate::realtime::liveblocks::rooms::RecordError;
use crate::realtime::vocabulary::Refusal;

const JSON: &str = "application/json";
/// Exactly so: client libraries compare it.
const LINES: &str = "application/x-ndjson";
const BYTES: &str = "application/octet-stream";

/// What client libraries print where developers see it.
const WARNING: HeaderName = HeaderName::from_static("x-lb-warn");

/// What a caller is answered.
#[derive(Debug)]
pub struct RestAnswer {
    status: StatusCode,
    kind: &'static str,
    body: Bytes,
}

impl RestAnswer {
    /// A value.
    pub fn json(value: &Value) -> RestAnswer {
        RestAnswer::text(value.to_string())
    }

    /// JSON that is written already.
    pub fn text(json: String) -> RestAnswer {
        RestAnswer { status: StatusCode::OK, kind: JSON, body: json.into() }
    }

    /// A JSON value a line.
    pub fn lines(lines: String) -> RestAnswer {
        RestAnswer { status: StatusCode::OK, kind: LINES, body: lines.into() }
    }

    pub fn bytes(bytes: Vec<u8>) -> RestAnswer {
        RestAnswer { status: StatusCode::OK, kind: BYTES, body: bytes.into() }
    }

    /// It is done, and there is nothing to say.
    pub fn done() -> RestAnswer {
        RestAnswer::json(&json!({}))
    }

    /// It is gone.
    pub fn gone() -> RestAnswer {
        RestAnswer { status: StatusCode::NO_CONTENT, kind: JSON, body: Bytes::new() }
    }

    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub fn into_response(self) -> Response {
        let is_empty = self.body.is_empty() && self.status == StatusCode::NO_CONTENT;
        let mut response = Response::new(if is_empty { Body::Empty } else { Body::from(self.body) });
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !is_empty {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// Why a request is not answered with what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestError {
    status: StatusCode,
    code: &'static str,
    words: String,
}

impl RestError {
    fn new(status: StatusCode, code: &'static str, words: impl Into<String>) -> RestError {
        RestError { status, code, words: words.into() }
    }

    /// What is sent makes no sense.
    pub fn invalid(words: impl Into<String>) -> RestError {
        RestError::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_REQUEST", words)
    }

    pub fn forbidden(words: impl Into<String>) -> RestError {
        RestError::new(StatusCode::FORBIDDEN, "FORBIDDEN", words)
    }

    pub fn no_room(room: &str) -> RestError {
        let room: String = room.chars().take(128).collect();
        RestError::new(StatusCode::NOT_FOUND, "ROOM_NOT_FOUND", format!("There is no room {room:?}"))
    }

    pub fn room_exists(room: &str) -> RestError {
        RestError::new(StatusCode::CONFLICT, "ROOM_ALREADY_EXISTS", format!("There is a room {room:?} already"))
    }

    pub fn storage_exists() -> RestError {
        let words = "The room has a storage already: delete it first, or change it by a patch";
        RestError::new(StatusCode::CONFLICT, "CANNOT_UPDATE_EXISTING_STORAGE", words)
    }

    /// A part of the protocol that is not spoken here.
    pub fn not_available(what: &str) -> RestError {
        RestError::new(StatusCode::NOT_FOUND, "NOT_AVAILABLE", format!("{what} is not offered by this server"))
    }

    pub fn too_big(words: impl Into<String>) -> RestError {
        RestError::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", words)
    }

    pub fn unavailable(words: impl Into<String>) -> RestError {
        RestError::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", words)
    }

    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub fn into_response(self) -> Response {
        let mut body = json!({ "error": self.code, "message": self.words });
        if self.status == StatusCode::UNPROCESSABLE_ENTITY {
            body["reason"] = self.words.as_str().into();
        }
        let answer = RestAnswer { status: self.status, kind: JSON, body: body.to_string().into() };
        let mut response = answer.into_response();
        if self.code == "NOT_AVAILABLE" {
            let plain: String = self.words.chars().filter(|c| matches!(c, ' '..='~')).collect();
            if let Ok(words) = HeaderValue::from_str(&plain) {
                response.headers_mut().insert(WARNING, words);
            }
        }
        response
    }
}

impl From<Invalid> for RestError {
    fn from(invalid: Invalid) -> RestError {
        RestError::invalid(invalid.to_string())
    }
}

impl From<RecordError> for RestError {
    fn from(error: RecordError) -> RestError {
        RestError::unavailable(error.to_string())
    }
}

impl From<OpenError> for RestError {
    fn from(error: OpenError) -> RestError {
        RestError::unavailable(error.to_string())
    }
}

impl From<MoveError> for RestError {
    fn from(error: MoveError) -> RestError {
        match error {
            MoveError::Taken(channel) => RestError::room_exists(channel.as_str()),
            MoveError::Open(error) => error.into(),
        }
    }
}

impl From<Refusal> for RestError {
    fn from(refusal: Refusal) -> RestError {
        match refusal {
            Refusal::TooBig { most } => RestError::too_big(format!("A room takes at most {most} bytes of this")),
            Refusal::Unavailable => RestError::unavailable("The server cannot do this now"),
            Refusal::Forbidden | Refusal::Closed => RestError::forbidden(refusal.to_string()),
            refusal => RestError::invalid(refusal.to_string()),
        }
    }
}
