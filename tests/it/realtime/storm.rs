//! Promise: ten thousand open sockets cost little, and a storm of messages leaves memory bounded.

use futures_util::future::join_all;
use tokio::task::JoinSet;

use crate::harness::crowd::{self, Crowd};
use crate::harness::socket::{connect, connect_to};
use crate::harness::{door, eventually};

/// What an open socket that says nothing may cost: twice what it was found to (2.4 KB in a debug build: the session and
/// its task, its place in the hub and in its channel, a waker), because the allocator rounds up.
const SILENT: u64 = 5_000;

#[tokio::test]
async fn ten_thousand_sockets_are_held_and_all_hear_a_message() {
    const PROCESSES: usize = 2;
    const EACH: usize = 5_000;
    const MANY: usize = PROCESSES * EACH;
    // No pings: clients that wait their turn to hear do not answer them.
    let door = door().config("[realtime.plain]\necho = false\nping_interval = \"0s\"\n").start();
    let mut speaker = connect(&door, "/api/ws").await;
    speaker.is_quiet().await;
    let before = door.resident();
    let mut crowd = Crowd::open(door.http(), "/api/ws", PROCESSES, EACH, "realtime::storm::clients");
    door.wait_for_metric("hub_connections", (MANY + 1) as f64).await;
    let each = door.resident().saturating_sub(before) / MANY as u64;
    println!("{each} bytes a silent socket, {MANY} of them");
    assert!(each < SILENT, "{each} bytes a silent socket");
    speaker.say("to all").await;
    crowd.hears("to all");
    let heard = door.resident().saturating_sub(before) / MANY as u64;
    println!("{heard} bytes a socket that was written to");
    assert!(heard < SILENT, "what a message needs is given back: {heard} bytes a socket");
    drop(crowd);
    door.wait_for_metric("hub_connections", 1.0).await;
    door.wait_for_metric("hub_subscriptions", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of the crowd above"]
async fn clients() {
    crowd::attend().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_storm_is_bounded_and_closes_no_reader() {
    const CLIENTS: usize = 60;
    const MESSAGES: usize = 150;
    let door = door().config("[realtime.plain]\necho = false\n").start();
    let sockets = crowd::open_all(door.http(), "/api/ws/storm", CLIENTS).await;
    let before = door.resident();
    let mut talking = JoinSet::new();
    for (client, mut socket) in sockets.into_iter().enumerate() {
        talking.spawn(async move {
            let mut heard = 0;
            for number in 0..MESSAGES {
                let own = format!("{client}-{number} {}", "x".repeat(500));
                socket.say(&own).await;
                // It reads all there is until its own comes back.
                loop {
                    heard += 1;
                    if socket.hear_json().await["data"] == *own {
                        break;
                    }
                }
            }
            while heard < CLIENTS * MESSAGES {
                socket.hear().await;
                heard += 1;
            }
            socket
        });
    }
    let sockets = talking.join_all().await;
    assert_eq!(sockets.len(), CLIENTS);
    let grown = door.resident().saturating_sub(before);
    assert!(grown < 60_000_000, "grown by {grown}");
    door.wait_for_metric("hub_published_total", (CLIENTS * MESSAGES) as f64).await;
}

#[tokio::test]
async fn channels_without_anybody_are_forgotten() {
    let door = door().config("[realtime]\nforget_after = \"0s\"\n").start();
    for number in 0..50 {
        let mut socket = connect(&door, &format!("/api/ws/room-{number}")).await;
        socket.say("x").await;
        socket.hear().await;
    }
    door.wait_for_metric("hub_channels", 0.0).await;
}

#[tokio::test]
async fn channels_are_limited() {
    // One client alone has half of them.
    let door = door().config("[realtime]\nmax_channels = 4\n").start();
    let _first = connect(&door, "/api/ws/1").await;
    let _second = connect(&door, "/api/ws/2").await;
    let mut third = connect(&door, "/api/ws/3").await;
    assert_eq!(third.closed().await.0, 1013);
    connect(&door, "/api/ws/1").await.is_quiet().await;
}

/// Comes, says something, and is gone without a word: a plain client to a channel of its own, or one of Socket.IO.
async fn passes_by(address: std::net::SocketAddr, number: usize, text: &str) {
    let path = format!("/api/ws/room-{number}");
    let mut plain = connect_to(address, &path, &[]).await.expect("a socket");
    plain.say(text).await;
    let mut other = connect_to(address, "/socket.io/?EIO=4&transport=websocket", &[]).await.expect("a socket");
    other.hear().await;
    other.say("40").await;
    while !other.hear().await.starts_with("40") {}
    other.say(&format!("42[\"said\",\"{number}\"]")).await;
    // Until the door has heard it.
    while !plain.hear().await.contains(text) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_who_passes_by_is_given_back() {
    let config = "[realtime]\nforget_after = \"0s\"\n[[realtime.channel]]\nmatch = \"*\"\nhistory = 10\n\
                  history_age = \"200ms\"\npresence = \"all\"\npresence_grace = \"200ms\"\n\
                  [[realtime.socketio]]\nrecovery = \"200ms\"\n";
    let door = door().config(config).start();
    let text = "x".repeat(16 * 1024);
    let mut resident = None;
    for _ in 0..4 {
        for tens in 0..40 {
            let passing = (0..10).map(|one| passes_by(door.http(), 10 * tens + one, &text));
            join_all(passing).await;
        }
        for metric in ["hub_connections", "hub_channels", "hub_history_bytes", "realtime_socketio_recovery_bytes"] {
            door.wait_for_metric(metric, 0.0).await;
        }
        resident.get_or_insert_with(|| door.resident());
    }
    // As much again as is held of one round at most; what the allocator gives back, it gives back in its own time.
    let most = resident.expect("a first round") + 4 * 1024 * 1024;
    eventually(&format!("no more than {most} bytes"), async || door.resident() <= most).await;
}
