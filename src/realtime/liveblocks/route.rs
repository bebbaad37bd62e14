//! Which of the protocol's doors a request means. At the root of the site only what nobody else can mean is taken.

use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, AUTHORIZATION};
use http::{HeaderMap, Method};

use super::access::Access;
use crate::http::Request;
use crate::http::query::parameter;
use crate::realtime::link::websocket;

/// Where this generation of clients opens its sockets.
const SOCKET: &str = "/v8";
/// Below it is the REST API.
const REST: &str = "/v2/";

/// A door of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveblocksRoute {
    Socket { room: String },
    Rest,
}

impl LiveblocksRoute {
    /// The door that is meant.
    pub fn find(access: &Access, request: &Request) -> Option<LiveblocksRoute> {
        let uri = request.uri();
        if uri.path() == SOCKET && websocket::is_upgrade(request) {
            return parameter(uri.query(), "roomId").map(|room| LiveblocksRoute::Socket { room });
        }
        let is_rest = uri.path().strip_prefix(REST).is_some_and(|_| match *request.method() {
            Method::OPTIONS => asks_to_send(request.headers()),
            _ => bearer(request.headers()).is_some_and(|bearer| is_ours(access, bearer)),
        });
        is_rest.then_some(LiveblocksRoute::Rest)
    }
}

/// The credentials of a request.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, bearer) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| bearer.trim())
}

/// Keys of any owner are this protocol's: who has the wrong one is told so. A token might be the app's.
fn is_ours(access: &Access, bearer: &str) -> bool {
    bearer.starts_with("sk_") || bearer.starts_with("pk_") || access.has_signed(bearer)
}

/// A page of another origin asks whether it may send what clients of this protocol do.
fn asks_to_send(headers: &HeaderMap) -> bool {
    let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).and_then(|names| names.to_str().ok());
    asked.is_some_and(|names| names.split(',').any(|name| name.trim().eq_ignore_ascii_case("x-lb-client")))
}
