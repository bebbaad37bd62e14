//! Promise: what reaches the app is one request in one form, whatever form the client chose.

use std::sync::{Arc, Mutex};

use crate::harness::frames::{GET, Outcome, Site};
use crate::harness::raw::{Asked, RawApp, ok};
use crate::harness::{App, Door, door, secure, wire};

/// An app that keeps the heads and bodies it gets.
struct Bench {
    door: Door,
    _app: RawApp,
    heads: Arc<Mutex<Vec<String>>>,
}

async fn bench(config: &str) -> Bench {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    let app = RawApp::start(move |mut asked: Asked| {
        let kept = Arc::clone(&kept);
        async move {
            let body = match asked.header("content-length").parse() {
                Ok(length) => asked.body(length).await,
                Err(_) if asked.header("transfer-encoding") == "chunked" => asked.until("0\r\n\r\n").await.into_bytes(),
                Err(_) => Vec::new(),
            };
            kept.lock().unwrap().push(asked.head.clone() + &String::from_utf8_lossy(&body));
            asked.send(ok("yes")).await;
            Some(asked)
        }
    })
    .await;
    let door = door().config(app.config() + config).start();
    Bench { door, _app: app, heads }
}

impl Bench {
    /// Sends a request; gives what the app got of it.
    async fn sends(&self, request: &str) -> String {
        let request = request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
        let answer = wire::exchange(self.door.http(), &request).await;
        assert_eq!(wire::status(&answer), 200, "{request:?} got {answer}");
        self.heads.lock().unwrap().pop().expect("the app heard it")
    }
}

/// The values of a header in what the app got.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.split("\r\n\r\n").next().unwrap().lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

#[tokio::test]
async fn targets_come_in_origin_form() {
    let bench = bench("").await;
    for (line, expected) in [
        ("GET http://SITE.test/a?b HTTP/1.1", "GET /a?b HTTP/1.1"),
        ("GET http://site.test HTTP/1.1", "GET / HTTP/1.1"),
        ("GET http://site.test:80/ HTTP/1.1", "GET / HTTP/1.1"),
        ("GET //evil/x HTTP/1.1", "GET //evil/x HTTP/1.1"),
        ("GET /a?c=\\d HTTP/1.1", "GET /a?c=\\d HTTP/1.1"),
        ("GET /a HTTP/1.0", "GET /a HTTP/1.1"),
    ] {
        let heard = bench.sends(&format!("{line}\r\nHost: site.test\r\n\r\n")).await;
        assert_eq!(heard.lines().next(), Some(expected));
        assert_eq!(values(&heard, "host"), ["site.test"]);
    }
}

/// What clients write although RFC 3986 gives it no place in a URI, and how it goes on.
const ODD: &[(&[u8], &str)] = &[
    (b"/a|b^c{d}", "/a%7Cb%5Ec%7Bd%7D"),
    (b"/find?q={\"a\":\"<b>\"}`^|", "/find?q=%7B%22a%22:%22%3Cb%3E%22%7D%60%5E%7C"),
    (b"/<b>`\"", "/%3Cb%3E%60%22"),
    (b"/caf\xc3\xa9?q=\xff", "/caf%C3%A9?q=%FF"),
    (b"/?q=%00", "/?q=%00"),
    (b"http://site.test/{x}?<y>", "/%7Bx%7D?%3Cy%3E"),
    // Dots are resolved as in any path.
    (b"/{x}/../b", "/b"),
];

#[tokio::test]
async fn what_has_no_place_in_a_target_is_encoded() {
    let bench = bench("").await;
    for (target, expected) in ODD {
        let text = String::from_utf8_lossy(target);
        let end = b" HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n";
        let answer = wire::exchange(bench.door.http(), [b"GET ", *target, end].concat()).await;
        assert_eq!(wire::status(&answer), 200, "{text:?} got {answer}");
        let heard = bench.heads.lock().unwrap().pop().expect("the app heard it");
        assert_eq!(heard.lines().next(), Some(&*format!("GET {expected} HTTP/1.1")), "{text:?}");
    }
}

#[tokio::test]
async fn an_encoded_target_changes_nothing_about_what_follows_it() {
    let bench = bench("").await;
    let odd = "POST /{a} HTTP/1.1\r\nHost: site.test\r\nContent-Length: 5\r\n\r\nhello";
    let plain = "POST /b HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nyo\r\n0\r\n\r\n";
    let last = "GET /<c> HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n";
    let expected = ["POST /%7Ba%7D", "POST /%7Ba%7D", "POST /b", "POST /%7Ba%7D", "GET /%3Cc%3E"];
    let all = [odd, odd, plain, odd, last].concat();
    let refused = all.replacen("GET /<c>", "GET /\t<c>", 1);
    for (bytes, statuses) in [(&all, [200; 5]), (&refused, [200, 200, 200, 200, 400])] {
        for piece in [1, 7, 100, all.len()] {
            let answer = in_pieces(bench.door.http(), bytes.as_bytes(), piece).await;
            let heard = std::mem::take(&mut *bench.heads.lock().unwrap());
            let got: Vec<u16> = answer.split("HTTP/1.1 ").skip(1).map(|rest| rest[..3].parse().unwrap()).collect();
            assert_eq!(got, statuses, "{piece}: {answer}");
            let served = statuses.iter().filter(|status| **status == 200).count();
            assert_eq!(heard.len(), served, "{piece}: {heard:?}");
            for (heard, expected) in heard.iter().zip(expected) {
                assert!(heard.starts_with(&format!("{expected} HTTP/1.1\r\n")), "{piece}: {heard}");
                let body = if expected == "POST /b" { "\r\n\r\n2\r\nyo\r\n0\r\n\r\n" } else { "\r\n\r\nhello" };
                assert!(heard.starts_with("GET") || heard.ends_with(body), "{piece}: {heard}");
            }
        }
    }
}

/// Sends `bytes` in writes of `length`; what comes back until the door closes.
async fn in_pieces(address: std::net::SocketAddr, bytes: &[u8], length: usize) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in bytes.chunks(length) {
        stream.write_all(piece).await.unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn an_encoded_target_keeps_to_the_limits() {
    let bench = bench("").await;
    // As long as it may be, once it is encoded; and one more.
    for (braces, status) in [(2730, 200), (2731, 414)] {
        let request = format!("GET /{} HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n", "{".repeat(braces));
        let answer = wire::exchange(bench.door.http(), request).await;
        assert_eq!(wire::status(&answer), status, "{braces}: {answer}");
    }
    let long = "y".repeat(11 * 1024);
    let request = format!("GET /{} HTTP/1.1\r\nHost: site.test\r\nX: {long}\r\n\r\n", "{".repeat(700));
    let answer = wire::exchange(bench.door.http(), request).await;
    assert_eq!(wire::status(&answer), 431, "{answer}");
}

#[tokio::test]
async fn a_rule_that_goes_by_path_holds_for_an_encoded_one() {
    let bench = bench("").await;
    let address = bench.door.http();
    for path in ["/x{/../api/ws", "/<>/../api/ws"] {
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: site.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let plain = request.replacen(path, "/api/ws", 1);
        let (odd, plain) = (wire::exchange(address, request).await, wire::exchange(address, plain).await);
        assert_eq!(wire::status(&odd), wire::status(&plain), "{path}: {odd}");
        assert!(bench.heads.lock().unwrap().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn the_door_answers_for_itself_about_itself() {
    let bench = bench("").await;
    let answer = wire::exchange(bench.door.http(), "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wire::status(&answer), 204, "{answer}");
    assert!(answer.to_lowercase().contains("allow: get"), "{answer}");
    assert!(bench.heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn connection_headers_end_at_the_door_and_ours_survive() {
    let bench = bench("").await;
    let heard = bench
        .sends(
            "GET / HTTP/1.1\r\nHost: site.test\r\nConnection: X-Own, X-Forwarded-For, Cookie, Host\r\nX-Own: a\r\n\
             Cookie: c=d\r\nKeep-Alive: timeout=9\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: x\r\n\
             Proxy-Authorization: x\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
        )
        .await;
    for name in [
        "x-own",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "proxy-authorization",
        "proxy-authenticate",
        "upgrade",
        "http2-settings",
    ] {
        assert!(values(&heard, name).is_empty(), "{name} in {heard}");
    }
    assert_eq!(values(&heard, "cookie"), ["c=d"]);
    assert_eq!(values(&heard, "x-forwarded-for"), ["127.0.0.1"]);
}

#[tokio::test]
async fn misleading_names_are_dropped() {
    let bench = bench("").await;
    let lines =
        "X_Forwarded_For: 6.6.6.6\r\nContent_Length: 9\r\nA.b: c\r\nTransfer.Encoding: chunked\r\nX-Fine: d\r\n";
    let heard = bench.sends(&format!("GET / HTTP/1.1\r\nHost: site.test\r\n{lines}\r\n")).await;
    assert!(!heard.to_lowercase().contains("x_forwarded_for") && !heard.contains("6.6.6.6"), "{heard}");
    assert!(!heard.to_lowercase().contains("content_length") && !heard.to_lowercase().contains("a.b"), "{heard}");
    assert!(!heard.to_lowercase().contains("transfer.encoding"), "{heard}");
    assert_eq!(values(&heard, "x-fine"), ["d"]);
}

#[tokio::test]
async fn lengths_are_written_anew() {
    let bench = bench("").await;
    let heard = bench.sends("POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 005\r\n\r\nhello").await;
    assert_eq!(values(&heard, "content-length"), ["5"]);
    assert!(heard.ends_with("\r\n\r\nhello"), "{heard}");
    let heard = bench.sends("GET / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(values(&heard, "content-length"), ["5"], "the body of a GET goes on whole");
    assert!(heard.ends_with("\r\n\r\nhello"), "{heard}");
}

#[tokio::test]
async fn chunk_extensions_and_trailers_are_dropped() {
    let bench = bench("").await;
    let head = "POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n";
    let heard = bench.sends(&format!("{head}5;evil=\"1\"\r\nhello\r\n00;x\r\nX-T: y\r\nHost: evil\r\n\r\n")).await;
    assert_eq!(values(&heard, "transfer-encoding"), ["chunked"]);
    assert!(heard.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn body_of_unknown_length_passes_with_any_method() {
    let bench = bench("").await;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let head = format!("{method} / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n");
        let heard = bench.sends(&format!("{head}5\r\nhello\r\n0\r\n\r\n")).await;
        assert_eq!(values(&heard, "transfer-encoding"), ["chunked"], "{heard}");
        assert!(heard.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{heard}");
        let heard = bench.sends(&format!("{head}0\r\n\r\n")).await;
        assert!(values(&heard, "transfer-encoding").is_empty() && heard.ends_with("\r\n\r\n"), "{heard}");
    }
}

#[tokio::test]
async fn a_leading_empty_line_is_forgiven() {
    let bench = bench("").await;
    let heard = bench.sends("GET /a HTTP/1.1\r\nHost: site.test\r\n\r\n").await;
    assert!(heard.starts_with("GET /a HTTP/1.1\r\n"), "{heard}");
    let request = "\r\nGET /b HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n";
    assert_eq!(wire::status(&wire::exchange(bench.door.http(), request).await), 200);
    assert!(bench.heads.lock().unwrap().pop().unwrap().starts_with("GET /b HTTP/1.1\r\n"));
}

#[tokio::test]
async fn expectations_are_answered_here() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bench = bench("").await;
    let mut stream = tokio::net::TcpStream::connect(bench.door.http()).await.unwrap();
    let head =
        "POST / HTTP/1.1\r\nHost: site.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(wire::status(&answer), 200, "{answer}");
    let heard = bench.heads.lock().unwrap().pop().unwrap();
    assert!(values(&heard, "expect").is_empty(), "{heard}");
}

#[tokio::test]
async fn what_a_stranger_says_of_itself_is_dropped() {
    let bench = bench("").await;
    let said = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\n\
                X-Forwarded-Server: evil\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6;host=evil.test\r\nX-Request-Id: mine\r\n";
    let heard = bench.sends(&format!("GET / HTTP/1.1\r\nHost: Site.test:8080\r\n{said}\r\n")).await;
    assert!(!heard.contains("evil") && !heard.contains("6.6.6.6") && !heard.contains("mine"), "{heard}");
    assert_eq!(values(&heard, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&heard, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&heard, "x-forwarded-host"), ["site.test:8080"]);
    assert_eq!(values(&heard, "x-forwarded-port"), ["8080"]);
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let bench = bench("[listen]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n").await;
    let said = "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: public.test\r\n\
                X-Request-Id: from-the-edge\r\n";
    let heard = bench.sends(&format!("GET / HTTP/1.1\r\nHost: inner\r\n{said}\r\n")).await;
    assert_eq!(values(&heard, "x-forwarded-for"), ["192.0.2.7, 10.1.1.1, 127.0.0.1"]);
    assert_eq!(values(&heard, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&heard, "x-forwarded-host"), ["public.test"]);
    assert_eq!(values(&heard, "x-forwarded-port"), ["443"]);
    assert_eq!(values(&heard, "x-request-id"), ["from-the-edge"]);
    assert_eq!(values(&heard, "x-real-ip"), ["192.0.2.7"]);
    let line = bench.door.wait_for_log(|line| line["target"] == "access");
    assert_eq!(line["client"], "192.0.2.7", "{line}");
}

#[tokio::test]
async fn unknown_hosts_are_misdirected() {
    let bench = bench("[http]\nhosts = [\"site.test\", \"*.site.test\"]\n").await;
    for host in ["site.test", "SITE.test:8080", "www.site.test"] {
        bench.sends(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    }
    for host in ["evil.test", "evilsite.test", "site.test.evil", "127.0.0.1"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = wire::exchange(bench.door.http(), request).await;
        assert_eq!(wire::status(&answer), 421, "{host}: {answer}");
    }
}

#[tokio::test]
async fn names_of_others_are_served_where_nobody_is_misled() {
    let app = App::saying("hello").await;
    let site = Site::new(&app.config());
    let ask = async || {
        let mut connection = site.connect(&[]).await;
        let fields = GET.iter().map(|(name, value)| (*name, if *name == ":authority" { "other.test" } else { *value }));
        connection.request(1, &fields.collect::<Vec<_>>()).await;
        connection.outcome(1).await
    };
    assert_eq!(ask().await, Outcome::Status(421), "browsers use a connection of HTTP/2 for other names too");
    // Over HTTP/1.1 none does.
    let mut stream = site.http1().await;
    assert!(secure::get(&mut stream, "other.test").await.contains("hello"));
    // A proxy that is trusted keeps connections for many names.
    let config = std::fs::read_to_string(site.door.config_file()).unwrap();
    site.door.rewrite(&config.replacen("[listen]\n", "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n", 1));
    let seen = site.door.log().len();
    site.door.signal("HUP");
    site.door.wait_for_log_after(seen, |line| line["message"].as_str().is_some_and(|said| said.contains("reloaded")));
    assert_eq!(ask().await, Outcome::Status(200));
}
