//! Bytes that were read and that hyper has not got: what is clean of them, then what is the beginning of a head.

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

/// While nothing travels it has no memory.
#[derive(Debug, Default)]
pub struct Held {
    bytes: BytesMut,
    /// So many at the beginning hyper may have.
    clean: usize,
    /// Those behind them were not looked at yet.
    is_unseen: bool,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Nothing more is to be read before these were looked at.
    pub fn is_unseen(&self) -> bool {
        self.is_unseen
    }

    pub fn has_clean(&self) -> bool {
        self.clean > 0
    }

    /// What is clean, where that is all there is.
    pub fn clean(&self) -> Option<&[u8]> {
        (self.clean == self.bytes.len()).then_some(&self.bytes[..])
    }

    /// Hands over what is clean.
    pub fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.clean.min(buffer.remaining());
        buffer.put_slice(&self.bytes[..length]);
        self.bytes.advance(length);
        self.clean -= length;
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }

    /// Where more is read to; nothing is clean.
    pub fn room(&mut self, length: usize) -> &mut BytesMut {
        self.bytes.reserve(length);
        self.is_unseen = true;
        &mut self.bytes
    }

    /// All that is not clean, to be looked at; nothing is clean.
    pub fn look_at(&mut self) -> BytesMut {
        self.is_unseen = false;
        std::mem::take(&mut self.bytes)
    }

    /// `clean` of `bytes` are, and the rest were looked at.
    pub fn keep(&mut self, bytes: BytesMut, clean: usize) {
        let bytes = if bytes.is_empty() { BytesMut::new() } else { bytes };
        (self.bytes, self.clean, self.is_unseen) = (bytes, clean, false);
    }

    /// None of `bytes` were looked at; `before` them is clean.
    pub fn keep_unseen(&mut self, before: &[u8], bytes: &[u8]) {
        self.is_unseen = !bytes.is_empty();
        self.clean = before.len();
        // Without a byte it takes no memory.
        self.bytes = BytesMut::with_capacity(before.len() + bytes.len());
        self.bytes.extend_from_slice(before);
        self.bytes.extend_from_slice(bytes);
    }

    /// Puts `bytes` in place of all that is not clean.
    pub fn replace_rest(&mut self, bytes: &[u8]) {
        self.bytes.truncate(self.clean);
        self.bytes.extend_from_slice(bytes);
        self.clean = self.bytes.len();
    }

    /// Keeps `bytes`, which were looked at, behind what is clean.
    pub fn keep_rest(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes away all that is not clean.
    pub fn take_rest(&mut self) -> BytesMut {
        let clean = self.clean.min(self.bytes.len());
        self.bytes.split_off(clean)
    }

    /// All there is.
    pub fn into_bytes(self) -> BytesMut {
        self.bytes
    }
}
