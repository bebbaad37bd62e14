//! The heads that come: how long they may take, and one at a time, so that it is known which stream a request is of. The
//! library beneath numbers its requests for itself and tells nobody.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;
use tokio::time::Instant;
use tracing::info;

use super::frames::{Frame, HEADERS};
use crate::http::connection::Connected;
use crate::http::connection::lazy_timer::LazyTimer;

/// What is known of the heads of one connection.
#[derive(Debug)]
pub struct Heads {
    /// The highest stream that was opened.
    highest: u32,
    /// The bytes of the head that comes, and how many the library takes for sure.
    length: u64,
    max_list: u64,
    timeout: Duration,
    /// Since when a head (or the very first frame) has been awaited.
    since: Option<Instant>,
    timer: LazyTimer,
}

impl Heads {
    /// `max_list` is the longest head that the library shows to anybody.
    pub fn new(max_list: u64, timeout: Duration) -> Heads {
        let since = Some(Instant::now());
        Heads { highest: 0, length: 0, max_list, timeout, since, timer: LazyTimer::default() }
    }

    pub fn highest(&self) -> u32 {
        self.highest
    }

    /// A frame came; the stream of the request whose head ends with it.
    pub fn see(&mut self, frame: Frame, connected: &Connected) -> Option<u32> {
        if !frame.is_head() {
            return None;
        }
        let before = if frame.kind == HEADERS { 0 } else { self.length };
        self.length = before + u64::from(frame.length);
        if before <= self.max_list && self.length > self.max_list {
            // The library answers 431 by itself, or ends the connection: nobody else hears of it.
            let client = connected.peer.address.ip();
            info!(%client, protocol = "HTTP/2", "head far too large: it is refused without a page");
        }
        // Trailers are of a stream that is open; a trailer's end stops nothing, nor does a second end.
        let is_new = frame.kind == HEADERS && frame.stream > self.highest;
        if is_new {
            self.highest = frame.stream;
        }
        (!frame.leaves_head_open() && (is_new || frame.kind != HEADERS)).then_some(frame.stream)
    }

    /// Whether the rest of a head is awaited.
    pub fn await_rest(&mut self, is_awaited: bool) {
        if !is_awaited {
            self.since = None;
        } else if self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    /// Ready once a head has taken too long.
    pub fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.since {
            Some(since) => self.timer.poll(context, since + self.timeout),
            None => Poll::Pending,
        }
    }
}

/// What was read and is not shown yet, for the sake of a head before it.
#[derive(Debug, Default)]
pub struct Ahead {
    bytes: BytesMut,
    /// A head was shown whole: the library is to find that there is no more, and hands its request over.
    pub is_shown: bool,
}

impl Ahead {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Keeps all that stands in `buffer` from `start` on, where nothing is kept.
    pub fn keep_from(&mut self, buffer: &mut ReadBuf<'_>, start: usize) {
        if buffer.filled().len() > start {
            self.bytes = BytesMut::from(&buffer.filled()[start..]);
            buffer.set_filled(start);
        }
    }

    /// All that is kept, to be shown in part.
    pub fn take(&mut self) -> BytesMut {
        std::mem::take(&mut self.bytes)
    }

    /// What was not shown of it.
    pub fn put_back(&mut self, mut bytes: BytesMut, shown: usize) {
        bytes.advance(shown);
        // The memory of all of it is given back once it has been shown.
        self.bytes = if bytes.is_empty() { BytesMut::new() } else { bytes };
    }
}
