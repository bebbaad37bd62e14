//! Promise: trusted proxies, and nobody else, say by the PROXY protocol who the client is.
//!
//! Who the door thinks it is shows in the limit per address: one connection a client.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::certificate::Authority;
use crate::harness::{App, Door, PATIENCE, door, secure};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 198.51.100.1 5000 443\r\n").into_bytes()
}

/// Version 2, over TCP and IPv4, with TLVs behind the addresses.
fn v2(client: Ipv4Addr, tlvs: &[u8]) -> Vec<u8> {
    let length = u16::try_from(12 + tlvs.len()).unwrap().to_be_bytes();
    [SIGNATURE, b"\x21\x11", &length, &client.octets(), &[198, 51, 100, 1], &[0x13, 0x88, 1, 0xbb], tlvs].concat()
}

struct House {
    door: Door,
    _app: App,
}

/// `trusted` is "127.0.0.1" or something that no test comes from.
async fn house(mode: &str, trusted: &str) -> House {
    let app = App::saying("hello").await;
    let config = format!(
        "[listen]\nproxy_protocol = \"{mode}\"\ntrusted_proxies = \"{trusted}\"\nmax_connections_per_address = 1\n\
         proxy_protocol_timeout = \"1s\"\n{}",
        app.config()
    );
    House { door: door().config(config).start(), _app: app }
}

impl House {
    /// Sends `bytes` and a request; gives the connection and what came back: an answer, or nothing.
    async fn come(&self, bytes: &[u8]) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.door.http()).await.unwrap();
        let _ = stream.write_all(&[bytes, REQUEST].concat()).await;
        let answer = answer(&mut stream).await;
        (stream, answer)
    }

    async fn refused(&self, reason: &str) -> f64 {
        self.door.metric(&format!("connections_refused_total{{reason=\"{reason}\"}}")).await
    }
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let mut piece = [0; 1024];
        match timeout(PATIENCE, stream.read(&mut piece)).await.expect("an answer or an end in time") {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
        }
        if answer.ends_with(b"hello") {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn both_versions_name_the_client() {
    let house = house("require", "127.0.0.1").await;
    let one = Ipv4Addr::new(192, 0, 2, 1);
    let forms = [
        v1("192.0.2.1"),
        v2(one, b""),
        v2(one, b"\x04\0\x02\0\0"),
        v2(one, &[vec![4, 0x40, 0], vec![0; 0x4000]].concat()),
    ];
    for form in forms {
        let (open, first) = house.come(&form).await;
        assert!(first.contains("hello"), "{form:?}: {first}");
        let (_, same) = house.come(&v1("192.0.2.1")).await;
        assert_eq!(same, "", "{form:?}: it was not 192.0.2.1");
        let (_, other) = house.come(&v1("192.0.2.2")).await;
        assert!(other.contains("hello"), "{form:?}: {other}");
        drop(open);
        house.door.wait_for_metric("connections_open", 0.0).await;
    }
    assert_eq!(house.refused("address_full").await, 4.0);
}

#[tokio::test]
async fn a_proxy_may_speak_for_itself() {
    let house = house("require", "127.0.0.1").await;
    let mut open = Vec::new();
    for form in [b"PROXY UNKNOWN\r\n".to_vec(), [SIGNATURE, b"\x20\0\0\0"].concat()] {
        for _ in 0..2 {
            let (stream, answer) = house.come(&form).await;
            assert!(answer.contains("hello"), "{form:?}: {answer}");
            open.push(stream);
        }
    }
}

#[tokio::test]
async fn a_header_may_come_in_pieces() {
    let house = house("accept", "127.0.0.1").await;
    for header in [v1("192.0.2.7"), v2(Ipv4Addr::new(192, 0, 2, 7), b"\x04\0\x01\0")] {
        let mut stream = TcpStream::connect(house.door.http()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in &header {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        stream.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut stream).await.contains("hello"));
        let (_, same) = house.come(&v1("192.0.2.7")).await;
        assert_eq!(same, "");
        drop(stream);
        house.door.wait_for_metric("connections_open", 0.0).await;
    }
}

#[tokio::test]
async fn malformed_headers_are_closed_and_counted() {
    let house = house("require", "127.0.0.1").await;
    let bad: &[&[u8]] = &[
        b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 99999\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 5000 443\r\n",
        b"PROXY TCP5 192.0.2.1 198.51.100.1 5000 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443 \r\n",
        &[b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat(),
        &[SIGNATURE, b"\x31\x11\0\x0c0123456789ab"].concat(),
        &[SIGNATURE, b"\x21\x11\0\x02ab"].concat(),
        &[SIGNATURE, b"\x21\x41\0\x0c0123456789ab"].concat(),
    ];
    for header in bad {
        let (_, answer) = house.come(header).await;
        assert_eq!(answer, "", "{}", String::from_utf8_lossy(header));
    }
    assert_eq!(house.refused("proxy_header_malformed").await, bad.len() as f64);
}

#[tokio::test]
async fn where_it_is_required_there_is_no_way_around_it() {
    let house = house("require", "127.0.0.1").await;
    let (_, answer) = house.come(b"").await;
    assert_eq!(answer, "");
    assert_eq!(house.refused("proxy_header_missing").await, 1.0);
}

#[tokio::test]
async fn where_it_is_accepted_it_may_be_missing() {
    let house = house("accept", "127.0.0.1").await;
    let (_, answer) = house.come(b"").await;
    assert!(answer.contains("hello"), "{answer}");
    // Begins as a header does, and is none.
    let mut stream = TcpStream::connect(house.door.http()).await.unwrap();
    stream.write_all(b"P").await.unwrap();
    tokio::task::yield_now().await;
    stream.write_all(b"OST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert!(self::answer(&mut stream).await.contains("hello"));
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let house = house("accept", "192.0.2.99").await;
    let (_open, first) = house.come(b"").await;
    assert!(first.contains("hello"), "{first}");
    // Still 127.0.0.1, which has its one connection, whatever it says.
    let (_, second) = house.come(&v1("192.0.2.1")).await;
    assert_eq!(second, "");
    assert_eq!(house.refused("address_full").await, 1.0);
    drop(_open);
    house.door.wait_for_metric("connections_open", 0.0).await;
    // And what it says is a request line that means nothing.
    let mut stream = TcpStream::connect(house.door.http()).await.unwrap();
    stream.write_all(&[&v1("192.0.2.1"), REQUEST].concat()).await.unwrap();
    let answer = answer(&mut stream).await;
    assert!(!answer.contains("hello"), "{answer}");
}

#[tokio::test]
async fn where_it_is_required_only_trusted_proxies_may_come() {
    let house = house("require", "192.0.2.99").await;
    for bytes in [b"".to_vec(), v1("192.0.2.1")] {
        let (_, answer) = house.come(&bytes).await;
        assert_eq!(answer, "");
    }
    assert_eq!(house.refused("untrusted").await, 2.0);
}

#[tokio::test]
async fn a_header_that_never_ends_is_given_up() {
    let house = house("require", "127.0.0.1").await;
    for beginning in [b"".as_slice(), b"PROXY TCP4 192.0.2.1", &SIGNATURE[..5]] {
        let mut stream = TcpStream::connect(house.door.http()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        assert_eq!(answer(&mut stream).await, "");
    }
    assert_eq!(house.refused("proxy_header_timeout").await, 3.0);
    // Half a header and an end is no reason to wait.
    let mut stream = TcpStream::connect(house.door.http()).await.unwrap();
    stream.write_all(b"PROXY").await.unwrap();
    stream.shutdown().await.unwrap();
    house.door.wait_for_metric("connections_refused_total{reason=\"proxy_header_broken\"}", 1.0).await;
}

#[tokio::test]
async fn it_comes_before_the_handshake() {
    let app = App::saying("hello").await;
    let authority = Authority::new();
    let builder = door();
    let files = authority.issue(&["site.test"]).write(builder.folder(), "site");
    let listen = "[listen]\nhttps = \"127.0.0.1:0\"\nproxy_protocol = \"require\"\ntrusted_proxies = \"127.0.0.1\"\nmax_connections_per_address = 1";
    let door = builder.config(format!("{listen}\n[tls]\n{}{}", files.keys(), app.config())).start();
    let connect = async |address: SocketAddr, header: Vec<u8>| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&header).await.unwrap();
        secure::Client::new(&authority).over(stream, "site.test").await
    };
    let mut stream = connect(door.https(), v2(Ipv4Addr::new(192, 0, 2, 1), b"\x20\0\x01\0")).await.unwrap();
    assert!(secure::get(&mut stream, "site.test").await.contains("hello"));
    assert!(connect(door.https(), v1("192.0.2.1")).await.is_err(), "the same client");
    assert!(connect(door.https(), v1("192.0.2.2")).await.is_ok(), "another client");
}
