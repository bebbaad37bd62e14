//! The fault that no peer sees: everything is open, and nothing comes through.

use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Door, LONG, Redis, Seen, Silence, Way, bodies, channel, config};
use crate::realtime::broker::Broker;
use crate::realtime::broker::redis::RedisState;
use crate::realtime::vocabulary::Channel;

fn is_up(state: &RedisState) -> bool {
    *state == RedisState::Up
}

fn is_not_up(state: &RedisState) -> bool {
    *state != RedisState::Up
}

fn has_gap(room: &Channel) -> impl Fn(&[Seen]) -> bool {
    let gap = Seen::Gap(room.clone());
    move |seen| seen.contains(&gap)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_hears_nothing_notices_and_heals() {
    let redis = Redis::start(&[]);
    let way = Way::to(&redis).await;
    let (deaf, other) = (Door::up(&way.url()).await, Door::up(&redis.url()).await);
    let room = channel("room");
    deaf.link.subscribe(&room).await.unwrap();
    let first = other.say(&room, "1").await.unwrap().position;
    deaf.saw(|seen| bodies(seen, &room).len() == 1).await;
    // The connections there are swallow; others can be made.
    way.fall_silent(Silence::All(2));
    other.say(&room, "2").await.unwrap();
    deaf.is(is_not_up).await;
    deaf.saw(has_gap(&room)).await;
    deaf.is(is_up).await;
    assert_eq!(deaf.after(&room, first).await, (true, vec![(2, "2".into())]));
    other.say(&room, "3").await.unwrap();
    deaf.saw(|seen| bodies(seen, &room).last() == Some(&(3, "3".to_owned()))).await;
    assert!(deaf.metrics.beats_missed.get() >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_answers_and_publishes_nothing_is_noticed() {
    let redis = Redis::start(&[]);
    let way = Way::to(&redis).await;
    let (deaf, other) = (Door::up(&way.url()).await, Door::up(&redis.url()).await);
    let room = channel("room");
    deaf.link.subscribe(&room).await.unwrap();
    way.fall_silent(Silence::Pushes(2));
    other.say(&room, "1").await.unwrap();
    deaf.is(|state| *state == RedisState::Deaf).await;
    deaf.saw(has_gap(&room)).await;
    deaf.is(is_up).await;
    other.say(&room, "2").await.unwrap();
    deaf.saw(|seen| bodies(seen, &room) == [(2, "2".to_owned())]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_answer_is_lost_is_said_once() {
    let redis = Redis::start(&[]);
    let way = Way::to(&redis).await;
    let (one, other) = (Door::up(&way.url()).await, Door::up(&redis.url()).await);
    let room = channel("room");
    other.link.subscribe(&room).await.unwrap();
    way.fall_silent(Silence::Answers(2));
    let said = futures_util::future::join_all((0..20).map(|_| one.say(&room, "x"))).await;
    let mut offsets: Vec<u64> = said.into_iter().map(|said| said.unwrap().position.offset).collect();
    offsets.sort_unstable();
    assert!(offsets.iter().copied().eq(1..=20), "{offsets:?}");
    assert!(one.metrics.repeats.get() >= 20);
    let end = other.say(&room, "end").await.unwrap().position;
    assert_eq!(end.offset, 21);
    other.saw(|seen| bodies(seen, &room).len() == 21).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_swallows_for_good_is_said() {
    let redis = Redis::start(&[]);
    let way = Way::to(&redis).await;
    let door = Door::with(crate::realtime::broker::redis::Config {
        message_patience: Duration::from_millis(300),
        ..config(&way.url())
    });
    door.is(is_up).await;
    way.fall_silent(Silence::All(u64::MAX));
    let why = door.say(&channel("room"), "x").await.unwrap_err().to_string();
    assert!(why.contains("does not answer within"), "{why}");
    door.is(|state| matches!(state, RedisState::Down(_))).await;
    way.fall_silent(Silence::None);
    door.is(is_up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_redis_is_noticed_and_found_again() {
    let redis = Redis::start(&[]);
    let door = Door::up(&redis.url()).await;
    let room = channel("room");
    door.link.subscribe(&room).await.unwrap();
    redis.signal(Signal::STOP);
    door.is(is_not_up).await;
    let saying = tokio::spawn({
        let link = door.link.clone();
        async move { link.append(&channel("room"), super::harness::entry("1")).await }
    });
    door.until(|| door.metrics.beats_missed.get() > 0).await;
    redis.signal(Signal::CONT);
    assert_eq!(saying.await.unwrap().unwrap().position.offset, 1);
    door.is(is_up).await;
    door.saw(has_gap(&room)).await;
    door.say(&room, "2").await.unwrap();
    door.saw(|seen| bodies(seen, &room).last() == Some(&(2, "2".to_owned()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_redis_is_noticed_and_nothing_is_lost() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let room = channel("room");
    other.link.subscribe(&room).await.unwrap();
    redis.tell("CLIENT PAUSE 5000 ALL");
    let said = one.say(&room, "1").await.unwrap();
    assert_eq!(said.position.offset, 1);
    other.is(is_up).await;
    one.say(&room, "2").await.unwrap();
    let seen = other.saw(|seen| bodies(seen, &room).last() == Some(&(2, "2".to_owned()))).await;
    assert!(bodies(&seen, &room).len() == 2 || has_gap(&room)(&seen), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_does_not_keep_up_is_told_what_it_missed() {
    let redis = Redis::start(&[]);
    let (slow, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let (room, quiet) = (channel("room"), channel("quiet"));
    for room in [&room, &quiet] {
        slow.link.subscribe(room).await.unwrap();
    }
    let busy = slow.memory.busy.lock();
    let all = 6_000;
    tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(async {
            for _ in 0..all / 500 {
                let said = futures_util::future::join_all((0..500).map(|_| other.say(&room, "x"))).await;
                assert!(said.iter().all(Result::is_ok));
            }
            // The connection hears all of it, whatever the hub does.
            slow.until(|| slow.metrics.behind.get() > 0).await;
        });
    });
    drop(busy);
    let seen = slow.saw(has_gap(&room)).await;
    let heard = bodies(&seen, &room);
    assert!(heard.len() < all && heard.windows(2).all(|two| two[0].0 < two[1].0), "{}", heard.len());
    assert!(!has_gap(&quiet)(&seen), "only what missed something is told");
    other.say(&room, "end").await.unwrap();
    slow.saw(|seen| bodies(seen, &room).last().is_some_and(|last| last.1 == "end")).await;
    assert_eq!(*slow.link.state().borrow(), RedisState::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_channels_are_heard_again() {
    let redis = Redis::start(&[]);
    let way = Way::to(&redis).await;
    let (door, other) = (Door::up(&way.url()).await, Door::up(&redis.url()).await);
    let rooms: Vec<Channel> = (0..3_000).map(|number| channel(&format!("room-{number}"))).collect();
    let all = futures_util::future::join_all(rooms.iter().map(|room| door.link.subscribe(room))).await;
    assert!(all.iter().all(Result::is_ok));
    way.fall_silent(Silence::All(2));
    let gaps = |seen: &[Seen]| seen.iter().filter(|seen| matches!(seen, Seen::Gap(_))).count();
    door.saw(|seen| gaps(seen) == rooms.len()).await;
    other.say(&rooms[2_999], "x").await.unwrap();
    door.saw(|seen| bodies(seen, &rooms[2_999]).len() == 1).await;
    tokio::time::timeout(LONG, door.is(is_up)).await.unwrap();
}
