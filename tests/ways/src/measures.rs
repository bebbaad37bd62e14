//! What tests and benchmark measure over a way, of any site whose `/bytes/N` is so many bytes long and which answers an
//! upload with its length. Each begins with a connection of its own.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::visitor::{Connection, Version, Visitor, Wrong, some, whole};

/// Bytes of every upload.
pub const UPLOAD: usize = 20_000_000;
/// Bytes that fit, with heads and all, in the ten packets that a connection may begin with (RFC 6928), and more than what
/// a proxy reads of an answer at first.
pub const FIRST: usize = 9_000;

/// An upload, from its first byte to its answer.
pub async fn upload(visitor: Visitor, version: Version) -> Result<Duration, Wrong> {
    let mut connection = visitor.connect(version).await?;
    let start = Instant::now();
    whole(connection.ask(Method::POST, "/upload", &[], Bytes::from(vec![b'u'; UPLOAD])).await?).await?;
    Ok(start.elapsed())
}

/// A small answer beside a download on the same connection, and the same alone before it.
pub async fn beside_a_download(visitor: Visitor) -> Result<(Duration, Duration), Wrong> {
    let mut connection = visitor.connect(Version::Http2).await?;
    let alone = answer(&mut connection, 1000, &[]).await?;
    let mut download = connection.get("/bytes/20000000", &[]).await?;
    some(&mut download, 1_500_000).await?;
    let reading = tokio::spawn(async move { some(&mut download, 18_000_000).await });
    let beside = answer(&mut connection, 1000, &[]).await?;
    reading.abort();
    Ok((beside, alone))
}

/// An urgent answer of 60 KB beside eight downloads that say that they are not (RFC 9218), and the same alone before.
pub async fn urgent_beside_eight(visitor: Visitor) -> Result<(Duration, Duration), Wrong> {
    const URGENT: &[(&str, &str)] = &[("priority", "u=0")];
    let mut connection = visitor.connect(Version::Http2).await?;
    // The second one alone, so that the connection is as wide as it gets.
    answer(&mut connection, 60_000, URGENT).await?;
    let alone = answer(&mut connection, 60_000, URGENT).await?;
    let mut readers = Vec::new();
    for _ in 0..8 {
        let mut download = connection.get("/bytes/20000000", &[("priority", "u=5, i")]).await?;
        some(&mut download, 100_000).await?;
        readers.push(tokio::spawn(async move { some(&mut download, 19_000_000).await }));
    }
    let beside = answer(&mut connection, 60_000, URGENT).await?;
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    Ok((beside, alone))
}

/// So many downloads by HTTP/1.1, fast for long enough that kernels have come to trust the way; then nobody reads on.
/// They stand until they are dropped.
pub async fn slow_downloads(visitor: Visitor, many: usize) -> Result<Vec<TlsStream<TcpStream>>, Wrong> {
    let mut downloads = Vec::new();
    for _ in 0..many {
        let mut stream = visitor.silent(Version::Http1).await?;
        let head = format!("GET /bytes/30000000 HTTP/1.1\r\nHost: {}\r\n\r\n", visitor.host);
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        downloads.push(tokio::spawn(async move {
            let (mut left, mut buffer) = (4_000_000_usize, vec![0; 64 * 1024]);
            while left > 0 {
                match stream.read(&mut buffer).await? {
                    0 => return Err(Wrong::from("it ended")),
                    read => left = left.saturating_sub(read),
                }
            }
            Ok(stream)
        }));
    }
    let mut streams = Vec::new();
    for download in downloads {
        streams.push(download.await??);
    }
    Ok(streams)
}

/// A request on a connection that was silent for so long.
pub async fn after_silence(visitor: Visitor, version: Version, silence: Duration) -> Result<Duration, Wrong> {
    let mut connection = visitor.connect(version).await?;
    answer(&mut connection, 1000, &[]).await?;
    tokio::time::sleep(silence).await;
    answer(&mut connection, 1000, &[]).await
}

async fn answer(connection: &mut Connection, length: usize, headers: &[(&str, &str)]) -> Result<Duration, Wrong> {
    let start = Instant::now();
    let body = whole(connection.get(&format!("/bytes/{length}"), headers).await?).await?;
    if body.len() == length { Ok(start.elapsed()) } else { Err("an answer of another length".into()) }
}

/// By HTTP/2, from a request to the first `FIRST` bytes of an answer of 40 KB; and a round trip. Any library would give
/// out whole frames only, where browsers take what has come.
pub async fn first_bytes(visitor: Visitor) -> Result<(Duration, Duration), Wrong> {
    let start = Instant::now();
    drop(visitor.tcp().await?);
    let round_trip = start.elapsed();
    let mut stream = visitor.silent(Version::Http2).await?;
    let start = Instant::now();
    stream.write_all(&request(visitor.host, "/bytes/40000")).await?;
    stream.flush().await?;
    let (mut read, mut buffer) = (0, vec![0; 16 * 1024]);
    while read < FIRST {
        match stream.read(&mut buffer).await? {
            0 => return Err("closed".into()),
            more => read += more,
        }
    }
    Ok((start.elapsed(), round_trip))
}

/// The preface, empty settings, and a GET whose header fields are literals without an index (RFC 7541 section 6.2.2).
fn request(host: &str, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", path)] {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // HEADERS of stream 1, with the ends of the head and of the stream.
    bytes.extend_from_slice(&[0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1]);
    bytes.extend_from_slice(&block);
    bytes
}
