//! The seam between session and transport: one client's link, over a WebSocket, a stream of events, or polls.

pub mod event_stream;
pub mod polling;
pub mod websocket;

use std::borrow::Cow;
use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use super::vocabulary::{EncodedFrames, Frame, Violation};

/// One client's link. Poll-based: one task (the session's, or the flusher's while the session sleeps) calls all of it,
/// so nothing is split and nothing is locked. The waker of the last call is the one that is woken.
///
/// A link answers pings by itself, completes the closing handshake that either side began, and holds no large buffer
/// while nothing travels.
pub trait Link: Send + Unpin {
    /// The next whole frame; `None` when the other side is gone. Answered pings, pongs and the other side's close are
    /// shown too; after a close only `None` follows. Nothing is lost if the caller stops polling.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>>;

    /// Queues a frame for the next [`Link::poll_flush`]. The link holds what it was given until it is written, without a
    /// bound of its own: the caller pushes at most one batch before a flush is ready. Frames after a close frame are
    /// dropped.
    fn push(&mut self, frame: Frame);

    /// Queues frames that other links hold too: by reference, not copied.
    fn push_encoded(&mut self, encoded: EncodedFrames);

    /// Writes everything queued, in as few system calls as possible. Ready when the kernel has all of it.
    ///
    /// # Errors
    /// The connection broke.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the link. After a close frame of ours it waits for the other side's; the caller bounds the time. If none was
    /// pushed, the link names the client's own violation, or closes without a code.
    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Bytes and messages so far, in both directions.
    fn traffic(&self) -> Traffic;

    /// True while the link has no business of its own (no handshake, no timer, nothing half read): the flusher may then
    /// push and flush while the session sleeps. Default false: never.
    fn is_quiet(&self) -> bool {
        false
    }

    /// The time of the next [`Link::wake`], if the link keeps a timer. Asked after every other call.
    fn next_wake(&self) -> Option<Instant> {
        None
    }

    /// Pings sent and answered, for links on which an answered ping proves that everything pushed before it has arrived.
    /// Zeros on all others.
    fn ping_count(&self) -> PingCount {
        PingCount::default()
    }

    /// The time of [`Link::next_wake`] has come. The caller flushes afterwards.
    ///
    /// # Errors
    /// [`LinkError::Ended`] if the link is over by its own timer.
    fn wake(&mut self, _now: Instant) -> Result<(), LinkError> {
        Ok(())
    }
}

/// Pings, counted since the link began; both wrap around.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PingCount {
    pub sent: u32,
    pub answered: u32,
}

/// Bytes and messages of one link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes read, with headers, as they travelled inside TLS or HTTP/2.
    pub bytes_in: u64,
    /// Bytes written, likewise.
    pub bytes_out: u64,
    /// Whole messages received; control frames are not counted.
    pub messages_in: u64,
    /// Messages taken to be written; control frames are not counted.
    pub messages_out: u64,
}

/// The end of a link, other than by a close frame.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other side broke the link's own rules (RFC 6455 section 7.1.7): the caller closes with the violation's code.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The transport's own conversation is over; `word` is the reason's label. The caller calls [`Link::poll_close`],
    /// which tells the other side what is left to tell.
    #[error("{detail}")]
    Ended { word: &'static str, detail: Cow<'static, str> },
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
}
