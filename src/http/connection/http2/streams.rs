//! One task a stream of HTTP/2, counted, and ended when its client takes nothing of the answer for too long: hyper
//! would hold the answer, and the app's connection with it, for as long as the client likes.
#![expect(clippy::disallowed_methods, reason = "each stream holds a guard")]

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tracing::debug;

use crate::drain::{Guard, Signal};
use crate::http::connection::lazy_timer::LazyTimer;

thread_local! {
    /// What the body of the stream that is being polled gave last: `Some(true)` for a piece. hyper asks for the next one
    /// only when the client's window has room for this one.
    static HANDED_OVER: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Said by an answer's body each time it is asked for a piece: whether it gave one.
pub fn handed_over(a_piece: bool) {
    HANDED_OVER.set(Some(a_piece));
}

/// hyper's executor for one connection.
#[derive(Clone)]
pub struct Streams {
    open: Arc<AtomicUsize>,
    timeout: Duration,
    drain: Signal,
}

impl Streams {
    pub fn new(timeout: Duration, drain: Signal) -> Streams {
        Streams { open: Arc::default(), timeout, drain }
    }

    /// How many streams are open, those that were upgraded included.
    pub fn open(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.open)
    }
}

/// Counts one stream as open.
struct OpenStream(Arc<AtomicUsize>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.open.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(Watched {
            stream,
            timeout: self.timeout,
            stalled: None,
            timer: LazyTimer::default(),
            _open: OpenStream(Arc::clone(&self.open)),
            _guard: self.drain.guard(),
        });
    }
}

pin_project! {
    struct Watched<F> {
        #[pin]
        stream: F,
        timeout: Duration,
        stalled: Option<Instant>,
        timer: LazyTimer,
        _open: OpenStream,
        _guard: Guard,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        HANDED_OVER.set(None);
        if this.stream.poll(context).is_ready() {
            return Poll::Ready(());
        }
        match HANDED_OVER.take() {
            Some(true) => *this.stalled = Some(Instant::now()),
            Some(false) => *this.stalled = None,
            None => {}
        }
        let Some(since) = *this.stalled else { return Poll::Pending };
        if this.timer.poll(context, since + *this.timeout).is_pending() {
            return Poll::Pending;
        }
        debug!("a stream of HTTP/2 is reset: its client takes nothing");
        Poll::Ready(())
    }
}
