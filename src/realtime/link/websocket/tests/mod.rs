//! The driver over loopback sockets: byte by byte, and against tokio-tungstenite as the other side.

mod chunks;
mod closing;
mod compression;
mod conformance;
mod handshake;
mod peer;
mod traffic;
mod utf8;

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::realtime::vocabulary::Frame;

/// How long a test waits for what must happen.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The two ends of a loopback connection: ours, and the client's.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (server, client)
}

/// A WebSocket of ours, and the raw connection of its client.
async fn pair() -> (WebSocket<TcpStream>, TcpStream) {
    pair_with(&Config::default(), None).await
}

async fn pair_with(config: &Config, agreed: Option<&Agreed>) -> (WebSocket<TcpStream>, TcpStream) {
    let (server, client) = sockets().await;
    (WebSocket::new(server, &[], agreed, config), client)
}

async fn receive<S: AsyncRead + AsyncWrite + Send + Unpin>(
    link: &mut WebSocket<S>,
) -> Option<Result<Frame, LinkError>> {
    timeout(TEST_TIMEOUT, poll_fn(|context| link.poll_receive(context))).await.expect("a frame in time")
}

async fn flush<S: AsyncRead + AsyncWrite + Send + Unpin>(link: &mut WebSocket<S>) {
    timeout(TEST_TIMEOUT, poll_fn(|context| link.poll_flush(context))).await.expect("in time").expect("written");
}

async fn close<S: AsyncRead + AsyncWrite + Send + Unpin>(link: &mut WebSocket<S>) -> io::Result<()> {
    timeout(TEST_TIMEOUT, poll_fn(|context| link.poll_close(context))).await.expect("in time")
}

/// Echoes messages until the client closes or errs, then closes.
async fn echo<S: AsyncRead + AsyncWrite + Send + Unpin>(mut link: WebSocket<S>) -> WebSocket<S> {
    while let Some(Ok(frame)) = poll_fn(|context| link.poll_receive(context)).await {
        if matches!(frame, Frame::Text(_) | Frame::Binary(_)) {
            link.push(frame);
            poll_fn(|context| link.poll_flush(context)).await.unwrap();
        }
    }
    let _ = poll_fn(|context| link.poll_close(context)).await;
    link
}

/// A frame as a client sends it: `first` is its first byte.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        0..=125 => frame.push(0x80 | payload.len() as u8),
        126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

async fn read_all(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(TEST_TIMEOUT, client.read_to_end(&mut bytes))
        .await
        .expect("an end in time")
        .expect("an end without a reset");
    bytes
}
