//! What travels between a link and a dialect.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// One message of a link. Only text and binary mean anything to most dialects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Text(Text),
    Binary(Bytes),
    /// Outwards: ask the other side to say that it lives. Inwards: already answered by the link.
    Ping(Bytes),
    /// Inwards: the other side lives.
    Pong(Bytes),
    /// Outwards: the last frame. Inwards: the other side's, `None` where it gave no code.
    Close(Option<CloseFrame>),
}

impl Frame {
    pub fn text(text: impl Into<Text>) -> Frame {
        Frame::Text(text.into())
    }

    /// Length of the payload, in bytes.
    pub fn len(&self) -> usize {
        match self {
            Frame::Text(text) => text.len(),
            Frame::Binary(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => bytes.len(),
            Frame::Close(close) => close.as_ref().map_or(0, |close| 2 + close.reason.len()),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a link ends, on the wire: RFC 6455 section 7.4, or a dialect's own code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFrame {
    pub code: u16,
    /// At most 123 bytes of it are sent.
    pub reason: Text,
}

impl CloseFrame {
    pub fn new(code: u16, reason: impl Into<Text>) -> CloseFrame {
        CloseFrame { code, reason: reason.into() }
    }

    /// 1001 or 1012 (RFC 6455 section 7.4.1 and its registry): this side is about to be gone.
    pub fn is_going_away(&self) -> bool {
        matches!(self.code, 1001 | 1012)
    }
}

/// UTF-8 in shared memory, checked once.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(Utf8Bytes);

impl Text {
    pub const fn from_static(text: &'static str) -> Text {
        Text(Utf8Bytes::from_static(text))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// A part of it, sharing its memory. `None` where the range is not of whole characters.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Option<Text> {
        self.as_str().get(range.clone())?;
        let bytes = Bytes::from(self.0.clone()).slice(range);
        Utf8Bytes::try_from(bytes).ok().map(Text)
    }

    /// The bytes, shared.
    pub fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    /// The WebSocket library's own type, shared.
    pub fn into_inner(self) -> Utf8Bytes {
        self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<Utf8Bytes> for Text {
    fn from(text: Utf8Bytes) -> Text {
        Text(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(text.into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.into())
    }
}

impl TryFrom<Bytes> for Text {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Text, Self::Error> {
        Utf8Bytes::try_from(bytes).map(Text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}
