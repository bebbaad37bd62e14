//! The opening handshake: RFC 6455 section 4.2 and RFC 8441 section 5.

use http::{Method, Request, StatusCode, Version};
use hyper::ext::Protocol;

use super::*;
use crate::http::{Failure, Response};

/// The example of RFC 6455 section 1.3.
const RIGHT: &[(&str, &str)] = &[
    ("host", "server.example.com"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-version", "13"),
];

/// The right request, with `changes` (an empty value: the header is not there; a name with `+`: one more of it).
fn request(changes: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get("/api/ws");
    for (name, value) in RIGHT {
        if !changes.iter().any(|(changed, _)| changed == name) {
            request = request.header(*name, *value);
        }
    }
    for (name, value) in changes.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(name.trim_end_matches('+'), *value);
    }
    request.body(()).unwrap()
}

fn connect(protocol: &'static str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request =
        Request::builder().method(Method::CONNECT).version(Version::HTTP_2).uri("https://site.test/api/ws");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.extension(Protocol::from_static(protocol)).body(()).unwrap()
}

fn read(request: &Request<()>) -> Result<Offer, Failure> {
    Offer::read(request, &Config { deflate: true, ..Config::default() })
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[test]
fn the_example_of_the_rfc_is_answered_as_the_rfc_says() {
    let request = request(&[]);
    assert!(is_upgrade(&request));
    let answer = read(&request).unwrap().accept(None);
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(header(&answer, "sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(header(&answer, "upgrade"), "websocket");
    assert_eq!(header(&answer, "connection"), "Upgrade");
    assert_eq!(answer.headers().len(), 3);
}

#[test]
fn what_clients_really_send_is_understood() {
    for changes in [
        &[("connection", "keep-alive, Upgrade")][..],
        &[("connection", "keep-alive"), ("connection+", "upgrade")],
        &[("upgrade", "WebSocket")],
        &[("upgrade", "h2c, websocket")],
        &[("content-length", "0")],
        &[("sec-websocket-key", " dGhlIHNhbXBsZSBub25jZQ==")],
        &[("sec-websocket-extensions", "x-unknown; a=b, permessage-deflate; client_max_window_bits")],
    ] {
        let request = request(changes);
        assert!(is_upgrade(&request), "{changes:?}");
        assert_eq!(read(&request).map(|_| ()).map_err(|failure| failure.reason), Ok(()), "{changes:?}");
    }
}

#[test]
fn what_is_wrong_gets_its_status() {
    let key = "sec-websocket-key";
    let version = "sec-websocket-version";
    for (changes, status) in [
        (&[("upgrade", "")][..], 426),
        (&[("upgrade", "h2c")], 426),
        (&[("connection", "")], 400),
        (&[("connection", "close")], 400),
        (&[(key, "")], 400),
        (&[(key, "dGhlIHNhbXBsZSBub25jZQ==+"), (key, "")], 400),
        (&[(key, "dGhlIHNhbXBsZSBub25jZQ")], 400),
        (&[(key, "dGhlIHNhbXBsZSBub25jZQ=")], 400),
        (&[(key, "dGhlIHNhbXBsZSBub25jZQo==")], 400),
        (&[(key, "dGhlIHNhbXBsZSBub25j")], 400),
        (&[(key, "dGhlIHNhbXBsZSBub25j*Q==")], 400),
        (&[(key, "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-key+", "dGhlIHNhbXBsZSBub25jZQ==")], 400),
        (&[(version, "")], 400),
        (&[(version, "12")], 426),
        (&[(version, "13, 8")], 426),
        (&[(version, "013")], 426),
        (&[(version, "13"), ("sec-websocket-version+", "13")], 400),
        (&[("content-length", "5")], 400),
        (&[("transfer-encoding", "chunked")], 400),
        (&[("sec-websocket-protocol", "a, b c")], 400),
        (&[("sec-websocket-protocol", "a,,b")], 400),
        (&[("sec-websocket-protocol", "a, a")], 400),
        (&[("sec-websocket-extensions", "permessage-deflate; =")], 400),
    ] {
        let failure = read(&request(changes)).expect_err(&format!("{changes:?}"));
        assert_eq!(failure.status.as_u16(), status, "{changes:?}: {}", failure.reason);
        let answer = failure.into_response(&crate::http::failure::ErrorContext::default());
        if status == 426 {
            assert_eq!(header(&answer, "upgrade"), "websocket");
        }
        if status == 426 || changes[0].0 == version {
            assert_eq!(header(&answer, "sec-websocket-version"), "13", "{changes:?}");
        }
    }
}

#[test]
fn only_get_and_only_http_1_1_upgrade() {
    for method in [Method::POST, Method::HEAD, Method::PUT, Method::OPTIONS] {
        let mut request = request(&[]);
        *request.method_mut() = method;
        let answer = read(&request).unwrap_err().into_response(&crate::http::failure::ErrorContext::default());
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&answer, "allow"), "GET");
    }
    let mut request = request(&[]);
    *request.version_mut() = Version::HTTP_10;
    assert_eq!(read(&request).unwrap_err().status, StatusCode::UPGRADE_REQUIRED);
}

#[test]
fn protocols_are_offered_in_order_and_answered_with_one() {
    let changes = [("sec-websocket-protocol", "chat, superchat"), ("sec-websocket-protocol+", "graphql-ws")];
    let offer = read(&request(&changes)).unwrap();
    assert_eq!(offer.protocols().collect::<Vec<_>>(), ["chat", "superchat", "graphql-ws"]);
    assert_eq!(header(&offer.accept(Some("superchat")), "sec-websocket-protocol"), "superchat");
    assert_eq!(header(&offer.accept(None), "sec-websocket-protocol"), "");
}

#[test]
fn compression_is_agreed_to_only_where_it_is_on() {
    let request = request(&[("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")]);
    let offer = read(&request).unwrap();
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(header(&offer.accept(None), "sec-websocket-extensions"), expected);
    let offer = Offer::read(&request, &Config::default()).unwrap();
    assert_eq!(offer.agreed(), None);
    assert_eq!(header(&offer.accept(None), "sec-websocket-extensions"), "");
}

#[test]
fn a_stream_of_http_2_becomes_a_websocket_with_200() {
    let headers = [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")];
    let request = connect("websocket", &headers);
    assert!(is_upgrade(&request));
    let answer = read(&request).unwrap().accept(Some("chat"));
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "sec-websocket-protocol"), "chat");
    assert_eq!(answer.headers().len(), 1);
}

#[test]
fn wrong_http_2_streams_get_no_connection_headers() {
    let version = [("sec-websocket-version", "13")];
    for (request, status) in [
        (connect("webtransport", &version), 501),
        (connect("websocket", &[]), 400),
        (connect("websocket", &[("sec-websocket-version", "8")]), 400),
        (Request::get("/").version(Version::HTTP_2).body(()).unwrap(), 400),
    ] {
        let answer = read(&request).unwrap_err().into_response(&crate::http::failure::ErrorContext::default());
        assert_eq!(answer.status().as_u16(), status);
        assert!(!answer.headers().contains_key("upgrade") && !answer.headers().contains_key("connection"));
    }
    assert!(!is_upgrade(&Request::get("/").version(Version::HTTP_2).body(()).unwrap()));
}
