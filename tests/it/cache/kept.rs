//! Promise: what may be kept is asked for once, and HEAD, ranges and conditions are answered from it.

use super::{Script, is_hit, keeping, said, text, warm};
use crate::harness::client::ask;
use crate::harness::{App, decode, door, response};

const PAGE: &str = "/blog/one?cache-control=s-maxage%3D600&etag=%22abc%22&body=0123456789";

#[tokio::test]
async fn a_page_is_asked_for_by_one_visitor_and_the_door() {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"/blog/*\"]");
    let first = ask(door.http(), "GET", PAGE, &[], "").await;
    assert_eq!(said(&first), "Doorway; fwd=uri-miss");
    door.wait_for_metric("cache_fetches_total{outcome=\"kept\"}", 1.0).await;
    for _ in 0..5 {
        let answer = ask(door.http(), "GET", PAGE, &[], "").await;
        assert!(is_hit(&answer), "{}", said(&answer));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("etag"), "\"abc\"");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert!(!answer.header("age").is_empty() && !answer.header("date").is_empty());
        assert_eq!(answer.bytes().await, "0123456789");
    }
    assert_eq!(script.asked(PAGE), 2, "by the visitor, and by the door for itself");
    assert_eq!(door.metric("cache_requests_total{outcome=\"hit\"}").await, 5.0);
    assert!(door.metric("cache_memory_bytes").await > 10.0);
}

#[tokio::test]
async fn the_next_of_a_folder_costs_one_request() {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"*\"]\nwait = \"60s\"");
    warm(&door, PAGE, &[]).await;
    for number in 0..3 {
        let page = format!("/blog/{number}?cache-control=s-maxage%3D600");
        let first = ask(door.http(), "GET", &page, &[("cookie", "session=ada")], "").await;
        assert_eq!(said(&first), "Doorway; fwd=uri-miss; stored", "{page}");
        assert!(is_hit(&ask(door.http(), "GET", &page, &[], "").await), "{page}");
        assert_eq!(script.asked(&page), 1, "{page}");
    }
    // Another folder, and what is its visitor's alone: after that nothing is expected any more.
    let other = "/shop/1?cache-control=s-maxage%3D600";
    assert_eq!(said(&ask(door.http(), "GET", other, &[], "").await), "Doorway; fwd=uri-miss");
    for (page, times) in [("/blog/own?cache-control=private", 2), ("/blog/own-too?cache-control=private", 1)] {
        assert_eq!(said(&ask(door.http(), "GET", page, &[], "").await), "Doorway; fwd=uri-miss");
        assert_eq!(script.asked(page), times, "{page}");
    }
}

#[tokio::test]
async fn without_the_section_nothing_is_kept() {
    let script = Script::default();
    let app = script.start().await;
    let door = door().config(app.config()).start();
    for _ in 0..3 {
        let answer = ask(door.http(), "GET", PAGE, &[], "").await;
        assert_eq!(said(&answer), "", "the cache has no part in it");
    }
    assert_eq!(script.asked(PAGE), 3);
}

#[tokio::test]
async fn other_paths_are_left_alone() {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"/blog/*\"]");
    for target in [
        "/shop?cache-control=s-maxage%3D600",
        "/blog?cache-control=s-maxage%3D600",
        "/blog%2Fx?cache-control=s-maxage%3D600",
    ] {
        for _ in 0..3 {
            assert_eq!(said(&ask(door.http(), "GET", target, &[], "").await), "", "{target}");
        }
        assert_eq!(script.asked(target), 3, "{target}");
    }
}

#[tokio::test]
async fn heads_parts_and_conditions_are_answered_from_it() {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"*\"]");
    warm(&door, PAGE, &[]).await;
    let head = ask(door.http(), "HEAD", PAGE, &[], "").await;
    assert!(is_hit(&head) && head.header("content-length") == "10", "{:?}", head.headers);
    assert_eq!(head.bytes().await, "");
    for (headers, status, body) in [
        (&[("range", "bytes=2-4")] as &[(&str, &str)], 206, "234"),
        (&[("range", "bytes=-2")], 206, "89"),
        (&[("range", "bytes=50-")], 416, ""),
        (&[("range", "bytes=2-4"), ("if-range", "\"abc\"")], 206, "234"),
        (&[("range", "bytes=2-4"), ("if-range", "\"other\"")], 200, "0123456789"),
        (&[("if-none-match", "\"abc\"")], 304, ""),
        (&[("if-none-match", "W/\"abc\"")], 304, ""),
        (&[("if-none-match", "\"x\", \"abc\"")], 304, ""),
        (&[("if-none-match", "\"x\"")], 200, "0123456789"),
        (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 200, "0123456789"),
    ] {
        let answer = ask(door.http(), "GET", PAGE, headers, "").await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 206 {
            assert!(answer.header("content-range").ends_with("/10"), "{headers:?}");
        }
        if status == 304 {
            assert!(answer.header("etag").ends_with("\"abc\""), "{headers:?}");
        }
        let got = answer.bytes().await;
        assert!(status == 416 || got == body, "{headers:?}: {got:?}");
    }
    assert_eq!(script.asked(PAGE), 2, "all of it from memory");
}

#[tokio::test]
async fn kept_pages_are_compressed_as_any_other() {
    let page = "All the world's a stage, and all the men and women merely players. ".repeat(100);
    let body = page.clone();
    let app = App::start(move |request| {
        assert_eq!(request.headers()["accept-encoding"], "identity", "what is kept is plain");
        let mut answer = response(200, body.clone());
        answer.headers_mut().insert("content-type", http::HeaderValue::from_static("text/html"));
        answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
        async { answer }
    })
    .await;
    let door = keeping(&app, "paths = [\"*\"]");
    warm(&door, "/", &[("accept-encoding", "gzip")]).await;
    for wanted in ["br", "gzip", "zstd", ""] {
        let answer = ask(door.http(), "GET", "/", &[("accept-encoding", wanted)], "").await;
        assert!(is_hit(&answer));
        assert_eq!(answer.header("content-encoding"), wanted);
        let tag = answer.header("etag");
        assert_eq!(tag.starts_with("W/"), !wanted.is_empty(), "{tag}");
        let headers = [("accept-encoding", wanted), ("if-none-match", &*tag)];
        assert_eq!(ask(door.http(), "GET", "/", &headers, "").await.status, 304, "{wanted}");
        assert_eq!(decode::whole(wanted, &answer.bytes().await), page.as_bytes());
    }
}

#[tokio::test]
async fn each_value_of_a_header_in_vary_has_its_own() {
    let app = App::start(|request| async move {
        let language = request
            .headers()
            .get("accept-language")
            .map_or("none".to_owned(), |value| value.to_str().unwrap().to_owned());
        let mut answer = response(200, format!("in {language}"));
        answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
        answer.headers_mut().insert("vary", http::HeaderValue::from_static("Accept-Language, Accept-Encoding"));
        answer
    })
    .await;
    let door = keeping(&app, "paths = [\"*\"]");
    for language in ["de", "en", "fr"] {
        warm(&door, "/", &[("accept-language", language)]).await;
    }
    for language in ["de", "en", "fr"] {
        let answer = ask(door.http(), "GET", "/", &[("accept-language", language)], "").await;
        assert!(is_hit(&answer), "{language}");
        assert_eq!(answer.bytes().await, format!("in {language}"));
    }
    assert_eq!(text(&door, "/", &[("accept-language", "it")]).await, "in it", "it was not there");
}
