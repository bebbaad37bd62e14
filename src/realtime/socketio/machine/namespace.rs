//! One client in one namespace.

use std::sync::Arc;

use super::replay::Cursor;

use crate::realtime::vocabulary::{Channel, Ref};

/// What Socket.IO calls a socket.
#[derive(Debug)]
pub struct Namespace {
    pub scope: Arc<str>,
    pub sid: Arc<str>,
    pub state: NamespaceState,
    /// The rooms it is in, but for that of all.
    pub rooms: Vec<Channel>,
    /// With which it can come back, where it can.
    pub cursor: Option<Box<Cursor>>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceState {
    /// It asked to be let in.
    Asking(Ref),
    /// It may be here, and is being made to hear what all of the namespace hear.
    Joining(Ref),
    Joined,
    /// Its link is lost. The outcome of this may still come: it was asked when the client had come back once before.
    Away(Ref),
    /// It is back on another link, and asks whether it may be.
    Returning(Ref),
    /// Its link was lost when it asked to be let in; if it is, it has left.
    Leaving(Ref),
}

impl Namespace {
    pub fn new(scope: Arc<str>, sid: Arc<str>, ticket: Ref) -> Namespace {
        Namespace { scope, sid, state: NamespaceState::Asking(ticket), rooms: Vec::new(), cursor: None }
    }

    /// What is for it is said, or kept to be said when it is back.
    pub fn hears(&self) -> bool {
        matches!(self.state, NamespaceState::Joined | NamespaceState::Away(_) | NamespaceState::Returning(_))
    }

    pub fn entered(&mut self, room: &Channel) {
        if !self.rooms.contains(room) {
            self.rooms.push(room.clone());
        }
    }

    pub fn left(&mut self, room: &Channel) {
        self.rooms.retain(|known| known != room);
    }
}
