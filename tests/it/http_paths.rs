//! Promise: a rule that chooses by path cannot be read around, however the path is spelt; the app gets it as it was
//! written.

use std::sync::{Arc, Mutex};

use crate::harness::frames::{Outcome, Site};
use crate::harness::raw::{Asked, RawApp, ok};
use crate::harness::{Door, Project, door, next, wire};

/// Every one of these is `/api/NAME` to somebody.
fn spellings(name: &str) -> Vec<String> {
    let (first, rest) = name.split_at(1);
    let code = format!("{:02x}", first.as_bytes()[0]);
    vec![
        format!("/api/{name}"),
        format!("/api/{name}/"),
        format!("/api/{name}?a=b"),
        format!("//api/{name}"),
        format!("/api//{name}"),
        format!("/api/{name}//"),
        format!("/./api/{name}"),
        format!("/api/./{name}"),
        format!("/api/{name}/."),
        format!("/api/{name}/x/.."),
        format!("/x/../api/{name}"),
        format!("/../api/{name}"),
        format!("/x/%2e%2e/api/{name}"),
        format!("/api/%2E/{name}"),
        format!("/api/%{code}{rest}"),
        format!("/%61pi/{name}"),
        format!("/_next/../api/{name}"),
        format!("/_next/static/../../api/{name}"),
        format!("/_next/image/../../api/{name}"),
    ]
}

/// These are it to readers that we know of none, or to none that is Next.js.
fn odd_spellings(name: &str) -> Vec<String> {
    let (first, rest) = name.split_at(1);
    let code = format!("{:02x}", first.as_bytes()[0]);
    vec![
        format!("/api%2f{name}"),
        format!("/api%2F{name}"),
        format!("/api%5c{name}"),
        format!("/api/%25{code}{rest}"),
        format!("/api/%2525{code}{rest}"),
        format!("/API/{}", name.to_uppercase()),
        format!("/x/..%2fapi/{name}"),
        format!("/x%2f%2e%2e%2fapi%2f{name}"),
        format!("/api/{name}//.."),
        format!("/api%2fx/../{name}"),
        format!("/api/{name}%2f"),
        format!("/api/{name}%20"),
    ]
}

/// An app that keeps the targets it is asked for.
async fn listening(answer: impl Into<String>) -> (RawApp, Arc<Mutex<Vec<String>>>) {
    let answer: Arc<str> = answer.into().into();
    let targets = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&targets);
    let app = RawApp::start(move |mut asked: Asked| {
        kept.lock().unwrap().push(asked.target().to_owned());
        let answer = Arc::clone(&answer);
        async move {
            asked.send(&*answer).await;
            Some(asked)
        }
    })
    .await;
    (app, targets)
}

fn post(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: site.test\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\
         Webhook-Id: forged\r\nConnection: close\r\n\r\n{{}}"
    )
}

const CALLBACKS: &str = "[callbacks]\nevents = [\"message\"]\npath = \"/api/hooks\"\n";

#[tokio::test]
async fn a_forged_callback_reaches_the_app_in_no_spelling() {
    let (app, _) = listening(ok("the route ran")).await;
    let door = door().config(app.config() + CALLBACKS).start();
    let paths = [spellings("hooks"), odd_spellings("hooks")].concat();
    for path in paths.iter().cloned().chain(paths.iter().map(|path| format!("http://site.test{path}"))) {
        let answer = wire::exchange(door.http(), post(&path)).await;
        assert!(matches!(wire::status(&answer), 400 | 403), "{path}: {answer}");
    }
    assert_eq!(app.requests(), 0);
    for path in ["/api/hooksx", "/api/hooks/below", "/api", "/api/hook", "/api/hooks/.."] {
        let answer = wire::exchange(door.http(), post(path)).await;
        assert!(answer.ends_with("the route ran"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn nor_over_http2() {
    let (app, _) = listening(ok("the route ran")).await;
    let site = Site::new(&(app.config() + CALLBACKS));
    let mut connection = site.connect(&[(1, 0)]).await;
    for (number, path) in [spellings("hooks"), odd_spellings("hooks")].concat().iter().enumerate() {
        let stream = 2 * number as u32 + 1;
        let fields = [(":method", "POST"), (":scheme", "https"), (":authority", "site.test"), (":path", path.as_str())];
        assert!(connection.request(stream, &fields).await);
        let outcome = connection.outcome(stream).await;
        assert!(matches!(outcome, Outcome::Status(400 | 403)), "{path}: {outcome}");
    }
    assert_eq!(app.requests(), 0);
}

/// Next.js itself says which spellings lead to a route; none of them may lead there through the door.
#[tokio::test]
async fn what_next_takes_for_the_callback_is_kept_from_it() {
    let app = next::test_app();
    // A route that is there, as if it were the one for callbacks.
    let config =
        format!("[app]\ndir = \"{}\"\n[callbacks]\nevents = [\"message\"]\npath = \"/api/upload\"\n", app.display());
    let door = door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start();
    let started = door.wait_for_log(|line| line["message"] == "app started");
    let next = started["address"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    let mut ran = 0;
    for path in [spellings("upload"), odd_spellings("upload")].concat() {
        let direct = wire::exchange(next, post(&path)).await;
        ran += usize::from(direct.contains("sha256"));
        let through = wire::exchange(door.http(), post(&path)).await;
        assert!(matches!(wire::status(&through), 400 | 403), "{path}: {through}");
    }
    assert!(ran >= 8, "Next.js runs the route for several spellings: {ran}");
}

fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: site.test\r\nOrigin: http://site.test\r\nConnection: Upgrade, close\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// The head of the answer to an upgrade; the socket is dropped.
async fn upgraded(door: &Door, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(upgrade(path).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn the_hub_is_found_in_every_spelling_and_the_app_is_not_asked() {
    let (app, _) = listening(ok("the app")).await;
    let door = door().config(app.config()).start();
    for path in spellings("ws") {
        let head = upgraded(&door, &path).await;
        assert_eq!(wire::status(&head), 101, "{path}: {head}");
        let plain = wire::get(door.http(), &path).await;
        assert_eq!(wire::status(&plain), 426, "{path}: {plain}");
    }
    assert_eq!(app.requests(), 0);
}

#[tokio::test]
async fn a_tunnel_is_found_in_every_spelling_and_the_app_hears_the_clients_own() {
    let (app, targets) = listening("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    let door = door().config(app.config() + "tunnel = [\"/api/socket\", \"/live/*\"]\n").start();
    let below = ["/live/a", "//live//a", "/live/x/../a", "/%6cive/a"].map(String::from);
    for path in spellings("socket").into_iter().filter(|path| !path.trim_end_matches('.').ends_with('/')).chain(below) {
        let answer = wire::exchange(door.http(), upgrade(&path)).await;
        assert_eq!(wire::status(&answer), 403, "{path}: {answer}");
        assert_eq!(targets.lock().unwrap().pop().as_deref(), Some(path.as_str()));
    }
    for path in ["/live/../nowhere", "/live/%2e%2e/nowhere", "/live"] {
        let answer = wire::exchange(door.http(), upgrade(path)).await;
        assert_eq!(wire::status(&answer), 404, "{path}: nothing is tunnelled: {answer}");
    }
}

#[tokio::test]
async fn the_app_gets_the_target_as_it_was_written() {
    let (app, targets) = listening("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let door = door().config(app.config()).start();
    for path in ["//evil/x", "/a//b", "/a/../b?c=%2e", "/%7Ea/./b", "/a%2fb", "/100%", "/a?b//c/../d", "/%%34%31"] {
        wire::get(door.http(), path).await;
        assert_eq!(targets.lock().unwrap().pop().as_deref(), Some(path));
    }
    let answer = wire::get(door.http(), "/a//../b").await;
    assert_eq!(wire::status(&answer), 400, "two readers would see two paths: {answer}");
}

#[tokio::test]
async fn static_files_are_found_in_every_spelling() {
    let (app, _) = listening("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    let project = Project::new();
    project.write("chunks/main.js", "from the disk");
    let door = door().config(format!("{}dir = \"{}\"\n", app.config(), project.path().display())).start();
    for path in [
        "/_next/static/chunks/main.js",
        "//_next/static/chunks/main.js",
        "/_next//static/chunks//main.js",
        "/x/../_next/static/./chunks/main.js",
        "/_next/%73tatic/chunks/m%61in.js",
        "/_next/static/chunks/x/%2e%2E/main.js",
    ] {
        let answer = wire::get(door.http(), path).await;
        assert!(answer.ends_with("from the disk"), "{path}: {answer}");
    }
    assert_eq!(app.requests(), 0);
}

#[tokio::test]
async fn what_is_left_uncompressed_is_so_in_every_spelling() {
    let page =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5000));
    let (app, _) = listening(page).await;
    let door = door().config(app.config() + "[compress]\nexcept = [\"/api/secret\"]\n").start();
    let ask = async |path: &str| {
        let head = "HTTP/1.1\r\nHost: site.test\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
        wire::exchange(door.http(), format!("GET {path} {head}"))
            .await
            .to_lowercase()
            .contains("content-encoding: gzip")
    };
    for path in spellings("secret") {
        assert!(!ask(&path).await, "{path}");
    }
    assert!(ask("/api/other").await);
}

#[tokio::test]
async fn a_rule_that_no_path_would_meet_is_a_mistake() {
    let config = "[realtime]\npath = \"/api//ws\"\n[app]\ntunnel = [\"/a/../b\"]\n[compress]\nexcept = [\"/%61\"]\n";
    let mut door = door().config(config).spawn();
    assert!(!door.wait().success());
    let said = door.output();
    for better in ["write \"/api/ws\"", "write \"/b\"", "write \"/a\""] {
        assert!(said.contains(better), "{better}: {said}");
    }
}
