//! What the operator may ask: health, metrics, connections, and to drain.

use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;

use super::Inner;
use crate::http::failure::Asker;
use crate::http::{Body, Failure, Request, Response};
use crate::telemetry;

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const INDEX: &str = concat!(
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Doorway</title>\n<h1>Doorway ",
    env!("CARGO_PKG_VERSION"),
    "</h1>\n<ul>\n\
     <li><a href=\"/health/live\">/health/live</a>: the process runs\n\
     <li><a href=\"/health/ready\">/health/ready</a>: it should get traffic; 503 with the reasons if not\n\
     <li><a href=\"/metrics\">/metrics</a>: for Prometheus\n\
     <li><a href=\"/connections\">/connections</a>: how many there are\n\
     <li><code>POST /drain</code>: the same as SIGTERM\n\
     <li>the API: below <code>[api] path</code>, which <code>openapi.json</code> there describes\n</ul>\n"
);

/// Answers one request.
pub(super) fn answer(admin: &Inner, method: &Method, path: &str, headers: &HeaderMap) -> Response {
    let allowed: &[Method] = if path == "/drain" { &[Method::POST] } else { &[Method::GET, Method::HEAD] };
    let failure = match path {
        "/" | "/health/live" | "/health/ready" | "/metrics" | "/connections" | "/drain"
            if !allowed.contains(method) =>
        {
            let allow = if path == "/drain" { "POST" } else { "GET, HEAD" };
            let failure = Failure::client(StatusCode::METHOD_NOT_ALLOWED, format!("{path} allows {allow}."));
            failure.header(ALLOW, HeaderValue::from_static(allow))
        }
        "/" => return whole(StatusCode::OK, HTML, INDEX),
        "/health/live" => return whole(StatusCode::OK, JSON, json!({ "live": true }).to_string()),
        "/health/ready" => return ready(&admin.health.reasons()),
        "/metrics" => return whole(StatusCode::OK, METRICS, telemetry::metrics(admin.registry.get())),
        "/connections" => return connections(admin),
        // Any page in a browser on this machine can post here, but not without naming itself.
        "/drain" if headers.contains_key(ORIGIN) => {
            Failure::client(StatusCode::FORBIDDEN, "Web pages may not drain the door.")
        }
        "/drain" => {
            // Full means that it was asked already.
            let _ = admin.stop.try_send(());
            return whole(StatusCode::ACCEPTED, JSON, json!({ "draining": true }).to_string());
        }
        _ => Failure::client(StatusCode::NOT_FOUND, "There is no such page; / lists them."),
    };
    told(failure, headers)
}

/// Where there is nothing but the API.
pub(super) fn nothing(request: &Request) -> Response {
    told(Failure::client(StatusCode::NOT_FOUND, "There is nothing here but the API."), request.headers())
}

/// While there is no API yet.
pub(super) fn starting(request: &Request) -> Response {
    let failure = Failure::us(StatusCode::SERVICE_UNAVAILABLE, "Doorway is starting.");
    told(failure.retry_after(Duration::from_secs(1)), request.headers())
}

fn told(failure: Failure, headers: &HeaderMap) -> Response {
    let accept = headers.get(http::header::ACCEPT).cloned();
    failure.into_response(&Asker { accept, ..Asker::default() })
}

fn ready(reasons: &[&str]) -> Response {
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    whole(status, JSON, json!({ "ready": reasons.is_empty(), "reasons": reasons }).to_string())
}

fn connections(admin: &Inner) -> Response {
    let mut counts = json!({ "under_way": admin.drain.under_way(), "draining": !admin.drain.is_running() });
    if let (Some(kinds), Some(counts)) = (admin.kinds.get(), counts.as_object_mut()) {
        counts.extend(kinds());
    }
    whole(StatusCode::OK, JSON, counts.to_string())
}

fn whole(status: StatusCode, kind: &'static str, text: impl Into<String>) -> Response {
    let mut text: String = text.into();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
