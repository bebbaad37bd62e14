//! Whose a message is.

use std::sync::Arc;

use super::ConnectionId;

/// Which client sent a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub connection: ConnectionId,
    pub user: Option<Arc<str>>,
}

/// As whom a client speaks: its dialect has seen that it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    pub user: Option<Arc<str>>,
    /// The connection that it speaks for, where it is another's.
    pub connection: Option<ConnectionId>,
}
