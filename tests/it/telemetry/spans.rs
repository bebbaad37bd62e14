//! Promise: a sampled request is a span at the collector, its question to the app one below it, a callback likewise; what
//! is not sampled is none, and a collector that is away costs nobody anything.

use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use serde_json::Value;

use super::trace::listening;
use crate::harness::client::get;
use crate::harness::raw::eventually;
use crate::harness::socket::connect_to;
use crate::harness::{App, door, response, wire};

type Spans = Arc<Mutex<Vec<Value>>>;

/// A collector that keeps what it gets, after it has refused `refused` times as one that is too busy.
async fn collector(refused: usize) -> (String, App, Spans) {
    let spans = Spans::default();
    let (kept, left) = (Arc::clone(&spans), Arc::new(Mutex::new(refused)));
    let app = App::start(move |request| {
        let (kept, left) = (Arc::clone(&kept), Arc::clone(&left));
        async move {
            assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/traces"));
            assert_eq!(request.headers()["content-type"], "application/json");
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            if std::mem::take(&mut *left.lock().unwrap()) > 0 {
                return response(503, "later");
            }
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            for resource in body["resourceSpans"].as_array().expect("a list") {
                assert_eq!(attribute(&resource["resource"], "service.name"), "shop-door");
                for scope in resource["scopeSpans"].as_array().expect("a list") {
                    kept.lock().unwrap().extend(scope["spans"].as_array().expect("a list").iter().cloned());
                }
            }
            response(200, "{}")
        }
    })
    .await;
    let config = app.config();
    let url = config.split('"').nth(1).expect("a url").to_owned();
    (url, app, spans)
}

fn attribute(of: &Value, key: &str) -> String {
    let found = of["attributes"].as_array().expect("a list").iter().find(|attribute| attribute["key"] == key);
    let value = found.map(|found| &found["value"]);
    let text = value.and_then(|value| value["stringValue"].as_str().or(value["intValue"].as_str()));
    text.unwrap_or_default().to_owned()
}

fn telemetry(url: &str, sample: f64) -> String {
    format!("[telemetry]\notlp = \"{url}\"\nsample = {sample:?}\nservice = \"shop-door\"\n")
}

/// The span with this path.
fn span(spans: &Spans, kind: u64, path: &str) -> Option<Value> {
    let spans = spans.lock().unwrap();
    spans.iter().find(|span| span["kind"] == kind && attribute(span, "url.path") == path).cloned()
}

const SERVER: u64 = 2;
const CLIENT: u64 = 3;

#[tokio::test]
async fn a_request_is_a_span_and_its_question_one_below() {
    let (app, heard) = listening().await;
    let (url, _collector, spans) = collector(1).await;
    let door = door().config(format!("{}{}", app.config(), telemetry(&url, 1.0))).start();
    let request =
        "GET /page?token=geheim HTTP/1.1\r\nHost: site.test:8080\r\nConnection: close\r\nUser-Agent: me\r\n\r\n";
    wire::exchange(door.http(), request).await;
    wire::exchange(door.http(), "BREW /pot HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n").await;
    eventually("four spans", || spans.lock().unwrap().len() == 4).await;
    let (server, client) = (span(&spans, SERVER, "/page").unwrap(), span(&spans, CLIENT, "/page").unwrap());
    assert_eq!(server["name"], "GET");
    assert!(server["parentSpanId"].is_null(), "the trace begins here: {server}");
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("server.address", "site.test"),
        ("server.port", "8080"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "me"),
    ] {
        assert_eq!(attribute(&server, key), value, "{key}");
    }
    assert_eq!((&client["traceId"], &client["parentSpanId"]), (&server["traceId"], &server["spanId"]));
    assert_eq!(attribute(&client, "http.response.status_code"), "200");
    assert_eq!(attribute(&client, "server.address"), "127.0.0.1");
    let time = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(time(&server, "startTimeUnixNano") < time(&server, "endTimeUnixNano"));
    let parent = heard.lock().unwrap()[0]["traceparent"].to_str().unwrap().to_owned();
    let expected = format!("00-{}-{}-01", client["traceId"].as_str().unwrap(), client["spanId"].as_str().unwrap());
    assert_eq!(parent, expected, "the app is below the door's question");
    let odd = span(&spans, SERVER, "/pot").unwrap();
    assert_eq!((odd["name"].as_str(), attribute(&odd, "http.request.method")), (Some("HTTP"), "_OTHER".to_owned()));
    assert!(!format!("{:?}", spans.lock().unwrap()).contains("geheim"), "no query");
    door.wait_for_metric("telemetry_spans_sent_total", 4.0).await;
}

#[tokio::test]
async fn a_failure_is_one() {
    let (url, _collector, spans) = collector(0).await;
    let door = door().config(format!("[app]\nurl = \"http://127.0.0.1:9\"\n{}", telemetry(&url, 1.0))).start();
    get(door.http(), "/nobody", &[]).await;
    eventually("two spans", || spans.lock().unwrap().len() == 2).await;
    for kind in [SERVER, CLIENT] {
        let span = span(&spans, kind, "/nobody").unwrap();
        assert_eq!(span["status"]["code"], 2, "{span}");
        assert!(attribute(&span, "error.type").starts_with('5'), "{span}");
    }
}

#[tokio::test]
async fn sampling_is_the_parents_word_or_the_ratio() {
    let (app, _heard) = listening().await;
    let (url, _collector, spans) = collector(0).await;
    let trusting = "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let door = door().config(format!("{trusting}{}{}", app.config(), telemetry(&url, 0.0))).start();
    let said = |flag: &str| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flag}");
    get(door.http(), "/ratio", &[]).await;
    get(door.http(), "/no", &[("traceparent", &said("00"))]).await;
    get(door.http(), "/yes", &[("traceparent", &said("01"))]).await;
    eventually("the one that is sampled", || spans.lock().unwrap().len() == 2).await;
    let server = span(&spans, SERVER, "/yes").unwrap();
    assert_eq!(server["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(server["traceId"], "0af7651916cd43dd8448eb211c80319c");
}

#[tokio::test]
async fn a_callback_is_below_its_request() {
    let (app, heard) = listening().await;
    let (url, _collector, spans) = collector(0).await;
    let config = format!("{}{}[callbacks]\nevents = [\"connect\"]\n", app.config(), telemetry(&url, 1.0));
    let door = door().config(config).start();
    let socket = connect_to(door.http(), "/api/ws", &[]).await.expect("it is let in");
    eventually("the callback and the upgrade", || spans.lock().unwrap().len() == 2).await;
    let server = span(&spans, SERVER, "/api/ws").unwrap();
    let callback = span(&spans, CLIENT, "/api/ws").unwrap();
    assert_eq!(attribute(&server, "http.response.status_code"), "101");
    assert_eq!((&callback["traceId"], &callback["parentSpanId"]), (&server["traceId"], &server["spanId"]));
    assert_eq!(
        (callback["name"].as_str(), attribute(&callback, "doorway.callback")),
        (Some("POST connect"), "connect".into())
    );
    let parent = heard.lock().unwrap()[0]["traceparent"].to_str().unwrap().to_owned();
    assert!(parent.contains(callback["spanId"].as_str().unwrap()), "{parent}");
    socket.close(1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_are_sent_when_the_door_stops() {
    let (app, _heard) = listening().await;
    let (url, _collector, spans) = collector(0).await;
    let door = door().config(format!("{}{}", app.config(), telemetry(&url, 1.0))).start();
    get(door.http(), "/last", &[]).await.bytes().await;
    door.signal("TERM");
    door.wait_for_log(|line| line["message"] == "stopped");
    assert!(span(&spans, SERVER, "/last").is_some(), "{:?}", spans.lock().unwrap());
}

#[tokio::test]
async fn a_reload_goes_on_sending_spans() {
    let (app, _heard) = listening().await;
    let (url, _collector, spans) = collector(0).await;
    let door = door().config(format!("{}{}", app.config(), telemetry(&url, 1.0))).start();
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "reloaded");
    get(door.http(), "/later", &[]).await.bytes().await;
    eventually("its span", || span(&spans, SERVER, "/later").is_some()).await;
}

#[tokio::test]
async fn a_collector_that_is_away_costs_nobody_anything() {
    let (app, _heard) = listening().await;
    let door = door().config(format!("{}{}", app.config(), telemetry("http://127.0.0.1:9", 1.0))).start();
    assert_eq!(get(door.http(), "/page", &[]).await.status, 200);
    door.wait_for_metric("telemetry_spans_lost_total", 2.0).await;
    door.wait_for_log(|line| line["message"] == "spans are lost: the collector does not take them");
    assert_eq!(get(door.http(), "/page", &[]).await.status, 200);
}
