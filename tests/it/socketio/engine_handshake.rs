//! Promise: sessions open where the stock client looks for them, and whatever is wrong is said as the Node server says it.

use std::time::Duration;

use super::polling::{OPEN, open, open_at, text};
use crate::harness::client::{ask, get};
use crate::harness::raw::RawApp;
use crate::harness::socket::{connect, connect_to};
use crate::harness::{door, wire};

#[tokio::test]
async fn a_session_opens_at_both_paths_in_both_ways() {
    let door = door().start();
    for path in ["/socket.io/", "/socket.io", "/api/ws/socket.io/"] {
        let session = open_at(&door, path).await;
        assert_eq!(session.sid.len(), 22, "128 bits in base64");
        assert_eq!(session.open["upgrades"], serde_json::json!(["websocket"]));
        assert_eq!(session.open["pingInterval"], 25_000);
        assert_eq!(session.open["pingTimeout"], 20_000);
        assert_eq!(session.open["maxPayload"], 1_000_000);
        session.connect().await;
        let mut socket = connect(&door, &format!("{path}?EIO=4&transport=websocket")).await;
        let first = socket.hear().await;
        assert!(first.starts_with("0{\"sid\":\"") && first.contains("\"upgrades\":[]"), "{first}");
        socket.say("40").await;
        assert!(socket.hear().await.starts_with("40{\"sid\":\""));
    }
}

#[tokio::test]
async fn answers_have_the_headers_that_browsers_need() {
    let door = door().config("[[realtime.socketio]]\ncookie = \"io\"\n").start();
    let answer = get(door.http(), &format!("/socket.io/?{OPEN}"), &[]).await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=UTF-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    let cookie = answer.header("set-cookie");
    let body = text(answer).await;
    let sid = body.split('"').nth(3).expect("a sid");
    assert_eq!(cookie, format!("io={sid}; Path=/; HttpOnly; SameSite=Lax"));
    let target = format!("/socket.io/?{OPEN}&sid={sid}");
    let posted = ask(door.http(), "POST", &target, &[], "40").await;
    assert_eq!((posted.status, posted.header("content-type")), (200, "text/html".to_owned()));
    assert_eq!((posted.header("cache-control"), posted.header("set-cookie")), ("no-store".to_owned(), String::new()));
    assert_eq!(text(posted).await, "ok");
}

#[tokio::test]
async fn what_is_wrong_has_a_code_and_words() {
    let door = door().start();
    let session = open(&door).await;
    let own = session.query();
    for (method, query, code, message) in [
        ("GET", "", 0, "Transport unknown"),
        ("GET", "EIO=4", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=abc", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=webtransport", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=constructor", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=polling&sid=abc", 1, "Session ID unknown"),
        ("GET", "EIO=4&transport=polling&sid=__proto__", 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAAAA", 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("PUT", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("OPTIONS", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", 3, "Bad request"),
        ("GET", &own.replace("polling", "websocket"), 3, "Bad request"),
        ("GET", &own.replace("EIO=4", "EIO=3"), 3, "Bad request"),
        ("PUT", &own, 3, "Bad request"),
        ("GET", "EIO=3&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=abc&transport=polling", 5, "Unsupported protocol version"),
    ] {
        let answer = ask(door.http(), method, &format!("/socket.io/?{query}"), &[], "").await;
        assert_eq!((answer.status, answer.header("content-type")), (400, "application/json".to_owned()), "{query}");
        let expected = format!("{{\"code\":{code},\"message\":\"{message}\"}}");
        assert_eq!(text(answer).await, expected, "{method} {query}");
    }
    session.connect().await;
}

#[tokio::test]
async fn refused_upgrade_is_answered_and_closed() {
    let door = door().start();
    let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (query, message) in [
        ("EIO=4&transport=abc", "Transport unknown"),
        ("EIO=4&transport=polling", "Bad request"),
        ("EIO=4&transport=websocket&sid=abc", "Session ID unknown"),
        ("EIO=3&transport=websocket", "Unsupported protocol version"),
    ] {
        let request = format!("GET /socket.io/?{query} HTTP/1.1\r\nHost: site.test\r\n{headers}\r\n");
        let answer = wire::exchange(door.http(), request).await;
        assert_eq!(wire::status(&answer), 400, "{answer}");
        assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{message}")), "{answer}");
    }
}

#[tokio::test]
async fn the_app_is_asked_for_none_of_it() {
    let app = RawApp::saying("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp").await;
    let door = door().config(app.config()).start();
    for (path, status) in
        [("/socket.io", 400), ("/socket.io/", 400), ("/socket.io/socket.io.js", 404), ("/api/ws/socket.io/", 400)]
    {
        assert_eq!(get(door.http(), path, &[]).await.status, status, "{path}");
    }
    assert_eq!(app.requests(), 0);
    assert_eq!(get(door.http(), "/socket.iox", &[]).await.status, 200);
}

#[tokio::test]
async fn endpoints_have_settings_of_their_own() {
    let app = RawApp::saying("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp").await;
    let config = "[[realtime.socketio]]\npath = \"/one/\"\nping_interval = \"7s\"\nmax_payload = \"10KiB\"\n\
                  [[realtime.socketio]]\npath = [\"/two\", \"/2\"]\ntransports = \"websocket\"\n\
                  [[realtime.socketio]]\npath = \"/three\"\ntransports = [\"polling\"]\n";
    let door = door().config(format!("{}{config}", app.config())).start();
    let one = open_at(&door, "/one/").await;
    assert_eq!((&one.open["pingInterval"], &one.open["maxPayload"]), (&7000.into(), &10_240.into()));
    let unknown = r#"{"code":0,"message":"Transport unknown"}"#;
    assert_eq!(text(get(door.http(), &format!("/two?{OPEN}"), &[]).await).await, unknown);
    connect(&door, "/2/?EIO=4&transport=websocket").await;
    let three = open_at(&door, "/three").await;
    assert_eq!(three.open["upgrades"], serde_json::json!([]));
    assert!(connect_to(door.http(), &three.socket(), &[]).await.is_err());
    three.connect().await;
    // The one that is there by default is not, where others are named.
    assert_eq!(text(get(door.http(), &format!("/socket.io/?{OPEN}"), &[]).await).await, "app");
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let app = RawApp::saying("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp").await;
    let door = door().config(format!("{}[realtime]\nsocketio = []\n", app.config())).start();
    assert_eq!(text(get(door.http(), "/socket.io/", &[]).await).await, "app");
}

#[tokio::test]
async fn a_client_that_nobody_has_a_place_for_is_sent_away() {
    let door = door().config("[realtime]\nmax_connections_per_address = 2\n").start();
    let one = open(&door).await;
    let _two = open(&door).await;
    let answer = get(door.http(), &format!("/socket.io/?{OPEN}"), &[]).await;
    assert_eq!(answer.status, 429);
    assert!(!answer.header("retry-after").is_empty());
    one.say("1").await;
    one.is_gone().await;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while get(door.http(), &format!("/socket.io/?{OPEN}"), &[]).await.status != 200 {
        assert!(std::time::Instant::now() < deadline, "its place is never given back");
    }
}

#[tokio::test]
async fn who_asks_for_the_client_library_is_told_where_it_is() {
    let door = door().start();
    for file in ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.min.js.map"] {
        let answer = get(door.http(), &format!("/socket.io/{file}?x=1"), &[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (404, "text/plain; charset=UTF-8".to_owned()));
        assert!(text(answer).await.contains("socket.io-client"));
    }
}
