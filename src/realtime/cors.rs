//! Which pages of other sites may read the answers of the one-way doors (the Fetch standard's CORS protocol).

use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::origin::From;
use crate::http::{Failure, Response};

/// The answer to a browser that asks beforehand whether a page may send its token in a header.
pub fn preflight(request: &Parts, from: &From) -> Option<Response> {
    if request.method != Method::OPTIONS || !request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
    let wanted = HeaderValue::from_static("authorization, last-event-id, cache-control");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    share(headers, from);
    Some(response)
}

/// Lets a page of another, allowed origin read the answer.
pub fn share(headers: &mut HeaderMap, from: &From) {
    for (name, value) in allowing(from) {
        headers.append(name, value);
    }
}

/// The same for an answer that is still a failure.
pub fn share_failure(failure: Failure, from: &From) -> Failure {
    allowing(from).into_iter().fold(failure, |failure, (name, value)| failure.header(name, value))
}

fn allowing(from: &From) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: Vec<_> = [ORIGIN, ACCEPT].into_iter().map(|name| (VARY, name.into())).collect();
    if let From::Elsewhere(origin) = from
        && let Ok(origin) = HeaderValue::from_str(origin)
    {
        headers.push((ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        headers.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
    }
    headers
}
