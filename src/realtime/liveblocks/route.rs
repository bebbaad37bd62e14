//! Which of the protocol's doors a request means. At the root of the site only what nobody else can mean is taken.

use crate::http::Request;
use crate::http::query::parameter;
use crate::realtime::link::websocket;

/// Where this generation of clients opens its sockets.
const SOCKET: &str = "/v8";

/// A door of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveblocksRoute {
    Socket { room: String },
}

impl LiveblocksRoute {
    /// The door that is meant.
    pub fn find(request: &Request) -> Option<LiveblocksRoute> {
        let uri = request.uri();
        if uri.path() == SOCKET && websocket::is_upgrade(request) {
            return parameter(uri.query(), "roomId").map(|room| LiveblocksRoute::Socket { room });
        }
        None
    }
}
