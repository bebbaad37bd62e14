//! Promise: no request makes the cache give others something else than the app would, be it cold or warm.

use super::{Script, is_hit, keeping, said, text, warm};
use crate::harness::app::{Request, Response};
use crate::harness::client::ask;
use crate::harness::{App, door, response, wire};

/// An app that answers as Next.js does: a payload where `rsc: 1` is, else a page; and tells in its answer all that it saw.
async fn next() -> App {
    App::start(|request| async move { as_next(&request) }).await
}

fn as_next(request: &Request) -> Response {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let is_payload = header("rsc").as_deref() == Some("1");
    let names = [
        "host",
        "next-router-state-tree",
        "next-router-prefetch",
        "x-forwarded-host",
        "x-evil",
        "origin",
        "x-nextjs-data",
        "x-middleware-subrequest",
        "x-middleware-rewrite",
        "x-now-route-matches",
        "x-http-method-override",
        "x-original-url",
    ];
    let seen: Vec<_> = names.iter().filter_map(|name| Some(format!("{name}={}", header(name)?))).collect();
    let kind = if is_payload { "payload" } else { "page" };
    let mut answer = response(200, format!("{kind} {} {}", request.uri(), seen.join(" ")));
    let media = if is_payload { "text/x-component" } else { "text/html; charset=utf-8" };
    for (name, value) in [
        ("content-type", media),
        ("cache-control", "s-maxage=600"),
        ("x-nextjs-cache", "HIT"),
        ("vary", "rsc, next-router-state-tree, next-router-prefetch, next-router-segment-prefetch"),
    ] {
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}

type Headers<'a> = &'a [(&'a str, &'a str)];

/// An attack, a request, on a page; the victim's request must be answered the same with it and without it.
#[tokio::test]
async fn victims_get_what_they_would_get_anyway() {
    let attacks: &[(&str, &str, Headers)] = &[
        ("GET", "/", &[("rsc", "1")]),
        ("GET", "/?_rsc=1abc", &[("rsc", "1")]),
        ("GET", "/", &[("rsc", "1"), ("next-router-state-tree", "evil")]),
        ("GET", "/", &[("rsc", "true")]),
        ("GET", "/", &[("rsc", "1"), ("rsc", "0")]),
        ("GET", "/", &[("next-router-prefetch", "1")]),
        ("GET", "/", &[("x-forwarded-host", "evil.test")]),
        ("GET", "/", &[("x-evil", "<script>")]),
        ("GET", "/", &[("origin", "https://evil.test")]),
        ("GET", "/", &[("host", "evil.test")]),
        ("GET", "/", &[("range", "bytes=0-3")]),
        ("GET", "/", &[("if-none-match", "*")]),
        ("GET", "/", &[("x-now-route-matches", "1=evil"), ("x-matched-path", "/evil")]),
        ("GET", "/", &[("x-nextjs-data", "1")]),
        ("GET", "/", &[("x-middleware-prefetch", "1")]),
        ("GET", "/", &[("x-middleware-subrequest", "middleware:middleware")]),
        ("GET", "/", &[("x-middleware-rewrite", "/evil")]),
        ("GET", "/", &[("x-prerender-revalidate", "evil")]),
        ("GET", "/", &[("x-original-url", "/evil"), ("x-rewrite-url", "/evil")]),
        ("GET", "/", &[("x-doorway-entry", "1,evil"), ("x-nextjs-cache", "HIT")]),
        ("GET", "/", &[("user-agent", "evil")]),
        // Of the older hash several sets of headers have the same (CVE-2026-44582).
        ("GET", "/?_rsc=1abc", &[("rsc", "1"), ("next-router-state-tree", "evil"), ("next-router-prefetch", "1")]),
        ("GET", "/?_rsc=1abc", &[("next-router-state-tree", "evil")]),
        ("GET", "/?__nextDataReq=1", &[]),
        ("GET", "/?nxtPid=evil", &[]),
        ("GET", "//", &[]),
        ("GET", "/?", &[]),
        ("GET", "/./", &[]),
        ("HEAD", "/", &[]),
        ("HEAD", "/", &[("rsc", "1")]),
        ("OPTIONS", "/", &[]),
        ("POST", "/", &[("next-action", "evil")]),
        ("POST", "/", &[("x-http-method-override", "GET")]),
        ("PURGE", "/", &[]),
        ("DELETE", "/", &[]),
    ];
    let victims: &[(&str, Headers)] = &[
        ("/", &[]),
        ("/", &[("rsc", "1")]),
        ("/?_rsc=1abc", &[("rsc", "1")]),
        ("/?_rsc=1abc", &[]),
        ("/?_rsc=1abc", &[("rsc", "1"), ("next-router-state-tree", "own"), ("next-router-prefetch", "1")]),
        ("/", &[("rsc", "1"), ("next-router-state-tree", "own"), ("next-router-prefetch", "1")]),
    ];
    let app = next().await;
    let plain = door().config(app.config()).start();
    let mut expected = Vec::new();
    for (target, headers) in victims {
        expected.push(text(&plain, target, headers).await);
    }
    for (number, (method, target, headers)) in attacks.iter().enumerate() {
        let door = keeping(&app, "paths = [\"*\"]");
        for round in 0..2 {
            ask(door.http(), method, target, headers, "").await.bytes().await;
            // What the attack began has had its time when this is kept.
            warm(&door, &format!("/marker?{number}-{round}"), &[]).await;
            for ((victim, own), expected) in victims.iter().zip(&expected) {
                let got = text(&door, victim, own).await;
                assert_eq!(got, *expected, "{victim} {own:?} after {method} {target} {headers:?}");
            }
        }
    }
}

/// What only bytes on a line can say.
#[tokio::test]
async fn odd_lines_change_nothing_for_others() {
    let app = next().await;
    let plain = door().config(app.config()).start();
    let expected = text(&plain, "/", &[]).await;
    for (line, host) in [
        ("GET /#evil HTTP/1.1", "site.test"),
        ("GET /x/../ HTTP/1.1", "site.test"),
        ("GET /%2e%2e/ HTTP/1.1", "site.test"),
        ("GET /..%2f HTTP/1.1", "site.test"),
        ("GET /..;/ HTTP/1.1", "site.test"),
        ("GET /\\ HTTP/1.1", "site.test"),
        ("GET /%00 HTTP/1.1", "site.test"),
        ("GET /%0d%0ax-evil:1 HTTP/1.1", "site.test"),
        ("GET /?%00 HTTP/1.1", "site.test"),
        ("GET http://evil.test/ HTTP/1.1", "site.test"),
        ("GET http://site.test/ HTTP/1.1", "evil.test"),
        ("GET / HTTP/1.0", "evil.test"),
        ("GET / HTTP/1.1", "SITE.TEST"),
        ("GET / HTTP/1.1", "site.test."),
        ("GET / HTTP/1.1", "site.test:81"),
        ("HEAD / HTTP/1.0", "evil.test"),
        ("get / HTTP/1.1", "site.test"),
    ] {
        let door = keeping(&app, "paths = [\"*\"]");
        for round in 0..2 {
            let request = format!("{line}\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            wire::exchange(door.http(), &request).await;
            warm(&door, &format!("/marker?{round}"), &[]).await;
            assert_eq!(text(&door, "/", &[]).await, expected, "{line} at {host}");
        }
    }
}

#[tokio::test]
async fn answers_of_another_kind_are_not_kept() {
    // HTML where data was asked for, as of a page that a proxy.ts leads elsewhere, and nothing at all (CVE-2025-32421,
    // CVE-2025-49826).
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"*\"]");
    for (target, headers) in [
        ("/_next/data/b/page.json?cache-control=s-maxage%3D600", &[] as Headers),
        ("/page?cache-control=s-maxage%3D600&status=204", &[]),
        ("/page?cache-control=s-maxage%3D600&content-type=text/x-component&body=", &[("rsc", "1")]),
    ] {
        for round in 0..3 {
            ask(door.http(), "GET", target, headers, "").await.bytes().await;
            warm(&door, &format!("/marker?cache-control=s-maxage%3D600&n={round}"), &[]).await;
            assert!(!is_hit(&ask(door.http(), "GET", target, headers, "").await), "{target} {round}");
        }
    }
}

#[tokio::test]
async fn what_vary_names_may_not_be_without_end() {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"*\"]");
    let page = "/page?cache-control=s-maxage%3D600&vary=x-way";
    warm(&door, page, &[("x-way", "a")]).await;
    let long = "b".repeat(5000);
    for _ in 0..3 {
        assert!(!is_hit(&ask(door.http(), "GET", page, &[("x-way", &*long)], "").await));
    }
    for number in 0..100 {
        ask(door.http(), "GET", page, &[("x-way", &*number.to_string())], "").await.bytes().await;
    }
    warm(&door, "/marker?cache-control=s-maxage%3D600", &[]).await;
    assert!(door.metric("cache_entries").await < 80.0);
    assert!(is_hit(&ask(door.http(), "GET", page, &[("x-way", "a")], "").await), "it is there yet");
}

#[tokio::test]
async fn hosts_and_spellings_have_their_own() {
    let app = next().await;
    let door = keeping(&app, "paths = [\"*\"]");
    for target in ["/x", "/X", "/x?a=1&b=2", "/x?b=2&a=1", "/x%2Fy", "/x//y"] {
        for host in ["one.test", "two.test", "one.test:8080"] {
            warm(&door, target, &[("host", host)]).await;
        }
    }
    for target in ["/x", "/X", "/x?a=1&b=2", "/x?b=2&a=1", "/x%2Fy", "/x//y"] {
        for host in ["one.test", "two.test", "one.test:8080"] {
            let answer = ask(door.http(), "GET", target, &[("host", host)], "").await;
            assert!(is_hit(&answer), "{host} {target}: {}", said(&answer));
            let got = answer.bytes().await;
            let expected = format!("page {target} host={host} x-forwarded-host={host}");
            assert_eq!(String::from_utf8_lossy(&got), expected);
        }
    }
}

#[tokio::test]
async fn payloads_under_a_pages_key_are_not_kept() {
    // As versions of Next.js did that answered with a payload at a page's address (CVE-2025-49005, CVE-2026-44576).
    let app = App::start(|request| async move {
        let mut answer = as_next(&request);
        let wrong = if request.headers().contains_key("rsc") { "text/html" } else { "text/x-component" };
        answer.headers_mut().insert("content-type", wrong.parse().unwrap());
        answer
    })
    .await;
    let door = keeping(&app, "paths = [\"*\"]");
    for headers in [&[] as &[(&str, &str)], &[("rsc", "1")]] {
        ask(door.http(), "GET", "/", headers, "").await.bytes().await;
    }
    door.wait_for_metric("cache_fetches_total{outcome=\"refused\"}", 2.0).await;
    assert_eq!(door.metric("cache_fetches_total{outcome=\"kept\"}").await, 0.0);
}

#[tokio::test]
async fn an_address_has_so_many_variants() {
    let app = next().await;
    let door = keeping(&app, "paths = [\"*\"]");
    // Beside others that were everybody's.
    warm(&door, "/first", &[]).await;
    for number in 0..80 {
        let tree = format!("tree-{number}");
        let headers = [("rsc", "1"), ("next-router-state-tree", &*tree)];
        ask(door.http(), "GET", "/", &headers, "").await.bytes().await;
    }
    warm(&door, "/marker", &[]).await;
    let kept = door.metric("cache_fetches_total{outcome=\"kept\"}").await;
    assert!(kept <= 66.0, "{kept}");
    let long = "x".repeat(5000);
    let answer = ask(door.http(), "GET", "/", &[("rsc", "1"), ("next-router-state-tree", &*long)], "").await;
    assert_eq!(said(&answer), "Doorway; fwd=bypass; detail=key");
}

#[tokio::test]
async fn get_with_content_goes_past_it() {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"*\"]");
    let page = "/page?cache-control=s-maxage%3D600";
    warm(&door, page, &[]).await;
    let request =
        format!("GET {page} HTTP/1.1\r\nHost: site.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\nevil");
    let answer = wire::exchange(door.http(), &request).await;
    assert!(answer.contains("detail=content") && answer.contains("/page 3"), "{answer}");
}
