//! Promise: a session may begin as a WebSocket or go over to one, and what is wrong with that leaves it as it was.

use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Message;

use super::polling::open;
use crate::harness::socket::connect;
use crate::harness::{PATIENCE, door};

const SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

#[tokio::test]
async fn a_session_goes_over_and_its_reader_is_released() {
    let door = door().start();
    let session = open(&door).await;
    session.connect().await;
    let mut socket = connect(&door, &session.socket()).await;
    let reading = tokio::spawn({
        let (address, target) = (door.http(), session.target());
        async move { crate::harness::wire::get(address, &target).await }
    });
    socket.say("2probe").await;
    assert_eq!(socket.hear().await, "3probe");
    assert_eq!(crate::harness::wire::body(&reading.await.unwrap()), "6");
    assert_eq!(connect(&door, &session.socket()).await.closed().await.0, 1000, "one at a time");
    socket.say("5").await;
    door.wait_for_metric("realtime_engine_upgraded_total", 1.0).await;
    door.wait_for_metric("realtime_engine_polling", 0.0).await;
    let mismatch = (400, r#"{"code":3,"message":"Bad request"}"#.to_owned());
    assert_eq!(session.read().await, mismatch);
    assert_eq!(session.write("4a").await, mismatch);
    for _ in 0..2 {
        // As the Node server does it: the handshake is completed, and the session goes on with what it has.
        assert_eq!(connect(&door, &session.socket()).await.closed().await.0, 1000);
    }
    socket.say("42[\"message\",1]").await;
    assert!(socket.hear().await.starts_with("42[\"message\""));
    socket.say("41").await;
    socket.say("1").await;
    while let Some(Ok(frame)) = socket.frame().await {
        assert!(!matches!(frame, Message::Text(_)), "{frame:?}");
    }
    door.wait_for_metric("realtime_sockets{dialect=\"socketio\"}", 0.0).await;
    session.is_gone().await;
}

#[tokio::test]
async fn a_probe_that_fails_leaves_the_session_polling() {
    let door = door().start();
    let session = open(&door).await;
    for last in ["4too early", "1", "2", "cut"] {
        let mut socket = probed_again(&door, &session.socket()).await;
        if last == "cut" {
            drop(socket);
            continue;
        }
        socket.say(last).await;
        while let Some(Ok(_)) = socket.frame().await {}
    }
    session.connect().await;
}

/// A second transport is closed while the one before is not yet known to be gone.
async fn probed_again(door: &crate::harness::Door, target: &str) -> crate::harness::socket::Socket {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut socket = connect(door, target).await;
        let is_asked = socket.try_say("2probe").await.is_ok();
        if is_asked && matches!(socket.frame().await, Some(Ok(Message::Text(text))) if text == "3probe") {
            return socket;
        }
        assert!(Instant::now() < deadline, "it is never probed");
    }
}

#[tokio::test]
async fn an_upgrade_that_nobody_finishes_is_ended() {
    let door = door().config("[[realtime.socketio]]\nupgrade_timeout = \"300ms\"\n").start();
    let session = open(&door).await;
    for probe in [false, true] {
        let mut socket = connect(&door, &session.socket()).await;
        if probe {
            socket.say("2probe").await;
        }
        while let Some(Ok(_)) = socket.frame().await {}
    }
    session.connect().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_closes_with_1009() {
    let door = door().config("[[realtime.socketio]]\nmax_payload = \"1000B\"\n").start();
    let mut socket = connect(&door, SOCKET).await;
    socket.hear().await;
    socket.say(&"6".repeat(1000)).await;
    socket.say(&"6".repeat(1001)).await;
    assert_eq!(socket.closed().await.0, 1009);
    let line = door.wait_for_log(|line| line["message"] == "socket closed");
    assert_eq!(line["reason"], "transport error");
}

#[tokio::test]
async fn what_is_no_packet_closes_the_socket() {
    let door = door().start();
    for (text, reason) in
        [("", "parse error"), ("abc", "parse error"), ("2", "transport error"), ("1", "transport close")]
    {
        let seen = door.log().len();
        let mut socket = connect(&door, SOCKET).await;
        socket.hear().await;
        socket.say(text).await;
        while let Some(Ok(_)) = socket.frame().await {}
        let line = door.wait_for_log_after(seen, |line| line["message"] == "socket closed");
        assert_eq!(line["reason"], reason, "{text:?}");
    }
}

#[tokio::test]
async fn the_server_pings_and_gives_up_who_does_not_answer() {
    let config = "[[realtime.socketio]]\nping_interval = \"200ms\"\nping_timeout = \"400ms\"\n";
    let door = door().config(config).start();
    let mut socket = connect(&door, SOCKET).await;
    socket.hear().await;
    for _ in 0..3 {
        assert_eq!(socket.hear().await, "2");
        socket.say("3").await;
    }
    assert_eq!(socket.hear().await, "2");
    while let Some(Ok(_)) = socket.frame().await {}
    let line = door.wait_for_log(|line| line["message"] == "socket closed");
    assert_eq!(line["reason"], "ping timeout");
    assert!(line["seconds"].as_f64().unwrap() > Duration::from_millis(900).as_secs_f64());
}

#[tokio::test]
async fn a_socket_over_http2_is_one_too() {
    use crate::harness::frames::{DATA, END_HEADERS, HEADERS, Site, block};
    let site = Site::new("");
    let mut connection = site.connect(&[]).await;
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "site.test"),
        (":path", SOCKET),
        ("sec-websocket-version", "13"),
    ];
    connection.send(HEADERS, END_HEADERS, 1, &block(&fields)).await;
    // A masked "40", with a mask of zeros.
    connection.send(DATA, 0, 1, b"\x81\x82\0\0\0\x0040").await;
    let mut heard = String::new();
    while !heard.contains("40{\"sid\":") {
        let frame = connection.next().await.expect("a frame");
        if frame.kind == DATA {
            heard.push_str(&String::from_utf8_lossy(&frame.payload));
        }
    }
    assert!(heard.contains("0{\"sid\":\"") && heard.contains("\"upgrades\":[]"), "{heard}");
}
