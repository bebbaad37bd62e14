//! Promise: an answer that two readers could read in two ways never reaches a client; it is a 502, and the connection to
//! the app is closed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::harness::raw::{Asked, RawApp, eventually, ok};
use crate::harness::{client, door, wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n";

/// Every answer of `answers` is refused, and does not spoil the next request.
async fn refused(method: &str, answers: &[&str]) {
    for answer in answers {
        let bad = (*answer).to_owned();
        let closed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let noted = std::sync::Arc::clone(&closed);
        let app = RawApp::start(move |mut asked| {
            let (bad, noted) = (bad.clone(), std::sync::Arc::clone(&noted));
            async move {
                if asked.target() == "/good" {
                    asked.send(ok("good")).await;
                    return Some(asked);
                }
                asked.send(bad).await;
                asked.closed().await;
                noted.store(true, std::sync::atomic::Ordering::SeqCst);
                None
            }
        })
        .await;
        let door = door().config(app.config()).start();
        let request = format!("{method} / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n");
        let got = wire::exchange(door.http(), request).await;
        // Interim answers may have gone before.
        let last = got.rfind("HTTP/1.1 ").map_or("", |at| &got[at..]);
        assert_eq!(wire::status(last), 502, "{answer:?} gave {got:?}");
        eventually("the app's connection is closed", || closed.load(std::sync::atomic::Ordering::SeqCst)).await;
        let good = client::get(door.http(), "/good", &[]).await;
        assert_eq!((good.status, good.bytes().await.as_ref()), (200, b"good".as_slice()), "after {answer:?}");
    }
}

#[tokio::test]
async fn two_framings_are_refused() {
    refused(
        "GET",
        &[
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn malformed_heads_are_refused() {
    refused(
        "GET",
        &[
            "HTTP/1.1 200 OK\r\nX-A: b\rSet-Cookie: evil\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX-A: b\0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX A: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\n\r\n",
            "HTTP/1.1 20x OK\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_protocol_nobody_asked_for_is_refused() {
    refused("GET", &["HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"]).await;
}

#[tokio::test]
async fn a_flood_of_interim_answers_is_refused() {
    let flood = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(101) + &ok("late");
    refused("GET", &[&flood]).await;
}

/// Asks `method` of an app that says `head`, and then content which looks like an answer: `at_once`, or when the next
/// request has come. What that request gets must be its own.
async fn strays(method: &'static str, head: &'static str, at_once: bool) {
    const FORGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let strayed = Arc::new(Mutex::new(HashSet::new()));
    let app = RawApp::start(move |mut asked: Asked| {
        let strayed = Arc::clone(&strayed);
        async move {
            // On the connection of a stray answer, its content comes just when the next answer is awaited.
            if strayed.lock().unwrap().contains(&asked.peer) {
                asked.send(FORGED).await;
            } else if asked.target() == "/good" {
                asked.send(ok("honest")).await;
            } else {
                strayed.lock().unwrap().insert(asked.peer);
                let content = if at_once { FORGED } else { "" };
                asked.send([head, content].concat()).await;
            }
            Some(asked)
        }
    })
    .await;
    let door = door().config(app.config()).start();
    let status = head.split(' ').nth(1).unwrap();
    for _ in 0..10 {
        let request = format!("{method} / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n");
        let got = wire::exchange(door.http(), request).await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?} {at_once} gave {got:?}");
        assert!(got.ends_with("\r\n\r\n"), "content in {got:?}");
        let honest = client::get(door.http(), "/good", &[]).await;
        assert_eq!(honest.bytes().await.as_ref(), b"honest".as_slice(), "after {head:?} {at_once}");
    }
}

#[tokio::test]
async fn stray_body_is_discarded_with_its_connection() {
    for (method, head) in [
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 44\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 44\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n"),
        ("HEAD", "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ] {
        strays(method, head, true).await;
        strays(method, head, false).await;
    }
    // What does not even announce it, and what is no answer.
    strays("GET", "HTTP/1.1 204 No Content\r\n\r\n", true).await;
    strays("GET", "HTTP/1.1 304 Not Modified\r\n\r\nbody", true).await;
    strays("HEAD", "HTTP/1.1 200 OK\r\n\r\nbody", true).await;
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let endless = format!("HTTP/1.1 200 OK\r\nX-A: {}", "a".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: b\r\n".repeat(9000));
    refused("GET", &[&endless, &many]).await;
}

#[tokio::test]
async fn as_many_fields_pass_as_a_head_has_room_for() {
    for count in [160, 161, 2000] {
        let fields: String = (0..count).map(|number| format!("X-{number}: y\r\n")).collect();
        let app = RawApp::saying(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\nbody")).await;
        let door = door().config(app.config()).start();
        let answer = wire::exchange(door.http(), GET).await;
        assert_eq!(wire::status(&answer), 200, "{count}: {}", &answer[..200]);
        let names = answer.lines().filter(|line| line.starts_with("x-") && line.ends_with(": y")).count();
        assert_eq!((names, wire::body(&answer)), (count, "body"));
    }
}

#[tokio::test]
async fn equal_lengths_are_one() {
    for lengths in ["5\r\nContent-Length: 5", "5, 5", "05\r\nContent-Length: 5,5"] {
        let app = RawApp::saying(format!("HTTP/1.1 200 OK\r\nContent-Length: {lengths}\r\n\r\nhello")).await;
        let door = door().config(app.config()).start();
        let answer = wire::exchange(door.http(), GET).await;
        assert_eq!(wire::status(&answer), 200, "{lengths:?} gave {answer}");
        assert_eq!(answer.to_lowercase().matches("content-length").count(), 1, "{answer}");
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    }
}

/// What a wrong body does to the client: it never gets anything that looks whole.
async fn breaks_off(answer: &str) {
    let app = RawApp::start({
        let answer = answer.to_owned();
        move |mut asked| {
            let answer = answer.clone();
            async move {
                asked.send(answer).await;
                None
            }
        }
    })
    .await;
    let door = door().config(app.config()).start();
    let got = wire::exchange(door.http(), GET).await;
    let body = got.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let is_whole = if got.to_lowercase().contains("content-length: 10") {
        body.len() == 10
    } else {
        got.to_lowercase().contains("content-length") || body.ends_with("0\r\n\r\n")
    };
    assert!(!is_whole, "{answer:?} gave {got:?}");
}

#[tokio::test]
async fn a_body_cut_short_looks_cut_short_to_the_client() {
    breaks_off("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    breaks_off("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    breaks_off("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n").await;
}

#[tokio::test]
async fn malformed_chunks_break_off() {
    for body in ["5\r\nhelloX\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "xyz\r\n", "-1\r\n", "fffffffffffffffff\r\n"] {
        breaks_off(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n{body}")).await;
    }
}

#[tokio::test]
async fn bytes_behind_an_answer_never_become_the_next_one() {
    let stray = ok("first") + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let app = RawApp::start(move |mut asked| {
        let stray = stray.clone();
        async move {
            let answer = if asked.target() == "/stray" { stray } else { ok("honest") };
            asked.send(answer).await;
            Some(asked)
        }
    })
    .await;
    let door = door().config(app.config()).start();
    for _ in 0..20 {
        assert_eq!(client::get(door.http(), "/stray", &[]).await.bytes().await.as_ref(), b"first");
        assert_eq!(client::get(door.http(), "/", &[]).await.bytes().await.as_ref(), b"honest");
    }
}

#[tokio::test]
async fn an_answer_until_close_is_whole() {
    let app = RawApp::start(|mut asked| async move {
        asked.send("HTTP/1.0 200 OK\r\n\r\nold but honest").await;
        None
    })
    .await;
    let door = door().config(app.config()).start();
    let answer = client::get(door.http(), "/", &[]).await;
    assert_eq!(answer.bytes().await.as_ref(), b"old but honest");
}
