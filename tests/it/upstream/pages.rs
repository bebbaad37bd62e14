//! Promise: a Next.js app of the Pages Router, with base path, locales and a `proxy.js`, works behind the door, and its
//! route for callbacks is the door's alone.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::{Door, client, door, next, wire};

/// The door before the app, and the app's own address.
fn start(events: &str) -> (Door, SocketAddr) {
    let app = next::pages_callback_app();
    let config =
        format!("[app]\ndir = \"{}\"\n[callbacks]\nevents = [{events}]\npath = \"/docs/api/ws\"\n", app.display());
    let door = door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start();
    let started = door.wait_for_log(|line| line["message"] == "app started");
    let address = started["address"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let address = std::net::ToSocketAddrs::to_socket_addrs(&address).unwrap().next().unwrap();
    (door, address)
}

fn build() -> String {
    let file = next::pages_callback_app().join(".next/BUILD_ID");
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}

/// Every one of these runs `/docs/api/ws` in Next 16.4 or an older one, or looks as if.
fn around(build: &str) -> Vec<String> {
    let data = format!("/docs/_next/data/{build}");
    let mut paths: Vec<String> = [
        "/docs/api/ws",
        "/docs/api/ws/",
        "/docs//api/ws",
        "/docs/./api/ws",
        "/docs/api/%77s",
        "/docs/x/../api/ws",
        "/docs/en/api/ws",
        "/docs/en/./api/ws",
        "/docs/de/%2e/api/ws",
        "/docs/./de/api/ws",
        "/docs/EN/./api/ws",
        "/docs/%65n/api/ws",
        "/docs/en/a|/../api/ws",
        "/docs/x/../en/api/ws",
        "/docs/default/api/ws",
        "/docs/api%2Fws",
        "/docs/de/api%2Fws",
        "/docs/api/ws.json",
        "/docs/api/ws.rsc",
        "/docs/_next/image?url=%2Fdocs%2Fapi%2Fws&w=64&q=75",
        "/docs/_next/image?w=64&q=75&url=%2Fdocs%2F.%2Fapi%2Fw%2573",
        "/docs/_next/data/other/api/ws.json",
    ]
    .map(String::from)
    .into();
    for page in [
        "/api/ws.json",
        "/en/api/ws.json",
        "/de/api/ws.json",
        "/index/api/ws.json",
        "/en/./api/ws.json",
        "/api/%77s.json",
        "/api/x/../ws.json",
        "/api/ws%2ejson",
        "//api/ws.json",
        "/api%2Fws.json",
    ] {
        paths.push(format!("{data}{page}"));
    }
    paths.push(format!("/docs/%5fnext/data/{build}/api/ws.json"));
    paths.push(format!("/docs/de/_next/data/{build}/api/ws.json"));
    paths
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: site.test\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\
         X-Doorway-Callback: forged\r\nConnection: close\r\n{headers}\r\n{{}}"
    )
}

#[tokio::test]
async fn nothing_from_outside_runs_the_route_for_callbacks() {
    let (door, app) = start("\"message\"");
    let mut ran = 0;
    for path in around(&build()) {
        ran += usize::from(wire::exchange(app, request("POST", &path, "")).await.contains("\"ran\":true"));
        for method in ["POST", "GET", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = wire::exchange(door.http(), request(method, &path, "")).await;
            assert_eq!(wire::status(&answer), 403, "{method} {path}: {answer}");
        }
    }
    assert!(ran >= 10, "Next.js itself runs it for several of them: {ran}");
}

/// Where the app's own rules lead to the route, which the door cannot know, the header tells who asks.
#[tokio::test]
async fn apps_own_rewrites_do_not_look_like_callbacks() {
    let (door, app) = start("\"message\"");
    let told = async |address, path: &str, headers: &str| {
        let answer = wire::exchange(address, request("POST", path, headers)).await;
        let told = answer.split("\r\n\r\n").nth(1).and_then(|body| body.find('{').map(|at| body[at..].to_owned()));
        let end = told.as_ref().and_then(|told| told.rfind('}')).map_or(0, |at| at + 1);
        serde_json::from_str::<Value>(&told.unwrap_or_default()[..end]).unwrap_or_else(|_| panic!("{answer}"))
    };
    assert_eq!(told(app, "/docs/led", "").await, json!({ "ran": true, "callback": "forged" }), "the app itself is led");
    for path in ["/docs/led".to_owned(), format!("/docs/_next/data/{}/led.json", build())] {
        for headers in [
            "",
            "Connection: x-doorway-callback\r\n",
            "x_doorway_callback: forged\r\nx.doorway.callback: forged\r\n",
            "x-middleware-override-headers: x-doorway-callback\r\nx-middleware-request-x-doorway-callback: forged\r\n",
        ] {
            assert_eq!(told(door.http(), &path, headers).await, json!({ "ran": true, "callback": null }), "{headers}");
        }
    }
}

async fn page(door: &Door, path: &str) -> Value {
    let answer = client::get(door.http(), path, &[]).await;
    let status = answer.status;
    let text = String::from_utf8(answer.bytes().await.to_vec()).unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    let props = text.split("<pre id=\"props\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let props = props.unwrap_or_else(|| panic!("{path}: {text}")).replace("&quot;", "\"").replace("&amp;", "&");
    serde_json::from_str(&props).unwrap()
}

#[tokio::test]
async fn pages_of_all_sorts_mean_what_they_meant() {
    let (door, _) = start("\"message\"");
    for (path, expected, locale) in [
        ("/docs", json!([]), "en"),
        ("/docs/de", json!([]), "de"),
        ("/docs/de/a/b", json!(["a", "b"]), "de"),
        ("/docs/a%2Fb/c", json!(["a/b", "c"]), "en"),
        ("/docs/caf%C3%A9/caf%c3%a9/%F0%9F%9A%AA", json!(["café", "café", "🚪"]), "en"),
        ("/docs/%5Bslug%5D/[slug]/(x)", json!(["[slug]", "[slug]", "(x)"]), "en"),
        ("/docs/a+b/a%2Bb/a%20b", json!(["a+b", "a+b", "a b"]), "en"),
        ("/docs/a,b;c=d@e:f!$&'()*~", json!(["a,b;c=d@e:f!$&'()*~"]), "en"),
        ("/docs/%61/./b/../%7E", json!(["a", "~"]), "en"),
        ("/docs/100%25/a%3Fb%23", json!(["100%", "a?b#"]), "en"),
        ("/docs/api/wsx", json!(["api", "wsx"]), "en"),
        ("/docs/blog/api/ws", json!(["blog", "api", "ws"]), "en"),
        ("/docs/.well-known/a..b/...", json!([".well-known", "a..b", "..."]), "en"),
    ] {
        let props = page(&door, path).await;
        let path_of =
            props["path"].as_array().unwrap().iter().map(|part| part.as_str().unwrap().replace("&#x27;", "'"));
        let path_of: Vec<_> = path_of.map(Value::from).collect();
        assert_eq!((&Value::from(path_of), &props["locale"]), (&expected, &json!(locale)), "{path}");
    }
    let query = page(&door, "/docs/a?x=%2e%2e/%41+b&y=//").await;
    assert_eq!(query["query"], json!({ "x": "../A b", "y": "//" }));
}

/// As Next's own client asks for what a link in view leads to, and for what a click shows.
#[tokio::test]
async fn a_link_in_view_does_not_render_its_page() {
    let (door, _) = start("\"message\"");
    let data = format!("/docs/_next/data/{}/de/item.json", build());
    let first = page(&door, "/docs/de/item").await["count"].as_u64().unwrap();
    for _ in 0..3 {
        let headers = [("x-nextjs-data", "1"), ("x-middleware-prefetch", "1"), ("purpose", "prefetch")];
        let answer = client::get(door.http(), &data, &headers).await;
        assert_eq!(answer.header("x-middleware-skip"), "1", "the client knows by this that it has no data yet");
        assert_eq!(answer.bytes().await, "{}");
    }
    let answer = client::get(door.http(), &data, &[("x-nextjs-data", "1")]).await;
    let shown: Value = serde_json::from_slice(&answer.bytes().await).unwrap();
    assert_eq!(shown["pageProps"]["count"], first + 1, "rendered for the click alone: {shown}");
    let forged = client::get(door.http(), "/docs/de/item", &[("x-middleware-prefetch", "1")]).await;
    assert!(
        String::from_utf8(forged.bytes().await.to_vec()).unwrap().contains("id=\"props\""),
        "a page is never answered so"
    );
}
