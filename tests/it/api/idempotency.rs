//! Promise: a request with an `Idempotency-Key` is carried out once, however often and however concurrently it comes.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{CONFIG, call_with, get, start};
use crate::harness::door;
use crate::harness::socket::connect;

const BODY: &str = r#"{"channel": "kept", "text": "x"}"#;

async fn count(door: &crate::harness::Door) -> usize {
    get(door, "/channels/kept/history").await.json["messages"].as_array().expect("messages").len()
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_and_is_said_once() {
    let door = start();
    let key = [("idempotency-key", "\"8e03978e-40d5\"")];
    let first = call_with(&door, "POST", "/publish", &key, BODY).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, ""));
    let bare = [("idempotency-key", "8e03978e-40d5")];
    let again = call_with(&door, "POST", "/publish", &bare, BODY).await;
    assert_eq!((again.status, again.header("idempotency-replayed"), &again.json), (200, "true", &first.json));
    assert_eq!(count(&door).await, 1);

    let other = call_with(&door, "POST", "/publish", &key, r#"{"channel": "kept", "text": "y"}"#).await;
    assert_eq!((other.status, &other.json["type"]), (422, &json!("urn:doorway:problem:key-reused")));
    let operation = call_with(&door, "POST", "/batch", &key, BODY).await;
    assert_eq!(operation.status, 422, "another operation is another request");
    for bad in ["", "\"\"", &"x".repeat(256)] {
        assert_eq!(call_with(&door, "POST", "/publish", &[("idempotency-key", bad)], BODY).await.status, 400);
    }
    door.wait_for_metric("api_replays_total", 1.0).await;
}

#[tokio::test]
async fn many_at_once_are_one() {
    let door = start();
    let mut ada = connect(&door, "/api/ws/kept").await;
    let messages: Vec<Value> = (0..200).map(|number| json!({"channel": "kept", "json": number})).collect();
    let body = json!({"messages": messages}).to_string();
    let key = [("idempotency-key", "batch-1")];
    let answers = join_all((0..16).map(|_| call_with(&door, "POST", "/batch", &key, &body))).await;
    let good: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert!(!good.is_empty());
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)), "or it is under way");
    assert!(good.iter().all(|answer| answer.json == good[0].json));
    assert_eq!(good.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count(), 1);
    for number in 0..200 {
        assert_eq!(ada.hear_json().await["data"], number);
    }
    ada.is_quiet().await;
}

#[tokio::test]
async fn what_was_refused_is_judged_again() {
    let door = start();
    let key = [("idempotency-key", "k")];
    let refused = call_with(&door, "POST", "/publish", &key, r#"{"channel": "kept"}"#).await;
    assert_eq!(refused.status, 400);
    assert_eq!(call_with(&door, "POST", "/publish", &key, BODY).await.status, 200, "nothing was done under this key");
}

#[tokio::test]
async fn so_many_keys_are_remembered_and_the_oldest_go_first() {
    let door = door().config(format!("{CONFIG}[api]\nidempotency_keys = 2\n")).start();
    for key in ["a", "b", "c", "c", "b", "a"] {
        assert_eq!(call_with(&door, "POST", "/publish", &[("idempotency-key", key)], BODY).await.status, 200);
    }
    assert_eq!(count(&door).await, 4, "a was forgotten and said again");
    door.wait_for_metric("api_idempotency_keys", 2.0).await;
}
