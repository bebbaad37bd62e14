//! Promise: compression holds no chunk back, ends as the app ended, and takes little memory.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::harness::{App, Feed, PATIENCE, client, decode, door, streamed};

/// An app that begins an answer and leaves the rest to the test.
async fn fed(kind: &'static str) -> (App, mpsc::UnboundedReceiver<Feed>) {
    let (feeds, fed) = mpsc::unbounded_channel();
    let app = App::start(move |_| {
        let feeds = feeds.clone();
        async move {
            let (mut answer, feed) = streamed(200);
            answer.headers_mut().insert("content-type", kind.parse().unwrap());
            feeds.send(feed).expect("the test listens");
            answer
        }
    })
    .await;
    (app, fed)
}

/// Reads until what has been decoded ends with `end`.
async fn read_until(answer: &mut client::Answer, decoder: &mut decode::Decoder, end: &str) {
    let mut so_far = decoder.push(b"").to_vec();
    while !so_far.ends_with(end.as_bytes()) {
        let chunk = answer.chunk().await.unwrap_or_else(|| panic!("ended at {}", String::from_utf8_lossy(&so_far)));
        so_far = decoder.push(&chunk).to_vec();
    }
}

#[tokio::test]
async fn a_chunk_arrives_before_the_next_is_sent() {
    for kind in ["text/html", "text/x-component", "text/event-stream"] {
        let (app, mut feeds) = fed(kind).await;
        let door = door().config(app.config()).start();
        for coding in ["br", "zstd", "gzip", "identity"] {
            let mut answer = client::get(door.http(), "/", &[("accept-encoding", coding)]).await;
            let said = answer.header("content-encoding");
            assert_eq!(said, coding.replace("identity", ""), "{kind}: the head comes before any chunk");
            let mut feed = feeds.recv().await.expect("the app was asked");
            let mut decoder = decode::Decoder::new(&said);
            for turn in 0..20 {
                let chunk = format!("<p>chunk {turn} of {kind}</p>\n");
                feed.send_data(Bytes::from(chunk.clone())).await.expect("the door reads");
                // Nothing more is sent until this has been read and decoded.
                read_until(&mut answer, &mut decoder, &chunk).await;
            }
            drop(feed);
            assert!(answer.bytes().await.len() < 20, "only the end of the stream is left");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_ended_properly() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let half = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
            let _ = stream.write_all(half.as_bytes()).await;
            // Dropped here: the last chunk never comes.
        }
    });
    let door = door().config(format!("[app]\nurl = \"http://{address}\"\n")).start();
    for coding in ["br", "zstd", "gzip"] {
        let mut answer = client::get(door.http(), "/", &[("accept-encoding", coding)]).await;
        assert_eq!(answer.header("content-encoding"), coding);
        let broken = loop {
            match answer.piece().await {
                Some(Ok(_)) => continue,
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        assert!(broken, "{coding}: half an answer must not look like a whole one");
    }
    app.abort();
}

#[tokio::test]
async fn a_long_answer_takes_constant_memory_and_is_counted() {
    const LENGTH: u64 = 128 * 1024 * 1024;
    let (app, mut feeds) = fed("text/plain").await;
    let door = door().config(app.config()).start();
    let mut answer = client::get(door.http(), "/", &[("accept-encoding", "zstd")]).await;
    let mut feed = feeds.recv().await.unwrap();
    let before = door.resident();
    let feeding = tokio::spawn(async move {
        // Random enough not to vanish: what is held back would be seen.
        let mut seed = 1_u64;
        let mut piece = || {
            let mut words = String::with_capacity(64 * 1024);
            while words.len() < 64 * 1024 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                words.push_str(&format!("{:08x}", seed >> 32));
            }
            Bytes::from(words)
        };
        for _ in 0..LENGTH / (64 * 1024) {
            feed.send_data(piece()).await.expect("the door reads");
        }
    });
    let mut coded = 0;
    let mut most = before;
    while let Some(chunk) = answer.chunk().await {
        coded += chunk.len() as u64;
        most = most.max(door.resident());
    }
    feeding.await.unwrap();
    let grown = most.saturating_sub(before) / 1024 / 1024;
    assert!(grown < 48, "{grown} MiB for an answer of 128 MiB");
    door.wait_for_metric("compress_in_bytes_total", LENGTH as f64).await;
    door.wait_for_metric("compress_out_bytes_total", coded as f64).await;
    door.wait_for_metric("compress_answers_total{encoding=\"zstd\"}", 1.0).await;
}

#[tokio::test]
async fn open_streams_share_a_bounded_memory_and_the_rest_go_plain() {
    const STREAMS: usize = 200;
    let (app, mut feeds) = fed("text/event-stream").await;
    let door = door().config(format!("{}[compress]\nmemory = \"16MiB\"\n", app.config())).start();
    let before = door.resident();
    let (mut open, mut coded) = (Vec::new(), 0);
    for _ in 0..STREAMS {
        let mut answer = client::get(door.http(), "/", &[("accept-encoding", "zstd")]).await;
        let coding = answer.header("content-encoding");
        let mut decoder = decode::Decoder::new(&coding);
        let mut feed = feeds.recv().await.unwrap();
        feed.send_data(Bytes::from_static(b"data: first\n\n")).await.unwrap();
        read_until(&mut answer, &mut decoder, "data: first\n\n").await;
        coded += usize::from(!coding.is_empty());
        open.push((answer, decoder, feed));
    }
    assert!((10..100).contains(&coded), "{coded} of {STREAMS} fit into half of 16 MiB");
    let refused = door.metric("compress_refused_total").await;
    assert_eq!(refused, (STREAMS - coded) as f64);
    let page = client::get(door.http(), "/", &[("accept-encoding", "zstd")]).await;
    drop((page, feeds.recv().await));
    let grown = door.resident().saturating_sub(before) / 1024 / 1024;
    assert!(grown < 48, "{grown} MiB for {STREAMS} streams");
    // All of them live on, coded or plain.
    for (answer, decoder, feed) in &mut open {
        feed.send_data(Bytes::from_static(b"data: second\n\n")).await.unwrap();
        read_until(answer, decoder, "data: second\n\n").await;
    }
    drop(open);
    // What they held comes back: the next stream is coded again.
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = client::get(door.http(), "/", &[("accept-encoding", "zstd")]).await;
        drop(feeds.recv().await);
        if answer.header("content-encoding") == "zstd" {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the memory of closed streams is never given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
