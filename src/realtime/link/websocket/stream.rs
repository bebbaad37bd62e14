//! From an upgraded connection to a link, with as few layers between as there can be.

use super::{Agreed, Config, WebSocket};
use crate::http::connection::switch::Switched;
use crate::realtime::link::Link;

/// The WebSocket on an upgraded connection.
///
/// HTTP/1.1 gives the connection itself back, so hyper's box and buffer are shed for the life of the socket; a stream
/// of HTTP/2 stays inside its connection, and takes its turn there.
pub fn open(switched: Switched, agreed: Option<&Agreed>, config: &Config) -> Box<dyn Link> {
    match switched.whole() {
        Ok((stream, early)) => Box::new(WebSocket::new(stream, &early, agreed, config)),
        Err(stream) => Box::new(WebSocket::new(stream, &[], agreed, config).on_h2_stream()),
    }
}
