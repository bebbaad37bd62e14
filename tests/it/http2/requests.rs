//! Promise: over HTTP/2 a request has one meaning too, and reaches the app in the same form as over HTTP/1.1.

use std::sync::{Arc, Mutex};

use crate::harness::frames::{self, Connection, GET, HEADERS, Outcome, PROTOCOL_ERROR, Site};
use crate::harness::raw::{Asked, RawApp, eventually, ok};

struct Bench {
    site: Site,
    app: RawApp,
    heads: Arc<Mutex<Vec<String>>>,
}

async fn bench(config: &str) -> Bench {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    let app = RawApp::start(move |mut asked: Asked| {
        let kept = Arc::clone(&kept);
        async move {
            kept.lock().unwrap().push(asked.head.clone());
            if let Ok(length) = asked.header("content-length").parse() {
                asked.body(length).await;
            }
            asked.send(ok("yes")).await;
            Some(asked)
        }
    })
    .await;
    let site = Site::new(&(app.config() + config));
    Bench { site, app, heads }
}

/// GET with some of its fields replaced, and others after them.
fn with<'a>(replaced: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields: Vec<(&str, &str)> = GET.to_vec();
    for (name, value) in replaced {
        fields.iter_mut().find(|(known, _)| known == name).expect("a pseudo-header").1 = value;
    }
    fields.extend(more);
    fields
}

/// Tries each request on a connection of its own.
async fn outcomes(bench: &Bench, requests: Vec<Vec<(&str, &str)>>, is_expected: impl Fn(Outcome) -> bool) {
    for fields in requests {
        let mut connection = bench.site.connect(&[]).await;
        connection.request(1, &fields).await;
        let outcome = connection.outcome(1).await;
        assert!(is_expected(outcome), "{fields:?} got {outcome}");
    }
}

fn is_refused(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Status(400) | Outcome::Reset(PROTOCOL_ERROR) | Outcome::Gone(PROTOCOL_ERROR))
}

#[tokio::test]
async fn connection_headers_are_refused() {
    let bench = bench("").await;
    let headers = [
        ("connection", "close"),
        ("connection", "x-forwarded-for"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, x"),
    ];
    outcomes(&bench, headers.iter().map(|header| with(&[], &[*header])).collect(), is_refused).await;
    assert_eq!(bench.app.requests(), 0);
}

#[tokio::test]
async fn pseudo_headers_are_once_first_and_known() {
    let bench = bench("").await;
    let without = |name: &str| GET.iter().filter(|(known, _)| *known != name).copied().collect::<Vec<_>>();
    let mut late = vec![("accept", "x")];
    late.extend(GET);
    let requests = vec![
        without(":method"),
        without(":scheme"),
        without(":path"),
        without(":authority"),
        with(&[], &[(":path", "/x")]),
        with(&[], &[(":method", "POST")]),
        with(&[], &[(":authority", "evil.test")]),
        with(&[], &[(":scheme", "https")]),
        with(&[], &[(":status", "200")]),
        with(&[], &[(":evil", "x")]),
        with(&[(":path", "")], &[]),
        late,
    ];
    outcomes(&bench, requests, is_refused).await;
    assert_eq!(bench.app.requests(), 0);
}

#[tokio::test]
async fn values_and_names_are_strict() {
    let bench = bench("").await;
    let headers = [
        ("X-Upper", "x"),
        ("", "x"),
        ("a b", "x"),
        ("a:b", "x"),
        ("x", "a\r\nb: c"),
        ("x", "a\0b"),
        ("x", "a\nb"),
        ("x", " padded"),
        ("x", "padded "),
        ("x", "\tpadded"),
        ("content-length", "+0"),
        ("content-length", "x"),
        ("content-length", ""),
    ];
    outcomes(&bench, headers.iter().map(|header| with(&[], &[*header])).collect(), is_refused).await;
    assert_eq!(bench.app.requests(), 0);
}

#[tokio::test]
async fn targets_hosts_and_schemes_are_strict() {
    let bench = bench("").await;
    let mut requests = Vec::new();
    for path in ["x", "/\\evil", "/a b", "/a%00", "*", "http://site.test/"] {
        requests.push(with(&[(":path", path)], &[]));
    }
    for authority in ["a@site.test", "site.test/x", "site.test:x", "site.test:99999", "a,b", " ", "[::1"] {
        requests.push(with(&[(":authority", authority)], &[]));
    }
    for scheme in ["http", "ftp", "https:", ""] {
        requests.push(with(&[(":scheme", scheme)], &[]));
    }
    for hosts in
        [vec![("host", "evil.test")], vec![("host", "site.test"), ("host", "site.test")], vec![("host", "site.test:1")]]
    {
        requests.push(with(&[], &hosts));
    }
    outcomes(&bench, requests, is_refused).await;
    assert_eq!(bench.app.requests(), 0);
}

#[tokio::test]
async fn the_door_answers_for_itself_about_itself() {
    let bench = bench("").await;
    let mut connection = bench.site.connect(&[(1, 0)]).await;
    connection.request(1, &with(&[(":method", "OPTIONS"), (":path", "*")], &[])).await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(204));
    // About a site that is none of the door's there is nothing to say.
    connection.request(3, &with(&[(":method", "OPTIONS"), (":path", "*"), (":authority", "other.test")], &[])).await;
    assert_eq!(connection.outcome(3).await, Outcome::Status(421));
    assert_eq!(bench.app.requests(), 0);
}

#[tokio::test]
async fn what_has_no_place_in_a_target_is_encoded() {
    let bench = bench("").await;
    let mut connection = bench.site.connect(&[(1, 0)]).await;
    for (number, (target, expected)) in [
        ("/a|b^c{d}\"", "/a%7Cb%5Ec%7Bd%7D%22"),
        ("/find?q={a}`^|", "/find?q=%7Ba%7D%60%5E%7C"),
        ("/caf\u{e9}?q=\u{e9}", "/caf%C3%A9?q=%C3%A9"),
        ("/?q=%00", "/?q=%00"),
        ("/{x}/../b", "/b"),
    ]
    .iter()
    .enumerate()
    {
        let stream = 2 * number as u32 + 1;
        connection.request(stream, &with(&[(":path", target)], &[])).await;
        assert_eq!(connection.outcome(stream).await, Outcome::Status(200), "{target}");
        let head = bench.heads.lock().unwrap().pop().expect("the app heard it");
        assert!(head.starts_with(&format!("GET {expected} HTTP/1.1\r\n")), "{target}: {head}");
    }
}

#[tokio::test]
async fn what_the_library_cannot_read_as_a_request_leaves_a_line() {
    let bench = bench("").await;
    for (seen, path) in ["/<a>", "/a`", "/?q=\"a\"", "x", "/a b"].iter().enumerate() {
        let mut connection = bench.site.connect(&[]).await;
        connection.request(1, &with(&[(":path", path)], &[])).await;
        assert_eq!(connection.outcome(1).await, Outcome::Reset(PROTOCOL_ERROR), "{path}");
        let log = || bench.site.door.log();
        let is_line = |line: &serde_json::Value| line["message"] == "malformed request: its stream is reset";
        eventually("a line", || log().iter().filter(|line| is_line(line)).count() == seen + 1).await;
        assert_eq!(log().iter().rfind(|line| is_line(line)).unwrap()["client"], "127.0.0.1");
        // Others on the same connection are served as before.
        connection.request(3, GET).await;
        assert_eq!(connection.outcome(3).await, Outcome::Status(200), "after {path}");
    }
}

#[tokio::test]
async fn refusals_have_their_own_status() {
    let bench = bench("").await;
    let long = format!("/{}", "x".repeat(8 * 1024));
    let many: Vec<String> = (0..110).map(|n| format!("x-{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "y")).collect();
    for (fields, status) in [
        (with(&[(":method", "TRACE")], &[]), 405),
        (with(&[(":path", &long)], &[]), 414),
        (with(&[], &many), 431),
        (with(&[], &[("expect", "x")]), 417),
        (with(&[(":authority", "other.test")], &[]), 421),
    ] {
        let mut connection = bench.site.connect(&[]).await;
        connection.request(1, &fields).await;
        assert_eq!(connection.outcome(1).await, Outcome::Status(status));
        // Others on the same connection are served as before.
        connection.request(3, GET).await;
        assert_eq!(connection.outcome(3).await, Outcome::Status(200));
    }
    let mut connection = bench.site.connect(&[]).await;
    connection.request(1, &[(":method", "CONNECT"), (":authority", "site.test:443")]).await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(405));
}

#[tokio::test]
async fn one_limit_holds_for_heads_over_both_versions() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bench = bench("").await;
    let mut connection = bench.site.connect(&[(1, 0)]).await;
    let mut refused = 0.0;
    // As long as a head may be (the default of `max_head`), one more, and as much as too many cookies make.
    for (number, (length, status)) in
        [(12 * 1024, 200), (12 * 1024 + 1, 431), (20_000, 431), (64 * 1024, 431), (100_000, 431)]
            .into_iter()
            .enumerate()
    {
        let bare = "GET / HTTP/1.1\r\nhost: site.test\r\nx-long: \r\nconnection: close\r\n\r\n";
        let mut stream = bench.site.http1().await;
        let request = bare.replacen("x-long: ", &format!("x-long: {}", "y".repeat(length - bare.len())), 1);
        // It may be refused before it is whole.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(crate::harness::wire::status(&String::from_utf8_lossy(&answer)), status, "{length}");

        // The same head: without "connection: close", that much more of the value.
        let value = "y".repeat(length - bare.len() + "connection: close\r\n".len());
        let stream = 4 * number as u32 + 1;
        let block = frames::block(&with(&[], &[("x-long", &value)]));
        let mut pieces = block.chunks(16_000).peekable();
        let (mut kind, mut flags) = (HEADERS, frames::END_STREAM);
        while let Some(piece) = pieces.next() {
            flags |= if pieces.peek().is_none() { frames::END_HEADERS } else { 0 };
            connection.send(kind, flags, stream, piece).await;
            (kind, flags) = (frames::CONTINUATION, 0);
        }
        assert_eq!(connection.outcome(stream).await, Outcome::Status(status), "{length}");
        let (page, _) = connection.data(stream).await.expect("content");
        if status == 431 {
            refused += 2.0;
            assert!(String::from_utf8_lossy(&page).contains("The header fields are too large."), "{length}");
            bench.site.door.wait_for_metric("http_refusals_total{reason=\"head_too_large\"}", refused).await;
        }
        // Others on the same connection are served as before.
        connection.request(stream + 2, GET).await;
        assert_eq!(connection.outcome(stream + 2).await, Outcome::Status(200), "after {length}");
    }
    // More than the library takes of one: it answers by itself, and the line is the meter's.
    let block = frames::block(&with(&[], &[("x-long", &"y".repeat(130_000))]));
    let pieces: Vec<_> = block.chunks(16_000).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let kind = if number == 0 { HEADERS } else { frames::CONTINUATION };
        let flags = if number == 0 { frames::END_STREAM } else { 0 };
        let end = if number + 1 == pieces.len() { frames::END_HEADERS } else { 0 };
        connection.send(kind, flags | end, 101, piece).await;
    }
    assert_eq!(connection.outcome(101).await, Outcome::Status(431));
    bench.site.door.wait_for_log(|line| line["message"] == "head far too large: it is refused without a page");
    let is_line = |line: &serde_json::Value, protocol: &str| {
        line["target"] == "access" && line["status"] == 431 && line["protocol"] == protocol
    };
    for protocol in ["HTTP/1.1", "HTTP/2"] {
        let lines = || bench.site.door.log().iter().filter(|line| is_line(line, protocol)).count();
        eventually("a line for each", || lines() == 4).await;
    }
}

#[tokio::test]
async fn lengths_that_do_not_fit_the_data_reset_the_stream() {
    let bench = bench("").await;
    // With a length of 0 the request is whole, and may be answered, before the data comes.
    for (length, data) in [("5", "hell"), ("5", "hello!"), ("1", "xy")] {
        let mut connection = bench.site.connect(&[]).await;
        let fields = with(&[(":method", "POST")], &[("content-length", length)]);
        connection.send(HEADERS, frames::END_HEADERS, 1, &frames::block(&fields)).await;
        connection.send(frames::DATA, frames::END_STREAM, 1, data.as_bytes()).await;
        let outcome = connection.outcome(1).await;
        assert!(is_refused(outcome), "{length} {data:?} got {outcome}");
    }
}

#[tokio::test]
async fn data_after_a_length_of_nothing_goes_nowhere() {
    let bench = bench("").await;
    let mut connection = bench.site.connect(&[]).await;
    let fields = with(&[(":method", "POST")], &[("content-length", "0")]);
    connection.send(HEADERS, frames::END_HEADERS, 1, &frames::block(&fields)).await;
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: site.test\r\n\r\n";
    connection.send(frames::DATA, frames::END_STREAM, 1, smuggled).await;
    let outcome = connection.outcome(1).await;
    assert!(is_refused(outcome) || outcome == Outcome::Status(200), "{outcome}");
    connection.request(3, GET).await;
    assert_eq!(connection.outcome(3).await, Outcome::Status(200));
    assert!(!bench.heads.lock().unwrap().iter().any(|head| head.contains("smuggled")));
}

#[tokio::test]
async fn an_end_in_a_frame_without_data_is_no_body() {
    let bench = bench("").await;
    let mut connection = bench.site.connect(&[(1, 0)]).await;
    for (number, method) in ["GET", "HEAD", "DELETE", "OPTIONS", "PURGE"].iter().enumerate() {
        let stream = 2 * number as u32 + 1;
        let fields = with(&[(":method", method)], &[]);
        connection.send(HEADERS, frames::END_HEADERS, stream, &frames::block(&fields)).await;
        // Perhaps in several; the last is its end.
        connection.send(frames::DATA, 0, stream, &[]).await;
        connection.send(frames::DATA, frames::END_STREAM, stream, &[]).await;
        assert_eq!(connection.outcome(stream).await, Outcome::Status(200), "{method}");
        let head = bench.heads.lock().unwrap().pop().expect("the app heard it").to_lowercase();
        assert!(head.starts_with(&format!("{} / http/1.1", method.to_lowercase())), "{head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_goes_on_whole_with_any_method() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&bodies);
    let app = RawApp::start(move |mut asked: Asked| {
        let kept = Arc::clone(&kept);
        async move {
            assert_eq!(asked.header("transfer-encoding"), "chunked", "{}", asked.head);
            let body = asked.until("0\r\n\r\n").await;
            kept.lock().unwrap().push(body);
            asked.send(ok("")).await;
            Some(asked)
        }
    })
    .await;
    let site = Site::new(&app.config());
    let mut connection = site.connect(&[(1, 0)]).await;
    for (number, method) in ["GET", "HEAD", "DELETE", "OPTIONS", "POST"].iter().enumerate() {
        let stream = 2 * number as u32 + 1;
        let fields = with(&[(":method", method)], &[]);
        connection.send(HEADERS, frames::END_HEADERS, stream, &frames::block(&fields)).await;
        connection.send(frames::DATA, 0, stream, b"hel").await;
        connection.send(frames::DATA, 0, stream, b"lo").await;
        connection.send(frames::DATA, frames::END_STREAM, stream, &[]).await;
        assert_eq!(connection.outcome(stream).await, Outcome::Status(200), "{method}");
        let body = bodies.lock().unwrap().pop().expect("the app heard it");
        let data: String = body.split("\r\n").skip(1).step_by(2).collect();
        assert_eq!(data, "hello", "{method}: {body:?}");
    }
}

#[tokio::test]
async fn the_app_gets_one_canonical_request() {
    let bench = bench("").await;
    let mut connection = bench.site.connect(&[]).await;
    let more = [
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("cookie", "c=3"),
        ("te", "trailers"),
        ("x_misleading", "x"),
        ("x-forwarded-for", "6.6.6.6"),
        ("host", "SITE.test"),
        ("proxy-authorization", "x"),
        ("x-fine", "y"),
    ];
    connection.request(1, &with(&[(":path", "//a/b?c")], &more)).await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(200));
    let head = bench.heads.lock().unwrap().pop().expect("the app heard it");
    assert!(head.starts_with("GET //a/b?c HTTP/1.1\r\nhost: site.test"), "{head}");
    for line in
        ["cookie: a=1; b=2; c=3\r\n", "x-forwarded-for: 127.0.0.1\r\n", "x-forwarded-proto: https\r\n", "x-fine: y\r\n"]
    {
        assert_eq!(head.matches(line).count(), 1, "{line} in {head}");
    }
    for name in ["\r\nte:", "misleading", "6.6.6.6", "proxy-authorization", ":authority"] {
        assert!(!head.contains(name), "{name} in {head}");
    }
    assert_eq!(head.to_lowercase().matches("\r\nhost:").count(), 1, "{head}");
}

#[tokio::test]
async fn a_cookie_in_many_crumbs_is_one_field() {
    let bench = bench("").await;
    let mut connection = bench.site.connect(&[]).await;
    let crumbs: Vec<(&str, &str)> = (0..130).map(|_| ("cookie", "a=b")).collect();
    connection.request(1, &with(&[], &crumbs)).await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(200));
    let head = bench.heads.lock().unwrap().pop().expect("the app heard it");
    assert_eq!(head.matches("cookie: ").count(), 1);
    assert_eq!(head.matches("a=b").count(), 130);
    connection.request(3, GET).await;
    assert_eq!(connection.outcome(3).await, Outcome::Status(200));
    let head = bench.heads.lock().unwrap().pop().expect("the app heard it");
    assert!(!head.contains("cookie"), "of none there is none: {head}");
}

#[tokio::test]
async fn a_cookie_in_crumbs_counts_as_the_one_field_it_becomes() {
    let bench = bench("").await;
    let mut connection = bench.site.connect(&[(1, 0)]).await;
    let one = "GET / HTTP/1.1\r\nhost: site.test\r\ncookie: ; ; \r\nx-of-some-length: y\r\n\r\n";
    let crumb = "c".repeat(4_000);
    for (stream, length, status) in [(1, 12 * 1024, 200), (3, 12 * 1024 + 1, 431)] {
        let last = "c".repeat(length - one.len() - 2 * crumb.len());
        let crumbs = [("cookie", crumb.as_str()), ("cookie", &crumb), ("cookie", &last), ("x-of-some-length", "y")];
        connection.request(stream, &with(&[], &crumbs)).await;
        assert_eq!(connection.outcome(stream).await, Outcome::Status(status), "{length}");
    }
}

// It waits for the process, and the app must go on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_stops_or_is_reset_never_completes() {
    let bench = bench("[http]\nbody_timeout = \"400ms\"\n").await;
    let begin = async |connection: &mut Connection, stream| {
        let fields = with(&[(":method", "POST")], &[("content-length", "100")]);
        connection.send(HEADERS, frames::END_HEADERS, stream, &frames::block(&fields)).await;
        connection.send(frames::DATA, 0, stream, b"half").await;
    };
    let mut connection = bench.site.connect(&[]).await;
    begin(&mut connection, 1).await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(408));
    begin(&mut connection, 3).await;
    eventually("the app hears of the second", || bench.app.requests() == 2).await;
    connection.send(frames::RST_STREAM, 0, 3, &8u32.to_be_bytes()).await;
    bench.site.door.wait_for_log(|line| line["target"] == "access" && line["status"] != 408);
    connection.request(5, GET).await;
    assert_eq!(connection.outcome(5).await, Outcome::Status(200));
}
