//! Promise: a request's body is whole, in time and within its limit, or the app never takes it for a whole one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::raw::{Asked, RawApp, eventually, ok};
use crate::harness::{Door, door, wire};

/// An app that waits for whole bodies, and keeps those that broke off.
struct Bench {
    door: Door,
    app: RawApp,
    broken: Arc<Mutex<Vec<String>>>,
}

async fn bench(config: &str) -> Bench {
    let broken = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&broken);
    let app = RawApp::start(move |mut asked: Asked| {
        let kept = Arc::clone(&kept);
        async move {
            let length = asked.header("content-length").parse().ok();
            let body = match length {
                Some(length) => String::from_utf8_lossy(&asked.body(length).await).into_owned(),
                None => asked.until("0\r\n\r\n").await,
            };
            let is_whole = length.map_or(body.ends_with("0\r\n\r\n"), |length| body.len() == length);
            if !is_whole {
                kept.lock().unwrap().push(body);
                return None;
            }
            asked.send(ok("whole")).await;
            Some(asked)
        }
    })
    .await;
    let door = door().config(app.config() + config).start();
    Bench { door, app, broken }
}

const CHUNKED: &str = "POST /x HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n";
const SIZED: &str = "POST /x HTTP/1.1\r\nHost: site.test\r\nContent-Length: 100\r\n\r\n";

#[tokio::test]
async fn malformed_chunks() {
    let bench = bench("").await;
    let bodies = [
        "g\r\n",
        "-1\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
        "5\r\nhello\r\n0\r\n folded\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
    ];
    for body in bodies {
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: site.test\r\n\r\n";
        let answer = wire::exchange(bench.door.http(), format!("{CHUNKED}{body}{smuggled}")).await;
        assert_eq!(wire::status(&answer), 400, "{body:?} got {answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{body:?} got {answer}");
    }
    for broken in bench.broken.lock().unwrap().iter() {
        assert!(!broken.contains("smuggled"), "{broken:?}");
    }
}

#[tokio::test]
async fn a_body_cut_short_is_never_completed() {
    let bench = bench("").await;
    for (bytes, count) in
        [(format!("{SIZED}half"), 1), (format!("{CHUNKED}5\r\nhel"), 2), (format!("{CHUNKED}5\r\nhello\r\n"), 3)]
    {
        let mut stream = TcpStream::connect(bench.door.http()).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        eventually("the request reaches the app", || bench.app.requests() == count).await;
        drop(stream);
        eventually("the app sees it break off", || bench.broken.lock().unwrap().len() == count).await;
    }
}

#[tokio::test]
async fn a_body_that_stops_is_a_408() {
    let bench = bench("[http]\nbody_timeout = \"300ms\"\n").await;
    for bytes in [format!("{SIZED}half"), format!("{CHUNKED}5\r\nhel")] {
        let answer = wire::exchange(bench.door.http(), bytes).await;
        assert_eq!(wire::status(&answer), 408, "{answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    }
    eventually("the app sees both break off", || bench.broken.lock().unwrap().len() == 2).await;
}

#[tokio::test]
async fn a_body_that_drips_is_a_408_and_one_that_flows_is_not() {
    let bench = bench("[http]\nbody_timeout = \"500ms\"\nmin_progress = \"40\"\n").await;
    for (piece, expected) in [(1, 408), (10, 200)] {
        let mut stream = TcpStream::connect(bench.door.http()).await.unwrap();
        stream.write_all(SIZED.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let dripping = tokio::spawn(async move {
            for _ in 0..100 / piece {
                // The pace is what is tested: 10 or 100 bytes a second.
                tokio::time::sleep(Duration::from_millis(if piece == 1 { 100 } else { 60 })).await;
                if writer.write_all(&vec![b'x'; piece]).await.is_err() {
                    break;
                }
            }
            writer
        });
        let mut answer = vec![0; 12];
        reader.read_exact(&mut answer).await.unwrap();
        assert_eq!(wire::status(&String::from_utf8_lossy(&answer)), expected);
        dripping.abort();
    }
}

#[tokio::test]
async fn bodies_over_the_limit_are_413() {
    let bench = bench("[http]\nmax_body = \"10\"\n").await;
    // A length that is known is refused at once, before a byte of it is there.
    for body in ["", &"x".repeat(100)] {
        let answer = wire::exchange(bench.door.http(), format!("{SIZED}{body}")).await;
        assert_eq!(wire::status(&answer), 413, "{answer}");
    }
    assert_eq!(bench.app.requests(), 0);
    let answer =
        wire::exchange(bench.door.http(), format!("{CHUNKED}8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n")).await;
    assert_eq!(wire::status(&answer), 413, "{answer}");
    let fits = "POST /x HTTP/1.1\r\nHost: site.test\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123456789";
    assert_eq!(wire::status(&wire::exchange(bench.door.http(), fits).await), 200);
}

#[tokio::test]
async fn a_refused_upload_still_hears_why() {
    let bench = bench("[http]\nmax_body = \"1MiB\"\n").await;
    let mut bytes = b"POST /x HTTP/1.1\r\nHost: site.test\r\nContent-Length: 8000000\r\n\r\n".to_vec();
    bytes.resize(bytes.len() + 8_000_000, b'x');
    // A reset would lose the answer that is already on its way.
    for _ in 0..5 {
        let answer = wire::exchange(bench.door.http(), &bytes).await;
        assert_eq!(wire::status(&answer), 413, "{answer}");
    }
}

#[tokio::test]
async fn split_bodies_arrive_whole_before_the_next_request() {
    let bench = bench("").await;
    let body = "x".repeat(100_000);
    let first = format!("POST /a HTTP/1.1\r\nHost: site.test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let second = format!("{CHUNKED}186a0\r\n{body}\r\n0\r\n\r\n");
    let last = "POST /c HTTP/1.1\r\nHost: site.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = wire::exchange(bench.door.http(), format!("{first}{second}{last}")).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "{answer}");
    assert_eq!(bench.app.requests(), 3);
}

/// Asked of the door itself, which answers without reading what comes with it.
const UNREAD: &str = "/api/ws/room HTTP/1.1\r\nHost: site.test\r\n";

/// What comes first of an answer to `request`, followed by one more request.
async fn answered_unread(bench: &Bench, request: &str) -> (String, bool) {
    let next = "POST /next HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
    let before = bench.app.requests();
    let answer = wire::exchange(bench.door.http(), format!("{request}{next}")).await;
    (answer, bench.app.requests() > before)
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_passed_over() {
    let bench = bench("").await;
    for body in [
        "Content-Length: 5\r\n\r\nhello".to_owned(),
        format!("Content-Length: 60000\r\n\r\n{}", "x".repeat(60_000)),
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nagain\r\n0\r\n\r\n".to_owned(),
    ] {
        let (answer, came) = answered_unread(&bench, &format!("PUT {UNREAD}{body}")).await;
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        assert!(!head.contains("connection: close") && came, "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_is_not_kept_is_said_not_to_be() {
    let bench = bench("").await;
    let long = "x".repeat(300_000);
    for rest in [
        // Longer than is read for nothing; not there; and not asked for.
        format!("Content-Length: 300000\r\n\r\n{long}"),
        format!("Transfer-Encoding: chunked\r\n\r\n493e0\r\n{long}\r\n0\r\n\r\n"),
        "Content-Length: 1000\r\n\r\nhello".to_owned(),
        "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n".to_owned(),
    ] {
        let answer = wire::exchange(bench.door.http(), format!("PUT {UNREAD}{rest}")).await;
        assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    let old = UNREAD.replace("HTTP/1.1", "HTTP/1.0");
    let request = format!("PUT {old}Connection: keep-alive\r\nContent-Length: 300000\r\n\r\n{long}");
    let answer = wire::exchange(bench.door.http(), request).await.to_lowercase();
    assert!(answer.contains("\r\nconnection: close\r\n") && !answer.contains("keep-alive"), "{answer}");
}

#[tokio::test]
async fn an_app_that_answers_before_the_end_of_a_body() {
    // It reads the head alone. What it says is short, and its connection stays.
    let app = RawApp::start(|mut asked: Asked| async move {
        asked.send(ok("enough")).await;
        asked.closed().await;
        None
    })
    .await;
    let door = door().config(app.config()).start();
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(format!("{SIZED}{}", "x".repeat(50)).as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(wire::status(&answer), 200, "{answer}");
    assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("enough"), "{answer}");
}
