//! Promise: ten thousand open sockets cost little, and a storm of messages leaves memory bounded.

use tokio::task::JoinSet;

use crate::harness::socket::{Socket, connect, connect_to};
use crate::harness::{Door, door, eventually, metric};

/// Opens `many` sockets on `path`, some at a time.
async fn crowd(door: &Door, path: &'static str, many: usize) -> Vec<Socket> {
    let mut sockets = Vec::with_capacity(many);
    let mut opening = JoinSet::new();
    for _ in 0..many {
        if opening.len() == 100 {
            sockets.push(opening.join_next().await.expect("one of them").expect("no panic"));
        }
        let address = door.http();
        opening.spawn(async move { connect_to(address, path, &[]).await.expect("let in") });
    }
    sockets.extend(opening.join_all().await);
    sockets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sockets_are_held_and_all_hear_a_message() {
    const MANY: usize = 9_000;
    let door = door().config("[realtime.plain]\necho = false\n").start();
    connect(&door, "/api/ws").await.is_quiet().await;
    let before = door.resident();
    let mut sockets = crowd(&door, "/api/ws", MANY).await;
    let each = door.resident().saturating_sub(before) / MANY as u64;
    println!("{each} bytes a silent socket");
    // A debug build; in a release build it is less than half of this.
    assert!(each < 8_000, "{each} bytes a silent socket");
    sockets[0].say("to all").await;
    for socket in &mut sockets {
        assert_eq!(socket.hear_json().await["data"], "to all");
    }
    drop(sockets);
    eventually("all are gone", || async { metric(&door, "doorway_hub_connections").await == 0.0 }).await;
    assert_eq!(metric(&door, "doorway_hub_subscriptions").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_messages_leaves_memory_bounded_and_closes_nobody_who_reads() {
    const CLIENTS: usize = 60;
    const MESSAGES: usize = 150;
    let door = door().config("[realtime.plain]\necho = false\n").start();
    let sockets = crowd(&door, "/api/ws/storm", CLIENTS).await;
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
    assert_eq!(metric(&door, "doorway_hub_published_total").await, (CLIENTS * MESSAGES) as f64);
}

#[tokio::test]
async fn channels_without_anybody_are_forgotten() {
    let door = door().config("[realtime]\nforget_after = \"0s\"\n").start();
    for number in 0..50 {
        let mut socket = connect(&door, &format!("/api/ws/room-{number}")).await;
        socket.say("x").await;
        socket.hear().await;
    }
    eventually("all are forgotten", || async { metric(&door, "doorway_hub_channels").await == 0.0 }).await;
}

#[tokio::test]
async fn channels_are_limited() {
    let door = door().config("[realtime]\nmax_channels = 2\n").start();
    let _first = connect(&door, "/api/ws/1").await;
    let _second = connect(&door, "/api/ws/2").await;
    let mut third = connect(&door, "/api/ws/3").await;
    assert_eq!(third.closed().await.0, 1013);
    connect(&door, "/api/ws/1").await.is_quiet().await;
}
