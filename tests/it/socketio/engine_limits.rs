//! Promise: sessions that are opened and abandoned are bounded, end in time, and give back what they held.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::polling::{OPEN, open};
use crate::harness::client::get;
use crate::harness::{PATIENCE, door};

const QUICK: &str = "[[realtime.socketio]]\nping_interval = \"500ms\"\nping_timeout = \"500ms\"\n";

/// Opens so many sessions, a hundred at a time, and leaves them.
async fn abandon(address: std::net::SocketAddr, count: usize) {
    for _ in 0..count / 100 {
        let mut opening = JoinSet::new();
        for _ in 0..100 {
            opening.spawn(async move { get(address, &format!("/socket.io/?{OPEN}"), &[]).await.status });
        }
        while let Some(status) = opening.join_next().await {
            assert_eq!(status.expect("no panic"), 200);
        }
    }
}

#[tokio::test]
async fn a_thousand_abandoned_sessions_leave_nothing_behind() {
    let door = door().config(QUICK).start();
    let mut resident = None;
    for _ in 0..4 {
        abandon(door.http(), 1000).await;
        door.wait_for_metric("realtime_engine_polling", 0.0).await;
        door.wait_for_metric("realtime_sockets{dialect=\"socketio\"}", 0.0).await;
        resident.get_or_insert_with(|| door.resident());
    }
    // What the first round taught the allocator is kept; each further thousand must not add to it. What it gives back, it
    // gives back in its own time.
    let most = resident.expect("a first round") + 4 * 1024 * 1024;
    let deadline = Instant::now() + PATIENCE;
    while door.resident() > most {
        assert!(Instant::now() < deadline, "{} of {most}", door.resident());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn more_than_there_are_places_for_are_sent_away() {
    let door = door().config(format!("{QUICK}[realtime]\nmax_connections_per_address = 100\n")).start();
    abandon(door.http(), 100).await;
    for _ in 0..20 {
        assert_eq!(get(door.http(), &format!("/socket.io/?{OPEN}"), &[]).await.status, 429);
    }
    door.wait_for_metric("realtime_engine_polling", 0.0).await;
    open(&door).await.connect().await;
}

#[tokio::test]
async fn a_flood_of_requests_costs_a_client_its_own_session() {
    let door = door().start();
    let bystander = open(&door).await;
    let session = open(&door).await;
    let mut flood = JoinSet::new();
    for _ in 0..200 {
        let (address, target) = (door.http(), session.target());
        flood.spawn(async move { get(address, &target, &[]).await.status });
    }
    let mut refused = 0;
    while let Some(status) = flood.join_next().await {
        refused += usize::from(status.expect("no panic") == 400);
    }
    assert_eq!(refused, 199, "all but the first, which is told that it is over");
    session.is_gone().await;
    bystander.connect().await;
}
