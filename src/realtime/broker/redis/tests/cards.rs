//! What doors say of themselves.

use std::time::Duration;

use super::harness::{Door, Redis, config};
use crate::realtime::broker::Broker;
use crate::realtime::broker::redis::Config;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_door_says_of_itself_is_known_while_it_lives() {
    let redis = Redis::start(&[]);
    let open = || Door::with(Config { node_timeout: Duration::from_secs(600), ..config(&redis.url()) });
    let (one, other) = (open(), open());
    one.link.describe("at 10.0.0.1").await.unwrap();
    other.link.describe("").await.unwrap();
    let cards = async |door: &Door| {
        let mut cards = door.link.cards().await.unwrap();
        cards.sort_by_key(|(_, card)| card.len());
        cards
    };
    let both = [(other.link.node(), String::new()), (one.link.node(), "at 10.0.0.1".to_owned())];
    assert_eq!(cards(&other).await, both);
    assert_eq!(cards(&one).await, both);
    one.link.close().await.unwrap();
    assert_eq!(cards(&other).await, both[..1]);
}
