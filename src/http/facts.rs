//! What the door itself knows of a request, found out once and believed by every room.

use std::net::IpAddr;
use std::time::Instant;

use http::HeaderValue;
use http::uri::{Authority, Scheme};
use uuid::Uuid;

/// Put into a request's extensions by the outermost layer; rooms read it instead of the client's headers.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Who asks: the peer, or whom a trusted proxy names.
    pub client: IpAddr,
    /// The scheme the client used, as a trusted proxy says or as the listener knows.
    pub scheme: Scheme,
    /// The site's public name as the client used it, with a non-default port.
    pub authority: Authority,
    /// The `X-Forwarded-For` chain to send on: what trusted proxies said, then the peer.
    pub forwarded_for: HeaderValue,
    /// Sent on and logged as `X-Request-Id`: made here (UUID v7), or accepted from a trusted proxy.
    pub request_id: RequestId,
    /// When its head was complete.
    pub received: Instant,
}

/// The name of one request in logs on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    pub fn new() -> Self {
        let mut buffer = Uuid::encode_buffer();
        let text = Uuid::now_v7().simple().encode_lower(&mut buffer);
        RequestId(HeaderValue::from_str(text).expect("hexadecimal is a header value"))
    }

    /// Accepts an id of a trusted proxy: 1 to 128 visible ASCII characters.
    pub fn accept(value: &HeaderValue) -> Option<Self> {
        let fits = (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
        fits.then(|| RequestId(value.clone()))
    }

    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        RequestId::new()
    }
}
