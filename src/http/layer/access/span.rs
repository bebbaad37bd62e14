//! The span of a request: what there is to say of it, gathered only where it is kept.

use http::{Method, StatusCode, Version};

use super::ending::Ending;
use super::metrics::is_known;
use super::secret::without_keys;
use crate::http::{Facts, Request};
use crate::telemetry::trace::{Attribute, Span, SpanKind, Trace, TraceId};

/// The trace of a request, for its line and its span.
pub struct RequestTrace {
    pub id: TraceId,
    span: Option<Box<RequestSpan>>,
}

/// What is known at its beginning.
struct RequestSpan {
    trace: Trace,
    span: Span,
}

impl RequestTrace {
    /// `None` where nothing is traced.
    pub fn of(facts: &Facts, request: &Request) -> Option<RequestTrace> {
        let trace = facts.trace.as_ref()?;
        let span = trace.collector().map(|_| {
            let span = begun(trace, facts, request);
            Box::new(RequestSpan { trace: trace.clone(), span })
        });
        Some(RequestTrace { id: trace.id, span })
    }

    /// The span ends now, if it is kept.
    pub fn end(self, status: Option<StatusCode>, ending: Ending) {
        let Some(kept) = self.span else { return };
        let RequestSpan { trace, mut span } = *kept;
        if let Some(status) = status {
            span.attributes.push(("http.response.status_code", status.as_u16().into()));
        }
        let is_failed = status.is_some_and(|status| status.is_server_error());
        let error = match (status, ending) {
            (Some(status), Ending::Whole) if is_failed => Some(status.as_str().to_owned()),
            (_, Ending::Whole) => None,
            (_, broken) => Some(broken.label().to_owned()),
        };
        // A client that leaves is no fault of the server's.
        span.is_error = is_failed || ending == Ending::Broken;
        span.attributes.extend(error.map(|error| ("error.type", Attribute::Text(error))));
        if let Some(collector) = trace.collector() {
            collector.take(span);
        }
    }
}

/// By the semantic conventions of OpenTelemetry for HTTP servers; without the query: tokens travel in it.
fn begun(trace: &Trace, facts: &Facts, request: &Request) -> Span {
    let (known, original) = method(request.method());
    let mut attributes: Vec<(&'static str, Attribute)> = vec![
        ("http.request.method", known.into()),
        ("url.path", Attribute::Text(without_keys(request.uri().path()).into_owned())),
        ("url.scheme", facts.scheme.as_str().into()),
        ("server.address", facts.authority.host().into()),
        ("client.address", Attribute::Text(facts.client.to_string())),
        ("network.protocol.version", version(request.version()).into()),
    ];
    attributes.extend(original.map(|original| ("http.request.method_original", original.into())));
    attributes.extend(facts.authority.port_u16().map(|port| ("server.port", port.into())));
    let agent = request.headers().get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    attributes.extend(agent.map(|agent| ("user_agent.original", agent.into())));
    Span {
        trace: trace.id,
        id: trace.server,
        parent: trace.parent,
        kind: SpanKind::Server,
        name: if original.is_some() { "HTTP".to_owned() } else { known.to_owned() },
        begun: facts.received,
        attributes,
        is_error: false,
    }
}

/// The method, and the client's own word where it is none that is known.
fn method(method: &Method) -> (&str, Option<&str>) {
    if is_known(method) { (method.as_str(), None) } else { ("_OTHER", Some(method.as_str())) }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
