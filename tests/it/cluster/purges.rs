//! What is declared old at one door is old at all, also at one that hears of it late, or not at all.

use serde_json::json;

use super::{config, hears};
use crate::api::post;
use crate::cache::{Script, is_hit, warm};
use crate::harness::client::ask;
use crate::harness::redis::Redis;
use crate::harness::{App, Door, door, eventually};

const PAGES: [&str; 3] = [
    "/a?cache-control=s-maxage%3D600&cache-tag=one",
    "/b?cache-control=s-maxage%3D600&cache-tag=two",
    "/c?cache-control=s-maxage%3D600&cache-tag=three",
];

/// Doors that keep what an app says, and share a Redis.
fn keeping(app: &App, redis: &Redis) -> [Door; 2] {
    let section = format!("{}{}[cache]\npaths = [\"*\"]\n", app.config(), config(redis).replace("\"3s\"", "\"60s\""));
    let doors = [(); 2].map(|()| door().config(section.clone()).start());
    doors.iter().for_each(hears);
    doors
}

async fn has(door: &Door, page: &str) -> bool {
    is_hit(&ask(door.http(), "GET", page, &[("cache-control", "only-if-cached")], "").await)
}

/// Waits until a door has kept these of the pages, and no others.
async fn keeps(door: &Door, kept: [bool; 3]) {
    for (page, is_kept) in PAGES.into_iter().zip(kept) {
        eventually(page, async || has(door, page).await == is_kept).await;
    }
}

#[tokio::test]
async fn what_is_old_at_one_door_is_old_at_all() {
    let script = Script::default();
    let app = script.start().await;
    let redis = Redis::start(&[]);
    let [one, two] = keeping(&app, &redis);
    for door in [&one, &two] {
        for page in PAGES {
            warm(door, page, &[]).await;
        }
    }
    assert_eq!(post(&one, "/purge", json!({"paths": ["/%61"]})).await.status, 200);
    keeps(&two, [false, true, true]).await;
    assert_eq!(post(&one, "/purge", json!({"tags": ["two"]})).await.status, 200);
    keeps(&two, [false, false, true]).await;
    // By a change that passes through a door, and by who runs it.
    assert_eq!(ask(one.http(), "POST", "/c", &[], "x").await.status, 200);
    keeps(&two, [false, false, false]).await;
    for page in PAGES {
        warm(&two, page, &[]).await;
    }
    let headers = [("host", "localhost")];
    assert_eq!(ask(one.admin(), "POST", "/cache/purge?path=/a", &headers, "").await.status, 200);
    keeps(&two, [false, true, true]).await;
    assert_eq!(ask(one.admin(), "POST", "/cache/purge?all=1", &headers, "").await.status, 200);
    keeps(&two, [false, false, false]).await;
}

#[tokio::test]
async fn a_door_that_hears_late_forgets_late() {
    let app = Script::default().start().await;
    let redis = Redis::start(&[]);
    let [one, two] = keeping(&app, &redis);
    for page in PAGES {
        warm(&two, page, &[]).await;
    }
    two.signal("STOP");
    assert_eq!(post(&one, "/purge", json!({"paths": ["/a"]})).await.status, 200, "it does not wait for long");
    two.signal("CONT");
    eventually("gone", async || !has(&two, PAGES[0]).await).await;
}

#[tokio::test]
async fn a_door_that_heard_nothing_keeps_nothing() {
    let app = Script::default().start().await;
    let mut redis = Redis::start(&[]);
    let [_one, two] = keeping(&app, &redis);
    for page in PAGES {
        warm(&two, page, &[]).await;
    }
    // What was declared old meanwhile, it could not know.
    redis.kill();
    redis.restart();
    keeps(&two, [false, false, false]).await;
}
