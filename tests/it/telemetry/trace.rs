//! Promise: with `[telemetry] trace` the app hears of one trace for each request, which stands in its line of the log; a
//! trusted proxy's is carried on, a stranger's never, and callbacks and tunnels belong to it too.

use std::sync::{Arc, Mutex};

use http::HeaderMap;

use crate::harness::client::get;
use crate::harness::frames::Site;
use crate::harness::raw::{RawApp, eventually};
use crate::harness::socket::connect_to;
use crate::harness::{App, Door, door, response, wire};

const ID: &str = "0af7651916cd43dd8448eb211c80319c";
const SAID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRUSTING: &str = "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n";
const ON: &str = "[telemetry]\ntrace = true\nsample = 0.0\n";

/// What the app heard, in order.
pub type Heard = Arc<Mutex<Vec<HeaderMap>>>;

/// An app that notes the headers of each request, and lets everybody in.
pub async fn listening() -> (App, Heard) {
    let heard = Heard::default();
    let log = Arc::clone(&heard);
    let app = App::start(move |request| {
        log.lock().unwrap().push(request.headers().clone());
        async { response(200, r#"{"channels":["default"]}"#) }
    })
    .await;
    (app, heard)
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
}

/// The trace, the span and the flags that the last request named.
fn last(heard: &Heard) -> (String, String, String) {
    let heard = heard.lock().unwrap();
    let lines = all(heard.last().expect("a request"), "traceparent");
    let [line] = lines[..] else { panic!("one line: {lines:?}") };
    let parts: Vec<_> = line.split('-').collect();
    let ["00", id, span, flags] = parts[..] else { panic!("{line}") };
    assert!(id.len() == 32 && span.len() == 16 && flags.len() == 2, "{line}");
    (id.to_owned(), span.to_owned(), flags.to_owned())
}

fn line(door: &Door, path: &str) -> serde_json::Value {
    door.wait_for_log(|line| line["target"] == "access" && line["path"] == path)
}

#[tokio::test]
async fn a_strangers_trace_is_begun_anew() {
    let (app, heard) = listening().await;
    let door = door().config(format!("{}{ON}", app.config())).start();
    get(door.http(), "/first", &[("traceparent", SAID), ("tracestate", "evil=1")]).await;
    let (id, span, flags) = last(&heard);
    assert!(id != ID && span != "b7ad6b7169203331" && flags == "00", "{id} {span} {flags}");
    assert!(!heard.lock().unwrap()[0].contains_key("tracestate"));
    assert_eq!(line(&door, "/first")["trace_id"], id.as_str());
    get(door.http(), "/second", &[]).await;
    assert_ne!(last(&heard).0, id, "another request, another trace");
}

#[tokio::test]
async fn a_trusted_proxys_trace_is_carried_on() {
    let (app, heard) = listening().await;
    let door = door().config(format!("{TRUSTING}{}{ON}", app.config())).start();
    let headers =
        [("traceparent", SAID), ("tracestate", "rojo=1"), ("tracestate", "congo=2"), ("connection", "tracestate")];
    get(door.http(), "/on", &headers).await;
    let (id, span, flags) = last(&heard);
    assert!(id == ID && span != "b7ad6b7169203331" && flags == "01", "{id} {span} {flags}");
    assert_eq!(all(&heard.lock().unwrap()[0], "tracestate"), ["rojo=1", "congo=2"]);
    assert_eq!(line(&door, "/on")["trace_id"], ID);
    for (path, wrong, state) in [
        ("/short", "00-0af7651916cd43dd8448eb211c80319c-01", "rojo=1"),
        ("/zero", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "rojo=1"),
        ("/version", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "rojo=1"),
    ] {
        get(door.http(), path, &[("traceparent", wrong), ("tracestate", state)]).await;
        assert_ne!(last(&heard).0, ID, "{path}");
        assert!(!heard.lock().unwrap().last().unwrap().contains_key("tracestate"), "{path}: it belongs to no parent");
    }
    get(door.http(), "/twice", &[("traceparent", SAID), ("traceparent", SAID)]).await;
    assert_ne!(last(&heard).0, ID);
    get(door.http(), "/state", &[("traceparent", SAID), ("tracestate", "no list")]).await;
    assert_eq!(last(&heard).0, ID, "a bad state is no reason to lose the trace");
    assert!(!heard.lock().unwrap().last().unwrap().contains_key("tracestate"));
}

#[tokio::test]
async fn nothing_is_traced_unless_it_is_wanted() {
    let (app, heard) = listening().await;
    let door = door().config(app.config()).start();
    get(door.http(), "/plain", &[]).await;
    assert!(!heard.lock().unwrap()[0].contains_key("traceparent"));
    assert!(line(&door, "/plain")["trace_id"].is_null());
    get(door.http(), "/own", &[("traceparent", SAID), ("tracestate", "own=1")]).await;
    assert_eq!(all(&heard.lock().unwrap()[1], "traceparent"), [SAID], "a header like any other");
    door.rewrite(&format!("{}{ON}", app.config()));
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "reloaded");
    get(door.http(), "/now", &[("traceparent", SAID)]).await;
    assert_ne!(last(&heard).0, ID);
}

#[tokio::test]
async fn over_http2_as_over_http1() {
    let app = RawApp::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let site = Site::new(&format!("{}{ON}", app.config()));
    let mut connection = site.connect(&[]).await;
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "site.test"),
        (":path", "/two"),
        ("traceparent", SAID),
    ];
    connection.request(1, &fields).await;
    let line = site.door.wait_for_log(|line| line["path"] == "/two");
    assert_eq!(line["protocol"], "HTTP/2");
    let id = line["trace_id"].as_str().expect("an id");
    assert!(id.len() == 32 && id != ID, "{line}");
}

#[tokio::test]
async fn a_callback_is_of_its_clients_trace() {
    let (app, heard) = listening().await;
    let callbacks = "[callbacks]\nevents = [\"connect\", \"disconnect\"]\n";
    let door = door().config(format!("{TRUSTING}{}{ON}{callbacks}", app.config())).start();
    let headers = [("traceparent", SAID), ("tracestate", "rojo=1")];
    let socket = connect_to(door.http(), "/api/ws", &headers).await.expect("it is let in");
    let (id, first, flags) = last(&heard);
    assert_eq!((id.as_str(), flags.as_str()), (ID, "01"));
    assert_eq!(all(&heard.lock().unwrap()[0], "tracestate"), ["rojo=1"]);
    socket.close(1000).await;
    eventually("the app hears of its end", || heard.lock().unwrap().len() == 2).await;
    let (id, second, _) = last(&heard);
    assert_eq!(id, ID);
    assert_ne!(second, first, "each is a span of its own");
    assert_eq!(door.wait_for_log(|line| line["message"] == "socket closed")["trace_id"], ID);
}

#[tokio::test]
async fn a_callback_has_the_state_of_its_trace_once_or_not_at_all() {
    for (telemetry, more, expected) in [
        (ON, "", &["rojo=1"][..]),
        (ON, "headers = [\"tracestate\"]\n", &["rojo=1"]),
        // Where nothing is traced it is a header like any other: it goes along where the config names it.
        ("", "headers = [\"tracestate\"]\n", &["rojo=1"]),
        ("", "", &[]),
    ] {
        let (app, heard) = listening().await;
        let callbacks = format!("[callbacks]\nevents = [\"connect\"]\n{more}");
        let door = door().config(format!("{TRUSTING}{}{telemetry}{callbacks}", app.config())).start();
        let headers = [("traceparent", SAID), ("tracestate", "rojo=1")];
        connect_to(door.http(), "/api/ws", &headers).await.expect("it is let in");
        assert_eq!(all(&heard.lock().unwrap()[0], "tracestate"), expected, "{telemetry} {more}");
    }
}

#[tokio::test]
async fn an_app_elsewhere_is_told_as_the_one_here() {
    let (app, heard) = listening().await;
    let (_, url) = app
        .config()
        .split_once('"')
        .map(|(key, rest)| (key.to_owned(), rest.trim_end().trim_end_matches('"').to_owned()))
        .expect("a url");
    let config =
        format!("{TRUSTING}[app]\nurl = \"off\"\n{ON}[callbacks]\nurl = \"{url}/api/ws\"\nevents = [\"connect\"]\n");
    let door = door().config(config).start();
    let headers = [("traceparent", SAID), ("tracestate", "rojo=1")];
    connect_to(door.http(), "/api/ws", &headers).await.expect("it is let in");
    assert_eq!(last(&heard).0, ID);
    assert_eq!(all(&heard.lock().unwrap()[0], "tracestate"), ["rojo=1"]);
}

#[tokio::test]
async fn a_tunnel_is_of_its_clients_trace() {
    let app = RawApp::start(|mut asked| async move {
        let parent = asked.header("traceparent");
        asked.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{parent}", parent.len())).await;
        None
    })
    .await;
    let config = format!("{TRUSTING}{}tunnel = [\"/own\"]\n{ON}", app.config());
    let door = door().config(config).start();
    let request = format!(
        "GET /own HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\ntraceparent: {SAID}\r\n\r\n"
    );
    let answer = wire::exchange(door.http(), request).await;
    assert!(answer.contains(&format!("00-{ID}-")) && !answer.contains("b7ad6b7169203331"), "{answer}");
}
