//! A meter on the socket beneath HTTP/2: the client's budget, and its time-outs. When either is over, the client is
//! told to calm down (GOAWAY) and the connection ends.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tracing::{debug, info};

use super::budget::Budget;
use super::frames::{Frame, HEADERS, Walk};
use crate::http::connection::Connected;
use crate::http::connection::lazy_timer::LazyTimer;
use crate::http::connection::stall::Stall;
use crate::listen::Stream;

/// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 sections 6.8 and 7). That no stream was served is not said: the highest
/// number stands for "whatever you think".
const ENHANCE_YOUR_CALM_FRAME: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0x0b];

/// A client's socket behind the meter.
#[derive(Debug)]
pub struct Metered {
    stream: Stream,
    connected: Arc<Connected>,
    incoming: Walk,
    outgoing: Walk,
    budget: Budget,
    /// The frame that came last.
    last: Option<Frame>,
    /// The bytes of the head that comes, and how many the library takes for sure.
    head: u64,
    max_list: u64,
    timeout: Duration,
    /// Since when a head (or the very first frame) has been awaited.
    head_since: Option<Instant>,
    timer: LazyTimer,
    stall: Stall,
}

impl Metered {
    /// `max_list` is the longest head that the library shows to anybody.
    pub fn new(stream: Stream, connected: &Arc<Connected>, max_list: u64) -> Metered {
        let config = &connected.settings.http;
        let now = Instant::now();
        Metered {
            stream,
            connected: Arc::clone(connected),
            incoming: Walk::of_client(),
            outgoing: Walk::of_server(),
            budget: Budget::new(config.h2_budget, now.into_std()),
            last: None,
            head: 0,
            max_list,
            timeout: config.head_timeout,
            head_since: Some(now),
            timer: LazyTimer::default(),
            stall: Stall::new(config.write_timeout, config.min_progress.0),
        }
    }

    /// Looks at what was read; false when it is too much.
    fn meter(&mut self, bytes: &[u8]) -> bool {
        let (budget, last, head, max_list) = (&mut self.budget, &mut self.last, &mut self.head, self.max_list);
        let client = self.connected.peer.address.ip();
        let now = std::time::Instant::now();
        let mut is_fine = true;
        self.incoming.pass(bytes, |frame| {
            is_fine &= budget.draw(frame, now).is_ok();
            if frame.is_head() {
                let before = if frame.kind == HEADERS { 0 } else { *head };
                *head = before + u64::from(frame.length);
                if before <= max_list && *head > max_list {
                    // The library answers 431 by itself, or ends the connection: nobody else hears of it.
                    info!(%client, protocol = "HTTP/2", "head far too large: it is refused without a page");
                }
            }
            *last = Some(frame);
        });
        let in_head = |frame: Frame| frame.leaves_head_open() || (frame.is_head() && !self.incoming.is_between());
        if self.last.is_none_or(in_head) {
            self.head_since.get_or_insert(now.into());
        } else {
            self.head_since = None;
        }
        is_fine
    }

    /// The last word, if it can be said at once: not in the middle of another frame.
    fn end(&mut self, context: &mut Context<'_>, why: io::ErrorKind) -> io::Error {
        debug!(%why, "a client of HTTP/2 is sent away");
        if self.outgoing.is_between() {
            let _ = Pin::new(&mut self.stream).poll_write(context, &ENHANCE_YOUR_CALM_FRAME);
            let _ = Pin::new(&mut self.stream).poll_flush(context);
        }
        let _ = Pin::new(&mut self.stream).poll_shutdown(context);
        why.into()
    }

    fn wrote(&mut self, mut length: usize, slices: &[IoSlice<'_>]) {
        self.budget.earn(length as u64);
        for slice in slices {
            let part = length.min(slice.len());
            self.outgoing.pass(&slice[..part], |frame| {
                if frame.is_empty_data() {
                    self.connected.wrote_empty_data();
                } else if frame.resets_for_malformed() {
                    // What the library cannot read as a request it shows to nobody, who would write a line.
                    info!(client = %self.connected.peer.address.ip(), protocol = "HTTP/2", "malformed request: its stream is reset");
                }
            });
            length -= part;
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                read?;
                let is_fine = this.meter(&buffer.filled()[start..]);
                if is_fine {
                    return Poll::Ready(Ok(()));
                }
                buffer.set_filled(start);
                Poll::Ready(Err(this.end(context, io::ErrorKind::QuotaExceeded)))
            }
            Poll::Pending => {
                let Some(since) = this.head_since else { return Poll::Pending };
                ready!(this.timer.poll(context, since + this.timeout));
                Poll::Ready(Err(this.end(context, io::ErrorKind::TimedOut)))
            }
        }
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.connected.turns.note_flush(false);
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        let written = ready!(this.stall.watch(context, written, |length| *length))?;
        this.wrote(written, slices);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.connected.turns.note_flush(flushed.is_ready());
        this.stall.watch_flush(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(context);
        this.stall.watch_flush(context, shut)
    }
}
