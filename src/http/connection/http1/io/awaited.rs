//! An answer that is not at hand, waited for beneath hyper: most of what an app says comes as a whole, and is written as
//! what was at hand is.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use tokio::io::{AsyncRead, ReadBuf};

use super::{Guarded, READ_PIECE};
use crate::http::connection::Outgoing;
use crate::http::connection::http1::early::{self, Awaited, Written};

/// What has come.
pub(super) enum Came {
    /// The answer, as bytes: its head and its body.
    Whole(Vec<u8>, Bytes),
    /// One that is for hyper to write.
    Answer(Box<Response<Outgoing>>),
    /// The client's end: nobody waits any more.
    Gone,
}

impl Guarded {
    /// Waits for the answer, and for the client to be gone.
    pub(super) fn poll_awaited(&mut self, awaited: &mut Awaited, context: &mut Context<'_>) -> Poll<Came> {
        if self.poll_gone(context).is_ready() {
            return Poll::Ready(Came::Gone);
        }
        if std::mem::take(&mut awaited.is_asked) {
            return Poll::Pending;
        }
        let answered = awaited.begun.as_mut().poll(context);
        // What the app has said before comes before it, and at once.
        let aside = self.poll_aside(context);
        if matches!(aside, Poll::Ready(Err(_))) {
            return Poll::Ready(Came::Gone);
        }
        let Ok(response) = ready!(answered);
        if aside.is_pending() {
            return Poll::Ready(Came::Answer(Box::new(response)));
        }
        Poll::Ready(match early::write(response, awaited.is_head, context) {
            Written::Whole(head, body) => Came::Whole(head, body),
            Written::Not(response) => Came::Answer(response),
        })
    }

    /// Ready when the client is gone. What it asks for meanwhile is read once, and waits for its turn.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if matches!(self.poll_aside(context), Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        if self.held.is_empty() {
            let mut block = [MaybeUninit::uninit(); READ_PIECE];
            let mut buffer = ReadBuf::uninit(&mut block);
            match self.poll_read_piece(context, &mut buffer) {
                Poll::Ready(Ok(1..)) => self.held.keep_unseen(&[], buffer.filled()),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        self.poll_vanished(context).map(|_| ())
    }

    /// Reads into `buffer`; how much it has then.
    pub(super) fn poll_read_piece(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}
