//! Promise: what is kept takes no more memory than it may, whoever asks for whatever.

use super::{is_hit, keeping, warm};
use crate::harness::client::ask;
use crate::harness::{App, response};

/// Addresses that are asked for once each.
const ADDRESSES: usize = 4_000;
const BUDGET: u64 = 16 << 20;

#[tokio::test]
async fn a_scan_stays_within_the_budget() {
    // As long as pages are: the head of each comes in a buffer of its own with it.
    let app = App::start(|_| async {
        let mut answer = response(200, "x".repeat(5000));
        answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
        answer
    })
    .await;
    let door = keeping(&app, "paths = [\"*\"]\nmemory = \"16MiB\"");
    let scan = async |from: usize| {
        let askers = (0..8).map(|asker| {
            let door = door.http();
            tokio::spawn(async move {
                for number in (from..from + ADDRESSES).skip(asker).step_by(8) {
                    let target =
                        format!("/a?cache-control=s-maxage%3D600&vary=rsc&x-nextjs-cache=HIT&etag=%22a%22&n={number}");
                    ask(door, "GET", &target, &[], "").await.bytes().await;
                }
            })
        });
        for asker in askers.collect::<Vec<_>>() {
            asker.await.unwrap();
        }
    };
    // What a busy door takes anyway.
    let before = door.resident();
    scan(0).await;
    assert!(door.metric("cache_entries").await > 1_000.0);
    let grown = door.resident().saturating_sub(before);
    assert!(grown < BUDGET, "{grown} bytes more");
    assert!(door.metric("cache_memory_bytes").await <= BUDGET as f64);
}

#[tokio::test]
async fn memory_stays_within_its_bounds() {
    let app = App::start(|request| async move {
        let mut answer = response(200, format!("{} ", request.uri()).repeat(4000));
        answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
        answer
    })
    .await;
    let door = keeping(&app, "paths = [\"*\"]\nmemory = \"1MiB\"");
    for number in 0..100 {
        warm(&door, &format!("/{number}"), &[]).await;
    }
    let held = door.metric("cache_memory_bytes").await;
    assert!(held > 300_000.0 && held <= 1_048_576.0, "{held}");
    warm(&door, "/again", &[]).await;
    assert!(is_hit(&ask(door.http(), "GET", "/again", &[], "").await));
}
