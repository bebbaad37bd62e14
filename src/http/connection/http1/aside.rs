//! What is written besides what hyper writes: interim answers, and answers of which hyper knows nothing. Nothing else comes
//! before its end.

use std::io::{self, Cursor, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::http::connection::stall::Stall;
use crate::listen::{Offprint, Stream};

/// Two pieces at most: a head and a body.
#[derive(Debug, Default)]
pub struct Aside {
    head: Cursor<Vec<u8>>,
    body: Bytes,
    /// What the kernel sends in place of the body.
    offprint: Option<Offprint>,
    is_answer: bool,
    /// The socket has taken all, and may not have sent it: with TLS it keeps the end of a record.
    is_unflushed: bool,
}

impl Aside {
    pub fn is_empty(&self) -> bool {
        self.is_taken() && !self.is_unflushed
    }

    fn is_taken(&self) -> bool {
        !self.head.has_remaining() && self.body.is_empty()
    }

    /// An answer is on its way, and nothing of hyper's.
    pub fn is_answer(&self) -> bool {
        self.is_answer && !self.is_empty()
    }

    /// Interim answers, behind those that wait.
    pub fn add_interim(&mut self, bytes: Bytes) {
        self.head = Cursor::new([self.head.chunk(), &bytes].concat());
        self.is_answer = false;
    }

    /// An answer, where nothing waits.
    pub fn set_answer(&mut self, head: Vec<u8>, body: Bytes, offprint: Option<Offprint>) {
        *self = Aside { head: Cursor::new(head), body, offprint, is_answer: true, is_unflushed: false };
    }

    /// Ready when all is written.
    pub fn poll_write(
        &mut self,
        stream: &mut Stream,
        stall: &mut Stall,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_taken() {
            let is_begun = !self.head.has_remaining();
            let written = match &mut self.offprint {
                Some(_) if !is_begun => stream.poll_write_before_more(context, self.head.chunk()),
                Some(offprint) => match offprint.filled() {
                    Some(passage) => stream.poll_drain(context, passage, self.body.len()),
                    None => {
                        self.offprint = None;
                        continue;
                    }
                },
                None => {
                    let slices = [IoSlice::new(self.head.chunk()), IoSlice::new(&self.body)];
                    let slices = if self.body.is_empty() { &slices[..1] } else { &slices[usize::from(is_begun)..] };
                    Pin::new(&mut *stream).poll_write_vectored(context, slices)
                }
            };
            let length = ready!(stall.watch(context, written, |length| *length))?;
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = length.min(self.head.remaining());
            self.head.advance(of_head);
            self.body.advance(length - of_head);
            self.is_unflushed = true;
        }
        if self.is_unflushed {
            let flushed = Pin::new(&mut *stream).poll_flush(context);
            ready!(stall.watch_flush(context, flushed))?;
            self.is_unflushed = false;
        }
        if self.is_answer {
            // Else a long body would be kept for as long as nothing else is asked for.
            *self = Aside::default();
        }
        Poll::Ready(Ok(()))
    }
}
