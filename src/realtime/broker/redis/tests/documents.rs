//! Documents in Redis: a room is of one door, and a door that has it no longer writes nothing.

use std::sync::Arc;

use tokio::time::timeout;

use super::harness::{Door, LONG, Redis};
use crate::documents::{Owned, RoomSize, Row, SharedStore, Store, StoreError, StoredRow, Tenure};
use crate::realtime::broker::redis::RedisState;

fn store(door: &Door) -> Store {
    Store::shared(Arc::new(door.link.clone()))
}

fn row(key: &str, value: &str) -> Row {
    (key.into(), Some(value.into()))
}

fn gone(key: &str) -> Row {
    (key.into(), None)
}

fn stored(rows: &[(&str, &str)]) -> Vec<StoredRow> {
    rows.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// Does something that waits.
async fn at<T: Send + 'static>(store: &Store, act: impl FnOnce(&Store) -> T + Send + 'static) -> T {
    store.run(act).await.unwrap()
}

async fn own(store: &Store, room: &'static str) -> Tenure {
    match at(store, move |store| store.own(room)).await.unwrap() {
        Owned::Ours(tenure) => tenure,
        Owned::Theirs(owner) => panic!("it is another's: {owner:?}"),
    }
}

async fn load(store: &Store, room: &'static str) -> Vec<StoredRow> {
    at(store, move |store| store.load(room)).await.unwrap()
}

fn lost(room: &str) -> Result<(), StoreError> {
    Err(StoreError::Lost(room.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_of_one_door_until_that_lets_it_go() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let (here, there) = (store(&one), store(&other));
    let tenure = own(&here, "a").await;
    assert_eq!(here.owner("a").await, Ok(None), "it is this door's own");
    let owner = there.owner("a").await.unwrap().expect("another has it");
    assert_eq!(Some(&*owner.claim), tenure.claim());
    let Owned::Theirs(known) = at(&there, |store| store.own("a")).await.unwrap() else { panic!("it is another's") };
    assert_eq!(known, owner);
    tenure.write(vec![row("1", "one"), row("2", "two")]).await.unwrap();
    tenure.write(vec![row("2", "new"), gone("1")]).await.unwrap();
    assert_eq!(load(&there, "a").await, stored(&[("2", "new")]), "it may be read");
    drop(tenure);
    here.settle().await;
    assert_eq!(there.owner("a").await, Ok(None));
    own(&there, "a").await.write(vec![row("3", "three")]).await.unwrap();
    assert_eq!(load(&here, "a").await, stored(&[("2", "new"), ("3", "three")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_deposed_writes_nothing() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let (here, there) = (store(&one), store(&other));
    let old = own(&here, "a").await;
    old.write(vec![row("1", "one")]).await.unwrap();
    let owner = there.owner("a").await.unwrap().expect("another has it");
    there.depose("a", &owner).await.unwrap();
    // Between two doors it is nobody's, and not the old one's either.
    assert_eq!(old.write(vec![row("1", "late")]).await, lost("a"));
    assert_eq!(old.write(Vec::new()).await, lost("a"), "it finds out without writing");
    let new = own(&there, "a").await;
    there.depose("a", &owner).await.unwrap();
    new.write(vec![row("2", "two")]).await.unwrap();
    let (old, replaced) = at(&here, move |_| {
        let replaced = old.replace(stored(&[("9", "nine")]));
        (old, replaced)
    })
    .await;
    assert_eq!(replaced, lost("a"));
    let (old, deleted) = at(&here, move |_| {
        let deleted = old.delete();
        (old, deleted)
    })
    .await;
    assert_eq!(deleted, lost("a"));
    drop(old);
    here.settle().await;
    new.write(vec![row("3", "three")]).await.expect("what the old one lets go is not the new one's");
    assert_eq!(load(&here, "a").await, stored(&[("1", "one"), ("2", "two"), ("3", "three")]));
    assert_eq!(here.health(), Ok(()), "that is no fault of the store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_door_that_takes_a_room_anew_has_a_new_claim() {
    let redis = Redis::start(&[]);
    let door = Door::up(&redis.url()).await;
    let store = store(&door);
    let first = own(&store, "a").await;
    let second = own(&store, "a").await;
    assert_eq!(first.write(vec![row("1", "late")]).await, lost("a"), "what it had before is void");
    drop(first);
    store.settle().await;
    second.write(vec![row("1", "one")]).await.unwrap();
    // The number goes on after all rows have gone, so that no old claim is good again.
    let number = |tenure: &Tenure| tenure.claim().unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
    let before = number(&second);
    at(&store, move |_| second.delete()).await.unwrap();
    store.settle().await;
    assert_eq!(number(&own(&store, "a").await), before + 1);
    assert!(!redis.tell("PTTL dw:{a}:tenures").starts_with(":-"), "it goes in time where there is nothing");
    assert!(!redis.tell("PTTL dw:{a}:owner").starts_with(":-1"), "and so does who had it");
    own(&store, "a").await.write(vec![row("1", "one")]).await.unwrap();
    assert_eq!(redis.tell("PTTL dw:{a}:tenures"), ":-1", "and stays where there is something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_are_listed_and_measured() {
    let redis = Redis::start(&[]);
    let door = Door::up(&redis.url()).await;
    let store = store(&door);
    for room in ["b", "a{}", "ab", "ä"] {
        own(&store, room).await.write(vec![row("1", "one"), row("22", "")]).await.unwrap();
    }
    // One that was looked at alone.
    drop(own(&store, "c").await);
    let size = |room: &str| RoomSize { room: room.to_owned(), rows: 2, bytes: 6 };
    let sizes = async |prefix: &'static str, after: Option<&'static str>, most| {
        at(&store, move |store| store.sizes(prefix, after, most)).await.unwrap()
    };
    assert_eq!(sizes("", None, 9).await, ["ab", "a{}", "b", "ä"].map(size));
    assert_eq!(sizes("a", None, 9).await, ["ab", "a{}"].map(size));
    assert_eq!(sizes("a", Some("ab"), 9).await, ["a{}"].map(size));
    assert_eq!(sizes("", Some("ab"), 2).await, ["a{}", "b"].map(size));
    let tenure = own(&store, "ab").await;
    at(&store, move |_| tenure.delete()).await.unwrap();
    assert_eq!(sizes("a", None, 1).await, ["a{}"].map(size), "a page is full where there is enough");
    assert!(!at(&store, |store| store.has("ab")).await.unwrap());
    assert_eq!(at(&store, |store| store.rooms(Some("a{}"), 9)).await.unwrap(), ["b", "ä"]);
    assert!(matches!(at(&store, |store| store.copy(|_, _| true)).await, Err(StoreError::NotHere)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_no_document_is_anybodys_to_amend() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let (here, there) = (store(&one), store(&other));
    let amend = async |store: &Store, known: Option<&'static str>, next: &'static str| {
        let known = known.map(|known| known.as_bytes().to_vec());
        at(store, move |store| store.amend("a", b"m", known, next.into())).await.unwrap()
    };
    assert!(amend(&here, None, "1").await);
    assert!(!amend(&there, None, "2").await, "there is something");
    assert!(!amend(&there, Some("x"), "2").await, "there is something else");
    assert!(amend(&there, Some("1"), "2").await);
    assert!(amend(&there, Some("1"), "2").await, "asked twice");
    let names = ["a".to_owned(), "none".to_owned()];
    let rows = at(&here, move |store| store.get_each(&names, b"m")).await.unwrap();
    assert_eq!(rows, [Some(b"2".to_vec()), None]);
    assert_eq!(at(&here, |store| store.rooms(None, 9)).await.unwrap(), ["a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_taken_while_redis_is_away_and_all_is_there() {
    let redis = Redis::start(&["--appendonly", "yes"]);
    let door = Door::up(&redis.url()).await;
    let store = store(&door);
    let tenure = own(&store, "a").await;
    tenure.write(vec![row("1", "one")]).await.unwrap();
    redis.kill();
    let waiting = tokio::spawn(tenure.write(vec![row("2", "two")]));
    door.is(|state| matches!(state, RedisState::Down(_))).await;
    assert!(!waiting.is_finished(), "it is not acknowledged");
    redis.start_again();
    timeout(LONG, waiting).await.unwrap().unwrap().expect("it was done once Redis was there");
    assert_eq!(load(&store, "a").await, stored(&[("1", "one"), ("2", "two")]));
    // Whether it has failed is told until it is written again.
    let short = super::harness::config(&redis.url());
    let impatient = Door::with(crate::realtime::broker::redis::Config {
        message_patience: std::time::Duration::from_millis(200),
        ..short
    });
    impatient.is(|state| *state == RedisState::Up).await;
    let store = Store::shared(Arc::new(impatient.link.clone()));
    redis.kill();
    assert!(matches!(at(&store, |store| store.load("a")).await, Err(StoreError::Shared(_))));
    assert!(store.health().is_err());
    redis.start_again();
    impatient.is(|state| *state == RedisState::Up).await;
    let healed = timeout(LONG, async { while at(&store, |store| store.probe()).await.is_err() {} });
    healed.await.expect("it heals");
    assert_eq!(store.health(), Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_doors_that_want_a_room_at_once_do_not_both_get_it() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    for number in 0..50 {
        let room = format!("room {number}");
        let (here, there) = tokio::join!(one.link.own(&room), other.link.own(&room));
        let claims = [here.unwrap(), there.unwrap()];
        let owned = claims.iter().filter(|claim| matches!(claim, crate::documents::Owning::Ours(_))).count();
        assert_eq!(owned, 1, "{claims:?}");
    }
}
