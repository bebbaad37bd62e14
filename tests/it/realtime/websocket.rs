//! Promise: on the wire it is RFC 6455 to the letter, and each client hears why it is closed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::socket::connect_to;
use crate::harness::{Door, PATIENCE, door, wire};

const REQUEST: &str = "GET /api/ws HTTP/1.1\r\nHost: site.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// A socket of raw bytes, and the head of the answer that opened it.
async fn open(door: &Door, headers: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(door.http()).await.expect("a connection");
    stream.write_all(format!("{REQUEST}Origin: http://site.test\r\n{headers}\r\n").as_bytes()).await.expect("written");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time").expect("an answer"));
    }
    (stream, String::from_utf8(head).expect("a head"))
}

/// A frame as a client sends it, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a short frame");
    let mut frame = if length < 126 { vec![first, 0x80 | length as u8] } else { vec![first, 0xfe] };
    if length >= 126 {
        frame.extend_from_slice(&length.to_be_bytes());
    }
    [&frame[..], &[0; 4], payload].concat()
}

/// The code of the close frame that is all the door says to `bytes`, before it closes.
async fn closed_with(door: &Door, headers: &str, bytes: &[u8]) -> u16 {
    let (mut stream, _) = open(door, headers).await;
    stream.write_all(bytes).await.expect("written");
    let mut heard = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("an end in time").expect("no reset");
    assert_eq!(heard.first(), Some(&0x88), "{heard:x?}");
    u16::from_be_bytes([heard[2], heard[3]])
}

#[tokio::test]
async fn what_a_client_does_wrong_closes_it_with_the_code_for_it() {
    let config = "[realtime.websocket]\nmax_message = 1000\nmax_frame = 600\n";
    let door = door().config(config).start();
    let long = [frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 401])].concat();
    for (bytes, code) in [
        (vec![0x81, 0x01, b'x'], 1002),
        (frame(0xc1, b"x"), 1002),
        (frame(0x83, b"x"), 1002),
        (frame(0x80, b"x"), 1002),
        (frame(0x09, b""), 1002),
        (frame(0x88, b"\x03"), 1002),
        (frame(0x88, &1005_u16.to_be_bytes()), 1002),
        (frame(0x88, &4321_u16.to_be_bytes()), 4321),
        (frame(0x82, b"binary to those who speak text"), 1003),
        (frame(0x81, b"\xc0\xaf"), 1007),
        (frame(0x01, b"never ended \xff"), 1007),
        (frame(0x81, &[b'x'; 601]), 1009),
        (long, 1009),
    ] {
        assert_eq!(closed_with(&door, "", &bytes).await, code, "{:x?}", &bytes[..bytes.len().min(20)]);
    }
}

#[tokio::test]
async fn fragments_and_pings_between_them_are_one_message() {
    let door = door().config("[realtime.plain]\necho = false\n").start();
    let (mut stream, head) = open(&door, "").await;
    assert!(head.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    let bytes = [frame(0x01, b"Hel"), frame(0x89, b"there?"), frame(0x00, b""), frame(0x80, b"lo")].concat();
    stream.write_all(&bytes).await.expect("written");
    let expected = [&b"\x8a\x06there?"[..], b"\x81\x23{\"type\":\"broadcast\",\"data\":\"Hello\"}"].concat();
    let mut heard = vec![0; expected.len()];
    timeout(PATIENCE, stream.read_exact(&mut heard)).await.expect("in time").expect("heard");
    assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(&expected));
}

#[tokio::test]
async fn compression_is_opt_in_and_bombs_are_too_big() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let plain = door().start();
    let (_, head) = open(&plain, offer).await;
    assert!(!head.to_lowercase().contains("sec-websocket-extensions"), "{head}");
    let door = door().config("[realtime.websocket]\ndeflate = true\nmax_message = \"64KiB\"\n").start();
    let (_, head) = open(&door, offer).await;
    assert!(head.contains("permessage-deflate; server_no_context_takeover; client_no_context_takeover"), "{head}");
    let mut bomb = Vec::with_capacity(1 << 20);
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    compress.compress_vec(&vec![b'x'; 10 << 20], &mut bomb, flate2::FlushCompress::Sync).expect("compressed");
    assert_eq!(closed_with(&door, offer, &frame(0xc1, &bomb[..bomb.len() - 4])).await, 1009);
    assert_eq!(closed_with(&door, offer, &frame(0xc1, b"\xff\xff\xff")).await, 1007);
}

#[tokio::test]
async fn wrong_handshakes_get_the_status_of_the_rfcs() {
    let door = door().start();
    for (from, to, status) in [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Version: 13", "X: y", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", 400),
        // Without `Connection: Upgrade` the offer is none, and what is left is a plain GET.
        ("Connection: Upgrade", "Connection: close", 426),
        ("GET", "POST", 405),
    ] {
        let request = REQUEST.replace(from, to) + "Origin: http://site.test\r\n\r\n";
        let mut stream = TcpStream::connect(door.http()).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time").expect("an answer"));
        }
        let head = String::from_utf8(head).expect("a head").to_lowercase();
        assert_eq!(wire::status(&head), status, "{to}: {head}");
        let tells_version = status == 426 || to == "X: y";
        assert_eq!(head.contains("sec-websocket-version: 13"), tells_version, "{head}");
    }
}

#[tokio::test]
async fn the_protocol_agreed_to_is_not_the_one_with_a_token() {
    let door = door().start();
    for (offered, agreed) in [
        ("doorway, bearer.a.b.c", "doorway"),
        ("bearer.a.b.c, doorway", "doorway"),
        ("v2, v1", "v2"),
        // A browser closes a socket for which none of those that it offered is chosen.
        ("bearer.a.b.c", "bearer.a.b.c"),
    ] {
        // Where no tokens are in use, this one is the app's own.
        let headers = format!("Sec-WebSocket-Protocol: {offered}\r\n");
        let (_, head) = open(&door, &headers).await;
        assert_eq!(wire::status(&head), 101, "{head}");
        assert!(
            head.to_lowercase().contains(&format!("\r\nsec-websocket-protocol: {agreed}\r\n")),
            "{offered}: {head}"
        );
    }
    let bearer = [("authorization", "Bearer a.b.c")];
    connect_to(door.http(), "/api/ws", &bearer).await.expect("it is let in").is_quiet().await;
}
