//! What is said, its order, and what is kept of it.

use std::collections::HashSet;

use serde_json::json;

use super::{at_each, config, doors, hears, said, text};
use crate::api::{get, post};
use crate::harness::redis::Redis;
use crate::harness::socket::connect;
use crate::harness::{door, eventually};

#[tokio::test]
async fn all_doors_hear_all_in_one_order() {
    let redis = Redis::start(&[]);
    let doors = doors::<3>(&redis);
    let mut sockets = at_each(&doors, "/api/ws/kept?since=now").await;
    for number in 0..10 {
        for socket in &mut sockets {
            socket.say(&format!("{number}")).await;
        }
    }
    let mut heard = Vec::new();
    for socket in &mut sockets {
        let mut own = Vec::new();
        for _ in 0..30 {
            own.push(said(socket).await);
        }
        socket.is_quiet().await;
        heard.push(own);
    }
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0], heard[2]);
    let places: HashSet<_> = heard[0].iter().map(|(_, place)| place).collect();
    assert_eq!(places.len(), 30, "each has a place of its own");
}

#[tokio::test]
async fn a_position_counts_at_any_door_and_after_its_restart() {
    let redis = Redis::start(&[]);
    let [one, two] = doors::<2>(&redis);
    let mut speaker = connect(&one, "/api/ws/kept?since=now").await;
    speaker.hear_json().await;
    let mut places = Vec::new();
    for word in ["a", "b", "c", "d"] {
        speaker.say(word).await;
        places.push(said(&mut speaker).await.1);
    }
    drop((speaker, one));
    let one = door().config(config(&redis)).start();
    hears(&one);
    for door in [&one, &two] {
        let mut back = connect(door, &format!("/api/ws/kept?since={}", places[1])).await;
        let told = back.hear_json().await;
        assert_eq!((&told["recovered"], &told["missed"]), (&json!(true), &json!(2)), "{told}");
        assert_eq!((said(&mut back).await.0, said(&mut back).await.0), ("c".into(), "d".into()));
        back.is_quiet().await;
    }
}

#[tokio::test]
async fn the_app_publishes_and_looks_at_any_door() {
    let redis = Redis::start(&[]);
    let [one, two] = doors::<2>(&redis);
    let mut ada = connect(&two, "/api/ws/kept-1?since=now").await;
    ada.hear_json().await;
    let answer = post(&one, "/publish", json!({"channel": "kept-1", "text": "x"})).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    assert_eq!(said(&mut ada).await, ("x".into(), text(&answer.json["position"])));
    for door in [&one, &two] {
        let history = get(door, "/channels/kept-1/history").await;
        assert_eq!(history.json["messages"][0]["position"], answer.json["position"], "{}", history.json);
    }
    // The door that has nobody there knows that somebody is at the other.
    let subscribers = async || get(&one, "/channels/kept-1").await.json["subscribers"].clone();
    eventually("one", async || subscribers().await == 1).await;
    drop(ada);
    eventually("nobody", async || subscribers().await == 0).await;
    let refused = post(&one, "/publish", json!({"channel": "kept-1", "text": "x".repeat(2 << 20)})).await;
    assert_eq!(refused.status, 413, "{}", refused.json);
}

#[tokio::test]
async fn what_is_said_to_everyone_reaches_everyone() {
    let redis = Redis::start(&[]);
    let [one, two] = doors::<2>(&redis);
    let doors = [one, two];
    let mut sockets = at_each(&doors, "/api/ws/kept?since=now").await;
    let [ref mut ada, ref mut bob] = sockets[..] else { panic!("two") };
    ada.say("x").await;
    assert_eq!(said(ada).await, said(bob).await);
}

#[tokio::test]
async fn without_the_section_a_door_is_alone() {
    let redis = Redis::start(&[]);
    let [one] = doors::<1>(&redis);
    let alone = door().config(super::CHANNELS).start();
    let mut ada = connect(&one, "/api/ws/kept?since=now").await;
    let mut bob = connect(&alone, "/api/ws/kept?since=now").await;
    ada.hear_json().await;
    bob.hear_json().await;
    ada.say("x").await;
    said(&mut ada).await;
    bob.is_quiet().await;
}
