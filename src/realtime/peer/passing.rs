//! How what is known of a request travels from door to door: in headers of the house's own.

use std::net::IpAddr;
use std::time::Instant;

use http::header::{
    CONNECTION, EXPECT, PROXY_AUTHENTICATE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::Facts;
use crate::http::facts::RequestId;

/// What a request of another door is.
pub const KIND: HeaderName = HeaderName::from_static("doorway-peer");
pub const HELLO: HeaderValue = HeaderValue::from_static("hello");
pub const REQUEST: HeaderValue = HeaderValue::from_static("request");
pub const FROM_APP: HeaderValue = HeaderValue::from_static("app");

/// The key by which a client comes back.
pub const RESUME: HeaderName = HeaderName::from_static("doorway-peer-resume");

const CLIENT: HeaderName = HeaderName::from_static("doorway-peer-client");
const SCHEME: HeaderName = HeaderName::from_static("doorway-peer-scheme");
const AUTHORITY: HeaderName = HeaderName::from_static("doorway-peer-authority");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("doorway-peer-forwarded-for");
const REQUEST_ID: HeaderName = HeaderName::from_static("doorway-peer-request-id");

/// What belongs to one connection.
const HOP_BY_HOP: [HeaderName; 11] = [
    CONNECTION,
    UPGRADE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    EXPECT,
    PROXY_AUTHENTICATE,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_ACCEPT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Takes out what belongs to the client's connection.
pub fn strip(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Says what is known, in place of whatever the client may have said under these names.
pub fn write(facts: &Facts, headers: &mut HeaderMap) {
    let text = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    headers.insert(CLIENT, text(facts.client.to_string()));
    headers.insert(SCHEME, text(facts.scheme.to_string()));
    headers.insert(AUTHORITY, text(facts.authority.to_string()));
    headers.insert(FORWARDED_FOR, facts.forwarded_for.clone());
    headers.insert(REQUEST_ID, facts.request_id.header());
    headers.remove(RESUME);
}

/// Reads it and takes it out; `None` where something is missing or is none.
pub fn read(headers: &mut HeaderMap) -> Option<Facts> {
    let [client, scheme, authority, forwarded_for, request_id] =
        [CLIENT, SCHEME, AUTHORITY, FORWARDED_FOR, REQUEST_ID].map(|name| headers.remove(name));
    let client: IpAddr = client?.to_str().ok()?.parse().ok()?;
    Some(Facts {
        client,
        scheme: Scheme::try_from(scheme?.as_bytes()).ok()?,
        authority: Authority::try_from(authority?.as_bytes()).ok()?,
        forwarded_for: forwarded_for?,
        request_id: RequestId::accept(&request_id?)?,
        // The first door's: it has the request in its own log.
        trace: None,
        received: Instant::now(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_arrive_as_they_were_and_a_clients_own_do_not() {
        let facts = Facts {
            client: "2001:db8::7".parse().unwrap(),
            scheme: Scheme::HTTPS,
            authority: Authority::from_static("example.com:8443"),
            forwarded_for: HeaderValue::from_static("10.0.0.1, 2001:db8::7"),
            request_id: RequestId::new(),
            trace: None,
            received: Instant::now(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CLIENT, HeaderValue::from_static("127.0.0.1"));
        headers.append(CLIENT, HeaderValue::from_static("127.0.0.2"));
        headers.insert(RESUME, HeaderValue::from_static("1"));
        write(&facts, &mut headers);
        let read = super::read(&mut headers).unwrap();
        assert_eq!((read.client, &read.scheme, &read.authority), (facts.client, &facts.scheme, &facts.authority));
        assert_eq!((&read.forwarded_for, &read.request_id), (&facts.forwarded_for, &facts.request_id));
        assert!(headers.is_empty(), "{headers:?}");
        assert!(super::read(&mut headers).is_none());
    }
}
