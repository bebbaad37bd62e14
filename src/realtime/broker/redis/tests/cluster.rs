//! A Redis Cluster: each channel is one server's, and servers die, stand still, and take slots from each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::Signal;

use super::harness::{Door, Redis, Seen, bodies, channel, config, entry};
use super::servers::{Cluster, slot, until};
use crate::realtime::broker::redis::slots::slot_of;
use crate::realtime::broker::redis::{Config, RedisState, RedisTrouble};
use crate::realtime::broker::{Broker, ChannelEvent, LogEntry, NodeId, Recipient};
use crate::realtime::vocabulary::{Channel, Position};

fn is_up(state: &RedisState) -> bool {
    *state == RedisState::Up
}

fn field(door: &Door, name: &str) -> String {
    format!("{}:{name}", door.link.node())
}

async fn roster(door: &Door, room: &Channel) -> Vec<String> {
    let mut roster: Vec<_> = door.snapshot(room, None, 0).await.roster.into_iter().map(|(name, _)| name).collect();
    roster.sort();
    roster
}

/// A number, under a name of its own; all of them are kept.
fn numbered(number: u64) -> LogEntry {
    LogEntry { id: Some(number.to_string().into()), messages: 100_000, ..entry(&number.to_string()) }
}

/// Says numbers under names of their own, each until it is accepted, in several rooms at once, until it ends.
struct Talk {
    is_over: Arc<AtomicBool>,
    speakers: Vec<tokio::task::JoinHandle<BTreeMap<u64, Position>>>,
}

impl Talk {
    fn begin(door: &Door, rooms: &[Channel]) -> Talk {
        let is_over = Arc::new(AtomicBool::new(false));
        let speak = |room: &Channel| {
            let (link, room, is_over) = (door.link.clone(), room.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut said = BTreeMap::new();
                for number in 1.. {
                    let place =
                        link.append(&room, numbered(number)).await.unwrap_or_else(|why| panic!("{number}: {why}"));
                    said.insert(number, place.position);
                    if is_over.load(Ordering::Acquire) {
                        break;
                    }
                }
                said
            })
        };
        Talk { speakers: rooms.iter().map(speak).collect(), is_over }
    }

    /// The place of each number, for each room.
    async fn end(self) -> Vec<BTreeMap<u64, Position>> {
        self.is_over.store(true, Ordering::Release);
        let mut said = Vec::new();
        for speaker in self.speakers {
            said.push(speaker.await.unwrap());
        }
        said
    }
}

/// Follows a room as the hub does: what is heard next is taken, and what is missing is fetched. Gives all numbers in the
/// order of their places, and how many are lost: numbered by a server that others know nothing of.
struct Follower {
    position: Position,
    numbers: Vec<u64>,
    lost: usize,
}

impl Follower {
    async fn begin(door: &Door, room: &Channel) -> Follower {
        door.link.subscribe(room).await.unwrap();
        let position = door.snapshot(room, None, 0).await.top;
        Follower { position, numbers: Vec::new(), lost: 0 }
    }

    async fn catch_up(&mut self, door: &Door, room: &Channel) {
        let snapshot = door.snapshot(room, Some(self.position), 100_000).await;
        if !snapshot.goes_on_from(self.position) {
            self.lost += 1;
        }
        for (_, body) in &snapshot.entries {
            self.numbers.push(std::str::from_utf8(body).unwrap().parse().unwrap());
        }
        self.position = snapshot.top;
    }
}

/// Whether the latest that was said in each room was heard, or that something is missing there.
fn heard(seen: &[Seen], room: &Channel, last: u64) -> bool {
    bodies(seen, room).iter().any(|(_, body)| *body == last.to_string()) || seen.contains(&Seen::Gap(room.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_one_redis_does_several_do() {
    let cluster = Cluster::start();
    let (one, other) = (cluster.door().await, cluster.door().await);
    let rooms = cluster.rooms("room");
    for room in &rooms {
        other.link.subscribe(room).await.unwrap();
    }
    for number in 1..=20 {
        for room in &rooms {
            assert_eq!(one.say(room, &number.to_string()).await.unwrap().position.offset, number);
        }
    }
    for (home, room) in rooms.iter().enumerate() {
        let seen = other.saw(|seen| bodies(seen, room).len() == 20).await;
        assert!(bodies(&seen, room).iter().map(|(offset, _)| *offset).eq(1..=20));
        // Whose channel it is, and nobody else, hears of it.
        let heard = |redis: &Redis| redis.ask_list("PUBSUB SHARDCHANNELS dw:{room*").len();
        assert_eq!(heard(&cluster.servers[home]), 1);
    }
    // A name is known where it was said; what passes has no place.
    let named = || LogEntry { id: Some("a".into()), ..entry("named") };
    let (first, again) = (one.link.append(&rooms[1], named()).await, other.link.append(&rooms[1], named()).await);
    assert_eq!(first, again);
    one.link.pass(&rooms[2], Bytes::from_static(b"p")).await.unwrap();
    let passed = Seen::Event(rooms[2].clone(), ChannelEvent::Passed(Bytes::from_static(b"p")));
    other.saw(|seen| seen.contains(&passed)).await;
    // Many at once.
    let many: Vec<Channel> = (0..450).map(|number| channel(&format!("many-{number}"))).collect();
    let said = one.say(&many[300], "x").await.unwrap();
    one.link.put(&many[301], &field(&one, "a"), Bytes::from_static(b"v")).await.unwrap();
    let tops = one.link.tops(&many).await.unwrap();
    assert_eq!((tops[300].position, tops[300].sequence, tops[301].sequence), (said.position, 0, 1));
    assert_eq!(tops.len(), many.len());
    // Words, doors, claims and rates.
    one.link.tell(Recipient::Node(other.link.node()), Bytes::from_static(b"you")).await.unwrap();
    one.link.tell(Recipient::All, Bytes::from_static(b"all")).await.unwrap();
    let word = |word: &'static str| Seen::Word(Bytes::from_static(word.as_bytes()));
    other.saw(|seen| seen.contains(&word("you")) && seen.contains(&word("all"))).await;
    one.link.describe("card").await.unwrap();
    one.until(|| cluster.servers[..3].iter().any(|redis| redis.tell("SCARD dw:nodes") == ":2")).await;
    assert_eq!(other.link.nodes().await.unwrap().len(), 2);
    assert!(other.link.cards().await.unwrap().contains(&(one.link.node(), "card".to_owned())));
    for name in ["a", "b", "c", "d", "{a}b"] {
        let value = || Bytes::from_static(b"1");
        assert_eq!(one.link.claim(name, value(), Duration::from_secs(60)).await, Ok(None));
        assert_eq!(other.link.claim(name, Bytes::from_static(b"2"), Duration::from_secs(60)).await, Ok(Some(value())));
        one.link.settle(name, value(), None, Duration::from_secs(60)).await.unwrap();
        assert_eq!(one.link.take(name, 1, 1_000).await, Ok(None));
    }
    assert!(!one.seen().iter().any(|seen| matches!(seen, Seen::Expelled | Seen::WordsLost)), "nothing went wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_followed_by_its_replica() {
    let cluster = Cluster::start();
    // The lease of one lies with the server that dies, and is over before another has taken its place.
    let lease = |node: u64| slot_of(format!("{{{node:016x}}}").as_bytes()) < 5_000;
    let node = (1..1_000).find(|node| lease(*node)).unwrap();
    let (speaker, other) = (Door::named(cluster.config(), NodeId(node)), cluster.door().await);
    speaker.is(is_up).await;
    let rooms = cluster.rooms("room");
    let mut followers = Vec::new();
    for room in &rooms {
        followers.push(Follower::begin(&other, room).await);
        speaker.link.put(room, &field(&speaker, "member"), Bytes::from_static(b"1")).await.unwrap();
        other.link.put(room, &field(&other, "member"), Bytes::from_static(b"1")).await.unwrap();
    }
    let talk = Talk::begin(&speaker, &rooms);
    other.saw(|seen| rooms.iter().all(|room| bodies(seen, room).len() > 50)).await;
    cluster.servers[0].kill();
    other.is(|state| !is_up(state)).await;
    let state = other.link.state().borrow().clone();
    assert!(matches!(state, RedisState::Down(_)), "{state:?}");
    // The others' channels go on meanwhile.
    other.forget();
    other.saw(|seen| rooms[1..].iter().all(|room| bodies(seen, room).len() > 50)).await;
    other.is(is_up).await;
    speaker.is(is_up).await;
    other.saw(|seen| seen.contains(&Seen::Gap(rooms[0].clone())) && !bodies(seen, &rooms[0]).is_empty()).await;
    let all = talk.end().await;
    other.forget();
    for ((room, said), follower) in rooms.iter().zip(&all).zip(&mut followers) {
        let last = said.last_key_value().unwrap().0 + 1;
        speaker.link.append(room, numbered(last)).await.unwrap();
        other.saw(|seen| bodies(seen, room).iter().any(|(_, body)| *body == last.to_string())).await;
        follower.catch_up(&other, room).await;
        assert!(follower.numbers.windows(2).all(|two| two[0] < two[1]), "out of order, or twice: {room:?}");
        let missing = (1..=last).filter(|number| !follower.numbers.contains(number)).count();
        println!("{room:?}: {last} said, {missing} lost with the server");
        assert!(missing == 0 || *room == rooms[0], "{missing} of {last} are lost of a server that lived");
        assert_eq!(follower.lost, 0, "what was known before goes on");
    }
    // What doors say to it went by the server that died.
    speaker.saw(|seen| seen.contains(&Seen::WordsLost)).await;
    // Nobody was taken for dead, and all are there again.
    for door in [&speaker, &other] {
        door.saw(|_| door.metrics.expelled.get() > 0 || door.seen().contains(&Seen::Expelled)).await;
        door.link.put(&rooms[0], &field(door, "member"), Bytes::from_static(b"1")).await.unwrap();
        assert_eq!(door.metrics.swept.get(), 0);
    }
    for room in &rooms {
        assert_eq!(roster(&other, room).await.len(), 2, "{room:?}");
    }
    // It comes back as a replica, and is none of those that are asked.
    cluster.servers[0].start_again();
    cluster.is_whole();
    other.is(is_up).await;
    speaker.say(&rooms[0], "end").await.unwrap();
    other.saw(|seen| bodies(seen, &rooms[0]).last().is_some_and(|(_, body)| body == "end")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_stands_still_is_noticed() {
    let cluster = Cluster::start();
    let (one, other) = (cluster.door().await, cluster.door().await);
    let room = &cluster.rooms("room")[1];
    other.link.subscribe(room).await.unwrap();
    let before = one.say(room, "1").await.unwrap().position;
    let keys = |server: usize| cluster.servers[server].tell(&format!("CLUSTER COUNTKEYSINSLOT {}", slot(room)));
    until("its replica has it", || keys(1) != ":0" && keys(1) == keys(4));
    cluster.servers[1].signal(Signal::STOP);
    assert_eq!(one.say(room, "2").await.unwrap().position.offset, 2);
    other.is(is_up).await;
    other.saw(|seen| seen.contains(&Seen::Gap(room.clone()))).await;
    assert_eq!(other.after(room, before).await, (true, vec![(2, "2".into())]));
    // When it goes on it is a replica, and whoever asks it is sent away.
    cluster.servers[1].signal(Signal::CONT);
    cluster.is_whole();
    one.say(room, "3").await.unwrap();
    other.saw(|seen| bodies(seen, room).last() == Some(&(3, "3".to_owned()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_takes_its_channels_along() {
    let mut cluster = Cluster::start();
    let new = cluster.add();
    let (speaker, other) = (cluster.door().await, cluster.door().await);
    let rooms = cluster.rooms("room");
    let mut followers = Vec::new();
    for room in &rooms {
        followers.push(Follower::begin(&other, room).await);
        other.link.put(room, &field(&other, "member"), Bytes::from_static(b"1")).await.unwrap();
    }
    let talk = Talk::begin(&speaker, &rooms);
    other.saw(|seen| rooms.iter().all(|room| bodies(seen, room).len() > 50)).await;
    // To one that has slots, back, and to one that has none yet. Each time they are heard where they are then.
    for (from, to) in [(0, 1), (1, 0), (0, new)] {
        other.forget();
        cluster.move_slot(slot(&rooms[0]), from, to, async || {}).await;
        other.saw(|seen| rooms.iter().all(|room| bodies(seen, room).len() > 20)).await;
        let heard = |redis: &Redis| !redis.ask_list("PUBSUB SHARDCHANNELS dw:{room*").is_empty();
        until("it is heard there", || heard(&cluster.servers[to]));
    }
    let all = talk.end().await;
    for ((room, said), follower) in rooms.iter().zip(&all).zip(&mut followers) {
        let last = *said.last_key_value().unwrap().0;
        other.saw(|seen| heard(seen, room, last)).await;
        follower.catch_up(&other, room).await;
        assert!(follower.numbers.iter().copied().eq(1..=last), "{room:?}: each once, in order, of {last}");
        assert_eq!((follower.lost, roster(&other, room).await.len()), (0, 1), "{room:?}");
    }
    // Away and back before anybody asks where it is: who had it took the subscription away, and is told so again.
    let quiet = &cluster.rooms("quiet")[1];
    other.link.subscribe(quiet).await.unwrap();
    for (from, to) in [(1, 2), (2, 1)] {
        cluster.move_slot(slot(quiet), from, to, async || {}).await;
    }
    let is_heard = || !cluster.servers[1].ask_list("PUBSUB SHARDCHANNELS dw:{quiet*").is_empty();
    until("it is heard again", is_heard);
    other.is(is_up).await;
    assert_eq!(speaker.metrics.expelled.get() + other.metrics.expelled.get(), 0, "nothing is lost by a move");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_its_way_is_asked_for_where_it_goes() {
    let mut cluster = Cluster::start();
    let new = cluster.add();
    let door = cluster.door().await;
    // A claim is one key: it is there as soon as its slot begins to move. A channel has several, and waits for all.
    let claim = |name: &str| slot_of(format!("dw:claim:{name}").as_bytes());
    let value = || Bytes::from_static(b"1");
    let age = Duration::from_secs(60);
    let name = (0..1_000).map(|number| number.to_string()).find(|name| claim(name) < 5_000).unwrap();
    let amid = async || {
        assert_eq!(door.link.claim(&name, value(), age).await, Ok(None));
        let there = cluster.servers[new].tell(&format!("CLUSTER COUNTKEYSINSLOT {}", claim(&name)));
        assert_eq!(there, ":1", "it went there ahead");
        door.link.settle(&name, value(), None, age).await.unwrap();
        assert_eq!(door.link.claim(&name, value(), age).await, Ok(None));
    };
    cluster.move_slot(claim(&name), 0, new, amid).await;
    assert_eq!(door.link.claim(&name, Bytes::from_static(b"2"), age).await, Ok(Some(value())));
    let room = &cluster.rooms("room")[0];
    door.say(room, "1").await.unwrap();
    let impatient = Door::with(Config { message_patience: Duration::from_millis(500), ..cluster.config() });
    impatient.is(is_up).await;
    let amid = async || {
        let why = impatient.say(room, "x").await.unwrap_err().to_string();
        assert!(why.contains("on its way to another server"), "{why}");
    };
    cluster.move_slot(slot(room), 0, 2, amid).await;
    assert_eq!(door.say(room, "2").await.unwrap().position.offset, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_died_is_swept_from_all_servers() {
    let cluster = Cluster::start();
    let (one, other, third) = (cluster.door().await, cluster.door().await, cluster.door().await);
    let rooms = cluster.rooms("room");
    for room in &rooms {
        for door in [&one, &other] {
            door.link.put(room, &field(door, "a"), Bytes::from_static(b"v")).await.unwrap();
        }
    }
    // More than is carried at once.
    let puts = (0..700).map(|number| {
        let (link, name) = (one.link.clone(), field(&one, &number.to_string()));
        let room = rooms[0].clone();
        async move { link.put(&room, &name, Bytes::from_static(b"v")).await.unwrap() }
    });
    futures_util::future::join_all(puts).await;
    let dead = one.link.node();
    drop(one);
    let left = |door: &Door| {
        let left = door.seen().into_iter().filter_map(|seen| match seen {
            Seen::Departed(room, name, value) if value == "v" => Some((room, name)),
            _ => None,
        });
        left.collect::<Vec<_>>()
    };
    other.until(|| left(&other).len() + left(&third).len() == 703).await;
    let mut all = [left(&other), left(&third)].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 703, "each is told once");
    for room in &rooms {
        assert_eq!(roster(&third, room).await, [field(&other, "a")]);
        assert_eq!(all.iter().filter(|(at, name)| at == room && *name == format!("{dead}:a")).count(), 1);
    }
    assert_eq!(other.metrics.swept.get() + third.metrics.swept.get(), 1);
    // One that leaves in good order is gone at once.
    other.link.close().await.unwrap();
    assert_eq!(roster(&third, &rooms[2]).await, [""; 0]);
    assert_eq!(third.link.nodes().await.unwrap(), [third.link.node()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_lease_was_away_has_time_to_come_back() {
    let cluster = Cluster::start();
    let config = Config { node_timeout: Duration::from_secs(5), ..cluster.config() };
    // By where leases lie. The names of doors lie with the first server; of those at the second nothing lives but a name.
    let lies = |server: u16| move |node: &u64| slot_of(format!("{{{node:016x}}}").as_bytes()) / 5_462 == server;
    let door = Door::named(config, NodeId((1..1_000).find(lies(2)).unwrap()));
    door.is(is_up).await;
    let [dead, away] = [0, 1].map(|place| (1..1_000).filter(lies(1)).nth(place).unwrap());
    let names = |command: &str, node: u64| cluster.servers[0].tell(&format!("{command} dw:nodes {node:016x}"));
    assert_eq!(names("SADD", dead), ":1");
    door.until(|| names("SISMEMBER", dead) == ":0").await;
    // It sweeps. Then the leases of all who have theirs there are away, and whoever lives is to renew it first.
    cluster.servers[1].kill();
    door.is(|state| !is_up(state)).await;
    door.is(is_up).await;
    let looked = || {
        let stats = cluster.servers[4].ask("INFO commandstats");
        let calls =
            stats.lines().find_map(|line| line.strip_prefix("cmdstat_exists:calls=")?.split(',').next()?.parse().ok());
        calls.unwrap_or(0_u64)
    };
    let before = looked();
    assert_eq!(names("SADD", away), ":1");
    door.until(|| looked() >= before + 3).await;
    assert_eq!(names("SISMEMBER", away), ":1", "it was taken for dead at once");
    door.until(|| names("SISMEMBER", away) == ":0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_waited_for_where_the_message_is() {
    let cluster = Cluster::start();
    let door = Door::with(Config { replicas: 1, ..cluster.config() });
    door.is(is_up).await;
    let rooms = cluster.rooms("room");
    let all = rooms.iter().flat_map(|room| (0..20).map(|_| door.say(room, "x")));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    // Whose replica is gone says so, and no other.
    cluster.servers[3].kill();
    until("it is missed", || cluster.servers[0].ask("INFO replication").contains("connected_slaves:0"));
    let why = door.say(&rooms[0], "x").await.unwrap_err().to_string();
    assert!(why.contains("0 of 1 replicas"), "{why}");
    door.say(&rooms[1], "x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_that_takes_no_writes_is_said() {
    let cluster = Cluster::start();
    let door = cluster.door().await;
    let rooms = cluster.rooms("room");
    cluster.servers[1].tell("CONFIG SET maxmemory 1mb");
    // Though nothing is said there.
    let state = door.is(|state| matches!(state, RedisState::Down(_))).await;
    let RedisState::Down(trouble) = state else { panic!("{state:?}") };
    let port = cluster.servers[1].port().to_string();
    assert!(trouble.to_string().contains("out of memory") && trouble.to_string().contains(&port), "{trouble}");
    door.say(&rooms[0], "x").await.unwrap();
    let why = door.say(&rooms[1], "x").await.unwrap_err().to_string();
    assert!(why.contains("out of memory"), "{why}");
    cluster.servers[1].tell("CONFIG SET maxmemory 0");
    door.is(is_up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_cluster_or_a_part_of_one_is_said() {
    let (alone, part) = (Redis::start(&[]), Redis::start(&["--cluster-enabled", "yes"]));
    let wrong = |url: String| async move {
        let door = Door::with(Config { message_patience: Duration::from_millis(500), ..config(&url) });
        let known = |state: &RedisState| matches!(state, RedisState::Down(trouble) if *trouble != RedisTrouble::NotYet);
        door.is(known).await;
        door.say(&channel("room"), "x").await.unwrap_err().to_string()
    };
    let why = wrong(format!("redis+cluster://127.0.0.1:{}", alone.port())).await;
    assert!(why.contains("it is no Redis Cluster") && why.contains(&alone.port().to_string()), "{why}");
    let why = wrong(format!("redis://127.0.0.1:{}", part.port())).await;
    assert!(why.contains("redis+cluster://"), "{why}");
    // It has no slots yet.
    let why = wrong(format!("redis+cluster://127.0.0.1:{}", part.port())).await;
    assert!(why.contains("the cluster is down"), "{why}");
    let why = wrong(format!("redis+cluster://127.0.0.1:{}", super::harness::free_port())).await;
    assert!(why.contains("Connection refused"), "{why}");
}
