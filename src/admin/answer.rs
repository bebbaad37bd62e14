//! What the operator may ask: health, metrics, connections, to reload and to drain.

use std::borrow::Cow;

use std::time::Duration;

use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;
use tokio::sync::oneshot;

use super::{Inner, ReloadReport};
use crate::http::failure::ErrorContext;
use crate::http::{Body, Failure, Request, Response};
use crate::telemetry;

pub(super) const JSON: &str = "application/json";
pub(super) const HTML: &str = "text/html; charset=utf-8";

const INDEX: &str = concat!(
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Doorway</title>\n<h1>Doorway ",
    env!("CARGO_PKG_VERSION"),
    "</h1>\n<ul>\n\
     <li><a href=\"/health/live\">/health/live</a>: the process runs\n\
     <li><a href=\"/health/ready\">/health/ready</a>: it should get traffic; 503 with the reasons if not\n\
     <li><a href=\"/metrics\">/metrics</a>: for Prometheus\n\
     <li><a href=\"/connections\">/connections</a>: how many there are\n\
     <li><a href=\"/cache\">/cache</a>: which answers of the app are kept, to be declared old, and why others are not\n\
     <li><code>POST /drain</code>: the same as SIGTERM\n\
     <li><code>POST /reload</code>: the same as SIGHUP, answered when the app is replaced, or is not\n\
     <li>the API: below <code>[api] path</code>, which <code>openapi.json</code> there describes\n</ul>\n"
);

/// Answers one request.
pub(super) async fn answer(admin: &Inner, method: &Method, path: &str, headers: &HeaderMap) -> Response {
    let is_order = matches!(path, "/drain" | "/reload");
    let allowed: &[Method] = if is_order { &[Method::POST] } else { &[Method::GET, Method::HEAD] };
    let failure = match path {
        "/" | "/health/live" | "/health/ready" | "/metrics" | "/connections" | "/drain" | "/reload"
            if !allowed.contains(method) =>
        {
            let allow = if is_order { "POST" } else { "GET, HEAD" };
            let failure = Failure::client(StatusCode::METHOD_NOT_ALLOWED, format!("{path} allows {allow}."));
            failure.header(ALLOW, HeaderValue::from_static(allow))
        }
        "/" => return whole(StatusCode::OK, HTML, INDEX),
        "/health/live" => return whole(StatusCode::OK, JSON, json!({ "live": true }).to_string()),
        "/health/ready" => {
            return ready(
                &admin.health.reasons(),
                &admin.warnings.get().map(|warnings| warnings()).unwrap_or_default(),
            );
        }
        "/metrics" => {
            let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            let (kind, text) = telemetry::metrics(admin.registry.get(), accept);
            let mut answer = whole(StatusCode::OK, kind, text);
            answer.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
            return answer;
        }
        "/connections" => return connections(admin),
        // Any page in a browser on this machine can post here, but not without naming itself.
        "/drain" if headers.contains_key(ORIGIN) => {
            Failure::client(StatusCode::FORBIDDEN, "Web pages may not drain the door.")
        }
        "/drain" => {
            // Full means that it was asked already.
            let _ = admin.asks.stop.try_send(());
            return whole(StatusCode::ACCEPTED, JSON, json!({ "draining": true }).to_string());
        }
        "/reload" if headers.contains_key(ORIGIN) => {
            Failure::client(StatusCode::FORBIDDEN, "Web pages may not reload the door.")
        }
        "/reload" => return reload(admin).await,
        _ => Failure::client(StatusCode::NOT_FOUND, "There is no such page; / lists them."),
    };
    told(failure, headers)
}

/// Waits for as long as an app takes to start.
async fn reload(admin: &Inner) -> Response {
    let (asked, report) = oneshot::channel();
    let is_asked = admin.drain.is_running() && admin.asks.reload.try_send(asked).is_ok();
    let report = if is_asked { report.await.ok() } else { None };
    match report {
        Some(ReloadReport { is_taken: true, told }) => whole(StatusCode::OK, JSON, told.to_string()),
        Some(ReloadReport { told, .. }) => whole(StatusCode::CONFLICT, JSON, told.to_string()),
        None => {
            let reason = "not reloaded: the door is being stopped, or others wait for their reload";
            whole(StatusCode::SERVICE_UNAVAILABLE, JSON, json!({ "ok": false, "reason": reason }).to_string())
        }
    }
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

pub(super) fn told(failure: Failure, headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).cloned();
    failure.into_response(&ErrorContext { accept, ..ErrorContext::default() })
}

/// `warnings` are for people: traffic is welcome all the same.
fn ready(reasons: &[Cow<'static, str>], warnings: &[String]) -> Response {
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut told = json!({ "ready": reasons.is_empty(), "reasons": reasons });
    if !warnings.is_empty() {
        told["warnings"] = json!(warnings);
    }
    whole(status, JSON, told.to_string())
}

fn connections(admin: &Inner) -> Response {
    let mut counts = json!({ "under_way": admin.drain.under_way(), "draining": !admin.drain.is_running() });
    if let (Some(kinds), Some(counts)) = (admin.kinds.get(), counts.as_object_mut()) {
        counts.extend(kinds());
    }
    whole(StatusCode::OK, JSON, counts.to_string())
}

pub(super) fn whole(status: StatusCode, kind: &'static str, text: impl Into<String>) -> Response {
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
