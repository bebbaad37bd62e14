//! A request that waits for what the session has to say.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::{Exchange, ExchangeFault, ReadingSide};

/// Dropped before it is finished, the request has broken off, and the session ends for it.
#[derive(Debug)]
pub struct ExchangeReader {
    exchange: Arc<Exchange>,
    is_finished: bool,
}

impl ExchangeReader {
    pub(super) fn new(exchange: Arc<Exchange>) -> ExchangeReader {
        ExchangeReader { exchange, is_finished: false }
    }

    /// The next chunk; `None` when the session is over.
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.exchange.0.lock();
        let is_over = state.is_over;
        match &mut state.reading {
            ReadingSide::Answered(chunk) => {
                let chunk = std::mem::take(chunk);
                state.reading = ReadingSide::Waits(None);
                state.wake();
                Poll::Ready(Some(chunk))
            }
            _ if is_over => Poll::Ready(None),
            ReadingSide::Waits(Some(waker)) if waker.will_wake(context.waker()) => Poll::Pending,
            reading => {
                *reading = ReadingSide::Waits(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// Nothing more is read by this request; the next may.
    pub fn finish(mut self) {
        self.is_finished = true;
    }

    /// The first chunk, as all that this request reads. `None` when the session is over.
    pub async fn only(mut self) -> Option<Bytes> {
        let chunk = std::future::poll_fn(|context| {
            let mut state = self.exchange.0.lock();
            // It stays answered until it is dropped: nobody is told of a reader that has read all it wants.
            if let ReadingSide::Answered(chunk) = &mut state.reading {
                return Poll::Ready(Some(std::mem::take(chunk)));
            }
            drop(state);
            self.poll_chunk(context)
        })
        .await;
        self.is_finished = true;
        chunk
    }
}

impl Drop for ExchangeReader {
    fn drop(&mut self) {
        let mut state = self.exchange.0.lock();
        if !self.is_finished {
            state.fail(ExchangeFault::BrokenOff);
        }
        state.reading = ReadingSide::Nobody;
    }
}
