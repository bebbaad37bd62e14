//! Promise: one address cannot take all channels, histories or places of those who are away: while it fills what it can,
//! another is served.

use serde_json::{Value, json};

use crate::harness::client::ask;
use crate::harness::socket::{Socket, connect_to};
use crate::harness::{Door, door, eventually};

pub const GREEDY: &str = "192.0.2.1";
pub const OTHER: &str = "192.0.2.2";

const PUSHER: &str = "[[realtime.pusher]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"app-secret\"\n";

pub fn start(realtime: &str) -> Door {
    door().config(format!("[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n[realtime]\n{realtime}\n{PUSHER}")).start()
}

/// A socket of a client at this address.
pub async fn open(door: &Door, client: &str, path: &str) -> Socket {
    let headers = [("x-forwarded-for", client)];
    connect_to(door.http(), path, &headers).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub async fn pusher(door: &Door, client: &str) -> Socket {
    opened(door, client, "/app/app-key?protocol=7").await
}

/// A socket of a Pusher app.
pub async fn opened(door: &Door, client: &str, path: &str) -> Socket {
    let mut socket = open(door, client, path).await;
    assert_eq!(socket.hear_json().await["event"], "pusher:connection_established");
    socket
}

/// Whether it is let into a channel.
pub async fn subscribes(socket: &mut Socket, channel: &str) -> bool {
    socket.say(&format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}"#)).await;
    socket.hear_json().await["event"] == "pusher_internal:subscription_succeeded"
}

/// It hears what it says itself, in a channel of its own.
pub async fn is_served(door: &Door, client: &str, path: &str) -> Socket {
    let mut socket = open(door, client, path).await;
    socket.say("hello").await;
    loop {
        let heard: Value = socket.hear_json().await;
        if heard["data"] == "hello" {
            return socket;
        }
    }
}

#[tokio::test]
async fn channels_that_were_left_give_way_to_others() {
    let door = start("max_channels = 20");
    let mut greedy = pusher(&door, GREEDY).await;
    for n in 0..100 {
        assert!(subscribes(&mut greedy, &format!("left-{n}")).await, "nobody is in the others: {n}");
        greedy.say(&format!(r#"{{"event":"pusher:unsubscribe","data":{{"channel":"left-{n}"}}}}"#)).await;
    }
    assert!(door.metric("hub_channels").await <= 20.0);
    // Each is another client; none of them has a share that is taken.
    let mut open = Vec::new();
    for n in 0..20 {
        open.push(is_served(&door, &format!("198.51.100.{n}"), &format!("/api/ws/own-{n}")).await);
    }
}

#[tokio::test]
async fn one_addresss_channels_leave_as_many_to_others() {
    let door = start("max_channels = 20");
    let mut held = Vec::new();
    let mut granted = 0;
    for socket in 0..10 {
        let mut greedy = pusher(&door, GREEDY).await;
        for n in 0..10 {
            granted += usize::from(subscribes(&mut greedy, &format!("held-{socket}-{n}")).await);
        }
        held.push(greedy);
    }
    assert_eq!(granted, 10, "a half, whatever it is over how many sockets");
    assert!(subscribes(&mut held[9], "held-0-0").await, "what is there already takes no place");
    let _others = [is_served(&door, OTHER, "/api/ws/a").await, is_served(&door, OTHER, "/api/ws/b").await];
    // A network of IPv6 is one client, too.
    let mut granted = 0;
    let mut six = Vec::new();
    for n in 1..=10 {
        let mut greedy = pusher(&door, &format!("2001:db8::{n}")).await;
        granted += usize::from(subscribes(&mut greedy, &format!("six-{n}")).await);
        six.push(greedy);
    }
    assert_eq!(granted, 4, "of the eight that were free");
    let _third = is_served(&door, "2001:db8:0:1::1", "/api/ws/c").await;
    // When it goes, all is as before.
    drop((held, six));
    door.wait_for_metric("hub_connections", 3.0).await;
    for n in 0..5 {
        is_served(&door, OTHER, &format!("/api/ws/later-{n}")).await;
    }
}

#[tokio::test]
async fn channels_that_nobody_was_let_into_give_way() {
    let door = start("max_channels = 8\n[[realtime.channel]]\nmatch = \"closed-*\"\nsubscribe = \"app\"");
    let mut greedy = pusher(&door, GREEDY).await;
    for n in 0..50 {
        assert!(!subscribes(&mut greedy, &format!("closed-{n}")).await);
    }
    is_served(&door, OTHER, "/api/ws/own").await;
}

#[tokio::test]
async fn what_one_address_says_fills_half_of_the_histories_at_most() {
    let rule = "[[realtime.channel]]\nmatch = \"kept-*\"\nhistory = 1000\n[realtime.plain]\necho = false";
    let door = start(&format!("max_history = \"64KiB\"\n{rule}"));
    let long = "x".repeat(1000);
    let mut held = Vec::new();
    for n in 0..10 {
        let mut greedy = open(&door, GREEDY, &format!("/api/ws/kept-{n}")).await;
        for _ in 0..20 {
            greedy.say(&long).await;
        }
        for _ in 0..20 {
            while greedy.hear_json().await["data"] != *long {}
        }
        held.push(greedy);
    }
    // Also in a channel that the other opened.
    let mut own = is_served(&door, OTHER, "/api/ws/kept-own?since=now").await;
    own.say("first").await;
    let position = own.hear_json().await["id"].as_str().expect("a position").to_owned();
    // More than what is left where one message of the other no longer fits.
    let second = "y".repeat(4000);
    own.say(&second).await;
    own.hear().await;
    let mut back = open(&door, OTHER, &format!("/api/ws/kept-own?since={position}")).await;
    assert_eq!(back.hear_json().await["recovered"], true);
    assert_eq!(back.hear_json().await["data"], *second);
}

/// A client of Socket.IO that can come back: its socket, its id, and what it comes back with.
pub async fn recoverable(door: &Door, client: &str, auth: &str) -> (Socket, String, String) {
    let mut socket = open(door, client, "/socket.io/?EIO=4&transport=websocket").await;
    assert!(socket.hear().await.starts_with("0{"));
    socket.say(&format!("40{auth}")).await;
    let text = socket.hear().await;
    let open: Value = serde_json::from_str(text.strip_prefix("40").expect("let in")).expect("JSON");
    let text = |key: &str| open[key].as_str().expect("a text").to_owned();
    (socket, text("sid"), text("pid"))
}

#[tokio::test]
async fn those_of_one_address_that_are_away_push_nobody_else_out() {
    let door = start("[[realtime.socketio]]\nrecovery = \"2m\"\nrecovery_clients = 4");
    let (socket, sid, pid) = recoverable(&door, OTHER, "").await;
    drop(socket);
    door.wait_for_metric("realtime_recovery_kept_total", 1.0).await;
    for n in 2..10 {
        drop(recoverable(&door, GREEDY, "").await);
        door.wait_for_metric("realtime_recovery_kept_total", f64::from(n)).await;
    }
    let (_socket, back, _) = recoverable(&door, OTHER, &format!(r#"{{"pid":"{pid}"}}"#)).await;
    assert_eq!(back, sid, "it was not forgotten");
}

async fn emit(door: &Door, to: &str, bytes: usize) {
    let body = json!({ "name": "e", "to": to, "args": ["x".repeat(bytes)] }).to_string();
    let headers = [("host", "localhost"), ("content-type", "application/json")];
    let answer = ask(door.admin(), "POST", "/_doorway/api/v1/emit", &headers, body).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn what_one_address_does_not_confirm_pushes_nobody_else_out() {
    let limits = "recovery_bytes = \"1MiB\"\nrecovery_bytes_total = \"64KiB\"";
    let door = start(&format!("[[realtime.socketio]]\nrecovery = \"2m\"\nping_interval = \"10m\"\n{limits}"));
    let (mut socket, sid, pid) = recoverable(&door, OTHER, "").await;
    emit(&door, &sid, 1).await;
    let heard = socket.hear().await;
    let offset = heard.rsplit('"').nth(1).expect("an offset").to_owned();
    drop(socket);
    door.wait_for_metric("realtime_recovery_kept_total", 1.0).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let (mut socket, sid, _) = recoverable(&door, GREEDY, "").await;
        for _ in 0..10 {
            emit(&door, &sid, 1000).await;
            socket.hear().await;
        }
        silent.push(socket);
    }
    assert!(door.metric("realtime_socketio_recovery_bytes").await <= 48.0 * 1024.0, "no more than it leaves");
    emit(&door, &sid, 2).await;
    let (mut socket, back, _) = recoverable(&door, OTHER, &json!({ "pid": pid, "offset": offset }).to_string()).await;
    assert_eq!(back, sid, "it was not forgotten");
    assert!(socket.hear().await.contains("\"xx\""), "and misses nothing");
}

#[tokio::test]
async fn whoever_comes_in_a_storm_leaves_others_places_to_wait() {
    let door = start("admission_rate = 20\nadmission_wait = \"2s\"");
    let address = door.http();
    let mut storm = tokio::task::JoinSet::new();
    for _ in 0..100 {
        storm.spawn(async move {
            loop {
                // Whoever is sent away comes again at once, and whoever is let in stays.
                if let Ok(_socket) = connect_to(address, "/api/ws/storm", &[("x-forwarded-for", GREEDY)]).await {
                    std::future::pending::<()>().await;
                }
            }
        });
    }
    // A second's worth is in; all the others are still at it.
    eventually("the storm has begun", || async { door.metric("hub_connections").await >= 20.0 }).await;
    for n in 0..5 {
        let other = connect_to(address, "/api/ws/other", &[("x-forwarded-for", OTHER)]).await;
        assert!(other.is_ok(), "number {n}: {:?}", other.err());
    }
    storm.abort_all();
}
