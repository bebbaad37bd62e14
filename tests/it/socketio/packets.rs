//! Promise: whatever a client says that is not Socket.IO ends its connection, by polling and by WebSocket alike, and
//! nobody else's.

use super::polling::{PATH, open};
use crate::harness::socket::{Socket, connect};
use crate::harness::{Door, door};

const SMALL: &str =
    "[[realtime.socketio]]\nmax_attachments = 2\nmax_nesting = 4\nmax_event_name = \"10B\"\nping_interval = \"10m\"\n";

/// Each ends the connection of a client that is in `/`, and for which reason.
fn nonsense() -> Vec<(Vec<String>, &'static str)> {
    let one = |text: &str| vec![text.to_owned()];
    vec![
        (one("4"), "unknown packet type"),
        (one("49"), "unknown packet type"),
        (one("4x"), "unknown packet type"),
        (one("42"), "invalid payload"),
        (one("42{}"), "invalid payload"),
        (one("42[]"), "invalid payload"),
        (one("42[1"), "invalid payload"),
        (one("42[\"e\"]x"), "invalid payload"),
        (one("42[\"e\",]"), "invalid payload"),
        (one("42[null]"), "invalid payload"),
        (one("42[{}]"), "invalid payload"),
        (one("42[\"disconnect\"]"), "reserved event name"),
        (one("42[\"connect_\\u0065rror\"]"), "reserved event name"),
        (one("42[\"eleven-long\"]"), "event name too long"),
        (one("42[\"e\",[[[[[1]]]]]]"), "arguments are nested too deeply"),
        (one(&format!("42[\"e\",{}{}]", "[".repeat(50_000), "]".repeat(50_000))), "arguments are nested too deeply"),
        (one(&format!("42[\"e\",{}", "{\"a\":".repeat(50_000))), "arguments are nested too deeply"),
        (one("41[\"not here\"]"), "invalid payload"),
        (one("43[]x"), "invalid payload"),
        (one("430"), "invalid payload"),
        (one("40"), "not expected in this state"),
        (one("42/elsewhere,[\"e\"]"), "not expected in this state"),
        (one("44{\"message\":\"mine\"}"), "not expected in this state"),
        (one("45[\"e\"]"), "illegal attachments"),
        (one("450-[\"e\"]"), "illegal attachments"),
        (one("45-1[\"e\"]"), "illegal attachments"),
        (one("453-[\"e\"]"), "too many attachments"),
        (one("4599999999999999999999-[\"e\"]"), "illegal attachments"),
        (one("bAAEC"), "illegal attachments"),
        (vec!["451-[\"e\",{\"_placeholder\":true,\"num\":0}]".into(), "42[\"e\"]".into()], "illegal attachments"),
        (vec!["451-[\"e\",{\"_placeholder\":true,\"num\":1}]".into(), "bAAEC".into()], "illegal attachments"),
        (vec!["451-[\"e\",{\"_placeholder\":true,\"num\":-1}]".into(), "bAAEC".into()], "illegal attachments"),
        (vec!["451-[\"e\",{\"_placeholder\":true}]".into(), "bAAEC".into()], "illegal attachments"),
    ]
}

async fn socket(door: &Door) -> Socket {
    let mut socket = connect(door, &format!("{PATH}?EIO=4&transport=websocket")).await;
    socket.hear().await;
    socket.say("40").await;
    socket.hear().await;
    socket
}

async fn still_talks(bystander: &mut Socket) {
    bystander.say("420[\"message\"]").await;
    while !bystander.hear().await.starts_with("430") {}
}

fn reason(door: &Door, seen: usize) -> String {
    let line = door.wait_for_log_after(seen, |line| line["message"] == "socket closed");
    assert_eq!(line["reason"], "violation", "{line}");
    line["detail"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn nonsense_closes_the_socket_that_said_it() {
    let door = door().config(SMALL).start();
    let mut bystander = socket(&door).await;
    for (frames, what) in nonsense() {
        let seen = door.log().len();
        let mut socket = socket(&door).await;
        for frame in &frames {
            match frame.strip_prefix('b') {
                Some(_) => {
                    socket.send(tokio_tungstenite::tungstenite::Message::binary(&b"\0\x01\x02"[..])).await;
                }
                None => socket.say(frame).await,
            }
        }
        let (code, text) = socket.closed().await;
        assert_eq!((code, text.as_str()), (1002, what), "{:.60?}", frames);
        drop(socket);
        reason(&door, seen);
    }
    still_talks(&mut bystander).await;
    door.wait_for_metric("realtime_sockets{dialect=\"socketio\"}", 1.0).await;
}

#[tokio::test]
async fn nonsense_ends_the_session_that_posted_it() {
    let door = door().config(SMALL).start();
    let mut bystander = socket(&door).await;
    for (frames, what) in nonsense() {
        let session = open(&door).await;
        session.connect().await;
        session.say(frames.join("\u{1e}")).await;
        assert_eq!(session.hear().await, "1", "{what}: {:.60?}", frames);
        session.is_gone().await;
    }
    still_talks(&mut bystander).await;
    door.wait_for_metric("realtime_engine_polling", 0.0).await;
}

#[tokio::test]
async fn who_never_says_where_it_wants_to_be_is_closed() {
    let door = door().config("[[realtime.socketio]]\nconnect_timeout = \"300ms\"\n").start();
    let mut mute = connect(&door, &format!("{PATH}?EIO=4&transport=websocket")).await;
    mute.hear().await;
    assert_eq!(mute.closed().await.0, 1001);
    let session = open(&door).await;
    assert_eq!(session.hear().await, "1");
    session.is_gone().await;
}

#[tokio::test]
async fn thousand_messages_in_one_body_or_write_are_answered() {
    let door = door().start();
    let session = open(&door).await;
    session.connect().await;
    let body: Vec<_> = (0..1000).map(|number| format!("42{number}[\"message\",{number}]")).collect();
    session.say(body.join("\u{1e}")).await;
    let mut answered = 0;
    while answered < 1000 {
        for packet in session.hear().await.split('\u{1e}').filter(|packet| packet.starts_with("43")) {
            assert_eq!(packet, format!("43{answered}[]"), "in order");
            answered += 1;
        }
    }
}

#[tokio::test]
async fn upgrades_that_are_asked_for_all_at_once_leave_one() {
    let door = door().start();
    let session = open(&door).await;
    session.connect().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (address, target) = (door.http(), session.socket());
        asking.spawn(async move { crate::harness::socket::connect_to(address, &target, &[]).await.is_ok() });
    }
    let mut open = 0;
    while let Some(is_open) = asking.join_next().await {
        open += usize::from(is_open.expect("no panic"));
    }
    // Each is dropped as soon as it is open, and its place is free again: one at a time.
    assert!(open >= 1, "none was let in");
    session.say("420[\"message\",1]").await;
    let mut heard = String::new();
    while !heard.contains("430[]") {
        heard.push_str(&session.hear().await);
    }
}
