//! The client's line: what is said before the link is open waits, so that a client is in its channel before it is told
//! that it is connected.

use crate::realtime::link::Link;
use crate::realtime::vocabulary::{Frame, Parcel};

pub enum LinkState {
    /// What the first step of a conversation says, at most.
    Early(Vec<Parcel>),
    Open(Box<dyn Link>),
    /// The session sleeps, and whoever fans out may write. It is taken back before anything else happens.
    Lent,
    /// The link is lost, or another session's: what is said is said to nobody.
    Away,
}

impl LinkState {
    pub fn push(&mut self, frame: Frame) {
        match self {
            LinkState::Early(parcels) => parcels.push(Parcel::new(frame)),
            LinkState::Open(link) => link.push(frame),
            LinkState::Lent | LinkState::Away => {}
        }
    }

    pub fn push_parcel(&mut self, parcel: Parcel) {
        match self {
            LinkState::Early(parcels) => parcels.push(parcel),
            LinkState::Open(link) => link.push_parcel(parcel),
            LinkState::Lent | LinkState::Away => {}
        }
    }

    /// Goes on over `link` with what waited.
    pub fn open(&mut self, mut link: Box<dyn Link>) {
        if let LinkState::Early(parcels) = self {
            parcels.drain(..).for_each(|parcel| link.push_parcel(parcel));
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
