//! One client in one namespace.

use std::sync::Arc;

use crate::realtime::vocabulary::{Channel, Ticket};

/// What Socket.IO calls a socket.
#[derive(Debug)]
pub struct Space {
    pub scope: Arc<str>,
    pub sid: Arc<str>,
    pub state: State,
    /// The rooms it is in, but for that of all.
    pub rooms: Vec<Channel>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It asked to be let in.
    Asking(Ticket),
    /// It may be here, and is being made to hear what all of the namespace hear.
    Joining(Ticket),
    Joined,
}

impl Space {
    pub fn new(scope: Arc<str>, sid: Arc<str>, ticket: Ticket) -> Space {
        Space { scope, sid, state: State::Asking(ticket), rooms: Vec::new() }
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
