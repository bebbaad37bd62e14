//! Promise: other upgrades reach the app on the paths that the config names, and for hot reloading in development;
//! anywhere else they are answered at once.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::raw::RawApp;
use crate::harness::{Door, PATIENCE, door, wire};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An app that switches, greets, and says back what it hears, in capitals.
async fn shouting() -> RawApp {
    RawApp::start(|mut asked| async move {
        asked.send(format!("{SWITCH}welcome ")).await;
        loop {
            let heard = asked.until("!").await;
            if heard.is_empty() {
                return None;
            }
            asked.send(heard.to_uppercase()).await;
        }
    })
    .await
}

fn request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// Asks, and reads until `end`.
async fn open(door: &Door, path: &str, end: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(request(path, "").as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, end).await;
    (stream, answer)
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    let mut block = [0; 4096];
    while !answer.ends_with(end.as_bytes()) {
        let read = timeout(PATIENCE, stream.read(&mut block)).await.expect("in time").unwrap_or(0);
        assert!(read > 0, "closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&block[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn ends(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it ends");
}

#[tokio::test]
async fn bytes_flow_both_ways_after_the_apps_own_101() {
    let app = shouting().await;
    let door = door().config(app.config() + "tunnel = [\"/socket\", \"/ws/*\"]\n").start();
    for path in ["/socket", "/socket?a=b", "/ws/room/1"] {
        let (mut stream, answer) = open(&door, path, "welcome ").await;
        assert_eq!(wire::status(&answer), 101, "{answer}");
        let lower = answer.to_lowercase();
        assert!(lower.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{answer}");
        assert!(lower.contains("connection: upgrade\r\n") && lower.contains("upgrade: websocket\r\n"), "{answer}");
        for (word, expected) in [("hello!", "HELLO!"), ("again!", "AGAIN!")] {
            stream.write_all(word.as_bytes()).await.unwrap();
            assert_eq!(read_until(&mut stream, "!").await, expected);
        }
    }
}

#[tokio::test]
async fn an_upgrade_that_nobody_serves_is_answered_at_once() {
    let app = shouting().await;
    let door = door().config(app.config() + "tunnel = [\"/socket\", \"/ws/*\"]\n").start();
    for path in ["/", "/socketx", "/socket/", "/ws", "/_next/hmr", "/_next/webpack-hmr"] {
        let answer = wire::exchange(door.http(), request(path, "").replace("Upgrade\r\n", "Upgrade, close\r\n")).await;
        assert_eq!(wire::status(&answer), 404, "{path}: {answer}");
    }
    assert_eq!(app.requests(), 0, "the app is not bothered");
}

#[tokio::test]
async fn hot_reloading_passes_in_development() {
    let app = shouting().await;
    let door = door().config(app.config() + "dev = true\n").start();
    for path in ["/_next/hmr?id=1", "/_next/webpack-hmr", "/base/_next/hmr"] {
        let (_, answer) = open(&door, path, "welcome ").await;
        assert_eq!(wire::status(&answer), 101, "{path}: {answer}");
    }
}

/// An app that refuses every upgrade; and the heads it got, in small letters.
async fn refusing() -> (RawApp, tokio::sync::mpsc::Receiver<String>) {
    let (sender, heads) = tokio::sync::mpsc::channel(1);
    let app = RawApp::start(move |mut asked| {
        let sender = sender.clone();
        async move {
            asked.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
            sender.send(asked.head.to_lowercase()).await.unwrap();
            Some(asked)
        }
    })
    .await;
    (app, heads)
}

#[tokio::test]
async fn internal_headers_do_not_pass_with_an_upgrade_either() {
    let (app, mut heads) = refusing().await;
    let door = door().config(app.config() + "tunnel = [\"/socket\"]\n").start();
    let forged = "X-Middleware-Subrequest: middleware\r\nX-Forwarded-Host: evil.test\r\nConnection: close\r\n";
    let answer = wire::exchange(door.http(), request("/socket", forged)).await;
    assert_eq!(wire::status(&answer), 403, "the app's own refusal is passed on: {answer}");
    assert!(answer.ends_with("no"), "{answer}");
    let head = heads.recv().await.unwrap();
    assert!(!head.contains("x-middleware") && !head.contains("evil.test"), "{head}");
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"), "{head}");
}

#[tokio::test]
async fn the_app_is_offered_one_protocol_and_never_another_http() {
    let (app, mut heads) = refusing().await;
    let door = door().config(app.config() + "tunnel = [\"/socket\"]\n").start();
    for lines in [
        "Upgrade: h2c\r\nUpgrade: websocket",
        "Upgrade: websocket\r\nUpgrade: h2c",
        "Upgrade: h2c, websocket",
        "Upgrade: HTTP/2.0, h2, websocket, h2c",
        "Upgrade: websocket, foo\r\nUpgrade: foo",
    ] {
        let offered = request("/socket", "HTTP2-Settings: AAMA\r\nConnection: close, HTTP2-Settings\r\n").replacen(
            "Upgrade: websocket",
            lines,
            1,
        );
        let answer = wire::exchange(door.http(), offered).await;
        assert_eq!(wire::status(&answer), 403, "{lines}: {answer}");
        let head = heads.recv().await.unwrap();
        assert_eq!(head.matches("\r\nupgrade: ").count(), 1, "{lines}: {head}");
        assert!(head.contains("\r\nupgrade: websocket\r\n") && !head.contains("h2"), "{lines}: {head}");
    }
}

#[tokio::test]
async fn a_switch_to_something_else_is_refused() {
    let app = RawApp::saying(SWITCH.replace("websocket", "telnet")).await;
    let door = door().config(app.config() + "tunnel = [\"/socket\"]\n").start();
    let (_, answer) = open(&door, "/socket", "\n").await;
    assert_eq!(wire::status(&answer), 502, "{answer}");
}

#[tokio::test]
async fn a_silent_tunnel_ends() {
    let app = shouting().await;
    let config = app.config() + "tunnel = [\"/socket\"]\ntunnel_idle_timeout = \"400ms\"\n";
    let door = door().config(config).start();
    let (mut stream, _) = open(&door, "/socket", "welcome ").await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.write_all(b"ping!").await.unwrap();
        assert_eq!(read_until(&mut stream, "!").await, "PING!");
    }
    let began = Instant::now();
    ends(&mut stream).await;
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

#[tokio::test]
async fn there_are_only_so_many_tunnels() {
    let app = shouting().await;
    let door = door().config(app.config() + "tunnel = [\"/socket\"]\ntunnel_limit = 4\n").start();
    let (first, _) = open(&door, "/socket", "welcome ").await;
    let (_second, _) = open(&door, "/socket", "welcome ").await;
    let (_, refused) = open(&door, "/socket", "\n").await;
    assert_eq!(wire::status(&refused), 503, "{refused}");
    drop(first);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut stream = TcpStream::connect(door.http()).await.unwrap();
        stream.write_all(request("/socket", "").as_bytes()).await.unwrap();
        let mut answer = [0; 64];
        let read = stream.read(&mut answer).await.unwrap();
        if wire::status(&String::from_utf8_lossy(&answer[..read])) == 101 {
            break;
        }
        assert!(Instant::now() < deadline, "a place is never given back");
    }
}

#[tokio::test]
async fn a_tunnel_whose_app_goes_away_ends() {
    let app = shouting().await;
    let door = door().config(app.config() + "tunnel = [\"/socket\"]\n").start();
    let (mut stream, _) = open(&door, "/socket", "welcome ").await;
    drop(app);
    ends(&mut stream).await;
}

#[tokio::test]
async fn tunnels_end_within_the_drain() {
    let app = shouting().await;
    let mut door = door().config(app.config() + "tunnel = [\"/socket\"]\n[drain]\ntimeout = \"10s\"\n").start();
    let (mut stream, _) = open(&door, "/socket", "welcome ").await;
    door.signal("TERM");
    ends(&mut stream).await;
    assert!(door.wait().success());
    // It left in the first half: had the deadline cut it, the log would say so.
    assert!(!door.output().contains("time is up"), "{}", door.output());
}
