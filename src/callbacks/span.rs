//! Where a callback stands in the trace of the request that it is about, and its span; made only where it is kept.

use std::net::Ipv4Addr;
use std::time::Instant;

use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::http::Facts;
use crate::http::facts::RequestId;
use crate::telemetry::trace::{Attribute, Span, SpanKind, TRACEPARENT, Trace};

/// Under which a span says what was asked about.
const KIND: &str = "doorway.callback";

/// One question to the app, under way.
pub struct CallbackSpan {
    trace: Option<Trace>,
    begun: Instant,
    /// Of the answer, when it is there.
    pub status: Option<StatusCode>,
}

impl CallbackSpan {
    /// It begins now, as a span of its own in `trace`.
    pub fn begin(trace: Option<&Trace>) -> CallbackSpan {
        CallbackSpan { trace: trace.map(Trace::again), begun: Instant::now(), status: None }
    }

    /// `facts` for the app behind the door, which is told of this span.
    pub fn facts(&self, facts: &Facts) -> Facts {
        Facts { trace: self.trace.as_ref().map(Trace::named), ..facts.clone() }
    }

    /// The same for what no client's request is the cause of.
    pub fn own_facts(&self) -> Facts {
        self.facts(&Facts {
            client: Ipv4Addr::LOCALHOST.into(),
            scheme: Scheme::HTTP,
            authority: Authority::from_static("localhost"),
            forwarded_for: HeaderValue::from_static("127.0.0.1"),
            request_id: RequestId::default(),
            trace: None,
            received: Instant::now(),
        })
    }

    /// Tells an app elsewhere.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if let Some(trace) = &self.trace
            && let Ok(value) = HeaderValue::from_bytes(&trace.header())
        {
            headers.insert(HeaderName::from_static(TRACEPARENT), value);
        }
    }

    /// It ends now. `place` is where it was asked.
    pub fn end(self, kind: &str, place: impl Fn() -> String) {
        let Some(trace) = self.trace else { return };
        let Some(collector) = trace.collector() else { return };
        let place = place();
        let key = if place.starts_with('/') { "url.path" } else { "url.full" };
        let mut attributes: Vec<(&'static str, Attribute)> =
            vec![(KIND, kind.into()), ("http.request.method", "POST".into()), (key, place.as_str().into())];
        if let Ok(uri) = place.parse::<http::Uri>() {
            attributes.extend(uri.host().map(|host| ("server.address", host.into())));
            attributes.extend(uri.port_u16().map(|port| ("server.port", port.into())));
        }
        let error = match self.status {
            Some(status) if status.is_client_error() || status.is_server_error() => Some(status.as_str().to_owned()),
            Some(_) => None,
            None => Some("no_answer".to_owned()),
        };
        attributes.extend(self.status.map(|status| ("http.response.status_code", status.as_u16().into())));
        let is_error = error.is_some();
        attributes.extend(error.map(|error| ("error.type", Attribute::Text(error))));
        // A trace that no request began has no span of the door's above this one.
        let parent = Some(trace.server).filter(|_| kind != WEBHOOK);
        let (id, name, begun) = (trace.client, format!("POST {kind}"), self.begun);
        collector.take(Span { trace: trace.id, id, parent, kind: SpanKind::Client, name, begun, attributes, is_error });
    }
}

/// The kind of those that no client's request is the cause of.
pub const WEBHOOK: &str = "webhook";
