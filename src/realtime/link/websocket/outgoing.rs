//! What one connection has still to write.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::scratch;

/// Payloads longer than this are not copied behind their header but written from where they are.
pub const LONG_FRAME: usize = 2 * 1024;
/// Bytes copied together, at most: what a client reads slowly is held by reference.
const COPIED_TOGETHER: usize = 4 * 1024;
/// Pieces that one `writev` takes.
const MAX_PIECES: usize = 64;

/// Pieces in order. Its bound is the caller's: see `Link::push`. Empty, it holds no memory.
#[derive(Debug, Default)]
pub struct OutgoingFrames {
    /// The first of the shared pieces, or none at all.
    first: Bytes,
    /// Boxed: hardly ever more than one piece waits, and sockets are held by the ten thousand.
    #[expect(clippy::box_collection)]
    more: Option<Box<VecDeque<Bytes>>>,
    /// Small pieces in one, after all the shared ones.
    own: Vec<u8>,
    /// Bytes of the first piece that are written.
    written: usize,
    /// The stream may hold bytes that it took.
    unflushed: bool,
}

impl OutgoingFrames {
    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.own.is_empty()
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.first.len() + self.more.as_ref().map_or(0, |more| more.capacity()) + self.own.capacity()
    }

    /// Lets `write` append up to about `length` bytes.
    pub fn append(&mut self, length: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.own.reserve(length);
        write(&mut self.own);
    }

    /// Appends shared bytes, copied where that is cheaper than keeping them apart.
    pub fn push(&mut self, bytes: Bytes) {
        if self.is_empty() {
            self.first = bytes;
            return;
        }
        if bytes.len() <= LONG_FRAME {
            if self.own.is_empty() && self.more.is_none() && self.first.len() <= LONG_FRAME {
                self.own.reserve(self.first.len() + bytes.len());
                self.own.extend_from_slice(&self.first);
                self.first = Bytes::new();
            }
            if !self.own.is_empty() && self.own.len() + bytes.len() <= COPIED_TOGETHER {
                self.own.extend_from_slice(&bytes);
                return;
            }
        }
        if !self.own.is_empty() {
            let own = std::mem::take(&mut self.own);
            self.share(own.into());
        }
        self.share(bytes);
    }

    fn share(&mut self, bytes: Bytes) {
        if self.first.is_empty() {
            self.first = bytes;
        } else if !bytes.is_empty() {
            self.more.get_or_insert_default().push_back(bytes);
        }
    }

    /// Writes everything, in as few writes as there can be; adds to `count` what was written.
    pub fn poll_flush<S>(
        &mut self,
        mut stream: Pin<&mut S>,
        context: &mut Context<'_>,
        count: &mut u64,
    ) -> Poll<io::Result<()>>
    where
        S: AsyncWrite,
    {
        while !self.is_empty() {
            let written = ready!(self.poll_write(stream.as_mut(), context))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *count += written as u64;
            self.unflushed = true;
            self.advance(written);
        }
        if self.unflushed {
            ready!(stream.poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<S: AsyncWrite>(&self, stream: Pin<&mut S>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.first.is_empty() {
            return stream.poll_write(context, &self.own[self.written..]);
        }
        let first = &self.first[self.written..];
        if self.more.is_none() && self.own.is_empty() {
            return stream.poll_write(context, first);
        }
        let more = self.more.as_deref().into_iter().flatten();
        let pieces = more.map(|bytes| &bytes[..]).chain(std::iter::once(&self.own[..]));
        if stream.is_write_vectored() {
            let mut slices = [IoSlice::new(&[]); MAX_PIECES];
            slices[0] = IoSlice::new(first);
            let mut filled = 1;
            for (slice, piece) in slices[1..].iter_mut().zip(pieces) {
                *slice = IoSlice::new(piece);
                filled += 1;
            }
            return stream.poll_write_vectored(context, &slices[..filled]);
        }
        // TLS and HTTP/2 make a record or frame of each write: few large ones instead of many small ones.
        scratch::with(|buffer| {
            let mut filled = 0;
            for piece in std::iter::once(first).chain(pieces) {
                let length = piece.len().min(buffer.len() - filled);
                buffer[filled..filled + length].copy_from_slice(&piece[..length]);
                filled += length;
            }
            stream.poll_write(context, &buffer[..filled])
        })
    }

    fn advance(&mut self, written: usize) {
        self.written += written;
        while !self.first.is_empty() {
            if self.written < self.first.len() {
                return;
            }
            self.written -= self.first.len();
            self.first = self.more.as_mut().and_then(|more| more.pop_front()).unwrap_or_default();
        }
        if self.written < self.own.len() {
            return;
        }
        // Given back, because most sockets are silent most of the time.
        *self = OutgoingFrames { unflushed: self.unflushed, ..OutgoingFrames::default() };
    }
}
