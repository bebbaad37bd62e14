//! Promise: when the door stops, sockets are closed with 1001, spread over the time there is, and none is cut.

use std::time::{Duration, Instant};

use crate::harness::door;
use crate::harness::socket::{connect, connect_narrow, connect_to};

#[tokio::test]
async fn every_socket_is_told_to_come_back_later() {
    let mut door = door().config("[drain]\ntimeout = \"20s\"\n").start();
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(connect(&door, "/api/ws").await);
    }
    door.signal("TERM");
    let mut closing = tokio::task::JoinSet::new();
    for mut socket in sockets {
        closing.spawn(async move { (socket.closed().await, Instant::now()) });
    }
    let mut times = Vec::new();
    while let Some(closed) = closing.join_next().await {
        let ((code, reason), time) = closed.expect("no panic");
        assert_eq!((code, reason.as_str()), (1001, "going away"));
        times.push(time);
    }
    times.sort();
    assert!(*times.last().unwrap() - times[0] > Duration::from_millis(300), "all at once");
    assert!(door.wait().success());
    assert_eq!(door.log().iter().filter(|line| line["message"] == "socket closed").count(), 100);
}

#[tokio::test]
async fn what_was_said_before_is_heard_before_the_end() {
    let mut door = door().start();
    let mut alice = connect(&door, "/api/ws").await;
    alice.say("last words").await;
    alice.hear().await;
    door.signal("TERM");
    assert_eq!(alice.hear_json().await["data"], "last words");
    assert_eq!(alice.closed().await.0, 1001);
    assert!(door.wait().success());
}

#[tokio::test]
async fn they_are_told_of_a_restart_where_that_is_sure_to_follow() {
    let mut door = door().config("[realtime]\nrestarts = true\n").start();
    let mut socket = connect(&door, "/api/ws").await;
    door.signal("TERM");
    assert_eq!(socket.closed().await, (1012, "restarting".to_owned()));
    assert!(door.wait().success());
}

#[tokio::test]
async fn all_that_waits_is_heard_before_the_end_however_much_it_is() {
    const MANY: usize = 200;
    let config = "[realtime.plain]\necho = false\n[realtime.outbox]\nmessages = 1000\nbytes = \"32MiB\"\n";
    let mut door = door().config(config).start();
    // It reads nothing before the door is told to stop: more waits for it than is written at a time.
    let mut late = connect_narrow(&door, "/api/ws").await;
    let mut speaker = connect(&door, "/api/ws").await;
    let filler = "x".repeat(50_000);
    for number in 0..MANY {
        speaker.say(&format!("{number} {filler}")).await;
        speaker.hear().await;
    }
    door.signal("TERM");
    assert_eq!(speaker.closed().await.0, 1001);
    for number in 0..MANY {
        let heard = late.hear_json().await;
        assert!(heard["data"].as_str().unwrap().starts_with(&format!("{number} ")));
    }
    assert_eq!(late.closed().await.0, 1001);
    assert!(door.wait().success());
}

#[tokio::test]
async fn unanswered_close_is_cut_at_its_timeout() {
    let mut door =
        door().config("[realtime.websocket]\nclose_timeout = \"300ms\"\n[drain]\ntimeout = \"30s\"\n").start();
    let deaf = connect(&door, "/api/ws").await;
    let started = Instant::now();
    door.signal("TERM");
    assert!(door.wait().success());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    drop(deaf);
}

#[tokio::test]
async fn an_event_stream_ends_too() {
    let mut door = door().start();
    let answer = crate::harness::client::get(door.http(), "/api/ws", &[("accept", "text/event-stream")]).await;
    door.signal("TERM");
    let text = String::from_utf8(answer.bytes().await.to_vec()).unwrap();
    assert!(text.contains("\"type\":\"closing\""), "{text}");
    assert!(door.wait().success());
}

#[tokio::test]
async fn nobody_is_let_in_any_more() {
    let mut door = door().config("[drain]\ntimeout = \"20s\"\n").start();
    let address = door.http();
    let mut inside = connect(&door, "/api/ws").await;
    door.signal("TERM");
    assert_eq!(inside.closed().await.0, 1001);
    let connected = tokio::net::TcpStream::connect(address).await.is_ok();
    assert!(!connected || connect_to(address, "/api/ws", &[]).await.is_err());
    assert!(door.wait().success());
}
