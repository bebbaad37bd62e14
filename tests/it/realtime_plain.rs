//! Promise: the WebSocket app that a tutorial gives you works on `/api/ws` without a server of its own.

use crate::harness::door;
use crate::harness::socket::connect;

#[tokio::test]
async fn a_message_is_echoed_to_its_sender_and_then_broadcast_to_all() {
    let door = door().start();
    let mut alice = connect(&door, "/api/ws").await;
    let mut bob = connect(&door, "/api/ws").await;
    alice.say("hello").await;
    let echo = alice.hear_json().await;
    assert_eq!((&echo["type"], &echo["data"]), (&"echo".into(), &"hello".into()), "{echo}");
    assert!(echo["timestamp"].as_u64().unwrap() > 1_600_000_000_000, "{echo}");
    assert_eq!(alice.hear().await, r#"{"type":"broadcast","data":"hello"}"#);
    assert_eq!(bob.hear().await, r#"{"type":"broadcast","data":"hello"}"#);
}
