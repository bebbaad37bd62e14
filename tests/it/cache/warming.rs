//! Promise: when another app takes over, the pages in most demand are there before visitors ask.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use http::HeaderMap;
use tokio::sync::Notify;

use super::{Script, is_hit, keeping, text, warm};
use crate::harness::client::ask;
use crate::harness::{App, Door, door, eventually, next};

const CACHE: &str = "[cache]\npaths = [\"*\"]\n";

/// An app that notes what it is asked.
async fn noting() -> (App, Arc<Mutex<Vec<(String, HeaderMap)>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (script, noted) = (Script::default(), Arc::clone(&asked));
    let app = App::start(move |request| {
        let target = request.uri().path_and_query().unwrap().as_str().to_owned();
        noted.lock().unwrap().push((target, request.headers().clone()));
        let answer = script.answer(&request);
        async move { answer }
    })
    .await;
    (app, asked)
}

/// Has `app` take over.
fn switch(door: &Door, app: &App) {
    door.rewrite(&format!("{}{CACHE}", app.config()));
    door.signal("HUP");
}

#[tokio::test]
async fn what_was_asked_for_most_is_fetched_first() {
    let (old, new) = (Script::default().start().await, noting().await);
    let door = keeping(&old, "paths = [\"*\"]");
    let page = |number: usize| format!("/page-{number}?cache-control=s-maxage%3D600");
    for number in 0..3 {
        warm(&door, &page(number), &[("cookie", "session=secret")]).await;
        for _ in 0..10 * number {
            assert!(is_hit(&ask(door.http(), "GET", &page(number), &[], "").await));
        }
    }
    // A payload, what is chosen by a header, and what is nobody's but its visitor's.
    let payload = "/payload?cache-control=s-maxage%3D600&content-type=text/x-component";
    warm(&door, payload, &[("rsc", "1")]).await;
    let chosen = "/chosen?cache-control=s-maxage%3D600&vary=x-way";
    warm(&door, chosen, &[("x-way", "a")]).await;
    text(&door, "/private?cache-control=private", &[]).await;
    switch(&door, &new.0);
    door.wait_for_metric("cache_warmed_total", 3.0).await;
    let line = door.wait_for_log(|line| {
        line["message"].as_str().is_some_and(|message| message.starts_with("another app has taken over"))
    });
    assert_eq!((&line["asked"], &line["kept"]), (&3.into(), &3.into()));
    let asked = new.1.lock().unwrap().clone();
    let pages: Vec<_> = asked.iter().filter(|(target, _)| target != "/").map(|(target, _)| target.clone()).collect();
    assert_eq!(pages, [page(2), page(1), page(0)]);
    assert!(asked.iter().all(|(_, headers)| !headers.contains_key("cookie")));
    for number in 0..3 {
        assert!(is_hit(&ask(door.http(), "GET", &page(number), &[], "").await), "{number}");
    }
    assert!(text(&door, &page(0), &[]).await.starts_with("/page-0 1"), "the new app's");
}

#[tokio::test]
async fn another_change_in_the_midst_of_it_begins_anew() {
    let (first, third) = (Script::default().start().await, noting().await);
    let script = Script::default();
    let (is_slow, go_on) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let may_go_on = Arc::clone(&go_on);
    let second = App::start(move |request| {
        let (answer, may_go_on) = (script.answer(&request), Arc::clone(&may_go_on));
        let is_slow = request.uri().path() != "/" && is_slow.swap(true, Ordering::SeqCst);
        async move {
            if is_slow {
                may_go_on.notified().await;
            }
            answer
        }
    })
    .await;
    let door = keeping(&first, "paths = [\"*\"]");
    let page = |number: usize| format!("/page-{number}?cache-control=s-maxage%3D600");
    for number in 0..20 {
        warm(&door, &page(number), &[]).await;
    }
    switch(&door, &second);
    door.wait_for_metric("cache_warmed_total", 1.0).await;
    switch(&door, &third.0);
    go_on.notify_one();
    // What the second still had in hand may be left out.
    eventually("all are asked for", async || {
        let asked = third.1.lock().unwrap();
        let pages: BTreeSet<_> = asked.iter().map(|(target, _)| target).filter(|target| *target != "/").collect();
        pages.len() >= 19
    })
    .await;
}

#[tokio::test]
async fn after_a_deploy_of_next_the_first_visitor_gets_a_hit() {
    // Named by the config, and by the build alone.
    for section in ["paths = [\"/kept\"]", "pages = true"] {
        let app = next::own_test_app();
        let config = format!("[app]\ndir = \"{}\"\n[cache]\n{section}\n", app.path().display());
        let door = door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start();
        let is_kept = async || is_hit(&ask(door.http(), "GET", "/kept", &[], "").await);
        eventually("it is kept", is_kept).await;
        // The same build, as another would lie there.
        let id = File::options().write(true).open(app.path().join(".next/BUILD_ID")).unwrap();
        id.set_modified(SystemTime::now()).unwrap();
        door.signal("HUP");
        door.wait_for_log(|line| line["message"] == "app replaced");
        door.wait_for_metric("cache_warmed_total", 1.0).await;
        assert!(is_kept().await, "{section}");
    }
}
