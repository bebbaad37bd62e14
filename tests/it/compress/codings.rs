//! Promise: what the app says is compressed at the door as the client likes it, and only what may be.

use crate::harness::{App, Door, client, decode, door, response};

const PAGE: &str = "<p>All the world's a stage, and all the men and women merely players.</p>\n";

fn page() -> String {
    PAGE.repeat(100)
}

/// An app that answers with its page and with the headers that the test asks for: `X-Set-NAME: value`.
async fn app() -> App {
    App::start(|request| async move {
        let status = request.headers().get("x-status").map_or(200, |status| status.to_str().unwrap().parse().unwrap());
        let empty = matches!(status, 204 | 304);
        let mut answer = response(status, if empty { String::new() } else { page() });
        answer.headers_mut().insert("content-type", "text/html; charset=utf-8".parse().unwrap());
        for (name, value) in request.headers() {
            if let Some(name) = name.as_str().strip_prefix("x-set-") {
                let name: http::HeaderName = name.parse().unwrap();
                if value.is_empty() {
                    answer.headers_mut().remove(name);
                } else {
                    answer.headers_mut().append(name, value.clone());
                }
            }
        }
        answer
    })
    .await
}

async fn coding(door: &Door, headers: &[(&str, &str)]) -> String {
    let answer = client::get(door.http(), "/", headers).await;
    let coding = answer.header("content-encoding");
    assert_eq!(decode::whole(&coding, &answer.bytes().await), page().as_bytes(), "{headers:?}");
    coding
}

#[tokio::test]
async fn each_coding_gives_the_same_page_and_says_what_it_is() {
    let app = app().await;
    let door = door().config(app.config()).start();
    for wanted in ["br", "zstd", "gzip"] {
        let headers = [("accept-encoding", wanted), ("x-set-etag", "\"abc\""), ("x-set-accept-ranges", "bytes")];
        let answer = client::get(door.http(), "/", &headers).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-encoding"), wanted);
        assert_eq!(answer.header("vary"), "accept-encoding");
        assert_eq!(answer.header("etag"), "W/\"abc\"", "other bytes, so a weak tag");
        assert_eq!(answer.header("content-length"), "");
        assert_eq!(answer.header("accept-ranges"), "");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        let coded = answer.bytes().await;
        assert!(coded.len() < page().len() / 10, "{wanted}: {} bytes", coded.len());
        assert_eq!(decode::whole(wanted, &coded), page().as_bytes());
    }
}

#[tokio::test]
async fn the_clients_liking_decides_and_then_ours() {
    let app = app().await;
    let door = door().config(app.config()).start();
    for (accepted, expected) in [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("zstd;q=0.1, br;q=0.2, gzip;q=0.3", "gzip"),
        ("br;q=0, *", "gzip"),
        ("identity, gzip;q=0.5", ""),
        ("gzip;q=0", ""),
        ("deflate", ""),
        ("", ""),
    ] {
        assert_eq!(coding(&door, &[("accept-encoding", accepted)]).await, expected, "{accepted:?}");
    }
    assert_eq!(coding(&door, &[]).await, "", "nobody asked");
    assert_eq!(coding(&door, &[("accept-encoding", "gzip"), ("accept-encoding", "br")]).await, "br", "two lines");
}

#[tokio::test]
async fn what_must_not_be_compressed_is_not() {
    let app = app().await;
    let door = door().config(format!("{}[compress]\nexcept = [\"/secret\"]\n", app.config())).start();
    let with = |name: &'static str, value: &'static str| [("accept-encoding", "gzip"), (name, value)];
    for extra in [
        with("x-set-cache-control", "public, No-Transform"),
        with("cache-control", "no-transform"),
        with("x-set-content-range", "bytes 0-7199/7200"),
        with("x-set-repr-digest", "sha-256=:AAAA:"),
        with("x-set-content-digest", "sha-256=:AAAA:"),
        with("x-status", "206"),
    ] {
        assert_eq!(coding(&door, &extra).await, "", "{extra:?}");
    }
    assert_eq!(coding(&door, &with("x-set-content-type", "")).await, "", "who knows what it is");
    let answer = client::get(door.http(), "/secret/page", &with("x-a", "b")).await;
    assert_eq!(answer.header("content-encoding"), "", "[compress] except");
    let answer = client::get(door.http(), "/", &with("x-set-content-encoding", "exotic")).await;
    assert_eq!(answer.header("content-encoding"), "exotic", "already coded");
    for status in ["204", "304"] {
        let answer = client::get(door.http(), "/", &with("x-status", status)).await;
        assert_eq!(answer.status.to_string(), status);
        assert_eq!(answer.header("content-encoding"), "", "{status}");
        assert_eq!(answer.bytes().await, "");
    }
}

#[tokio::test]
async fn all_that_is_text_is_compressed() {
    let app = App::start(|request| async move {
        let mut answer = response(200, page());
        answer.headers_mut().insert("content-type", request.headers()["x-kind"].clone());
        answer
    })
    .await;
    let door = door().config(app.config()).start();
    for kind in [
        "text/html",
        "text/css; charset=utf-8",
        "text/x-component",
        "application/json",
        "application/ld+json; charset=utf-8",
        "application/javascript",
        "application/wasm",
        "application/rss+xml",
        "image/svg+xml",
        "text/event-stream",
    ] {
        let headers = [("accept-encoding", "gzip, br, zstd"), ("x-kind", kind)];
        assert_eq!(coding(&door, &headers).await, "zstd", "{kind}");
    }
    for kind in ["image/png", "font/woff2", "application/octet-stream", "video/mp4", "textual/html", "nonsense"] {
        assert_eq!(coding(&door, &[("accept-encoding", "gzip"), ("x-kind", kind)]).await, "", "{kind}");
    }
}

#[tokio::test]
async fn short_answers_stay_as_they_are_unless_plain_is_refused() {
    let app = App::start(|request| async move {
        let length: usize = request.uri().path()[1..].parse().unwrap();
        let mut answer = response(200, "x".repeat(length));
        answer.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        answer
    })
    .await;
    let door = door().config(app.config()).start();
    for (path, accepted, expected) in [
        ("/1023", "gzip", ""),
        ("/1024", "gzip", "gzip"),
        ("/10", "gzip, identity;q=0", "gzip"),
        ("/10", "gzip, *;q=0", "gzip"),
        ("/0", "gzip, identity;q=0", ""),
    ] {
        let answer = client::get(door.http(), path, &[("accept-encoding", accepted)]).await;
        assert_eq!(answer.header("content-encoding"), expected, "{path} {accepted}");
        assert_eq!(answer.header("vary"), "accept-encoding", "a cache must know, whatever this client got");
        assert_eq!(decode::whole(expected, &answer.bytes().await).len().to_string(), path[1..]);
    }
}

#[tokio::test]
async fn who_names_no_coding_gets_the_one_that_everybody_can_read() {
    let app = app().await;
    let door = door().config(app.config()).start();
    for (accepted, expected) in
        [("*", "gzip"), ("*;q=0.1", "gzip"), ("gzip;q=0, *", ""), ("*, br", "br"), ("br, *;q=0.1", "br")]
    {
        assert_eq!(coding(&door, &[("accept-encoding", accepted)]).await, expected, "{accepted}");
    }
}

#[tokio::test]
async fn vary_and_tags_are_merged_and_not_doubled() {
    let app = app().await;
    let door = door().config(app.config()).start();
    for (said, expected) in [
        ("rsc, next-url", "rsc, next-url, accept-encoding"),
        ("Accept-Encoding", "Accept-Encoding"),
        ("rsc, ACCEPT-ENCODING", "rsc, ACCEPT-ENCODING"),
        ("*", "*"),
    ] {
        let answer = client::get(door.http(), "/", &[("accept-encoding", "br"), ("x-set-vary", said)]).await;
        assert_eq!(answer.header("vary"), expected);
    }
    let two = [("accept-encoding", "br"), ("x-set-vary", "rsc"), ("x-set-vary", "cookie")];
    let answer = client::get(door.http(), "/", &two).await;
    assert_eq!(answer.headers.get_all("vary").iter().count(), 1);
    assert_eq!(answer.header("vary"), "rsc, cookie, accept-encoding");
    let answer = client::get(door.http(), "/", &[("accept-encoding", "br"), ("x-set-etag", "W/\"abc\"")]).await;
    assert_eq!(answer.header("etag"), "W/\"abc\"");
}

#[tokio::test]
async fn a_304_names_the_tag_that_the_client_holds() {
    let app = app().await;
    let door = door().config(app.config()).start();
    for (held, expected) in [("W/\"abc\"", "W/\"abc\""), ("\"abc\"", "\"abc\""), ("\"x\", W/\"abc\"", "W/\"abc\"")] {
        let headers =
            [("accept-encoding", "br"), ("x-status", "304"), ("x-set-etag", "\"abc\""), ("if-none-match", held)];
        let answer = client::get(door.http(), "/", &headers).await;
        assert_eq!((answer.status, answer.header("etag")), (304, expected.to_owned()), "{held}");
    }
}

#[tokio::test]
async fn head_says_what_get_would() {
    let app = App::start(|request| async move {
        let mut answer = response(200, if request.method() == "HEAD" { String::new() } else { page() });
        let headers = answer.headers_mut();
        headers.insert("content-type", "text/html".parse().unwrap());
        headers.insert("content-length", page().len().to_string().parse().unwrap());
        headers.insert("etag", "\"abc\"".parse().unwrap());
        answer
    })
    .await;
    let door = door().config(app.config()).start();
    for accepted in ["zstd", "br", "gzip", "identity"] {
        let headers = [("accept-encoding", accepted)];
        let got = client::get(door.http(), "/", &headers).await;
        let head = client::ask(door.http(), "HEAD", "/", &headers, "").await;
        for name in ["content-encoding", "vary", "etag", "content-length", "content-type"] {
            assert_eq!(head.header(name), got.header(name), "{accepted}: {name}");
        }
        assert_eq!(head.bytes().await, "");
    }
}

#[tokio::test]
async fn the_config_chooses_and_may_switch_it_off() {
    let app = app().await;
    let text = format!("{}[compress]\nencodings = [\"gzip\", \"br\"]\ntypes = [\"image/*\"]\n", app.config());
    let door_1 = door().config(text).start();
    let all = ("accept-encoding", "gzip, br, zstd");
    assert_eq!(coding(&door_1, &[all]).await, "", "text/html is not among the types");
    let door_2 = door().config(format!("{}[compress]\nencodings = [\"gzip\", \"br\"]\n", app.config())).start();
    assert_eq!(coding(&door_2, &[all]).await, "gzip");
    assert_eq!(coding(&door_2, &[("accept-encoding", "zstd")]).await, "", "not on offer");
    let off = door().config(format!("{}[compress]\nenabled = false\n", app.config())).start();
    let answer = client::get(off.http(), "/", &[all]).await;
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), (String::new(), String::new()));
}
