//! What one connection has still to write.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::scratch;

/// Payloads longer than this are not copied behind their header but written from where they are.
pub const LONG: usize = 2 * 1024;
/// How many pieces one `writev` takes.
const PIECES: usize = 64;

/// Pieces in order. Its bound is the caller's: see `Link::push`. Empty, it holds no memory.
#[derive(Debug, Default)]
pub struct Outgoing {
    shared: VecDeque<Bytes>,
    /// Small pieces of our own, after all the shared ones.
    own: Vec<u8>,
    /// How much of the first piece is written.
    written: usize,
    /// The stream may hold bytes that it took.
    unflushed: bool,
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.own.is_empty()
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.shared.capacity() + self.own.capacity()
    }

    /// Lets `write` append up to about `length` bytes.
    pub fn append(&mut self, length: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.own.reserve(length);
        write(&mut self.own);
    }

    /// Appends shared bytes, copied where that is cheaper than keeping them apart.
    pub fn push(&mut self, bytes: Bytes) {
        if !self.own.is_empty() {
            if bytes.len() <= LONG {
                self.own.extend_from_slice(&bytes);
                return;
            }
            self.shared.push_back(std::mem::take(&mut self.own).into());
        }
        if !bytes.is_empty() {
            self.shared.push_back(bytes);
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
        let count = self.shared.len() + usize::from(!self.own.is_empty());
        let mut pieces = self.shared.iter().map(|bytes| &bytes[..]).chain(std::iter::once(&self.own[..]));
        let first = &pieces.next().unwrap_or_default()[self.written..];
        if count == 1 {
            return stream.poll_write(context, first);
        }
        if stream.is_write_vectored() {
            let mut slices = [IoSlice::new(&[]); PIECES];
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
        while let Some(first) = self.shared.front() {
            if self.written < first.len() {
                return;
            }
            self.written -= first.len();
            self.shared.pop_front();
        }
        if self.written < self.own.len() {
            return;
        }
        // Given back, because most sockets are silent most of the time.
        *self = Outgoing { unflushed: self.unflushed, ..Outgoing::default() };
    }
}
