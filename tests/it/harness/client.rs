//! An HTTP/1.1 client that reads an answer chunk by chunk; one connection a request.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::door::PATIENCE;

/// An answer whose head has come.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    body: Incoming,
}

/// `GET path`.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(address, "GET", path, headers, "").await
}

/// Any request. `Host` is `site.test` unless given.
pub async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", "site.test");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).expect("a request");
    let answer = timeout(PATIENCE, sender.send_request(request)).await.expect("an answer in time");
    let (head, body) = answer.expect("an answer").into_parts();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

impl Answer {
    /// The value of a header, several lines joined by `, `; empty without one.
    pub fn header(&self, name: &str) -> String {
        let lines: Vec<_> =
            self.headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        lines.join(", ")
    }

    /// The next piece of the body; `None` at its end. Panics when it breaks off.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        self.piece().await.map(|piece| piece.expect("the body goes on"))
    }

    /// The next piece of the body, or why it broke off.
    pub async fn piece(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            match timeout(PATIENCE, self.body.frame()).await.expect("a chunk in time")? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => return Some(Ok(data)),
                    Err(_trailers) => continue,
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The body to its end, and its trailers.
    pub async fn end(self) -> (Bytes, Option<HeaderMap>) {
        let collected = timeout(PATIENCE, self.body.collect()).await.expect("an end in time").expect("a whole body");
        let trailers = collected.trailers().cloned();
        (collected.to_bytes(), trailers)
    }

    /// The body to its end.
    pub async fn bytes(self) -> Bytes {
        self.end().await.0
    }
}
