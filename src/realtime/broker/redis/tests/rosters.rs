//! Rosters: what doors have put, and what becomes of it when they die.

use std::time::Duration;

use bytes::Bytes;

use super::harness::{Door, Redis, Seen, Silence, Way, channel, config};
use crate::realtime::broker::redis::{Config, RedisState};
use crate::realtime::broker::{Broker, ChannelEvent, Marked};
use crate::realtime::vocabulary::Channel;

fn field(door: &Door, name: &str) -> String {
    format!("{}:{name}", door.link.node())
}

async fn put(door: &Door, room: &Channel, name: &str, value: &'static str) {
    door.link.put(room, &field(door, name), Bytes::from_static(value.as_bytes())).await.unwrap();
}

async fn roster(door: &Door, room: &Channel) -> Vec<(String, Bytes)> {
    let mut roster = door.snapshot(room, None, 0).await.roster;
    roster.sort();
    roster
}

/// The changes that a door heard: sequence, field, value.
fn changes(seen: &[Seen]) -> Vec<(u64, String, Option<String>)> {
    let changes = seen.iter().filter_map(|seen| match seen {
        Seen::Event(_, ChannelEvent::Roster { sequence, field, value, .. }) => {
            let value = value.as_ref().map(|value| String::from_utf8(value.to_vec()).unwrap());
            Some((*sequence, field.clone(), value))
        }
        _ => None,
    });
    changes.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_counted_and_heard_and_no_others() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let room = channel("room");
    other.link.subscribe(&room).await.unwrap();
    put(&one, &room, "a b", "1").await;
    put(&one, &room, "a b", "1").await;
    put(&one, &room, "a b", "2").await;
    one.link.remove(&room, &field(&one, "nobody")).await.unwrap();
    put(&other, &room, "c", "").await;
    one.link.remove(&room, &field(&one, "a b")).await.unwrap();
    let (ab, c) = (field(&one, "a b"), field(&other, "c"));
    let text = |text: &str| Some(text.to_owned());
    let seen = other.saw(|seen| changes(seen).len() == 4).await;
    assert_eq!(
        changes(&seen),
        [(1, ab.clone(), text("1")), (2, ab.clone(), text("2")), (3, c.clone(), text("")), (4, ab, None)]
    );
    let Seen::Event(_, ChannelEvent::Roster { by, .. }) = &seen[2] else { panic!("{seen:?}") };
    assert_eq!(*by, other.link.node());
    let copy = one.snapshot(&room, None, 0).await;
    assert_eq!((copy.sequence, copy.roster), (4, vec![(c, Bytes::new())]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_died_leaves_nothing_behind() {
    let redis = Redis::start(&[]);
    let (one, other, third) =
        (Door::up(&redis.url()).await, Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let rooms: Vec<Channel> = (0..5).map(|number| channel(&format!("room {number} {{}}%"))).collect();
    for room in &rooms {
        put(&one, room, "dead", "1").await;
        put(&other, room, "alive", "1").await;
    }
    // More than one script takes out.
    let puts = (0..1_200).map(|number| put(&one, &rooms[0], Box::leak(format!("m{number}").into_boxed_str()), "x"));
    futures_util::future::join_all(puts).await;
    for door in [&other, &third] {
        door.link.subscribe(&rooms[0]).await.unwrap();
    }
    let dead = one.link.node();
    drop(one);
    for door in [&other, &third] {
        let seen = door.saw(|seen| changes(seen).len() == 1_201).await;
        assert!(changes(&seen).iter().all(|(_, field, value)| field.starts_with(&dead.to_string()) && value.is_none()));
        let sequences: Vec<u64> = changes(&seen).iter().map(|change| change.0).collect();
        assert!(sequences.windows(2).all(|two| two[0] + 1 == two[1]), "each is told once, in order");
    }
    // The door is forgotten last.
    let is_left = format!("SISMEMBER dw:nodes {dead}");
    other.until(|| redis.tell(&is_left) == ":0").await;
    for room in &rooms {
        assert_eq!(roster(&third, room).await, [(field(&other, "alive"), Bytes::from_static(b"1"))]);
    }
    assert_eq!(other.metrics.swept.get() + third.metrics.swept.get(), 1, "one door sweeps");
    // What it left is told to one of them.
    let left = |door: &Door| door.seen().iter().filter(|seen| matches!(seen, Seen::Departed(..))).count();
    other.until(|| left(&other) + left(&third) == 1_205).await;
    assert_eq!(redis.tell(&format!("EXISTS dw:node:{{{dead}}}:channels dw:node:{{{dead}}}:sweep")), ":0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_leaves_is_gone_at_once() {
    let redis = Redis::start(&[]);
    // Nobody waits for its lease.
    let open = || Door::with(Config { node_timeout: Duration::from_secs(600), ..config(&redis.url()) });
    let (one, other) = (open(), open());
    let room = channel("room");
    put(&one, &room, "a", "1").await;
    other.link.subscribe(&room).await.unwrap();
    one.link.close().await.unwrap();
    other.saw(|seen| changes(seen).iter().any(|change| change.2.is_none())).await;
    assert_eq!(other.link.nodes().await.unwrap(), [other.link.node()]);
    assert_eq!(roster(&other, &room).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_taken_for_dead_is_told_when_all_is_swept() {
    let redis = Redis::start(&[]);
    let way = Way::to(&redis).await;
    let (one, other) = (Door::up(&way.url()).await, Door::up(&redis.url()).await);
    let room = channel("room");
    other.link.subscribe(&room).await.unwrap();
    put(&one, &room, "a", "1").await;
    // Cut off for longer than its lease: others sweep while it does not renew.
    way.fall_silent(Silence::All(u64::MAX));
    let seen = other.saw(|seen| changes(seen).iter().any(|change| change.2.is_none())).await;
    assert_eq!(changes(&seen).len(), 2);
    assert!(!one.seen().contains(&Seen::Expelled));
    way.fall_silent(Silence::None);
    one.saw(|seen| seen.contains(&Seen::Expelled)).await;
    assert_eq!(roster(&one, &room).await, []);
    put(&one, &room, "a", "1").await;
    assert_eq!(roster(&other, &room).await.len(), 1);
    // And what it put again is swept once more when it dies in truth.
    drop(one);
    other.saw(|seen| changes(seen).len() == 4).await;
    assert_eq!(roster(&other, &room).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_swept_because_redis_was_away() {
    let redis = Redis::start(&["--appendonly", "yes"]);
    let doors = [Door::up(&redis.url()).await, Door::up(&redis.url()).await];
    let room = channel("room");
    for door in &doors {
        put(door, &room, "a", "1").await;
    }
    redis.kill();
    for door in &doors {
        door.is(|state| matches!(state, RedisState::Down(_))).await;
        door.forget();
    }
    // Time is what ends a lease, and no state says that it has.
    tokio::time::sleep(config(&redis.url()).node_timeout * 2).await;
    redis.start_again();
    for door in &doors {
        door.saw(|seen| seen.contains(&Seen::Expelled)).await;
    }
    assert_eq!(roster(&doors[0], &room).await.len(), 2, "each is told to put again, and neither swept");
    assert_eq!(doors[0].metrics.swept.get() + doors[1].metrics.swept.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_left_by_all_its_members_is_forgotten() {
    let redis = Redis::start(&[]);
    let door = Door::up(&redis.url()).await;
    let room = channel("room");
    let set = format!("SCARD dw:node:{{{}}}:channels", door.link.node());
    put(&door, &room, "a", "1").await;
    put(&door, &room, "b", "1").await;
    assert_eq!(redis.tell(&set), ":1");
    for name in ["a", "b"] {
        door.link.remove(&room, &field(&door, name)).await.unwrap();
    }
    door.until(|| redis.tell(&set) == ":0").await;
    put(&door, &room, "a", "1").await;
    assert_eq!(redis.tell(&set), ":1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_door_marks_what_is_so_and_one_that_it_is_over() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let room = channel("room");
    let mark = async |door: &Door| door.link.mark(&room, "c").await.unwrap();
    let unmark = async |door: &Door| door.link.unmark(&room, "c").await.unwrap();
    assert_eq!(mark(&one).await, Marked::Empty, "nobody is there");
    put(&one, &room, "d", "1").await;
    assert_eq!(mark(&one).await, Marked::Empty, "what is there is something else");
    put(&one, &room, "c", "1").await;
    put(&other, &room, "c:more", "1").await;
    assert_eq!((mark(&other).await, mark(&one).await, mark(&other).await), (Marked::New, Marked::Known, Marked::Known));
    one.link.remove(&room, &field(&one, "c")).await.unwrap();
    assert!(!unmark(&one).await, "another door has one");
    other.link.remove(&room, &field(&other, "c:more")).await.unwrap();
    assert!(unmark(&one).await && !unmark(&other).await);
    put(&one, &room, "c", "1").await;
    assert_eq!((mark(&one).await, mark(&other).await), (Marked::New, Marked::Known));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_handed_over_one_door_is_told() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let (room, value) = (channel("a room"), Bytes::from_static(b"\x00value"));
    one.link.hand_over(&room, "field", value.clone()).await.unwrap();
    let told = [Seen::Departed(room, "field".into(), value)];
    one.until(|| [one.seen(), other.seen()].concat() == told).await;
}
