//! Promise: frames travel by polling both ways, and a client that breaks the rules loses its session, not the door.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::polling::{open, text};
use crate::harness::client::ask;
use crate::harness::{Door, PATIENCE, door, wire};

/// A GET that waits: what it is answered with is what `exchange` reads to its end.
fn waiting(door: &Door, target: &str) -> tokio::task::JoinHandle<String> {
    let (address, target) = (door.http(), target.to_owned());
    tokio::spawn(async move { wire::get(address, &target).await })
}

#[tokio::test]
async fn several_packets_travel_in_one_body() {
    let door = door().start();
    let session = open(&door).await;
    session.say("6\u{1e}40\u{1e}6").await;
    assert!(session.hear().await.starts_with("40{\"sid\":\""));
}

#[tokio::test]
async fn a_reader_waits_until_there_is_something() {
    let door = door().config("[[realtime.socketio]]\nping_interval = \"300ms\"\n").start();
    let session = open(&door).await;
    for _ in 0..3 {
        assert_eq!(session.hear().await, "2");
        session.say("3").await;
    }
    session.say("40").await;
    let heard = session.hear().await;
    assert!(heard.starts_with("40{\"sid\":\"") || heard.starts_with("2\u{1e}40"), "{heard}");
}

#[tokio::test]
async fn a_silent_client_is_given_up() {
    let config = "[[realtime.socketio]]\nping_interval = \"200ms\"\nping_timeout = \"300ms\"\n";
    let door = door().config(config).start();
    let session = open(&door).await;
    assert_eq!(session.hear().await, "2");
    assert_eq!(session.hear().await, "1");
    session.is_gone().await;
    let line = door.wait_for_log(|line| line["message"] == "socket closed");
    assert_eq!((&line["reason"], &line["dialect"]), (&"ping timeout".into(), &"socketio".into()));
}

#[tokio::test]
async fn a_client_that_closes_is_answered_and_its_reader_released() {
    let door = door().start();
    let session = open(&door).await;
    let reader = waiting(&door, &session.target());
    door.wait_for_metric("http_requests_in_flight", 1.0).await;
    session.say("1").await;
    assert_eq!(wire::body(&reader.await.unwrap()), "6");
    session.is_gone().await;
    let line = door.wait_for_log(|line| line["message"] == "socket closed");
    assert_eq!(line["reason"], "transport close");
}

#[tokio::test]
async fn two_readers_at_the_same_time_end_the_session() {
    let door = door().start();
    let session = open(&door).await;
    let (first, second) = (waiting(&door, &session.target()), waiting(&door, &session.target()));
    let mut answers = [first.await.unwrap(), second.await.unwrap()].map(|answer| (wire::status(&answer), answer));
    answers.sort();
    assert_eq!((answers[0].0, wire::body(&answers[0].1)), (200, "1"), "the first is told that it is over");
    assert_eq!((answers[1].0, wire::body(&answers[1].1)), (400, ""), "the second that it must not be");
    session.is_gone().await;
    let line = door.wait_for_log(|line| line["message"] == "socket closed");
    assert_eq!(line["reason"], "transport error");
}

#[tokio::test]
async fn two_writers_at_the_same_time_end_the_session() {
    let door = door().start();
    let session = open(&door).await;
    let mut first = TcpStream::connect(door.http()).await.unwrap();
    let head = format!("POST {} HTTP/1.1\r\nHost: site.test\r\nContent-Length: 10\r\n\r\n4", session.target());
    first.write_all(head.as_bytes()).await.unwrap();
    // The door has the first in its hands when it refuses the second.
    let deadline = std::time::Instant::now() + PATIENCE;
    while session.write("6").await.0 != 400 {
        assert!(std::time::Instant::now() < deadline, "the second is never refused");
    }
    let mut answer = vec![0; 12];
    timeout(PATIENCE, first.read_exact(&mut answer)).await.expect("in time").expect("an answer");
    assert_eq!(answer, b"HTTP/1.1 400", "the first need not go on");
    session.is_gone().await;
}

#[tokio::test]
async fn a_request_that_breaks_off_ends_the_session() {
    let door = door().start();
    for body in ["", "Content-Length: 10\r\n"] {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let session = open(&door).await;
        let seen = door.log().len();
        let mut stream = TcpStream::connect(door.http()).await.unwrap();
        let head = format!("{method} {} HTTP/1.1\r\nHost: site.test\r\n{body}\r\n", session.target());
        stream.write_all(head.as_bytes()).await.unwrap();
        door.wait_for_metric("http_requests_in_flight", 1.0).await;
        drop(stream);
        let line = door.wait_for_log_after(seen, |line| line["message"] == "socket closed");
        assert_eq!((&line["reason"], &line["detail"]), (&"transport error".into(), &"a request broke off".into()));
        session.is_gone().await;
    }
}

#[tokio::test]
async fn bodies_that_are_no_packets_end_the_session() {
    let door = door().start();
    for body in ["", "abc", "7", "6\u{1e}", "b***", "\u{1e}"] {
        let session = open(&door).await;
        let (status, text) = session.write(body).await;
        assert_eq!((status, text.as_str()), (400, r#"{"code":3,"message":"Bad request"}"#), "{body:?}");
        session.is_gone().await;
    }
    let session = open(&door).await;
    let headers = [("content-type", "application/octet-stream")];
    let answer = ask(door.http(), "POST", &session.target(), &headers, "6").await;
    assert_eq!((answer.status, text(answer).await), (400, String::new()));
    session.is_gone().await;
    let session = open(&door).await;
    let answer = ask(door.http(), "POST", &session.target(), &[], &b"4\xff"[..]).await;
    assert_eq!(answer.status, 400, "not UTF-8");
    session.is_gone().await;
}

#[tokio::test]
async fn packets_that_are_none_of_socketio_end_it_by_the_next_read() {
    let door = door().start();
    for body in [
        "4a",
        "4a\u{1e}",
        "42[\"before it is in\"]",
        "bAAEC",
        "40\u{1e}42[\u{1e}6",
        "40\u{1e}451-[\"e\"]\u{1e}42[\"e\"]",
    ] {
        let session = open(&door).await;
        session.say(body).await;
        // As with the Node server, the request that brought it is no worse than others.
        let heard = session.hear().await;
        assert!(heard == "1" || heard.starts_with("40") && session.hear().await == "1", "{body:?}: {heard}");
        session.is_gone().await;
    }
}

#[tokio::test]
async fn bodies_have_a_longest_length_and_a_number_of_packets() {
    let door = door().config("[[realtime.socketio]]\nmax_payload = \"1000B\"\nmax_packets = 10\n").start();
    let session = open(&door).await;
    assert_eq!(session.write("6".repeat(1001)).await, (413, String::new()));
    let chunked = format!(
        "POST {} HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{}\r\n0\r\n\r\n",
        session.target(),
        "6".repeat(1001)
    );
    assert_eq!(wire::status(&wire::exchange(door.http(), chunked).await), 413, "its length is not told beforehand");
    session.say("6".repeat(1000)).await;
    session.say(["6"; 10].join("\u{1e}")).await;
    assert_eq!(session.write(["6"; 11].join("\u{1e}")).await.0, 400);
    session.is_gone().await;
}

#[tokio::test]
async fn polling_works_over_http2() {
    use crate::harness::frames::{Outcome, Site};
    let site = Site::new("[https]\nredirect = false\n");
    let session = open(&site.door).await;
    let mut connection = site.connect(&[]).await;
    let target = session.target();
    let mut fields = vec![(":method", "GET"), (":scheme", "https"), (":authority", "site.test"), (":path", &*target)];
    connection.request(1, &fields).await;
    session.say("40").await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(200));
    // A stream that the client resets is a request that breaks off.
    connection.request(3, &fields).await;
    connection.send(crate::harness::frames::RST_STREAM, 0, 3, &8u32.to_be_bytes()).await;
    let line = site.door.wait_for_log(|line| line["message"] == "socket closed");
    assert_eq!(line["detail"], "a request broke off");
    fields[3].1 = "/socket.io/?EIO=4&transport=polling";
    connection.request(5, &fields).await;
    assert_eq!(connection.outcome(5).await, Outcome::Status(200));
}

#[tokio::test]
async fn silent_poller_holds_one_link_and_one_outbox_at_most() {
    // It is to find what was kept for it, however long the rest of this takes.
    let door = door().config("[realtime.websocket]\nclose_timeout = \"10m\"\n").start();
    let (silent, other) = (open(&door).await, open(&door).await);
    for session in [&silent, &other] {
        session.say("40").await;
        assert!(session.hear().await.starts_with("40{\"sid\":\""));
    }
    // As much as a link and an outbox hold is a megabyte each, and 256 messages at most in the latter.
    let body = json!({ "name": "tick", "args": ["x".repeat(10_000)] }).to_string();
    let mut heard = 0;
    for said in 1..=400 {
        let headers = [("host", "localhost"), ("content-type", "application/json")];
        let published = ask(door.admin(), "POST", "/_doorway/api/v1/emit", &headers, body.clone()).await;
        assert_eq!(published.status, 200);
        while heard < said {
            heard += other.hear().await.matches("42[\"tick\"").count();
        }
    }
    // When it asks again, it gets what the link held, and is closed: nothing more was kept for it.
    let mut bytes = 0;
    while let (200, body) = silent.read().await {
        bytes += body.len();
    }
    assert!((500_000..2_500_000).contains(&bytes), "{bytes} of four megabytes");
    let line = door.wait_for_log(|line| line["message"] == "socket closed");
    assert_eq!((&line["reason"], &line["code"]), (&"slow".into(), &1013.into()), "{line}");
    door.wait_for_metric("hub_connections", 1.0).await;
}
