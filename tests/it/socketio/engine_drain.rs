//! Promise: when the door stops, sessions that poll end as others do, and no request is left waiting.

use super::polling::open;
use crate::harness::{door, wire};

#[tokio::test]
async fn whoever_reads_is_told() {
    let mut door = door().start();
    let mut readers = Vec::new();
    for _ in 0..20 {
        let session = open(&door).await;
        session.connect().await;
        let (address, target) = (door.http(), session.target());
        readers.push(tokio::spawn(async move { wire::get(address, &target).await }));
    }
    door.wait_for_metric("http_requests_in_flight", 20.0).await;
    door.signal("TERM");
    for reader in readers {
        let answer = reader.await.unwrap();
        assert_eq!(wire::status(&answer), 200, "{answer}");
        let body = wire::body(&answer);
        assert!(body == "1" || body.ends_with("\u{1e}1"), "{body:?}");
    }
    assert!(door.wait().success());
}

#[tokio::test]
async fn sessions_that_nobody_reads_do_not_hold_it_up() {
    // Their next request would be by a new connection, which is refused: they are not waited for as others are.
    let config = "[drain]\ntimeout = \"15s\"\n\n[realtime.websocket]\nclose_timeout = \"60s\"\n";
    let mut door = door().config(config).start();
    for _ in 0..20 {
        open(&door).await;
    }
    door.signal("TERM");
    assert!(door.wait().success());
    assert_eq!(door.wait_for_log(|line| line["message"] == "stopped")["cut"], 0);
    assert_eq!(door.log().iter().filter(|line| line["message"] == "socket closed").count(), 20);
}

#[tokio::test]
async fn other_settings_are_for_new_sessions() {
    let door = door().config("[[realtime.socketio]]\npath = \"/one\"\n").start();
    let session = super::polling::open_at(&door, "/one").await;
    door.rewrite("[[realtime.socketio]]\npath = [\"/one\", \"/two\"]\nping_interval = \"9s\"\n");
    let seen = door.log().len();
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"].as_str().is_some_and(|message| message.contains("reloaded")));
    assert_eq!(super::polling::open_at(&door, "/two").await.open["pingInterval"], 9000);
    session.connect().await;
}
