//! How long a client is awaited: for a request, for the end of one, and while an answer to it is under way.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;
use tracing::debug;

use super::Guarded;
use crate::http::Refusal;

/// What the client is awaited for, since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    No,
    Request(Instant),
    Head(Instant),
}

impl Guarded {
    /// Nothing to read: says when that has lasted too long.
    pub(super) fn poll_timeout(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.guard.is_at_head() {
            return Poll::Pending;
        }
        let (since, timeout) = if !self.held.is_empty() {
            let since = match self.waiting {
                Waiting::Head(since) => since,
                _ => Instant::now(),
            };
            self.waiting = Waiting::Head(since);
            (since, self.config().head_timeout)
        } else if self.connected.answered() == self.guard.heads() {
            let since = match self.waiting {
                Waiting::Request(since) => since,
                _ => Instant::now(),
            };
            self.waiting = Waiting::Request(since);
            // Clients open connections ahead of need; but one that has never asked has less of a claim.
            let is_new = self.guard.heads() == 0;
            (since, if is_new { self.config().head_timeout } else { self.config().idle_timeout })
        } else {
            return self.poll_vanished(context);
        };
        ready!(self.timer.poll(context, since + timeout));
        if !self.held.is_empty() {
            let rest = self.held.take_rest();
            self.guard.refuse();
            self.refuse(Refusal::HeadTimeout, &rest);
        }
        Poll::Ready(Ok(()))
    }

    /// An answer is under way: the client need not say anything. Nobody wakes us at its end, so look again soon.
    pub(super) fn poll_vanished(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waiting = Waiting::No;
        let now = Instant::now();
        if self.vanished.look(self.stream.tcp(), now) {
            debug!("a client is gone: it acknowledges nothing of its answer");
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let soon = self.vanished.next_look().min(now + self.config().idle_timeout / 4);
        let _ = self.timer.poll(context, soon);
        Poll::Pending
    }
}
