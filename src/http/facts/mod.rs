//! What the door itself knows of a request, found out once and believed by every room.

mod request_id;

use std::net::IpAddr;
use std::time::Instant;

use http::HeaderValue;
use http::uri::{Authority, Scheme};

use crate::telemetry::trace::Trace;
pub use request_id::RequestId;

/// In every request's extensions; rooms read it instead of the client's headers.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Who asks: the peer, or whom a trusted proxy names.
    pub client: IpAddr,
    /// The scheme the client used, as a trusted proxy says or as the listener knows.
    pub scheme: Scheme,
    /// The site's public name as the client used it, in lower case, with a port where it is not the scheme's own.
    pub authority: Authority,
    /// The `X-Forwarded-For` chain to send on: the client, the trusted proxies behind which it is, and the peer.
    pub forwarded_for: HeaderValue,
    /// Sent on and logged as `X-Request-Id`: made here (UUID v7), or accepted from a trusted proxy.
    pub request_id: RequestId,
    /// Sent on as `traceparent`: carried on from a trusted proxy, or begun here. `None` where nothing is traced.
    pub trace: Option<Trace>,
    /// When its head was complete.
    pub received: Instant,
}

/// The client's address in `chain`, as [`Facts::forwarded_for`] has it: writing one out anew is dear.
pub fn first_address(chain: &HeaderValue) -> &str {
    let chain = chain.to_str().unwrap_or_default();
    memchr::memchr(b',', chain.as_bytes()).map_or(chain, |end| &chain[..end])
}
