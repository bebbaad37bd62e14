//! Ending connections: one, or all of a user.

use std::sync::Arc;

use crate::realtime::hub::Hub;
use crate::realtime::vocabulary::{ConnectionId, DisconnectReason, Refusal, Text};

/// A request of the API to close connections.
#[derive(Debug, Clone, PartialEq)]
pub struct Disconnect {
    pub whom: Whom,
    /// The close code: 1000, 1008 or 3000 to 4999. Without one the dialect has its own.
    pub code: Option<u16>,
    /// For the client; at most 123 bytes of it travel.
    pub reason: Text,
}

/// The connections that are to be closed: one, or all of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    Connection(ConnectionId),
    User(Arc<str>),
}

impl Disconnect {
    /// Ends them, each behind what it was sent before. Says how many.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] for a connection that is not there; a user without connections is no error.
    pub fn perform(self, hub: &Hub) -> Result<usize, Refusal> {
        let Disconnect { whom, code, reason } = self;
        let closing = || DisconnectReason::Kicked { code, reason: reason.clone() };
        match whom {
            Whom::Connection(id) if hub.disconnect(id, closing()) => Ok(1),
            Whom::Connection(_) => Err(Refusal::Unknown),
            Whom::User(user) => {
                Ok(hub.connections_of(&user).into_iter().filter(|id| hub.disconnect(*id, closing())).count())
            }
        }
    }
}
