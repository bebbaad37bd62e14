//! Promise: what is answered as soon as it is read (see `http/connection/http1/early`) is answered as by the way that all else
//! takes: the same bytes but for date and id, the same line in the log, the same numbers.

use std::time::Instant;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::harness::secure::Client;
use crate::harness::{
    App, Door, Kept, PATIENCE, Project, access, door, eventually, frames, numbers, response, same, wire,
};

/// Means to everybody what no `Connection` at all means, but such a head is not plain, and so is read by the library.
const BY_THE_LIBRARY: &str = "Connection: keep-alive, keep-alive\r\n";

const CHUNK: &str = "/_next/static/chunks/main-abc.js";

struct Site {
    door: Door,
    _app: App,
    project: Project,
}

/// A site with files, pages that are kept, an app behind, and names that it does not serve.
async fn site() -> Site {
    let app = App::start(|request| async move {
        match request.uri().path() {
            "/kept" => {
                let mut kept = response(200, "<p>everybody's</p>".repeat(100));
                kept.headers_mut().insert("cache-control", "s-maxage=600".parse().unwrap());
                kept.headers_mut().insert("content-type", "text/html".parse().unwrap());
                kept
            }
            "/moved" => {
                let mut moved = response(307, "");
                moved.headers_mut().insert("location", "/elsewhere".parse().unwrap());
                moved
            }
            path => response(if path.starts_with("/no") { 404 } else { 200 }, format!("the app's {path}")),
        }
    })
    .await;
    let project = Project::new();
    let script: String = (0..400).map(|line| format!("export const value{line} = compute({line});\n")).collect();
    let file = project.write("chunks/main-abc.js", &script);
    project.write("chunks/small.js", "export {}");
    // As a build of some time ago: a date is a validator only when the second it names is over.
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options().append(true).open(file).unwrap().set_modified(then).unwrap();
    let more = "[http]\nhosts = [\"site.test\"]\n[cache]\npaths = [\"/kept\"]\n";
    let door = door().config(format!("{}\n{more}", project.config(&app, ""))).start();
    Site { door, _app: app, project }
}

/// Method, target, and lines; those that are refused for good close their connection, and come last.
fn requests(tag: &str) -> Vec<(&'static str, &'static str, String)> {
    let tagged = |line: &str| format!("{line}: {tag}\r\n");
    let plain: [(&str, &str, &str); 24] = [
        ("GET", CHUNK, ""),
        ("HEAD", CHUNK, ""),
        ("GET", CHUNK, "Accept-Encoding: gzip, deflate, br, zstd\r\n"),
        ("GET", CHUNK, "Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n"),
        ("GET", CHUNK, "Accept-Encoding: identity;q=0, *\r\n"),
        ("GET", CHUNK, "Range: bytes=10-20\r\n"),
        ("GET", CHUNK, "Range: bytes=999999-\r\nAccept: text/html\r\n"),
        ("GET", CHUNK, "If-Match: \"another\"\r\nAccept: application/json\r\n"),
        ("GET", CHUNK, "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"),
        ("GET", "/_next/static/chunks/small.js?dpl=one", "Cookie: a=b\r\nUser-Agent: x\r\n"),
        ("POST", CHUNK, ""),
        ("DELETE", CHUNK, "Content-Length: 0\r\n"),
        ("GET", "/_next/static/chunks/not-there.js", ""),
        ("GET", "/_next/static/%63hunks/small.js", ""),
        ("GET", "//_next/static//chunks/small.js", ""),
        ("GET", "/_next/../_next/static/chunks/small.js", "X-Forwarded-For: 1.2.3.4\r\nX-Request-Id: mine\r\n"),
        ("GET", "http://site.test/_next/static/chunks/small.js", ""),
        ("GET", "/kept", ""),
        ("HEAD", "/kept", ""),
        ("GET", "/kept", "Accept-Encoding: br\r\n"),
        ("GET", "/kept", "Range: bytes=0-5\r\n"),
        ("GET", "/page?q=1", "Accept: text/html\r\n"),
        ("GET", "/moved", ""),
        ("OPTIONS", "*", ""),
    ];
    let known = [("GET", CHUNK, tagged("If-None-Match")), ("GET", CHUNK, tagged("If-Range") + "Range: bytes=-5\r\n")];
    plain.into_iter().map(|(method, target, lines)| (method, target, lines.to_owned())).chain(known).collect()
}

/// Answers, lines of the log, and by how much each number moved.
type Tour = (Vec<String>, Vec<Value>, Vec<(String, f64)>);

/// Both ways' tours, once coded forms are made and pages kept: while that goes on each tour meets another site. Where they
/// never become one, the last two.
async fn settled(site: &Site, tag: &str) -> [Tour; 2] {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let both = [tour(site, tag, "").await, tour(site, tag, BY_THE_LIBRARY).await];
        if both[0] == both[1] || Instant::now() > deadline {
            return both;
        }
    }
}

/// What all requests get, by heads with `more` in them, and what the log and the numbers say of them.
async fn tour(site: &Site, tag: &str, more: &str) -> Tour {
    let (before, seen) = (numbers(&site.door).await, access(&site.door).len());
    let mut kept = Kept::to(&site.door).await;
    let requests = requests(tag);
    let mut answers = Vec::new();
    for (method, target, lines) in &requests {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: site.test\r\n{more}{lines}\r\n");
        answers.push(same(&kept.ask(&head).await));
    }
    let other = format!("GET {CHUNK} HTTP/1.1\r\nHost: other.test\r\n{more}Accept: text/html\r\n\r\n");
    answers.push(same(&kept.ask(&other).await));
    eventually("every request has its line", || async { access(&site.door).len() == seen + answers.len() }).await;
    let after = numbers(&site.door).await;
    let moved = after.into_iter().map(|(name, value)| {
        let moved = value - before.get(&name).copied().unwrap_or(0.0);
        (name, moved)
    });
    (answers, access(&site.door).split_off(seen), moved.collect())
}

#[tokio::test]
async fn both_ways_are_one_to_client_log_and_numbers() {
    let site = site().await;
    let first =
        same(&Kept::to(&site.door).await.ask(&format!("GET {CHUNK} HTTP/1.1\r\nHost: site.test\r\n\r\n")).await);
    eventually("it has its line", || async { access(&site.door).len() == 1 }).await;
    let tag = first.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned();
    let [early, late] = settled(&site, &tag).await;
    let (answers, early_lines, early_numbers) = early;
    assert!(answers.iter().any(|answer| answer.starts_with("HTTP/1.1 304")), "{answers:?}");
    assert!(answers.iter().any(|answer| answer.starts_with("HTTP/1.1 206")), "{answers:?}");
    assert!(answers.iter().any(|answer| answer.contains("cache-status: Doorway; hit")), "{answers:?}");
    for (early, late) in answers.iter().zip(&late.0) {
        assert_eq!(early, late);
    }
    assert_eq!(early_lines, late.1);
    assert_eq!(early_numbers, late.2);
    let moved = |name: &str| early_numbers.iter().filter(|(known, _)| known.starts_with(name)).map(|(_, by)| by).sum();
    let requests: f64 = moved("doorway_http_requests_total");
    assert_eq!(requests, answers.len() as f64, "every request is counted");
}

#[tokio::test]
async fn a_long_file_is_whole_however_slowly_it_is_read() {
    let site = site().await;
    let long = "0123456789abcdef".repeat(256 * 1024);
    site.project.write("media/long.bin", &long);
    let get = "GET /_next/static/media/long.bin HTTP/1.1\r\nHost: site.test\r\n\r\n";
    let head = format!("HEAD {CHUNK} HTTP/1.1\r\nHost: site.test\r\n\r\n");
    let mut kept = Kept::to(&site.door).await;
    for _ in 0..3 {
        // None of it is read before all is asked for: the socket is full by then.
        kept.0.write_all([get, &head, get].concat().as_bytes()).await.unwrap();
        for is_to_head in [false, true, false] {
            let answer = kept.read(is_to_head).await;
            assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
            assert!(is_to_head || answer.ends_with(long.as_bytes()), "{} bytes", answer.len());
        }
    }
}

/// With TLS the socket may take a record in parts. Nobody need say anything for the rest of it to be sent.
#[tokio::test]
async fn over_tls_the_end_of_a_long_file_waits_for_nobody() {
    let (app, project) = (App::saying("hello").await, Project::new());
    let long = "0123456789abcdef".repeat(192 * 1024);
    project.write("media/long.bin", &long);
    // So that nothing else sends it before patience ends.
    let more = "[http]\nidle_timeout = \"10m\"\nwrite_timeout = \"10m\"\n";
    let site = frames::Site::new(&format!("{}\n{more}", project.config(&app, "")));
    for _ in 0..4 {
        let stream = wire::narrow(site.door.https(), 16 * 1024).await;
        let mut kept = Kept::of(Client::new(&site.authority).over(stream, "site.test").await.unwrap());
        for _ in 0..2 {
            let get = "GET /_next/static/media/long.bin HTTP/1.1\r\nHost: site.test\r\n\r\n";
            kept.0.write_all(get.as_bytes()).await.unwrap();
            kept.0.flush().await.unwrap();
            let answer = timeout(PATIENCE, kept.read(false)).await.expect("all of it comes");
            assert!(answer.ends_with(long.as_bytes()), "{} bytes", answer.len());
        }
    }
}
