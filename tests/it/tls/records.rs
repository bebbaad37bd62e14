//! Promise: the first records of an answer fit into a segment each, so that a browser reads them as they come; later ones
//! are as large as they may be.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::certificate::Authority;
use crate::harness::secure::Client;
use crate::harness::{App, PATIENCE, door, response};

/// The record type of application data (RFC 8446 section 5.1); behind the handshake everything has it.
const APPLICATION_DATA: u8 = 23;

/// A way to `door` that keeps what comes back by it.
async fn overheard(door: SocketAddr) -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_door, mut to_door) = TcpStream::connect(door).await.unwrap().into_split();
        let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_door).await });
        let (mut heard, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
        while let Ok(length) = from_door.read(&mut piece).await {
            if length == 0 || to_client.write_all(&piece[..length]).await.is_err() {
                break;
            }
            heard.extend_from_slice(&piece[..length]);
        }
        up.abort();
        heard
    });
    (address, heard)
}

/// The lengths of the records of application data in `bytes`, headers included.
fn records(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Some(head) = bytes.get(..5) {
        let length = 5 + usize::from(u16::from_be_bytes([head[3], head[4]]));
        if head[0] == APPLICATION_DATA {
            lengths.push(length);
        }
        bytes = bytes.get(length..).unwrap_or_default();
    }
    lengths
}

#[tokio::test]
async fn records_begin_small_and_grow() {
    let body: Arc<[u8]> = vec![b'x'; 400_000].into();
    let app = App::start(move |_| {
        let body = Arc::clone(&body);
        async move { response(200, body.to_vec()) }
    })
    .await;
    let authority = Authority::new();
    let builder = door();
    let files = authority.issue(&["site.test"]).write(builder.folder(), "site");
    let config = format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}\n{}", files.keys(), app.config());
    let door = builder.config(config).start();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (way, heard) = overheard(door.https()).await;
        let mut stream = Client::with(&authority, &[], &[version]).connect(way, "site.test").await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end in time").unwrap();
        assert!(answer.len() > 400_000, "{}", answer.len());
        drop(stream);
        let heard = heard.await.unwrap();
        let mut records = records(&heard);
        if version.version == rustls::ProtocolVersion::TLSv1_3 {
            // Those of the handshake: the certificate may need more than a segment.
            let answer = records.iter().rposition(|length| *length > 1448).unwrap_or(0);
            assert!(answer > 40, "no answer in {records:?}");
            let handshake = records.iter().position(|length| *length > 1300).unwrap();
            records.drain(..handshake);
        }
        let mut sent = 0;
        let early: Vec<_> = records
            .iter()
            .take_while(|length| {
                sent += **length;
                sent < 60_000
            })
            .collect();
        assert!(early.iter().all(|length| **length <= 1400), "a browser waits for the end of {early:?}");
        assert!(records.iter().any(|length| *length > 8000), "they never grow: {records:?}");
    }
}
