//! How frames travel: one client's link, whatever it is made of.

pub mod event_stream;
pub mod polling;
pub mod websocket;

use std::borrow::Cow;
use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use super::vocabulary::{EncodedFrames, Frame, Violation};

/// One client's link. Poll-based, so that one task serves it: nothing is split, nothing is locked.
///
/// A link answers pings by itself, finishes the closing handshake that either side began, and holds no large buffer
/// while nothing travels.
pub trait Link: Send + Unpin {
    /// The next frame, whole. `None` when the other side is gone. Pings that were answered, pongs and the other side's
    /// close are shown too; after a close only `None` follows. Nothing is lost when the caller stops polling.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>>;

    /// Takes a frame to be written by the next [`Link::poll_flush`]. What was taken is held until it is written: the
    /// caller bounds it by giving no more than one batch until the flush is ready. After a close frame nothing is taken.
    fn push(&mut self, frame: Frame);

    /// Takes frames that are shared with other links: held by reference, not copied.
    fn push_encoded(&mut self, encoded: EncodedFrames);

    /// Writes all that was taken, in as few writes as there can be. Ready when the system has all of it.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the link: after a close frame of ours it waits for the other side's (the caller bounds the time). Where
    /// none was pushed, the link says itself what the client did wrong, or closes without a code.
    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// What has travelled so far.
    fn traffic(&self) -> Traffic;

    /// True while the link has nothing to see to but what it is given: then somebody else may push and flush while its
    /// session sleeps.
    fn is_quiet(&self) -> bool {
        false
    }

    /// When it wants [`Link::wake`], where it keeps a time of its own. Asked after every call.
    fn next_wake(&self) -> Option<Instant> {
        None
    }

    /// How often the other side was asked whether it lives, and how often it has answered, where that shows that all
    /// that was pushed before the question has arrived.
    fn ping_count(&self) -> PingCount {
        PingCount::default()
    }

    /// The time of [`Link::next_wake`] has come. A flush follows.
    ///
    /// # Errors
    /// [`LinkError::Ended`] when that was the last of it.
    fn wake(&mut self, _now: Instant) -> Result<(), LinkError> {
        Ok(())
    }
}

/// Questions and answers, counted without end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PingCount {
    pub sent: u32,
    pub answered: u32,
}

/// What has travelled on one link.
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

/// Why no more frames come.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other side broke the link's own rules (RFC 6455 section 7.1.7): the caller closes with the violation's code.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The link's own conversation is over, for the reason of this word: the caller closes it, which says what is left
    /// to say to the other side.
    #[error("{detail}")]
    Ended { word: &'static str, detail: Cow<'static, str> },
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
}
