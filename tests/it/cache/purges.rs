//! Promise: what is declared old, by the API or by a change of it, is gone at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Script, is_hit, keeping, reaches, said, text, warm};
use crate::harness::client::ask;
use crate::harness::{App, Door, response};

async fn purge(door: &Door, what: Value) -> (u16, Value) {
    let headers = [("host", "localhost"), ("content-type", "application/json")];
    let answer = ask(door.admin(), "POST", "/_doorway/api/v1/purge", &headers, what.to_string()).await;
    let status = answer.status;
    (status, serde_json::from_slice(&answer.bytes().await).unwrap())
}

const PAGES: [&str; 3] = [
    "/a?cache-control=s-maxage%3D600&cache-tag=one,%20two",
    "/a?cache-control=s-maxage%3D600&cache-tag=two&n=2",
    "/b?cache-control=s-maxage%3D600&cache-tag=three",
];

#[tokio::test]
async fn paths_tags_and_all_are_forgotten() {
    let script = Script::default();
    let app = script.start().await;
    for (what, gone) in [
        (json!({"paths": ["/a"]}), [true, true, false]),
        (json!({"paths": "/%61/"}), [false, false, false]),
        (json!({"paths": "/./%61"}), [true, true, false]),
        (json!({"tags": ["one"]}), [true, false, false]),
        (json!({"tags": "two"}), [true, true, false]),
        (json!({"tags": ["one", "three", "none"]}), [true, false, true]),
        (json!({"all": true}), [true, true, true]),
        (json!({"paths": ["/b", "/c"], "tags": ["one"]}), [true, false, true]),
    ] {
        let door = keeping(&app, "paths = [\"*\"]");
        for page in PAGES {
            warm(&door, page, &[]).await;
        }
        assert_eq!(purge(&door, what.clone()).await.0, 200);
        for (page, gone) in PAGES.into_iter().zip(gone) {
            assert_eq!(!is_hit(&ask(door.http(), "GET", page, &[], "").await), gone, "{what} {page}");
        }
    }
}

#[tokio::test]
async fn what_is_no_purge_says_why() {
    let app = App::saying("page").await;
    let door = keeping(&app, "paths = [\"*\"]");
    for (what, pointer) in [
        (json!({}), "#"),
        (json!({"all": false}), "#"),
        (json!({"paths": ["a"]}), "#/paths/0"),
        (json!({"paths": ["/a", "/a?b"]}), "#/paths/1"),
        (json!({"tags": ["a,b"]}), "#/tags/0"),
        (json!({"tags": [""]}), "#/tags/0"),
        (json!({"path": "/a"}), "#/path"),
        (json!({"all": "yes"}), "#/all"),
    ] {
        let (status, problem) = purge(&door, what.clone()).await;
        assert_eq!(status, 400, "{what}");
        let mut errors = problem["errors"].as_array().unwrap().iter();
        assert!(errors.any(|error| error["pointer"] == pointer), "{what} {problem}");
    }
    let answer =
        ask(door.http(), "POST", "/_doorway/api/v1/purge", &[("content-type", "application/json")], "{}").await;
    assert_eq!(answer.status, 401, "on the site's own address it needs the token");
}

#[tokio::test]
async fn changes_by_others_methods_make_it_old() {
    let script = Script::default();
    let app = script.start().await;
    for (method, target, is_gone) in [
        ("POST", "/a", true),
        ("PUT", "/a?other", true),
        ("PATCH", "/a", true),
        ("DELETE", "/a", true),
        ("OPTIONS", "/a", false),
        ("POST", "/c", false),
    ] {
        let door = keeping(&app, "paths = [\"*\"]");
        warm(&door, PAGES[0], &[]).await;
        let answer = ask(door.http(), method, target, &[], "x").await;
        assert_eq!((answer.status, said(&answer).as_str()), (200, "Doorway; fwd=method"));
        assert_eq!(!is_hit(&ask(door.http(), "GET", PAGES[0], &[], "").await), is_gone, "{method} {target}");
    }
}

#[tokio::test]
async fn changes_that_fail_change_nothing_and_others_are_named() {
    let app = App::start(|request| async move {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let mut answer = response(if query.contains("fails") { 422 } else { 200 }, "done");
        if request.method() == "GET" {
            answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
        } else if let Some(at) = query.strip_prefix("at=") {
            answer.headers_mut().insert("content-location", at.parse().unwrap());
        }
        answer
    })
    .await;
    for (target, is_gone) in [
        ("/a?fails", false),
        ("/b?at=/a", true),
        ("/b?at=http://site.test/a?x", true),
        ("/b?at=http://other.test/a", false),
        ("/b", false),
    ] {
        let door = keeping(&app, "paths = [\"*\"]");
        warm(&door, "/a", &[]).await;
        ask(door.http(), "POST", target, &[], "x").await;
        assert_eq!(!is_hit(&ask(door.http(), "GET", "/a", &[], "").await), is_gone, "{target}");
    }
}

#[tokio::test]
async fn an_answer_that_was_on_its_way_is_not_kept() {
    let (gate, number) = (Arc::new(Semaphore::new(1)), Arc::new(AtomicU64::new(0)));
    let (passing, counter) = (Arc::clone(&gate), Arc::clone(&number));
    let app = App::start(move |_| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        let passing = Arc::clone(&passing);
        async move {
            passing.acquire().await.unwrap().forget();
            let mut answer = response(200, format!("version {number}"));
            answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
            answer.headers_mut().insert("cache-tag", http::HeaderValue::from_static("posts"));
            answer
        }
    })
    .await;
    for what in [json!({"paths": ["/"]}), json!({"tags": ["posts"]}), json!({"all": true})] {
        let door = keeping(&app, "paths = [\"*\"]");
        number.store(0, Ordering::SeqCst);
        gate.forget_permits(10);
        gate.add_permits(1);
        assert_eq!(text(&door, "/", &[]).await, "version 0");
        // The door's own question is with the app, which has read its data already.
        reaches(&number, 2).await;
        assert_eq!(purge(&door, what.clone()).await.0, 200);
        gate.add_permits(1);
        door.wait_for_metric("cache_fetches_total{outcome=\"kept\"}", 1.0).await;
        gate.add_permits(10);
        let answer = ask(door.http(), "GET", "/", &[], "").await;
        assert_ne!(answer.bytes().await, "version 1", "{what}");
    }
}

#[tokio::test]
async fn the_operator_sees_what_is_kept() {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"*\"]");
    for page in PAGES {
        warm(&door, page, &[]).await;
    }
    for _ in 0..20 {
        assert!(is_hit(&ask(door.http(), "GET", PAGES[2], &[], "").await));
    }
    purge(&door, json!({"tags": ["one"]})).await;
    let answer = ask(door.admin(), "GET", "/cache", &[("host", "localhost")], "").await;
    let told: Value = serde_json::from_slice(&answer.bytes().await).unwrap();
    assert_eq!((&told["answers"], &told["paths"]), (&json!(3), &json!(["*"])));
    let first = &told["entries"][0];
    assert_eq!((&first["target"], &first["host"]), (&json!(PAGES[2]), &json!("http://site.test")));
    assert_eq!(first["tags"], json!(["three"]));
    let state = |page: &str| {
        let entries = told["entries"].as_array().unwrap();
        entries.iter().find(|entry| entry["target"] == page).unwrap()["state"].clone()
    };
    assert_eq!([state(PAGES[0]), state(PAGES[1])], [json!("purged"), json!("fresh")]);
}
