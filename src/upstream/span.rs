//! The span of a question to the app, from its way there to the head of the answer; made only where it is kept.

use std::time::Instant;

use http::StatusCode;
use http::request::Parts;

use super::address::Address;
use crate::http::Facts;
use crate::telemetry::trace::{Attribute, Span, SpanKind};

/// Keeps the span of what `request` asked since `begun`: by the semantic conventions of OpenTelemetry for HTTP clients. What
/// the door asks for itself has a span of its own where it is asked.
pub fn keep(request: &Parts, begun: Instant, answer: Result<(StatusCode, &Address), StatusCode>) {
    let Some(trace) = request.extensions.get::<Facts>().and_then(|facts| facts.trace.as_ref()) else { return };
    let Some(collector) = trace.collector() else { return };
    let method = request.method.as_str();
    let mut attributes: Vec<(&'static str, Attribute)> =
        vec![("http.request.method", method.into()), ("url.path", request.uri.path().into())];
    match answer {
        Ok((status, address)) => {
            let full = format!("http://{}{}", address.authority(), request.uri.path());
            let host = match address {
                Address::Tcp { host, .. } => host.clone(),
                Address::Unix(path) => path.display().to_string(),
            };
            attributes.extend([
                ("url.full", Attribute::Text(full)),
                ("server.address", Attribute::Text(host)),
                ("http.response.status_code", status.as_u16().into()),
            ]);
            attributes.extend(address.port().map(|port| ("server.port", port.into())));
            if status.is_client_error() || status.is_server_error() {
                attributes.push(("error.type", status.as_str().into()));
            }
        }
        // The door's own answer in place of the app's.
        Err(status) => attributes.push(("error.type", status.as_str().into())),
    }
    let is_error = answer.map_or(true, |(status, _)| status.is_client_error() || status.is_server_error());
    let (id, parent, name) = (trace.client, Some(trace.server), method.to_owned());
    let kind = SpanKind::Client;
    collector.take(Span { trace: trace.id, id, parent, kind, name, begun, attributes, is_error });
}
