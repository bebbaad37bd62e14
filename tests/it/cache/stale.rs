//! Promise: old answers are given where they may be, while one other is fetched, or the app is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tokio::sync::Semaphore;

use super::{is_hit, keeping, reaches, said, text, warm};
use crate::harness::client::ask;
use crate::harness::{App, response};

/// An app whose page is old at once and may be given out for a while, or as `control` says; it answers when the test
/// lets it.
struct Slow {
    app: App,
    asked: Arc<AtomicU64>,
    gate: Arc<Semaphore>,
}

async fn slow(control: &'static str) -> Slow {
    let (asked, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(2)));
    let (counter, passing) = (Arc::clone(&asked), Arc::clone(&gate));
    let app = App::start(move |request| {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        let passing = Arc::clone(&passing);
        async move {
            passing.acquire().await.unwrap().forget();
            let held = request.headers().get("if-none-match").map(|tag| tag.to_str().unwrap().to_owned());
            let mut answer = match held.as_deref() {
                Some("\"same\"") => response(304, ""),
                _ => response(200, format!("version {number}")),
            };
            answer.headers_mut().insert("cache-control", control.parse().unwrap());
            if control.contains("max-age") {
                answer.headers_mut().insert("etag", http::HeaderValue::from_static("\"same\""));
            }
            answer
        }
    })
    .await;
    Slow { app, asked, gate }
}

#[tokio::test]
async fn one_is_given_while_one_other_is_fetched() {
    let Slow { app, asked, gate } = slow("s-maxage=0, stale-while-revalidate=600").await;
    let door = keeping(&app, "paths = [\"*\"]");
    warm(&door, "/", &[]).await;
    for _ in 0..20 {
        let answer = ask(door.http(), "GET", "/", &[], "").await;
        assert!(said(&answer).starts_with("Doorway; hit; ttl=-"), "{}", said(&answer));
        assert_eq!(answer.bytes().await, "version 2");
    }
    reaches(&asked, 3).await;
    assert_eq!(asked.load(Ordering::SeqCst), 3, "once for all of them");
    gate.add_permits(1);
    door.wait_for_metric("cache_fetches_total{outcome=\"kept\"}", 2.0).await;
    assert_eq!(text(&door, "/", &[]).await, "version 3");
}

#[tokio::test]
async fn what_the_app_says_still_holds_is_kept_on() {
    let Slow { app, gate, .. } = slow("public, max-age=0, stale-while-revalidate=600").await;
    let door = keeping(&app, "paths = [\"*\"]");
    warm(&door, "/", &[]).await;
    let first = ask(door.http(), "GET", "/", &[], "").await;
    assert_eq!(first.bytes().await, "version 2");
    gate.add_permits(10);
    door.wait_for_metric("cache_fetches_total{outcome=\"kept\"}", 2.0).await;
    let again = ask(door.http(), "GET", "/", &[], "").await;
    assert!(is_hit(&again) && again.status == 200);
    assert_eq!(again.header("content-type"), "");
    assert_eq!(again.bytes().await, "version 2", "its body, by a 304");
}

#[tokio::test]
async fn a_crowd_after_a_purge_asks_once() {
    let Slow { app, asked, gate } = slow("s-maxage=600").await;
    let door = keeping(&app, "paths = [\"*\"]\nwait = \"60s\"");
    warm(&door, "/", &[]).await;
    let headers = [("host", "localhost"), ("content-type", "application/json")];
    let before = asked.load(Ordering::SeqCst);
    ask(door.admin(), "POST", "/_doorway/api/v1/purge", &headers, json!({"paths": ["/"]}).to_string()).await;
    let crowd: Vec<_> = (0..30)
        .map(|_| {
            let address = door.http();
            tokio::spawn(async move { ask(address, "GET", "/", &[], "").await })
        })
        .collect();
    reaches(&asked, before + 1).await;
    gate.add_permits(100);
    let mut bodies = Vec::new();
    for one in crowd {
        bodies.push(one.await.unwrap().bytes().await);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(asked.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn waiting_has_an_end() {
    let Slow { app, asked, gate } = slow("s-maxage=600").await;
    let door = keeping(&app, "paths = [\"*\"]\nwait = \"10ms\"");
    warm(&door, "/", &[]).await;
    let headers = [("host", "localhost"), ("content-type", "application/json")];
    ask(door.admin(), "POST", "/_doorway/api/v1/purge", &headers, json!({"paths": ["/"]}).to_string()).await;
    let address = door.http();
    let visitor = tokio::spawn(async move { ask(address, "GET", "/", &[], "").await });
    // The door's own question, and then his.
    reaches(&asked, 4).await;
    gate.add_permits(10);
    let answer = visitor.await.unwrap();
    assert_eq!((answer.status, said(&answer).as_str()), (200, "Doorway; fwd=stale"));
}

#[tokio::test]
async fn while_the_app_is_away_what_may_be_given_is() {
    let Slow { app, .. } = slow("s-maxage=0, stale-while-revalidate=600").await;
    let door = keeping(&app, "paths = [\"*\"]\nstale = \"0s\"");
    ask(door.http(), "GET", "/", &[], "").await.bytes().await;
    door.wait_for_metric("cache_fetches_total{outcome=\"kept\"}", 1.0).await;
    drop(app);
    for _ in 0..3 {
        let answer = ask(door.http(), "GET", "/", &[], "").await;
        assert_eq!(answer.status, 200);
        assert!(said(&answer).ends_with("; detail=stale-if-error"), "{}", said(&answer));
        assert_eq!(answer.bytes().await, "version 2");
    }
}

#[tokio::test]
async fn only_if_cached_asks_nobody() {
    let Slow { app, asked, .. } = slow("s-maxage=600").await;
    let door = keeping(&app, "paths = [\"*\"]");
    let only = [("cache-control", "only-if-cached")];
    assert_eq!(ask(door.http(), "GET", "/", &only, "").await.status, 504);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    warm(&door, "/", &[]).await;
    assert_eq!(text(&door, "/", &only).await, "version 2");
    assert_eq!(text(&door, "/", &[("cache-control", "no-cache"), ("pragma", "no-cache")]).await, "version 2", "reload");
}
