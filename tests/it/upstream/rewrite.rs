//! Promise: nobody outside speaks to the app as Next.js itself does, and what Next.js must hear reaches it.

use serde_json::Value;

use crate::harness::raw::{RawApp, ok};
use crate::harness::{client, door, wire};

/// An app that answers with the head it got, as JSON.
async fn mirror() -> RawApp {
    RawApp::start(|mut asked| async move {
        let length = asked.header("content-length").parse().unwrap_or(0);
        asked.body(length).await;
        let text = serde_json::to_string(&asked.head).unwrap();
        asked.send(ok(&text)).await;
        Some(asked)
    })
    .await
}

async fn head(app: &RawApp, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let door = door().config(app.config()).start();
    let answer = client::ask(door.http(), method, path, headers, "").await;
    assert_eq!(answer.status, 200);
    match serde_json::from_slice(&answer.bytes().await).unwrap() {
        Value::String(head) => head.to_lowercase(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn internal_headers_end_at_the_door() {
    let app = mirror().await;
    let internal = [
        "x-middleware-subrequest",
        "X-Middleware-Rewrite",
        "x-middleware-next",
        "x-middleware-set-cookie",
        "x-middleware-skip",
        "x-middleware-override-headers",
        "x-middleware-request-host",
        "x-middleware-prefetch",
        "x-now-route-matches",
        "x-matched-path",
        "x-nextjs-data",
        "x-next-resume-state-length",
        "next-resume",
        "x-action-forwarded",
        "x-prerender-revalidate",
        "x-prerender-revalidate-if-generated",
        "x-next-revalidated-tags",
        "x-next-revalidate-tag-token",
        "x-next-cache-tags",
        "x-invoke-path",
        "x-invoke-status",
        "x-vercel-id",
        "x-doorway-callback",
    ];
    let headers: Vec<_> = internal.iter().map(|name| (*name, "forged")).collect();
    let head = head(&app, "GET", "/", &headers).await;
    assert!(!head.contains("forged"), "{head}");
}

#[tokio::test]
async fn a_prefetch_of_data_is_told_and_no_other() {
    let app = mirror().await;
    let prefetch = [("x-middleware-prefetch", "1"), ("x-middleware-subrequest", "forged")];
    for path in ["/_next/data/BUILD/a.json?b", "/docs/_next/data/BUILD/de/a.json", "/x/../_next/d%61ta/BUILD/a.json"] {
        let head = head(&app, "GET", path, &prefetch).await;
        assert!(head.contains("\r\nx-middleware-prefetch: 1\r\n") && !head.contains("forged"), "{path}: {head}");
    }
    for path in ["/", "/a.json", "/_next/data", "/_next/data/../a", "/a?/_next/data/BUILD/a.json", "/_next/datax/a"] {
        let head = head(&app, "GET", path, &prefetch).await;
        assert!(!head.contains("x-middleware"), "{path}: {head}");
    }
}

#[tokio::test]
async fn what_next_must_hear_is_sent_on() {
    let app = mirror().await;
    let headers: Vec<_> = [
        "rsc",
        "next-router-state-tree",
        "next-router-prefetch",
        "next-router-segment-prefetch",
        "next-url",
        "next-hmr-refresh",
        "next-action",
        "x-deployment-id",
        "cookie",
        "authorization",
        "origin",
    ]
    .into_iter()
    .map(|name| (name, "kept"))
    .collect();
    let head = head(&app, "GET", "/?_rsc=1x", &headers).await;
    for (name, _) in headers {
        assert!(head.contains(&format!("\r\n{name}: kept\r\n")), "{name} is not in {head}");
    }
    assert!(head.starts_with("get /?_rsc=1x http/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn what_next_says_to_itself_in_an_answer_ends_at_the_door() {
    let app = RawApp::saying(
        "HTTP/1.1 200 OK\r\nx-middleware-rewrite: http://localhost:3000/secret\r\nX-Middleware-Next: 1\r\n\
         X-Middleware-Override-Headers: a\r\nX-Middleware-Request-A: b\r\nX-Middleware-Set-Cookie: c=d\r\n\
         X-Next-Cache-Tags: e\r\nX-Invoke-Path: /f\r\nX-Middleware-Cache: no-cache\r\nX-Middleware-Skip: 1\r\n\
         X-Nextjs-Rewrite: /g\r\nX-Nextjs-Cache: HIT\r\nX-Custom: h\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let door = door().config(app.config()).start();
    let answer = client::get(door.http(), "/", &[]).await;
    let names: Vec<_> = answer.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-")).collect();
    let kept = ["x-middleware-cache", "x-middleware-skip", "x-nextjs-rewrite", "x-nextjs-cache", "x-custom"];
    assert!(kept.iter().all(|name| names.contains(name)) && names.len() == kept.len(), "{names:?}");
}

#[tokio::test]
async fn only_the_builds_own_secret_has_a_page_made_anew() {
    let app = mirror().await;
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("out/prerender-manifest.json");
    std::fs::create_dir_all(manifest.parent().unwrap()).unwrap();
    let write = |secret: &str| {
        std::fs::write(&manifest, format!("{{\"version\": 4, \"preview\": {{ \"previewModeId\": \"{secret}\" }} }}"))
            .unwrap();
    };
    let more = format!("dir = \"{}\"\ndist = \"out\"\n", folder.path().display());
    let door = door().config(app.config() + &more).start();
    let passes = async |value: &str| {
        let headers = [
            ("x-prerender-revalidate", value),
            ("x-prerender-revalidate-if-generated", "1"),
            ("x-next-revalidate-tag-token", value),
        ];
        let answer = client::ask(door.http(), "HEAD", "/mirror", &headers, "").await;
        assert_eq!(answer.status, 200);
        let answer = client::ask(door.http(), "GET", "/page", &headers, "").await;
        let head = String::from_utf8(answer.bytes().await.to_vec()).unwrap().to_lowercase();
        assert!(!head.contains("x-next-revalidate"), "{head}");
        let [it, condition] =
            ["x-prerender-revalidate: ", "x-prerender-revalidate-if-generated: "].map(|name| head.contains(name));
        assert_eq!(it, condition, "{head}");
        it
    };
    let (first, second) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    assert!(!passes(first).await && !passes("").await, "there is no build");
    write(first);
    assert!(passes(first).await);
    for other in [second, "", "1", "true", &first[1..], &first.to_uppercase()] {
        assert!(!passes(other).await, "{other:?}");
    }
    // Another build, of which the file's time tells.
    write(second);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    std::fs::File::options().write(true).open(&manifest).unwrap().set_modified(later).unwrap();
    assert!(passes(second).await && !passes(first).await);
    // No secret at all is nobody's.
    write("");
    std::fs::File::options()
        .write(true)
        .open(&manifest)
        .unwrap()
        .set_modified(later + std::time::Duration::from_secs(60))
        .unwrap();
    assert!(!passes("").await && !passes(second).await);
}

#[tokio::test]
async fn internal_parameters_end_at_the_door() {
    let app = mirror().await;
    for (path, expected) in [
        ("/a?nxtPid=1&b=2&nxtIid=3", "/a?b=2"),
        ("/a?%6Ext%50id=1", "/a"),
        ("/a?__nextDataReq=1&__nextLocale=de&nextInternalLocale=de&c", "/a?c"),
        ("/a?next=/nxtP&nx", "/a?next=/nxtp&nx"),
        // Next compares letter by letter; these are the app's own. (The head is read here in lower case.)
        ("/a?nxtpage=2&NXTI=4&nextinternallocale=5&b", "/a?nxtpage=2&nxti=4&nextinternallocale=5&b"),
        ("/a?%4Eext=1&%6E%78%74%50=2&%5F_nextLocale=de", "/a?%4eext=1"),
    ] {
        let head = head(&app, "GET", path, &[]).await;
        assert!(head.starts_with(&format!("get {expected} http/1.1\r\n")), "{path} became {head}");
    }
}

#[tokio::test]
async fn what_is_about_the_clients_connection_ends_at_the_door() {
    let app = mirror().await;
    let headers = [
        ("te", "trailers"),
        ("proxy-authorization", "secret"),
        ("keep-alive", "timeout=9"),
        ("x-forwarded-host", "evil.test"),
        ("x-real-ip", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("upgrade", "h2c"),
        ("accept-encoding", "gzip, br"),
    ];
    let head = head(&app, "GET", "/", &headers).await;
    for word in ["\r\nte:", "secret", "timeout=9", "evil.test", "6.6.6.6", "h2c", "gzip"] {
        assert!(!head.contains(word), "{word:?} is in {head}");
    }
    assert!(head.contains("accept-encoding: identity\r\n"), "the door compresses: {head}");
    assert_eq!(head.matches("\r\nhost: ").count(), 1, "{head}");
}

#[tokio::test]
async fn without_compression_at_the_door_the_app_may_do_its_own() {
    let app = mirror().await;
    let door = door().config(app.config() + "[compress]\nenabled = false\n").start();
    let request = "GET / HTTP/1.1\r\nHost: site.test\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    let answer = wire::exchange(door.http(), request).await.to_lowercase();
    assert!(answer.contains("accept-encoding: gzip"), "{answer}");
}

#[tokio::test]
async fn a_post_without_a_body_says_so() {
    let app = mirror().await;
    let posted = head(&app, "POST", "/", &[]).await;
    assert!(posted.contains("\r\ncontent-length: 0\r\n"), "{posted}");
    let got = head(&app, "GET", "/", &[]).await;
    assert!(!got.contains("content-length") && !got.contains("transfer-encoding"), "{got}");
}

#[tokio::test]
async fn what_is_about_the_apps_connection_ends_at_the_door() {
    let app = RawApp::saying(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: hop\r\nKeep-Alive: timeout=7\r\n\
         Proxy-Connection: hop\r\nUpgrade: hop\r\nX-End: end\r\nContent-Length: 2\r\n\r\nhi",
    )
    .await;
    let door = door().config(app.config()).start();
    let answer = client::get(door.http(), "/", &[]).await;
    assert_eq!(answer.header("x-end"), "end");
    for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(answer.header(name), "", "{name}");
    }
}
