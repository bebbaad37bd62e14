//! Promise: asked to stop, the door accepts nothing, finishes what is under way, and ends by a deadline with exit 0.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::socket::{self, Socket};
use crate::harness::{App, Door, PATIENCE, app, door, wire};

/// An app that answers only when it is let; says when a request has reached it.
async fn gated(gate: &Arc<Semaphore>) -> (App, mpsc::UnboundedReceiver<String>) {
    App::gated(gate, |_| "slow but whole".to_owned()).await
}

fn draining(door: &Door) -> serde_json::Value {
    door.wait_for_log(|line| line["message"] == "draining")
}

fn stopped(door: &Door) -> serde_json::Value {
    door.wait_for_log(|line| line["message"] == "stopped")
}

/// Waits until nothing listens at `address` any more.
async fn refused(address: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < deadline, "{address} still accepts");
        tokio::task::yield_now().await;
    }
}

async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("written");
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // What a cut connection ends with does not matter, only that it ends.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}

const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: site.test\r\n\r\n";

async fn finishes_when(ask: impl AsyncFnOnce(&Door), why: &str) {
    let gate = Arc::new(Semaphore::new(0));
    let (app, mut reaching) = gated(&gate).await;
    let mut door = door().config(app.config()).start();
    let address = door.http();
    let stream = send(address, SLOW).await;
    reaching.recv().await.expect("the request reaches the app");

    ask(&door).await;
    assert_eq!(draining(&door)["why"], why);
    refused(address).await;
    gate.add_permits(1);
    let answer = rest(stream).await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    assert!(answer.ends_with("slow but whole"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
    assert_eq!(stopped(&door)["cut"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_what_is_under_way_and_refuses_what_is_new() {
    finishes_when(async |door| door.signal("TERM"), "SIGTERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_does_the_same() {
    finishes_when(async |door| door.signal("INT"), "SIGINT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_may_ask_by_http() {
    let ask = async |door: &Door| {
        let request = "POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let answer = wire::exchange(door.admin(), request).await;
        assert_eq!(wire::status(&answer), 202, "{answer}");
    };
    finishes_when(ask, "POST /drain").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_does_not_hold_the_drain() {
    let app = App::saying("hello").await;
    let mut door = door().config(app.config() + "[drain]\ntimeout = \"10m\"\n").start();
    let mut idle = send(door.http(), "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    let mut some = [0; 4096];
    let read = timeout(PATIENCE, idle.read(&mut some)).await.expect("an answer in time").expect("an answer");
    assert!(read > 0);
    let silent = TcpStream::connect(door.http()).await.expect("a connection that never says anything");

    door.signal("TERM");
    assert_eq!(rest(idle).await.len(), 0);
    assert_eq!(rest(silent).await.len(), 0);
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_cuts_what_does_not_finish() {
    let gate = Arc::new(Semaphore::new(0));
    let (app, mut reaching) = gated(&gate).await;
    let mut door = door().config(app.config() + "[drain]\ntimeout = \"300ms\"\n").start();
    let stream = send(door.http(), SLOW).await;
    reaching.recv().await.expect("the request reaches the app");

    let begun = Instant::now();
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
    assert!(begun.elapsed() >= Duration::from_millis(300), "cut too early");
    assert!(!rest(stream).await.contains("slow but whole"));
    assert_eq!(stopped(&door)["cut"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let (app, mut reaching) = gated(&gate).await;
    let mut door = door().config(app.config() + "[drain]\ntimeout = \"10m\"\n").start();
    let stream = send(door.http(), SLOW).await;
    reaching.recv().await.expect("the request reaches the app");

    door.signal("TERM");
    draining(&door);
    door.signal("HUP"); // too late for a reload, and no reason to end
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
    assert!(door.output().contains("stopped at once"), "{}", door.output());
    assert!(!rest(stream).await.contains("slow but whole"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_lives_on_until_the_app_ends_it() {
    let (senders, mut streams) = mpsc::unbounded_channel();
    let app = App::start(move |_| {
        let senders = senders.clone();
        async move {
            let (sender, body) = Channel::<Bytes>::new(4);
            senders.send(sender).ok();
            let mut response = http::Response::new(body.boxed());
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
            response
        }
    })
    .await;
    let mut door = door().config(app.config() + "[drain]\ntimeout = \"10m\"\n").start();
    let mut client = send(door.http(), "GET /events HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    let mut stream = streams.recv().await.expect("the request reaches the app");
    stream.send_data(Bytes::from_static(b"data: before\n\n")).await.expect("sent");
    read_until(&mut client, "data: before").await;

    door.signal("TERM");
    draining(&door);
    refused(door.http()).await;
    stream.send_data(Bytes::from_static(b"data: after\n\n")).await.expect("sent");
    read_until(&mut client, "data: after").await;
    drop(stream);
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
    assert_eq!(stopped(&door)["cut"], 0);
}

async fn read_until(stream: &mut TcpStream, wanted: &str) {
    let mut seen = String::new();
    while !seen.contains(wanted) {
        let mut some = [0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut some)).await.expect("in time").expect("readable");
        assert!(read > 0, "ended before {wanted:?}: {seen}");
        seen.push_str(&String::from_utf8_lossy(&some[..read]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_under_way_is_finished() {
    let (reached, mut reaching) = mpsc::unbounded_channel();
    let app = App::start(move |request: app::Request| {
        reached.send(()).ok();
        async move {
            let body = request.into_body().collect().await.expect("a whole body").to_bytes();
            app::response(200, format!("got {}", body.len()))
        }
    })
    .await;
    let mut door = door().config(app.config()).start();
    let head = "POST /upload HTTP/1.1\r\nHost: site.test\r\nContent-Length: 200000\r\n\r\n";
    let mut client = send(door.http(), head).await;
    client.write_all(&vec![b'a'; 100_000]).await.expect("the first half");
    reaching.recv().await.expect("the request reaches the app");

    door.signal("TERM");
    draining(&door);
    client.write_all(&vec![b'a'; 100_000]).await.expect("the second half");
    let answer = rest(client).await;
    assert!(answer.ends_with("got 200000"), "{answer}");
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_processor_is_enough() {
    let gate = Arc::new(Semaphore::new(0));
    let (app, mut reaching) = gated(&gate).await;
    let mut door = door().config(app.config()).env("TOKIO_WORKER_THREADS", "1").start();
    let stream = send(door.http(), SLOW).await;
    reaching.recv().await.expect("the request reaches the app");
    let live = wire::get(door.admin(), "/health/live").await;
    assert_eq!(wire::status(&live), 200, "{live}");
    door.signal("TERM");
    draining(&door);
    gate.add_permits(1);
    assert!(rest(stream).await.ends_with("slow but whole"));
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
}

/// When each of `sockets` was told to come back (1001), counted from now.
async fn farewells(sockets: Vec<Socket>) -> Vec<Duration> {
    let begun = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for mut socket in sockets {
        waiting.spawn(async move {
            let mut code = None;
            while let Some(Ok(message)) = socket.frame().await {
                if let Message::Close(frame) = message {
                    code = frame.map(|frame| u16::from(frame.code));
                }
            }
            (code, begun.elapsed())
        });
    }
    let mut times = Vec::new();
    for (code, time) in waiting.join_all().await {
        assert_eq!(code, Some(1001));
        times.push(time);
    }
    times.sort();
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_spreads_reconnects_and_lets_requests_finish() {
    let gate = Arc::new(Semaphore::new(0));
    let (app, mut reaching) = gated(&gate).await;
    let mut door = door().config(app.config() + "[drain]\ntimeout = \"10m\"\n").start();
    let slow = send(door.http(), SLOW).await;
    reaching.recv().await.expect("the request reaches the app");
    let mut sockets = Vec::new();
    for _ in 0..150 {
        sockets.push(socket::connect(&door, "/api/ws").await);
    }

    let waiting = tokio::spawn(farewells(sockets));
    door.signal("TERM");
    draining(&door);
    let times = waiting.await.expect("every socket ends");
    // A hundred a second where the drain has time to spare: 150 take a second and a half, and not all come at once.
    let (first, half, last) = (times[0], times[75], times[149]);
    assert!(last - first > Duration::from_millis(700), "all at once: {first:?} to {last:?}");
    assert!(
        half - first > Duration::from_millis(200) && last - half > Duration::from_millis(200),
        "{first:?} {half:?} {last:?}"
    );

    assert_eq!(stopped_yet(&door), None, "a request is still under way");
    gate.add_permits(1);
    assert!(rest(slow).await.ends_with("slow but whole"));
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
    assert_eq!(stopped(&door)["cut"], 0);
}

fn stopped_yet(door: &Door) -> Option<serde_json::Value> {
    door.log().into_iter().find(|line| line["message"] == "stopped")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_whose_client_does_not_answer_is_cut_at_the_deadline() {
    let app = App::saying("hello").await;
    let mut door = door().config(app.config() + "[drain]\ntimeout = \"500ms\"\n").start();
    let silent = socket::connect(&door, "/api/ws").await; // never reads, so never answers a close
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0), "{}", door.output());
    drop(silent);
}
