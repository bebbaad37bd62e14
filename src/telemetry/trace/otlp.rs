//! Spans as OTLP 1 writes them in JSON (opentelemetry-proto, "JSON Protobuf Encoding"): ids in hex, 64-bit numbers as text.
//!
//! Of our own rather than by `opentelemetry-otlp`: what is sent is one message of six kinds of fields, and the crate comes
//! with twelve others and an API that changes with every minor version.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::span::Ended;
use super::{Attribute, Span, SpanKind};

/// What a client sends beside a body of this format.
pub const MEDIA_TYPE: &str = "application/json";

/// `Status.code` of a span that failed.
const ERROR: u8 = 2;

/// `ended` in one request, from the service of this name.
pub fn request(service: &str, ended: &[Ended]) -> String {
    let (now, instant) = (SystemTime::now(), Instant::now());
    let spans: Vec<Value> = ended.iter().map(|(span, end)| written(span, *end, now, instant)).collect();
    let resource = [("service.name", Attribute::from(service))];
    json!({
        "resourceSpans": [{
            "resource": { "attributes": attributes(&resource) },
            "scopeSpans": [{ "scope": { "name": "doorway", "version": env!("CARGO_PKG_VERSION") }, "spans": spans }],
        }],
    })
    .to_string()
}

fn written(span: &Span, end: SystemTime, now: SystemTime, instant: Instant) -> Value {
    let begun = now.checked_sub(instant.saturating_duration_since(span.begun)).unwrap_or(UNIX_EPOCH);
    let kind = match span.kind {
        SpanKind::Server => 2,
        SpanKind::Client => 3,
    };
    let mut value = json!({
        "traceId": span.trace.to_string(),
        "spanId": span.id.to_string(),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": nanoseconds(begun),
        // A clock that was set back in between makes no span that ends before it began.
        "endTimeUnixNano": nanoseconds(end.max(begun)),
        "attributes": attributes(&span.attributes),
    });
    if let Some(parent) = span.parent {
        value["parentSpanId"] = json!(parent.to_string());
    }
    if span.is_error {
        value["status"] = json!({ "code": ERROR });
    }
    value
}

fn attributes(all: &[(&str, Attribute)]) -> Value {
    let written = all.iter().map(|(key, value)| {
        let value = match value {
            Attribute::Text(text) => json!({ "stringValue": text }),
            Attribute::Number(number) => json!({ "intValue": number.to_string() }),
        };
        json!({ "key": key, "value": value })
    });
    written.collect()
}

fn nanoseconds(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos().to_string()
}
