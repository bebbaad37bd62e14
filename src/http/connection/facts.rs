//! Finding the facts of one request, and deleting what it says about itself.

use std::net::SocketAddr;
use std::time::Instant;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::Connected;
use super::forwarded::{self, Forwarded};
use crate::http::facts::RequestId;
use crate::http::{Facts, Refusal, Request, authority};
use crate::telemetry::trace::{TRACEPARENT, TRACESTATE, Trace, is_proper_state};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT_NAME: HeaderName = HeaderName::from_static(TRACEPARENT);
const TRACESTATE_NAME: HeaderName = HeaderName::from_static(TRACESTATE);

/// Stands in for a name that cannot be had (RFC 6761 section 6.4): the request is refused before any room sees it.
const NO_NAME: &str = "invalid";

/// The facts, and what speaks against believing them.
pub struct Found {
    pub facts: Facts,
    pub doubt: Option<Refusal>,
}

/// Finds the facts of `request`. Afterwards it has none of the headers that proxies speak through, whoever sent them.
pub fn find(request: &mut Request, connected: &Connected) -> Found {
    let named = name_of(request, connected);
    let said = connected.is_trusted.then(|| Forwarded::read(request.headers(), connected));
    let request_id = request.headers_mut().remove(X_REQUEST_ID).filter(|_| connected.is_trusted);
    let request_id = request_id.and_then(|value| RequestId::accept(&value)).unwrap_or_default();
    let trace = place(request.headers_mut(), connected);
    forwarded::delete(request.headers_mut(), connected.is_trusted);
    let scheme = said.as_ref().and_then(|said| said.scheme.clone()).unwrap_or_else(|| connected.scheme());
    let doubt = named.as_ref().err().copied();
    let named = named.unwrap_or_else(|_| Authority::from_static(NO_NAME));
    let authority = match &said {
        Some(Forwarded { authority: Some(authority), .. }) => authority.clone(),
        Some(Forwarded { port, .. }) => {
            authority::with_port_said(authority::without_default_port(named, &scheme), *port, &scheme)
        }
        None => named,
    };
    let facts = Facts {
        client: said.as_ref().map_or(connected.peer.address.ip(), |said| said.client),
        scheme,
        authority,
        forwarded_for: said.map_or_else(|| connected.forwarded_for.clone(), |said| said.chain),
        request_id,
        trace,
        received: Instant::now(),
    };
    Found { facts, doubt }
}

/// The request's place in its trace. Afterwards it has no `traceparent`, and `tracestate` only where that belongs to a parent
/// that is believed: a stranger's would have the app keep what it likes, under names that it chose.
fn place(headers: &mut HeaderMap, connected: &Connected) -> Option<Trace> {
    let tracer = &connected.settings.tracer;
    if !tracer.is_on() {
        return None;
    }
    // Two of them are as none: nobody can say which is meant.
    let is_one = headers.get_all(TRACEPARENT_NAME).iter().nth(1).is_none();
    let said = headers.remove(TRACEPARENT_NAME).filter(|_| is_one && connected.is_trusted);
    let trace = tracer.place(said.as_ref().map(HeaderValue::as_bytes));
    if !headers.contains_key(TRACESTATE_NAME) {
        return trace;
    }
    let is_carried = trace.as_ref().is_some_and(|trace| trace.parent.is_some());
    if !is_carried || !is_proper_state(headers.get_all(TRACESTATE_NAME).iter().map(HeaderValue::as_bytes)) {
        headers.remove(TRACESTATE_NAME);
    }
    trace
}

/// The name that `request` is for: from one place, or from two that agree.
///
/// # Errors
/// Where HTTP/1.1 has none, or there is more than one, or one that is malformed.
fn name_of(request: &Request, connected: &Connected) -> Result<Authority, Refusal> {
    let scheme = connected.scheme();
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, uri) = (hosts.next(), request.uri());
    if hosts.next().is_some() {
        return Err(Refusal::HostTwice);
    }
    // RFC 9113 section 8.3.1: `:authority` stands for `Host`. In HTTP/1 an absolute-form target does not.
    let named = match (host, uri.authority()) {
        (Some(host), _) => connected.authority(host.as_bytes(), || authority::parse(host.as_bytes(), &scheme))?,
        (None, Some(text)) if request.version() >= Version::HTTP_2 => {
            let text = text.as_str().as_bytes();
            return connected.authority(text, || authority::parse(text, &scheme));
        }
        // RFC 9112 section 3.2 demands it of HTTP/1.1 alone: health checks of balancers and old tools have none.
        (None, named) if request.version() <= Version::HTTP_10 => return unnamed(named, connected),
        (None, _) => return Err(Refusal::HostMissing),
    };
    match uri.authority() {
        None => Ok(named),
        Some(other) if authority::parse(other.as_str().as_bytes(), &scheme)? == named => Ok(named),
        Some(_) => Err(Refusal::HostDiffers),
    }
}

/// The name of a request without `Host`: the one in its target, or the address that the client came to.
fn unnamed(named: Option<&Authority>, connected: &Connected) -> Result<Authority, Refusal> {
    let scheme = connected.scheme();
    match named {
        Some(named) => authority::parse(named.as_str().as_bytes(), &scheme),
        None => {
            // Without the zone that a link-local one may have.
            let local = SocketAddr::new(connected.peer.local.ip(), connected.peer.local.port());
            authority::parse(local.to_string().as_bytes(), &scheme)
        }
    }
}
