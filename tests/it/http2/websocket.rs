//! Promise: a WebSocket opens over HTTP/2 as over HTTP/1.1 (RFC 8441): to the hub, and through a tunnel to the app.

use std::sync::{Arc, Mutex};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::harness::frames::{
    Connection, DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, RST_STREAM, Site, WINDOW_UPDATE, block,
};
use crate::harness::raw::{Asked, RawApp, ok};

/// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 section 3).
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
const CANCEL: u32 = 8;
const NO_ERROR: u32 = 0;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A request for a WebSocket on `path`, with some of its fields replaced or (by an empty value) left out.
fn fields<'a>(path: &'a str, replaced: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "site.test"),
        (":path", path),
        ("origin", "https://site.test"),
        ("sec-websocket-version", "13"),
    ];
    for (name, value) in replaced {
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        }
    }
    fields.retain(|(_, value)| !value.is_empty());
    fields
}

/// A frame as a client must send it; masked with zeros, so that it can be read.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    let mut bytes = vec![0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    bytes.extend_from_slice(payload);
    bytes
}

/// One stream that has become a WebSocket.
struct Socket {
    stream: u32,
    read: Vec<u8>,
    is_over: bool,
}

impl Socket {
    /// Asks for it; panics when it is refused.
    async fn open(connection: &mut Connection, stream: u32, path: &str) -> Socket {
        connection.send(HEADERS, END_HEADERS, stream, &block(&fields(path, &[]))).await;
        assert_eq!(connection.outcome(stream).await, Outcome::Status(200));
        Socket { stream, read: Vec::new(), is_over: false }
    }

    async fn say(&self, connection: &mut Connection, opcode: u8, payload: &[u8]) {
        assert!(connection.send(DATA, 0, self.stream, &frame(opcode, payload)).await);
    }

    /// The next WebSocket frame: its opcode and payload. `None` at the end of the stream.
    async fn hear(&mut self, connection: &mut Connection) -> Option<(u8, Vec<u8>)> {
        loop {
            if let [first, second, ..] = self.read[..] {
                assert_eq!(first & 0xf0, 0x80, "whole, and no extension");
                assert!(second < 126, "not masked, and short");
                let end = 2 + usize::from(second);
                if self.read.len() >= end {
                    let payload = self.read.drain(..end).skip(2).collect();
                    return Some((first & 0x0f, payload));
                }
            }
            if self.is_over {
                return None;
            }
            let (data, is_last) = connection.data(self.stream).await?;
            self.read.extend(data);
            self.is_over = is_last;
        }
    }

    /// The next text. Pings are passed over: a machine that stood still for long may bring one.
    async fn text(&mut self, connection: &mut Connection) -> String {
        loop {
            match self.hear(connection).await {
                Some((TEXT, payload)) => return String::from_utf8(payload).expect("UTF-8"),
                Some((PING, _)) => {}
                other => panic!("instead of a text: {other:?}"),
            }
        }
    }

    /// The code of the close, which is answered; then the stream ends.
    async fn closed(&mut self, connection: &mut Connection) -> u16 {
        loop {
            match self.hear(connection).await {
                Some((CLOSE, payload)) => {
                    self.say(connection, CLOSE, &payload[..2]).await;
                    assert_eq!(self.hear(connection).await, None);
                    return u16::from_be_bytes([payload[0], payload[1]]);
                }
                Some(_) => {}
                None => panic!("ended without a close"),
            }
        }
    }
}

const QUIET: &str = "[realtime.plain]\necho = false\n";

#[tokio::test]
async fn the_door_says_that_it_can() {
    let site = Site::new("");
    let mut connection = site.connect(&[]).await;
    assert!(connection.settings().await.contains(&(ENABLE_CONNECT_PROTOCOL, 1)));
}

#[tokio::test]
async fn a_conversation_from_hello_to_good_bye() {
    let site = Site::new("");
    let mut connection = site.connect(&[]).await;
    let mut socket = Socket::open(&mut connection, 1, "/api/ws").await;
    socket.say(&mut connection, TEXT, b"hello").await;
    assert!(socket.text(&mut connection).await.starts_with("{\"type\":\"echo\",\"data\":\"hello\",\"timestamp\":"));
    assert_eq!(socket.text(&mut connection).await, "{\"type\":\"broadcast\",\"data\":\"hello\"}");
    socket.say(&mut connection, PING, b"there?").await;
    assert_eq!(socket.hear(&mut connection).await, Some((PONG, b"there?".to_vec())));
    socket.say(&mut connection, CLOSE, &[&1000_u16.to_be_bytes()[..], b"bye"].concat()).await;
    assert_eq!(socket.closed(&mut connection).await, 1000);
    let line = site.door.wait_for_log(|line| line["message"] == "socket closed");
    assert_eq!((&line["code"], &line["reason"]), (&1000.into(), &"closed".into()), "{line}");
}

/// As Firefox does it: its half of the stream is never ended, whoever closes.
#[tokio::test]
async fn stream_ends_once_both_closed_and_the_door_ended_its_half() {
    let config = "[http]\nh2_max_live_streams = 1\n[realtime.websocket]\nclose_timeout = \"10m\"\n\
         [[realtime.channel]]\nmatch = \"room\"\npresence = \"all\"\npresence_grace = \"0s\"\n[realtime.plain]\necho = false\n";
    let site = Site::new(config);
    let mut witnessing = site.connect(&[]).await;
    let mut witness = Socket::open(&mut witnessing, 1, "/api/ws/room").await;
    assert!(witness.text(&mut witnessing).await.contains("presence"));
    let mut connection = site.connect(&[]).await;
    for stream in [1, 3, 5, 7] {
        // There is one place: the stream before has to be gone.
        let mut socket = Socket::open(&mut connection, stream, "/api/ws/room").await;
        assert!(witness.text(&mut witnessing).await.contains("\"join\""));
        if stream == 7 {
            // The door closes, for what the client does wrong.
            socket.say(&mut connection, 2, b"bytes").await;
            assert_eq!(socket.closed(&mut connection).await, 1003);
        } else {
            socket.say(&mut connection, CLOSE, &1000_u16.to_be_bytes()).await;
            while let Some((opcode, _)) = socket.hear(&mut connection).await {
                assert!(matches!(opcode, TEXT | CLOSE));
            }
        }
        assert!(socket.is_over, "by the end of the stream, not by a reset");
        assert!(witness.text(&mut witnessing).await.contains("\"leave\""));
        assert_eq!(connection.reset(stream).await, NO_ERROR);
    }
}

#[tokio::test]
async fn frames_need_not_end_where_data_do() {
    let site = Site::new(QUIET);
    let mut connection = site.connect(&[]).await;
    let mut socket = Socket::open(&mut connection, 1, "/api/ws").await;
    for byte in frame(TEXT, "byte by byte ä".as_bytes()) {
        connection.send(DATA, 0, 1, &[byte]).await;
    }
    assert_eq!(socket.text(&mut connection).await, "{\"type\":\"broadcast\",\"data\":\"byte by byte ä\"}");
    connection.send(DATA, 0, 1, &[frame(TEXT, b"one"), frame(TEXT, b"two")].concat()).await;
    assert_eq!(socket.text(&mut connection).await, "{\"type\":\"broadcast\",\"data\":\"one\"}");
    assert_eq!(socket.text(&mut connection).await, "{\"type\":\"broadcast\",\"data\":\"two\"}");
}

#[tokio::test]
async fn sockets_and_requests_share_one_http_2_connection() {
    let app = RawApp::saying(ok("page")).await;
    let site = Site::new(&(app.config() + QUIET));
    let mut connection = site.connect(&[(1, 0)]).await;
    let mut first = Socket::open(&mut connection, 1, "/api/ws/room").await;
    let mut second = Socket::open(&mut connection, 3, "//api/%77s/room").await;
    connection.request(5, crate::harness::frames::GET).await;
    assert_eq!(connection.outcome(5).await, Outcome::Status(200));
    let mut elsewhere = site.connect(&[]).await;
    let mut third = Socket::open(&mut elsewhere, 1, "/api/ws/room").await;
    third.say(&mut elsewhere, TEXT, b"to all").await;
    assert!(third.text(&mut elsewhere).await.contains("to all"));
    assert!(first.text(&mut connection).await.contains("to all"));
    assert!(second.text(&mut connection).await.contains("to all"));
}

#[tokio::test]
async fn live_streams_have_a_limit_of_their_own() {
    let app = RawApp::saying(ok("page")).await;
    let limits = "[http]\nh2_max_streams = 2\nh2_max_live_streams = 3\n";
    let site = Site::new(&(app.config() + limits + QUIET));
    let mut connection = site.connect(&[(1, 0)]).await;
    let mut first = Socket::open(&mut connection, 1, "/api/ws/room").await;
    Socket::open(&mut connection, 3, "/socket.io/?EIO=4&transport=websocket").await;
    let events = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "site.test"),
        (":path", "/api/ws/room"),
        ("accept", "text/event-stream"),
    ];
    connection.request(5, &events).await;
    assert_eq!(connection.outcome(5).await, Outcome::Status(200));
    // One more of either is told so, and a page still loads.
    connection.send(HEADERS, END_HEADERS, 7, &block(&fields("/api/ws", &[]))).await;
    assert_eq!(connection.outcome(7).await, Outcome::Status(429));
    connection.request(9, &events).await;
    assert_eq!(connection.outcome(9).await, Outcome::Status(429));
    connection.request(11, crate::harness::frames::GET).await;
    assert_eq!(connection.outcome(11).await, Outcome::Status(200));
    let refused = "realtime_turned_away_total{reason=\"streams\"}";
    assert_eq!(site.door.metric(refused).await, 2.0);
    // Another connection has places of its own; and one is given back.
    let mut elsewhere = site.connect(&[]).await;
    Socket::open(&mut elsewhere, 1, "/api/ws/room").await;
    first.say(&mut connection, CLOSE, &1000_u16.to_be_bytes()).await;
    while first.hear(&mut connection).await.is_some() {}
    site.door.wait_for_metric("hub_connections", 3.0).await;
    Socket::open(&mut connection, 13, "/api/ws/room").await;
}

#[tokio::test]
async fn a_reset_stream_is_a_client_that_left() {
    let site = Site::new(QUIET);
    let mut connection = site.connect(&[]).await;
    let mut stays = Socket::open(&mut connection, 1, "/api/ws").await;
    Socket::open(&mut connection, 3, "/api/ws").await;
    site.door.wait_for_metric("hub_connections", 2.0).await;
    connection.send(RST_STREAM, 0, 3, &CANCEL.to_be_bytes()).await;
    site.door.wait_for_metric("hub_connections", 1.0).await;
    stays.say(&mut connection, TEXT, b"still here").await;
    assert!(stays.text(&mut connection).await.contains("still here"));
    // And one whose client says no more, without a close.
    connection.send(DATA, END_STREAM, 1, &[]).await;
    site.door.wait_for_metric("hub_connections", 0.0).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_sent_no_more_than_its_window() {
    const WINDOW: u32 = 100;
    let site = Site::new("[realtime.plain]\nbroadcast = \"off\"\n");
    // SETTINGS_INITIAL_WINDOW_SIZE
    let mut connection = site.connect(&[(4, WINDOW)]).await;
    let mut socket = Socket::open(&mut connection, 1, "/api/ws").await;
    for _ in 0..10 {
        socket.say(&mut connection, TEXT, b"0123456789").await;
    }
    while socket.read.len() < WINDOW as usize {
        let (data, _) = connection.data(1).await.expect("data");
        socket.read.extend(data);
    }
    assert_eq!(socket.read.len(), WINDOW as usize);
    connection.send(WINDOW_UPDATE, 0, 1, &10_000_u32.to_be_bytes()).await;
    for _ in 0..10 {
        assert!(socket.text(&mut connection).await.contains("0123456789"));
    }
}

#[tokio::test]
async fn what_is_no_right_request_is_refused() {
    let app = RawApp::saying(ok("heard")).await;
    let site = Site::new(&(app.config() + "tunnel = [\"/socket\"]\n"));
    let mut connection = site.connect(&[(1, 0)]).await;
    type Fields = &'static [(&'static str, &'static str)];
    let cases: &[(&str, Fields, u16)] = &[
        ("/api/ws", &[("sec-websocket-version", "8")], 400),
        ("/api/ws", &[("sec-websocket-version", "")], 400),
        ("/api/ws", &[("origin", "https://evil.test")], 403),
        ("/api/ws", &[(":protocol", "telnet")], 501),
        ("/", &[(":protocol", "connect-udp")], 501),
        ("/socket", &[(":protocol", "h2c")], 501),
        ("/socket", &[(":protocol", "webtransport")], 501),
        ("/nowhere", &[], 404),
        ("/api/ws/a/b", &[], 404),
    ];
    for (number, (path, replaced, status)) in cases.iter().enumerate() {
        let stream = 2 * number as u32 + 1;
        connection.send(HEADERS, END_HEADERS, stream, &block(&fields(path, replaced))).await;
        assert_eq!(connection.outcome(stream).await, Outcome::Status(*status), "{path} {replaced:?}");
    }
    // CONNECT as it was before RFC 8441 has neither scheme nor path.
    connection.request(101, &[(":method", "CONNECT"), (":authority", "site.test:443")]).await;
    let outcome = connection.outcome(101).await;
    assert!(matches!(outcome, Outcome::Status(400 | 405) | Outcome::Reset(_)), "{outcome}");
    assert_eq!(app.requests(), 0, "the app heard something");
}

#[tokio::test]
async fn wrong_frames_close_the_socket_and_not_the_connection() {
    let site = Site::new(QUIET);
    let mut connection = site.connect(&[]).await;
    let unmasked = [&[0x81, 2][..], b"hi"].concat();
    let wrong: &[(&[u8], u16)] =
        &[(&unmasked, 1002), (&[0x83, 0x80, 0, 0, 0, 0], 1002), (&frame(TEXT, b"\xff"), 1007), (&frame(2, b"x"), 1003)];
    for (number, (bytes, code)) in wrong.iter().enumerate() {
        let stream = 2 * number as u32 + 1;
        let mut socket = Socket::open(&mut connection, stream, "/api/ws").await;
        connection.send(DATA, 0, stream, bytes).await;
        assert_eq!(socket.closed(&mut connection).await, *code, "{bytes:?}");
    }
    let mut socket = Socket::open(&mut connection, 101, "/api/ws").await;
    socket.say(&mut connection, TEXT, b"fine").await;
    assert!(socket.text(&mut connection).await.contains("fine"));
}

#[tokio::test]
async fn a_drain_closes_it_as_any_other() {
    let mut site = Site::new(QUIET);
    let mut connection = site.connect(&[]).await;
    let mut socket = Socket::open(&mut connection, 1, "/api/ws").await;
    site.door.signal("TERM");
    assert_eq!(socket.closed(&mut connection).await, 1001);
    assert_eq!(connection.end().await, Some(0));
    assert!(site.door.wait().success());
}

/// An app with a WebSocket of its own, which says everything back as it came; and the heads it got.
async fn shouting() -> (RawApp, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    let app = RawApp::start(move |mut asked: Asked| {
        kept.lock().unwrap().push(asked.head.clone());
        async move {
            let mut key = asked.header("sec-websocket-key");
            match asked.target() {
                "/socket/refused" => {
                    asked.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
                    return Some(asked);
                }
                "/socket/lying" => key.push('x'),
                _ => {}
            }
            let accept = derive_accept_key(key.as_bytes());
            let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                          Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: ";
            asked.send(format!("{switch}{accept}\r\n\r\nwelcome")).await;
            loop {
                let word = asked.body(4).await;
                if word.len() < 4 || word == b"quit" {
                    return None;
                }
                asked.send(word.to_ascii_uppercase()).await;
            }
        }
    })
    .await;
    (app, heads)
}

/// Reads `length` bytes of a stream.
async fn bytes(connection: &mut Connection, stream: u32, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        bytes.extend(connection.data(stream).await.expect("the stream goes on").0);
    }
    bytes
}

#[tokio::test]
async fn a_tunnel_carries_it_to_the_app_in_the_words_of_http1() {
    let (app, heads) = shouting().await;
    let site = Site::new(&(app.config() + "tunnel = [\"/socket/*\"]\n"));
    let mut connection = site.connect(&[(1, 0)]).await;
    let forged =
        [("sec-websocket-protocol", "chat"), ("x-forwarded-host", "evil.test"), ("x-middleware-subrequest", "a")];
    connection.send(HEADERS, END_HEADERS, 1, &block(&fields("/socket/a?b=c", &forged))).await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(200));
    assert_eq!(bytes(&mut connection, 1, 7).await, b"welcome");
    connection.send(DATA, 0, 1, b"helloyou").await;
    assert_eq!(bytes(&mut connection, 1, 8).await, b"HELLOYOU");
    connection.send(DATA, 0, 1, b"quit").await;
    // The app has closed its side: so does the stream.
    while let Some((data, is_last)) = connection.data(1).await {
        assert!(data.is_empty());
        if is_last {
            break;
        }
    }
    // Browsers leave their half open for ever: the stream is over all the same, and its place free.
    assert_eq!(connection.reset(1).await, NO_ERROR);
    site.door.wait_for_metric("upstream_tunnels", 0.0).await;

    let head = heads.lock().unwrap().pop().expect("the app was asked").to_lowercase();
    assert!(head.starts_with("get /socket/a?b=c http/1.1\r\nhost: site.test\r\n"), "{head}");
    for line in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-protocol: chat",
        "origin: https://site.test",
        "x-forwarded-proto: https",
        "x-forwarded-host: site.test",
    ] {
        assert_eq!(head.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {head}");
    }
    assert_eq!(head.matches("sec-websocket-key: ").count(), 1, "{head}");
    assert!(!head.contains(":protocol") && !head.contains("evil") && !head.contains("x-middleware"), "{head}");
}

#[tokio::test]
async fn tunnel_passes_refusals_on_and_trusts_no_wrong_answer() {
    let (app, _) = shouting().await;
    let site = Site::new(&(app.config() + "tunnel = [\"/socket/*\"]\n"));
    let mut connection = site.connect(&[(1, 0)]).await;
    for (stream, path, status) in [(1, "/socket/refused", 403), (3, "/socket/lying", 502), (5, "/elsewhere", 404)] {
        connection.send(HEADERS, END_HEADERS, stream, &block(&fields(path, &[]))).await;
        assert_eq!(connection.outcome(stream).await, Outcome::Status(status), "{path}");
    }
}

#[tokio::test]
async fn a_client_that_resets_its_tunnel_leaves_the_app_too() {
    let (app, _) = shouting().await;
    let site = Site::new(&(app.config() + "tunnel = [\"/socket/*\"]\n"));
    let mut connection = site.connect(&[]).await;
    connection.send(HEADERS, END_HEADERS, 1, &block(&fields("/socket/a", &[]))).await;
    assert_eq!(connection.outcome(1).await, Outcome::Status(200));
    site.door.wait_for_metric("upstream_tunnels", 1.0).await;
    connection.send(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()).await;
    site.door.wait_for_metric("upstream_tunnels", 0.0).await;
}
