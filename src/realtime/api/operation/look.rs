//! Looking without touching: channels, their members and history, connections.

use std::sync::Arc;

use crate::realtime::hub::{self, ChannelOverview, ChannelQuery, Hub};
use crate::realtime::vocabulary::{Channel, ConnectionId, Epoch, Member, Moment, Position, Refusal, Since, users};

pub use hub::Past;

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub channels: Vec<ChannelOverview>,
    /// Ask for what comes after this name; `None` at the end of the list.
    pub next: Option<Channel>,
}

/// The channels whose names begin with `prefix`, by name, `most` at a time.
pub async fn channels(hub: &Hub, prefix: String, after: Option<String>, most: usize) -> Page {
    let (channels, next) = hub.list_channels(&ChannelQuery { prefix, after, most, with_users: false }).await;
    Page { channels: channels.into_iter().map(|listed| listed.overview).collect(), next }
}

/// A channel, also one in which nobody is.
pub fn channel(hub: &Hub, name: &Channel) -> ChannelOverview {
    let nobody = || ChannelOverview {
        name: name.clone(),
        subscribers: 0,
        members: 0,
        occupancy: Default::default(),
        top: Position { epoch: Epoch(0), offset: 0 },
    };
    hub.standing(name).unwrap_or_else(nobody)
}

/// Who is present, in the order of their ids.
pub fn members(hub: &Hub, name: &Channel) -> Vec<Arc<Member>> {
    let mut members = users(&hub.members(name));
    members.sort_by(|one, other| one.name().cmp(other.name()));
    members
}

/// At most `most` of what was kept since then, oldest first. `None` where nothing was ever kept.
///
/// # Errors
/// [`Refusal::Unknown`] when what came after a position can no longer be had whole.
pub fn history(hub: &Hub, name: &Channel, since: Since, most: usize, now: Moment) -> Result<Option<Past>, Refusal> {
    match (hub.history(name, since, most, now), since) {
        (None, Since::After(_)) => Err(Refusal::Unknown),
        (past, _) => Ok(past),
    }
}

/// The latest `most` of what is kept from before a position, oldest first.
///
/// # Errors
/// [`Refusal::Unknown`] for a position that means nothing there, or no longer.
pub fn history_before(hub: &Hub, name: &Channel, before: Position, most: usize, now: Moment) -> Result<Past, Refusal> {
    hub.history_before(name, before, most, now).ok_or(Refusal::Unknown)
}

/// Whom a connection is known as, if it is known at all.
///
/// # Errors
/// [`Refusal::Unknown`] when there is no such connection; [`Refusal::Unavailable`] when a door that may have it does not
/// answer.
pub async fn connection(hub: &Hub, id: ConnectionId) -> Result<Option<Arc<str>>, Refusal> {
    hub.find_connection(id, None).await?.map(|found| found.user).ok_or(Refusal::Unknown)
}
