//! Promise: a rule that chooses by path cannot be read around, however the path is spelt; the app gets it in a spelling
//! that means to it what it meant to the door.

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

#[tokio::test]
async fn no_method_reaches_it_and_nothing_that_next_takes_off_helps() {
    let (app, _) = listening(ok("the route ran")).await;
    let door =
        door().config(app.config() + "[callbacks]\nevents = [\"message\"]\npath = \"/docs/api/hooks\"\n").start();
    for path in [
        "/docs/api/hooks",
        "/docs/_next/data/BUILD/api/hooks.json",
        "/docs/_next/data/BUILD/de/api/hooks.json",
        "/docs/de/./api/hooks",
        "/docs/de/api/hooks",
        "/docs/_next/image?w=64&url=%2Fdocs%2Fapi%2Fhooks",
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] {
            let answer = wire::exchange(door.http(), post(path).replacen("POST", method, 1)).await;
            assert_eq!(wire::status(&answer), 403, "{method} {path}: {answer}");
        }
        let answer = wire::exchange(door.http(), upgrade(path)).await;
        assert_eq!(wire::status(&answer), 403, "{path}: {answer}");
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
    let build = std::fs::read_to_string(app.join(".next/BUILD_ID")).unwrap();
    let data =
        ["api/upload", "./api/upload", "api/%75pload"].map(|page| format!("/_next/data/{}/{page}.json", build.trim()));
    let mut ran = 0;
    for path in [spellings("upload"), odd_spellings("upload"), data.into()].concat() {
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
async fn tunnel_is_found_in_every_spelling() {
    let (app, targets) = listening("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    let door = door().config(app.config() + "tunnel = [\"/api/socket\", \"/live/*\"]\n").start();
    let below = ["/live/a", "//live//a", "/live/x/../a", "/%6cive/a"].map(String::from);
    for path in spellings("socket").into_iter().filter(|path| !path.trim_end_matches('.').ends_with('/')).chain(below) {
        let answer = wire::exchange(door.http(), upgrade(&path)).await;
        assert_eq!(wire::status(&answer), 403, "{path}: {answer}");
        let heard = targets.lock().unwrap().pop().expect("the app is asked");
        let expected = if path.contains("live") || path.contains("%6c") { "/live/a" } else { "/api/socket" };
        // Next redirects empty segments; whoever else is there reads them for himself.
        assert_eq!(heard.replace("//", "/").split('?').next(), Some(expected), "{path}");
    }
    for path in ["/live/../nowhere", "/live/%2e%2e/nowhere", "/live"] {
        let answer = wire::exchange(door.http(), upgrade(path)).await;
        assert_eq!(wire::status(&answer), 404, "{path}: nothing is tunnelled: {answer}");
    }
}

#[tokio::test]
async fn app_gets_the_target_resolved_and_else_as_written() {
    let (app, targets) = listening("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let door = door().config(app.config()).start();
    for (path, expected) in [
        ("//evil/x", "//evil/x"),
        ("/a//b", "/a//b"),
        ("/a/../b?c=%2e/../%41", "/b?c=%2e/../%41"),
        ("/en/./api/ws", "/en/api/ws"),
        ("/%7Ea/./b", "/~a/b"),
        ("/a%2fb%5C+%2B,;=@", "/a%2Fb%5C+%2B,;=@"),
        ("/%5Bslug%5D/[slug]/(group)/caf%C3%A9", "/%5Bslug%5D/[slug]/(group)/caf%C3%A9"),
        ("/a?b//c/../d", "/a?b//c/../d"),
        ("/100%", "/100%25"),
        ("/%%34%31", "/%2541"),
    ] {
        wire::get(door.http(), path).await;
        assert_eq!(targets.lock().unwrap().pop().as_deref(), Some(expected), "{path}");
    }
    for path in ["/a//../b", "/a//b/../.."] {
        let answer = wire::get(door.http(), path).await;
        assert_eq!(wire::status(&answer), 400, "two readers would see two paths: {path}: {answer}");
    }
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
    let routed = ["/_next/data/BUILD/api/secret.json", "/de/api/secret", "/_next/data/BUILD/de/api/secret/below.json"];
    for path in spellings("secret").into_iter().chain(routed.map(String::from)) {
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
