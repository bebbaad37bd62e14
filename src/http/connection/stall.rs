//! A client that does not take what it asked for: how long that may last.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::lazy_timer::LazyTimer;

/// Watches the writes of one connection. In each span of `timeout` in which the client holds them up it must take
/// `progress` bytes.
#[derive(Debug)]
pub struct Stall {
    timeout: Duration,
    progress: u64,
    since: Option<Instant>,
    taken: u64,
    timer: LazyTimer,
}

impl Stall {
    pub fn new(timeout: Duration, progress: u64) -> Stall {
        Stall { timeout, progress, since: None, taken: 0, timer: LazyTimer::default() }
    }

    /// Passes on what became of a write of `length` bytes, or [`io::ErrorKind::TimedOut`].
    pub fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        length: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Ok(value)) => {
                if self.since.is_some() {
                    self.taken += length(&value) as u64;
                    if self.taken >= self.progress {
                        self.since = None;
                    }
                }
                Poll::Ready(Ok(value))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match self.poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// The same for a flush: with it nothing is held up any more.
    pub fn watch_flush(&mut self, context: &mut Context<'_>, flushed: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if flushed.is_ready() {
            self.since = None;
        }
        self.watch(context, flushed, |()| 0)
    }

    /// Nothing could be written: ready when that has lasted too long.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(|| {
            self.taken = 0;
            Instant::now()
        });
        self.timer.poll(context, since + self.timeout)
    }
}
