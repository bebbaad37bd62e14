//! What the protocol says to a request that it refuses: a code and a few words, as the Node server has them.

use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use crate::http::{Body, Response};

/// An error of Engine.IO: a code and a message, as the Node server has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    TransportUnknown,
    SessionUnknown,
    BadHandshakeMethod,
    BadRequest,
    Forbidden,
    UnsupportedVersion,
}

impl ErrorCode {
    fn code(self) -> u8 {
        match self {
            ErrorCode::TransportUnknown => 0,
            ErrorCode::SessionUnknown => 1,
            ErrorCode::BadHandshakeMethod => 2,
            ErrorCode::BadRequest => 3,
            ErrorCode::Forbidden => 4,
            ErrorCode::UnsupportedVersion => 5,
        }
    }

    fn message(self) -> &'static str {
        match self {
            ErrorCode::TransportUnknown => "Transport unknown",
            ErrorCode::SessionUnknown => "Session ID unknown",
            ErrorCode::BadHandshakeMethod => "Bad handshake method",
            ErrorCode::BadRequest => "Bad request",
            ErrorCode::Forbidden => "Forbidden",
            ErrorCode::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    /// The value of the label `reason` in the metrics.
    pub fn label(self) -> &'static str {
        match self {
            ErrorCode::TransportUnknown => "transport_unknown",
            ErrorCode::SessionUnknown => "session_unknown",
            ErrorCode::BadHandshakeMethod => "handshake_method",
            ErrorCode::BadRequest => "bad_request",
            ErrorCode::Forbidden => "origin",
            ErrorCode::UnsupportedVersion => "protocol_version",
        }
    }

    fn status(self) -> StatusCode {
        if self == ErrorCode::Forbidden { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST }
    }

    /// To an ordinary request.
    pub fn answer(self) -> Response {
        let json = format!("{{\"code\":{},\"message\":\"{}\"}}", self.code(), self.message());
        respond(self.status(), "application/json", Body::from(json))
    }

    /// To one that wants to become a WebSocket over HTTP/1.1: nobody may take what follows for more requests.
    pub fn answer_upgrade(self) -> Response {
        let mut response = respond(self.status(), "text/html", Body::from(self.message()));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// Whether a path is that of one of the files with the client library that the Node server has besides.
pub fn asks_for_the_client(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    let name = file.strip_suffix(".map").unwrap_or(file);
    let Some(rest) = name.strip_prefix("socket.io").and_then(|rest| rest.strip_suffix(".js")) else { return false };
    let rest = rest.strip_suffix(".min").unwrap_or(rest);
    matches!(rest, "" | ".esm" | ".msgpack")
}

/// To who asks for one of them: the app has it, as any other of its scripts.
pub fn no_client() -> Response {
    let text = "The client library is not served here. Import socket.io-client in the page, or put its\n\
                dist/socket.io.min.js into the app's public folder and load it from there.\n";
    respond(StatusCode::NOT_FOUND, "text/plain; charset=UTF-8", Body::from(text))
}

fn respond(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_librarys_files_are_known_by_name() {
        for file in ["", ".min", ".esm.min", ".msgpack.min", ".esm"] {
            assert!(asks_for_the_client(&format!("/socket.io/socket.io{file}.js")), "{file}");
            assert!(asks_for_the_client(&format!("/socket.io/socket.io{file}.js.map")), "{file}");
        }
        for path in
            ["/socket.io/", "/socket.io", "/socket.io/x.js", "/socket.io/socket.io.css", "/socket.io/socket.io.x.js"]
        {
            assert!(!asks_for_the_client(path), "{path}");
        }
    }
}
