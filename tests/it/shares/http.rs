//! Promise: one address cannot take all of anything that is bounded: while it fills what it can, another is served.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::harness::certificate::Authority;
use crate::harness::raw::{RawApp, eventually, ok};
use crate::harness::secure::{self, Client};
use crate::harness::{App, Door, PATIENCE, client, door, wire};

const GREEDY: [u8; 4] = [127, 0, 0, 2];

/// A connection from another address than the others'.
async fn from(source: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((IpAddr::from(source), 0))).unwrap();
    timeout(PATIENCE, socket.connect(address)).await.expect("a connection in time").unwrap()
}

/// A connection from the greedy address, on which `bytes` were sent.
async fn greedy(address: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = from(GREEDY, address).await;
    stream.write_all(bytes.as_ref()).await.unwrap();
    stream
}

async fn at_least(door: &Door, metric: &str, least: f64) {
    let deadline = Instant::now() + PATIENCE;
    while door.metric(metric).await < least {
        assert!(Instant::now() < deadline, "{metric} never came to {least}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: site.test\r\n\r\n")
}

/// The beginning of what comes; empty at the end of the connection.
async fn beginning(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 1024];
    let read = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("something in time").unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

struct Secure {
    door: Door,
    authority: Authority,
    _app: App,
}

async fn secure_site(tls: &str) -> Secure {
    let app = App::saying("hello").await;
    let authority = Authority::new();
    let builder = door();
    let files = authority.issue(&["site.test"]).write(builder.folder(), "site");
    let config = format!(
        "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\nhandshake_timeout = \"10m\"\n{tls}\n{}{}",
        files.keys(),
        app.config()
    );
    Secure { door: builder.config(config).start(), authority, _app: app }
}

impl Secure {
    async fn is_served(&self) {
        let mut stream = Client::new(&self.authority).connect(self.door.https(), "site.test").await;
        assert!(secure::get(&mut stream, "site.test").await.contains("hello"));
    }
}

#[tokio::test]
async fn whoever_begins_a_handshake_and_does_not_go_on_takes_no_slot() {
    let site = secure_site("max_handshakes = 4").await;
    let hello = secure::hello();
    let mut halting = Vec::new();
    for end in [1, 3, 5, 6, 20, hello.len() - 1].into_iter().cycle().take(24) {
        halting.push(greedy(site.door.https(), &hello[..end]).await);
    }
    site.door.wait_for_metric("connections_open", 24.0).await;
    site.is_served().await;
    assert_eq!(site.door.metric("tls_handshakes_under_way").await, 0.0);
    // Whose first message does come whole, late and in many records, is served.
    let record = |piece: &[u8]| [&[22, 3, 1][..], &u16::try_from(piece.len()).unwrap().to_be_bytes(), piece].concat();
    let mut slow = from(GREEDY, site.door.https()).await;
    for piece in hello[5..].chunks(50) {
        for half in record(piece).chunks(30) {
            slow.write_all(half).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
    site.door.wait_for_metric("tls_handshakes_under_way", 1.0).await;
    assert!(beginning(&mut slow).await.starts_with('\u{16}'), "the door answers with its own hello");
}

#[tokio::test]
async fn one_address_holds_no_more_than_its_share_of_the_handshakes() {
    let site = secure_site("max_handshakes = 4").await;
    let mut stalled = Vec::new();
    for _ in 0..12 {
        stalled.push(greedy(site.door.https(), secure::hello()).await);
    }
    site.door.wait_for_metric("connections_open", 12.0).await;
    at_least(&site.door, "tls_handshakes_under_way", 2.0).await;
    site.is_served().await;
    assert_eq!(site.door.metric("tls_handshakes_under_way").await, 2.0);
    // Those who wait are served when their own leave.
    stalled.drain(..11);
    site.door.wait_for_metric("tls_handshakes_under_way", 1.0).await;
    assert!(beginning(&mut stalled[0]).await.starts_with('\u{16}'));
}

/// An app with so many connections, whose every answer waits for a whole body.
async fn reading_app(limits: &str) -> (RawApp, Door) {
    let app = RawApp::start(|mut asked| async move {
        let length = asked.header("content-length").parse().unwrap_or(0);
        if asked.body(length).await.len() < length {
            return None;
        }
        asked.send(if asked.target() == "/long" { ok(&"long".repeat(4 << 20)) } else { ok("hello") }).await;
        Some(asked)
    })
    .await;
    let door = door().config(format!("{}{limits}\n", app.config())).start();
    (app, door)
}

#[tokio::test]
async fn slow_uploads_of_one_address_leave_connections_to_the_app() {
    let (app, door) = reading_app("connections = 4").await;
    let mut uploads = Vec::new();
    for _ in 0..12 {
        let head = "POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 1000\r\n\r\nbegun";
        uploads.push(greedy(door.http(), head).await);
    }
    eventually("they reach the app", || app.requests() >= 2).await;
    at_least(&door, "upstream_waits_total", 1.0).await;
    assert_eq!(client::get(door.http(), "/", &[]).await.status, 200);
    // And its own come to an end one by one.
    let mut answered = 0;
    for upload in &mut uploads {
        upload.write_all(&[b'x'; 995]).await.unwrap();
    }
    for upload in &mut uploads {
        answered += usize::from(wire::status(&beginning(upload).await) == 200);
    }
    assert_eq!(answered, uploads.len());
}

#[tokio::test]
async fn slow_readers_of_one_address_leave_connections_to_the_app() {
    let (app, door) = reading_app("connections = 4").await;
    let mut readers = Vec::new();
    for _ in 0..12 {
        readers.push(greedy(door.http(), get("/long")).await);
    }
    eventually("they reach the app", || app.requests() >= 2).await;
    at_least(&door, "upstream_waits_total", 1.0).await;
    assert_eq!(client::get(door.http(), "/", &[]).await.status, 200);
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_have_shares_of_their_own() {
    let (_app, door) = reading_app("connections = 4\n[listen]\ntrusted_proxies = \"127.0.0.0/8\"").await;
    let mut uploads = Vec::new();
    for number in 0..12 {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: site.test\r\nX-Forwarded-For: 2001:db8::{number}\r\nContent-Length: 9\r\n\r\n"
        );
        uploads.push(greedy(door.http(), head).await);
    }
    at_least(&door, "upstream_waits_total", 1.0).await;
    let headers = [("x-forwarded-for", "2001:db8:0:1::1")];
    assert_eq!(client::get(door.http(), "/", &headers).await.status, 200);
}

#[tokio::test]
async fn one_address_leaves_connection_waiting_places() {
    let (app, door) = reading_app("connections = 1\nwait_limit = 4\nwait_timeout = \"10m\"").await;
    let mut held = greedy(door.http(), "POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 4\r\n\r\n").await;
    eventually("it reaches the app", || app.requests() == 1).await;
    let waiting = crowd(&door).await;
    let address = door.http();
    let other = tokio::spawn(async move { client::get(address, "/", &[]).await.status });
    at_least(&door, "upstream_waiting", 3.0).await;
    held.write_all(b"whole").await.unwrap();
    assert_eq!(other.await.unwrap(), 200);
    drop(waiting);
}

#[tokio::test]
async fn one_address_leaves_places_among_those_who_wait_for_the_app() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let app = socket.local_addr().unwrap();
    let config = format!("[app]\nurl = \"http://{app}\"\nwait_limit = 4\nwait_timeout = \"10m\"\n");
    let door = door().config(config).start();
    let waiting = crowd(&door).await;
    let address = door.http();
    let other = tokio::spawn(async move { client::get(address, "/", &[]).await.status });
    at_least(&door, "upstream_waiting", 3.0).await;
    let _app = RawApp::on(socket.listen(64).unwrap(), |mut asked| async move {
        asked.send(ok("hello")).await;
        Some(asked)
    });
    assert_eq!(other.await.unwrap(), 200);
    drop(waiting);
}

/// Eight requests of the greedy address, of which four at the least find no place to wait in.
async fn crowd(door: &Door) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(greedy(door.http(), get("/")).await);
    }
    at_least(door, "upstream_failures_total{kind=\"overload\"}", 4.0).await;
    waiting
}

#[tokio::test]
async fn one_address_leaves_tunnels() {
    let app = RawApp::start(|mut asked| async move {
        let accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        asked.send(accepted).await;
        asked.closed().await;
        None
    })
    .await;
    let door = door().config(format!("{}tunnel = [\"/socket\"]\ntunnel_limit = 4\n", app.config())).start();
    let upgrade = "GET /socket HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut statuses = Vec::new();
    let mut open = Vec::new();
    for _ in 0..6 {
        let mut stream = greedy(door.http(), upgrade).await;
        statuses.push(wire::status(&beginning(&mut stream).await));
        open.push(stream);
    }
    let mut other = TcpStream::connect(door.http()).await.unwrap();
    other.write_all(upgrade.as_bytes()).await.unwrap();
    assert_eq!(wire::status(&beginning(&mut other).await), 101);
    assert_eq!(statuses, [101, 101, 503, 503, 503, 503]);
}

#[tokio::test]
async fn few_addresses_leave_connections() {
    let app = App::saying("hello").await;
    let door = door().config(format!("[listen]\nmax_connections = 8\n{}", app.config())).start();
    let mut open = Vec::new();
    let mut served = Vec::new();
    for source in [GREEDY, [127, 0, 0, 3]] {
        let mut count = 0;
        for _ in 0..7 {
            let mut stream = from(source, door.http()).await;
            let asked = stream.write_all(get("/").as_bytes()).await;
            if asked.is_ok() && !beginning(&mut stream).await.is_empty() {
                count += 1;
                open.push(stream);
            }
        }
        served.push(count);
    }
    assert_eq!(client::get(door.http(), "/", &[]).await.status, 200);
    assert_eq!(served, [6, 1]);
}
