//! Who: the user behind a connection, and a member of a channel.

use std::sync::Arc;

use super::{Extras, Payload};

/// Whom the app, a token or a signature says a connection is.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub user: Arc<str>,
    /// What others may know of the user: one JSON value.
    pub info: Option<Payload>,
}

/// One member of a channel's presence. Several connections may stand behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// What makes it one and the same member: a user, or a connection, as the dialect means it.
    pub key: Arc<str>,
    pub info: Option<Payload>,
    pub extras: Extras,
}
