//! Who: the user behind a connection, and a member of a channel.

use std::collections::HashSet;
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
    /// The user that it is, where its key says more than that: one user may be several such members.
    pub user: Option<Arc<str>>,
    pub info: Option<Payload>,
    pub extras: Extras,
    /// Milliseconds since the Unix epoch, when it came or last changed what it shows. The channel says so.
    pub unix_ms: u64,
}

impl Member {
    /// One that shows nothing.
    pub fn new(key: impl Into<Arc<str>>) -> Member {
        Member { key: key.into(), user: None, info: None, extras: Extras::default(), unix_ms: 0 }
    }

    /// Who it is to dialects whose members are users.
    pub fn name(&self) -> &Arc<str> {
        self.user.as_ref().unwrap_or(&self.key)
    }

    /// Whether it shows what `other` does.
    pub fn shows_the_same(&self, other: &Member) -> bool {
        self.user == other.user && self.info == other.info && self.extras == other.extras
    }
}

/// One member for each user, for dialects whose members are users.
pub fn users(members: &[Arc<Member>]) -> Vec<Arc<Member>> {
    let mut known = HashSet::with_capacity(members.len());
    members.iter().filter(|member| known.insert(Arc::clone(member.name()))).map(Arc::clone).collect()
}
