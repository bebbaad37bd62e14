//! Promise: what RFC 9111 and RFC 5861 say of a shared cache holds over HTTP/2 as over HTTP/1.1.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::Script;
use crate::harness::frames::Site;
use crate::harness::{App, eventually, response};

type Headers<'a> = &'a [(&'a str, &'a str)];

/// By what a visitor comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Http1,
    Http2,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn is_hit(&self) -> bool {
        self.header("cache-status").starts_with("Doorway; hit")
    }
}

impl By {
    async fn ask(self, site: &Site, method: &str, target: &str, headers: Headers<'_>) -> Answer {
        let origin = if self == By::Http2 { "https://site.test" } else { "" };
        let mut request = Request::builder().method(method).uri(format!("{origin}{target}"));
        if self == By::Http1 {
            request = request.header("host", "site.test");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let answer = match self {
            By::Http1 => {
                let (mut sender, connection) =
                    http1::handshake::<_, Full<Bytes>>(TokioIo::new(site.http1().await)).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await
            }
            By::Http2 => {
                let stream = TokioIo::new(site.silent().await);
                let (mut sender, connection) =
                    http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), stream).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await
            }
        };
        let (head, body) = answer.unwrap().into_parts();
        Answer { status: head.status.as_u16(), headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    async fn get(self, site: &Site, target: &str, headers: Headers<'_>) -> Answer {
        self.ask(site, "GET", target, headers).await
    }

    /// Asks until there is a kept answer that is fresh.
    async fn warm(self, site: &Site, target: &str, headers: Headers<'_>) {
        self.get(site, target, headers).await;
        let only = [headers, &[("cache-control", "only-if-cached")]].concat();
        eventually(target, async || self.ask(site, "HEAD", target, &only).await.status != 504).await;
    }
}

fn keeping(app: &App) -> Site {
    Site::new(&format!("{}[cache]\npaths = [\"*\"]\nstale = \"0s\"\n", app.config()))
}

const PAGE: &str = "/page?cache-control=s-maxage%3D600&etag=%22abc%22&body=0123456789";

#[tokio::test]
async fn heads_parts_and_conditions_are_answered_from_memory() {
    for by in [By::Http1, By::Http2] {
        let script = Script::default();
        let app = script.start().await;
        let site = keeping(&app);
        // Neither leads to what is kept.
        by.ask(&site, "HEAD", PAGE, &[]).await;
        by.get(&site, PAGE, &[("range", "bytes=0-1")]).await;
        let only = by.get(&site, PAGE, &[("cache-control", "only-if-cached")]).await;
        assert_eq!(only.status, 504, "{by:?}");
        by.warm(&site, PAGE, &[]).await;
        let asked = script.asked(PAGE);
        let since = "Fri, 31 Dec 2100 23:59:59 GMT";
        for (method, headers, status, body) in [
            ("GET", &[] as Headers, 200, "0123456789"),
            ("HEAD", &[], 200, ""),
            ("GET", &[("range", "bytes=2-4")], 206, "234"),
            ("GET", &[("range", "bytes=-2")], 206, "89"),
            ("GET", &[("range", "bytes=2-4"), ("if-range", "\"abc\"")], 206, "234"),
            ("GET", &[("range", "bytes=2-4"), ("if-range", "\"other\"")], 200, "0123456789"),
            ("HEAD", &[("range", "bytes=2-4")], 200, ""),
            ("GET", &[("range", "bytes=2-4"), ("if-none-match", "\"abc\"")], 304, ""),
            ("GET", &[("if-none-match", "W/\"x\", W/\"abc\"")], 304, ""),
            ("GET", &[("if-none-match", "*")], 304, ""),
            ("HEAD", &[("if-none-match", "\"abc\"")], 304, ""),
            ("GET", &[("if-modified-since", since)], 304, ""),
            ("GET", &[("if-none-match", "\"x\""), ("if-modified-since", since)], 200, "0123456789"),
            ("GET", &[("cache-control", "no-cache"), ("pragma", "no-cache")], 200, "0123456789"),
        ] {
            let answer = by.ask(&site, method, PAGE, headers).await;
            let what = format!("{by:?} {method} {headers:?}");
            assert_eq!((answer.status, answer.body.as_ref()), (status, body.as_bytes()), "{what}");
            assert!(answer.is_hit() && !answer.header("age").is_empty(), "{what}: {:?}", answer.headers);
            assert!(answer.header("etag").ends_with("\"abc\""), "{what}: {:?}", answer.headers);
        }
        let none = by.get(&site, PAGE, &[("range", "bytes=50-")]).await;
        assert_eq!((none.status, none.header("content-range")), (416, "bytes */10"), "{by:?}");
        assert_eq!(script.asked(PAGE), asked, "{by:?}: all of it from memory");
    }
}

#[tokio::test]
async fn unsafe_methods_that_succeed_make_it_old() {
    for by in [By::Http1, By::Http2] {
        let script = Script::default();
        let app = script.start().await;
        let site = keeping(&app);
        for (method, target, is_gone) in [
            ("POST", PAGE, true),
            ("PUT", "/page?other", true),
            ("DELETE", "/page", true),
            ("PATCH", "/page", true),
            ("UNKNOWN", "/page", true),
            ("OPTIONS", PAGE, false),
            ("POST", "/other", false),
        ] {
            by.warm(&site, PAGE, &[]).await;
            let change = by.ask(&site, method, target, &[]).await;
            assert_eq!(change.status, 200, "{by:?} {method}");
            let is_hit = by.get(&site, PAGE, &[]).await.is_hit();
            assert_eq!(!is_hit, is_gone, "{by:?} {method} {target}");
        }
    }
}

#[tokio::test]
async fn each_value_of_a_header_in_vary_has_its_own() {
    let app = App::start(|request| async move {
        let language = request.headers().get("accept-language").map_or("none", |value| value.to_str().unwrap());
        let mut answer = response(200, format!("in {language}"));
        answer.headers_mut().insert("cache-control", "s-maxage=600".parse().unwrap());
        answer.headers_mut().insert("vary", "Accept-Language".parse().unwrap());
        answer
    })
    .await;
    for by in [By::Http1, By::Http2] {
        let site = keeping(&app);
        let languages = [&[("accept-language", "de")] as Headers, &[("accept-language", "en")], &[]];
        for headers in languages {
            by.warm(&site, "/", headers).await;
        }
        for (headers, body) in languages.into_iter().zip(["in de", "in en", "in none"]) {
            let answer = by.get(&site, "/", headers).await;
            assert!(answer.is_hit() && answer.body == body, "{by:?} {headers:?}: {:?}", answer.body);
        }
        assert_eq!(by.get(&site, "/", &[("accept-language", "fr")]).await.body, "in fr");
    }
}

/// An app whose page is old at once, and which answers by the status that it is told.
struct Failing {
    app: App,
    status: Arc<AtomicU16>,
    /// How often it was asked whether a page still holds, and so found it.
    asked_whether: Arc<Mutex<BTreeMap<String, u64>>>,
}

/// `control` is what the page says of its keeping at first, `later` what it says with 304.
async fn failing(control: &'static str, later: &'static str) -> Failing {
    let (status, asked_whether) = (Arc::new(AtomicU16::new(200)), Arc::<Mutex<BTreeMap<String, u64>>>::default());
    let (is, noted) = (Arc::clone(&status), Arc::clone(&asked_whether));
    let app = App::start(move |request| {
        let held = request.headers().get("if-none-match").map(|tag| tag.to_str().unwrap().to_owned());
        let is = is.load(Ordering::SeqCst);
        let answer = match held {
            Some(tag) if is == 304 => {
                *noted.lock().unwrap().entry(tag).or_default() += 1;
                response(304, "")
            }
            _ => response(if is == 304 { 200 } else { is }, if is == 200 { "the page" } else { "another" }),
        };
        let mut answer = answer;
        let control = if is == 304 { later } else { control };
        answer.headers_mut().insert("cache-control", control.parse().unwrap());
        answer.headers_mut().insert("etag", "\"same\"".parse().unwrap());
        answer.headers_mut().insert("x-said", is.to_string().parse().unwrap());
        async { answer }
    })
    .await;
    Failing { app, status, asked_whether }
}

#[tokio::test]
async fn what_the_app_says_still_holds_is_fresh_again() {
    for by in [By::Http1, By::Http2] {
        let Failing { app, status, asked_whether } =
            failing("public, max-age=0, stale-if-error=600", "public, max-age=600").await;
        let site = keeping(&app);
        by.get(&site, "/", &[]).await;
        site.door.wait_for_metric("cache_fetches_total{outcome=\"kept\"}", 1.0).await;
        status.store(304, Ordering::SeqCst);
        for is_hit in [false, true, true] {
            let answer = by.get(&site, "/", &[]).await;
            assert_eq!(
                (answer.status, answer.body.as_ref(), answer.is_hit()),
                (200, &b"the page"[..], is_hit),
                "{by:?}"
            );
            // Its head is the newer (section 3.2).
            assert_eq!((answer.header("x-said"), answer.header("cache-control")), ("304", "public, max-age=600"));
        }
        assert_eq!(asked_whether.lock().unwrap().get("\"same\""), Some(&1), "{by:?}");
    }
}

#[tokio::test]
async fn where_the_app_fails_the_old_one_is_given_if_it_may_be() {
    for by in [By::Http1, By::Http2] {
        for (control, may_be) in [
            ("public, max-age=0, stale-if-error=600", true),
            ("s-maxage=0, stale-while-revalidate=600", true),
            ("s-maxage=0, stale-while-revalidate=600, must-revalidate", false),
            ("s-maxage=0, stale-if-error=600, proxy-revalidate", false),
        ] {
            let Failing { app, status, .. } = failing(control, "").await;
            let site = keeping(&app);
            by.get(&site, "/", &[]).await;
            if may_be {
                site.door.wait_for_metric("cache_fetches_total{outcome=\"kept\"}", 1.0).await;
            }
            for (code, is_failure) in
                [(500, true), (502, true), (503, true), (504, true), (501, false), (404, false), (403, false)]
            {
                status.store(code, Ordering::SeqCst);
                for method in ["GET", "HEAD"] {
                    let answer = by.ask(&site, method, "/", &[]).await;
                    let what = format!("{by:?} {control} {code} {method}: {:?}", answer.headers);
                    if is_failure && may_be {
                        assert_eq!(answer.status, 200, "{what}");
                        assert!(answer.header("cache-status").ends_with("; detail=stale-if-error"), "{what}");
                        assert!(method == "HEAD" || answer.body == "the page", "{what}");
                    } else {
                        assert_eq!((answer.status, answer.is_hit()), (code, false), "{what}");
                    }
                }
            }
        }
    }
}
