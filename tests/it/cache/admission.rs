//! Promise: what is not declared to be everybody's is nobody's but its own visitor's.

use super::{Script, is_hit, keeping, said, warm};
use crate::harness::client::ask;
use crate::harness::{App, door, response, streamed};

/// Asks three times; true where the last came from memory. A page that may be kept is asked for in between, so that
/// whatever was begun has had its time.
async fn is_kept(query: &str) -> bool {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"*\"]");
    let target = format!("/page?{query}");
    for round in 0..2 {
        ask(door.http(), "GET", &target, &[], "").await.bytes().await;
        warm(&door, &format!("/marker?cache-control=s-maxage%3D60&n={round}"), &[]).await;
    }
    is_hit(&ask(door.http(), "GET", &target, &[], "").await)
}

#[tokio::test]
async fn what_is_said_to_be_everybodys_is_kept() {
    for query in [
        "cache-control=s-maxage%3D60",
        "cache-control=public, max-age%3D60",
        "cache-control=s-maxage%3D60, stale-while-revalidate%3D31535940",
        "cdn-cache-control=max-age%3D60&cache-control=private",
        "cache-control=s-maxage%3D60&x-nextjs-cache=HIT&vary=rsc, next-router-state-tree, next-router-prefetch",
        "cache-control=s-maxage%3D60&status=404",
        "cache-control=s-maxage%3D60&status=307&location=/other",
        "cache-control=s-maxage%3D0, stale-while-revalidate%3D60",
    ] {
        let script = Script::default();
        let app = script.start().await;
        let door = keeping(&app, "paths = [\"*\"]");
        let target = format!("/page?{}", query.replace(' ', "%20"));
        warm(&door, &target, &[]).await;
        assert!(is_hit(&ask(door.http(), "GET", &target, &[], "").await), "{query}");
    }
}

#[tokio::test]
async fn anything_else_is_not() {
    for query in [
        "",
        "cache-control=max-age%3D60",
        "cache-control=public",
        "cache-control=s-maxage%3D60, private",
        "cache-control=s-maxage%3D60&cache-control=no-store",
        "cache-control=s-maxage%3D60, no-cache",
        "cache-control=s-maxage%3D0",
        "cache-control=s-maxage%3D60, s-maxage%3D0",
        "cache-control=s-maxage%3Dx",
        "cache-control=s-maxage%3D60&set-cookie=a%3Db",
        "cache-control=s-maxage%3D60&vary=*",
        "cache-control=s-maxage%3D60&vary=Cookie",
        "cache-control=s-maxage%3D60&vary=Accept, Authorization",
        "cache-control=s-maxage%3D60&vary=X-Forwarded-For",
        "cache-control=s-maxage%3D60&vary=a,b,c,d,e,f,g,h,i",
        "cache-control=s-maxage%3D60&status=204",
        "cache-control=s-maxage%3D60&status=206",
        "cache-control=s-maxage%3D60&status=500",
        "cache-control=s-maxage%3D60&status=403",
        "cache-control=s-maxage%3D60&x-nextjs-cache=STALE",
        "cache-control=s-maxage%3D60&age=60",
        "cache-control=s-maxage%3D60&content-type=text/x-component",
        "cache-control=s-maxage%3D60&content-encoding=gzip",
        "cdn-cache-control=no-store&cache-control=s-maxage%3D60",
        "last-modified=Sun, 06 Nov 1994 08:49:37 GMT&cache-control=public",
    ] {
        assert!(!is_kept(&query.replace(' ', "%20")).await, "{query}");
    }
}

#[tokio::test]
async fn what_is_cut_short_or_too_long_is_not_kept() {
    let app = App::start(|request| async move {
        let (mut answer, mut feed) = streamed(200);
        answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
        let is_long = request.uri().path() == "/long";
        if !is_long {
            answer.headers_mut().insert("content-length", http::HeaderValue::from_static("20"));
        }
        tokio::spawn(async move {
            let pieces = if is_long { 100 } else { 1 };
            for _ in 0..pieces {
                let _ = feed.send_data(vec![b'x'; if is_long { 10_000 } else { 10 }].into()).await;
            }
        });
        answer
    })
    .await;
    let door = keeping(&app, "paths = [\"*\"]\nmemory = \"1MiB\"");
    let long = ask(door.http(), "GET", "/long", &[], "").await;
    assert_eq!(long.bytes().await.len(), 1_000_000, "the visitor gets all of it");
    door.wait_for_metric("cache_fetches_total{outcome=\"refused\"}", 1.0).await;
    let mut short = ask(door.http(), "GET", "/short", &[], "").await;
    while let Some(Ok(_)) = short.piece().await {}
    door.wait_for_metric("cache_fetches_total{outcome=\"failed\"}", 1.0).await;
    for path in ["/long", "/short"] {
        assert_eq!(said(&ask(door.http(), "GET", path, &[], "").await), "Doorway; fwd=uri-miss", "{path}");
    }
    assert_eq!(door.metric("cache_fetches_total{outcome=\"kept\"}").await, 0.0);
}

#[tokio::test]
async fn answers_that_stream_are_not_held_back() {
    let (begun, mut feeds) = tokio::sync::mpsc::channel(4);
    let app = App::start(move |_| {
        let begun = begun.clone();
        async move {
            let (mut answer, mut feed) = streamed(200);
            answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
            feed.send_data("first ".into()).await.unwrap();
            let _ = begun.send(feed).await;
            answer
        }
    })
    .await;
    let door = keeping(&app, "paths = [\"*\"]");
    let mut answer = ask(door.http(), "GET", "/", &[], "").await;
    assert_eq!(answer.chunk().await.unwrap(), "first ", "before the rest of it is there");
    let (visitors, own) = (feeds.recv().await.unwrap(), feeds.recv().await.unwrap());
    for mut feed in [visitors, own] {
        feed.send_data("second".into()).await.unwrap();
    }
    assert_eq!(answer.bytes().await, "second");
    door.wait_for_metric("cache_fetches_total{outcome=\"kept\"}", 1.0).await;
    let kept = ask(door.http(), "GET", "/", &[], "").await;
    assert!(is_hit(&kept));
    assert_eq!(kept.bytes().await, "first second");
}

#[tokio::test]
async fn development_has_no_cache() {
    let app = App::start(|_| async { response(200, "") }).await;
    let dev = format!("{}dev = true\n[cache]\npaths = [\"*\"]\n", app.config());
    let door = door().config(dev).start();
    let said = said(&ask(door.http(), "GET", "/", &[], "").await);
    assert_eq!(said, "");
}
