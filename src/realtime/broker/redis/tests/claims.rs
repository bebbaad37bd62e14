//! What one door claims, and what all take of together.

use std::time::Duration;

use bytes::Bytes;

use super::harness::{Door, Redis};
use crate::realtime::broker::Broker;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_claimed_is_of_one_door_until_it_is_settled() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    let value = |text: &'static str| Bytes::from_static(text.as_bytes());
    assert_eq!(one.link.claim("a", value("1"), LONG).await, Ok(None));
    assert_eq!(one.link.claim("a", value("1"), LONG).await, Ok(None), "asked twice");
    assert_eq!(other.link.claim("a", value("2"), LONG).await, Ok(Some(value("1"))));
    assert_eq!(other.link.claim("b", value("2"), LONG).await, Ok(None));
    other.link.settle("a", value("2"), None, LONG).await.unwrap();
    assert_eq!(other.link.claim("a", value("2"), LONG).await, Ok(Some(value("1"))), "it is another's");
    one.link.settle("a", value("1"), Some(value("done")), LONG).await.unwrap();
    assert_eq!(other.link.claim("a", value("2"), LONG).await, Ok(Some(value("done"))));
    one.link.settle("a", value("done"), None, LONG).await.unwrap();
    assert_eq!(other.link.claim("a", value("2"), LONG).await, Ok(None));
    assert!(!redis.tell("PTTL dw:claim:a").starts_with(":-"), "it goes with its time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_is_that_of_all_doors() {
    let redis = Redis::start(&[]);
    let (one, other) = (Door::up(&redis.url()).await, Door::up(&redis.url()).await);
    // What is more than it holds leaves it in debt.
    assert_eq!(other.link.take("b", 3_000, 10).await, Ok(None));
    let wait = one.link.take("b", 1, 10).await.unwrap().expect("it is in debt");
    assert!(wait > Duration::from_secs(200) && wait < Duration::from_secs(300), "{wait:?}");
    assert_eq!(one.link.take("c", 1, 10).await, Ok(None), "another");
}
