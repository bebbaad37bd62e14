//! A meter on the socket beneath HTTP/2: the client's budget, its time-outs, and what the library beneath passes over:
//! which stream a request is of, and what is said of priorities. When budget or time is over, the client is told so
//! (GOAWAY) and the connection ends.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tracing::{debug, info};

use super::budget::Budget;
use super::frames::{Frame, PRIORITY_UPDATE, Walk};
use super::greeting::Greeting;
use super::heads::{Ahead, Heads};
use super::pings::Pings;
use crate::http::connection::Connected;
use crate::http::connection::priority::Said;
use crate::http::connection::stall::Stall;
use crate::listen::Stream;

/// Why a connection is ended by us (RFC 9113 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum ErrorCode {
    Protocol = 0x1,
    FrameSize = 0x6,
    EnhanceYourCalm = 0xb,
}

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
    heads: Heads,
    ahead: Ahead,
    greeting: Greeting,
    pings: Pings,
    stall: Stall,
}

impl Metered {
    /// `max_list` is the longest head that the library shows to anybody.
    pub fn new(stream: Stream, connected: &Arc<Connected>, max_list: u64) -> Metered {
        let config = &connected.settings.http;
        Metered {
            stream,
            connected: Arc::clone(connected),
            incoming: Walk::of_client(),
            outgoing: Walk::of_server(),
            budget: Budget::new(config.h2_budget, Instant::now().into_std()),
            last: None,
            heads: Heads::new(max_list, config.head_timeout),
            ahead: Ahead::default(),
            greeting: Greeting::default(),
            pings: Pings::new(config),
            stall: Stall::new(config.write_timeout, config.min_progress.0),
        }
    }

    /// Looks at what was read, up to the end of the first head; how many bytes that is.
    fn meter(&mut self, bytes: &[u8]) -> Result<usize, ErrorCode> {
        let Metered { incoming, budget, last, heads, pings, connected, .. } = self;
        let now = std::time::Instant::now();
        let (mut fault, mut shown) = (None, 0);
        let (length, is_shown) = incoming.pass_until(bytes, |frame, payload| {
            if budget.draw(frame, now).is_err() {
                fault = fault.or(Some(ErrorCode::EnhanceYourCalm));
            }
            if frame.kind == PRIORITY_UPDATE {
                fault = fault.or(reprioritize(frame, payload, heads.highest(), connected).err());
            }
            pings.came(frame);
            *last = Some(frame);
            let head = heads.see(frame, connected);
            shown = head.unwrap_or(shown);
            head.is_some()
        });
        if let Some(fault) = fault {
            return Err(fault);
        }
        if is_shown {
            self.ahead.is_shown = true;
            self.connected.turns.show(self.heads.highest());
        }
        let in_head = |frame: Frame| frame.leaves_head_open() || (frame.is_head() && !self.incoming.is_between());
        self.heads.await_rest(self.last.is_none_or(in_head));
        Ok(length)
    }

    /// The last word, if it can be said at once: not in the middle of another frame.
    fn end(&mut self, context: &mut Context<'_>, code: ErrorCode) -> io::Error {
        debug!(?code, "a client of HTTP/2 is sent away");
        if self.outgoing.is_between() {
            // GOAWAY (RFC 9113 section 6.8). That no stream was served is not said: the highest number stands for
            // "whatever you think".
            let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, code as u8];
            let _ = Pin::new(&mut self.stream).poll_write(context, &goaway);
            let _ = Pin::new(&mut self.stream).poll_flush(context);
        }
        let _ = Pin::new(&mut self.stream).poll_shutdown(context);
        io::ErrorKind::InvalidData.into()
    }

    /// Nothing comes from the client: whether something should have come by now.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.heads.poll_late(context).is_ready() {
            return Poll::Ready(Err(self.end(context, ErrorCode::EnhanceYourCalm)));
        }
        ready!(self.pings.poll_gone(self.stream.tcp(), context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Passes on what became of a write or a flush, unless the client that holds it up is gone.
    fn unless_gone<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.pings.goes_on();
        } else if self.pings.poll_gone_holding_up(self.stream.tcp(), context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }

    fn wrote(&mut self, mut length: usize, slices: &[IoSlice<'_>]) {
        self.budget.earn(length as u64);
        for slice in slices {
            let part = length.min(slice.len());
            self.outgoing.pass(&slice[..part], |frame, payload| {
                self.pings.wrote(frame);
                if frame.is_empty_data() {
                    self.connected.wrote_all();
                } else if frame.resets_for_malformed(payload) {
                    // What the library cannot read as a request it shows to nobody, who would write a line.
                    info!(client = %self.connected.peer.address.ip(), protocol = "HTTP/2", "malformed request: its stream is reset");
                }
            });
            length -= part;
        }
    }
}

/// Heeds what a client says anew of an answer's priority. Of the value, whatever is senseless is not heeded.
fn reprioritize(frame: Frame, payload: &[u8], highest: u32, connected: &Connected) -> Result<(), ErrorCode> {
    if frame.stream != 0 {
        return Err(ErrorCode::Protocol);
    }
    if frame.length < 4 {
        return Err(ErrorCode::FrameSize);
    }
    // One that is far longer than any value that means something came without its payload.
    let Some((stream, value)) = payload.split_first_chunk() else { return Ok(()) };
    let stream = u32::from_be_bytes(*stream) & 0x7fff_ffff;
    // Even ones are pushed to clients, which happens here never.
    if stream % 2 == 0 {
        return Err(ErrorCode::Protocol);
    }
    let config = &connected.settings.http;
    let most = config.h2_max_streams.saturating_add(config.h2_max_live_streams);
    connected.turns.update(stream, Said::in_value(value), highest, most).map_err(|_| ErrorCode::Protocol)
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buffer.filled().len();
        let is_held = std::mem::take(&mut this.ahead.is_shown);
        if this.ahead.is_empty() {
            let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, buffer) else {
                return this.poll_overdue(context);
            };
            read?;
            if !is_held || buffer.filled().len() == start {
                return Poll::Ready(match this.meter(&buffer.filled()[start..]) {
                    Ok(length) => {
                        this.ahead.keep_from(buffer, start + length);
                        Ok(())
                    }
                    Err(code) => {
                        buffer.set_filled(start);
                        Err(this.end(context, code))
                    }
                });
            }
            this.ahead.keep_from(buffer, start);
        }
        if is_held {
            // The library finds nothing more for now; it looks again once it has handed over what it was shown.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let bytes = this.ahead.take();
        let piece = &bytes[..bytes.len().min(buffer.remaining())];
        let length = this.meter(piece).map_err(|code| this.end(context, code))?;
        buffer.put_slice(&piece[..length]);
        this.ahead.put_back(bytes, length);
        Poll::Ready(Ok(()))
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
        let greeting = this.greeting.poll_write(&mut this.stream, context, slices);
        let written = match greeting {
            Poll::Ready(Ok(0)) => Pin::new(&mut this.stream).poll_write_vectored(context, slices),
            greeting => greeting,
        };
        let written = this.unless_gone(context, written);
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
        let flushed = this.unless_gone(context, flushed);
        this.stall.watch_flush(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(context);
        let shut = this.unless_gone(context, shut);
        this.stall.watch_flush(context, shut)
    }
}
