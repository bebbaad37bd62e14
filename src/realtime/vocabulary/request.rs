//! What the larger commands carry: subscribe, publish, call.

use std::sync::Arc;
use std::time::Duration;

use super::{Channel, ConnectionId, Draft, Extras, Member, Payload, Since, Speaker};

/// A dialect's own number for a command, given back with whatever comes of it. 0 where it does not care.
pub type Ref = u64;

/// What a client says to the app itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Rpc {
    pub ticket: Ref,
    pub scope: Arc<str>,
    /// What its dialect calls the client in this scope.
    pub alias: Option<Arc<str>>,
    pub name: Arc<str>,
    pub data: Payload,
    pub extras: Extras,
    /// The client waits for the answer.
    pub answer: bool,
}

/// A wish to hear a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    pub ticket: Ref,
    pub channel: Channel,
    pub since: Since,
    /// Enters the channel's presence in the same breath.
    pub member: Option<Member>,
    /// Wants to hear what is said.
    pub messages: bool,
    /// Wants to hear who comes and goes, and who is there.
    pub notices: bool,
    /// Wants to hear how many are there: at once, and when it changes.
    pub occupancy: bool,
    /// Means to publish there, if it may.
    pub publishes: bool,
    /// Means to enter the presence, if it may.
    pub enters: bool,
    /// The channel keeps what is said for as long as this while the client is there, and for as long again: it may come
    /// back for it. Zero: as the channel's policy has it.
    pub retain: Duration,
    /// What shows a right to it, where the app is to judge.
    pub credentials: Option<Payload>,
}

impl Subscribe {
    pub fn to(channel: Channel) -> Subscribe {
        Subscribe {
            ticket: 0,
            channel,
            since: Since::Now,
            member: None,
            messages: true,
            notices: false,
            occupancy: false,
            publishes: true,
            enters: false,
            retain: Duration::ZERO,
            credentials: None,
        }
    }
}

/// A message for others, and who is to hear it.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish {
    pub ticket: Ref,
    pub audience: Audience,
    pub draft: Draft,
    /// The sender hears it too, where it is in the audience; a channel's policy may say otherwise.
    pub echo: bool,
}

/// Messages for one channel: all of them one after another with nothing in between, or none. Each is numbered, or is
/// known by its sender's name for it and not said again.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishSeveral {
    pub ticket: Ref,
    pub channel: Channel,
    pub drafts: Vec<Draft>,
    /// The sender hears them too; a channel's policy may say otherwise.
    pub echo: bool,
    /// The channel keeps them for as long, also where nobody is there: see [`Subscribe::retain`].
    pub retain: Duration,
    /// As whom they are said, where that is not simply the connection: one for all, or one for each.
    pub speakers: Vec<Speaker>,
}

/// Who is to hear a message: each client once, however many of the conditions it meets.
#[derive(Debug, Clone, PartialEq)]
pub enum Audience {
    /// The subscribers of a channel. The usual case: kept, numbered, in one order for all.
    Channel(Channel),
    /// The subscribers of any of `channels` and these `connections`, but for those of `except` and `but`.
    Several { channels: Vec<Channel>, connections: Vec<ConnectionId>, except: Vec<Channel>, but: Vec<ConnectionId> },
    /// One connection.
    Connection(ConnectionId),
    /// Every connection of one user.
    User(Arc<str>),
    /// Every connection.
    Everyone,
}
