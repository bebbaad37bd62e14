//! Messages: one order for all, each once, whole or not at all.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::harness::{Door, Redis, Seen, bodies, channel, entry};
use crate::realtime::broker::redis::RedisState;
use crate::realtime::broker::{Broker, ChannelEvent, LogEntry, Recipient};
use crate::realtime::vocabulary::{Channel, Position};

const EACH: usize = 200;

async fn talk(doors: &[&Door], room: &Channel) {
    let talking = doors.iter().enumerate().map(|(number, door)| async move {
        let said = (0..EACH).map(|at| door.say(room, Box::leak(format!("{number}.{at}").into_boxed_str())));
        for said in futures_util::future::join_all(said).await {
            said.unwrap();
        }
    });
    futures_util::future::join_all(talking).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_doors_hear_one_order_without_gaps() {
    let redis = Redis::start(&[]);
    let doors = [Door::up(&redis.url()).await, Door::up(&redis.url()).await, Door::up(&redis.url()).await];
    let room = channel("room {1}");
    for door in &doors {
        door.link.subscribe(&room).await.unwrap();
    }
    talk(&doors.each_ref(), &room).await;
    let mut orders = BTreeSet::new();
    for door in &doors {
        let seen = door.saw(|seen| bodies(seen, &room).len() == 3 * EACH).await;
        let heard = bodies(&seen, &room);
        assert!(heard.iter().map(|(offset, _)| *offset).eq(1..=3 * EACH as u64), "{heard:?}");
        assert_eq!(heard.iter().map(|(_, body)| body).collect::<BTreeSet<_>>().len(), 3 * EACH, "one came twice");
        assert!(!seen.contains(&Seen::Gap(room.clone())));
        orders.insert(heard);
    }
    assert_eq!(orders.len(), 1, "doors heard another order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_says_its_own_in_the_order_of_asking() {
    let redis = Redis::start(&[]);
    let door = Door::up(&redis.url()).await;
    let room = channel("room");
    door.link.subscribe(&room).await.unwrap();
    for number in 0..50 {
        door.say(&room, &number.to_string()).await.unwrap();
    }
    let seen = door.saw(|seen| bodies(seen, &room).len() == 50).await;
    assert!(bodies(&seen, &room).iter().map(|(_, body)| body.clone()).eq((0..50).map(|number| number.to_string())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_a_name_is_said_once() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let room = channel("room");
    one.link.subscribe(&room).await.unwrap();
    let named = |body| LogEntry { id: Some("a".into()), ..entry(body) };
    let first = one.link.append(&room, named("first")).await.unwrap();
    let again = other.link.append(&room, named("again")).await.unwrap();
    assert_eq!(first, again);
    // The name is known in one channel only.
    other.link.append(&channel("another"), named("other")).await.unwrap();
    let end = one.say(&room, "end").await.unwrap();
    assert_eq!(end.position.offset, 2);
    let seen = one.saw(|seen| bodies(seen, &room).len() == 2).await;
    assert_eq!(bodies(&seen, &room), [(1, "first".to_owned()), (2, "end".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_and_what_is_heard_after_it_have_no_gap() {
    let redis = Redis::start(&[]);
    let (reader, writer) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let room = channel("room");
    let reading = async {
        reader.link.subscribe(&room).await.unwrap();
        for _ in 0..20 {
            let copy = reader.snapshot(&room, None, 1_000).await;
            let offsets: Vec<u64> = copy.entries.iter().map(|(offset, _)| *offset).collect();
            let last = offsets.last().copied().unwrap_or(0);
            assert_eq!(last, copy.top.offset);
            assert!(offsets.windows(2).all(|two| two[0] + 1 == two[1]), "{offsets:?}");
        }
    };
    let writers = [&writer];
    tokio::join!(reading, talk(&writers, &room));
    let seen = reader.saw(|seen| bodies(seen, &room).last().is_some_and(|last| last.0 == EACH as u64)).await;
    let heard = bodies(&seen, &room);
    let first = heard[0].0;
    assert!(heard.iter().map(|(offset, _)| *offset).eq(first..=EACH as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_after_a_position_comes_without_holes() {
    let redis = Redis::start(&[]);
    let door = Door::up(&redis.url()).await;
    let room = channel("room");
    let empty = door.snapshot(&room, None, 10).await;
    assert_eq!((empty.top.offset, empty.entries.len()), (0, 0));
    for number in 1..=10 {
        let entry = LogEntry { messages: 5, ..entry(&number.to_string()) };
        door.link.append(&room, entry).await.unwrap();
    }
    let epoch = empty.top.epoch;
    let after = |offset| Some(Position { epoch, offset });
    let ask = async |after, most| {
        let snapshot = door.snapshot(&room, after, most).await;
        let goes_on = after.is_some_and(|after| snapshot.goes_on_from(after));
        (goes_on, snapshot.entries.iter().map(|(offset, _)| *offset).collect::<Vec<_>>())
    };
    assert_eq!(ask(after(10), 100).await, (true, vec![]));
    assert_eq!(ask(after(8), 100).await, (true, vec![9, 10]));
    assert_eq!(ask(after(5), 100).await, (true, vec![6, 7, 8, 9, 10]));
    assert_eq!(ask(after(4), 100).await, (true, vec![6, 7, 8, 9, 10]), "5 is not kept");
    assert_eq!(ask(after(5), 2).await, (true, vec![9, 10]), "more than may come");
    assert_eq!(ask(after(11), 100).await, (false, vec![6, 7, 8, 9, 10]), "not yet");
    assert_eq!(ask(None, 3).await, (false, vec![8, 9, 10]));
    assert_eq!(ask(None, 0).await, (false, vec![]));
    let other = Position { epoch: crate::realtime::vocabulary::Epoch(epoch.0 ^ 1), offset: 9 };
    assert_eq!(ask(Some(other), 100).await, (false, vec![6, 7, 8, 9, 10]));
    // What is not kept leaves no hole behind.
    let nothing = LogEntry { messages: 0, ..entry("11") };
    assert_eq!(door.link.append(&room, nothing).await.unwrap().position.offset, 11);
    assert_eq!(ask(after(8), 100).await, (true, vec![]));
    door.say(&room, "12").await.unwrap();
    assert_eq!(ask(after(8), 100).await, (true, vec![12]));
    assert_eq!(ask(after(11), 100).await, (true, vec![12]));
    // One that is kept for no time is not kept.
    let old = LogEntry { age: Duration::ZERO, ..entry("13") };
    door.link.append(&room, old).await.unwrap();
    assert_eq!(ask(None, 100).await, (false, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_is_not_given() {
    let redis = Redis::start(&[]);
    let door = Door::up(&redis.url()).await;
    let room = channel("room");
    let short = |body| LogEntry { age: Duration::from_millis(300), ..entry(body) };
    let first = door.link.append(&room, short("1")).await.unwrap();
    // Until it has gone by age: others come after it, so that the log itself does not expire.
    let until = tokio::time::Instant::now() + super::harness::LONG;
    loop {
        let last = door.link.append(&room, short("x")).await.unwrap();
        let snapshot = door.snapshot(&room, Some(Position { offset: 0, ..first.position }), 10_000).await;
        let offsets: Vec<u64> = snapshot.entries.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets.last(), Some(&last.position.offset), "the latest is there");
        if offsets[0] > 1 {
            break;
        }
        assert!(tokio::time::Instant::now() < until, "the first never goes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tops_are_where_channels_stand() {
    let redis = Redis::start(&[]);
    let door = Door::up(&redis.url()).await;
    let rooms: Vec<Channel> = (0..450).map(|number| channel(&format!("room-{number}"))).collect();
    let said = door.say(&rooms[300], "x").await.unwrap();
    door.link.put(&rooms[301], "a", Bytes::from_static(b"v")).await.unwrap();
    let tops = door.link.tops(&rooms).await.unwrap();
    assert_eq!(tops.len(), rooms.len());
    assert_eq!((tops[300].position, tops[300].sequence), (said.position, 0));
    assert_eq!((tops[301].position.offset, tops[301].sequence), (0, 1));
    assert_eq!(door.link.tops(&rooms).await.unwrap(), tops, "an epoch is made once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_reach_one_door_or_all() {
    let redis = Redis::start(&[]);
    let doors = [Door::up(&redis.url()).await, Door::up(&redis.url()).await];
    let [one, other] = &doors;
    one.link.tell(Recipient::Node(other.link.node()), Bytes::from_static(b"you")).await.unwrap();
    one.link.tell(Recipient::All, Bytes::from_static(b"all")).await.unwrap();
    let word = |word: &'static str| Seen::Word(Bytes::from_static(word.as_bytes()));
    other.saw(|seen| *seen == [word("you"), word("all")]).await;
    one.saw(|seen| *seen == [word("all")]).await;
    let mut nodes = one.link.nodes().await.unwrap();
    nodes.sort();
    let mut known = [one.link.node(), other.link.node()];
    known.sort();
    assert_eq!(nodes, known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_has_no_place_and_ends_with_the_subscription() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let (room, end) = (channel("room"), channel("end"));
    for room in [&room, &end] {
        other.link.subscribe(room).await.unwrap();
    }
    one.link.pass(&room, Bytes::from_static(b"p")).await.unwrap();
    let passed = |room: &Channel, body| Seen::Event(room.clone(), ChannelEvent::Passed(Bytes::from_static(body)));
    other.saw(|seen| *seen == [passed(&room, b"p")]).await;
    assert_eq!(one.snapshot(&room, None, 9).await.top.offset, 0);
    other.link.unsubscribe(&room).await.unwrap();
    one.link.pass(&room, Bytes::from_static(b"q")).await.unwrap();
    one.link.pass(&end, Bytes::from_static(b"r")).await.unwrap();
    other.saw(|seen| seen.contains(&passed(&end, b"r"))).await;
    assert!(!other.seen().contains(&passed(&room, b"q")));
    // And again.
    other.link.subscribe(&room).await.unwrap();
    one.link.pass(&room, Bytes::from_static(b"s")).await.unwrap();
    other.saw(|seen| seen.contains(&passed(&room, b"s"))).await;
    assert_eq!(*other.link.state().borrow(), RedisState::Up);
}
