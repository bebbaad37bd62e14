//! Promise: what one visitor is told is never told another.

use std::sync::{Arc, Mutex};

use super::{Script, is_hit, keeping, kept, said, text, warm};
use crate::harness::app::Request;
use crate::harness::client::ask;
use crate::harness::{App, Door, door, response};

type Headers = Vec<(String, String)>;

/// What of a request an app may tell people apart by.
const SECRETS: [(&str, &str); 5] = [
    ("cookie", "session=ada"),
    ("authorization", "Bearer ada"),
    ("x-api-key", "ada"),
    ("x-user", "ada"),
    ("user-agent", "ada's"),
];

/// An app that shows every visitor his own page and, wrongly, says that everybody may have it.
async fn careless() -> App {
    App::start(|request| async move {
        let told = SECRETS.iter().find_map(|(name, _)| request.headers().get(*name)?.to_str().ok());
        let mut answer = response(200, format!("for {}", told.filter(|told| told.contains("ada")).unwrap_or("all")));
        answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
        answer
    })
    .await
}

#[tokio::test]
async fn the_page_of_one_who_is_signed_in_is_never_anothers() {
    for secret in SECRETS {
        let app = careless().await;
        let door = keeping(&app, "paths = [\"*\"]");
        // Cold: she comes first, and what she gets is not kept.
        assert!(text(&door, "/", &[secret]).await.contains("ada"), "{secret:?}");
        assert_eq!(text(&door, "/", &[]).await, "for all", "{secret:?}");
        kept(&door, "/", &[]).await;
        // Warm.
        assert_eq!(text(&door, "/", &[]).await, "for all", "{secret:?}");
        for _ in 0..3 {
            assert_eq!(text(&door, "/", &[]).await, "for all", "{secret:?}");
        }
        // Beside a page that is kept she is the first again.
        for page in ["/one", "/two"] {
            text(&door, page, &[secret]).await;
            for _ in 0..3 {
                assert_eq!(text(&door, page, &[]).await, "for all", "{secret:?} {page}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_behind_a_sign_in_is_kept_for_nobody() {
    // As a `proxy.ts` that redirects who has no session, before a static page: facts of Next.js 16.
    let app = App::start(|request| async move {
        let is_in = request.headers().get("cookie").is_some_and(|cookie| cookie.to_str().unwrap().contains("session"));
        let mut answer = response(if is_in { 200 } else { 307 }, if is_in { "secret" } else { "" });
        if is_in {
            answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=31536000"));
            answer.headers_mut().insert("x-nextjs-cache", http::HeaderValue::from_static("HIT"));
        } else {
            answer.headers_mut().insert("location", http::HeaderValue::from_static("/sign-in"));
        }
        answer
    })
    .await;
    let door = keeping(&app, "paths = [\"*\"]");
    for _ in 0..3 {
        assert_eq!(text(&door, "/", &[("cookie", "session=ada")]).await, "secret");
        door.wait_for_metric("cache_fetches_total{outcome=\"refused\"}", 1.0).await;
        let other = ask(door.http(), "GET", "/", &[], "").await;
        assert_eq!((other.status, said(&other).as_str()), (307, "Doorway; fwd=uri-miss"));
    }
    assert_eq!(door.metric("cache_fetches_total{outcome=\"refused\"}").await, 1.0, "that is remembered");
}

#[tokio::test]
async fn a_cookie_that_is_set_is_set_for_one() {
    let app = App::start(|request| async move {
        let mut answer = response(200, "page");
        answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
        if !request.headers().contains_key("cookie") {
            answer.headers_mut().insert("set-cookie", http::HeaderValue::from_static("id=new"));
        }
        answer
    })
    .await;
    let door = keeping(&app, "paths = [\"*\"]");
    for _ in 0..3 {
        ask(door.http(), "GET", "/", &[("cookie", "id=old")], "").await;
        door.wait_for_metric("cache_fetches_total{outcome=\"refused\"}", 1.0).await;
        let new = ask(door.http(), "GET", "/", &[], "").await;
        assert!(!is_hit(&new) && new.header("set-cookie") == "id=new");
    }
}

#[tokio::test]
async fn the_door_asks_with_nothing_of_a_visitor() {
    let seen: Arc<Mutex<Vec<Headers>>> = Arc::default();
    let noted = Arc::clone(&seen);
    let headers = |request: &Request| {
        let pairs = request.headers().iter();
        pairs.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let app = App::start(move |request| {
        noted.lock().unwrap().push(headers(&request));
        let mut answer = response(200, "page");
        answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
        answer.headers_mut().insert("vary", http::HeaderValue::from_static("rsc, x-tenant"));
        async { answer }
    })
    .await;
    let config = format!("{}[cache]\npaths = [\"*\"]\n[listen]\ntrusted_proxies = [\"127.0.0.0/8\"]\n", app.config());
    let door: Door = door().config(config).start();
    let visitor = [
        ("cookie", "session=ada"),
        ("user-agent", "ada's"),
        ("referer", "http://site.test/ada"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-custom", "ada"),
        ("x-tenant", "blue"),
        ("if-none-match", "\"ada\""),
        ("cache-control", "no-cache"),
    ];
    warm(&door, "/page?q=1", &visitor).await;
    let seen = seen.lock().unwrap();
    let own: Vec<_> = seen[1]
        .iter()
        .filter(|(name, _)| name != "x-request-id" && name != "cdn-loop")
        .map(|(n, v)| (&**n, &**v))
        .collect();
    let expected = [
        ("host", "site.test"),
        ("user-agent", "Doorway"),
        ("x-tenant", "blue"),
        ("accept", "*/*"),
        ("accept-encoding", "identity"),
        ("x-forwarded-host", "site.test"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
    ];
    let mut own: Vec<_> = own.into_iter().collect();
    own.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(own, expected);
}

#[tokio::test]
async fn drafts_and_credentials_go_past_it() {
    let script = Script::default();
    let app = script.start().await;
    let door = keeping(&app, "paths = [\"*\"]");
    let page = "/page?cache-control=s-maxage%3D600";
    warm(&door, page, &[]).await;
    for (number, (header, reason)) in [
        (("cookie", "a=b; __prerender_bypass=x"), "preview"),
        (("cookie", "__next_preview_data=x"), "preview"),
        (("authorization", "Basic eDp5"), "authorization"),
        (("if-match", "\"x\""), "precondition"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = ask(door.http(), "GET", page, &[header], "").await;
        assert_eq!(said(&answer), format!("Doorway; fwd=bypass; detail={reason}"), "{header:?}");
        assert_eq!(answer.bytes().await, format!("/page {}", number + 3), "the app's own");
    }
    assert_eq!(text(&door, page, &[("cookie", "theme=dark")]).await, "/page 2", "any other cookie changes nothing");
}
