//! Promise: bytes that could be read in two ways never reach the app. Each row of HTTP/1.1, byte by byte on a socket.

use crate::harness::raw::{Asked, RawApp, ok};
use crate::harness::{Door, door, wire};

/// An app that says 200 to everything, and a door before it.
async fn bench() -> (RawApp, Door) {
    let app = RawApp::start(|mut asked: Asked| async move {
        asked.send(ok("yes")).await;
        Some(asked)
    })
    .await;
    let door = door().config(app.config()).start();
    (app, door)
}

/// How many answers there are in `text`.
fn answers(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("HTTP/1.")).count()
}

/// Every request must get its status, say `Connection: close`, and be followed by nothing.
async fn refused(requests: &[(&[u8], u16)]) {
    let (app, door) = bench().await;
    for (bytes, status) in requests {
        // What follows must not be read as a request any more.
        let smuggled = [bytes, b"GET /smuggled HTTP/1.1\r\nHost: site.test\r\n\r\n".as_slice()].concat();
        for bytes in [*bytes, smuggled.as_slice()] {
            let text = String::from_utf8_lossy(bytes);
            let answer = wire::exchange(door.http(), bytes).await;
            assert_eq!(wire::status(&answer), *status, "{text:?} got {answer}");
            assert!(answer.to_lowercase().contains("connection: close"), "{text:?} got {answer}");
            assert_eq!(answers(&answer), 1, "{text:?} got {answer}");
        }
    }
    assert_eq!(app.requests(), 0, "the app heard something");
}

fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n{body}").into_bytes()
}

fn get(lines: &str) -> Vec<u8> {
    format!("GET /x HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n").into_bytes()
}

async fn all_refused(requests: impl IntoIterator<Item = (Vec<u8>, u16)>) {
    let requests: Vec<_> = requests.into_iter().collect();
    let requests: Vec<_> = requests.iter().map(|(bytes, status)| (bytes.as_slice(), *status)).collect();
    refused(&requests).await;
}

#[tokio::test]
async fn content_length_and_transfer_encoding_together() {
    all_refused([
        (post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", "0\r\n\r\n"), 400),
    ])
    .await;
}

#[tokio::test]
async fn transfer_encoding_other_than_one_chunked() {
    let values =
        ["chunked, chunked", ",chunked", "chunked,", "gzip, chunked", "", "chunked;x=1", "chun\tked", "\"chunked\""];
    let requests = values.map(|value: &str| (post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n"), 400));
    all_refused(requests).await;
    all_refused([
        (post("Transfer-Encoding: identity\r\n", ""), 501),
        (post("Transfer-Encoding: gzip\r\n", ""), 501),
        (post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), 501),
        (b"POST / HTTP/1.0\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(), 400),
    ])
    .await;
}

#[tokio::test]
async fn content_length_other_than_one_number() {
    let values =
        ["+5", "-5", "0x5", "", "5,5", "5 5", "5.0", "18446744073709551616", "99999999999999999999999", "5\t6"];
    let requests = values.map(|value: &str| (post(&format!("Content-Length: {value}\r\n"), "hello"), 400));
    all_refused(requests).await;
    all_refused([
        (post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), 400),
        (post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400),
    ])
    .await;
}

#[tokio::test]
async fn header_lines_that_are_none() {
    let lines: [&[u8]; 13] = [
        b"Name : x\r\n",
        b"Name\t: x\r\n",
        b" Folded: x\r\n",
        b"A: x\r\n folded\r\n",
        b"A: x\r\n\tfolded\r\n",
        b"A: a\0b\r\n",
        b"A: a\rb\r\n",
        b": x\r\n",
        b"No colon\r\n",
        b"Na(me: x\r\n",
        b"N\xc3\xa4me: x\r\n",
        b"A: \x7f\r\n",
        b"A: \x1b[1m\r\n",
    ];
    let requests = lines.map(|line| ([b"GET /x HTTP/1.1\r\nHost: site.test\r\n", line, b"\r\n"].concat(), 400));
    all_refused(requests).await;
}

#[tokio::test]
async fn bare_line_feeds() {
    refused(&[
        (b"GET /x HTTP/1.1\nHost: site.test\n\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: site.test\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: site.test\r\n\n", 400),
        (b"GET /x HTTP/1.1\nHost: site.test\r\n\r\n", 400),
        (b"\nGET /x HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: site.test\r\nA: b\nX: y\r\n\r\n", 400),
    ])
    .await;
}

#[tokio::test]
async fn hosts_that_are_none_or_two() {
    let hosts = [
        "",
        "a/evil",
        "a@evil",
        "a,b",
        "a b",
        "a:b",
        "a:",
        "a:0",
        "a:99999",
        "a:+80",
        "a:80:80",
        "[::1",
        "a?b",
        "a#b",
        "a\\b",
        "a%2fb",
        "[::1]evil",
        "a..b",
        "\u{e4}",
    ];
    let requests = hosts.map(|host| (format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes(), 400));
    all_refused(requests).await;
    refused(&[
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: site.test\r\nHost: evil.test\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: site.test\r\nHost: site.test\r\n\r\n", 400),
        (b"GET http://site.test/ HTTP/1.1\r\n\r\n", 400),
    ])
    .await;
}

#[tokio::test]
async fn targets_in_the_wrong_form() {
    refused(&[
        (b"GET http://evil.test/ HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET http://site.test#x/ HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET http://site.test#\xfb/ HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET http://user@site.test/ HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET https://site.test/ HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET http://site.test:81/ HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET ftp://site.test/ HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET site.test:80 HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET ?x HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
    ])
    .await;
}

#[tokio::test]
async fn targets_with_characters_of_two_meanings() {
    let targets: [&[u8]; 11] = [
        b"/\\evil",
        b"/a\\b",
        b"/a\tb",
        b"/a b",
        b"/\x01",
        b"/?q=\x01",
        b"/\x7f",
        b"/?q=\x7f",
        b"/a%00b",
        b"/a#b",
        b"/?a#b",
    ];
    let requests = targets.map(|target| ([b"GET ", target, b" HTTP/1.1\r\nHost: site.test\r\n\r\n"].concat(), 400));
    all_refused(requests).await;
}

#[tokio::test]
async fn versions_and_methods() {
    refused(&[
        (b"GET /x\r\n\r\n", 400),
        (b"GET /x\r\n", 400),
        (b"GET /x HTTP/1.2\r\nHost: site.test\r\n\r\n", 505),
        (b"GET /x HTTP/2.0\r\nHost: site.test\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /x HTTP/0.9\r\nHost: site.test\r\n\r\n", 505),
        (b"GET /x HTTP/1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET /x HTTPS/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET /x http/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"G@T /x HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET  /x HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"GET\t/x HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b" GET /x HTTP/1.1\r\nHost: site.test\r\n\r\n", 400),
        (b"\x16\x02\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\n\r\n", 405),
        (b"CONNECT /x HTTP/1.1\r\nHost: site.test\r\n\r\n", 405),
        (b"TRACE / HTTP/1.1\r\nHost: site.test\r\nCookie: a=b\r\n\r\n", 405),
        (b"TRACK / HTTP/1.1\r\nHost: site.test\r\n\r\n", 405),
    ])
    .await;
}

#[tokio::test]
async fn a_line_that_is_no_request_is_refused_before_its_head_ends() {
    let (app, door) = bench().await;
    // Nothing more comes, and nothing is awaited: HTTP/0.9 had no more than its line.
    for (line, status) in
        [("GET /v", 400), ("GET", 400), ("GET /v HTTP/1.2", 505), ("GET /v HTTP/0.9", 505), ("GET /v http/1.1", 400)]
    {
        let answer = wire::exchange(door.http(), format!("{line}\r\n")).await;
        assert_eq!(wire::status(&answer), status, "{line:?} got {answer}");
        door.wait_for_log(|logged| {
            logged["target"] == "access" && logged["status"] == status && !logged["client"].is_null()
        });
    }
    assert_eq!(app.requests(), 0);
}

#[tokio::test]
async fn a_405_says_what_is_allowed() {
    let (_app, door) = bench().await;
    let answer = wire::exchange(door.http(), "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").await;
    assert!(answer.to_lowercase().contains("allow: get, head, post"), "{answer}");
}

#[tokio::test]
async fn other_expectations() {
    all_refused([
        (post("Expect: 200-ok\r\nContent-Length: 0\r\n", ""), 417),
        (get("Expect: 100-continue, x\r\n"), 417),
        (get("Expect: 100-continue\r\nExpect: x\r\n"), 417),
    ])
    .await;
}

#[tokio::test]
async fn heads_over_their_limits() {
    let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    let long = format!("X: {}\r\n", "y".repeat(12 * 1024));
    let target = format!("GET /{} HTTP/1.1\r\nHost: site.test\r\n\r\n", "x".repeat(8 * 1024)).into_bytes();
    let endless = format!("GET /x HTTP/1.1\r\nX: {}", "y".repeat(20 * 1024)).into_bytes();
    let no_line = "x".repeat(20 * 1024).into_bytes();
    all_refused([(get(&many), 431), (get(&long), 431), (target, 414), (endless, 431), (no_line, 414)]).await;
}

#[tokio::test]
async fn heads_at_their_limits_are_served() {
    let (_app, door) = bench().await;
    let many: String = (0..98).map(|n| format!("X-{n}: y\r\n")).collect();
    let long = format!("X: {}\r\n", "y".repeat(12 * 1024 - 100));
    let target = format!("GET /{} HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n", "x".repeat(8 * 1024 - 1));
    for request in [get(&(many + "Connection: close\r\n")), get(&(long + "Connection: close\r\n")), target.into_bytes()]
    {
        let answer = wire::exchange(door.http(), &request).await;
        assert_eq!(wire::status(&answer), 200, "{answer}");
    }
}

#[tokio::test]
async fn a_refusal_comes_after_the_answers_before_it() {
    let (app, door) = bench().await;
    let pipelined = [get(""), get(""), b"GET / HTTP/1.1\r\nbad\r\n\r\n".to_vec(), get("")].concat();
    let answer = wire::exchange(door.http(), pipelined).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 3, "{answer}");
    assert!(answer.rfind("400 Bad Request").unwrap() > answer.rfind("200 OK").unwrap(), "{answer}");
    assert_eq!(app.requests(), 2);
}

#[tokio::test]
async fn refusals_are_logged_counted_and_look_as_the_client_likes() {
    let (_app, door) = bench().await;
    let bad = "GET /bad?token=secret HTTP/1.1\r\nHost: site.test\r\nAccept: text/html\r\nX : y\r\n\r\n";
    let answer = wire::exchange(door.http(), bad).await;
    assert!(answer.contains("<h1>400 Bad Request</h1>"), "{answer}");
    assert!(answer.to_lowercase().contains("x-request-id: "), "{answer}");
    let line = door.wait_for_log(|line| line["target"] == "access" && line["path"] == "/bad");
    assert_eq!(line["status"], 400, "{line}");
    assert!(!door.output().contains("secret"));
    let json = bad.replace("text/html", "application/json");
    let answer = wire::exchange(door.http(), json).await;
    assert!(answer.contains("\"status\":400"), "{answer}");
    door.wait_for_metric("http_refusals_total{reason=\"header\"}", 2.0).await;
    let head = bad.replacen("GET", "HEAD", 1);
    let answer = wire::exchange(door.http(), head).await;
    assert_eq!(wire::status(&answer), 400);
    assert!(answer.ends_with("\r\n\r\n"), "a page for HEAD: {answer}");
}

#[tokio::test]
async fn one_byte_at_a_time_changes_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (app, door) = bench().await;
    let good = get("Connection: close\r\n");
    for (bytes, status) in
        [(good, 200), (get("X : y\r\n"), 400), (post("Content-Length: 1\r\nContent-Length: 1\r\n", "x"), 400)]
    {
        let mut stream = tokio::net::TcpStream::connect(door.http()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in bytes {
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(wire::status(&answer), status, "{answer}");
    }
    assert_eq!(app.requests(), 1);
}
