//! Why a request gets no proper answer, and whose fault that is.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};

use super::error_page::{Form, reloading};
use super::facts::RequestId;
use super::{Body, Facts, Refusal, Request, Response};

/// Who is at fault. It decides the log level and the counter, never the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    Client,
    App,
    Us,
}

/// An error on its way to the one layer that answers it.
#[derive(Debug, Clone)]
pub struct Failure {
    pub fault: Fault,
    pub status: StatusCode,
    /// For the client: one plain sentence that gives nothing away.
    pub reason: Cow<'static, str>,
    /// For the log only.
    pub detail: Option<String>,
    /// Further headers of the answer (`Allow`, `Sec-WebSocket-Version`, …).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The connection must not be used again.
    pub close: bool,
    /// The rule that refused it, for the metrics.
    pub refusal: Option<Refusal>,
}

/// What of a request bears on how its failure is told.
#[derive(Debug, Clone, Default)]
pub struct ErrorContext {
    pub accept: Option<HeaderValue>,
    pub request_id: Option<RequestId>,
    /// HTTP/2 has no `Connection`.
    pub is_http2: bool,
    /// A page may ask for it again by itself: GET, and HEAD, whose answer has the same length.
    pub only_reads: bool,
}

impl ErrorContext {
    pub fn of(request: &Request) -> ErrorContext {
        ErrorContext {
            accept: request.headers().get(ACCEPT).cloned(),
            request_id: request.extensions().get::<Facts>().map(|facts| facts.request_id.clone()),
            is_http2: request.version() >= Version::HTTP_2,
            only_reads: matches!(*request.method(), Method::GET | Method::HEAD),
        }
    }
}

impl Failure {
    fn new(fault: Fault, status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Failure { fault, status, reason: reason.into(), detail: None, headers: Vec::new(), close: false, refusal: None }
    }

    pub fn client(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Failure::new(Fault::Client, status, reason)
    }

    pub fn app(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Failure::new(Fault::App, status, reason)
    }

    pub fn us(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Failure::new(Fault::Us, status, reason)
    }

    pub fn detail(mut self, detail: impl std::fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Asks the client to come back: `Retry-After` in whole seconds, at least 1.
    pub fn retry_after(self, wait: Duration) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)))
    }

    /// The connection is closed after the answer.
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The answer: a small page for people, JSON for programs, plain text for the rest, by what the client prefers.
    pub fn into_response(self, context: &ErrorContext) -> Response {
        let form = Form::preferred(context.accept.as_ref());
        let mut text = form.render(self.status, &self.reason, context.request_id.as_ref());
        if form == Form::Html && context.only_reads && self.status == StatusCode::SERVICE_UNAVAILABLE {
            let wait = self.headers.iter().find(|(name, _)| name == RETRY_AFTER);
            if let Some(wait) = wait.and_then(|(_, wait)| wait.to_str().ok()) {
                text = reloading(&text, wait);
            }
        }
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(request_id) = &context.request_id {
            headers.insert(HeaderName::from_static("x-request-id"), request_id.header());
        }
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        if self.close && !context.is_http2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let mut failure = Failure::client(refusal.status(), refusal.sentence());
        failure.headers = refusal.headers();
        failure.close = refusal.closes();
        failure.refusal = Some(refusal);
        failure
    }
}
