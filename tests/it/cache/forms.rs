//! Promise: what is kept is compressed once for all, and browsers are told to ask whether what they hold is still good.

use super::{Script, is_hit, keeping, said, warm};
use crate::harness::client::ask;
use crate::harness::{App, decode, response};

#[tokio::test]
async fn a_form_is_made_once_for_all() {
    let page = "All the world's a stage, and all the men and women merely players. ".repeat(100);
    let body = page.clone();
    let app = App::start(move |_| {
        let mut answer = response(200, body.clone());
        answer.headers_mut().insert("content-type", "text/html".parse().unwrap());
        answer.headers_mut().insert("cache-control", "s-maxage=600".parse().unwrap());
        answer.headers_mut().insert("etag", "\"abc\"".parse().unwrap());
        async { answer }
    })
    .await;
    let door = keeping(&app, "paths = [\"*\"]");
    warm(&door, "/", &[]).await;
    let mut plain = 0.0;
    for (made, wanted) in (1..).zip(["br", "gzip", "zstd"]) {
        let headers = [("accept-encoding", wanted)];
        // The first who wants it has it made for himself, chunk by chunk.
        let first = ask(door.http(), "GET", "/", &headers, "").await;
        assert_eq!(decode::whole(wanted, &first.bytes().await), page.as_bytes(), "{wanted}");
        door.wait_for_metric("compress_kept_total", f64::from(made)).await;
        door.wait_for_metric("compress_in_bytes_total", plain + page.len() as f64).await;
        plain += page.len() as f64;

        let mut seen = Vec::new();
        for _ in 0..3 {
            let answer = ask(door.http(), "GET", "/", &headers, "").await;
            assert!(is_hit(&answer), "{}", said(&answer));
            assert_eq!(answer.header("content-encoding"), wanted);
            assert_eq!(answer.header("etag"), "W/\"abc\"", "another coding is another sequence of bytes");
            assert!(answer.header("vary").contains("accept-encoding"));
            let length = answer.header("content-length");
            let coded = answer.bytes().await;
            assert_eq!(length, coded.len().to_string(), "its length is known");
            assert_eq!(decode::whole(wanted, &coded), page.as_bytes(), "{wanted}");
            seen.push(coded);
        }
        assert!(seen.iter().all(|coded| *coded == seen[0]), "{wanted}");
        assert_eq!(door.metric("compress_in_bytes_total").await, plain, "nothing more was compressed");
        assert_eq!(door.metric("compress_kept_total").await, f64::from(made));

        let known = [("accept-encoding", wanted), ("if-none-match", "W/\"abc\"")];
        let answer = ask(door.http(), "GET", "/", &known, "").await;
        assert_eq!((answer.status, answer.header("etag")), (304, "W/\"abc\"".to_owned()));
        let head = ask(door.http(), "HEAD", "/", &headers, "").await;
        assert_eq!(head.header("content-encoding"), wanted);
        // A part is of the plain bytes.
        let part = ask(door.http(), "GET", "/", &[("accept-encoding", wanted), ("range", "bytes=4-9")], "").await;
        assert_eq!((part.status, part.header("content-encoding")), (206, String::new()));
        assert_eq!(part.bytes().await, page.as_bytes()[4..10]);
    }
}

#[tokio::test]
async fn browsers_are_not_left_guessing() {
    const BROWSERS: &str = "public, max-age=0, must-revalidate";
    let app = Script::default().start().await;
    let door = keeping(&app, "paths = [\"/kept\"]");
    for (said, told) in [
        ("s-maxage%3D600", BROWSERS),
        ("s-maxage%3D5,%20stale-while-revalidate%3D31535995", BROWSERS),
        ("public,%20s-maxage%3D600", BROWSERS),
        ("s-maxage%3D600,%20max-age%3D30", "s-maxage=600, max-age=30"),
        ("public,%20max-age%3D600", "public, max-age=600"),
        ("public,%20max-age%3D5&cdn-cache-control=max-age%3D600", "public, max-age=5"),
        // Nothing of it is for shared caches here: it speaks to others.
        ("s-maxage%3D600&cdn-cache-control=max-age%3D600", BROWSERS),
    ] {
        let target = format!("/kept?cache-control={said}&etag=%22a%22");
        let first = ask(door.http(), "GET", &target, &[], "").await;
        assert_eq!((is_hit(&first), first.header("cache-control")), (false, told.to_owned()), "{target}");
        warm(&door, &target, &[]).await;
        for (headers, status) in [(&[][..], 200), (&[("if-none-match", "\"a\"")], 304)] {
            let answer = ask(door.http(), "GET", &target, headers, "").await;
            assert!(is_hit(&answer), "{target}");
            assert_eq!((answer.status, answer.header("cache-control")), (status, told.to_owned()), "{target}");
        }
    }
    for target in [
        "/other?cache-control=s-maxage%3D600",
        "/kept?cache-control=private,%20s-maxage%3D600",
        "/kept?cache-control=no-store",
    ] {
        let said = target.split_once('=').unwrap().1.replace("%20", " ").replace("%3D", "=");
        let answer = ask(door.http(), "GET", target, &[], "").await;
        assert_eq!(answer.header("cache-control"), said, "{target} is none of the cache's business");
    }
}
