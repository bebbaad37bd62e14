//! The client's line: what is said before the link is open waits, so that a client is in its channel before it is told
//! that it is connected.

use crate::realtime::link::Link;
use crate::realtime::vocabulary::{EncodedFrames, Frame};

/// The state of a session's link.
pub enum LinkState {
    /// Frames pushed before there is a link: those of the first step, at most.
    Early(Vec<EncodedFrames>),
    Open(Box<dyn Link>),
    /// The session sleeps, and whoever fans out may write. It is taken back before anything else happens.
    Lent,
    /// The link is lost, or another session's: what is said is said to nobody.
    Away,
}

impl LinkState {
    pub fn push(&mut self, frame: Frame) {
        match self {
            LinkState::Early(encoded) => encoded.push(EncodedFrames::new(frame)),
            LinkState::Open(link) => link.push(frame),
            LinkState::Lent | LinkState::Away => {}
        }
    }

    pub fn push_encoded(&mut self, encoded: EncodedFrames) {
        match self {
            LinkState::Early(queued) => queued.push(encoded),
            LinkState::Open(link) => link.push_encoded(encoded),
            LinkState::Lent | LinkState::Away => {}
        }
    }

    /// Goes on over `link` with what waited.
    pub fn open(&mut self, mut link: Box<dyn Link>) {
        if let LinkState::Early(encoded) = self {
            encoded.drain(..).for_each(|encoded| link.push_encoded(encoded));
        }
        *self = LinkState::Open(link);
    }

    /// The open link.
    pub fn link(&mut self) -> Option<&mut dyn Link> {
        match self {
            LinkState::Early(_) | LinkState::Lent | LinkState::Away => None,
            LinkState::Open(link) => Some(link.as_mut()),
        }
    }
}
