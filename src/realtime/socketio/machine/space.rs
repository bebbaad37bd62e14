//! One client in one namespace.

use std::sync::Arc;

use super::trail::Steps;

use crate::realtime::vocabulary::{Channel, Ticket};

/// What Socket.IO calls a socket.
#[derive(Debug)]
pub struct Space {
    pub scope: Arc<str>,
    pub sid: Arc<str>,
    pub state: State,
    /// The rooms it is in, but for that of all.
    pub rooms: Vec<Channel>,
    /// With which it can come back, where it can.
    pub steps: Option<Box<Steps>>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It asked to be let in.
    Asking(Ticket),
    /// It may be here, and is being made to hear what all of the namespace hear.
    Joining(Ticket),
    Joined,
    /// Its link is lost. The outcome of this may still come: it was asked when the client had come back once before.
    Away(Ticket),
    /// It is back on another link, and asks whether it may be.
    Returning(Ticket),
    /// Its link was lost when it asked to be let in; if it is, it has left.
    Leaving(Ticket),
}

impl Space {
    pub fn new(scope: Arc<str>, sid: Arc<str>, ticket: Ticket) -> Space {
        Space { scope, sid, state: State::Asking(ticket), rooms: Vec::new(), steps: None }
    }

    /// What is for it is said, or kept to be said when it is back.
    pub fn hears(&self) -> bool {
        matches!(self.state, State::Joined | State::Away(_) | State::Returning(_))
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
