//! Promise: as many messages at once as a batch may have reach clients that read, however many may wait for one of them.

use serde_json::json;

use super::post;
use crate::harness::door;
use crate::harness::socket::connect;

#[tokio::test]
async fn a_thousand_messages_in_one_request_reach_everyone_in_order() {
    let door = door().config("[realtime.outbox]\nmessages = 32\n").start();
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(connect(&door, "/api/ws/lobby").await);
    }
    door.wait_for_metric("hub_subscriptions", 5.0).await;
    let messages: Vec<_> = (0..1000).map(|number| json!({ "channel": "lobby", "text": number.to_string() })).collect();
    let answer = post(&door, "/batch", json!({ "messages": messages })).await;
    assert_eq!(answer.status, 200);
    for socket in &mut sockets {
        let mut next = 0;
        while next < 1000 {
            let said = socket.hear_json().await;
            if said["type"] == "broadcast" {
                assert_eq!(said["data"], json!(next.to_string()));
                next += 1;
            }
        }
    }
}
