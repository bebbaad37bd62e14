//! A request gets one meaning: what could be read in two ways is refused, and the rest is put in one form, the same for
//! HTTP/1.1 and HTTP/2, before any room sees it.

mod hop_by_hop;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use http::header::{ALLOW, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use http_body::Body as _;

use super::{Answer, Middleware, PassOn};
use crate::http::connection::{Connected, switch};
use crate::http::{Body, Facts, Refusal, Request, Response, path, refusal, target};

/// The layer.
#[derive(Debug, Clone, Copy)]
pub struct Canonical;

impl Middleware for Canonical {
    type After = PassOn;

    fn before(&self, request: &mut Request) -> ControlFlow<Answer<PassOn>, PassOn> {
        match canonicalise(request) {
            Ok(()) if request.uri().path() == "*" => ControlFlow::Break(Ok(what_is_allowed())),
            Ok(()) => ControlFlow::Continue(PassOn),
            Err(refusal) => ControlFlow::Break(Err(refusal.into())),
        }
    }
}

/// Puts `request` in its one form.
///
/// # Errors
/// Where it has none.
fn canonicalise(request: &mut Request) -> Result<(), Refusal> {
    if let Some(refusal) = request.extensions().get::<Refusal>() {
        return Err(*refusal);
    }
    let Some(connected) = request.extensions().get::<Arc<Connected>>().cloned() else { return Ok(()) };
    let is_http2 = request.version() >= Version::HTTP_2;
    check_method(request)?;
    if is_http2 {
        check_http2(request, &connected)?;
    }
    if connected.contradicts_scheme(request.uri()) {
        return Err(Refusal::Scheme);
    }
    check_host(request, &connected)?;
    check_expectation(request)?;
    check_body(request, &connected)?;
    reduce_target(request)?;
    path::respell(request)?;
    let is_upgrade = switch::is_asked(request);
    let headers = request.headers_mut();
    hop_by_hop::strip(headers, is_upgrade);
    headers.remove(EXPECT);
    if is_http2 {
        join_cookies(headers);
    }
    name_host(request);
    Ok(())
}

/// CONNECT opens a WebSocket over HTTP/2 (RFC 8441) and nothing else.
fn check_method(request: &Request) -> Result<(), Refusal> {
    let protocol = request.extensions().get::<hyper::ext::Protocol>();
    if protocol.is_some_and(|protocol| !protocol.as_str().eq_ignore_ascii_case("websocket")) {
        return Err(Refusal::Protocol);
    }
    let is_allowed = match *request.method() {
        Method::CONNECT => protocol.is_some(),
        Method::TRACE => false,
        ref method => method.as_str() != "TRACK",
    };
    if is_allowed { Ok(()) } else { Err(Refusal::Method) }
}

/// What the guard checks in the bytes of HTTP/1, and what only HTTP/2 can get wrong.
fn check_http2(request: &Request, connected: &Connected) -> Result<(), Refusal> {
    let config = &connected.settings.http;
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let length = match target {
        "*" if request.method() == Method::OPTIONS => target.len(),
        _ => target::encoded_length(target.as_bytes()).ok_or(Refusal::Target)?,
    };
    if length > config.max_target.bytes() {
        return Err(Refusal::TargetTooLong);
    }
    let headers = request.headers();
    let crumbs = headers.get_all(COOKIE).iter().count().saturating_sub(1);
    if length_in_http1(request, length) > config.max_head.bytes() {
        return Err(Refusal::HeadTooLarge);
    }
    if headers.len() - crumbs > config.max_headers {
        return Err(Refusal::TooManyHeaders);
    }
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_padded = |value: &HeaderValue| is_space(value.as_bytes().first()) || is_space(value.as_bytes().last());
    if headers.values().any(is_padded) {
        return Err(Refusal::Padding);
    }
    Ok(())
}

/// How long the head of `request` is as one of HTTP/1.1, with a target of `target` bytes: one limit holds for both.
fn length_in_http1(request: &Request, target: usize) -> usize {
    const LINE: usize = ": \r\n".len();
    let headers = request.headers();
    let line = request.method().as_str().len() + target + "  HTTP/1.1\r\n".len();
    let host = match request.uri().authority() {
        Some(authority) if !headers.contains_key(HOST) => "host".len() + authority.as_str().len() + LINE,
        _ => 0,
    };
    let mut has_cookie = false;
    let fields = headers.iter().map(|(name, value)| {
        let is_crumb = *name == COOKIE && std::mem::replace(&mut has_cookie, true);
        // See `join_cookies`.
        if is_crumb { "; ".len() + value.len() } else { name.as_str().len() + value.len() + LINE }
    });
    line + host + fields.sum::<usize>() + "\r\n".len()
}

/// Is this name served here, and on this connection?
fn check_host(request: &Request, connected: &Connected) -> Result<(), Refusal> {
    let Some(facts) = request.extensions().get::<Facts>() else { return Ok(()) };
    let host = facts.authority.host();
    let hosts = &connected.settings.http.hosts;
    if !hosts.is_empty() && !hosts.iter().any(|pattern| pattern.covers(host)) {
        return Err(Refusal::UnknownHost);
    }
    // A proxy that is trusted keeps connections for many names.
    let session = connected.peer.tls.as_ref().filter(|session| session.is_http2 && !connected.is_trusted);
    let handshake = session.and_then(|session| session.server_name.as_deref());
    let is_same = |name: &str| host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case(name);
    if handshake.is_some_and(|name| !is_same(name)) {
        return Err(Refusal::OtherHost);
    }
    Ok(())
}

/// hyper sends the 100 when a room begins to read the body.
fn check_expectation(request: &Request) -> Result<(), Refusal> {
    let mut expectations = request.headers().get_all(EXPECT).iter();
    let is_known = expectations.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if is_known { Ok(()) } else { Err(Refusal::Expectation) }
}

fn check_body(request: &mut Request, connected: &Connected) -> Result<(), Refusal> {
    let length = request.body().size_hint().exact();
    let limit = connected.settings.http.max_body;
    if limit.zip(length).is_some_and(|(limit, length)| length > limit.0) {
        return Err(Refusal::BodyTooLarge);
    }
    // `010` and the like: the number is what was meant and counted, so the number is what is sent on.
    if let Some(said) = request.headers().get(CONTENT_LENGTH) {
        if said.is_empty() || !said.as_bytes().iter().all(u8::is_ascii_digit) {
            return Err(Refusal::ContentLength);
        }
        if said.as_bytes().starts_with(b"0") && said.len() > 1 {
            let length = HeaderValue::from(length.unwrap_or(0));
            request.headers_mut().insert(CONTENT_LENGTH, length);
        }
    }
    Ok(())
}

/// Rooms see a path and a query, whatever form they came in, and in the spelling of RFC 3986.
fn reduce_target(request: &mut Request) -> Result<(), Refusal> {
    let path = request.uri().path_and_query();
    // What came over HTTP/1 is in it already.
    let spelling = path.map(|path| target::encoded(path.as_str().as_bytes()));
    if let Some(Cow::Owned(spelling)) = spelling {
        *request.uri_mut() = Uri::from(PathAndQuery::try_from(spelling).map_err(|_| Refusal::Target)?);
    } else if request.uri().scheme().is_some() || request.uri().authority().is_some() {
        *request.uri_mut() = Uri::from(path.cloned().unwrap_or(PathAndQuery::from_static("/")));
    }
    Ok(())
}

/// HTTP/2 may cut the cookie in crumbs (RFC 9113 section 8.2.3); nothing else puts them together again.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().count() < 2 {
        return;
    }
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(mut cookie) = HeaderValue::from_bytes(&crumbs.join(b"; ".as_slice())) {
        cookie.set_sensitive(true);
        headers.insert(COOKIE, cookie);
    }
}

/// One `Host`, also where HTTP/2 has none.
fn name_host(request: &mut Request) {
    if request.headers().contains_key(HOST) {
        return;
    }
    let authority = request.extensions().get::<Facts>().map(|facts| facts.authority.as_str().to_owned());
    if let Some(host) = authority.and_then(|authority| HeaderValue::try_from(authority).ok()) {
        request.headers_mut().insert(HOST, host);
    }
}

/// The answer to `OPTIONS *`, which asks about the door itself (RFC 9110 section 9.3.7).
fn what_is_allowed() -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, refusal::ALLOWED);
    response
}
