//! Promise: what the app says before its answer (1xx) reaches clients of HTTP/1.1 at once, and disturbs no others.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::harness::frames::{self, Outcome, Site};
use crate::harness::raw::{Asked, RawApp, ok};
use crate::harness::{PATIENCE, door, wire};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Middleware-Rewrite: /secret\r\n\
                     Connection: x-own\r\nX-Own: a\r\n\r\n";
const SENT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";

/// An app that says `interim`, and answers when it is allowed to.
async fn hinting(interim: String) -> (RawApp, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&permits);
    let app = RawApp::start(move |mut asked: Asked| {
        let (interim, wait) = (interim.clone(), Arc::clone(&wait));
        async move {
            asked.send(interim).await;
            wait.acquire().await.expect("never closed").forget();
            asked.send(ok("final")).await;
            Some(asked)
        }
    })
    .await;
    (app, permits)
}

async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let (mut text, mut block) = (String::new(), [0; 4096]);
    while !text.ends_with(end) {
        let read = timeout(PATIENCE, stream.read(&mut block)).await.expect("in time").unwrap_or(0);
        assert!(read > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&block[..read]).expect("text"));
    }
    text
}

#[tokio::test]
async fn hints_come_before_the_app_has_its_answer() {
    let (app, permits) = hinting(format!("HTTP/1.1 100 Continue\r\n\r\n{HINTS}")).await;
    // So that nothing else wakes who is to say them before patience ends.
    let late = "[http]\nidle_timeout = \"10m\"\nwrite_timeout = \"10m\"\n";
    let door = door().config(app.config() + late).start();
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    for _ in 0..3 {
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        assert_eq!(read_until(&mut stream, SENT).await, format!("HTTP/1.1 100 Continue\r\n\r\n{SENT}"));
        permits.add_permits(1);
        let answer = read_until(&mut stream, "final").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("link"), "{answer}");
    }
}

#[tokio::test]
async fn over_tls_it_is_the_same() {
    let (app, permits) = hinting(HINTS.to_owned()).await;
    let site = Site::new(&app.config());
    let mut stream = site.http1().await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut stream, SENT).await, SENT);
    permits.add_permits(1);
    assert!(read_until(&mut stream, "final").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn many_of_them_at_once_are_in_their_place_before_each_answer() {
    let (app, permits) = hinting(HINTS.repeat(20)).await;
    permits.add_permits(1000);
    let door = door().config(app.config()).start();
    // Pipelined, so that an answer is under way while the next request's hints come.
    let requests = [REQUEST.repeat(9), REQUEST.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")].concat();
    let all = wire::exchange(door.http(), requests).await;
    let mut answers = 0;
    for part in all.split("final").filter(|part| !part.is_empty()) {
        let (hints, answer) =
            part.split_at(part.find("HTTP/1.1 200 OK").unwrap_or_else(|| panic!("no answer in {part:?}")));
        assert_eq!(hints.replace(SENT, ""), "", "only whole ones");
        assert!(!answer.contains(" 103 "), "{part:?}");
        answers += 1;
    }
    assert_eq!(answers, 10);
}

#[tokio::test]
async fn who_cannot_be_told_gets_the_answer_alone() {
    let (app, permits) = hinting(HINTS.repeat(20)).await;
    permits.add_permits(100);
    let plain = door().config(app.config()).start();
    let old = wire::exchange(plain.http(), "GET / HTTP/1.0\r\nHost: site.test\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.1 200 OK\r\n") && old.ends_with("final"), "{old}");
    let site = Site::new(&app.config());
    let mut connection = site.connect(&[(1, 0)]).await;
    for stream in [1, 3] {
        connection.request(stream, frames::GET).await;
        assert_eq!(connection.outcome(stream).await, Outcome::Status(200));
    }
}

#[tokio::test]
async fn an_app_that_breaks_off_after_hints_is_a_502_after_them() {
    let app = RawApp::start(|mut asked| async move {
        asked.send(HINTS).await;
        None
    })
    .await;
    let door = door().config(app.config()).start();
    let answer = wire::exchange(door.http(), REQUEST.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
    let last = answer.rfind("HTTP/1.1 ").map(|at| &answer[at..]).unwrap_or_default();
    assert_eq!(wire::status(last), 502, "{answer}");
    assert_eq!(answer.matches("link: ").count(), 1, "{answer}");
}
