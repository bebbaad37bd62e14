//! The cache: what is promised, a file each.
//!
//! - `forms`: what is kept is compressed once for all, and browsers are told to ask whether what they hold is still good.
//! - `kept`: what may be kept is asked for once; HEAD, ranges and conditions are answered from it.
//! - `memory`: what is kept takes no more memory than it may, whoever asks for whatever.
//! - `admission`: what is not declared to be everybody's is nobody's but its own visitor's.
//! - `telling`: with `tell`, whoever listens hears what is declared old, and nobody else can say so.
//! - `operator`: who runs the door sees what is kept and why, and declares it old.
//! - `visitors`: what one visitor is told is never told another.
//! - `poison`: no request makes the cache give others something else than the app would, be it cold or warm.
//! - `stale`: old answers are given where they may be, while one other is fetched, or the app is away.
//! - `next`: who is told by Next.js that his change is done sees it, and is told how old a page really is.
//! - `pages`: pages that Next.js keeps are kept with no word in the config, but for those that something looks at first.
//! - `instrumented`: an app that the door has not started tells it what is old, by the file of the guide.
//! - `versions`: the same of Next.js 15 and 16, of both routers, by `next start` and as a standalone build.
//! - `rows`: of each kind of answer that Next.js gives, what is everybody's is kept, and nobody is given another's.
//! - `components`: the same with `cacheComponents`, of languages and images, with no word in the config.
//! - `semantics`: what RFC 9111 and RFC 5861 say holds over HTTP/2 as over HTTP/1.1.
//! - `restarts`: what Next.js declared old stays old when its process, or the door, is another.
//! - `warming`: when another app takes over, the pages in most demand are there before visitors ask.
//! - `purges`: what is declared old, by the API or by a change of it, is gone at once.

mod admission;
mod components;
mod forms;
mod instrumented;
mod kept;
mod memory;
mod next;
mod operator;
mod pages;
mod poison;
mod purges;
mod restarts;
mod rows;
mod semantics;
mod stale;
mod telling;
mod versions;
mod visitors;
mod warming;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Method};

use crate::harness::app::{Request, Response};
use crate::harness::client::{Answer, ask};
use crate::harness::{App, Door, PATIENCE, door, response};

/// An app that answers `X: y` for each `x-app-x: y` in the query of a path, counts what it is asked, and tells its
/// answers apart: `/page?s-maxage=60` says `page 1`, then `page 2`.
#[derive(Clone, Default)]
pub struct Script {
    asked: Arc<Mutex<BTreeMap<String, u64>>>,
}

/// What an answer is to be like, from the query: `status`, `body`, and any header.
fn answer(path: &str, query: &str, number: u64) -> Response {
    let (mut status, mut body, mut headers) = (200, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace("%20", " ").replace("%22", "\"").replace("%3D", "=");
        match name {
            "status" => status = value.parse().unwrap(),
            "body" => body = Some(value),
            "n" => {}
            name => headers.push((name.to_owned(), value)),
        }
    }
    let body = body.unwrap_or_else(|| format!("{path} {number}"));
    let mut answer = response(status, if status == 204 { String::new() } else { body });
    answer.headers_mut().insert("content-type", HeaderValue::from_static("text/html; charset=utf-8"));
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        if name == "content-type" {
            answer.headers_mut().remove(&name);
        }
        answer.headers_mut().append(name, value.parse().unwrap());
    }
    answer
}

impl Script {
    pub async fn start(&self) -> App {
        let script = self.clone();
        App::start(move |request| {
            let script = script.clone();
            async move { script.answer(&request) }
        })
        .await
    }

    /// Counts a request and says which one for its target it is.
    pub fn count(&self, request: &Request) -> u64 {
        let target = request.uri().path_and_query().unwrap().as_str().to_owned();
        let mut asked = self.asked.lock().unwrap();
        let number = asked.entry(target).or_default();
        *number += 1;
        *number
    }

    fn answer(&self, request: &Request) -> Response {
        let number = self.count(request);
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return response(200, "done");
        }
        answer(request.uri().path(), request.uri().query().unwrap_or_default(), number)
    }

    /// How often the app was asked for `target`.
    pub fn asked(&self, target: &str) -> u64 {
        self.asked.lock().unwrap().get(target).copied().unwrap_or_default()
    }
}

/// A door that keeps what `paths` may have.
pub fn keeping(app: &App, section: &str) -> Door {
    door().config(format!("{}[cache]\n{section}\n", app.config())).start()
}

/// The body of a GET, as text.
pub async fn text(door: &Door, target: &str, headers: &[(&str, &str)]) -> String {
    let answer = ask(door.http(), "GET", target, headers, "").await;
    String::from_utf8(answer.bytes().await.to_vec()).unwrap()
}

/// Asks for `target` as a visitor does, and waits until the door has fetched its own.
pub async fn warm(door: &Door, target: &str, headers: &[(&str, &str)]) {
    ask(door.http(), "GET", target, headers, "").await.bytes().await;
    kept(door, target, headers).await;
}

/// Waits until there is a kept answer; the app is not asked.
pub async fn kept(door: &Door, target: &str, headers: &[(&str, &str)]) {
    let headers = [headers, &[("cache-control", "only-if-cached")]].concat();
    let deadline = Instant::now() + PATIENCE;
    while ask(door.http(), "HEAD", target, &headers, "").await.status == 504 {
        assert!(Instant::now() < deadline, "{target} is never kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the app was asked so often.
pub async fn reaches(asked: &AtomicU64, times: u64) {
    let deadline = Instant::now() + PATIENCE;
    while asked.load(Ordering::SeqCst) < times {
        assert!(Instant::now() < deadline, "the app was asked {} times, not {times}", asked.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the answer says the cache did.
pub fn said(answer: &Answer) -> String {
    answer.header("cache-status")
}

/// True where it came from memory.
pub fn is_hit(answer: &Answer) -> bool {
    said(answer).starts_with("Doorway; hit")
}
