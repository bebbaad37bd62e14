//! Redis that is killed, emptied, full, read-only, failed over, or not Doorway's to use.

use std::time::Duration;

use super::harness::{Door, Redis, Seen, bodies, channel, config, entry, free_port};
use crate::realtime::broker::redis::{Config, RedisAddress, RedisState, RedisTrouble};
use crate::realtime::broker::{Broker, BrokerError, LogEntry};
use crate::realtime::vocabulary::Channel;

fn is_down(state: &RedisState) -> bool {
    matches!(state, RedisState::Down(_))
}

fn is_up(state: &RedisState) -> bool {
    *state == RedisState::Up
}

/// Impatient: what is not done soon is refused.
fn impatient(url: &str) -> Config {
    Config { message_patience: Duration::from_millis(500), ..config(url) }
}

async fn refusal(door: &Door, room: &Channel) -> String {
    door.say(room, "x").await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_with_its_data_goes_on() {
    let redis = Redis::start(&["--appendonly", "yes"]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let room = channel("room");
    other.link.subscribe(&room).await.unwrap();
    let before = one.say(&room, "1").await.unwrap().position;
    other.saw(|seen| bodies(seen, &room).len() == 1).await;
    redis.kill();
    one.is(is_down).await;
    // What is said meanwhile waits, and is said once.
    let room_too = room.clone();
    let saying = tokio::spawn({
        let link = one.link.clone();
        async move { link.append(&room_too, entry("2")).await }
    });
    redis.start_again();
    let after = saying.await.unwrap().unwrap().position;
    assert_eq!((after.offset, after.epoch == before.epoch), (2, false));
    other.saw(|seen| seen.contains(&Seen::Gap(room.clone()))).await;
    assert_eq!(other.after(&room, before).await, (true, vec![(2, "2".into())]), "nothing was lost");
    // Through several restarts.
    for _ in 0..3 {
        redis.kill();
        one.is(is_down).await;
        redis.start_again();
        one.is(is_up).await;
        one.link.tops(std::slice::from_ref(&room)).await.unwrap();
    }
    assert!(one.after(&room, before).await.0);
    other.is(is_up).await;
    one.say(&room, "3").await.unwrap();
    other.saw(|seen| bodies(seen, &room).last() == Some(&(3, "3".to_owned()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_begins_anew() {
    let redis = Redis::start(&[]);
    let door = Door::up(&redis.url()).await;
    let room = channel("room");
    door.link.subscribe(&room).await.unwrap();
    // Who never had a lease has none to lose. That it was taken is answered before what is said after it.
    let lease = format!("EXISTS dw:node:{{{}}}:lease", door.link.node());
    door.until(|| redis.tell(&lease) == ":1").await;
    let before = door.say(&room, "1").await.unwrap().position;
    redis.kill();
    door.is(is_down).await;
    redis.start_again();
    door.saw(|seen| {
        seen.contains(&Seen::Gap(room.clone())) && seen.contains(&Seen::Expelled) && seen.contains(&Seen::WordsLost)
    })
    .await;
    let snapshot = door.snapshot(&room, Some(before), 100).await;
    assert_eq!((snapshot.goes_on_from(before), snapshot.top.offset), (false, 0));
    assert_ne!(snapshot.top.epoch, before.epoch);
    door.say(&room, "again").await.unwrap();
    door.saw(|seen| bodies(seen, &room).last() == Some(&(1, "again".to_owned()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_numbered_and_lost_does_not_follow() {
    // As after a failover: the new server has 1 and 2 of 1, 2, 3, and numbers another 3.
    let (redis, replica) = (Redis::start(&[]), Redis::start(&[]));
    let room = channel("room");
    let door = Door::up(&redis.url()).await;
    door.say(&room, "1").await.unwrap();
    let second = door.say(&room, "2").await.unwrap().position;
    replica.tell(&format!("REPLICAOF 127.0.0.1 {}", redis.port()));
    let other = Door::open(&replica.url());
    other.is(|state| *state == RedisState::Down(RedisTrouble::ReadOnly)).await;
    other.until(|| replica.tell("EXISTS dw:{room}:log") == ":1").await;
    replica.tell("REPLICAOF NO ONE");
    let third = door.say(&room, "3").await.unwrap().position;
    other.is(is_up).await;
    let new = other.say(&room, "3'").await.unwrap().position;
    assert_eq!((new.offset, new.epoch == third.epoch), (3, false));
    assert!(!other.after(&room, third).await.0, "the lost 3 is not the new 3");
    assert_eq!(other.after(&room, second).await, (true, vec![(3, "3'".into())]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_flushed_is_noticed() {
    let redis = Redis::start(&[]);
    let door = Door::up(&redis.url()).await;
    let room = channel("room");
    let before = door.say(&room, "1").await.unwrap().position;
    redis.tell("FLUSHALL");
    let top = door.link.tops(std::slice::from_ref(&room)).await.unwrap()[0];
    assert!(top.position.epoch != before.epoch && top.position.offset == 0, "{top:?}");
    door.saw(|seen| seen.contains(&Seen::Expelled)).await;
    assert_eq!(door.link.nodes().await.unwrap(), [door.link.node()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_redis_forgot_are_told_again() {
    let redis = Redis::start(&[]);
    let door = Door::up(&redis.url()).await;
    let room = channel("room");
    for number in 1..=3 {
        redis.tell("SCRIPT FLUSH");
        assert_eq!(door.say(&room, "x").await.unwrap().position.offset, number);
    }
    assert_eq!(*door.link.state().borrow(), RedisState::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_messages_are_refused_in_time() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let door = Door::with(impatient(&url));
    let why = refusal(&door, &channel("room")).await;
    assert!(why.contains("cannot be reached") && why.contains("Connection refused"), "{why}");
    assert!(matches!(door.link.subscribe(&channel("room")).await, Err(BrokerError::Away(_))));
    assert!(matches!(door.link.nodes().await, Err(BrokerError::Away(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_wait_for_redis_and_no_more() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let door = Door::open(&url);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..super::super::MOST_WAITING + 1_000 {
        let link = door.link.clone();
        waiting.spawn(async move { link.append(&channel("room"), entry("x")).await });
    }
    for _ in 0..1_000 {
        let why = waiting.join_next().await.unwrap().unwrap().unwrap_err().to_string();
        assert!(why.contains("too many wait"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_said_and_not_shown() {
    let redis = Redis::start(&["--requirepass", "right"]);
    let socket = redis.socket();
    let url = |who: &str| format!("unix://{who}{}", socket.display());
    for wrong in [url(":wr0ng@"), url(""), url("nobody:right@")] {
        let door = Door::with(impatient(&wrong));
        let state = door.is(|state| matches!(state, RedisState::Down(RedisTrouble::WrongPassword(_)))).await;
        let why = refusal(&door, &channel("room")).await;
        assert!(why.contains("refuses the password") && !why.contains("wr0ng"), "{why}");
        assert!(!format!("{state:?}").contains("wr0ng"));
    }
    let door = Door::up(&url(":right@")).await;
    door.say(&channel("room"), "x").await.unwrap();
    Door::up(&url("default:right@")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_may_not_is_told_what() {
    let redis = Redis::start(&[]);
    assert_eq!(redis.tell("ACL SETUSER app on >pass ~dw:* &dw:* +@all -eval -evalsha"), "+OK");
    let url = format!("unix://app:pass@{}", redis.socket().display());
    let door = Door::with(impatient(&url));
    let why = refusal(&door, &channel("room")).await;
    assert!(why.contains("may not do") && why.contains("evalsha"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_refuses_and_says_so() {
    let redis = Redis::start(&["--maxmemory-policy", "noeviction"]);
    let door = Door::with(Config { message_patience: Duration::from_secs(5), ..config(&redis.url()) });
    door.is(is_up).await;
    let room = channel("room");
    door.say(&room, "1").await.unwrap();
    redis.tell("CONFIG SET maxmemory 1mb");
    let why = refusal(&door, &room).await;
    assert!(why.contains("out of memory"), "{why}");
    door.is(|state| *state == RedisState::Down(RedisTrouble::Full)).await;
    redis.tell("CONFIG SET maxmemory 0");
    assert_eq!(door.say(&room, "2").await.unwrap().position.offset, 2, "what was refused has no place");
    door.is(is_up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_no_writes_and_heals_as_primary() {
    let primary = Redis::start(&[]);
    let replica = Redis::start(&[]);
    let door = Door::with(Config { message_patience: Duration::from_secs(2), ..config(&replica.url()) });
    door.is(is_up).await;
    replica.tell(&format!("REPLICAOF 127.0.0.1 {}", primary.port()));
    let why = refusal(&door, &channel("room")).await;
    assert!(why.contains("is a replica and takes no writes"), "{why}");
    door.is(|state| *state == RedisState::Down(RedisTrouble::ReadOnly)).await;
    replica.tell("REPLICAOF NO ONE");
    door.is(is_up).await;
    door.say(&channel("room"), "x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_replicas_lack_is_not_accepted() {
    let redis = Redis::start(&[]);
    let door = Door::with(Config { replicas: 1, ..config(&redis.url()) });
    door.is(is_up).await;
    let room = channel("room");
    let why = refusal(&door, &room).await;
    assert!(why.contains("0 of 1 replicas"), "{why}");
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &redis.port().to_string()]);
    door.until(|| replica.tell("EXISTS dw:{room}:log") == ":1").await;
    let all = futures_util::future::join_all((0..50).map(|_| door.say(&room, "x"))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_says_where_the_primary_is_now() {
    let (first, second) = (Redis::start(&[]), Redis::start(&[]));
    second.tell(&format!("REPLICAOF 127.0.0.1 {}", first.port()));
    let sentinel = Redis::sentinel();
    let port = first.port();
    assert_eq!(sentinel.tell(&format!("SENTINEL MONITOR doors 127.0.0.1 {port} 1")), "+OK");
    sentinel.tell("SENTINEL SET doors down-after-milliseconds 1000");
    sentinel.tell("SENTINEL SET doors failover-timeout 5000");
    let url = format!("redis+sentinel://127.0.0.1:{},127.0.0.1:{}/doors", free_port(), sentinel.port());
    // A failover takes its time on a busy machine.
    let patient =
        || Config { message_patience: Duration::from_secs(60), ..Config::at(RedisAddress::read(&url).unwrap()) };
    let (one, other) = (Door::with(patient()), Door::with(patient()));
    one.is(is_up).await;
    other.is(is_up).await;
    let room = channel("room");
    other.link.subscribe(&room).await.unwrap();
    let before = one.say(&room, "1").await.unwrap().position;
    other.saw(|seen| bodies(seen, &room).len() == 1).await;
    // It knows the replica, which has all.
    one.until(|| second.tell("EXISTS dw:{room}:log") == ":1").await;
    one.until(|| sentinel.tell("SENTINEL REPLICAS doors") == "*1").await;
    first.kill();
    let after = one.say(&room, "2").await.unwrap().position;
    assert_eq!(after.offset, 2);
    other.saw(|seen| seen.contains(&Seen::Gap(room.clone()))).await;
    assert_eq!(other.after(&room, before).await, (true, vec![(2, "2".into())]));
    // A failover while all live: the old one is a replica then.
    first.start_again();
    one.until(|| first.tell("ROLE") == "*5" && first.tell("EXISTS dw:{room}:log") == ":1").await;
    one.until(|| sentinel.tell("SENTINEL FAILOVER doors") == "+OK").await;
    one.until(|| second.tell("ROLE") == "*5").await;
    let third = one.say(&room, "3").await.unwrap().position;
    assert_eq!(third.offset, 3);
    other
        .saw(|seen| {
            bodies(seen, &room).last() == Some(&(3, "3".to_owned()))
                || seen.iter().filter(|seen| **seen == Seen::Gap(room.clone())).count() > 1
        })
        .await;
    assert!(other.after(&room, before).await.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_no_sentinel_watches_is_said() {
    let sentinel = Redis::sentinel();
    let url = format!("redis+sentinel://127.0.0.1:{}/nobody", sentinel.port());
    let door = Door::with(impatient(&url));
    let why = refusal(&door, &channel("room")).await;
    assert!(why.contains("watches nothing called nobody"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_tls_only_with_a_certificate_it_trusts() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let cert = file("cert.pem", &made.cert.pem());
    let key = file("key.pem", &made.signing_key.serialize_pem());
    let port = free_port();
    let text = |path: &std::path::Path| path.display().to_string();
    let _redis = Redis::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &text(&cert),
        "--tls-key-file",
        &text(&key),
        "--tls-ca-cert-file",
        &text(&cert),
    ]);
    let url = RedisAddress::read(&format!("rediss://localhost:{port}")).unwrap();
    let with = |ca_file| Config { url: url.clone(), ca_file, ..impatient("redis://x") };
    let why = refusal(&Door::with(with(None)), &channel("room")).await;
    assert!(why.contains("certificate"), "{why}");
    let why = refusal(&Door::with(with(Some(folder.path().join("none.pem")))), &channel("room")).await;
    assert!(why.contains("ca_file") && why.contains("none.pem"), "{why}");
    let door = Door::with(with(Some(cert)));
    door.is(is_up).await;
    let big = LogEntry { body: vec![7; 1 << 20].into(), ..entry("") };
    assert_eq!(door.link.append(&channel("room"), big).await.unwrap().position.offset, 1);
}
