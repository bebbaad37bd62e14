//! HTTP/2 frame by frame: a client that may say anything.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::certificate::Authority;
use super::door::PATIENCE;
use super::secure::{Client, TlsStream};
use super::{Door, door};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
/// RFC 9218 section 7.1.
pub const PRIORITY_UPDATE: u8 = 0x10;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113 section 7).
pub const PROTOCOL_ERROR: u32 = 1;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A door for `site.test` by TLS, and who vouches for it.
pub struct Site {
    pub door: Door,
    pub authority: Authority,
}

impl Site {
    /// With more sections for its config.
    pub fn new(config: &str) -> Site {
        let authority = Authority::new();
        let builder = door();
        let files = authority.issue(&["site.test", "other.test"]).write(builder.folder(), "site");
        let config = format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}\n{config}", files.keys());
        Site { door: builder.config(config).start(), authority }
    }

    /// A connection that has sent its preface and settings (given as identifiers and values).
    pub async fn connect(&self, settings: &[(u16, u32)]) -> Connection {
        let client = Client::with(&self.authority, &["h2"], rustls::ALL_VERSIONS);
        let stream = client.connect(self.door.https(), "site.test").await;
        let mut connection =
            Connection { stream, read: Vec::new(), goaway: None, kept: Vec::new(), pause: Duration::ZERO };
        connection.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let mut payload = Vec::new();
        for (identifier, value) in settings {
            payload.extend(identifier.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        connection.send(SETTINGS, 0, 0, &payload).await;
        connection
    }

    /// A connection for HTTP/1.1.
    pub async fn http1(&self) -> TlsStream<TcpStream> {
        Client::new(&self.authority).connect(self.door.https(), "site.test").await
    }

    /// A connection on which nothing was sent.
    pub async fn silent(&self) -> TlsStream<TcpStream> {
        Client::with(&self.authority, &["h2"], rustls::ALL_VERSIONS).connect(self.door.https(), "site.test").await
    }
}

pub struct Connection {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
    /// What the last GOAWAY said.
    goaway: Option<u32>,
    /// Data and ends of streams that came while another one was waited for.
    kept: Vec<Frame>,
    /// Before each read.
    pause: Duration,
}

#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    Reset(u32),
    /// The connection was ended with this code.
    Gone(u32),
    Closed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A whole GET of `/`, as header fields.
pub const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "https"), (":authority", "site.test"), (":path", "/")];

/// Header fields, each literal and never indexed.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    block
}

/// RFC 7541 section 5.2, without Huffman.
fn string(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        block.push(length as u8);
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push((length % 128 + 128) as u8);
            length /= 128;
        }
        block.push(length as u8);
    }
    block.extend_from_slice(text.as_bytes());
}

impl Connection {
    /// The socket itself.
    pub fn tcp(&self) -> &TcpStream {
        self.stream.get_ref().0
    }

    /// From now on it reads more slowly than any door writes, though never that slowly that a test is.
    pub fn read_slowly(&mut self) {
        self.pause = Duration::from_millis(20);
    }

    /// False when the other side is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(PATIENCE, self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let bytes = frame(kind, flags, stream, payload);
        self.write(&bytes).await && self.stream.flush().await.is_ok()
    }

    /// A request without a body.
    pub async fn request(&mut self, stream: u32, fields: &[(&str, &str)]) -> bool {
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields)).await
    }

    /// The next frame; `None` when the other side has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(head) = self.read.get(..9) {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                if self.read.len() >= 9 + length {
                    let bytes: Vec<u8> = self.read.drain(..9 + length).collect();
                    let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]) & 0x7fff_ffff;
                    return Some(Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() });
                }
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
            let mut piece = [0; 16 * 1024];
            let read = timeout(PATIENCE, self.stream.read(&mut piece)).await.expect("a frame or an end in time");
            match read {
                Ok(length) if length > 0 => self.read.extend_from_slice(&piece[..length]),
                _ => return None,
            }
        }
    }

    /// The next frame that is not housekeeping, which is answered as a client must.
    async fn attend(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            match frame.kind {
                SETTINGS if frame.flags & 1 == 0 => drop(self.send(SETTINGS, 1, 0, &[]).await),
                PING if frame.flags & 1 == 0 => drop(self.send(PING, 1, 0, &frame.payload).await),
                GOAWAY => {
                    let code = u32::from_be_bytes(frame.payload[4..8].try_into().expect("four bytes"));
                    self.goaway = Some(code);
                    // Without an error it is a polite end: streams may still be answered.
                    if code != 0 {
                        return Some(frame);
                    }
                }
                _ => return Some(frame),
            }
        }
    }

    /// Reads until it is clear what became of `stream`.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        while let Some(frame) = self.attend().await {
            match frame.kind {
                HEADERS if frame.stream == stream => return Outcome::Status(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => {
                    return Outcome::Reset(u32::from_be_bytes(frame.payload[..4].try_into().expect("four bytes")));
                }
                GOAWAY => return Outcome::Gone(self.goaway.unwrap_or_default()),
                DATA | RST_STREAM => self.kept.push(frame),
                _ => {}
            }
        }
        Outcome::Closed
    }

    /// The next data of `stream`, and whether they are its last; `None` when the stream or the connection was reset.
    pub async fn data(&mut self, stream: u32) -> Option<(Vec<u8>, bool)> {
        loop {
            let frame = match self.kept.iter().position(|frame| frame.stream == stream) {
                Some(place) => self.kept.remove(place),
                None => self.attend().await?,
            };
            match frame.kind {
                DATA if frame.stream == stream => return Some((frame.payload, frame.flags & END_STREAM != 0)),
                RST_STREAM if frame.stream == stream => return None,
                DATA | RST_STREAM => self.kept.push(frame),
                _ => {}
            }
        }
    }

    /// The code that `stream` is reset with.
    pub async fn reset(&mut self, stream: u32) -> u32 {
        loop {
            let frame = match self.kept.iter().position(|frame| frame.stream == stream) {
                Some(place) => self.kept.remove(place),
                None => self.attend().await.expect("the connection goes on"),
            };
            if frame.kind == RST_STREAM && frame.stream == stream {
                return u32::from_be_bytes(frame.payload[..4].try_into().expect("four bytes"));
            }
            if frame.stream != stream && matches!(frame.kind, DATA | RST_STREAM) {
                self.kept.push(frame);
            }
        }
    }

    /// The settings that the other side begins with, as identifiers and values.
    pub async fn settings(&mut self) -> Vec<(u16, u32)> {
        let frame = self.next().await.expect("settings come first");
        assert_eq!(frame.kind, SETTINGS);
        self.send(SETTINGS, 1, 0, &[]).await;
        let pairs = frame.payload.chunks(6).map(|pair| pair.split_at(2));
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        pairs.map(|(identifier, value)| (number(identifier) as u16, number(value))).collect()
    }

    /// Reads until the connection ends: the code of its GOAWAY, if it said one.
    pub async fn end(&mut self) -> Option<u32> {
        while self.attend().await.is_some() {}
        self.goaway
    }

    /// The same without answering anything.
    pub async fn end_unattended(&mut self) -> Option<u32> {
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                self.goaway = Some(u32::from_be_bytes(frame.payload[4..8].try_into().expect("four bytes")));
            }
        }
        self.goaway
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The status at the beginning of a header block, where every server puts it.
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may come first (RFC 7541 section 6.3).
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).expect("a field");
    let block = &block[start..];
    match block[0] {
        indexed if indexed & 0x80 != 0 => [200, 204, 206, 304, 400, 404, 500]
            .get(usize::from(indexed & 0x7f) - 8)
            .copied()
            .unwrap_or_else(|| panic!("no status in {block:?}")),
        // A literal whose name is `:status`, and whose value may be in Huffman's code.
        _ if block[1] & 0x80 == 0 => std::str::from_utf8(&block[2..5]).unwrap().parse().expect("a status"),
        _ => {
            let length = usize::from(block[1] & 0x7f);
            digits(&block[2..2 + length])
        }
    }
}

/// Three digits in Huffman's code (RFC 7541 appendix B): 0 to 2 have five bits, the others six.
fn digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let take = |length: usize| bits[at..at + length].iter().fold(0u16, |sum, bit| sum << 1 | u16::from(*bit));
        let short = take(5);
        let digit = if short < 3 {
            at += 5;
            short
        } else {
            let long = take(6);
            at += 6;
            long - 0b011001 + 3
        };
        number = number * 10 + digit;
    }
    number
}
