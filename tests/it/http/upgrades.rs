//! Promise: an upgrade has no body, nothing comes before its answer, and what is no upgrade is not treated as one.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::harness::raw::{Asked, RawApp, eventually, ok};
use crate::harness::{door, wire};

const UPGRADE: &str = "GET /tunnel HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// An app that keeps every upgrade waiting until it is told, then answers with `answer`.
async fn hesitant(answer: &'static str) -> (RawApp, Arc<Notify>) {
    let told = Arc::new(Notify::new());
    let wait = Arc::clone(&told);
    let app = RawApp::start(move |mut asked: Asked| {
        let wait = Arc::clone(&wait);
        async move {
            if asked.header("upgrade").is_empty() {
                asked.send(ok("plain")).await;
                return Some(asked);
            }
            wait.notified().await;
            asked.send(answer).await;
            if !answer.contains(" 101 ") {
                return Some(asked);
            }
            let echo = asked.body(4).await;
            asked.send(echo).await;
            asked.closed().await;
            None
        }
    })
    .await;
    (app, told)
}

fn config(app: &RawApp) -> String {
    app.config() + "tunnel = [\"/tunnel\"]\n"
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test]
async fn an_upgrade_with_a_body_is_refused() {
    let (app, _told) = hesitant(SWITCH).await;
    let door = door().config(config(&app)).start();
    for (lines, body) in [("Content-Length: 4\r\n", "body"), ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")] {
        for path in ["/tunnel", "/api/ws", "/"] {
            let request = format!("{UPGRADE}{lines}\r\n{body}").replacen("/tunnel", path, 1);
            let answer = wire::exchange(door.http(), request).await;
            assert_eq!(wire::status(&answer), 400, "{answer}");
        }
    }
    assert_eq!(app.requests(), 0);
}

#[tokio::test]
async fn an_offer_that_nobody_takes_is_ignored_with_a_body_too() {
    let (app, _told) = hesitant(SWITCH).await;
    let door = door().config(config(&app)).start();
    for offer in ["Upgrade: h2c", "Upgrade: h2,h2c", "Upgrade: TLS/1.2, HTTP/2.0", "Upgrade: h2\r\nUpgrade: h2c"] {
        let head = format!(
            "HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade, HTTP2-Settings, close\r\n{offer}\r\nHTTP2-Settings: AAMA\r\n"
        );
        for path in ["/", "/tunnel"] {
            let request = format!("POST {path} {head}Content-Length: 4\r\n\r\nbody");
            let answer = wire::exchange(door.http(), request).await;
            assert_eq!(wire::status(&answer), 200, "{offer} {path}: {answer}");
            let answer = wire::exchange(door.http(), format!("GET {path} {head}\r\n")).await;
            assert_eq!(wire::status(&answer), 200, "{offer} {path}: {answer}");
        }
    }
}

#[tokio::test]
async fn bytes_in_one_piece_with_an_upgrade_are_refused() {
    let (app, _told) = hesitant(SWITCH).await;
    let door = door().config(config(&app)).start();
    let answer = wire::exchange(door.http(), format!("{UPGRADE}\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert_eq!(wire::status(&answer), 400, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert_eq!(app.requests(), 0);
}

#[tokio::test]
async fn bytes_before_the_101_are_refused() {
    let (app, told) = hesitant(SWITCH).await;
    let door = door().config(config(&app)).start();
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(format!("{UPGRADE}\r\n").as_bytes()).await.unwrap();
    eventually("the app is asked", || app.requests() == 1).await;
    stream.write_all(b"early").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(wire::status(&answer), 400, "{answer}");
    told.notify_one();
}

#[tokio::test]
async fn after_the_101_bytes_flow_whatever_they_are() {
    let (app, told) = hesitant(SWITCH).await;
    let door = door().config(config(&app)).start();
    told.notify_one();
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(format!("{UPGRADE}\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream.write_all(b"\x16\0\n\xff").await.unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"\x16\0\n\xff");
}

#[tokio::test]
async fn a_declined_upgrade_leaves_an_ordinary_connection() {
    let (app, told) = hesitant("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let door = door().config(config(&app)).start();
    told.notify_one();
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(format!("{UPGRADE}\r\n").as_bytes()).await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\nno") {
        text.push(stream.read_u8().await.unwrap());
    }
    // Bad bytes are bad again, and good ones served.
    stream.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\nGET / HTTP/1.1\r\nbad\r\n\r\n").await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert!(answers.starts_with("HTTP/1.1 200") && answers.contains("HTTP/1.1 400"), "{answers}");
}

#[tokio::test]
async fn what_is_no_upgrade_is_an_ordinary_request() {
    let (app, _told) = hesitant(SWITCH).await;
    let door = door().config(config(&app)).start();
    let close = "Connection: close\r\n\r\n";
    for request in [
        format!("{}{close}", UPGRADE.replace("Connection: Upgrade\r\n", "")),
        format!("{}{close}", UPGRADE.replace("Upgrade: websocket\r\n", "")),
        format!("{}{close}", UPGRADE.replace("Upgrade: websocket", "Upgrade: h2c")),
        format!("{}{close}", UPGRADE.replace("HTTP/1.1", "HTTP/1.0")),
    ] {
        let answer = wire::exchange(door.http(), &request).await;
        assert_eq!(wire::status(&answer), 200, "{request} got {answer}");
        assert!(answer.ends_with("plain"), "{answer}");
    }
}

#[tokio::test]
async fn an_upgrade_that_nobody_serves_is_answered_at_once() {
    let (app, _told) = hesitant(SWITCH).await;
    let door = door().config(config(&app)).start();
    let request = format!("{UPGRADE}\r\n").replacen("/tunnel", "/nowhere", 1);
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert!(matches!(wire::status(&String::from_utf8_lossy(&head)), 404 | 426));
    assert_eq!(app.requests(), 0);
}
