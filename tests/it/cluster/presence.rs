//! Who is there, on whatever door.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{doors, text};
use crate::harness::eventually;
use crate::harness::redis::Redis;
use crate::harness::socket::{Socket, connect};

fn members(told: &Value) -> BTreeSet<String> {
    assert_eq!(told["type"], "presence", "{told}");
    told["members"].as_array().unwrap().iter().map(|member| text(&member["id"])).collect()
}

/// The next of the notices, with whose it is.
async fn notice(socket: &mut Socket) -> (String, String) {
    let told = socket.hear_json().await;
    (text(&told["type"]), text(&told["member"]["id"]))
}

#[tokio::test]
async fn members_see_each_other_across_doors() {
    let redis = Redis::start(&[]);
    let [one, two] = doors::<2>(&redis);
    let mut ada = connect(&one, "/api/ws/room").await;
    let own = members(&ada.hear_json().await);
    // What a door shows at once the others hear a moment later.
    let known = async || crate::api::get(&two, "/channels/room/members").await.json["members"].as_array().map(Vec::len);
    eventually("that she is there", async || known().await == Some(1)).await;
    let mut bob = connect(&two, "/api/ws/room").await;
    let both = members(&bob.hear_json().await);
    assert_eq!(both.len(), 2);
    let bobs: Vec<_> = both.difference(&own).cloned().collect();
    assert_eq!(notice(&mut ada).await, ("join".into(), bobs[0].clone()));
    bob.close(1000).await;
    assert_eq!(notice(&mut ada).await, ("leave".into(), bobs[0].clone()));
}

#[tokio::test]
async fn a_door_that_is_killed_leaves_no_ghosts() {
    let redis = Redis::start(&[]);
    let [one, two, three] = doors::<3>(&redis);
    let mut ada = connect(&one, "/api/ws/room").await;
    members(&ada.hear_json().await);
    let mut gone = BTreeSet::new();
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(connect(&two, "/api/ws/room").await);
        gone.insert(notice(&mut ada).await.1);
    }
    two.signal("KILL");
    let mut left = BTreeSet::new();
    while left.len() < 5 {
        let (kind, who) = notice(&mut ada).await;
        assert_eq!(kind, "leave");
        assert!(left.insert(who), "each is told once");
    }
    assert_eq!(left, gone);
    let mut late = connect(&three, "/api/ws/room").await;
    assert_eq!(members(&late.hear_json().await).len(), 2);
}

#[tokio::test]
async fn a_door_that_stops_takes_its_leave_at_once() {
    let redis = Redis::start(&["--notify-keyspace-events", ""]);
    let [one, mut two] = doors::<2>(&redis);
    let mut ada = connect(&one, "/api/ws/room").await;
    members(&ada.hear_json().await);
    let _bob = connect(&two, "/api/ws/room").await;
    let (_, who) = notice(&mut ada).await;
    two.signal("TERM");
    assert_eq!(notice(&mut ada).await, ("leave".into(), who));
    assert!(two.wait().success());
}
