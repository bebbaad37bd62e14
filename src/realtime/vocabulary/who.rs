//! Who: one connection, the user behind it, and a member of a channel.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Extras, Payload};

/// One client's connection, for as long as the hub knows it. Unique across restarts in all likelihood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for ConnectionId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(ConnectionId)
    }
}

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
