//! The head of a request as the app gets it, written once, straight into the bytes that are sent.

use std::io::Write as _;

use http::header::{ACCEPT_ENCODING, CONNECTION, HOST};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderValue, Method};

use super::cdn_loop::{CDN_LOOP, NAME};
use super::internal::{CALLBACK, REVALIDATE, is_stripped};
use super::query;
use crate::http::Facts;
use crate::http::facts::first_address;
use crate::http::layer::compress::CompressedHere;
use crate::http::routed;
use crate::telemetry::trace::TRACEPARENT;
use crate::upstream::address::Address;
use crate::upstream::revalidation::OwnRevalidation;
use crate::upstream::upload::Encoding;

/// Another protocol is asked for on this connection.
pub struct Upgrade {
    /// What it is called, as in `websocket`.
    pub protocol: HeaderValue,
    /// Made here for a client that came over HTTP/2, which has none (RFC 8441 section 5).
    pub key: Option<String>,
}

/// In the extensions of a request that the door itself makes: its [`CALLBACK`] is sent on, which a client's never is.
#[derive(Debug, Clone, Copy)]
pub struct FromTheDoor;

/// The head for `app`. Nothing that a client says about itself passes: forwarding headers come from `Facts`.
pub fn head(parts: &Parts, encoding: Encoding, upgrade: Option<&Upgrade>, app: &Address) -> Vec<u8> {
    let facts = parts.extensions.get::<Facts>();
    let mut head = Vec::with_capacity(1024);
    let method = if upgrade.is_some() { &Method::GET } else { &parts.method };
    let target = query::sent_target(&parts.uri, &parts.extensions);
    put(&mut head, &[method.as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\nhost: "]);
    match (facts, parts.headers.get(HOST), parts.uri.authority()) {
        (Some(facts), _, _) => put(&mut head, &[facts.authority.as_str().as_bytes()]),
        (None, Some(host), _) => put(&mut head, &[host.as_bytes()]),
        (None, None, Some(authority)) => put(&mut head, &[authority.as_str().as_bytes()]),
        (None, None, None) => put(&mut head, &[app.authority().as_bytes()]),
    }
    put(&mut head, &[b"\r\n"]);
    // Node would only gzip, and bundle what should be streamed.
    let is_coded_here = parts.extensions.get::<CompressedHere>().is_some();
    let is_data = routed::is_data(parts.uri.path());
    let is_ours = parts.extensions.get::<FromTheDoor>().is_some();
    let is_the_apps = parts.extensions.get::<OwnRevalidation>().is_some();
    for (name, value) in &parts.headers {
        let is_kept = !is_stripped(name, is_data)
            || (is_ours && name == CALLBACK)
            || (is_the_apps && name.as_str().starts_with(REVALIDATE));
        if !is_kept || (is_coded_here && name == ACCEPT_ENCODING) {
            continue;
        }
        line(&mut head, name.as_str(), value.as_bytes());
    }
    if is_coded_here {
        put(&mut head, &[b"accept-encoding: identity\r\n"]);
    }
    line(&mut head, CDN_LOOP.as_str(), NAME.as_bytes());
    if let Some(facts) = facts {
        forwarding(&mut head, facts);
    }
    match encoding {
        Encoding::Length(length) => {
            let _ = write!(head, "content-length: {length}\r\n");
        }
        Encoding::Chunked => put(&mut head, &[b"transfer-encoding: chunked\r\n"]),
        // Those that usually have a body say so when they have none (RFC 9110 section 8.6).
        Encoding::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            put(&mut head, &[b"content-length: 0\r\n"]);
        }
        Encoding::None => {}
    }
    if let Some(upgrade) = upgrade {
        line(&mut head, CONNECTION.as_str(), b"upgrade");
        line(&mut head, "upgrade", upgrade.protocol.as_bytes());
        if let Some(key) = &upgrade.key {
            line(&mut head, "sec-websocket-key", key.as_bytes());
        }
    }
    put(&mut head, &[b"\r\n"]);
    head
}

/// All of them each time: Next fills in what is missing by guessing.
fn forwarding(head: &mut Vec<u8>, facts: &Facts) {
    let is_secure = facts.scheme == Scheme::HTTPS;
    line(head, "x-forwarded-host", facts.authority.as_str().as_bytes());
    let port = facts.authority.port();
    let port = port.as_ref().map_or(if is_secure { "443" } else { "80" }, |port| port.as_str());
    line(head, "x-forwarded-port", port.as_bytes());
    // Exactly one token: Next compares it with `===` in one place.
    line(head, "x-forwarded-proto", if is_secure { b"https" } else { b"http" });
    line(head, "x-forwarded-for", facts.forwarded_for.as_bytes());
    line(head, "x-real-ip", first_address(&facts.forwarded_for).as_bytes());
    line(head, "x-request-id", facts.request_id.as_str().as_bytes());
    if let Some(trace) = &facts.trace {
        line(head, TRACEPARENT, &trace.header());
    }
}

fn line(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    put(head, &[name.as_bytes(), b": ", value, b"\r\n"]);
}

fn put(head: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        head.extend_from_slice(part);
    }
}
