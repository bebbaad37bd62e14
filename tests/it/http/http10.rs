//! Promise: clients of HTTP/1.0 are served, as health checks of balancers are, and told when the connection closes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::raw::{Asked, RawApp, ok};
use crate::harness::{Door, PATIENCE, door, wire};

/// An app that says its own `Host` line back, and under `/stream` something without a length.
async fn bench(config: &str) -> (RawApp, Door) {
    let app = RawApp::start(|mut asked: Asked| async move {
        match asked.target() {
            "/stream" => {
                let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nHTTP/1.0 \r\n";
                asked.send(chunked).await;
                asked.send("9\r\nHTTP/1.0 \r\n0\r\n\r\n").await;
            }
            _ => {
                let names = [asked.header("host"), asked.header("x-forwarded-host")].join(" ");
                asked.send(ok(&names)).await;
            }
        }
        Some(asked)
    })
    .await;
    let door = door().config(app.config() + config).start();
    (app, door)
}

/// The head and the body of the only answer.
fn parts(answer: &str) -> (String, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    (head.to_lowercase(), body)
}

#[tokio::test]
async fn a_request_without_host_is_for_the_address_it_came_to() {
    let (_app, door) = bench("").await;
    let address = door.http().to_string();
    // The first is what HAProxy asks by default, the last what old proxies do.
    for (request, name) in [
        ("OPTIONS / HTTP/1.0\r\n\r\n", address.as_str()),
        ("GET / HTTP/1.0\r\n\r\n", &address),
        ("GET / HTTP/1.0\r\nHost: site.test\r\n\r\n", "site.test"),
        ("GET http://site.test/ HTTP/1.0\r\n\r\n", "site.test"),
    ] {
        let answer = wire::exchange(door.http(), request).await;
        assert_eq!(wire::status(&answer), 200, "{request:?} got {answer}");
        assert_eq!(parts(&answer).1, format!("{name} {name}"), "{request:?}");
    }
    for request in
        ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.0\r\nHost:\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"]
    {
        let answer = wire::exchange(door.http(), request).await;
        assert_eq!(wire::status(&answer), 400, "{request:?} got {answer}");
    }
}

#[tokio::test]
async fn a_site_that_has_names_refuses_it_without_one() {
    let (app, door) = bench("[http]\nhosts = [\"site.test\"]\n").await;
    let answer = wire::exchange(door.http(), "OPTIONS / HTTP/1.0\r\n\r\n").await;
    assert_eq!(wire::status(&answer), 421, "{answer}");
    assert_eq!(app.requests(), 0);
    let answer = wire::exchange(door.http(), "OPTIONS / HTTP/1.0\r\nHost: site.test\r\n\r\n").await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
}

#[tokio::test]
async fn http_1_0_answers_have_1_1_form_and_say_close() {
    let (_app, door) = bench("").await;
    let long = "a".repeat(2000);
    for (request, status) in [
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), 200),
        ("GET /stream HTTP/1.0\r\n\r\n".to_owned(), 200),
        // Only the close can say where it ends, whatever the client asks.
        ("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(), 200),
        ("GET / HTTP/1.0\r\nbad\r\n\r\n".to_owned(), 400),
        (format!("GET /{long}\tx HTTP/1.0\r\n\r\n"), 400),
    ] {
        let answer = wire::exchange(door.http(), &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?} got {answer}");
        let (head, body) = parts(&answer);
        assert_eq!(head.matches("\r\nconnection: close").count(), 1, "{request:?} got {answer}");
        assert!(!head.contains("keep-alive") && !head.contains("transfer-encoding"), "{request:?} got {answer}");
        if request.contains("/stream") {
            assert_eq!(body, "HTTP/1.0 HTTP/1.0 ", "what only looks like a head stays");
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_kept_says_so_each_time() {
    let (_app, door) = bench("").await;
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    for number in 0..3 {
        stream.write_all(b"GET / HTTP/1.0\r\nHost: site.test\r\nConnection: keep-alive\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("site.test site.test") {
            let mut block = [0; 1024];
            let read =
                tokio::time::timeout(PATIENCE, stream.read(&mut block)).await.expect("an answer in time").unwrap();
            assert!(read > 0, "closed at {number} after {answer:?}");
            answer.push_str(std::str::from_utf8(&block[..read]).unwrap());
        }
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{number}: {answer}");
        assert!(parts(&answer).0.contains("\r\nconnection: keep-alive"), "{number}: {answer}");
    }
}

#[tokio::test]
async fn over_tls_it_is_the_same() {
    let (app, _) = bench("").await;
    let site = crate::harness::frames::Site::new(&app.config());
    let mut stream = site.http1().await;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (head, body) = parts(&answer);
    assert!(head.contains("\r\nconnection: close"), "{answer}");
    let address = site.door.https();
    assert_eq!(body, format!("{address} {address}"));
}
