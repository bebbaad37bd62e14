//! Promise: a client that is slow, idle or deaf does not hold the door for longer than `[http]` says.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::raw::{Asked, RawApp, eventually, ok};
use crate::harness::{App, Door, PATIENCE, door, response, streamed, wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";

async fn bench(config: &str) -> (RawApp, Door) {
    let app = RawApp::start(|mut asked: Asked| async move {
        asked.send(ok("yes")).await;
        Some(asked)
    })
    .await;
    let door = door().config(app.config() + config).start();
    (app, door)
}

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("closed in time").expect("an orderly end");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let (_app, door) = bench("[http]\nhead_timeout = \"200ms\"\n").await;
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    assert_eq!(until_closed(&mut stream).await, "");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_a_408() {
    let (app, door) = bench("[http]\nhead_timeout = \"300ms\"\n").await;
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: site").await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert_eq!(wire::status(&answer), 408, "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(app.requests(), 0);
}

#[tokio::test]
async fn dripping_bytes_do_not_prolong_a_head() {
    let (_app, door) = bench("[http]\nhead_timeout = \"500ms\"\n").await;
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut head = [0; 12];
    timeout(PATIENCE, reader.read_exact(&mut head)).await.expect("an answer in time").unwrap();
    assert_eq!(wire::status(&String::from_utf8_lossy(&head)), 408);
    dripping.abort();
}

#[tokio::test]
async fn a_kept_connection_is_closed_when_it_is_idle() {
    let (_app, door) = bench("[http]\nhead_timeout = \"60s\"\nidle_timeout = \"300ms\"\n").await;
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    let started = Instant::now();
    stream.write_all([GET, GET].concat().as_bytes()).await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_slow_app_is_not_an_idle_client() {
    let app = App::start(|_| async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        response(200, "at last")
    })
    .await;
    let door = door().config(app.config() + "[http]\nhead_timeout = \"200ms\"\nidle_timeout = \"200ms\"\n").start();
    let answer = wire::exchange(door.http(), GET).await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    assert!(answer.contains("at last"), "{answer}");
}

// It waits for the process, and the app must go on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_is_cut_off() {
    let app = App::start(|_| async {
        let (response, mut feed) = streamed(200);
        tokio::spawn(async move {
            let block = bytes::Bytes::from(vec![b'x'; 64 * 1024]);
            while feed.send_data(block.clone()).await.is_ok() {}
        });
        response
    })
    .await;
    let door = door().config(app.config() + "[http]\nwrite_timeout = \"500ms\"\n").start();
    let mut stream = wire::narrow(door.http(), 4096).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    let line = door.wait_for_log(|line| line["target"] == "access");
    assert_eq!(line["status"], 200, "{line}");
    drop(stream);
}

// It waits for the process, and the app must go on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn draining_ends_kept_connections_in_order() {
    let (app, mut door) = bench("").await;
    let mut idle = TcpStream::connect(door.http()).await.unwrap();
    idle.write_all(GET.as_bytes()).await.unwrap();
    eventually("the app heard it", || app.requests() == 1).await;
    let mut block = [0; 1024];
    let length = idle.read(&mut block).await.unwrap();
    assert!(!String::from_utf8_lossy(&block[..length]).to_lowercase().contains("connection: close"));
    door.signal("TERM");
    assert_eq!(until_closed(&mut idle).await, "");
    assert!(door.wait().success());
}
