//! Ending connections: one, or all of a user.

use std::sync::Arc;

use crate::realtime::hub::Hub;
use crate::realtime::vocabulary::{ConnectionId, Refusal, Text};

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
    /// Ends them, each behind what it was sent before, on whatever doors they are. Says how many.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] for a connection that is not there; a user without connections is no error.
    /// [`Refusal::Unavailable`] where not all doors could be asked that may have it.
    pub async fn perform(self, hub: &Hub) -> Result<usize, Refusal> {
        let Disconnect { whom, code, reason } = self;
        match whom {
            Whom::Connection(id) => hub.end_connection(id, code, &reason).await.map(|()| 1),
            Whom::User(user) => hub.end_user(&user, code, &reason).await,
        }
    }
}
