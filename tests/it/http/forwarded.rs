//! Promise: what the app hears of a client is what the door knows of it; only a trusted proxy may know better.

use std::sync::{Arc, Mutex};

use crate::harness::frames::{GET, Outcome, Site};
use crate::harness::raw::{Asked, RawApp, ok};
use crate::harness::{Door, door, wire};

/// An app that keeps the heads it gets.
async fn listening() -> (RawApp, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    let app = RawApp::start(move |mut asked: Asked| {
        kept.lock().unwrap().push(asked.head.clone());
        async move {
            asked.send(ok("heard")).await;
            Some(asked)
        }
    })
    .await;
    (app, heads)
}

/// The forwarding headers of a head, as `name: value` with the six names in this order, and nothing of them twice.
fn forwarding(head: &str) -> Vec<String> {
    let lines: Vec<_> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    for (name, _) in &lines {
        let lower = name.to_ascii_lowercase();
        let is_ours = ["for", "proto", "host", "port"].iter().any(|end| lower == format!("x-forwarded-{end}"));
        assert!(is_ours || !lower.starts_with("x-forwarded") && lower != "forwarded", "{name} in {head}");
    }
    let names = ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip"];
    names
        .iter()
        .map(|name| {
            let values: Vec<_> = lines.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).collect();
            assert_eq!(values.len(), 1, "{name} in {head}");
            values[0].1.to_owned()
        })
        .collect()
}

const TRUST: &str = "[listen]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\", \"2001:db8:1::/48\"]\n";

async fn ask(door: &Door, lines: &str) {
    let host = if lines.starts_with("Host: ") { "" } else { "Host: inner.test:81\r\n" };
    let request = format!("GET / HTTP/1.1\r\n{host}{lines}Connection: close\r\n\r\n");
    let answer = wire::exchange(door.http(), request).await;
    assert_eq!(wire::status(&answer), 200, "{lines:?} got {answer}");
}

#[tokio::test]
async fn a_stranger_is_not_believed() {
    let (app, heads) = listening().await;
    let door = door().config(app.config()).start();
    for lines in [
        "",
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\n",
        "Forwarded: for=6.6.6.6;proto=https;host=evil.test\r\nForwarded: for=\"[::6]:1\"\r\n",
        "X-Real-IP: 6.6.6.6\r\nX-Real-Ip: 7.7.7.7\r\n",
        "x-forwarded-for: 6.6.6.6\r\nX-FORWARDED-FOR: 7.7.7.7\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-Scheme: https\r\n",
        "X-Forwarded-Proto: https, http\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Server: evil\r\n",
    ] {
        ask(&door, lines).await;
        let head = heads.lock().unwrap().pop().unwrap();
        assert_eq!(
            forwarding(&head),
            ["inner.test:81", "127.0.0.1", "http", "inner.test:81", "81", "127.0.0.1"],
            "{lines:?}"
        );
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_as_far_as_trust_reaches() {
    let (app, heads) = listening().await;
    let door = door().config(app.config() + TRUST).start();
    for (lines, expected) in [
        ("", ["inner.test:81", "127.0.0.1", "http", "inner.test:81", "81", "127.0.0.1"]),
        (
            "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: Site.test\r\n",
            ["site.test", "192.0.2.7, 127.0.0.1", "https", "site.test", "443", "192.0.2.7"],
        ),
        (
            "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: site.test\r\nX-Forwarded-Port: 8443\r\n",
            ["site.test:8443", "192.0.2.7, 127.0.0.1", "https", "site.test:8443", "8443", "192.0.2.7"],
        ),
        // Balancers that keep `Host` say the port apart, and nothing else of the name.
        (
            "Host: site.test\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n",
            ["site.test:8443", "192.0.2.7, 127.0.0.1", "https", "site.test:8443", "8443", "192.0.2.7"],
        ),
        (
            "Host: site.test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n",
            ["site.test", "127.0.0.1", "https", "site.test", "443", "127.0.0.1"],
        ),
        // The port that the name has itself is the client's; no https is at the port of http.
        (
            "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n",
            ["inner.test:81", "127.0.0.1", "https", "inner.test:81", "81", "127.0.0.1"],
        ),
        (
            "Host: site.test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 80\r\n",
            ["site.test", "127.0.0.1", "https", "site.test", "443", "127.0.0.1"],
        ),
        // What stands left of the first stranger is the stranger's invention.
        (
            "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-For: 10.0.0.1\r\n",
            ["inner.test:81", "192.0.2.7, 10.0.0.1, 127.0.0.1", "http", "inner.test:81", "81", "192.0.2.7"],
        ),
        (
            "Forwarded: for=6.6.6.6, for=\"[2001:db8::7]:4711\";proto=https;host=site.test, for=10.0.0.1\r\n",
            ["site.test", "2001:db8::7, 10.0.0.1, 127.0.0.1", "https", "site.test", "443", "2001:db8::7"],
        ),
        (
            "Forwarded: for=192.0.2.7;proto=https;host=\"site.test:8443\"\r\n",
            ["site.test:8443", "192.0.2.7, 127.0.0.1", "https", "site.test:8443", "8443", "192.0.2.7"],
        ),
        (
            "X-Real-IP: 192.0.2.7\r\n",
            ["inner.test:81", "192.0.2.7, 127.0.0.1", "http", "inner.test:81", "81", "192.0.2.7"],
        ),
        // Nonsense ends belief where it stands, and is not passed on.
        (
            "X-Forwarded-For: 192.0.2.7, <script>\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a/evil\r\n",
            ["inner.test:81", "127.0.0.1", "http", "inner.test:81", "81", "127.0.0.1"],
        ),
    ] {
        ask(&door, lines).await;
        let head = heads.lock().unwrap().pop().unwrap();
        assert_eq!(forwarding(&head), expected, "{lines:?}");
    }
}

#[tokio::test]
async fn words_of_cdns_are_passed_on_from_trusted_ones_only() {
    const NAMES: &[&str] = &[
        "CF-Connecting-IP",
        "True-Client-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "Fastly-Client-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Forwarded-For",
        "X-Appengine-User-IP",
    ];
    let (app, heads) = listening().await;
    let lines: String = NAMES.iter().map(|name| format!("{name}: said\r\n")).collect();
    for (config, expected) in [("", 0), (TRUST, NAMES.len())] {
        let door = door().config(app.config() + config).start();
        ask(&door, &lines).await;
        let head = heads.lock().unwrap().pop().unwrap();
        assert_eq!(head.matches(": said\r\n").count(), expected, "{head}");
    }
}

#[tokio::test]
async fn with_tls_the_door_says_so_over_http1_and_http2() {
    let (app, heads) = listening().await;
    let site = Site::new(&app.config());
    let mut connection = site.connect(&[(1, 0)]).await;
    let forged = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "for=6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
    ];
    assert!(connection.request(1, &[GET, &forged].concat()).await);
    assert_eq!(connection.outcome(1).await, Outcome::Status(200));
    let expected = ["site.test", "127.0.0.1", "https", "site.test", "443", "127.0.0.1"];
    assert_eq!(forwarding(&heads.lock().unwrap().pop().unwrap()), expected);

    let fields: Vec<_> =
        GET.iter().map(|(name, value)| (*name, if *name == ":authority" { "site.test:8443" } else { value })).collect();
    assert!(connection.request(3, &fields).await);
    assert_eq!(connection.outcome(3).await, Outcome::Status(200));
    let expected = ["site.test:8443", "127.0.0.1", "https", "site.test:8443", "8443", "127.0.0.1"];
    assert_eq!(forwarding(&heads.lock().unwrap().pop().unwrap()), expected);

    let mut stream = site.http1().await;
    let answer = crate::harness::secure::get(&mut stream, "site.test:8443").await;
    assert_eq!(wire::status(&answer), 200);
    assert_eq!(forwarding(&heads.lock().unwrap().pop().unwrap()), expected);
}

#[tokio::test]
async fn the_proxy_protocol_names_the_client() {
    let (app, heads) = listening().await;
    let config = app.config() + &TRUST.replace("[listen]\n", "[listen]\nproxy_protocol = \"require\"\n");
    let door = door().config(config).start();
    let request = "PROXY TCP4 192.0.2.9 198.51.100.1 5000 80\r\nGET / HTTP/1.1\r\nHost: site.test\r\n\
                   X-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
    let answer = wire::exchange(door.http(), request).await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    let head = heads.lock().unwrap().pop().unwrap();
    assert_eq!(forwarding(&head), ["site.test", "192.0.2.9", "http", "site.test", "80", "192.0.2.9"]);
}

#[tokio::test]
async fn nothing_that_only_next_says_to_itself_passes() {
    let (app, heads) = listening().await;
    // From a trusted proxy neither: it is no part of Next.js.
    let door = door().config(app.config() + TRUST).start();
    let names = [
        "x-middleware-rewrite",
        "x-middleware-redirect",
        "x-middleware-set-cookie",
        "x-middleware-skip",
        "x-middleware-override-headers",
        "x-middleware-next",
        "x-middleware-subrequest",
        "x-middleware-subrequest-id",
        "x-middleware-request-authorization",
        "x-middleware-prefetch",
        "x-middleware-refresh",
        "x-now-route-matches",
        "x-matched-path",
        "x-nextjs-data",
        "x-next-resume-state-length",
        "next-resume",
        "x-action-forwarded",
        "x-prerender-revalidate",
        "x-prerender-revalidate-if-generated",
        "x-next-revalidate-tag-token",
        "x-next-revalidated-tags",
        "x-next-cache-tags",
        "x-invoke-path",
        "x-invoke-status",
        "x-vercel-id",
    ];
    let lines: String = names.iter().map(|name| format!("{}: forged\r\n", name.to_uppercase())).collect();
    ask(&door, &lines).await;
    let head = heads.lock().unwrap().pop().unwrap();
    assert!(!head.contains("forged"), "{head}");
}
