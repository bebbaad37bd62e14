//! Promise: an empty channel gives way to others, but whoever has its share of the channels takes nobody's positions away.

use super::realtime::{GREEDY, OTHER, is_served, open, opened, pusher, start, subscribes};
use crate::harness::Door;
use crate::harness::socket::{Socket, connect_to};

/// A client leaves a channel empty: the path by which it comes back to where it was.
async fn leaves(door: &Door, client: &str, channel: &str) -> String {
    let mut socket = open(door, client, &format!("/api/ws/{channel}?since=now")).await;
    let subscribed = socket.hear_json().await;
    let position = subscribed["id"].as_str().expect("a position");
    let back = format!("/api/ws/{channel}?since={position}");
    left(door, socket).await;
    back
}

async fn left(door: &Door, socket: Socket) {
    let before = door.metric("hub_connections").await;
    drop(socket);
    door.wait_for_metric("hub_connections", before - 1.0).await;
}

/// Whether its position is still good; it stays.
async fn returns(door: &Door, client: &str, back: &str) -> (bool, Socket) {
    let mut socket = open(door, client, back).await;
    let subscribed = socket.hear_json().await;
    (subscribed["recovered"].as_bool().expect("an answer"), socket)
}

fn logs_of_shares(door: &Door) -> usize {
    door.log().iter().filter(|line| line["message"] == "a client has its share").count()
}

#[tokio::test]
async fn whoever_joins_and_leaves_channels_forgets_only_its_own() {
    let door = start("max_channels = 8");
    let back = leaves(&door, OTHER, "kept").await;
    let mut greedy = pusher(&door, GREEDY).await;
    for n in 0..100 {
        assert!(subscribes(&mut greedy, &format!("left-{n}")).await, "its own give way: {n}");
        greedy.say(&format!(r#"{{"event":"pusher:unsubscribe","data":{{"channel":"left-{n}"}}}}"#)).await;
    }
    assert!(returns(&door, OTHER, &back).await.0, "the other's position is good");
    assert_eq!(logs_of_shares(&door), 0, "nobody was refused");
}

#[tokio::test]
async fn channel_holder_at_its_share_takes_no_positions_away() {
    let door = start("max_channels = 8");
    let back = leaves(&door, OTHER, "kept").await;
    let mut greedy = pusher(&door, GREEDY).await;
    let mut granted = 0;
    for n in 0..100 {
        granted += usize::from(subscribes(&mut greedy, &format!("held-{n}")).await);
    }
    assert_eq!(granted, 4, "a half: an empty one is as good as a free one");
    assert!(returns(&door, OTHER, &back).await.0, "the other's position is good");
    door.wait_for_log(|line| line["message"] == "a client has its share");
    assert_eq!(logs_of_shares(&door), 1, "it is told, once a minute");
}

#[tokio::test]
async fn a_channel_that_was_used_again_gives_way_later() {
    let door = start("max_channels = 2");
    let back = leaves(&door, OTHER, "first").await;
    leaves(&door, "198.51.100.1", "second").await;
    let (recovered, socket) = returns(&door, OTHER, &back).await;
    assert!(recovered);
    left(&door, socket).await;
    let _third = is_served(&door, "198.51.100.2", "/api/ws/third").await;
    assert!(returns(&door, OTHER, &back).await.0, "the second was empty for longer");
}

const SECOND_APP: &str = "[[realtime.pusher]]\nid = \"2\"\nkey = \"second-key\"\nsecret = \"second-secret\"";

/// The door's own app, and another one before it in the file.
fn two_apps(realtime: &str) -> Door {
    start(&format!("{realtime}\n{SECOND_APP}"))
}

fn many(number: usize) -> String {
    format!("198.51.100.{number}")
}

#[tokio::test]
async fn one_app_leaves_channels_to_another_whatever_its_addresses() {
    let door = two_apps("max_channels = 20");
    let mut held = Vec::new();
    let mut granted = 0;
    for n in 0..40 {
        let mut one = pusher(&door, &many(n)).await;
        granted += usize::from(subscribes(&mut one, &format!("room-{n}")).await);
        held.push(one);
    }
    assert_eq!(granted, 10, "a half");
    let mut other = opened(&door, &many(0), "/app/second-key?protocol=7").await;
    assert!(subscribes(&mut other, "room-0").await, "a channel of the other app, which has none yet");
    assert!(subscribes(&mut other, "room-1").await);
}

/// As many sockets of an app as there may be, each of another address where `from` says so; then one is told 4100.
async fn fills(door: &Door, path: &str, from: impl Fn(usize) -> String) -> Vec<Socket> {
    let mut held = Vec::new();
    loop {
        let client = from(held.len());
        let mut socket = connect_to(door.http(), path, &[("x-forwarded-for", &client)]).await.expect("a place");
        let told = socket.hear_json().await;
        if told["event"] == "pusher:error" {
            assert_eq!(told["data"]["code"], 4100, "{told}");
            return held;
        }
        assert_eq!(told["event"], "pusher:connection_established", "{told}");
        held.push(socket);
    }
}

#[tokio::test]
async fn one_app_leaves_connections_to_another_whatever_its_addresses() {
    let door = two_apps("max_connections = 20");
    let held = fills(&door, "/app/app-key?protocol=7", many).await;
    assert_eq!(held.len(), 10, "a half");
    opened(&door, OTHER, "/app/second-key?protocol=7").await;
}

#[tokio::test]
async fn one_address_leaves_connections_of_its_app_to_others() {
    let app = "[[realtime.pusher]]\nid = \"2\"\nkey = \"few-key\"\nsecret = \"few-secret\"\nmax_connections = 4";
    let door = start(app);
    let held = fills(&door, "/app/few-key?protocol=7", |_| GREEDY.into()).await;
    assert_eq!(held.len(), 2, "a half");
    opened(&door, OTHER, "/app/few-key?protocol=7").await;
    drop(held);
    door.wait_for_metric("hub_connections", 0.0).await;
    assert_eq!(fills(&door, "/app/few-key?protocol=7", |_| GREEDY.into()).await.len(), 2, "it has its places back");
}
