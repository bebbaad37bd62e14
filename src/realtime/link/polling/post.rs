//! A request that brings something for the session.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use super::{Denied, Exchange, ExchangeFault, Posted};

/// Dropped before its body was given or withdrawn, the request has broken off, and the session ends for it.
#[derive(Debug)]
pub struct ExchangePost {
    exchange: Arc<Exchange>,
    is_finished: bool,
}

impl ExchangePost {
    pub(super) fn new(exchange: Arc<Exchange>) -> ExchangePost {
        ExchangePost { exchange, is_finished: false }
    }

    /// Waits for `body`, as long as there is a session to give it to.
    ///
    /// # Errors
    /// [`Denied::Over`] when the session ended before.
    pub async fn receive<F: Future>(&self, body: F) -> Result<F::Output, Denied> {
        let mut body = pin!(body);
        std::future::poll_fn(|context| {
            if let Poll::Ready(body) = body.as_mut().poll(context) {
                return Poll::Ready(Ok(body));
            }
            let mut state = self.exchange.0.lock();
            if state.is_over {
                return Poll::Ready(Err(Denied::Over));
            }
            if let Posted::Coming(writer) = &mut state.posted {
                *writer = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Hands the session the posted messages, and waits until they are used up: a client is not listened to faster than that.
    ///
    /// # Errors
    /// [`Denied::Over`] when the session ended before.
    pub async fn give(mut self, body: Bytes) -> Result<(), Denied> {
        {
            let mut state = self.exchange.0.lock();
            state.posted = Posted::Whole(body, None);
            state.wake();
        }
        let outcome = std::future::poll_fn(|context| {
            let mut state = self.exchange.0.lock();
            let is_over = state.is_over;
            match &mut state.posted {
                Posted::Used => Poll::Ready(Ok(())),
                _ if is_over => Poll::Ready(Err(Denied::Over)),
                Posted::Whole(_, writer) | Posted::InUse(writer) => {
                    *writer = Some(context.waker().clone());
                    Poll::Pending
                }
                Posted::Nothing | Posted::Coming(_) => Poll::Ready(Err(Denied::Over)),
            }
        })
        .await;
        self.is_finished = true;
        outcome
    }

    /// Nothing comes of it, and nothing else either.
    pub fn withdraw(mut self) {
        self.is_finished = true;
    }
}

impl Drop for ExchangePost {
    fn drop(&mut self) {
        let mut state = self.exchange.0.lock();
        if !self.is_finished {
            state.fail(ExchangeFault::BrokenOff);
        }
        state.posted = Posted::Nothing;
    }
}
