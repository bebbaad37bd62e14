//! Which pages of other sites may read the answers to ordinary requests (the Fetch standard's CORS protocol). A
//! WebSocket needs none of it.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::origin::From;
use crate::http::{Failure, Response};

/// How long a browser need not ask again, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// What pages may do at one door.
#[derive(Debug, Clone, Copy)]
pub struct Cors {
    /// The value of `Access-Control-Allow-Methods`.
    pub methods: &'static str,
    pub headers: AllowedHeaders,
    /// By what the answers differ, besides by `Origin`.
    pub varies_by: Option<&'static str>,
}

/// Which headers a page may send.
#[derive(Debug, Clone, Copy)]
pub enum AllowedHeaders {
    /// These: the value of `Access-Control-Allow-Headers`.
    These(&'static str),
    /// Whatever it asks for: none of them means more here than what can be sent from anywhere.
    Any,
}

impl Cors {
    /// Of clients that come by ordinary requests: none of their headers means more here than what can be sent from
    /// anywhere.
    pub const GET_POST: Cors = Cors { methods: "GET, POST", headers: AllowedHeaders::Any, varies_by: None };

    /// The answer to a browser that asks beforehand what a page may do; `None` for any other request.
    pub fn preflight(&self, request: &Parts, from: &From) -> Option<Response> {
        if request.method != Method::OPTIONS || !request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(self.methods));
        match (self.headers, request.headers.get(ACCESS_CONTROL_REQUEST_HEADERS)) {
            (AllowedHeaders::These(names), _) => {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(names));
            }
            (AllowedHeaders::Any, Some(wanted)) => {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
                headers.append(VARY, HeaderValue::from_static("access-control-request-headers"));
            }
            (AllowedHeaders::Any, None) => {}
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        self.share(headers, from);
        Some(response)
    }

    /// Lets a page of another, allowed origin read the answer.
    pub fn share(&self, headers: &mut HeaderMap, from: &From) {
        for (name, value) in self.allowing(from) {
            headers.append(name, value);
        }
    }

    /// The same for an answer that is still a failure: a page may read why it is refused.
    pub fn share_failure(&self, failure: Failure, from: &From) -> Failure {
        self.allowing(from).into_iter().fold(failure, |failure, (name, value)| failure.header(name, value))
    }

    fn allowing(&self, from: &From) -> Vec<(HeaderName, HeaderValue)> {
        let varies_by = std::iter::once("origin").chain(self.varies_by);
        let mut headers: Vec<_> = varies_by.map(|name| (VARY, HeaderValue::from_static(name))).collect();
        if let From::Elsewhere(origin) = from
            && let Ok(origin) = HeaderValue::from_str(origin)
        {
            headers.push((ACCESS_CONTROL_ALLOW_ORIGIN, origin));
            headers.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        headers
    }
}
