//! Why a request gets no proper answer, and whose fault that is.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

use super::{Body, Response};

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
}

impl Failure {
    fn new(fault: Fault, status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Failure { fault, status, reason: reason.into(), detail: None, headers: Vec::new(), close: false }
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

    /// The answer: a small page for people, JSON for programs, by what `accept` prefers.
    pub fn into_response(self, accept: Option<&HeaderValue>) -> Response {
        let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let status = self.status.as_u16();
        let title = self.status.canonical_reason().unwrap_or("Error");
        let (kind, text) = if accept.contains("text/html") {
            let page = format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
                 content=\"width=device-width\"><title>{status} {title}</title><body style=\"font:16px/1.5 \
                 system-ui;margin:15vh auto;max-width:32em;padding:0 1em\"><h1>{status} {title}</h1><p>{}</p></body></html>\n",
                escape(&self.reason)
            );
            ("text/html; charset=utf-8", page)
        } else if accept.contains("json") {
            let json = serde_json::json!({ "error": { "status": status, "title": title, "message": self.reason } });
            ("application/json", format!("{json}\n"))
        } else {
            ("text/plain; charset=utf-8", format!("{status} {title}: {}\n", self.reason))
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
