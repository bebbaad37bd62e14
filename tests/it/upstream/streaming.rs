//! Promise: bodies stream both ways as they come, in constant memory; whoever leaves is missed at once by the other side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::raw::{RawApp, eventually, ok};
use crate::harness::{App, client, door, response, streamed, wire};

#[tokio::test]
async fn an_answer_comes_chunk_by_chunk() {
    let (feeds, mut handed) = tokio::sync::mpsc::channel(4);
    let app = App::start(move |request| {
        let feeds = feeds.clone();
        async move {
            let (answer, feed) = streamed(200);
            if request.uri().path() == "/stream" {
                feeds.send(feed).await.unwrap();
            }
            answer
        }
    })
    .await;
    let door = door().config(app.config()).start();
    let mut answer = client::get(door.http(), "/stream", &[]).await;
    let mut feed = handed.recv().await.unwrap();
    for word in ["one", "two", "three"] {
        feed.send_data(word.into()).await.unwrap();
        assert_eq!(answer.chunk().await.unwrap().as_ref(), word.as_bytes());
    }
    drop(feed);
    assert_eq!(answer.chunk().await, None);
}

/// A client that sends `head` and then what it likes.
async fn begin(address: std::net::SocketAddr, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn an_upload_reaches_the_app_chunk_by_chunk() {
    let (seen, mut arrived) = tokio::sync::mpsc::channel(16);
    let app = RawApp::start(move |mut asked| {
        let seen = seen.clone();
        async move {
            for _ in 0..3 {
                let chunk = asked.until("\r\n").await;
                seen.send(chunk).await.unwrap();
            }
            asked.until("0\r\n\r\n").await;
            asked.send(ok("done")).await;
            Some(asked)
        }
    })
    .await;
    let door = door().config(app.config()).start();
    let head = "POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let mut stream = begin(door.http(), head).await;
    for word in ["one", "two", "six"] {
        stream.write_all(format!("3\r\n{word}\r\n").as_bytes()).await.unwrap();
        // The next is not sent before this one has arrived.
        let mut got = String::new();
        while !got.ends_with(&format!("{word}\r\n")) {
            got.push_str(&arrived.recv().await.unwrap());
        }
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
}

#[tokio::test]
async fn a_large_upload_and_its_echo_need_constant_memory() {
    const SIZE: u64 = 300 * 1024 * 1024;
    let app = App::start(|request| async move {
        let mut body = request.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame.unwrap().into_data().map_or(0, |data| data.len() as u64);
        }
        response(200, length.to_string())
    })
    .await;
    let door = door().config(app.config()).start();
    client::get(door.http(), "/", &[]).await.bytes().await;
    let before = door.resident();
    let head = format!("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: {SIZE}\r\nConnection: close\r\n\r\n");
    let mut stream = begin(door.http(), &head).await;
    let block = vec![b'x'; 1024 * 1024];
    let mut most = 0;
    for _ in 0..SIZE / block.len() as u64 {
        stream.write_all(&block).await.unwrap();
        most = most.max(door.resident());
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(&SIZE.to_string()), "{answer}");
    assert!(most < before + 16 * 1024 * 1024, "grew from {before} to {most} bytes");
}

#[tokio::test]
async fn a_large_answer_to_a_slow_reader_needs_constant_memory() {
    const SIZE: usize = 200 * 1024 * 1024;
    let app = RawApp::start(|mut asked| async move {
        asked.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n")).await;
        let block = vec![b'x'; 1024 * 1024];
        for _ in 0..SIZE / block.len() {
            asked.send(&block).await;
        }
        Some(asked)
    })
    .await;
    let door = door().config(app.config()).start();
    let mut stream = begin(door.http(), "GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n").await;
    let (mut block, mut read, mut most) = (vec![0; 1024 * 1024], 0, 0);
    let before = door.resident();
    loop {
        match stream.read(&mut block).await.unwrap() {
            0 => break,
            more => read += more,
        }
        most = most.max(door.resident());
    }
    assert!(read > SIZE, "{read} bytes");
    assert!(most < before + 16 * 1024 * 1024, "grew from {before} to {most} bytes");
}

#[tokio::test]
async fn app_hears_when_a_client_leaves_a_streamed_answer() {
    let left = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&left);
    let app = RawApp::start(move |mut asked| {
        let noted = Arc::clone(&noted);
        async move {
            asked.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
            asked.closed().await;
            noted.store(true, Ordering::SeqCst);
            None
        }
    })
    .await;
    let door = door().config(app.config()).start();
    let mut answer = client::get(door.http(), "/", &[]).await;
    assert_eq!(answer.chunk().await.unwrap().as_ref(), b"first");
    assert!(!left.load(Ordering::SeqCst));
    drop(answer);
    eventually("the app's connection is closed", || left.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_missed_by_the_app() {
    let (asked_once, left) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let noted = (Arc::clone(&asked_once), Arc::clone(&left));
    let app = RawApp::start(move |mut asked| {
        let (asked_once, left) = noted.clone();
        async move {
            asked_once.store(true, Ordering::SeqCst);
            asked.closed().await;
            left.store(true, Ordering::SeqCst);
            None
        }
    })
    .await;
    let door = door().config(app.config()).start();
    let stream = begin(door.http(), "GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    eventually("the app is asked", || asked_once.load(Ordering::SeqCst)).await;
    drop(stream);
    eventually("the app's connection is closed", || left.load(Ordering::SeqCst)).await;
}

/// Sends `request` and closes; what the app got of it until its connection closed.
async fn cut_short(request: &str) -> String {
    let (sender, mut got) = tokio::sync::mpsc::channel(1);
    let app = RawApp::start(move |mut asked| {
        let sender = sender.clone();
        async move {
            let body = asked.closed().await;
            sender.send(String::from_utf8_lossy(&body).into_owned()).await.unwrap();
            None
        }
    })
    .await;
    let door = door().config(app.config()).start();
    let mut stream = begin(door.http(), request).await;
    stream.shutdown().await.unwrap();
    got.recv().await.unwrap()
}

#[tokio::test]
async fn an_upload_cut_short_is_never_completed() {
    let chunked = "POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let got = cut_short(chunked).await;
    assert!(!got.contains("0\r\n\r\n"), "{got:?}");
    let long = "POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 10\r\n\r\nhello";
    let got = cut_short(long).await;
    assert!(got.len() < 10, "{got:?}");
}

#[tokio::test]
async fn an_early_answer_reaches_the_client_while_it_still_sends() {
    let app = RawApp::start(|mut asked| async move {
        asked.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n").await;
        let body = asked.until("0\r\n\r\n").await;
        let last = body.replace("\r\n", "|");
        asked.send(format!("{:x}\r\n{last}\r\n0\r\n\r\n", last.len())).await;
        Some(asked)
    })
    .await;
    let door = door().config(app.config()).start();
    let head = "POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut stream = begin(door.http(), head).await;
    let mut answer = Vec::new();
    let mut block = [0; 1024];
    while !answer.ends_with(b"early\r\n") {
        let read = stream.read(&mut block).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&block[..read]);
    }
    stream.write_all(b"4\r\nlate\r\n0\r\n\r\n").await.unwrap();
    while !answer.ends_with(b"0\r\n\r\n") {
        let read = stream.read(&mut block).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&block[..read]);
    }
    assert!(String::from_utf8_lossy(&answer).contains("4|late|0||"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn an_app_that_refuses_an_upload_is_heard() {
    let app = RawApp::start(|mut asked| async move {
        asked.body(10).await;
        asked.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig").await;
        None
    })
    .await;
    let door = door().config(app.config()).start();
    let head = "POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 100000000\r\n\r\n0123456789";
    let mut stream = begin(door.http(), head).await;
    let mut answer = Vec::new();
    let mut block = [0; 1024];
    while !answer.ends_with(b"big") {
        let read = stream.read(&mut block).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&block[..read]);
    }
    assert_eq!(wire::status(&String::from_utf8_lossy(&answer)), 413);
}

#[tokio::test]
async fn a_body_of_a_get_is_forwarded_whole() {
    let app = App::start(|request| async move {
        let kind = format!("{:?} ", request.headers().get("transfer-encoding"));
        let body = request.into_body().collect().await.unwrap().to_bytes();
        response(200, kind + &String::from_utf8_lossy(&body))
    })
    .await;
    let door = door().config(app.config()).start();
    let get = |framing: &str, body: &str| {
        format!("GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n{framing}\r\n\r\n{body}")
    };
    let answer = wire::exchange(door.http(), get("Content-Length: 4", "body")).await;
    assert!(answer.ends_with(" body"), "{answer}");
    let answer = wire::exchange(door.http(), get("Transfer-Encoding: chunked", "4\r\nbody\r\n0\r\n\r\n")).await;
    assert!(answer.contains("chunked") && answer.ends_with(" body"), "{answer}");
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let app = App::start(|request| async move {
        let status = request.uri().path().trim_start_matches('/').parse().unwrap_or(200);
        let text = if request.method() == "HEAD" || status == 200 { "hello" } else { "" };
        response(status, text)
    })
    .await;
    let door = door().config(app.config()).start();
    for (request, status) in [("GET /204", 204), ("GET /304", 304), ("HEAD /", 200)] {
        let request = format!("{request} HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n");
        let answer = wire::exchange(door.http(), &request).await;
        assert_eq!(wire::status(&answer), status, "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer:?}");
        let length =
            answer.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
        match status {
            200 => assert_eq!(length.as_deref(), Some("5"), "{answer}"),
            204 => assert_eq!(length, None, "{answer}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_head_answer_without_a_length_gets_none() {
    let app = RawApp::start(|mut asked| async move {
        asked.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        Some(asked)
    })
    .await;
    let door = door().config(app.config()).start();
    let answer = wire::exchange(door.http(), "HEAD / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    assert!(!answer.to_lowercase().contains("content-length"), "{answer}");
}

#[tokio::test]
async fn trailers_reach_a_client_that_wants_them() {
    let app = RawApp::start(|mut asked| async move {
        let answer = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n";
        asked.send(answer).await;
        Some(asked)
    })
    .await;
    let door = door().config(app.config()).start();
    let (body, trailers) = client::get(door.http(), "/", &[("te", "trailers")]).await.end().await;
    assert_eq!(body.as_ref(), b"body");
    assert_eq!(trailers.expect("trailers")["x-sum"], "42");
}

#[tokio::test]
async fn many_streams_at_once_stay_apart() {
    let total = Arc::new(AtomicU64::new(0));
    let app = App::start(|request| async move {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        response(200, [path.as_bytes(), b":", &body].concat())
    })
    .await;
    let door = door().config(app.config()).start();
    let address = door.http();
    let asking: Vec<_> = (0..100)
        .map(|number| {
            let total = Arc::clone(&total);
            tokio::spawn(async move {
                for round in 0..5 {
                    let body = format!("{number}-{round}-").repeat(1 + number * 50);
                    let path = format!("/{number}/{round}");
                    let answer = client::ask(address, "POST", &path, &[], body.clone()).await.bytes().await;
                    assert_eq!(answer, format!("{path}:{body}"));
                    total.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for asked in asking {
        asked.await.unwrap();
    }
    assert_eq!(total.load(Ordering::SeqCst), 500);
}
