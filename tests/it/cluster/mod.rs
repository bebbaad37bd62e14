//! Promise: doors that share a Redis are one hub. Who is at one of them meets all who are at the others.

mod channels;
mod documents;
mod faults;
mod limits;
mod peers;
mod presence;
mod purges;
mod questions;
mod shards;
mod webhooks;

use serde_json::Value;

use crate::harness::redis::Redis;
use crate::harness::socket::{Socket, connect};
use crate::harness::{Door, door};

/// Channels of every kind that the tests need.
const CHANNELS: &str = "[[realtime.channel]]\nmatch = \"kept*\"\nhistory = 100\n\
    [[realtime.channel]]\nmatch = \"room*\"\npresence = \"all\"\npresence_grace = \"0s\"\n\
    [realtime.plain]\necho = false\n[admin]\nlisten = \"127.0.0.1:0\"\n";

fn config(redis: &Redis) -> String {
    format!("{CHANNELS}{}", redis.config())
}

/// So many doors, each of which hears the others.
fn doors<const N: usize>(redis: &Redis) -> [Door; N] {
    let doors = [(); N].map(|()| door().config(config(redis)).start());
    doors.iter().for_each(hears);
    doors
}

/// Waits until a door hears the others.
fn hears(door: &Door) {
    door.wait_for_log(|line| line["message"] == "this door hears the others by Redis");
}

/// One at each door, who has heard that it is in.
async fn at_each<const N: usize>(doors: &[Door; N], path: &str) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for door in doors {
        let mut socket = connect(door, path).await;
        assert_eq!(socket.hear_json().await["type"], "subscribed");
        sockets.push(socket);
    }
    sockets
}

/// The next message that is told by all of them, and its place.
async fn said(socket: &mut Socket) -> (String, String) {
    let told = socket.hear_json().await;
    (text(&told["data"]), text(&told["id"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
