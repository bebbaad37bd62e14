//! What is promised of all requests together holds on all doors together: a key is one request, a rate is one rate.

use serde_json::{Value, json};

use super::questions::client;
use super::{config, doors, hears, said};
use crate::harness::client::ask;
use crate::harness::redis::Redis;
use crate::harness::socket::connect;
use crate::harness::{Door, door, eventually};

const PUBLISH: &str = "/_doorway/api/v1/publish";

/// Publishes under a key: the status, the answer, and whether it is that of an earlier request.
async fn publish(door: &Door, key: &str, text: &str) -> (u16, Value, bool) {
    let headers = [("host", "localhost"), ("content-type", "application/json"), ("idempotency-key", key)];
    let body = json!({ "channel": "kept", "text": text }).to_string();
    let answer = ask(door.admin(), "POST", PUBLISH, &headers, body).await;
    let (status, is_replayed) = (answer.status, answer.header("idempotency-replayed") == "true");
    (status, serde_json::from_slice(&answer.bytes().await).expect("JSON"), is_replayed)
}

#[tokio::test]
async fn a_key_is_one_request_at_all_doors() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let doors = doors::<2>(&redis);
    let mut ada = connect(&doors[1], "/api/ws/kept?since=now").await;
    ada.hear_json().await;
    let (status, first, is_replayed) = publish(&doors[0], "a", "x").await;
    assert_eq!((status, is_replayed), (200, false), "{first}");
    assert_eq!(publish(&doors[1], "a", "x").await, (200, first.clone(), true));
    assert_eq!(publish(&doors[1], "a", "another").await.0, 422);
    assert_eq!(publish(&doors[0], "a", "x").await, (200, first, true));
    // What was refused has done nothing, and may be sent again to any door.
    let long = "x".repeat(2 << 20);
    assert_eq!(publish(&doors[0], "b", &long).await.0, 413);
    assert_eq!(publish(&doors[1], "b", "y").await.0, 200);
    assert_eq!((said(&mut ada).await.0, said(&mut ada).await.0), ("x".into(), "y".into()));
    ada.is_quiet().await;
    // Where nobody knows whether it was done, it is not done.
    redis.kill();
    assert_eq!(publish(&doors[0], "c", "z").await.0, 503);
    redis.restart();
}

#[tokio::test]
async fn a_rate_is_that_of_all_doors_together() {
    let redis = Redis::start(&[]);
    let section = format!("{}[api]\nrate = 1\n", config(&redis));
    let doors = [(); 2].map(|()| door().config(section.clone()).start());
    doors.iter().for_each(hears);
    let batch = json!({ "messages": vec![json!({ "channel": "kept", "text": "x" }); 100] }).to_string();
    let headers = [("host", "localhost"), ("content-type", "application/json")];
    let sent = ask(doors[0].admin(), "POST", "/_doorway/api/v1/batch", &headers, batch).await;
    assert_eq!(sent.status, 200);
    // A hundred seconds' worth was taken, of both.
    let body = json!({ "channel": "kept", "text": "x" }).to_string();
    for door in &doors {
        assert_eq!(ask(door.admin(), "POST", PUBLISH, &headers, body.clone()).await.status, 429);
    }
}

#[tokio::test]
async fn a_key_is_free_when_redis_stood_still() {
    let redis = Redis::start(&[]);
    let section = config(&redis).replace("node_timeout", "message_patience = \"1s\"\nnode_timeout");
    let doors = [(); 2].map(|()| door().config(section.clone()).start());
    doors.iter().for_each(hears);
    assert_eq!(publish(&doors[0], "before", "x").await.0, 200);
    redis.signal("STOP");
    assert_eq!(publish(&doors[0], "a", "x").await.0, 503);
    redis.signal("CONT");
    eventually("anybody's", async || publish(&doors[1], "a", "x").await.0 == 200).await;
    assert!(publish(&doors[0], "a", "x").await.2, "and done once");
}

#[tokio::test]
async fn a_key_is_free_when_its_door_died() {
    let redis = Redis::start(&[]);
    let [mut one, two] = doors::<2>(&redis);
    let _silent = client(&one).await;
    let address = one.admin();
    let asking = tokio::spawn(async move {
        let headers = [("host", "localhost"), ("content-type", "application/json"), ("idempotency-key", "a")];
        let body = json!({ "name": "ready?", "serverTimeout": 60_000 }).to_string();
        ask(address, "POST", "/_doorway/api/v1/emit", &headers, body).await;
    });
    one.wait_for_metric("hub_questions", 1.0).await;
    assert_eq!(publish(&two, "a", "x").await.0, 422, "it is under way there");
    one.signal("KILL");
    one.wait();
    asking.abort();
    eventually("anybody's", async || publish(&two, "a", "x").await.0 == 200).await;
}
