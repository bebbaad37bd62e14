//! What becomes of it where Redis is away, slow or wrong: said, bounded, healed.

use serde_json::json;

use super::{CHANNELS, at_each, config, doors, hears, said};
use crate::api::post;
use crate::harness::client::get;
use crate::harness::redis::Redis;
use crate::harness::socket::connect;
use crate::harness::{Door, door, eventually};

/// What its readiness says. It has no app, which it says too.
async fn told(door: &Door) -> String {
    let answer = get(door.admin(), "/health/ready", &[("host", "localhost")]).await;
    String::from_utf8(answer.bytes().await.to_vec()).unwrap()
}

/// Waits until the door hears the others, or does not, as far as its readiness says.
async fn ready(door: &Door, is_heard: bool) {
    eventually("as it should be", async || told(door).await.contains("Redis: ") != is_heard).await;
}

/// Waits until readiness says that of Redis.
async fn says(door: &Door, what: &str) {
    let is_said = |told: String| told.contains("Redis: ") && told.contains(what);
    eventually(what, async || is_said(told(door).await)).await;
}

#[tokio::test]
async fn redis_away_is_said_and_all_goes_on_when_it_is_back() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let section = config(&redis).replace("node_timeout", "message_patience = \"1s\"\nnode_timeout");
    let both = [(); 2].map(|()| door().config(section.clone()).start());
    both.iter().for_each(hears);
    let mut sockets = at_each(&both, "/api/ws/kept?since=now").await;
    sockets[0].say("before").await;
    for socket in &mut sockets {
        assert_eq!(said(socket).await.0, "before");
    }
    redis.kill();
    ready(&both[0], false).await;
    let refused = post(&both[0], "/publish", json!({"channel": "kept", "text": "lost"})).await;
    assert_eq!(refused.status, 503, "{}", refused.json);
    redis.restart();
    for door in &both {
        ready(door, true).await;
    }
    // Nobody has left, and nobody has to come again.
    let answer = post(&both[1], "/publish", json!({"channel": "kept", "text": "after"})).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    for socket in &mut sockets {
        assert_eq!(said(socket).await.0, "after");
        socket.is_quiet().await;
    }
}

#[tokio::test]
async fn what_an_emptied_redis_has_lost_is_told() {
    let mut redis = Redis::start(&[]);
    let doors = doors::<2>(&redis);
    let mut sockets = at_each(&doors, "/api/ws/kept?since=now").await;
    for word in ["a", "b"] {
        sockets[0].say(word).await;
    }
    let mut places = Vec::new();
    for socket in &mut sockets {
        said(socket).await;
        places.push(said(socket).await.1);
    }
    redis.kill();
    redis.restart();
    for door in &doors {
        ready(door, true).await;
    }
    let answer = post(&doors[1], "/publish", json!({"channel": "kept", "text": "new"})).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    for socket in &mut sockets {
        assert_eq!(socket.hear_json().await["type"], "lost");
        assert_eq!(said(socket).await.0, "new");
    }
    let mut back = connect(&doors[0], &format!("/api/ws/kept?since={}", places[0])).await;
    assert_eq!(back.hear_json().await["recovered"], false);
}

#[tokio::test]
async fn a_door_that_slept_hears_what_it_missed() {
    let redis = Redis::start(&[]);
    let [one, two] = doors::<2>(&redis);
    let mut ada = connect(&two, "/api/ws/kept?since=now").await;
    ada.hear_json().await;
    let mut room = connect(&two, "/api/ws/room").await;
    room.hear_json().await;
    two.signal("STOP");
    for word in ["a", "b", "c"] {
        post(&one, "/publish", json!({"channel": "kept", "text": word})).await;
    }
    // Long enough that the others take it for dead.
    one.wait_for_metric("redis_swept_total", 1.0).await;
    two.signal("CONT");
    for word in ["a", "b", "c"] {
        assert_eq!(said(&mut ada).await.0, word);
    }
    ada.is_quiet().await;
    // What it had put is there again.
    let members = async || crate::api::get(&one, "/channels/room/members").await.json["members"].clone();
    eventually("there again", async || members().await.as_array().map(Vec::len) == Some(1)).await;
}

#[tokio::test]
async fn a_redis_that_stands_still_is_noticed() {
    let redis = Redis::start(&[]);
    let doors = doors::<2>(&redis);
    let mut sockets = at_each(&doors, "/api/ws/kept?since=now").await;
    redis.signal("STOP");
    ready(&doors[0], false).await;
    redis.signal("CONT");
    for door in &doors {
        ready(door, true).await;
    }
    sockets[1].say("x").await;
    for socket in &mut sockets {
        assert_eq!(said(socket).await.0, "x");
    }
}

#[tokio::test]
async fn what_is_wrong_with_redis_is_said_in_its_words() {
    let redis = Redis::start(&["--requirepass", "another"]);
    let door = door().config(config(&redis)).start();
    says(&door, "password").await;
    let missing = door_at("unix:///nowhere/redis.sock");
    says(&missing, "nowhere").await;
}

fn door_at(url: &str) -> Door {
    door().config(format!("{CHANNELS}[realtime.redis]\nurl = \"{url}\"\n")).start()
}
