//! Promise: requests are counted by what kind of thing they are for, few kinds whatever clients ask for.

use crate::harness::client::ask;
use crate::harness::socket::connect;
use crate::harness::{App, door};

#[tokio::test]
async fn each_request_is_counted_as_its_kind() {
    let app = App::saying("hello").await;
    let door = door().config(app.config()).start();
    for (method, path, header) in [
        ("GET", "/", ""),
        ("GET", "/blog/any-name-at-all", ""),
        ("GET", "/_next/static/chunks/a.js", ""),
        ("GET", "/robots.txt", ""),
        ("GET", "/logo.png", ""),
        ("GET", "/_next/image?url=%2Flogo.png&w=64&q=75", ""),
        ("GET", "/blog", "rsc"),
        ("POST", "/blog", "next-action"),
        ("GET", "/api/health", ""),
    ] {
        let headers: &[(&str, &str)] = if header.is_empty() { &[] } else { &[(header, "1")] };
        ask(door.http(), method, path, headers, "").await.bytes().await;
    }
    connect(&door, "/api/ws").await.close(1000).await;
    for (route, status, count) in [
        ("page", "2xx", 2.0),
        ("asset", "2xx", 3.0),
        ("image", "2xx", 1.0),
        ("data", "2xx", 1.0),
        ("action", "2xx", 1.0),
        ("api", "2xx", 1.0),
        ("socket", "1xx", 1.0),
        ("page", "5xx", 0.0),
    ] {
        let name = format!("http_route_requests_total{{route=\"{route}\",status=\"{status}\"}}");
        door.wait_for_metric(&name, count).await;
    }
    assert_eq!(door.metric("http_request_seconds_count{route=\"asset\"}").await, 3.0);
}
